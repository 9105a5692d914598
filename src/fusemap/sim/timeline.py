"""What happened when in a simulation: spans on resources, quantities over time, and who waited for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

SpanKind: TypeAlias = Literal["work", "transfer", "drain", "stall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """`track` is taken from tick `start` to tick `end` by `name` (an Einsum, `load K`), or waits for `cause`.

    `iteration` numbers the tile or chunk that the work belongs to. Spans of one track do not overlap, but
    for those of kind `drain`: results on their way take no resource.
    """

    track: str
    name: str
    start: int
    end: int
    kind: SpanKind = "work"
    iteration: int = 0
    cause: str = ""

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"span {self.name} on {self.track} ends at {self.end}, before it starts at {self.start}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A quantity over time: `samples` are (tick, value), each value holds until the next tick."""

    name: str
    unit: str
    samples: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """`tensor` goes from one span to another; both are numbers into `Timeline.spans`."""

    tensor: str
    producer: int
    consumer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A stretch of a simulation, from tick `first` to tick `last`; `tracks` are its resources in order.

    A tick is 1 / `ticks_per_cycle` of a cycle of the machine.
    """

    name: str
    clock_hz: float
    ticks_per_cycle: int
    tracks: tuple[str, ...]
    spans: tuple[Span, ...]
    counters: tuple[Counter, ...] = ()
    flows: tuple[Flow, ...] = ()
    first: int = 0
    last: int = 0

    def cycles(self, tick: int) -> float:
        """The tick in cycles of the machine."""
        return tick / self.ticks_per_cycle
