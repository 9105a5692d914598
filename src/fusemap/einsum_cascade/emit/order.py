"""The order of statements: loops over iterative ranks around all that can be done step by step, the rest as arrays.

A derived cascade says how often its inputs are read, and a loop that has only the recurrence in it would not show it.
So a loop takes in every Einsum of its rank that needs nothing from after the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.einsum_cascade.emit.refusal import refused
from fusemap.einsum_cascade.interpreter_schedule import components, distance
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.scope import accesses, conditions_of, rank_variables
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop over the coordinates of an iterative variable."""

    var: VarName
    body: tuple[Statement, ...]


Statement: TypeAlias = Einsum | Loop


def ordered(cascade: Cascade) -> tuple[Statement, ...]:
    """Inits, Einsums and loops in an order in which everything is there when it is read.

    InputError: Einsums need each other in a way that no loop orders.
    """
    nodes = (*cascade.inits, *cascade.einsums)
    return _Planner(cascade).statements(nodes, tuple(s.var for s in cascade.stops), ())


def einsums_in(statements: Sequence[Statement]) -> tuple[Einsum, ...]:
    """The Einsums of statements, those in loops too."""
    return tuple(e for s in statements for e in (einsums_in(s.body) if isinstance(s, Loop) else (s,)))


@dataclass(frozen=True, slots=True)
class _Planner:
    cascade: Cascade

    def statements(
        self, nodes: Sequence[Einsum], variables: tuple[VarName, ...], held: tuple[VarName, ...]
    ) -> tuple[Statement, ...]:
        """Nodes in order; `held` are the variables of the loops around them, `variables` those that may get one."""
        groups: list[tuple[VarName | None, tuple[int, ...]]] = []
        free = set(range(len(nodes)))
        for var in variables:
            while inside := self._inside(var, nodes, free, held):
                groups.append((var, tuple(sorted(inside))))
                free -= inside
        groups += [(None, (i,)) for i in sorted(free)]
        return tuple(self._statement(nodes, groups[g], variables, held) for g in self._sorted(nodes, groups, held))

    def _statement(
        self,
        nodes: Sequence[Einsum],
        group: tuple[VarName | None, tuple[int, ...]],
        variables: tuple[VarName, ...],
        held: tuple[VarName, ...],
    ) -> Statement:
        var, members = group
        if var is None:
            return nodes[members[0]]
        left = tuple(v for v in variables if v != var)
        return Loop(var=var, body=self.statements([nodes[i] for i in members], left, (*held, var)))

    def _sorted(
        self,
        nodes: Sequence[Einsum],
        groups: Sequence[tuple[VarName | None, tuple[int, ...]]],
        held: tuple[VarName, ...],
    ) -> list[int]:
        """Groups, each after those that it waits for."""
        owner = {i: g for g, (_, members) in enumerate(groups) for i in members}
        waits = _waits(nodes, held)
        graph: list[set[int]] = [set() for _ in groups]
        for reader, writers in enumerate(waits):
            graph[owner[reader]] |= {owner[w] for w in writers} - (
                {owner[reader]} if groups[owner[reader]][0] else set()
            )
        result = []
        # Components come in the order of the first member, which is that of the text.
        for component in components(graph):
            if len(component) > 1 or component[0] in graph[component[0]]:
                names = ", ".join(dict.fromkeys(str(nodes[i].name) for g in component for i in groups[g][1]))
                einsum = nodes[groups[component[0]][1][0]]
                raise refused(self.cascade, einsum, f"no loop over an iterative rank orders {names}")
            result += component
        return result

    def _inside(self, var: VarName, nodes: Sequence[Einsum], free: set[int], held: tuple[VarName, ...]) -> set[int]:
        """The nodes of one loop over `var`; none where no recurrence needs it."""
        waits = _waits(nodes, held)
        views = _views_of_inputs(self.cascade)
        inside = {i for i in free if nodes[i].name not in views and step_axis(nodes[i].output, var) is not None}
        while True:
            outer = _after(waits, inside, free)
            gone = {
                i
                for i in inside
                if any(w in outer for w in waits[i])
                or not all(_stepwise(var, nodes[i], nodes[w]) for w in waits[i] & inside)
            }
            if not gone:
                break
            inside -= gone
        cyclic = any(len(c) > 1 or c[0] in g[c[0]] for g in [_within(waits, inside)] for c in components(g))
        return inside if cyclic else set()


def _waits(nodes: Sequence[Einsum], held: tuple[VarName, ...]) -> list[set[int]]:
    """The nodes that each one reads from; what an earlier step of a loop around left behind is there already."""
    found: list[set[int]] = [set() for _ in nodes]
    for r, reader in enumerate(nodes):
        for access in accesses(reader):
            for w, writer in enumerate(nodes):
                if writer.name == access.tensor and not any(
                    (distance(v, writer.output, access) or 0) > 0 for v in held
                ):
                    found[r].add(w)
    return found


def _after(waits: Sequence[set[int]], inside: set[int], free: set[int]) -> set[int]:
    """Nodes outside that need a node inside, directly or not."""
    found: set[int] = set()
    while more := {r for r, ws in enumerate(waits) if r not in inside and r not in found and ws & (inside | found)}:
        found |= more
    return found


def _within(waits: Sequence[set[int]], inside: set[int]) -> list[set[int]]:
    """The graph of the nodes inside alone, numbered anew."""
    place = {i: n for n, i in enumerate(sorted(inside))}
    return [{place[w] for w in waits[i] & inside} for i in sorted(inside)]


def _views_of_inputs(cascade: Cascade) -> frozenset[str]:
    """Einsums that are inputs under other coordinates: as a whole they cost nothing, so no loop takes them in."""
    found = {str(a.tensor) for a in cascade.inputs}
    for einsum in cascade.einsums:
        if is_view(einsum) and not conditions_of(einsum) and all(str(a.tensor) in found for a in accesses(einsum)):
            found.add(str(einsum.name))
    return frozenset(found)


def step_axis(output: Access, var: VarName) -> int | None:
    """The position of `var` or `var + c` on a left side, where the variable is nowhere else."""
    at = [i for i, index in enumerate(output.indices) if var in rank_variables(index.expr)]
    if len(at) != 1 or offset(output.indices[at[0]].expr, var) is None:
        return None
    return at[0]


def offset(expr: object, var: VarName) -> int | None:
    """c where an index is `var + c`."""
    if not isinstance(expr, Affine) or rank_variables(expr) != (var,) or any(t.shape for t in expr.terms):
        return None
    if sum(t.sign * (t.constant or 1) for t in expr.terms if t.var is not None) != 1:
        return None
    return sum(t.sign * (t.constant or 0) for t in expr.terms if t.var is None)


def _stepwise(var: VarName, reader: Einsum, writer: Einsum) -> bool:
    """Does the reader take what this step or an earlier one wrote, and nothing of a later one?"""
    for access in accesses(reader):
        if access.tensor == writer.name:
            at = step_axis(writer.output, var)
            assert at is not None, writer.name
            read, written = offset(access.indices[at].expr, var), offset(writer.output.indices[at].expr, var)
            if read is None or written is None or read > written:
                return False
    return True
