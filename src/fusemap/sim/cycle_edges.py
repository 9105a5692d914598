"""The edges of an array: vectors that memory feeds in, one word per row or column in skew, and those that leave."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusemap.sim.cycle_array import Grid
from fusemap.sim.cycle_dense import Ints, Layout
from fusemap.sim.cycle_faults import FaultLog
from fusemap.sim.cycle_memory import Places
from fusemap.sim.cycle_numbers import Floats
from fusemap.sim.cycle_types import ArrayProgram, Edge, Link, Slot

EDGES: Mapping[Edge, Slot] = {
    "west": Slot.WEST,
    "north": Slot.NORTH,
    "south": Slot.SOUTH,
    "port_a": Slot.PORT_A,
    "port_b": Slot.PORT_B,
}
MEMORY, CONSTANT = 1, 2  # where a feed comes from


class Edges:
    """The feeds and sinks of one array; links in `joined` lead to another array."""

    def __init__(
        self,
        program: ArrayProgram,
        end: int,
        layout: Layout,
        places: Places,
        grid: Grid,
        log: FaultLog,
        joined: frozenset[Link],
    ) -> None:
        self.program, self.places, self.grid, self.log, self.joined = program, places, grid, log, joined
        self.feeds = {edge: _feeds(program, edge, end, layout, places.width, log) for edge in EDGES}
        self.sinks = {link: _sinks(program, link, end, layout, places.width) for link in ("east", "south", "north")}
        self.expected = sum(self._length(s.edge == "east") for s in program.sinks)
        self.taken = 0

    def feed(self, cycle: int) -> int:
        """Bring in this cycle's words; how many were read from memory."""
        read = 0
        for edge, found in self.feeds.items():
            if found is None:
                continue
            table, constants = found
            k = np.arange(self._length(edge == "west"))
            local = cycle - k
            k = k[(local >= 0) & (local < table.shape[1])]
            k = k[table[0, cycle - k] > 0]
            if k.size:
                read += self._bring(cycle, edge, k, table[:, cycle - k], constants[cycle - k])
        return read

    def _bring(self, cycle: int, edge: Edge, k: Ints, fields: Ints, values: Floats) -> int:
        kind, place, base, step = fields
        tags = base + step * k
        stored = kind == MEMORY
        if stored.any():
            values[stored], tags[stored] = self.places.read(cycle, (place + k)[stored], tags[stored])
        row = np.full_like(k, self.grid.shape[0] - 1 if edge == "south" else 0)
        at = (k, np.zeros_like(k)) if edge == "west" else (row, k)
        self.grid.latch(cycle, EDGES[edge], at, values, tags)
        return int(stored.sum())

    def take(self, cycle: int, leaving: Mapping[Link, tuple[Ints, Floats, Ints]]) -> int:
        """Write what leaves at the edges to its place; what nobody takes is lost."""
        written = 0
        for link, (which, values, tags) in leaving.items():
            if link in self.joined:
                continue
            table = self.sinks[link]
            local = np.clip(cycle + 1 - which, 0, table.shape[1] - 1)
            kind, place, base, step, uses = table[:, local]
            good = (kind > 0) & (base + step * which == tags)
            if not good.all():
                self.log.where("lost", cycle, f"{self.program.array} {link} edge", ~good, tags)
            self.places.write(cycle, (place + which)[good], values[good], tags[good], uses[good])
            written += int(good.sum())
        self.taken += written
        return written

    def _length(self, by_row: bool) -> int:
        return self.grid.shape[0] if by_row else self.grid.shape[1]


def _feeds(
    program: ArrayProgram, edge: Edge, end: int, layout: Layout, width: int, log: FaultLog
) -> tuple[Ints, Floats] | None:
    """Fields (kind, place, tag, its step from word to word) and constants by local cycle."""
    feeds = [f for f in program.feeds if f.edge == edge]
    if not feeds:
        return None
    table, constants = np.zeros((4, end + 1), dtype=np.int64), np.full(end + 1, np.nan)
    for feed in feeds:
        if table[0, feed.cycle]:
            log.add("double_link", feed.cycle, f"{program.array} {edge} edge", log.name(feed.tag.word * layout.stride))
        base, row, column = layout.fields(feed.tag)
        kind = CONSTANT if feed.place is None else MEMORY
        place = 0 if feed.place is None else feed.place * width
        table[:, feed.cycle] = kind, place, base, row if edge == "west" else column
        constants[feed.cycle] = np.nan if feed.constant is None else feed.constant
    return table, constants


def _sinks(program: ArrayProgram, link: Link, end: int, layout: Layout, width: int) -> Ints:
    """Fields (there, place, tag, its step, reads to come) by local cycle of the edge's first element."""
    table = np.zeros((5, end + 2), dtype=np.int64)
    for sink in program.sinks:
        if sink.edge == link:
            base, row, column = layout.fields(sink.tag)
            table[:, sink.cycle] = 1, sink.place * width, base, row if link == "east" else column, sink.uses
    return table
