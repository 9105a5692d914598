"""What is wrong with a file in Chrome's trace-event format, read without knowledge of who wrote it.

Viewers are silent about most of it: a slice that overlaps another one of its thread, or a flow with one end, is left
out of the picture. A resource does one thing at a time, so that a slice within another one counts as overlap too.
"""

from __future__ import annotations

import bisect
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

from fusemap.validation.trace_events import BadEvent, FlowEnd, Slice, Thread, TraceFault, TraceState, read_event


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadSum:
    """How long slices of a category take on a thread, in cycles: exact where slices name their ticks."""

    thread: str
    category: str
    slices: int
    cycles: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReading:
    """The faults of a trace in the order of its checks, and sums by thread and category, in the file's order."""

    faults: tuple[TraceFault, ...]
    sums: tuple[ThreadSum, ...]

    def cycles(self, thread: str, *categories: str) -> Fraction:
        """The cycles that slices of these categories (all, if none is named) take on a thread."""
        rows = [s for s in self.sums if s.thread == thread and (not categories or s.category in categories)]
        return sum((s.cycles for s in rows), Fraction(0))


def check_trace(content: bytes) -> tuple[TraceFault, ...]:
    """The faults of a trace, compressed or not; none is raised.

    >>> event = '{"ph": "X", "pid": 1, "tid": 2, "ts": 0, "dur": 1, "name": "QK", "cat": "work"}'
    >>> for fault in check_trace(('{"traceEvents": [' + event + "]}").encode()):
    ...     print(fault)
    missing thread name: thread 2 of process 1: it has slices and no name
    """
    return read_trace(content).faults


def read_trace(content: bytes) -> TraceReading:
    """The faults of a trace and the sums of its slices."""
    state = TraceState()
    try:
        events = _parsed(content, state)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        state.fault("not JSON", "file", str(error))
        return TraceReading(faults=tuple(state.faults), sums=())
    for order, event in enumerate(events):
        try:
            read_event(event, order, state)
        except BadEvent as error:
            state.fault("structure", f"event {order}", str(error))
    used = [*state.slices, *(end.thread for ends in state.flows.values() for e in ends.values() for end in e)]
    for thread in dict.fromkeys(used):
        if thread not in state.names:
            state.fault("missing thread name", _called(thread, {}), "it has slices and no name")
    _check_overlaps(state)
    _check_flows(state)
    return TraceReading(faults=tuple(state.faults), sums=tuple(_sums(state)))


def _parsed(content: bytes, state: TraceState) -> list[Any]:
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    document = json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
    if not isinstance(document, dict) or not isinstance(document.get("traceEvents"), list):
        state.fault("structure", "file", "it is not an object with a list traceEvents")
        return []
    first = next(iter(document))
    if first not in ("traceEvents", "displayTimeUnit"):
        state.fault("structure", "file", f"viewers know a trace by its first key, which is {first!r}")
    if document.get("displayTimeUnit", "ms") not in ("ns", "ms"):
        state.fault("structure", "file", f"displayTimeUnit is ns or ms, not {document['displayTimeUnit']!r}")
    events: list[Any] = document["traceEvents"]
    return events


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"JSON has no {text}")


def _called(thread: Thread, names: Mapping[Thread, str]) -> str:
    return names.get(thread, f"thread {thread[1]} of process {thread[0]}")


def _check_overlaps(state: TraceState) -> None:
    for thread, slices in state.slices.items():
        slices.sort(key=lambda s: (s.start, s.end, s.order))
        last = None
        for s in slices:
            if last is not None and s.start < last.end:
                message = f"{last.name} ends at {last.end / 1000}, after {s.name} starts at {s.start / 1000}"
                state.fault("overlap", _called(thread, state.names), message)
            if last is None or s.end >= last.end:
                last = s


def _check_flows(state: TraceState) -> None:
    starts = {thread: [s.start for s in slices] for thread, slices in state.slices.items()}
    for (_, name, number), ends in state.flows.items():
        where = f"flow {number} of {name}"
        if len(ends["s"]) != 1 or len(ends["f"]) != 1:
            state.fault("dangling flow", where, f"it has {len(ends['s'])} begins and {len(ends['f'])} ends")
            continue
        begin, end = ends["s"][0], ends["f"][0]
        if end.time < begin.time:
            message = f"it begins at {begin.time / 1000} and ends at {end.time / 1000}"
            state.fault("backward flow", where, message)
        for word, at in (("begins", begin), ("ends", end)):
            if not _held(state.slices.get(at.thread, []), starts.get(at.thread, []), at):
                thread = _called(at.thread, state.names)
                state.fault(
                    "flow outside slices", where, f"nothing runs on {thread} when it {word}, at {at.time / 1000}"
                )


def _held(slices: Sequence[Slice], starts: Sequence[int], at: FlowEnd) -> bool:
    """Whether a slice is open then: begun before, or at the same time earlier in the file, and not yet over."""
    past = bisect.bisect_right(starts, at.time)
    for s in slices[max(0, past - 3) : past]:
        begun = s.start < at.time or s.order < at.order
        if begun and (at.time < s.end or at.time == s.start == s.end):
            return True
    return False


def _sums(state: TraceState) -> Iterator[ThreadSum]:
    for (thread, category), parts in state.sums.items():
        cycles = sum((Fraction(ticks, per_cycle) for per_cycle, ticks in parts.items()), Fraction(0))
        count = state.counts[thread, category]
        yield ThreadSum(thread=_called(thread, state.names), category=category, slices=count, cycles=cycles)
