"""The state of a run between two slots, and what it has counted so far."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.sim.tile_types import TileProgram

LONG_AGO = -(1 << 200)
Snapshot: TypeAlias = tuple[int, int, tuple[int, ...], tuple[int, ...]]


@dataclass(slots=True)
class State:
    """Times in ticks; iterations and tiles are numbered without those that were skipped.

    `ends` has the ends of each task's last runs, `retired` the times at which the last tiles of each load were
    used up, `done` the ends of each store; `pending` are stores that wait: (ready, store, iteration), earliest first.
    `readers` of each task never change: its lag, how many of its last runs and how long after one they may wait.
    """

    free: list[int]
    ends: list[list[int]]
    loaded: list[int]
    retired: list[list[int]]
    uses: list[int]
    done: list[list[int]]
    readers: tuple[tuple[int, int, int], ...]
    pending: deque[tuple[int, int, int]] = field(default_factory=deque)
    channel: int = 0


def first_state(program: TileProgram) -> State:
    """Nothing has run yet."""
    spans = [_span(program, i) for i in range(len(program.tasks))]
    return State(
        free=[0] * len(program.arrays),
        ends=[[LONG_AGO] * _power(span + 1) for span in spans],
        loaded=[0] * len(program.loads),
        retired=[[LONG_AGO] * load.depth for load in program.loads],
        uses=[0] * len(program.loads),
        done=[[LONG_AGO] * _power(program.lag + 2 + _distance(program, i)) for i in range(len(program.stores))],
        readers=tuple((t.lag, spans[i], _delay(program, i)) for i, t in enumerate(program.tasks)),
    )


def relative(state: State, slot: int, *, operands: bool) -> tuple[int, ...]:
    """What the future depends on, relative to the earliest resource: equal tuples have equal futures.

    Times before that one cannot delay anything any more: what counts is which stores they are before, and of ends of
    tasks how long a delay after them may last.
    """
    base = min(*state.free, state.channel) if operands else min(state.free)
    found = [t - base for t in state.free]
    for ring, (lag, span, delay) in zip(state.ends, state.readers, strict=True):
        found += [max(t - base, -delay) for t in _back_from(ring, slot - 1 - lag)[:span]]
    if operands:
        found.append(state.channel - base)
        found += [n - m for n, m in zip(state.loaded, state.uses, strict=True)]
        times: list[int] = []
        for ring, count in zip(state.retired, state.uses, strict=True):
            oldest = count % len(ring)
            times += ring[oldest:] + ring[:oldest]
        for ring in state.done:
            times += _back_from(ring, slot)
        for ready, store, iteration in state.pending:
            times.append(ready)
            found += [store, slot - iteration]
        waiting = [ready for ready, _, _ in state.pending if ready < base]
        first, before_all = waiting[0] if waiting else base, -len(waiting) - 1
        found += [
            t - base if t >= base else before_all if t < first else bisect_right(waiting, t) + before_all for t in times
        ]
    return tuple(found)


def _back_from(ring: list[int], last: int) -> list[int]:
    """All entries, from number `last` backwards."""
    newest = last % len(ring)
    return ring[newest::-1] + ring[:newest:-1]


def _span(program: TileProgram, producer: int) -> int:
    """How many of its last runs a task's readers can still ask for."""
    lag = program.tasks[producer].lag
    asked = [t.lag + n.distance - lag for t in program.tasks for n in t.needs if n.producer == producer]
    return max((1, *asked))


def _distance(program: TileProgram, store: int) -> int:
    """After how many iterations what is stored may be loaded."""
    return max((load.distance for load in program.loads if load.stored == store), default=0)


def _delay(program: TileProgram, producer: int) -> int:
    """The longest that any reader waits after the task's end."""
    return max((n.delay for t in program.tasks for n in t.needs if n.producer == producer), default=0)


def _power(size: int) -> int:
    return 1 << (size - 1).bit_length()
