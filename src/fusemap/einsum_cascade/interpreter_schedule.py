"""In which order a cascade's Einsums run, and which iterative ranks must be stepped.

An Einsum that does not depend on itself runs once over its whole space. Einsums that depend on each
other in a circle are wrapped in a loop over an iterative variable that breaks the circle, as in the
code generation of Allen and Kennedy, "Automatic Translation of FORTRAN Programs to Vector Form" (1987).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.diagnostics import Diagnostic, InputError
from fusemap.einsum_cascade.scope import accesses, rank_variables, variables_of
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, RankExpr, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Step `var` through its range; run `body` at each step."""

    var: VarName
    body: tuple[Step, ...]


Step: TypeAlias = Einsum | Loop


def schedule(cascade: Cascade) -> tuple[Step, ...]:
    """The inits and Einsums of a cascade in an order in which every element is written before it is read.

    Raises InputError for a circle that no iterative rank breaks. A dependence that only the values of
    the coordinates could decide is taken to go forward; the interpreter checks that as it runs.
    """
    nodes = (*cascade.inits, *cascade.einsums)
    return _ordered(cascade, nodes, (), tuple(s.var for s in cascade.stops))


def _ordered(
    cascade: Cascade, nodes: Sequence[Einsum], stepped: tuple[VarName, ...], variables: tuple[VarName, ...]
) -> tuple[Step, ...]:
    steps: list[Step] = []
    edges: list[set[int]] = [set() for _ in nodes]
    for reader, writer in _waits(nodes, stepped):
        edges[reader].add(writer)
    for group in components(edges):
        members = [nodes[i] for i in group]
        if len(group) == 1 and group[0] not in edges[group[0]]:
            steps.append(members[0])
            continue
        var = next((v for v in variables if _breaks(v, members, stepped)), None)
        if var is None:
            raise _circle(cascade, members)
        left = tuple(v for v in variables if v != var)
        steps.append(Loop(var=var, body=_ordered(cascade, members, (*stepped, var), left)))
    return tuple(steps)


def _waits(nodes: Sequence[Einsum], stepped: tuple[VarName, ...]) -> list[tuple[int, int]]:
    """Pairs of a node and one it must wait for, one per access, but for what an earlier step left behind."""
    return [
        (r, w)
        for r, reader in enumerate(nodes)
        for access in accesses(reader)
        for w, writer in enumerate(nodes)
        if access.tensor == writer.name and not any(carries(v, writer.output, access) for v in stepped)
    ]


def _breaks(var: VarName, members: Sequence[Einsum], stepped: tuple[VarName, ...]) -> bool:
    """Does stepping `var` carry at least one of the dependences among the members?"""
    everywhere = all(var in variables_of(m) for m in members)
    return everywhere and len(_waits(members, (*stepped, var))) < len(_waits(members, stepped))


def carries(var: VarName, write: Access, read: Access) -> bool:
    """Does the read at one step of `var` use what an earlier step wrote?

    So where the write is at `var + a` and the read at `var + b` with b < a. A read without `var` (a
    filtered prefix, a fixed coordinate) may be; it is taken to be.
    """
    pairs = zip(write.indices, read.indices, strict=True)
    return any(_goes_back(var, w.expr, r.expr) for w, r in pairs if var in rank_variables(w.expr))


def _goes_back(var: VarName, write: RankExpr, read: RankExpr) -> bool:
    written, got = _offset(var, write), _offset(var, read)
    if written is None:
        return False
    return got < written if got is not None else var not in rank_variables(read)


def _offset(var: VarName, expr: RankExpr) -> int | None:
    """c where the expression is `var + c`, else None."""
    if not isinstance(expr, Affine) or rank_variables(expr) != (var,):
        return None
    if any(t.shape is not None for t in expr.terms):
        return None
    factor = sum(t.sign * (t.constant or 1) for t in expr.terms if t.var is not None)
    offset = sum(t.sign * (t.constant or 0) for t in expr.terms if t.var is None)
    return offset if factor == 1 else None


def components(waits_for: Sequence[set[int]]) -> list[list[int]]:
    """Strongly connected components, each after those it waits for (Tarjan, 1972), without recursion.

    >>> components([{1}, set(), {0, 3}, {2}])
    [[1], [0], [2, 3]]
    """
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    found: list[list[int]] = []
    for root in range(len(waits_for)):
        if root in order:
            continue
        work = [(root, iter(sorted(waits_for[root])))]
        order[root] = low[root] = len(order)
        stack.append(root)
        while work:
            node, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    found.append(_popped(stack, node, low, len(waits_for)))
            elif target not in order:
                order[target] = low[target] = len(order)
                stack.append(target)
                work.append((target, iter(sorted(waits_for[target]))))
            else:
                low[node] = min(low[node], low[target])
    return found


def _popped(stack: list[int], node: int, low: dict[int, int], done: int) -> list[int]:
    """The component on the stack down to `node`; its members no longer lower anyone's link."""
    group = stack[stack.index(node) :]
    del stack[stack.index(node) :]
    low.update(dict.fromkeys(group, done))
    return sorted(group)


def _circle(cascade: Cascade, members: Sequence[Einsum]) -> InputError:
    lines = cascade.text.split("\n")
    names = ", ".join(dict.fromkeys(m.name for m in members))
    message = f"{names} depend on each other in a circle" if len(members) > 1 else f"{names} depends on itself"
    hint = "an iterative rank must step forward: S[i+1] = ... S[i] with stop: i >= I"
    first = min(members, key=lambda m: m.span)
    source = lines[first.span.line - 1] if first.span.line <= len(lines) else ""
    return InputError((Diagnostic(span=first.span, message=message, source=source, hint=hint),))
