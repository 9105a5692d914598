"""Accesses of the memories, cycle by cycle: vectors read and written against the ports that there are.

Word k of a vector is accessed k cycles after word 0, in its own slice of the memory's row: every slice sees the same
accesses, at its own skew. So they are counted by local cycle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fusemap.archspec.types import Machine
from fusemap.sim.cycle_types import Fault, Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """`reads` and `writes` of a memory by local cycle, in accesses of `words_per_access`."""

    memory: str
    ports: int | None
    reads: tuple[tuple[int, int], ...]
    writes: tuple[tuple[int, int], ...]

    def pattern(self, start: int, end: int) -> Counter[tuple[int, int]]:
        """How many cycles have (reads, writes)."""
        reads, writes = dict(self.reads), dict(self.writes)
        return Counter((reads.get(c, 0), writes.get(c, 0)) for c in range(start, end))

    @property
    def peak(self) -> int:
        """The most accesses in a cycle: the ports that are needed if every port can read and write."""
        return max((r + w for r, w in self._all), default=0)

    @property
    def peak_reads(self) -> int:
        """The most reads in a cycle."""
        return max((r for r, _ in self._all), default=0)

    @property
    def peak_writes(self) -> int:
        """The most writes in a cycle."""
        return max((w for _, w in self._all), default=0)

    def mean(self, start: int, end: int) -> float:
        """Accesses per cycle from local cycle `start` to `end`."""
        return sum((r + w) * n for (r, w), n in self.pattern(start, end).items()) / max(1, end - start)

    @property
    def _all(self) -> list[tuple[int, int]]:
        reads, writes = dict(self.reads), dict(self.writes)
        return [(reads.get(c, 0), writes.get(c, 0)) for c in reads.keys() | writes.keys()]

    def faults(self) -> tuple[Fault, ...]:
        """The first cycle with more accesses than ports, if there is one."""
        reads, writes = dict(self.reads), dict(self.writes)
        if self.ports is None:
            return ()
        over = [c for c in sorted(reads.keys() | writes.keys()) if reads.get(c, 0) + writes.get(c, 0) > self.ports]
        if not over:
            return ()
        wanted = f"{reads.get(over[0], 0) + writes.get(over[0], 0)} accesses at {self.ports} ports"
        return (Fault(kind="ports", cycle=over[0], unit=self.memory, tensor=wanted, count=len(over)),)


def accesses(program: Program, machine: Machine) -> tuple[Accesses, ...]:
    """The accesses that the program makes, memory by memory."""
    found = []
    for memory in machine.memories:
        reads: Counter[int] = Counter()
        writes: Counter[int] = Counter()
        for array in program.arrays:
            for feed in array.feeds:
                if feed.place is not None and feed.memory == memory.name:
                    length = array.rows if feed.edge == "west" else array.columns
                    reads[feed.cycle] += -int(-length // memory.words_per_access)
            for sink in array.sinks:
                if sink.memory == memory.name:
                    length = array.rows if sink.edge == "east" else array.columns
                    writes[sink.cycle] += -int(-length // memory.words_per_access)
        for store in program.stores:
            if store.memory == memory.name:
                writes[store.cycle] += -int(-store.words // memory.words_per_access)
        found.append(
            Accesses(
                memory=memory.name,
                ports=memory.ports,
                reads=tuple(sorted(reads.items())),
                writes=tuple(sorted(writes.items())),
            )
        )
    return tuple(found)
