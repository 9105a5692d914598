"""Dependency cycles between the elements of a cascade, for known sizes.

An Einsum's instances are its coordinates on the iterative ranks. A set of Einsums that depend on each
other has an order of execution if some iterative variable never runs backward around a circle, and
the circles along which it stands still have one by another variable (R. Karp, R. Miller, S. Winograd,
"The organization of computations for uniform recurrence equations", 1967).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusemap.einsum_cascade.feasible import Linear, linear
from fusemap.einsum_cascade.interpreter_schedule import components
from fusemap.einsum_cascade.scope import accesses, iterative_ranks, rank_variables
from fusemap.einsum_cascade.space import Box, Space, covers, meet, within
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, Index, TensorName, VarName

_TRIED = 100


@dataclass(frozen=True, slots=True)
class _Edge:
    """`reader` needs `writer`; `distances[v]` is the least number of steps on v in between."""

    reader: int
    writer: int
    distances: Mapping[VarName, int]


def circles(cascade: Cascade, spaces: Sequence[Space]) -> tuple[tuple[int, ...], ...]:
    """The circles of dependences that no iterative rank breaks, each as numbers of spaces, the first one again last."""
    variables = tuple(iterative_ranks(cascade))
    return tuple(_stuck(len(spaces), tuple(_edges(spaces, variables)), variables))


def _stuck(count: int, edges: Sequence[_Edge], variables: tuple[VarName, ...]) -> Iterator[tuple[int, ...]]:
    """One circle for every strongly connected set that has no order."""
    neighbours: list[set[int]] = [set() for _ in range(count)]
    for edge in edges:
        neighbours[edge.reader].add(edge.writer)
    groups = components(neighbours)
    group_of = {n: g for g, members in enumerate(groups) for n in members}
    internal: dict[int, list[_Edge]] = {}
    for edge in edges:
        if group_of[edge.reader] == group_of[edge.writer]:
            internal.setdefault(group_of[edge.reader], []).append(edge)
    for g, members in enumerate(groups):
        inside = internal.get(g)
        if not inside:
            continue
        remainders = [(v, _standing(members, inside, v)) for v in variables]
        found = [
            tuple(_stuck(count, standing, tuple(u for u in variables if u != v)))
            for v, standing in remainders
            if standing is not None
        ]
        if not found or all(found):
            yield _circle(inside, variables)


def _standing(members: Sequence[int], edges: Sequence[_Edge], var: VarName) -> list[_Edge] | None:
    """Edges on circles around which `var` stands still; None if it can run backward around one."""
    if any(var not in e.distances for e in edges):
        return None
    potential = dict.fromkeys(members, 0)
    for _ in range(len(members) + 1):
        changed = False
        for e in edges:
            reached = potential[e.reader] + e.distances[var]
            if reached < potential[e.writer]:
                potential[e.writer] = reached
                changed = True
        if not changed:
            return [e for e in edges if potential[e.reader] + e.distances[var] == potential[e.writer]]
    return None


def _circle(edges: Sequence[_Edge], variables: tuple[VarName, ...]) -> tuple[int, ...]:
    """A short circle that no variable steps forward around; if only several together are one, any circle."""
    leaving: dict[int, list[_Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.reader, []).append(edge)
    found = [circle for e in edges[:_TRIED] if (circle := _closed(e, leaving))]
    found.sort(key=len)
    bad = next((c for c in found if not any(_forward(c, v) for v in variables)), found[0])
    return (*(e.reader for e in bad), bad[0].reader)


def _closed(first: _Edge, leaving: Mapping[int, list[_Edge]]) -> tuple[_Edge, ...]:
    """A shortest path that starts with an edge and comes back to where that starts."""
    paths: list[tuple[_Edge, ...]] = [(first,)]
    seen = {first.writer}
    for path in paths:
        if path[-1].writer == first.reader:
            return path
        for edge in leaving.get(path[-1].writer, []):
            if edge.writer not in seen:
                seen.add(edge.writer)
                paths.append((*path, edge))
    return ()


def _forward(circle: Sequence[_Edge], var: VarName) -> bool:
    """Does `var` step forward around the circle?"""
    return all(var in e.distances for e in circle) and sum(e.distances[var] for e in circle) > 0


def _edges(spaces: Sequence[Space], variables: tuple[VarName, ...]) -> Iterator[_Edge]:
    """Every read of an element that another Einsum or an init writes."""
    writers: dict[TensorName, list[int]] = {}
    for number, space in enumerate(spaces):
        writers.setdefault(space.einsum.name, []).append(number)
    for reader, space in enumerate(spaces):
        for access in accesses(space.einsum):
            for writer in writers.get(access.tensor, []):
                box = spaces[writer].box(spaces[writer].einsum.output)
                if _touches(space, access, box):
                    found = {v: _distance(space, access, spaces[writer].einsum, box, v) for v in variables}
                    yield _Edge(reader, writer, {v: d for v, d in found.items() if d is not None})


def _touches(space: Space, access: Access, box: Box) -> bool:
    """Does any point of the space read from the box?"""
    mine = space.box(access)
    if not meet(mine, box):
        return False
    return covers(box, mine) or space.find([i.expr for i in access.indices], _inside(space, access, box)) is not None


def _inside(space: Space, access: Access, box: Box) -> tuple[Linear, ...]:
    return tuple(c for i, side in zip(access.indices, box, strict=True) for c in within(space.form(i.expr), side))


def _distance(space: Space, access: Access, writer: Einsum, box: Box, var: VarName) -> int | None:
    """Least (reader's coordinate - writer's coordinate) on `var`; None if either has none or it is not bounded."""
    if _position(space.einsum.output.indices, var) is None:
        return None
    at = _position(writer.output.indices, var)
    if at is None:
        return None
    read = access.indices[at].expr
    offset = space.form(writer.output.indices[at].expr).constant
    step = (linear({var: 1}) - space.form(read)).shifted(offset)
    if not step.coefficients:
        return step.constant
    inside = _inside(space, access, box)
    exprs = [i.expr for i in access.indices]
    least, greatest = space.interval(read)
    low, high = offset - greatest, offset + space.lasts[var] - least
    while low < high:
        middle = (low + high) // 2
        below = (*inside, *within(step, (low, middle)))
        low, high = (low, middle) if space.find(exprs, below) is not None else (middle + 1, high)
    return low


def _position(indices: Sequence[Index], var: VarName) -> int | None:
    """Where `var`, plus an offset at most, is the index."""
    for at, index in enumerate(indices):
        expr = index.expr
        if isinstance(expr, Affine) and rank_variables(expr) == (var,):
            return at if all(t.var is None or t.shape is None for t in expr.terms) else None
    return None
