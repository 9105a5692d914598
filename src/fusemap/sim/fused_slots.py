"""In which order a searched mapping runs the tiles of its Einsums, and which words the buffer is to hold meanwhile.

A slot is one iteration of a group's loops inside one iteration of its phase's loops. A level keeps the words
that its own loops and all levels below it reach while the loops above stand still: level 1 those of all the
slots of a group in one iteration of the phase's loops, level 2 those of one slot. A tensor that is held has
one copy for all groups of a phase, kept from the first group that keeps it to the last; any other tensor has one
copy per group.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.mappers.types import EinsumMapping, Fanout, Fusion, Loop, Mapping, Storage
from fusemap.sim.fused_words import POINT, Computation, Index, Ints, Touch, Words

Copy: TypeAlias = tuple[str, int | None]  # a tensor, and the group that has this copy (None: held for all groups)
Mask: TypeAlias = NDArray[np.bool_]
DRAM, WHOLE, TILE = 0, 1, 2  # the levels of a nest


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One iteration of the shared loops: digits of the phase's loops, number of the group, digits of the group's."""

    outer: tuple[int, ...]
    group: int
    inner: tuple[int, ...]

    def __str__(self) -> str:
        return f"iteration {list(self.outer)} of the phase, group {self.group}, iteration {list(self.inner)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Where the loops of one nest take every rank: `local` indices have the shape (steps, units) of one slot."""

    nest: EinsumMapping
    outer: tuple[Loop, ...]
    inner: tuple[Loop, ...]
    chosen: tuple[int, ...]
    weights: tuple[int, ...]
    local: Index

    def index(self, slot: Slot) -> Index:
        """The coordinates of every rank in the slot, step by step and unit by unit."""
        digits = (*slot.outer, *(slot.inner[i] for i in self.chosen))
        index = dict(self.local)
        for loop, digit, weight in zip((*self.outer, *self.inner), digits, self.weights, strict=True):
            if digit:
                index[loop.rank] = index[loop.rank] + digit * weight
        return index


def tiling(computation: Computation, nest: EinsumMapping, shared: Sequence[Loop]) -> Tiling:
    """The tiling of a nest in a group with these loops, of which the Einsum runs those that it has."""
    ranks = [rank for rank, _ in computation.space.ranks]
    outer, inner = nest.levels[DRAM].loops, nest.levels[WHOLE].loops
    temporal = nest.levels[TILE].loops
    spatial = tuple(p for level in nest.levels if isinstance(level, Fanout) for p in level.loops)
    loops = (*outer, *inner, *temporal, *spatial)
    weights = [math.prod(p.bound for p in loops[i + 1 :] if p.rank == loop.rank) for i, loop in enumerate(loops)]
    shape = (math.prod(p.bound for p in temporal), math.prod(p.bound for p in spatial))
    local = {rank: np.zeros(shape, dtype=np.int64) for rank in (*ranks, POINT)}
    first = len(outer) + len(inner)
    digits = np.indices([p.bound for p in loops[first:]]).reshape(len(loops) - first, *shape)
    for i, loop in enumerate(loops[first:]):
        local[loop.rank] = local[loop.rank] + digits[i] * weights[first + i]
    return Tiling(
        nest=nest,
        outer=outer,
        inner=inner,
        chosen=tuple(i for i, loop in enumerate(shared) if loop.rank in ranks),
        weights=tuple(weights[:first]),
        local=local,
    )


def level_of(nest: EinsumMapping, tensor: str) -> int | None:
    """The level at which the buffer keeps a tensor for the Einsum; None where it does not."""
    for level in (WHOLE, TILE):
        storage = nest.levels[level]
        if isinstance(storage, Storage) and storage.keeps(tensor):
            return level
    return None


def in_dram(nest: EinsumMapping, tensor: str) -> bool:
    """Does the Einsum take the tensor from DRAM, or put it there?"""
    storage = nest.levels[DRAM]
    return isinstance(storage, Storage) and storage.keeps(tensor)


class Timeline:
    """The slots of one phase in order, the tiling of its Einsums, and the words to be held in every slot."""

    def __init__(self, words: Words, mapping: Mapping, fusion: Fusion) -> None:
        self.words = words
        self.groups = fusion.groups
        self.held = frozenset(words.source(tensor) for tensor in fusion.held)
        names = [(g, e) for g, group in enumerate(fusion.groups) for e in group.einsums]
        nests = {e: mapping.nest(e) for _, e in names}
        alone = len(names) == 1  # the loops of a single Einsum are in any order: its nest tells
        only = nests[names[0][1]] if alone else None
        loops = [group.loops if only is None else only.levels[WHOLE].loops for group in fusion.groups]
        self.tilings = {e: tiling(words.computations[e], nests[e], loops[g]) for g, e in names}
        outer = fusion.loops if only is None else only.levels[DRAM].loops
        self.slots = [
            Slot(outer=at, group=g, inner=inner)
            for at in itertools.product(*(range(p.bound) for p in outer))
            for g in range(len(fusion.groups))
            for inner in itertools.product(*(range(p.bound) for p in loops[g]))
        ]
        self.after = self._after(self._tiles())

    def copy_of(self, tensor: str, group: int) -> Copy:
        """The copy of a tensor that the Einsums of a group use."""
        return (tensor, None if tensor in self.held else group)

    def _tiles(self) -> list[dict[Copy, Mask]]:
        """For every slot and every copy that is kept there, the words to hold."""
        whole: dict[tuple[tuple[int, ...], int, str], Mask] = {}
        spans: dict[tuple[tuple[int, ...], str], list[int]] = defaultdict(list)
        kept: dict[tuple[tuple[int, ...], str], Mask] = {}
        tiles: list[dict[Copy, Mask]] = [{} for _ in self.slots]
        for number, slot in enumerate(self.slots):
            for touch, level, found in self._touched(slot):
                tensor = touch.tensor
                empty = np.zeros(math.prod(self.words.shapes[tensor]), dtype=bool)
                if tensor in self.held:
                    spans[slot.outer, tensor].append(number)
                    kept.setdefault((slot.outer, tensor), empty)[found] = True
                elif level == WHOLE:
                    tile = whole.setdefault((slot.outer, slot.group, tensor), empty)
                    tile[found] = True
                else:
                    tiles[number].setdefault((tensor, slot.group), empty)[found] = True
        for number, slot in enumerate(self.slots):
            for (outer, group, tensor), tile in whole.items():
                if (outer, group) == (slot.outer, slot.group):
                    tiles[number][tensor, group] = tile | tiles[number].get((tensor, group), False)
        for (outer, tensor), tile in kept.items():
            last = spans[outer, tensor]
            for number in range(last[0], last[-1] + 1):
                tiles[number][tensor, None] = tile
        return tiles

    def _touched(self, slot: Slot) -> list[tuple[Touch, int, Ints]]:
        found = []
        for einsum in self.groups[slot.group].einsums:
            computation, tiled = self.words.computations[einsum], self.tilings[einsum]
            index = tiled.index(slot)
            for touch in (*computation.reads, computation.writes):
                level = level_of(tiled.nest, touch.operand.tensor)
                if level is not None:
                    found.append((touch, level, self.words.number(touch, index)))
        return found

    def _after(self, tiles: Sequence[dict[Copy, Mask]]) -> list[dict[Copy, Mask]]:
        """For every slot the tile that each copy has the next time it is kept; a copy without one is not kept again."""
        coming: dict[Copy, Mask] = {}
        after: list[dict[Copy, Mask]] = []
        for tile in reversed(tiles):
            after.append(dict(coming))
            coming |= tile
        return after[::-1]
