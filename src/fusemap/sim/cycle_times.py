"""When every unit step runs: a modulo schedule laid out, and the divisions of finished tiles worked in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
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
) -> Timetable:
    """All iterations of a modulo schedule, and in every interval its share of the divisions that can run.

    They take idle cycles of their array first; for the others the whole machine waits a cycle. When no more
    iterations begin they run as soon as their array is free.
    """
    base = {
        (name, i): tuple(c + i * interval for c in times) for name, times in cycles.items() for i in range(iterations)
    }
    taken = {(arrays[name], c) for (name, _), times in base.items() for c in times}
    last = max(c for times in base.values() for c in times)
    queue = deque(
        (max(max(base[ready]) + 1 for ready in after), d, k, n)
        for d in divisions
        for k, after in enumerate(d.after)
        for n in range(d.steps)
    )
    queue = deque(sorted(queue, key=lambda item: (item[0], item[2], item[3])))
    shifts: dict[int, int] = {}  # cycles put in before each period
    free: dict[tuple[str, int], list[int]] = {}  # divisions in idle cycles
    between: dict[tuple[str, int], list[tuple[int, int]]] = {}  # divisions in (period, n-th inserted cycle)
    period = 0
    while queue:
        share = quota(queue[0][1], period) if period < iterations else interval
        while share and queue and queue[0][0] <= period * interval:
            _, d, k, _ = queue[0]
            idle = next(
                (c for c in range(period * interval, (period + 1) * interval) if (d.array, c) not in taken), None
            )
            if idle is None and period >= iterations and period * interval <= last:
                break
            queue.popleft()
            share -= 1
            if idle is None:
                between.setdefault((d.einsum, k), []).append((period, shifts.get(period, 0)))
                shifts[period] = shifts.get(period, 0) + 1
            else:
                taken.add((d.array, idle))
                free.setdefault((d.einsum, k), []).append(idle)
        period += 1
    return _stretched(base, free, between, shifts, interval, iterations, order)


def quota(division: Division, period: int) -> int:
    """floor((n + 1) F / M1) - floor(n F / M1) division steps for iteration n."""
    share = Fraction(division.steps, division.every)
    return int((period + 1) * share) - int(period * share)


def _stretched(
    base: dict[Instance, tuple[int, ...]],
    free: dict[Instance, list[int]],
    between: dict[Instance, list[tuple[int, int]]],
    shifts: dict[int, int],
    interval: int,
    iterations: int,
    order: Order,
) -> Timetable:
    """The cycles with those put in: everything from a period's start on is as much later."""
    periods = max((max(times) // interval for times in [*base.values(), *free.values()]), default=0) + 1
    before = [0]
    for period in range(max(periods, *(p + 1 for p in shifts), 0) if shifts else periods):
        before.append(before[-1] + shifts.get(period, 0))

    def late(cycle: int) -> int:
        return cycle + before[cycle // interval + 1]

    found = {key: [late(c) for c in times] for key, times in base.items()}
    for key, times in free.items():
        found.setdefault(key, []).extend(late(c) for c in times)
    for key, places in between.items():
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
