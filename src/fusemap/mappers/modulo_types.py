"""A loop body as tasks on resources, and a schedule that starts one iteration every `interval` ticks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Work that occupies `resource` for `duration` ticks once per iteration.

    `every` > 1: the work runs once in that many iterations and `duration` is the share of one iteration.
    """

    name: str
    resource: str
    duration: int
    every: int = 1

    def __post_init__(self) -> None:
        if self.duration < 0 or self.every < 1:
            raise ValueError(f"task {self.name}: duration {self.duration} < 0 or every {self.every} < 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """start(consumer in iteration i + distance) >= start(producer in iteration i) + latency, in ticks.

    The latency counts from the start of the producer: its duration and what the result needs to arrive.
    `delay` is that second part alone (the drain of an array), `tensor` what is handed on.
    """

    producer: str
    consumer: str
    latency: int
    distance: int = 0
    tensor: str = ""
    delay: int = 0

    def __post_init__(self) -> None:
        if self.distance < 0 or not 0 <= self.delay <= self.latency:
            raise ValueError(
                f"{self.producer} -> {self.consumer}: distance {self.distance} < 0, or delay {self.delay} "
                f"not within the latency {self.latency}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGraph:
    """The tasks of one steady-state iteration; each resource does one task at a time.

    `ticks_per_cycle` makes durations whole where an amortised task takes a fraction of a cycle.
    `loops` say what an iteration is: the loops (rank, bound) around it, outside in.
    """

    name: str
    tasks: tuple[Task, ...]
    dependences: tuple[Dependence, ...] = ()
    ticks_per_cycle: int = 1
    loops: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"tasks of {self.name} share a name: {', '.join(names)}")
        unknown = {n for d in self.dependences for n in (d.producer, d.consumer)} - {*names}
        if unknown:
            raise ValueError(f"dependences of {self.name} name {sorted(unknown)}, tasks are {names}")

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources in the order of the tasks."""
        return tuple(dict.fromkeys(task.resource for task in self.tasks))

    def task(self, name: str) -> Task:
        """The task of that name; KeyError if there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)

    def to_json(self) -> dict[str, object]:
        """The graph as plain lists and dictionaries."""
        return {
            "name": self.name,
            "ticks_per_cycle": self.ticks_per_cycle,
            "loops": [list(loop) for loop in self.loops],
            "tasks": [{f: getattr(t, f) for f in ("name", "resource", "duration", "every")} for t in self.tasks],
            "dependences": [
                {f: getattr(d, f) for f in ("producer", "consumer", "tensor", "latency", "delay", "distance")}
                for d in self.dependences
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """The dependence cycle with the largest latency / distance: no interval can be less than that."""

    tasks: tuple[str, ...]
    latency: int
    distance: int

    @property
    def ratio(self) -> Fraction:
        """Ticks per iteration that the cycle needs."""
        return Fraction(self.latency, self.distance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Task t of iteration i starts at starts[t] + i * interval; all times in ticks.

    `proven` is the largest interval bound that was proven: `interval == proven` says optimal.
    `span` is the time from the first start to the last end of one iteration, `span_bound` what it was
    proven to need at this interval.
    """

    graph: TaskGraph
    interval: int
    starts: tuple[tuple[str, int], ...]
    resource_bounds: tuple[tuple[str, int], ...]
    recurrence: Recurrence | None
    proven: int
    span: int
    span_bound: int
    nodes: int

    @property
    def start(self) -> Mapping[str, int]:
        """Start of each task in iteration 0."""
        return dict(self.starts)

    @property
    def resource_bound(self) -> int:
        """The busiest resource's ticks per iteration."""
        return max((bound for _, bound in self.resource_bounds), default=0)

    @property
    def recurrence_bound(self) -> int:
        """Ticks per iteration that dependences across iterations need, rounded up."""
        return -(-self.recurrence.latency // self.recurrence.distance) if self.recurrence else 0

    @property
    def gap(self) -> int:
        """Ticks between the interval and what was proven to be needed; 0 is optimal."""
        return self.interval - self.proven

    @property
    def interval_cycles(self) -> Fraction:
        """The initiation interval in cycles of the machine."""
        return Fraction(self.interval, self.graph.ticks_per_cycle)

    @property
    def stages(self) -> int:
        """How many iterations are under way at once, at most."""
        return -(-self.span // self.interval) if self.interval else 1

    def stage(self, task: str) -> int:
        """How many intervals after the first one of its iteration the task starts."""
        return self.start[task] // self.interval if self.interval else 0

    def offset(self, task: str) -> int:
        """When the task starts within the period, 0 <= offset < interval."""
        return self.start[task] % self.interval if self.interval else 0

    def copies(self) -> tuple[tuple[str, int], ...]:
        """Tiles of each tensor alive at once, at most: from the start of its task to the end of its last reader."""
        found: dict[str, int] = {}
        start = self.start
        for d in self.graph.dependences:
            alive = start[d.consumer] + self.graph.task(d.consumer).duration + d.distance * self.interval
            alive -= start[d.producer]
            name = d.tensor or d.producer
            found[name] = max(found.get(name, 1), -(-alive // self.interval) if self.interval else 1)
        return tuple(found.items())

    def to_json(self) -> dict[str, object]:
        """The schedule and its proof as plain lists and dictionaries; times in ticks."""
        cycle = self.recurrence
        return {
            "graph": self.graph.to_json(),
            "interval": self.interval,
            "proven": self.proven,
            "resource_bounds": dict(self.resource_bounds),
            "recurrence": None
            if cycle is None
            else {"tasks": list(cycle.tasks), "latency": cycle.latency, "distance": cycle.distance},
            "starts": [
                {"task": t, "start": s, "stage": self.stage(t), "offset": self.offset(t)} for t, s in self.starts
            ],
            "span": self.span,
            "span_bound": self.span_bound,
            "stages": self.stages,
            "copies": dict(self.copies()),
        }


def busy_ticks(tasks: Sequence[Task]) -> dict[str, int]:
    """Ticks per iteration of each resource.

    >>> busy_ticks([Task(name="A", resource="pe", duration=2), Task(name="B", resource="pe", duration=3)])
    {'pe': 5}
    """
    busy: dict[str, int] = {}
    for task in tasks:
        busy[task.resource] = busy.get(task.resource, 0) + task.duration
    return busy
