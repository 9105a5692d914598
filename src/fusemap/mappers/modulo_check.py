"""Is a schedule right? Checked on iterations laid out one after another, without the solver's modular arithmetic."""

from __future__ import annotations

from itertools import pairwise

from fusemap.mappers.modulo_types import Schedule


def violations(schedule: Schedule, iterations: int | None = None) -> tuple[str, ...]:
    """What is wrong with a schedule when so many iterations are laid out (default: enough to meet any overlap).

    No resource may do two tasks at once, and every dependence must have its latency from an iteration to the
    one `distance` later. All stages of the pipeline are full from iteration `stages` on.
    """
    graph, start = schedule.graph, schedule.start
    farthest = max((d.distance for d in graph.dependences), default=0)
    count = iterations or 2 * schedule.stages + farthest + 2
    found = []
    for resource in graph.resources:
        tasks = [t for t in graph.tasks if t.resource == resource and t.duration]
        runs = sorted(
            (start[t.name] + i * schedule.interval, t.duration, f"{t.name}[{i}]") for t in tasks for i in range(count)
        )
        for (at, duration, name), (after, _, other) in pairwise(runs):
            if at + duration > after:
                found.append(f"{resource}: {name} runs {at}..{at + duration}, {other} starts at {after}")
    for d in graph.dependences:
        for i in range(count - d.distance):
            ready = start[d.producer] + i * schedule.interval + d.latency
            begins = start[d.consumer] + (i + d.distance) * schedule.interval
            if begins < ready:
                found.append(f"{d.consumer}[{i + d.distance}] starts at {begins}, {d.producer}[{i}] arrives at {ready}")
                break
    return tuple(found)
