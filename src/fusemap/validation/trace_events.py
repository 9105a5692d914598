"""The events of a file in Chrome's trace-event format, one by one: what they say, and what is wrong with each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, TypeAlias

FaultKind: TypeAlias = Literal[
    "not JSON",
    "structure",
    "missing thread name",
    "precision",
    "ticks",
    "overlap",
    "dangling flow",
    "backward flow",
    "flow outside slices",
    "negative counter",
    "counter order",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFault:
    """A fault, and where: a thread, a flow, a counter or the number of an event, from 0."""

    kind: FaultKind
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.message}"


LATEST = 1 << 42  # microseconds whose thousandths a number of double precision can tell apart
Thread: TypeAlias = tuple[int, int]
FlowKey: TypeAlias = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of a thread; `order` is the number of its event in the file."""

    start: int  # in thousandths of a microsecond, as `end`
    end: int
    order: int
    name: str


@dataclass(frozen=True, slots=True)
class FlowEnd:
    """One of the two ends of a flow."""

    thread: Thread
    time: int
    order: int


@dataclass(slots=True)
class TraceState:
    """What has been read so far."""

    faults: list[TraceFault] = field(default_factory=list)
    names: dict[Thread, str] = field(default_factory=dict)
    slices: dict[Thread, list[Slice]] = field(default_factory=lambda: defaultdict(list))
    flows: dict[FlowKey, dict[str, list[FlowEnd]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    counters: dict[str, int] = field(default_factory=dict)
    # Sums as numerators by denominator, which are few.
    sums: dict[tuple[Thread, str], dict[int, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    counts: dict[tuple[Thread, str], int] = field(default_factory=lambda: defaultdict(int))

    def fault(self, kind: FaultKind, where: str, message: str) -> None:
        self.faults.append(TraceFault(kind=kind, where=where, message=message))


class BadEvent(Exception):
    """An event that cannot be read; says why."""


def read_event(event: Any, order: int, state: TraceState) -> None:
    """Add what an event says to the state; BadEvent if it says nothing that can be understood."""
    if not isinstance(event, dict):
        raise BadEvent("it is not an object")
    phase = event.get("ph")
    if phase not in ("M", "X", "C", "s", "f"):
        raise BadEvent(f"phase {phase!r} is none of M, X, C, s, f")
    thread = (_whole(event, "pid"), _whole(event, "tid"))
    name = event.get("name")
    if not isinstance(name, str):
        raise BadEvent(f"name is a string, not {name!r}")
    args = event.get("args", {})
    if not isinstance(args, dict):
        raise BadEvent("args is not an object")
    if phase == "M":
        _read_name(name, args, thread, state)
        return
    time = _time(event, "ts", order, state)
    if phase == "C":
        _read_counter(name, args, time, order, state)
    elif phase == "X":
        _read_slice(event, args, thread, Slice(time, time + _time(event, "dur", order, state), order, name), state)
    else:
        if phase == "f" and event.get("bp") != "e":
            raise BadEvent('a flow without "bp":"e" ends at the next slice, not at the one that holds it')
        if "id" not in event:
            raise BadEvent("a flow has no id")
        key = (str(event.get("cat", "")), name, str(event["id"]))
        state.flows[key][phase].append(FlowEnd(thread, time, order))


def _whole(event: Mapping[str, Any], key: str) -> int:
    value = event.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadEvent(f"{key} is a whole number, not {value!r}")
    return value


def _time(event: Mapping[str, Any], key: str, order: int, state: TraceState) -> int:
    """Microseconds as whole thousandths; viewers keep no more."""
    value = event.get(key)
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise BadEvent(f"{key} is a number, not {value!r}")
    if value < 0:
        raise BadEvent(f"{key} is {value}, less than 0")
    if value > LATEST:
        raise BadEvent(f"{key} is {value}: a number of double precision has no thousandths there")
    scaled = int(value * 1000)
    if scaled != value * 1000:
        state.fault("precision", f"event {order}", f"{key} is {value}: viewers round to 3 digits after the point")
    return scaled


def _read_name(name: str, args: Mapping[str, Any], thread: Thread, state: TraceState) -> None:
    if name != "thread_name":
        return
    called = args.get("name")
    if not isinstance(called, str) or not called:
        raise BadEvent("a thread_name has no name")
    if state.names.get(thread, called) != called:
        raise BadEvent(f"thread {thread[1]} is called {state.names[thread]} and {called}")
    state.names[thread] = called


def _read_counter(name: str, args: Mapping[str, Any], time: int, order: int, state: TraceState) -> None:
    if not args:
        raise BadEvent(f"counter {name} has no value")
    for unit, value in args.items():
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            raise BadEvent(f"counter {name} has the value {value!r}")
        if value < 0:
            state.fault("negative counter", f"{name}, event {order}", f"its value is {value} {unit}")
        series = f"{name} {unit}"
        if time < state.counters.get(series, 0):
            state.fault("counter order", f"{name}, event {order}", "its time is before that of the value before")
        state.counters[series] = max(time, state.counters.get(series, 0))


def _read_slice(
    event: Mapping[str, Any], args: Mapping[str, Any], thread: Thread, found: Slice, state: TraceState
) -> None:
    key = (thread, str(event.get("cat", "")))
    state.slices[thread].append(found)
    state.counts[key] += 1
    ticks = [args.get(k) for k in ("start_tick", "end_tick", "ticks_per_cycle")]
    if all(isinstance(t, int) for t in ticks) and ticks[2]:
        start, end, per_cycle = (int(t) for t in ticks if t is not None)
        state.sums[key][per_cycle] += end - start
        for tick, time in ((start, found.start), (end, found.end)):
            if abs(2 * (1000 * tick - time * per_cycle)) > per_cycle:
                cycles = float(Fraction(tick, per_cycle))
                state.fault(
                    "ticks", f"event {found.order}", f"{found.name} is at {time / 1000}, by its ticks at {cycles}"
                )
    else:
        state.sums[key][1000] += found.end - found.start
