"""A binding executed as it is written: stages one after another, each array through its list, waiting where it must."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fusemap.mappers.interleave import Passing
from fusemap.mappers.modulo_types import Dependence, TaskGraph
from fusemap.mappers.types import Stage
from fusemap.sim.cycle_times import Division, Instance, Timetable, quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """`array` stood still before `einsum` from cycle `start` to `end`, local cycles, for `tensor` of `producer`."""

    array: str
    einsum: str
    iteration: int
    producer: str
    tensor: str
    start: int
    end: int


def in_order(
    graph: TaskGraph,
    stages: Sequence[Stage],
    passings: Iterable[Passing],
    divisions: Sequence[Division],
    iterations: int,
) -> tuple[Timetable, tuple[Wait, ...]]:
    """The timetable of a binding, and who waited for what.

    An Einsum that reads what a later stage of the binding makes works on the iteration before. A stage begins when
    all arrays have done the one before; within it a reader starts as soon as dependences let it, word by word where
    `passings` say so. Divisions have their share of every round in the stage that lists them.
    """
    run = _Run(
        graph=graph,
        stages=[stage.work for stage in stages],
        passed={(p.producer, p.consumer) for p in passings},
        divisions=divisions,
    )
    rounds = iterations + max(run.lag.values())
    for number in range(rounds):
        run.round(number, iterations)
    run.remaining()
    cycles = tuple((key, tuple(times)) for key, times in run.cycles.items())
    first = min(times[0] for _, times in cycles)
    last = max(times[-1] for _, times in cycles)
    table = Timetable(order="stages", cycles=cycles, iterations=iterations, interval=None, span=last + 1 - first)
    return table, tuple(run.waits)


@dataclass(slots=True, kw_only=True)
class _Run:
    graph: TaskGraph
    stages: Sequence[Sequence[tuple[str, tuple[str, ...]]]]
    passed: set[tuple[str, str]]
    divisions: Sequence[Division]
    cycles: dict[Instance, list[int]] = field(default_factory=dict)
    waits: list[Wait] = field(default_factory=list)
    lag: dict[str, int] = field(default_factory=dict)
    now: int = 0
    queues: dict[str, deque[tuple[int, tuple[Instance, ...]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = {e: n for n, work in enumerate(self.stages) for _, einsums in work for e in einsums}
        self.lag = {t.name: 0 for t in self.graph.tasks}
        for _ in self.lag:
            for d in self.graph.dependences:
                late = self.lag[d.producer] + (place[d.producer] > place[d.consumer]) - d.distance
                self.lag[d.consumer] = max(self.lag[d.consumer], late)
        for division in self.divisions:
            runs = enumerate(division.after)
            self.queues[division.einsum] = deque((k, after) for k, after in runs for _ in range(division.steps))

    def round(self, number: int, iterations: int) -> None:
        """One round through all stages."""
        for work in self.stages:
            ends = [self.now]
            for array, einsums in work:
                cursor = self.now
                for einsum in einsums:
                    if einsum in self.queues:
                        cursor = self._divide(einsum, number, cursor)
                    elif 0 <= number - self.lag[einsum] < iterations:
                        cursor = self._run(array, einsum, number - self.lag[einsum], cursor)
                ends.append(cursor)
            self.now = max(ends)

    def remaining(self) -> None:
        """The divisions that are left, without a share."""
        for d in self.divisions:
            cursor = self.now
            while self.queues[d.einsum]:
                k, after = self.queues[d.einsum].popleft()
                cursor = max(cursor, *(self.cycles[ready][-1] + 1 for ready in after))
                self.cycles.setdefault((d.einsum, k), []).append(cursor)
                cursor += 1

    def _divide(self, einsum: str, number: int, cursor: int) -> int:
        division = next(d for d in self.divisions if d.einsum == einsum)
        queue = self.queues[einsum]
        for _ in range(quota(division, number)):
            if not queue or any(ready not in self.cycles or self.cycles[ready][-1] >= cursor for ready in queue[0][1]):
                break
            self.cycles.setdefault((einsum, queue.popleft()[0]), []).append(cursor)
            cursor += 1
        return cursor

    def _run(self, array: str, einsum: str, iteration: int, cursor: int) -> int:
        needs = [(self._ready(d, iteration), d) for d in self.graph.dependences if d.consumer == einsum]
        ready, cause = max(needs, key=lambda need: need[0], default=(0, None))
        start = max(cursor, ready)
        if start > cursor and cause is not None:
            wait = Wait(
                array=array,
                einsum=einsum,
                iteration=iteration,
                producer=cause.producer,
                tensor=cause.tensor,
                start=cursor,
                end=start,
            )
            self.waits.append(wait)
        duration = self.graph.task(einsum).duration
        self.cycles[einsum, iteration] = list(range(start, start + duration))
        return start + duration

    def _ready(self, d: Dependence, iteration: int) -> int:
        """When the producer's result lets the consumer start."""
        times = self.cycles.get((d.producer, iteration - d.distance))
        if times is None:
            return 0
        return times[0] + (1 + d.delay if (d.producer, d.consumer) in self.passed else d.latency)
