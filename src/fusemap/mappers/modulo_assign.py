"""Which array computes each Einsum: branch and bound for the least initiation interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

from fusemap.mappers.modulo import schedule
from fusemap.mappers.modulo_types import Schedule, TaskGraph
from fusemap.mappers.tasks import Piece

Cost: TypeAlias = tuple[Fraction, Fraction]  # interval, then the work of all arrays, in cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """For each Einsum its pieces on the arrays that can compute it, and the graph that chosen pieces make."""

    options: tuple[tuple[Piece, ...], ...]
    graph: Callable[[Sequence[Piece]], TaskGraph]


def least_interval(assignment: Assignment) -> Schedule:
    """The schedule of least interval over all assignments, among equals of least total work.

    A partial assignment whose busiest array already needs more than the best interval is given up.
    """
    order = sorted(range(len(assignment.options)), key=lambda i: -min(p.cycles for p in assignment.options[i]))
    least = [min(p.cycles for p in assignment.options[i]) for i in order]
    rest = [sum(least[i:], Fraction(0)) for i in range(len(least) + 1)]
    arrays = tuple(dict.fromkeys(p.array for pieces in assignment.options for p in pieces))
    best: tuple[Cost, Schedule] | None = None
    stack: list[tuple[Piece, ...]] = [()]
    while stack:
        chosen = stack.pop()
        load = _loads(chosen)
        work = sum(load.values(), Fraction(0)) + rest[len(chosen)]
        bound = max(max(load.values(), default=Fraction(0)), work / len(arrays))
        if best is not None and (bound, work) >= best[0]:
            continue
        if len(chosen) < len(order):
            following = assignment.options[order[len(chosen)]]
            stack += sorted(((*chosen, p) for p in following), key=_busiest, reverse=True)
            continue
        placed = dict(zip(order, chosen, strict=True))
        found = schedule(assignment.graph([placed[i] for i in range(len(order))]), compact=False)
        cost = (found.interval_cycles, work)
        if best is None or cost < best[0]:
            best = (cost, found)
    assert best is not None
    return schedule(best[1].graph)


def _loads(pieces: Sequence[Piece]) -> dict[str, Fraction]:
    load: dict[str, Fraction] = {}
    for piece in pieces:
        load[piece.array] = load.get(piece.array, Fraction(0)) + piece.cycles
    return load


def _busiest(pieces: Sequence[Piece]) -> Fraction:
    return max(_loads(pieces).values())
