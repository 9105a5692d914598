"""Least intervals and least waiting by other means: enumeration, and CP-SAT where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product

from hypothesis import strategies as st

from fusemap.mappers.interleave import Passing, Stream
from fusemap.mappers.modulo import Dependence, Task, TaskGraph


def enumerated_interval(graph: TaskGraph) -> int:
    """The least interval, by trying every offset of every task for one interval after the other."""
    return next(n for n in range(1, 1000) if _any_offsets(graph, n))


def _any_offsets(graph: TaskGraph, interval: int) -> bool:
    choices = [range(interval)] * len(graph.tasks)
    return any(_fits(graph, interval, o) and _staged(graph, interval, o) for o in product(*choices))


def _fits(graph: TaskGraph, interval: int, offsets: tuple[int, ...]) -> bool:
    """No two tasks of a resource in one slot of the period."""
    taken: set[tuple[str, int]] = set()
    for task, offset in zip(graph.tasks, offsets, strict=True):
        for tick in range(task.duration):
            slot = (task.resource, (offset + tick) % interval)
            if slot in taken:
                return False
            taken.add(slot)
    return True


def _staged(graph: TaskGraph, interval: int, offsets: tuple[int, ...]) -> bool:
    """Whole periods can be added so that every dependence holds: relaxation ends."""
    start = dict(zip((t.name for t in graph.tasks), offsets, strict=True))
    for _ in range(len(start) + 1):
        moved = False
        for d in graph.dependences:
            while start[d.consumer] + d.distance * interval < start[d.producer] + d.latency:
                if d.consumer == d.producer:
                    return False
                start[d.consumer] += interval
                moved = True
        if not moved:
            return True
    return False


def least_span(graph: TaskGraph, interval: int, most: int) -> int:
    """The least span at an interval, by trying every start below `most`."""
    best = most
    for found in product(range(most), repeat=len(graph.tasks)):
        span = max(s + t.duration for s, t in zip(found, graph.tasks, strict=True)) - min(found)
        if span < best and _fits(graph, interval, tuple(s % interval for s in found)):
            start = dict(zip((t.name for t in graph.tasks), found, strict=True))
            if all(
                start[d.consumer] + d.distance * interval >= start[d.producer] + d.latency for d in graph.dependences
            ):
                best = span
    return best


def solved_interval(graph: TaskGraph) -> int:
    """The least interval by CP-SAT: one model for each interval, a Boolean for each order of a pair."""
    from ortools.sat.python import cp_model

    for interval in range(1, 10_000):
        model = cp_model.CpModel()
        offset = {t.name: model.new_int_var(0, interval - 1, t.name) for t in graph.tasks}
        stage = {t.name: model.new_int_var(0, 4 * len(graph.tasks), t.name) for t in graph.tasks}
        if any(t.duration > interval for t in graph.tasks):
            continue
        for a, b in combinations(graph.tasks, 2):
            if a.resource == b.resource and a.duration and b.duration:
                first = model.new_bool_var("")
                x, y = offset[a.name], offset[b.name]
                model.add(x + a.duration <= y).only_enforce_if(first)
                model.add(y + b.duration <= x + interval).only_enforce_if(first)
                model.add(y + b.duration <= x).only_enforce_if(first.negated())
                model.add(x + a.duration <= y + interval).only_enforce_if(first.negated())
        for d in graph.dependences:
            ahead = stage[d.consumer] + d.distance - stage[d.producer]
            model.add(interval * ahead + offset[d.consumer] - offset[d.producer] >= d.latency)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        if solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return interval
    raise AssertionError("no interval below 10,000")


@st.composite
def graphs(draw: Callable[..., int], most_tasks: int, most_ticks: int) -> TaskGraph:
    """Graphs whose dependences inside an iteration go forward, and across iterations anywhere."""
    count = draw(st.integers(1, most_tasks))
    tasks = tuple(
        Task(name=f"T{i}", resource=f"R{draw(st.integers(0, 1))}", duration=draw(st.integers(0, most_ticks)))
        for i in range(count)
    )
    dependences = []
    for _ in range(draw(st.integers(0, 2 * count))):
        i, j = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
        distance = draw(st.integers(0, 2)) if i < j else draw(st.integers(1, 2))
        delay = draw(st.integers(0, 2))
        latency = tasks[i].duration + delay
        dependences.append(
            Dependence(producer=f"T{i}", consumer=f"T{j}", latency=latency, delay=delay, distance=distance)
        )
    return TaskGraph(name="random", tasks=tasks, dependences=tuple(dependences))


def rows_of(streams: Sequence[Stream], period: int) -> list[tuple[str | None, ...]]:
    """Every order of the unit steps of the streams of one resource in a period."""
    rows: list[tuple[str | None, ...]] = [()]
    work: dict[str | None, int] = {s.name: s.work for s in streams}
    work[None] = period - sum(work.values())
    for _ in range(period):
        rows = [(*row, name) for row in rows for name, n in work.items() if row.count(name) < n]
    return rows


def peak_waiting(
    rows: dict[str, tuple[str | None, ...]], passings: Sequence[Passing], backlog: Sequence[int]
) -> int | None:
    """Most words in the queues after the takes of a cycle, over three periods; None: a step had no word."""
    queues = list(backlog)
    arriving = [0] * len(passings)
    period = len(next(iter(rows.values())))
    peak = 0
    for cycle in range(3 * period):
        now = {row[cycle % period] for row in rows.values()}
        for i, p in enumerate(passings):
            queues[i] += arriving[i]
            if p.consumer in now:
                if queues[i] == 0:
                    return None
                queues[i] -= 1
            arriving[i] = int(p.producer in now)
        peak = max(peak, sum(queues))
    return peak


def least_waiting(streams: Sequence[Stream], passings: Sequence[Passing]) -> int:
    """The fewest words that wait, over all orders on two resources and all backlogs."""
    resources = list(dict.fromkeys(s.resource for s in streams))
    period = max(sum(s.work for s in streams if s.resource == r) for r in resources)
    steps = max(s.steps for s in streams)
    every = [rows_of([s for s in streams if s.resource == r], period) for r in resources]
    found = (
        peak_waiting(dict(zip(resources, rows, strict=True)), passings, backlog)
        for rows in product(*every)
        for backlog in product(range(steps + 2), repeat=len(passings))
    )
    return min(peak for peak in found if peak is not None)
