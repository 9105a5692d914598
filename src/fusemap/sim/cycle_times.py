"""When every unit step runs: a modulo schedule laid out, and the divisions of finished tiles worked in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal, TypeAlias

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.interleave import interleave
from fusemap.mappers.modulo import schedule
from fusemap.mappers.modulo_types import Schedule, TaskGraph
from fusemap.mappers.modulo_units import streams_of, unit_schedule
from fusemap.mappers.types import Mapping, Problem

Instance: TypeAlias = tuple[str, int]  # an Einsum, and which of its runs
Order: TypeAlias = Literal["interleaved", "whole", "stages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """The local cycles of every run of every Einsum, unit step by unit step.

    `interval` is what the schedule promises (None: no modulo schedule), `inserted` how many cycles the divisions
    of finished tiles put in between, in which the rest of the machine waits.
    """

    order: Order
    cycles: tuple[tuple[Instance, tuple[int, ...]], ...]
    iterations: int
    interval: int | None
    span: int
    inserted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """An Einsum that runs once in `every` iterations on `array`, after runs of its producers.

    `steps` unit steps each; `after[k]` names, for its k-th run, the (Einsum, run) that must be done, with the steps
    of it that its own steps follow one by one (False: all of them).
    """

    einsum: str
    array: str
    every: int
    steps: int
    after: tuple[tuple[Instance, ...], ...]


def recurrent(graph: TaskGraph, machine: Machine) -> TaskGraph:
    """The tasks that run on an array in every iteration, in whole cycles."""
    arrays = {array.name for array in machine.arrays}
    tasks = [t for t in graph.tasks if t.resource in arrays and t.every == 1]
    names, ticks = {t.name for t in tasks}, graph.ticks_per_cycle
    return replace(
        graph,
        ticks_per_cycle=1,
        tasks=tuple(replace(t, duration=t.duration // ticks) for t in tasks),
        dependences=tuple(
            replace(d, latency=d.latency // ticks, delay=d.delay // ticks)
            for d in graph.dependences
            if d.producer in names and d.consumer in names
        ),
    )


def steady(
    graph: TaskGraph, cascade: Cascade, problem: Problem, mapping: Mapping, machine: Machine, order: Order
) -> tuple[dict[str, tuple[int, ...]], int]:
    """(cycles of iteration 0 by Einsum, interval) of a modulo schedule of `recurrent` tasks."""
    if order == "interleaved":
        pattern = interleave(*streams_of(graph, cascade, problem, mapping, machine))
        found: Schedule = unit_schedule(pattern, graph)
        start = found.start
        cycles = {s.name: tuple(start[f"{s.name}[{n}]"] for n in range(s.work)) for s in pattern.streams}
    else:
        found = schedule(graph)
        cycles = {t.name: tuple(found.start[t.name] + n for n in range(t.duration)) for t in graph.tasks}
    first = min(c for times in cycles.values() for c in times)
    return {name: tuple(c - first for c in times) for name, times in cycles.items()}, found.interval


def laid_out(
    cycles: dict[str, tuple[int, ...]],
    interval: int,
    iterations: int,
    arrays: dict[str, str],
    divisions: Iterable[Division],
    order: Order,
    leads: dict[str, int],
) -> Timetable:
    """All iterations of a modulo schedule, and in every interval its share of the divisions that can run.

    They take idle cycles of their array first; for the others the whole machine waits a cycle. An array waits
    `leads` cycles before the dividing one: as long as its results travel, so that none arrives while nobody takes it.
    When no more iterations begin they run as soon as their array is free.
    """
    base = {
        (name, i): tuple(c + i * interval for c in times) for name, times in cycles.items() for i in range(iterations)
    }
    taken = {(arrays[name], c) for (name, _), times in base.items() for c in times}
    work = sorted(
        (max(base[ready][-1] for ready in after) + 1, k, d.einsum, d)
        for d in divisions
        for k, after in enumerate(d.after)
        for _ in range(d.steps)
    )
    worked = _Divided(waiting=deque((ready, k, d) for ready, k, _, d in work), taken=taken, interval=interval)
    for period in range(iterations):
        worked.share(period)
    worked.rest(iterations * interval)
    return _stretched(base, worked, interval, iterations, order, {name: leads.get(arrays[name], 0) for name in cycles})


@dataclass(slots=True, kw_only=True)
class _Divided:
    """Divisions worked in: `free` in idle cycles, `between` as n-th inserted cycle of a period, `shifts` in each."""

    waiting: deque[tuple[int, int, Division]]
    taken: set[tuple[str, int]]
    interval: int
    shifts: dict[int, int] = field(default_factory=dict)
    free: dict[Instance, list[int]] = field(default_factory=dict)
    between: dict[Instance, list[tuple[int, int]]] = field(default_factory=dict)

    def share(self, period: int) -> None:
        """What a period does of those that are ready when it begins."""
        begin = period * self.interval
        left = quota(self.waiting[0][2], period) if self.waiting else 0
        while left and self.waiting and self.waiting[0][0] <= begin:
            _, k, d = self.waiting.popleft()
            left -= 1
            idle = next((c for c in range(begin, begin + self.interval) if (d.array, c) not in self.taken), None)
            if idle is None:
                n = self.shifts.get(period, 0)
                self.between.setdefault((d.einsum, k), []).append((period, n))
                self.shifts[period] = n + 1
            else:
                self._take(d, k, idle)

    def rest(self, cycle: int) -> None:
        """What is left when no more iterations begin: as soon as it is ready and the array is idle."""
        for ready, k, d in self.waiting:
            cycle = max(cycle, ready)
            while (d.array, cycle) in self.taken:
                cycle += 1
            self._take(d, k, cycle)

    def _take(self, d: Division, k: int, cycle: int) -> None:
        self.taken.add((d.array, cycle))
        self.free.setdefault((d.einsum, k), []).append(cycle)


def quota(division: Division, period: int) -> int:
    """floor((n + 1) F / M1) - floor(n F / M1) division steps for iteration n."""
    share = Fraction(division.steps, division.every)
    return int((period + 1) * share) - int(period * share)


def _stretched(
    base: dict[Instance, tuple[int, ...]],
    worked: _Divided,
    interval: int,
    iterations: int,
    order: Order,
    leads: dict[str, int],
) -> Timetable:
    """The cycles with those put in: everything from a period's start on is as much later."""
    ends = [max(times) for times in (*base.values(), *worked.free.values())]
    before = [0]
    for period in range(max((max(ends) + max(leads.values())) // interval, iterations) + 1):
        before.append(before[-1] + worked.shifts.get(period, 0))

    def late(cycle: int, lead: int = 0) -> int:
        return cycle + before[(cycle + lead) // interval + 1]

    found = {key: [late(c, leads[key[0]]) for c in times] for key, times in base.items()}
    for key, times in worked.free.items():
        found.setdefault(key, []).extend(late(c) for c in times)
    for key, places in worked.between.items():
        found.setdefault(key, []).extend(p * interval + before[p] + n for p, n in places)
    cycles = tuple((key, tuple(sorted(times))) for key, times in found.items())
    return Timetable(
        order=order,
        cycles=cycles,
        iterations=iterations,
        interval=interval,
        span=max(max(times) for _, times in cycles) + 1 - min(min(times) for _, times in cycles),
        inserted=before[-1],
    )
