"""The places of the memory at the edges: vectors of words with tags and the reads to come."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusemap.sim.cycle_dense import Ints, Layout
from fusemap.sim.cycle_faults import FaultLog
from fusemap.sim.cycle_numbers import Floats
from fusemap.sim.cycle_types import FaultKind, Program


class Places:
    """`width` words per place. Word k of a place belongs to row or column k."""

    def __init__(self, program: Program, values: Mapping[int, Floats], layout: Layout, log: FaultLog) -> None:
        self.width = max(program.rows, program.columns)
        size = program.places * self.width
        self.values = np.full(size, np.nan)
        self.tags = np.zeros(size, dtype=np.int64)
        self.left = np.zeros(size, dtype=np.int64)
        self.log = log
        for load in program.loads:
            vector = values[load.word] if load.row is None else values[load.word][load.row]
            at = load.place * self.width + np.arange(len(vector))
            step = layout.pitch if load.by_row else 1
            self.values[at] = vector
            across = 0 if load.row is None else (load.row + 1) * layout.pitch
            self.tags[at] = load.word * layout.stride + across + step * (1 + np.arange(len(vector)))
            self.left[at] = load.uses

    def read(self, cycle: int, at: Ints, expected: Ints) -> tuple[Floats, Ints]:
        """Values and tags of single words, each of which must be the expected one."""
        tags = self.tags[at]
        wrong = (tags != expected) | (self.left[at] <= 0)
        if wrong.any():
            kind: FaultKind = "stale" if (tags[wrong] > 0).any() else "absent"
            self.log.where(kind, cycle, "memory", wrong, tags, expected)
        self.left[at] -= 1
        return self.values[at], tags

    def write(self, cycle: int, at: Ints, values: Floats, tags: Ints, uses: Ints) -> None:
        """Words overwrite those whose reads are all done."""
        needed = self.left[at] > 0
        if needed.any():
            self.log.where("overwritten", cycle, "memory", needed, self.tags[at])
        self.values[at], self.tags[at], self.left[at] = values, tags, uses
