"""A timeline as a file in Chrome's trace-event format, which Perfetto and chrome://tracing open.

A cycle is written as one microsecond, so that what a viewer calls us are cycles and what it calls ns are
thousandths of one. Viewers keep whole nanoseconds and round begin and duration of a slice separately: with a cycle
as a nanosecond, slices that begin within a cycle would overlap and be dropped without a word.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import BinaryIO, Literal

from fusemap.diagnostics import input_error
from fusemap.sim.timeline import Span, Timeline
from fusemap.sim.timeline_window import Lane, lanes

SUFFIXES = ("json", "json.gz", "gz")
# The number of the machine's process. Threads begin after it: viewers take a thread of its process's number for the
# main one, and number 0 for none.
PROCESS = 1
FIRST_THREAD = PROCESS + 1
ROUNDING = "1 us is 1 cycle; begins and ends are rounded to the nearest thousandth of a cycle, halves up"
_LINES = 4096  # lines written at a time
_text = json.encoder.encode_basestring_ascii


def thousandths(tick: int, ticks_per_cycle: int) -> int:
    """The tick in thousandths of a cycle, rounded to the nearest, halves up; keeps the order of ticks.

    >>> thousandths(7, 3), thousandths(1, 2000), thousandths(1, 2001)
    (2333, 1, 0)
    """
    return (2000 * tick + ticks_per_cycle) // (2 * ticks_per_cycle)


def render_trace(timeline: Timeline, suffix: str = "json") -> bytes:
    """The content of a `.json` or `.json.gz` file; equal timelines give equal bytes. Errors as `write_trace`."""
    buffer = io.BytesIO()
    write_trace(timeline, buffer, suffix)
    return buffer.getvalue()


def write_trace(timeline: Timeline, stream: BinaryIO, suffix: str = "json") -> None:
    """Write the trace piece by piece; a `suffix` of `json.gz` or `gz` compresses it.

    InputError for another suffix; ValueError for a timeline that no trace can show: spans that overlap, a flow
    into a span that begins before its producer, a value that is not finite.
    """
    if suffix not in SUFFIXES:
        raise input_error(f'a trace is a file of type json or json.gz, not "{suffix}"')
    if suffix == "json":
        _write(timeline, stream)
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=6, mtime=0) as packed:
        _write(timeline, packed)


def _write(timeline: Timeline, stream: BinaryIO | gzip.GzipFile) -> None:
    stream.write(b'{"traceEvents":[\n')
    lines = _events(timeline)
    separator = ""
    while piece := list(itertools.islice(lines, _LINES)):
        stream.write((separator + ",\n".join(piece)).encode())
        separator = ",\n"
    other = {
        "timeline": timeline.name,
        "clock_hz": timeline.clock_hz,
        "ticks_per_cycle": timeline.ticks_per_cycle,
        "first_tick": timeline.first,
        "last_tick": timeline.last,
        "time": ROUNDING,
    }
    stream.write(b'\n],"displayTimeUnit":"ns","otherData":' + json.dumps(other, allow_nan=False).encode() + b"}\n")


def _events(timeline: Timeline) -> Iterator[str]:
    """Every event as a line of JSON: names, spans by thread and time, flows after all spans, counters."""
    placed = lanes(timeline)
    if any(span.start < 0 for span in timeline.spans):
        raise ValueError("a trace begins at tick 0 or later")
    yield from _names(timeline, placed)
    names: dict[str, str] = {}
    for tid, lane in enumerate(placed, FIRST_THREAD):
        for i in lane.spans:
            yield _slice(timeline.spans[i], tid, timeline.ticks_per_cycle, names)
    yield from _flows(timeline, placed)
    yield from _counters(timeline)


def _names(timeline: Timeline, placed: tuple[Lane, ...]) -> Iterator[str]:
    yield _metadata("process_name", FIRST_THREAD, {"name": timeline.name})
    yield _metadata("process_labels", FIRST_THREAD, {"labels": "1 us = 1 cycle"})
    for tid, lane in enumerate(placed, FIRST_THREAD):
        yield _metadata("thread_name", tid, {"name": lane.name})
        yield _metadata("thread_sort_index", tid, {"sort_index": tid})


def _metadata(name: str, tid: int, args: Mapping[str, object]) -> str:
    return json.dumps({"ph": "M", "pid": PROCESS, "tid": tid, "name": name, "args": args}, separators=(",", ":"))


def _microseconds(time: int) -> str:
    """Thousandths of a cycle as microseconds; a whole number without a point, which viewers read exactly."""
    whole, rest = divmod(time, 1000)
    return f"{whole}.{rest:03d}" if rest else str(whole)


def _slice(span: Span, tid: int, ticks_per_cycle: int, names: dict[str, str]) -> str:
    """A stall is called by its cause; who waits stands in its arguments."""
    stalled = span.kind == "stall"
    shown = (f"stall: {span.cause}" if span.cause else "stall") if stalled else span.name
    start, end = thousandths(span.start, ticks_per_cycle), thousandths(span.end, ticks_per_cycle)
    more = f',"waiting":{_quoted(span.name, names)}' if stalled else ""
    if span.cause:
        more += f',"cause":{_quoted(span.cause, names)}'
    return (
        f'{{"ph":"X","pid":{PROCESS},"tid":{tid},"ts":{_microseconds(start)},"dur":{_microseconds(end - start)}'
        f',"cat":"{span.kind}","name":{_quoted(shown, names)},"args":{{"iteration":{span.iteration}'
        f',"start_tick":{span.start},"end_tick":{span.end},"ticks_per_cycle":{ticks_per_cycle}{more}}}}}'
    )


def _quoted(text: str, names: dict[str, str]) -> str:
    quoted = names.get(text)
    if quoted is None:
        quoted = names[text] = _text(text)
    return quoted


def _flows(timeline: Timeline, placed: tuple[Lane, ...]) -> Iterator[str]:
    """A begin in the last thousandth of a cycle of the producer, an end at the start of the consumer.

    A viewer binds both to the slice of the thread that holds their time and begins earlier in the file; at its very
    end the producer would be over. A consumer that begins while its producer runs gets its flow at that time.
    """
    if not timeline.flows:
        return
    thread = {i: tid for tid, lane in enumerate(placed, FIRST_THREAD) for i in lane.spans}
    for number, flow in enumerate(timeline.flows, 1):
        for i in (flow.producer, flow.consumer):
            if i not in thread:
                raise ValueError(f"a flow of {flow.tensor} names span {i} of {len(timeline.spans)}")
        producer, consumer = timeline.spans[flow.producer], timeline.spans[flow.consumer]
        start, end = (thousandths(t, timeline.ticks_per_cycle) for t in (producer.start, producer.end))
        to = thousandths(consumer.start, timeline.ticks_per_cycle)
        if to < start:
            raise ValueError(
                f"{flow.tensor} flows from {producer.name}, which starts at tick {producer.start}, "
                f"back to {consumer.name}, which starts at tick {consumer.start}"
            )
        yield _flow_end("s", thread[flow.producer], max(start, min(end - 1, to)), number, flow.tensor)
        yield _flow_end("f", thread[flow.consumer], to, number, flow.tensor)


def _flow_end(phase: Literal["s", "f"], tid: int, time: int, number: int, tensor: str) -> str:
    bound = ',"bp":"e"' if phase == "f" else ""
    return (
        f'{{"ph":"{phase}","pid":{PROCESS},"tid":{tid},"ts":{_microseconds(time)}'
        f',"cat":"flow","name":{_text(tensor)},"id":{number}{bound}}}'
    )


def _counters(timeline: Timeline) -> Iterator[str]:
    for counter in timeline.counters:
        ticks = [tick for tick, _ in counter.samples]
        if ticks != sorted(ticks) or (ticks and ticks[0] < 0):
            raise ValueError(f"samples of {counter.name} do not go forward from tick 0")
        name, unit = _text(counter.name), _text(counter.unit)
        for tick, value in counter.samples:
            time = _microseconds(thousandths(tick, timeline.ticks_per_cycle))
            yield (
                f'{{"ph":"C","pid":{PROCESS},"tid":{FIRST_THREAD},"ts":{time}'
                f',"name":{name},"args":{{{unit}:{json.dumps(value, allow_nan=False)}}}}}'
            )
