"""The run of a searched mapping: tile after tile, each Einsum with the words that the memories have for it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.types import Access
from fusemap.mappers.types import EinsumMapping
from fusemap.sim.fused_faults import Faults
from fusemap.sim.fused_memory import Held, Memory
from fusemap.sim.fused_slots import Slot, Timeline, in_dram, level_of
from fusemap.sim.fused_stream import Registers, combine
from fusemap.sim.fused_words import POINT, Computation, Floats, Index, Ints, Touch, Words, value


class Run:
    """The execution of one mapping; `needed` are the points that add to every word."""

    def __init__(self, words: Words, memory: Memory, faults: Faults, start: Mapping[str, Held]) -> None:
        self.words = words
        self.memory = memory
        self.faults = faults
        self.start = start
        self.registers = Registers(words, memory, faults)
        self.needed = {t: np.zeros(math.prod(shape), np.int64) for t, shape in words.shapes.items()}
        self.made = {t: np.zeros(n.size, np.int64) for t, n in self.needed.items()}
        self.unread = {t: np.zeros(n.size, np.int64) for t, n in self.needed.items()}
        self.ran = {name: np.zeros(c.space.points, np.int64) for name, c in words.computations.items()}
        for computation in words.computations.values():
            index = words.grid(computation.space.ranks)
            self._count(self.needed, computation.writes, index)
            for touch in computation.reads:
                self._count(self.unread, touch, index)
        self.state = {c.writes.tensor for c in words.computations.values() if c.writes.tensor in start}
        self.slots: list[Slot] = []

    def _count(self, counts: Mapping[str, Ints], touch: Touch, index: Index, sign: int = 1) -> None:
        numbers = self.words.number(touch, index).ravel()
        counts[touch.tensor][:] += sign * np.bincount(numbers, minlength=counts[touch.tensor].size)

    # --- the order of time ---------------------------------------------------------------------------

    def phase(self, timeline: Timeline) -> None:
        """Run one phase; afterwards the buffer is empty."""
        for number, slot in enumerate(timeline.slots):
            self.slots.append(slot)
            for einsum in timeline.groups[slot.group].einsums:
                self._tile(timeline, einsum, slot)
            after = timeline.after[number]
            for key in tuple(self.memory.buffer):
                stays = after.get(key)
                here = self.memory.buffer[key].count > 0
                self.memory.leave(key, here if stays is None else here & ~stays, len(self.slots) - 1)
        self.registers.release()

    def finish(self) -> None:
        """Faults for the points that did not run."""
        for einsum, ran in self.ran.items():
            missing = np.flatnonzero(ran == 0)
            if missing.size:
                at = self._point(einsum, int(missing[0]))
                message = f"{einsum} does not run at {at} ({missing.size} such points)"
                self.faults.add("missing", message, einsum=einsum, at=tuple(at.values()), words=missing.size)

    def _tile(self, timeline: Timeline, einsum: str, slot: Slot) -> None:
        """All points of an Einsum's tile: at once, or step by step where it reads its own output."""
        computation, tiling = self.words.computations[einsum], timeline.tilings[einsum]
        index = tiling.index(slot)
        self._once(computation, index)
        self.registers.enter(einsum, tiling.nest.array)
        steps, _ = index[POINT].shape
        own = any(touch.tensor == computation.writes.tensor for touch in computation.reads)
        for rows in [slice(i, i + 1) for i in range(steps)] if own else [slice(None)]:
            self._steps(timeline, computation, tiling.nest, slot, {rank: at[rows] for rank, at in index.items()})
        self.registers.settle(einsum, self.needed[computation.writes.tensor])
        for touch in computation.reads:
            self._count(self.unread, touch, index, -1)
        for touch in (*computation.reads, computation.writes):
            self._retire(timeline, touch, slot)

    def _once(self, computation: Computation, index: Index) -> None:
        """Tick off the points; a fault for one that ran before."""
        ran, name = self.ran[computation.space.name], computation.space.name
        points = np.zeros(index[POINT].size, np.int64)
        for rank, extent in computation.space.ranks:
            points = points * extent + index[rank].ravel()
        again = points[ran[points] > 0]
        if again.size:
            at = self._point(name, int(again[0]))
            message = f"{name} runs twice at {at}"
            self.faults.add("repeated", message, einsum=name, at=tuple(at.values()), words=again.size)
        np.add.at(ran, points, 1)

    def _point(self, einsum: str, number: int) -> dict[str, int]:
        ranks = self.words.computations[einsum].space.ranks
        at = np.unravel_index(number, [extent for _, extent in ranks]) if ranks else ()
        return {rank: int(i) for (rank, _), i in zip(ranks, at, strict=True)}

    def _retire(self, timeline: Timeline, touch: Touch, slot: Slot) -> None:
        """Words of loop-carried state leave when nobody will read them any more."""
        key = timeline.copy_of(touch.tensor, slot.group)
        if touch.tensor in self.state and key in self.memory.buffer:
            held = self.memory.buffer[key]
            done = (self.unread[touch.tensor] <= 0) & (held.count >= self.needed[touch.tensor])
            self.memory.leave(key, done, len(self.slots) - 1)

    # --- one tile, or one step of it -----------------------------------------------------------------

    def _steps(
        self, timeline: Timeline, computation: Computation, nest: EinsumMapping, slot: Slot, index: Index
    ) -> None:
        """Fetch, compute and accumulate: index arrays have the shape (steps, units)."""
        factors: dict[Access, Floats] = {}
        for touch in computation.reads:
            numbers = self.words.number(touch, index)
            if level_of(nest, touch.operand.tensor) is None:
                held = self.registers.read(nest, touch, numbers)
            else:
                held = self._fetch(timeline, nest, touch, slot, numbers)
            self._check_complete(nest.einsum, touch, held, numbers)
            factors[touch.access] = held.value[numbers]
        with np.errstate(all="ignore"):
            result = value(computation.einsum.expr, factors.__getitem__, index, self.words.sizes)
            numbers = self.words.number(computation.writes, index)
            self._accumulate(timeline, computation, nest, slot, numbers, np.broadcast_to(result, numbers.shape))

    def _fetch(self, timeline: Timeline, nest: EinsumMapping, touch: Touch, slot: Slot, numbers: Ints) -> Held:
        """The buffer's copy, after the words that it lacks have come."""
        tensor, memory = touch.tensor, self.memory
        held = memory.copy(timeline.copy_of(tensor, slot.group))
        wanted = np.unique(numbers)
        wanted = wanted[held.count[wanted] == 0]
        if not wanted.size:
            return held
        kept = in_dram(nest, touch.operand.tensor)
        source = memory.dram[tensor] if kept else self.start.get(tensor)
        found = wanted[:0] if source is None else wanted[source.count[wanted] > 0]
        if source is not None:
            held.take(source, found)
        if kept:
            memory.reads[nest.einsum, touch.operand.tensor] += found.size
        absent = np.setdiff1d(wanted, found)
        if absent.size:
            self._absent(nest.einsum, touch, int(absent[0]), absent.size, kept)
        memory.arrived(found.size, self.faults, f"{nest.einsum}, {slot}")
        return held

    def _absent(self, einsum: str, touch: Touch, word: int, words: int, kept: bool) -> None:
        at = self.words.coordinate(touch.tensor, word)
        last = int(self.memory.gone[touch.tensor][word])
        was = f"; it left the buffer after {self.slots[last]}" if last >= 0 else ""
        where = "neither in the buffer nor in DRAM" if kept else "not in the buffer, and its nest has no DRAM for it"
        message = f"{einsum} reads {touch.tensor}{list(at)}, which is {where}{was}"
        self.faults.add("absent", message, einsum=einsum, tensor=touch.tensor, at=at, words=words)

    def _check_complete(self, einsum: str, touch: Touch, held: Held, numbers: Ints) -> None:
        """A fault for a word of which some points have not run, or whose newest sum is elsewhere."""
        tensor, wanted = touch.tensor, np.unique(numbers)
        short = wanted[(held.count[wanted] > 0) & (held.count[wanted] < self.needed[tensor][wanted])]
        if short.size:
            word = int(short[0])
            at = self.words.coordinate(tensor, word)
            parts = f"{held.count[word]} of {self.needed[tensor][word]} points"
            message = f"{einsum} reads {tensor}{list(at)}, of which only {parts} have run"
            self.faults.add("incomplete", message, einsum=einsum, tensor=tensor, at=at, words=short.size)

    def _accumulate(
        self, timeline: Timeline, done: Computation, nest: EinsumMapping, slot: Slot, numbers: Ints, values: Floats
    ) -> None:
        """Add the values of the points to the words of the output."""
        tensor, reduce = done.writes.tensor, done.einsum.reduce
        operator = None if reduce is None else BUILTIN.reduction(reduce.operator)
        if level_of(nest, tensor) is None:
            self.registers.write(nest, done.writes, numbers, values, operator, self.made[tensor])
            return
        held = self.memory.copy(timeline.copy_of(tensor, slot.group))
        new = np.unique(numbers)
        new = new[held.count[new] == 0]
        if in_dram(nest, tensor):
            back = new[self.memory.dram[tensor].count[new] > 0]
            held.take(self.memory.dram[tensor], back)
            self.memory.reads[nest.einsum, tensor] += back.size
        begun = np.unique(numbers)
        lost = begun[held.count[begun] < self.made[tensor][begun]]
        if lost.size:
            at = self.words.coordinate(tensor, int(lost[0]))
            message = f"{nest.einsum} adds to {tensor}{list(at)}, whose partial sum has left the buffer for nowhere"
            self.faults.add("lost", message, einsum=nest.einsum, tensor=tensor, at=at, words=lost.size)
        empty = begun[held.count[begun] == 0]
        held.value[empty] = 0.0 if operator is None or operator.identity is None else operator.identity
        combine(operator, held.value, numbers.ravel(), values.ravel())
        np.add.at(held.count, numbers.ravel(), 1)
        np.add.at(self.made[tensor], numbers.ravel(), 1)
        held.fresh[begun] = True
        self.memory.arrived(new.size, self.faults, f"{nest.einsum}, {slot}")
