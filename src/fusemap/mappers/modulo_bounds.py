"""What no schedule can beat: dependence cycles, by the exact maximum of latency / distance."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from fusemap.diagnostics import input_error
from fusemap.mappers.modulo_types import Dependence, Recurrence, TaskGraph


def critical_recurrence(graph: TaskGraph) -> Recurrence | None:
    """The dependence cycle of largest sum of latencies / sum of distances; None if there is no cycle that waits.

    Starting at ratio 0, a cycle that is positive under latency - ratio * distance raises the ratio to its
    own, until none is positive (exact: a ratio is that of a cycle). InputError for a cycle of distance 0.
    """
    best: Recurrence | None = None
    ratio = Fraction(0)
    while (cycle := _positive_cycle(graph, ratio)) is not None:
        latency, distance = sum(d.latency for d in cycle), sum(d.distance for d in cycle)
        names = tuple(d.producer for d in cycle)
        if distance == 0:
            around = " -> ".join((*names, names[0]))
            raise input_error(f"tasks of {graph.name} wait for each other within one iteration: {around}")
        best = Recurrence(tasks=names, latency=latency, distance=distance)
        ratio = best.ratio
    return best


def _positive_cycle(graph: TaskGraph, ratio: Fraction) -> tuple[Dependence, ...] | None:
    """A cycle whose latency exceeds ratio times its distance (Bellman-Ford on longest paths)."""
    longest = {task.name: Fraction(0) for task in graph.tasks}
    into: dict[str, Dependence] = {}
    changed: str | None = None
    for _ in range(len(graph.tasks) + 1):
        changed = None
        for d in graph.dependences:
            reach = longest[d.producer] + d.latency - ratio * d.distance
            if reach > longest[d.consumer]:
                longest[d.consumer], into[d.consumer], changed = reach, d, d.consumer
        if changed is None:
            return None
    assert changed is not None
    return _cycle_behind(changed, into, len(graph.tasks))


def _cycle_behind(name: str, into: dict[str, Dependence], steps: int) -> tuple[Dependence, ...]:
    for _ in range(steps):
        name = into[name].producer
    cycle = [into[name]]
    while cycle[-1].producer != name:
        cycle.append(into[cycle[-1].producer])
    return tuple(reversed(cycle))


def clusters(names: Sequence[str], dependences: Sequence[Dependence]) -> dict[str, int]:
    """The number of the strongly connected component of each task: those that need each other share one.

    >>> clusters("AB", [Dependence(producer="A", consumer="B", latency=1)])
    {'A': 0, 'B': 1}
    """
    after: dict[str, set[str]] = {name: {name} for name in names}
    grown = True
    while grown:
        grown = False
        for d in dependences:
            for reach in after.values():
                if d.producer in reach and d.consumer not in reach:
                    reach.add(d.consumer)
                    grown = True
    number: dict[str, int] = {}
    for name in names:
        mates = (other for other in number if other in after[name] and name in after[other])
        number[name] = next((number[mate] for mate in mates), len(set(number.values())))
    return number
