"""Who reads each word where and when: what a program needs to know before it can say where words are kept."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.sim.cycle_draft import Draft

Wait: TypeAlias = tuple[int, int, int]  # array, word, and which time it came into the registers
KEPT = frozenset({"own", "accumulated", "register", "climb", "foot"})
FED = frozenset({"west", "north", "port"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """`registers` and `memory` are the cycles in which a word is read there, `waits` where each operand waits.

    `loaded` are words that came into registers through a port, with the cycle; `climbs` go up from the foot, `feet`
    come down to it.
    """

    registers: Mapping[Wait, Sequence[int]]
    memory: Mapping[int, Sequence[int]]
    waits: Mapping[tuple[int, int], Wait]  # of (draft, use)
    loaded: Mapping[Wait, int]
    climbs: frozenset[int]
    feet: frozenset[int]


def reads_of(found: Sequence[Draft]) -> Reads:
    """The reads of all drafts.

    A word that the array made, or that an operation brought in through a port before, waits in the registers.
    """
    ported = _ports(found)
    registers: dict[Wait, list[int]] = defaultdict(list)
    memory: dict[int, list[int]] = defaultdict(list)
    waits: dict[tuple[int, int], Wait] = {}
    loaded: dict[Wait, int] = {}
    ways: dict[str, set[int]] = {"climb": set(), "foot": set()}
    for i, d in enumerate(found):
        for k, use in enumerate(d.uses):
            if use.way in FED:
                memory[use.word].append(d.cycle)
            elif use.way in KEPT:
                times = ported.get((d.array, use.word), []) if use.way == "register" else []
                wait = (d.array, use.word, bisect_left(times, d.cycle))
                waits[i, k] = wait
                registers[wait].append(d.cycle)
                if wait[2]:
                    loaded[wait] = times[wait[2] - 1]
                if use.way in ways:
                    ways[use.way].add(use.word)
    return Reads(
        registers=registers,
        memory=memory,
        waits=waits,
        loaded=loaded,
        climbs=frozenset(ways["climb"]),
        feet=frozenset(ways["foot"]),
    )


def _ports(found: Iterable[Draft]) -> dict[tuple[int, int], list[int]]:
    """When each word comes through a port of an array."""
    times: dict[tuple[int, int], list[int]] = defaultdict(list)
    for d in found:
        for use in d.uses:
            if use.way == "port":
                times[d.array, use.word].append(d.cycle)
    return {key: sorted(cycles) for key, cycles in times.items()}
