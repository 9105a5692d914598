"""Execution of a program: arrays, the links between them, feeds from memory and sinks into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusemap.sim.cycle_array import Grid
from fusemap.sim.cycle_dense import Ints, Layout
from fusemap.sim.cycle_edges import Edges
from fusemap.sim.cycle_faults import FaultLog
from fusemap.sim.cycle_memory import Places
from fusemap.sim.cycle_numbers import FORMATS, Floats, Format
from fusemap.sim.cycle_types import Fault, Link, Program, Slot

JOINED: tuple[frozenset[Link], ...] = (frozenset({"south"}), frozenset({"north"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRun:
    """What an array did: operation cycles and transfers of all elements together, peak registers of each element."""

    array: str
    rows: int
    columns: int
    busy: int
    links: tuple[tuple[Link, int], ...]
    registers: Ints

    @property
    def peak(self) -> int:
        """The most registers that one element has in use at once."""
        return int(self.registers.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A run from the first operation to the end of the last; `memory` has a row per place, `words` (read, written)."""

    first: int
    last: int
    arrays: tuple[ArrayRun, ...]
    faults: tuple[Fault, ...]
    fault_count: int
    memory: Floats
    words: Ints

    @property
    def cycles(self) -> int:
        """Cycles from the first operation of any element to the end of the last one."""
        return self.last - self.first

    def place(self, number: int) -> Floats:
        """The words of a place at the end."""
        row: Floats = self.memory[number]
        return row


def last_cycle(program: Program) -> int:
    """One more than the last cycle in which any element does anything."""
    ends = [0]
    for array in program.arrays:
        span = array.rows + array.columns
        ends += [op.cycle + span for op in array.operations]
        ends += [move.cycle + span for move in array.moves]
        ends += [feed.cycle + span for feed in array.feeds]
        ends += [sink.cycle + span for sink in array.sinks]
    return max(ends) + 1


def execute(
    program: Program, values: Mapping[int, Floats], *, number: Format = FORMATS["float64"], end: int | None = None
) -> Executed:
    """Run the program on the values of its loads, cycle by cycle; every broken rule is a fault, and the run goes on."""
    layout = Layout.of(program.rows, program.columns)
    log = FaultLog(program.words, layout)
    rounded = {word: number.round(np.asarray(v, dtype=np.float64)) for word, v in values.items()}
    places = Places(program, rounded, layout, log)
    end = last_cycle(program) if end is None else end
    grids = [Grid(array, end, number, layout, places, log) for array in program.arrays]
    joined = JOINED if len(grids) > 1 else (frozenset(),)
    edges = [
        Edges(array, end, layout, places, grid, log, links)
        for array, grid, links in zip(program.arrays, grids, joined, strict=True)
    ]
    words = np.zeros((end, 2), dtype=np.int64)
    for cycle in range(end):
        for edge in edges:
            words[cycle, 0] += edge.feed(cycle)
        for grid in grids:
            words[cycle, 1] += grid.step(cycle)
        out = [grid.turn() for grid in grids]
        if len(grids) > 1:
            _cross(cycle, grids, out)
        for edge, leaving in zip(edges, out, strict=True):
            words[cycle, 1] += edge.take(cycle, leaving)
    _unused(grids, edges, places, log, end)
    first, last = _active(program)
    return Executed(
        first=first,
        last=last,
        arrays=tuple(_summary(grid) for grid in grids),
        faults=tuple(log.found),
        fault_count=log.total,
        memory=places.values.reshape(-1, places.width),
        words=words,
    )


def _cross(cycle: int, grids: Sequence[Grid], out: Sequence[Mapping[Link, tuple[Ints, Floats, Ints]]]) -> None:
    """The foot of the first array's columns: down to the lanes of the second, and up from them."""
    upper, lower = grids
    if "south" in out[0]:
        which, values, tags = out[0]["south"]
        lower.latch(cycle + 1, Slot.NORTH, (np.zeros_like(which), which), values, tags)
    if "north" in out[1]:
        which, values, tags = out[1]["north"]
        upper.latch(cycle + 1, Slot.SOUTH, (np.full_like(which, upper.shape[0] - 1), which), values, tags)


def _unused(grids: Sequence[Grid], edges: Sequence[Edges], places: Places, log: FaultLog, end: int) -> None:
    """Values that were kept for readers who never came, and words that never left."""
    for grid in grids:
        grid.lost_at_end(end)
    for edge in edges:
        if edge.taken < edge.expected:
            missing = edge.expected - edge.taken
            log.add("absent", end, f"{edge.program.array} edge", "words that should leave", count=missing)
    left = places.left > 0
    if left.any():
        log.where("lost", end, "memory", left, places.tags)


def _active(program: Program) -> tuple[int, int]:
    """The first cycle of an operation, and one after the last."""
    ends = [op.cycle + a.rows + a.columns - 1 for a in program.arrays for op in a.operations]
    begins = [min(op.cycle for op in a.operations) for a in program.arrays if a.operations]
    return min(begins), max(ends)


def _summary(grid: Grid) -> ArrayRun:
    return ArrayRun(
        array=grid.program.array,
        rows=grid.shape[0],
        columns=grid.shape[1],
        busy=grid.busy,
        links=tuple(grid.used.items()),
        registers=grid.peak,
    )
