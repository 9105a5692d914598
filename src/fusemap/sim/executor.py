"""Executor of one mapped Einsum: moves single words through explicit buffers and counts what moved.

The oracle of the reuse analysis: it knows coordinates and buffers, and no formula for reuse. For small
shapes only (it visits every point of the iteration space).

Rules, all in lock-step over the instances of a level:

- One step is one iteration of all temporal loops; every processing element works on one point per step.
- The outermost keeper of an operand is its home: it holds every word, is never filled and never drained.
- Every other keeper instance holds one tile: the set of coordinates that its own loops and all levels
  below it reach while the loops above it stand still. When that set changes, and only then, the old tile
  leaves and the new tile comes whole from the nearest outer keeper: a fill of each word here, a read of
  each word there. Instances below one parent that take the same word in the same step share one read.
- Demand of the compute units: every unit takes every input operand in every step from the innermost
  keeper, also when the word is that of the step before (units hold nothing). Units below one keeper
  instance that take the same word in the same step share one read.
- In every step the units' products for one word, summed over the units below one keeper instance (spatial
  reduction), are one update of the innermost keeper. A word with a partial sum is read for it; the first
  contribution reads nothing.
- A tile of the output that leaves is one update per word at the parent, summed over the instances below
  that parent. A tile that comes fetches the partial sums that its parent has; a word without one is
  neither read nor filled. Where instances below one parent share a word, each is written (a fill), but
  one of them gets the partial sum and the others zero: the sum over instances must hold it once.
- At the end all tiles of the output leave. The result is the sum over the instances of its home.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Operand, Storage

Coordinate: TypeAlias = tuple[int, ...]  # of one word: its index on each rank of the operand, in the space's order
Time: TypeAlias = tuple[int, ...]  # the temporal loops' indices, outside in
Place: TypeAlias = tuple[int, ...]  # the spatial loops' indices, outside in
Words: TypeAlias = dict[Coordinate, int]
Step: TypeAlias = tuple[Time, dict[Place, tuple[Coordinate, ...]]]  # every unit's coordinate of every operand


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Words that one instance of a memory level, or all of them, moved for one operand."""

    reads: int
    fills: int
    updates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelTraffic:
    """What every instance of a memory level moved for one operand, in the order of their places."""

    memory: str
    operand: Operand
    instances: tuple[Moved, ...]

    @property
    def each(self) -> Moved:
        """The words that each instance moved; ValueError if the instances disagree."""
        first = self.instances[0]
        if any(moved != first for moved in self.instances):
            raise ValueError(f"instances of {self.memory} disagree on {self.operand.label}: {self.instances}")
        return first

    @property
    def total(self) -> Moved:
        """The words that all instances moved together."""
        return Moved(
            reads=sum(moved.reads for moved in self.instances),
            fills=sum(moved.fills for moved in self.instances),
            updates=sum(moved.updates for moved in self.instances),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """Traffic operand by operand (outermost level first), the input values, and the computed output."""

    traffic: tuple[LevelTraffic, ...]
    inputs: tuple[Mapping[Coordinate, int], ...]
    output: Mapping[Coordinate, int]


def execute(space: EinsumSpace, mapping: EinsumMapping, *, seed: int = 0) -> Execution:
    """Run `output = sum of the product of the inputs` through the mapped buffers on random integers.

    Values are drawn from -99..99 with `seed`. ValueError if the loops do not cover the space exactly, or
    an operand has no keeper.

    >>> from fusemap.mappers.types import Loop
    >>> a = Operand(tensor="A", label="A", ranks=frozenset({"k"}))
    >>> z = Operand(tensor="Z", label="Z", ranks=frozenset(), is_output=True)
    >>> dot = EinsumSpace(name="Z", ranks=(("k", 3),), operands=(a, z), operators=("add",))
    >>> dram = Storage(memory="DRAM", loops=(Loop(rank="k", bound=3),), keep=None)
    >>> run = execute(dot, EinsumMapping(einsum="Z", array="unit", levels=(dram,)))
    >>> [(level.operand.label, level.each.reads, level.each.updates) for level in run.traffic]
    [('A', 3, 0), ('Z', 2, 3)]
    >>> run.output[()] == sum(run.inputs[0].values())
    True
    """
    _check(space, mapping)
    steps = _steps(space, mapping)
    chains = [_keepers(space, mapping, steps, i) for i in range(len(space.operands))]
    inputs = [i for i, operand in enumerate(space.operands) if not operand.is_output]
    output = space.operands.index(space.output)
    values = _random_values(steps, inputs, random.Random(seed))
    for i, words in zip(inputs, values, strict=True):
        for buffer in chains[i][0].buffers.values():
            buffer.words = words
    for time, units in steps:
        _drain(chains[output], time)
        for i, keepers in enumerate(chains):
            _fetch(keepers, time, is_output=i == output)
        factors = [_read(chains[i][-1], {place: at[i] for place, at in units.items()}) for i in inputs]
        products = {place: math.prod(factor[place] for factor in factors) for place in units}
        _accumulate(chains[output][-1], {place: at[output] for place, at in units.items()}, products)
    _drain(chains[output], None)
    traffic = [
        LevelTraffic(memory=keeper.memory, operand=operand, instances=keeper.moved())
        for operand, keepers in zip(space.operands, chains, strict=True)
        for keeper in keepers
    ]
    home = chains[output][0].buffers.values()
    return Execution(traffic=tuple(traffic), inputs=tuple(values), output=_sum(buffer.words for buffer in home))


@dataclass(slots=True, kw_only=True)
class _Buffer:
    """One instance of a level: the tile it is meant to hold, the words it has, what it moved so far."""

    tile: frozenset[Coordinate] = frozenset()
    words: Words = field(default_factory=dict)
    reads: int = 0
    fills: int = 0
    updates: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keeper:
    """A level that keeps the operand, below `loops` temporal and `places` spatial loops."""

    memory: str
    loops: int
    places: int
    tiles: dict[tuple[Time, Place], frozenset[Coordinate]]
    buffers: dict[Place, _Buffer]

    def changes(self, time: Time) -> dict[Place, frozenset[Coordinate]]:
        """The instances whose tile at `time` is not the one they hold, with the new tile."""
        new = {place: self.tiles[time[: self.loops], place] for place in self.buffers}
        held = self.buffers
        return {p: tile for p, tile in new.items() if tile is not held[p].tile and tile != held[p].tile}

    def moved(self) -> tuple[Moved, ...]:
        """The counts of every instance, in the order of their places."""
        ordered = [buffer for _, buffer in sorted(self.buffers.items())]
        return tuple(Moved(reads=b.reads, fills=b.fills, updates=b.updates) for b in ordered)


def _check(space: EinsumSpace, mapping: EinsumMapping) -> None:
    """ValueError unless the loops cover each rank exactly and each operand is kept somewhere."""
    covered = {rank: 1 for rank, _ in space.ranks}
    for level in mapping.levels:
        for loop in level.loops:
            if loop.rank not in covered:
                raise ValueError(f"{space.name}: loop over {loop.rank}, which is not a rank of the space")
            if loop.bound < 1:
                raise ValueError(f"{space.name}: loop over {loop.rank} has bound {loop.bound}")
            covered[loop.rank] *= loop.bound
    for rank, extent in space.ranks:
        if covered[rank] != extent:
            raise ValueError(f"{space.name}: loops cover {covered[rank]} of rank {rank}, its extent is {extent}")
    storages = [level for level in mapping.levels if isinstance(level, Storage)]
    for operand in space.operands:
        if not any(level.keeps(operand.tensor) for level in storages):
            raise ValueError(f"{space.name}: no level keeps {operand.label}")


def _steps(space: EinsumSpace, mapping: EinsumMapping) -> list[Step]:
    """Every step in order, with the coordinates that each unit works on."""
    temporal = [p for level in mapping.levels if isinstance(level, Storage) for p in level.loops]
    spatial = [p for level in mapping.levels if isinstance(level, Fanout) for p in level.loops]
    places = list(itertools.product(*(range(loop.bound) for loop in spatial)))
    steps: list[Step] = []
    for time in itertools.product(*(range(loop.bound) for loop in temporal)):
        points = {place: _point(space, mapping, time, place) for place in places}
        steps.append((time, {place: _coordinates(space, point) for place, point in points.items()}))
    return steps


def _point(space: EinsumSpace, mapping: EinsumMapping, time: Time, place: Place) -> dict[str, int]:
    """The index of every rank: its loops are the digits, the outermost the most significant."""
    temporal, spatial = iter(time), iter(place)
    index = {rank: 0 for rank, _ in space.ranks}
    for level in mapping.levels:
        digits = spatial if isinstance(level, Fanout) else temporal
        for loop in level.loops:
            index[loop.rank] = index[loop.rank] * loop.bound + next(digits)
    return index


def _coordinates(space: EinsumSpace, point: Mapping[str, int]) -> tuple[Coordinate, ...]:
    return tuple(tuple(point[rank] for rank, _ in space.ranks if rank in o.ranks) for o in space.operands)


def _keepers(space: EinsumSpace, mapping: EinsumMapping, steps: Sequence[Step], operand: int) -> list[_Keeper]:
    """The levels that keep the operand, outermost first, with empty buffers."""
    keepers: list[_Keeper] = []
    loops = places = 0
    for level in mapping.levels:
        if isinstance(level, Fanout):
            places += len(level.loops)
            continue
        if level.keeps(space.operands[operand].tensor):
            tiles: dict[tuple[Time, Place], set[Coordinate]] = defaultdict(set)
            for time, units in steps:
                for place, at in units.items():
                    tiles[time[:loops], place[:places]].add(at[operand])
            keepers.append(
                _Keeper(
                    memory=level.memory,
                    loops=loops,
                    places=places,
                    tiles={key: frozenset(tile) for key, tile in tiles.items()},
                    buffers={place: _Buffer() for _, place in tiles},
                )
            )
        loops += len(level.loops)
    return keepers


def _random_values(steps: Sequence[Step], inputs: Sequence[int], rng: random.Random) -> list[Words]:
    """A value for every coordinate of every input."""
    touched = [sorted({at[i] for _, units in steps for at in units.values()}) for i in inputs]
    return [{word: rng.randint(-99, 99) for word in words} for words in touched]


def _fetch(keepers: Sequence[_Keeper], time: Time, *, is_output: bool) -> None:
    """Bring in the tiles that change at `time`, outer levels first."""
    for parent, child in itertools.pairwise(keepers):
        shared: dict[Place, set[Coordinate]] = defaultdict(set)
        for place, tile in child.changes(time).items():
            above = place[: parent.places]
            source, buffer, sent = parent.buffers[above].words, child.buffers[place], shared[above]
            buffer.tile = tile
            buffer.words = {w: 0 if is_output and w in sent else source[w] for w in tile if w in source}
            buffer.fills += len(buffer.words)
            sent.update(buffer.words)
        for above, sent in shared.items():
            parent.buffers[above].reads += len(sent)


def _drain(keepers: Sequence[_Keeper], time: Time | None) -> None:
    """Hand the tiles that change at `time` (None: all) to their parents, inner levels first."""
    for parent, child in reversed(list(itertools.pairwise(keepers))):
        below: dict[Place, list[Words]] = defaultdict(list)
        for place in child.buffers if time is None else child.changes(time):
            below[place[: parent.places]].append(child.buffers[place].words)
            child.buffers[place].words = {}
        for above, parts in below.items():
            sums = _sum(parts)
            parent.buffers[above].words.update(sums)  # the old partial sum came down with the tile
            parent.buffers[above].updates += len(sums)


def _read(keeper: _Keeper, units: Mapping[Place, Coordinate]) -> dict[Place, int]:
    """The word that each unit takes in this step."""
    shared: dict[Place, set[Coordinate]] = defaultdict(set)
    for place, word in units.items():
        shared[place[: keeper.places]].add(word)
    for above, words in shared.items():
        keeper.buffers[above].reads += len(words)
    return {place: keeper.buffers[place[: keeper.places]].words[word] for place, word in units.items()}


def _accumulate(keeper: _Keeper, units: Mapping[Place, Coordinate], products: Mapping[Place, int]) -> None:
    """Add the units' products of this step to the partial sums of the innermost keeper."""
    below: dict[Place, list[Words]] = defaultdict(list)
    for place, word in units.items():
        below[place[: keeper.places]].append({word: products[place]})
    for above, parts in below.items():
        buffer, sums = keeper.buffers[above], _sum(parts)
        buffer.reads += len(sums.keys() & buffer.words.keys())
        buffer.updates += len(sums)
        buffer.words |= _sum([{w: buffer.words[w] for w in sums if w in buffer.words}, sums])


def _sum(parts: Iterable[Words]) -> Words:
    """The sum of partial results, word by word."""
    total: Words = defaultdict(int)
    for words in parts:
        for word, value in words.items():
            total[word] += value
    return dict(total)
