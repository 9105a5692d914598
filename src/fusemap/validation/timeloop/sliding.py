"""What Timeloop counts of a tensor whose tiles overlap (`I[p+r]`): a walk through all steps of the nest.

In Timeloop a level takes from its parent only the words that its tile has not held one step before, and equal
sets of words that several children take at once are read once. The tile is a box: in every position of the
access the range of coordinates that the loops at or below the level reach.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusemap.mappers.types import EinsumMapping, Fanout, Level, Loop, Storage
from fusemap.validation.timeloop.boxes import Box, New, Tile
from fusemap.validation.timeloop.projections import Projection


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """Words per instance of a level: read by its children, and taken from its parent."""

    reads: int
    fills: int


def walk(nest: EinsumMapping, tensor: str, projection: Projection) -> dict[int, Walked]:
    """Reads and fills of an input at every level that keeps it, by the level's place in the nest."""
    levels = nest.levels
    keepers = [i for i, lv in enumerate(levels) if isinstance(lv, Storage) and lv.keeps(tensor)]
    result = {}
    for n, at in enumerate(keepers):
        child = keepers[n + 1] if n + 1 < len(keepers) else len(levels)
        reads, per_child = _exchanged(levels, at, child, projection)
        result[at] = (reads, per_child)
    fills = {keepers[0]: 0} | {child: result[at][1] for at, child in itertools.pairwise(keepers)}
    return {at: Walked(reads=result[at][0], fills=fills[at]) for at in keepers}


def _exchanged(levels: Sequence[Level], at: int, child: int, projection: Projection) -> tuple[int, int]:
    """Words that a level reads for its children, and that one child takes on average.

    Of every loop Timeloop looks at the first step and at the second, which stands for all others too; what a
    tile held before is what it held at the last step looked at.
    """
    strides = _strides(levels)
    outer = [(p.rank, p.bound, s) for i, p, s in strides if i < child and isinstance(levels[i], Storage)]
    lanes = [(p.rank, p.bound, s) for i, p, s in strides if at < i < child and isinstance(levels[i], Fanout)]
    inner = [(p.rank, p.bound, s) for i, p, s in strides if i >= child]
    reads = taken = 0
    tiles: dict[tuple[int, ...], Tile] = {}
    outer = [loop for loop in outer if loop[1] > 1]
    for step in itertools.product((0, 1), repeat=len(outer)):
        weight = math.prod(bound - 1 for (_, bound, _), c in zip(outer, step, strict=True) if c)
        base: dict[str, int] = {}
        for (rank, _, stride), c in zip(outer, step, strict=True):
            base[rank] = base.get(rank, 0) + c * stride
        wanted: set[New] = set()
        for lane, box in _boxes(base, lanes, inner, projection):
            new = New(box) if child == len(levels) else tiles.setdefault(lane, Tile()).step(box)
            taken += weight * new.words
            wanted.add(new)
        reads += weight * sum(new.words for new in wanted)
    return reads, taken // math.prod(bound for _, bound, _ in lanes)


def _boxes(
    base: Mapping[str, int],
    lanes: Sequence[tuple[str, int, int]],
    inner: Sequence[tuple[str, int, int]],
    projection: Projection,
) -> Iterator[tuple[tuple[int, ...], Box]]:
    """The box of every lane at one step."""
    reach: dict[str, int] = {}
    for rank, bound, stride in inner:
        reach[rank] = reach.get(rank, 0) + (bound - 1) * stride
    for lane in itertools.product(*(range(bound) for _, bound, _ in lanes)):
        start = dict(base)
        for (rank, _, stride), c in zip(lanes, lane, strict=True):
            start[rank] = start.get(rank, 0) + c * stride
        box = []
        for index in projection:
            low = sum(start.get(rank, 0) * factor for rank, factor in index)
            box.append((low, low + sum(reach.get(rank, 0) * factor for rank, factor in index) + 1))
        yield lane, tuple(box)


def _strides(levels: Sequence[Level]) -> list[tuple[int, Loop, int]]:
    """Every loop with its level and the coordinates of its rank that one step of it covers."""
    found: list[tuple[int, Loop, int]] = []
    covered: dict[str, int] = {}
    for i in reversed(range(len(levels))):
        for loop in reversed(levels[i].loops):
            found.append((i, loop, covered.get(loop.rank, 1)))
            covered[loop.rank] = covered.get(loop.rank, 1) * loop.bound
    return found[::-1]
