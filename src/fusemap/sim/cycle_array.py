"""One array in motion: every element's unit, latches, registers and links, a cycle at a time.

In a cycle all operands are read first; results are in registers and in the neighbours' latches one cycle later. A
latch holds a value for one cycle: who does not take it then has lost it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.sim.cycle_dense import (
    ALL,
    CODE,
    IF_THERE,
    MOVE,
    MOVE_READ,
    MOVE_TARGET,
    OPERATION,
    READS,
    RESULT,
    TARGET,
    Dense,
    Ints,
    Layout,
    dense,
    move_fields,
    operation_fields,
    registers_used,
)
from fusemap.sim.cycle_faults import FaultLog
from fusemap.sim.cycle_memory import Places
from fusemap.sim.cycle_numbers import Floats, Format, split
from fusemap.sim.cycle_types import ArrayProgram, Code, Link, Move, Slot
from fusemap.sim.cycle_units import compute

Mask: TypeAlias = NDArray[np.bool_]
Area: TypeAlias = tuple[slice | int, slice | int]
LINKS: tuple[Link, ...] = ("east", "south", "north")
LATCH = {"east": Slot.WEST, "south": Slot.NORTH, "north": Slot.SOUTH}  # of the neighbour that a link leads to
INSIDE: Mapping[
    Link, tuple[Area, Area, Area]
] = {  # elements that send to a neighbour, the neighbours, and those at the edge
    "east": (np.s_[:, :-1], np.s_[:, 1:], np.s_[:, -1]),
    "south": (np.s_[:-1, :], np.s_[1:, :], np.s_[-1, :]),
    "north": (np.s_[1:, :], np.s_[:-1, :], np.s_[0, :]),
}


class Grid:
    """The state of an array and what its programs make of it, cycle by cycle."""

    def __init__(
        self, program: ArrayProgram, end: int, number: Format, layout: Layout, places: Places, log: FaultLog
    ) -> None:
        self.program, self.number, self.places, self.log = program, number, places, log
        shape = (program.rows, program.columns)
        self.shape, self.size = shape, shape[0] * shape[1]
        self.slots = Slot.FIRST + max(registers_used(program), 1)
        self.values = np.full((self.slots, *shape), np.nan)
        self.tags = np.zeros((self.slots, *shape), dtype=np.int64)
        self.left = np.zeros((self.slots, *shape), dtype=np.int64)
        self.held = np.zeros(shape, dtype=np.int64)  # registers in use
        self.peak = np.zeros(shape, dtype=np.int64)
        self.next = {link: (np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)) for link in LINKS}
        self.sent = {link: np.zeros(shape, dtype=np.bool_) for link in LINKS}
        self.used = dict.fromkeys(LINKS, 0)
        self.busy = 0
        self._rows, self._columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
        self._element = self._rows * shape[1] + self._columns
        self._streams(end, layout)

    def _streams(self, end: int, layout: Layout) -> None:
        """Lay the program out; two operations in one local cycle are a fault, and the first one runs."""
        width = self.places.width
        rows: dict[int, list[int]] = {}
        for op in self.program.operations:
            if op.cycle in rows:
                self.log.add("double_unit", op.cycle, self.program.array, op.einsum)
            rows.setdefault(op.cycle, operation_fields(op, layout, self.size, width))
        self.units = dense(list(rows.items()), OPERATION, self.shape, end, False)
        self.moves: list[Dense] = []
        for up in (False, True):
            for group in _one_a_cycle([m for m in self.program.moves if m.up == up]):
                fields = [(m.cycle, move_fields(m, layout, self.size, width)) for m in group]
                self.moves.append(dense(fields, MOVE, self.shape, end, up))

    def latch(self, cycle: int, slot: Slot, at: tuple[Ints, Ints], values: Floats, tags: Ints) -> None:
        """Values that arrive at latches of the edge for this cycle."""
        taken = self.left[slot][at] > 0
        if taken.any():
            self.log.where("double_link", cycle, f"{self.program.array} {slot.name.lower()} edge", taken, tags)
        self.values[slot][at], self.tags[slot][at], self.left[slot][at] = values, tags, 1

    def step(self, cycle: int) -> int:
        """Everything that the elements do in this cycle; how many words they write to memory."""
        results, stored = [], 0
        fields = self.units.at(cycle)
        if fields is not None:
            results.append((*self._operate(cycle, fields), fields[TARGET:], fields[CODE] > 0))
        for stream in self.moves:
            fields = stream.at(cycle)
            if fields is not None:
                if stream.codes(cycle, IF_THERE).any():
                    fields = self._where_there(fields)
                values, tags = self._read(cycle, fields, MOVE_READ)
                results.append((values, tags, fields[MOVE_TARGET:], fields[MOVE_READ] > 0))
        self._lost(cycle)
        for values, tags, target, active in results:
            self._keep(cycle, values, tags, target)
            for i, link in enumerate(LINKS):
                self._send(cycle, link, target[2 + i], values, tags)
            stored += self._store(cycle, values, tags, target, active)
        np.maximum(self.peak, self.held, out=self.peak)
        return stored

    def turn(self) -> Mapping[Link, tuple[Ints, Floats, Ints]]:
        """Hand the links' values to the latches of the next cycle; those at the edges: (which, values, tags)."""
        self.left[Slot.WEST : Slot.PORT_B + 1] = 0
        self.tags[Slot.WEST : Slot.PORT_B + 1] = 0
        out: dict[Link, tuple[Ints, Floats, Ints]] = {}
        for link in LINKS:
            sent = self.sent[link]
            if not sent.any():
                continue
            values, tags = self.next[link]
            source, target, edge = INSIDE[link]
            slot = LATCH[link]
            np.copyto(self.values[slot][target], values[source], where=sent[source])
            np.copyto(self.tags[slot][target], tags[source], where=sent[source])
            np.copyto(self.left[slot][target], 1, where=sent[source])
            which = np.flatnonzero(sent[edge])
            if which.size:
                out[link] = (which, values[edge][which], tags[edge][which])
            sent[:] = False
        return out

    def _operate(self, cycle: int, fields: Ints) -> tuple[Floats, Ints]:
        """The results of all units, and the tags they get."""
        codes = self.units.codes(cycle, CODE)
        operands = []
        for k in range(3):
            at = READS + 4 * k
            used = self.units.codes(cycle, at).any()
            operands.append(self._read(cycle, fields, at)[0] if used else self.values[Slot.NONE])
        result = np.zeros(self.shape)
        for code in np.unique(codes[codes > 0]):
            mine = fields[CODE] == code
            a, b, c = (operand[mine] for operand in operands)
            result[mine] = compute(int(code), a, b, c, self.number)
            self.busy += int(mine.sum())
            if code == Code.EXP0:
                self._split(mine, operands[0], fields)
        return result, self._tag(fields, RESULT)

    def _where_there(self, fields: Ints) -> Ints:
        """The moves without those of elements that have nothing to move."""
        left = self.left.reshape(-1).take(fields[MOVE_READ] + self._element)
        return np.where((fields[IF_THERE] == 0) | (left > 0), fields, 0)

    def _split(self, mine: Mask, x: Floats, fields: Ints) -> None:
        """The integer part of the exponent stays in the unit."""
        self.values[Slot.EXPONENT][mine] = split(x[mine])[1]
        self.tags[Slot.EXPONENT][mine] = self._tag(fields, RESULT)[mine]
        self.left[Slot.EXPONENT][mine] = 1

    def _tag(self, fields: Ints, at: int) -> Ints:
        tags: Ints = fields[at] + fields[at + 1] * self._rows + fields[at + 2] * self._columns
        return tags

    def _read(self, cycle: int, fields: Ints, at: int) -> tuple[Floats, Ints]:
        """The operands of all elements: each must be the word expected, and not used up."""
        place = fields[at] + self._element
        expected = self._tag(fields, at + 1)
        tags = self.tags.reshape(-1).take(place)
        left = self.left.reshape(-1).take(place)
        active = fields[at] > 0
        spent = (left <= 0) & (fields[at] >= Slot.EXPONENT * self.size)  # a latch may be read by several in its cycle
        wrong = active & ((tags != expected) | spent)
        if wrong.any():
            gone = wrong & ((tags == 0) | spent)
            if gone.any():
                self.log.where("absent", cycle, self.program.array, gone, tags, expected)
            if (wrong & ~gone).any():
                self.log.where("stale", cycle, self.program.array, wrong & ~gone, tags, expected)
        flat = self.left.reshape(-1)
        flat[place] = left - active
        self.held -= active & (left == 1) & (fields[at] >= Slot.FIRST * self.size)
        return self.values.reshape(-1).take(place), tags

    def _lost(self, cycle: int) -> None:
        """Latches whose value nobody took in its only cycle."""
        waiting = self.left[Slot.WEST : Slot.PORT_B + 1] > 0
        if waiting.any():
            slot = Slot(int(np.argwhere(waiting)[0][0]) + Slot.WEST)
            unit = f"{self.program.array} {slot.name.lower()} latch"
            self.log.where("lost", cycle, unit, waiting[slot - Slot.WEST], self.tags[slot])

    def _keep(self, cycle: int, values: Floats, tags: Ints, target: Ints) -> None:
        """Write registers; a register with reads to come must not be written, and no more may be in use than exist."""
        kept = target[0] > 0
        if not kept.any():
            return
        place = (target[0] + self._element)[kept]
        flat = self.left.reshape(-1)
        needed = flat[place] > 0
        if needed.any():
            where = kept.copy()
            where[kept] = needed
            old = np.zeros(self.shape, dtype=np.int64)
            old[kept] = self.tags.reshape(-1)[place]
            self.log.where("overwritten", cycle, f"{self.program.array} register", where, old)
        self.values.reshape(-1)[place] = values[kept]
        self.tags.reshape(-1)[place] = tags[kept]
        flat[place] = target[1][kept]
        fresh = np.zeros(self.shape, dtype=np.int64)
        fresh[kept] = (target[1][kept] > 0).astype(np.int64) - needed
        self.held += fresh
        deep = self.held > self.program.depth
        if (deep & kept).any():
            self.log.where("registers", cycle, self.program.array, deep & kept, tags)

    def _send(self, cycle: int, link: Link, wanted: Ints, values: Floats, tags: Ints) -> None:
        """Put values on a link of every element that sends."""
        if not wanted.any():
            return
        sends = wanted > 0
        inner = wanted != ALL
        sends[INSIDE[link][2]] &= ~inner[INSIDE[link][2]]
        twice = sends & self.sent[link]
        if twice.any():
            self.log.where("double_link", cycle, f"{self.program.array} {link} link", twice, tags)
        line, named = self.next[link]
        np.copyto(line, values, where=sends)
        np.copyto(named, tags, where=sends)
        self.sent[link] |= sends
        self.used[link] += int(sends.sum())

    def _store(self, cycle: int, values: Floats, tags: Ints, target: Ints, active: Mask) -> int:
        """Write words of a one-row array to memory: lane c writes word c of the place."""
        stored = active & (target[5] >= 0)
        if self.shape[0] > 1 or not stored.any():
            return 0
        at = (target[5] + self._columns)[stored]
        self.places.write(cycle, at, values[stored], tags[stored], target[6][stored])
        return int(stored.sum())

    def lost_at_end(self, cycle: int) -> None:
        """Registers with reads to come after the last cycle."""
        waiting = self.left[Slot.FIRST :] > 0
        if waiting.any():
            first = waiting[np.argwhere(waiting)[0][0]]
            tags = self.tags[Slot.FIRST + np.argwhere(waiting)[0][0]]
            self.log.where("lost", cycle, f"{self.program.array} register", first, tags)


def _one_a_cycle(moves: list[Move]) -> list[list[Move]]:
    """The moves as lists that have at most one in a local cycle."""
    lists: list[list[Move]] = []
    seen: dict[int, int] = {}
    for move in moves:
        n = seen.get(move.cycle, 0)
        seen[move.cycle] = n + 1
        if n == len(lists):
            lists.append([])
        lists[n].append(move)
    return lists
