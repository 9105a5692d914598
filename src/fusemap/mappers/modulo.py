"""Modulo scheduling: the least initiation interval of a loop body, with proof (software pipelining).

Rau, "Iterative modulo scheduling" (MICRO 1994) states the problem and its two bounds; the solution here is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from fusemap.diagnostics import input_error
from fusemap.mappers.modulo_bounds import clusters, critical_recurrence
from fusemap.mappers.modulo_search import NEVER, Budget, Edge, OutOfNodes, Question, add_edge, starts
from fusemap.mappers.modulo_types import Dependence, Recurrence, Schedule, Task, TaskGraph, busy_ticks

__all__ = ["Dependence", "Recurrence", "Schedule", "Task", "TaskGraph", "schedule"]

MOST_NODES = 20_000
Starts: TypeAlias = tuple[int, ...]


def schedule(graph: TaskGraph, *, compact: bool = True, most_nodes: int = MOST_NODES) -> Schedule:
    """The schedule of least initiation interval and, with `compact`, of least span at that interval.

    interval >= max(busiest resource, max over dependence cycles of latency / distance). The interval is
    searched from that bound up; more is feasible when less is, so that what was refuted last is the proof.
    A search that needs more than `most_nodes` nodes leaves a gap, which the result states.
    InputError when tasks wait for each other within one iteration.

    >>> tasks = (Task(name="A", resource="pe", duration=2), Task(name="B", resource="pe", duration=2))
    >>> graph = TaskGraph(name="g", tasks=tasks, dependences=(
    ...     Dependence(producer="A", consumer="B", latency=5),
    ...     Dependence(producer="B", consumer="A", latency=2, distance=1)))
    >>> found = schedule(graph)
    >>> found.interval, found.proven, found.resource_bound, found.recurrence_bound, found.starts
    (7, 7, 4, 7, (('A', 0), ('B', 5)))
    """
    if not graph.tasks:
        raise input_error(f"{graph.name} has no task to schedule")
    bounds = busy_ticks(graph.tasks)
    recurrence = critical_recurrence(graph)
    bound = max(1, *bounds.values(), -(-recurrence.latency // recurrence.distance) if recurrence else 0)
    search = _Search(graph=graph, most_nodes=most_nodes)
    interval, proven, found = search.least_interval(bound)
    span_bound = _longest_chain(graph, interval)
    if compact:
        found, span_bound = search.least_span(interval, found, span_bound)
    return Schedule(
        graph=graph,
        interval=interval,
        starts=tuple(zip((t.name for t in graph.tasks), found, strict=True)),
        resource_bounds=tuple(bounds.items()),
        recurrence=recurrence,
        proven=proven,
        span=_span(graph, found),
        span_bound=span_bound,
        nodes=search.nodes,
    )


@dataclass(slots=True, kw_only=True)
class _Search:
    """Questions about one graph, each with its own limit; `nodes` counts those of all."""

    graph: TaskGraph
    most_nodes: int
    nodes: int = 0

    def least_interval(self, bound: int) -> tuple[int, int, Starts]:
        """(interval, proven bound, starts): doubling steps above `bound`, then bisection."""
        found = _one_by_one(self.graph)
        low, best, proven, step = bound, max(bound, _settled(self.graph, found)), bound, 0
        while low < best:
            trial = min(low + step, best - 1)
            known, modular = self._ask(self._question(trial), _within_clusters(self.graph, trial))
            if modular is not None:
                best, found, step = trial, _staged(self.graph, trial, modular), (trial - low) // 2
            else:
                low, step = trial + 1, min(2 * step + 1, (best - trial) // 2)
                proven = low if known else proven
        return best, proven, found

    def least_span(self, interval: int, found: Starts, bound: int) -> tuple[Starts, int]:
        """(starts of least span, proven bound) at this interval, by bisection."""
        low, proven = bound, bound
        while low < (best := _span(self.graph, found)):
            trial = (low + best) // 2
            known, better = self._ask(self._question(interval), _within_span(self.graph, interval, trial))
            if better is not None:
                found = tuple(start - better[-1] for start in better[:-1])
            else:
                low = trial + 1
                proven = low if known else proven
        return found, proven

    def _question(self, interval: int) -> Question:
        tasks = self.graph.tasks
        pairs = [
            (i, j)
            for (i, a), (j, b) in combinations(enumerate(tasks), 2)
            if a.resource == b.resource and a.duration and b.duration
        ]
        return Question(durations=(*(t.duration for t in tasks), 0), pairs=pairs, interval=interval)

    def _ask(self, question: Question, edges: Sequence[Edge]) -> tuple[bool, Starts | None]:
        """(is the answer known, the starts if there are any)."""
        budget = Budget(limit=self.most_nodes)
        try:
            return True, starts(question, edges, budget)
        except OutOfNodes:
            return False, None
        finally:
            self.nodes += budget.used


def _within_clusters(graph: TaskGraph, interval: int) -> list[Edge]:
    """The dependences between tasks that need each other; the others are met by whole periods of delay."""
    number = clusters([t.name for t in graph.tasks], graph.dependences)
    return _edges(graph, interval, [d for d in graph.dependences if number[d.producer] == number[d.consumer]])


def _within_span(graph: TaskGraph, interval: int, span: int) -> list[Edge]:
    """All dependences, and all tasks within `span` of an origin, the last node."""
    origin = len(graph.tasks)
    ties = [(origin, i, 0) for i in range(origin)]
    ties += [(i, origin, task.duration - span) for i, task in enumerate(graph.tasks)]
    return _edges(graph, interval, graph.dependences) + ties


def _edges(graph: TaskGraph, interval: int, dependences: Sequence[Dependence]) -> list[Edge]:
    at = {task.name: i for i, task in enumerate(graph.tasks)}
    return [(at[d.producer], at[d.consumer], d.latency - d.distance * interval) for d in dependences]


def _longest_chain(graph: TaskGraph, interval: int) -> int:
    """Ticks from the start of a task to the end of another that the dependences alone need."""
    size = len(graph.tasks)
    paths = [[0 if i == j else NEVER for j in range(size)] for i in range(size)]
    for edge in _edges(graph, interval, graph.dependences):
        add_edge(paths, edge)
    return max(reach + task.duration for row in paths for reach, task in zip(row, graph.tasks, strict=True))


def _staged(graph: TaskGraph, interval: int, modular: Starts) -> Starts:
    """The earliest starts that meet every dependence and keep their place in the period."""
    found = [start % interval for start in modular[: len(graph.tasks)]]
    edges = _edges(graph, interval, graph.dependences)
    moved = True
    while moved:
        moved = False
        for i, j, weight in edges:
            late = found[i] + weight - found[j]
            if late > 0:
                found[j] += -(-late // interval) * interval
                moved = True
    return tuple(found)


def _one_by_one(graph: TaskGraph) -> Starts:
    """Starts of one task after another, each once everything it needs has arrived."""
    start: dict[str, int] = {}
    waiting, now = list(graph.tasks), 0
    while waiting:
        left = {t.name for t in waiting}
        into = {t.name: [d for d in graph.dependences if d.consumer == t.name and not d.distance] for t in waiting}
        task = next(t for t in waiting if not any(d.producer in left for d in into[t.name]))
        now = max((now, *(start[d.producer] + d.latency for d in into[task.name])))
        start[task.name] = now
        now += task.duration
        waiting.remove(task)
    return tuple(start[task.name] for task in graph.tasks)


def _settled(graph: TaskGraph, found: Starts) -> int:
    """The interval after which nothing of an iteration is still under way."""
    start = {task.name: s for task, s in zip(graph.tasks, found, strict=True)}
    arrivals = [start[d.producer] + d.latency for d in graph.dependences]
    return max((*arrivals, _span(graph, found)))


def _span(graph: TaskGraph, found: Starts) -> int:
    ends = [start + task.duration for start, task in zip(found, graph.tasks, strict=True)]
    return max(ends) - min(found)
