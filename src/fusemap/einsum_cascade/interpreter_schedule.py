"""In which order a cascade's Einsums run, and which iterative ranks must be stepped.

An Einsum that does not depend on itself runs once over its whole space. Einsums that depend on each
other in a circle are wrapped in a loop over an iterative variable that breaks the circle, as in the
code generation of Allen and Kennedy, "Automatic Translation of FORTRAN Programs to Vector Form" (1987).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.einsum_cascade.scope import accesses, output_variables, rank_variables
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, Lookup, RankExpr, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Step `var` through its range; run `body` at each step."""

    var: VarName
    body: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Einsums that need each other in a way no loop orders: each coordinate on `variables` when it is ready."""

    variables: tuple[VarName, ...]
    members: tuple[Einsum, ...]


Step: TypeAlias = Einsum | Loop | Pool


def schedule(cascade: Cascade) -> tuple[Step, ...]:
    """The inits and Einsums of a cascade in an order in which every element is written before it is read.

    A read whose distance only the coordinates tell (a filtered prefix) is taken to be of an earlier
    step; the interpreter checks that as it runs.
    """
    return _ordered((*cascade.inits, *cascade.einsums), (), tuple(s.var for s in cascade.stops))


def einsums_of(steps: Sequence[Step]) -> Iterator[Einsum]:
    """The inits and Einsums of a schedule in order, loops left out."""
    for step in steps:
        if isinstance(step, Loop):
            yield from einsums_of(step.body)
        else:
            yield from (step,) if isinstance(step, Einsum) else step.members


def _ordered(nodes: Sequence[Einsum], stepped: tuple[VarName, ...], variables: tuple[VarName, ...]) -> tuple[Step, ...]:
    steps: list[Step] = []
    waits_for: list[set[int]] = [set() for _ in nodes]
    for reader, writer in _waits(nodes, stepped):
        waits_for[reader].add(writer)
    for group in components(waits_for):
        members = tuple(nodes[i] for i in group)
        if len(group) == 1 and group[0] not in waits_for[group[0]]:
            steps += members
            continue
        var = next((v for v in variables if _breaks(v, members, stepped)), None)
        left = tuple(v for v in variables if v != var)
        if var is None:
            steps.append(Pool(variables=left, members=members))
        else:
            steps.append(Loop(var=var, body=_ordered(members, (*stepped, var), left)))
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
    """Does stepping `var` carry at least one of the dependences among the members, and none backward?

    An Einsum that reduces `var` away would write parts of its sums, so it cannot be in such a loop.
    """
    if not all(var in output_variables(m.output) for m in members):
        return False
    pairs = [(w.output, a) for r in members for a in accesses(r) for w in members if a.tensor == w.name]
    backward = any((d := distance(var, write, read)) is None or d < 0 for write, read in pairs)
    return not backward and len(_waits(members, (*stepped, var))) < len(_waits(members, stepped))


def carries(var: VarName, write: Access, read: Access) -> bool:
    """Does the read at one step of `var` use what an earlier step wrote?"""
    steps = distance(var, write, read)
    return steps is not None and steps > 0


def distance(var: VarName, write: Access, read: Access) -> int | None:
    """How many steps of `var` before the read the element was written; None where the write has no `var + c`.

    a - b where the write is at `var + a` and the read at `var + b`; 0 for a lookup, which may be of the same
    step; 1 for any other read.
    """
    at = next((i for i, index in enumerate(write.indices) if var in rank_variables(index.expr)), None)
    written = None if at is None else _offset(var, write.indices[at].expr)
    if at is None or written is None:
        return None
    got = _offset(var, read.indices[at].expr)
    if got is None:
        return 0 if isinstance(read.indices[at].expr, Lookup) else 1
    return written - got


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
