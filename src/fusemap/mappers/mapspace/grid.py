"""Tile sizes of a plan's shared loops as arrays: one entry per candidate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fusemap.archspec.arithmetic import largest_divisor
from fusemap.archspec.types import Machine
from fusemap.mappers.mapspace.plan import Plan
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.search import divisors
from fusemap.mappers.types import EinsumSpace
from fusemap.mappers.units import find_units

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Candidate tile sizes: `tiles[rank][i]` coordinates of the rank in one iteration of the shared loops."""

    tiles: Mapping[str, Floats]
    extents: Mapping[str, int]
    points: int

    def tile(self, rank: str) -> Floats | int:
        """Coordinates of a rank in one iteration: its tile, or all of it."""
        return self.tiles[rank] if rank in self.tiles else self.extents[rank]

    def steps(self, rank: str) -> Floats | int:
        """Iterations of the shared loop over a rank (1 if it has none)."""
        return self.extents[rank] / self.tiles[rank] if rank in self.tiles else 1

    def at(self, index: int) -> dict[str, int]:
        """The tile sizes of one candidate."""
        return {rank: int(values[index]) for rank, values in self.tiles.items()}


def candidates(
    plan: Plan, machine: Machine, space: Mapspace = EVERYTHING, extents: Mapping[str, int] | None = None
) -> dict[str, tuple[int, ...]]:
    """The tile sizes that each shared rank may have.

    A rank that indexes every operand is cut into single coordinates: its iterations are independent and equal, and
    nothing of one is of use to another. Only where the other ranks cannot fill any array that computes an Einsum are
    its divisors tried, to spread it (where extents do not divide an array, spreading it might still fill more lanes:
    such mappings are not in the space). A rank of a recurrence is stepped one by one.
    """
    extents = extents_of(plan) if extents is None else extents
    spread = _spread(plan, machine, extents)
    found = {}
    for rank in (*plan.outer, *([plan.chunk] if plan.chunk else [])):
        whole = rank not in plan.single and (rank not in plan.common or rank in spread)
        found[rank] = _sizes(extents[rank], space) if whole else (1,)
    return found


def _sizes(extent: int, space: Mapspace) -> tuple[int, ...]:
    """Tile sizes that divide an extent; of powers of two, also the whole."""
    every = divisors(extent)
    return tuple(d for d in every if not space.powers or d & (d - 1) == 0 or d == extent)


def blocks(plan: Plan, machine: Machine, size: int, space: Mapspace = EVERYTHING) -> Iterator[Grid]:
    """All combinations of tile sizes, `size` at a time."""
    sizes = candidates(plan, machine, space)
    ranks, extents = tuple(sizes), extents_of(plan)
    rest = iter(itertools.product(*sizes.values()))
    while True:
        rows = list(itertools.islice(rest, size))
        if not rows:
            return
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(ranks))
        tiles = {rank: table[:, i] for i, rank in enumerate(ranks)}
        yield Grid(tiles=tiles, extents=extents, points=len(rows))


def extents_of(plan: Plan) -> dict[str, int]:
    """The extent of every rank of the plan."""
    return {rank: extent for s in plan.spaces for rank, extent in s.ranks}


def largest_parts(values: Floats | int, limit: Floats | int) -> Floats:
    """Elementwise largest divisor of `values` that is at most `limit`.

    >>> largest_parts(np.array([12.0, 7.0]), 8)
    array([6., 7.])
    """
    room = np.minimum(limit, values)
    key = np.asarray(values * (float(np.max(room)) + 1) + room, dtype=np.float64).reshape(-1)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    wanted, rooms = (np.broadcast_to(v, np.broadcast(values, room).shape).reshape(-1) for v in (values, room))
    parts = [_part(int(wanted[i]), int(rooms[i])) for i in first]
    return np.array(parts, dtype=np.float64)[inverse]


@lru_cache(maxsize=1 << 14)
def _part(value: int, limit: int) -> int:
    return int(largest_divisor(value, max(1, limit)))


def _spread(plan: Plan, machine: Machine, extents: Mapping[str, int]) -> frozenset[str]:
    """Ranks in every operand that are spread nevertheless: the fewest, largest first, that fill an array."""
    cut = set(plan.common)
    for rank in sorted(plan.common, key=lambda r: -extents[r]):
        if all(_lanes(s, cut, extents) >= min(_able(s, machine), _lanes(s, set(), extents)) for s in plan.spaces):
            break
        cut.discard(rank)
    return plan.common - cut


def _able(space: EinsumSpace, machine: Machine) -> int:
    """Lanes of the smallest array that computes the Einsum."""
    return min((a.pes for a in machine.arrays if find_units(a, space.operators) is not None), default=1)


def _lanes(space: EinsumSpace, without: set[str], extents: Mapping[str, int]) -> int:
    return math.prod(extents[r] for r, _ in space.ranks if r not in without and r not in space.sequential)


def orders(plan: Plan, *, anywhere: bool = False) -> tuple[tuple[str, ...], ...]:
    """Orders of the outer loops that move different words; those after others do the same as one of them.

    A loop re-fetches an operand unless it and all loops inside it lack the operand's ranks, so two orders in which
    every operand has the same set of such loops are equal. Ranks that index every operand are outermost: inside
    others they only add to what is fetched. With `anywhere` they are not, as where the buffer is the bottleneck what
    is fetched more often, but used once each time, can stream past it.
    """
    operands = {o.ranks for s in plan.spaces for o in s.operands if o.tensor in plan.outside}
    found: dict[tuple[frozenset[str], ...], tuple[str, ...]] = {}
    first = tuple(r for r in plan.outer if r in plan.common)
    places = range(len(plan.free) + 1) if first and anywhere else (0,)
    for place, free in itertools.product(places, itertools.permutations(plan.free)):
        order = (*free[:place], *first, *free[place:])
        if not plan.last or order[-1] == plan.last:
            found.setdefault(tuple(_trailing(order, ranks) for ranks in sorted(operands, key=sorted)), order)
    return tuple(found.values())


def _trailing(order: Sequence[str], ranks: frozenset[str]) -> frozenset[str]:
    """The innermost loops that the ranks do not have."""
    found = []
    for rank in reversed(order):
        if rank in ranks:
            break
        found.append(rank)
    return frozenset(found)
