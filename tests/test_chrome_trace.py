"""A trace says what the timeline says, and its check finds every fault that was planted."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from fusemap.diagnostics import InputError
from fusemap.sim.timeline import Counter, Flow, Span, SpanKind, Timeline
from fusemap.sim.timeline_window import extent, lanes, window
from fusemap.validation.trace import render_trace, thousandths, write_trace
from fusemap.validation.trace_check import check_trace, read_trace

NAMES = st.sampled_from(["BQK", "SLNV", 'load "K"', "é\\n\t", ""])
KINDS: tuple[SpanKind, ...] = ("work", "transfer", "stall")


def _toy() -> Timeline:
    spans = (
        Span(track="dram", name="load K", start=0, end=3, kind="transfer"),
        Span(track="array_2d", name="BQK", start=0, end=3, kind="stall", cause="load K"),
        Span(track="array_2d", name="BQK", start=3, end=8, iteration=1),
        Span(track="array_2d", name="BQK", start=6, end=12, kind="drain", iteration=1),
        Span(track="array_2d", name="SLNV", start=8, end=14, iteration=1),
        Span(track="array_2d", name="SLNV", start=11, end=18, kind="drain", iteration=1),
    )
    return Timeline(
        name="toy",
        clock_hz=940e6,
        ticks_per_cycle=2,
        tracks=("array_2d", "array_1d", "dram"),
        spans=spans,
        counters=(Counter(name="buffer", unit="bytes", samples=((0, 0), (3, 96.5), (12, 64))),),
        flows=(Flow(tensor="K", producer=0, consumer=2), Flow(tensor="BQK", producer=3, consumer=5)),
        last=18,
    )


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Spans of a track one after another, some touching, some shorter than a thousandth of a cycle."""
    tracks = ("array_2d", "array_1d", "dram")
    spans: list[Span] = []
    for track in tracks:
        at = draw(st.integers(0, 50))
        for _ in range(draw(st.integers(0, 8))):
            start = at + draw(st.sampled_from([0, 0, 1, 7]))
            at = start + draw(st.integers(0, 30))
            cause = draw(st.sampled_from(["", "dram", "no buffer"]))
            kind, n = draw(st.sampled_from(KINDS)), draw(st.integers(0, 9))
            spans.append(Span(track=track, name=draw(NAMES), start=start, end=at, kind=kind, cause=cause, iteration=n))
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, 60))
            end = start + draw(st.integers(0, 60))
            spans.append(Span(track=track, name=draw(NAMES), start=start, end=end, kind="drain"))
    spans = draw(st.permutations(spans))
    ticks_per_cycle = draw(st.sampled_from([1, 2, 3, 16, 997, 5000]))
    long = [i for i, s in enumerate(spans) if 1000 * (s.end - s.start) > ticks_per_cycle]
    forward = [(i, j) for i in long for j in long if i != j and spans[i].start <= spans[j].start]
    pairs = draw(st.lists(st.sampled_from(forward), max_size=6)) if forward else []
    ticks = sorted(draw(st.lists(st.integers(0, 300), max_size=6)))
    samples = tuple((tick, draw(st.floats(0, 1e12) | st.integers(0, 1 << 40))) for tick in ticks)
    return Timeline(
        name=draw(NAMES),
        clock_hz=1e9,
        ticks_per_cycle=ticks_per_cycle,
        tracks=tracks,
        spans=tuple(spans),
        counters=(Counter(name="buffer", unit="bytes", samples=samples),),
        flows=tuple(Flow(tensor="K", producer=i, consumer=j) for i, j in pairs),
        last=400,
    )


def _events(content: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(content)["traceEvents"]
    return found


def _spans(content: bytes) -> list[tuple[Span, Fraction, Fraction]]:
    """The spans of a trace, and where a viewer shows their begin and end, in cycles."""
    events = _events(content)
    threads = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    found = []
    for e in events:
        if e["ph"] == "X":
            args = e["args"]
            span = Span(
                track=threads[e["tid"]].split(" ")[0],
                name=args["waiting"] if e["cat"] == "stall" else e["name"],
                start=args["start_tick"],
                end=args["end_tick"],
                kind=e["cat"],
                iteration=args["iteration"],
                cause=args.get("cause", ""),
            )
            start = Fraction(round(e["ts"] * 1000), 1000)
            found.append((span, start, start + Fraction(round(e["dur"] * 1000), 1000)))
    return found


@examples(50, 150, deadline=None)
@given(timeline=timelines())
def test_a_trace_read_back_is_the_timeline(timeline: Timeline) -> None:
    content = render_trace(timeline)
    assert check_trace(content) == ()
    found = _spans(content)
    assert sorted((f[0] for f in found), key=repr) == sorted(timeline.spans, key=repr)
    for span, start, end in found:
        for tick, shown in ((span.start, start), (span.end, end)):
            assert abs(Fraction(tick, timeline.ticks_per_cycle) - shown) <= Fraction(1, 2000)
    assert sum(e["ph"] == "s" for e in _events(content)) == len(timeline.flows)


@examples(17, 50, deadline=None)
@given(timeline=timelines())
def test_sums_are_the_ticks_of_the_spans(timeline: Timeline) -> None:
    reading = read_trace(render_trace(timeline, "json.gz"))
    for track in timeline.tracks:
        for kind in KINDS:
            ticks = sum(s.end - s.start for s in timeline.spans if (s.track, s.kind) == (track, kind))
            assert reading.cycles(track, kind) == Fraction(ticks, timeline.ticks_per_cycle)
    total = sum(s.end - s.start for s in timeline.spans)
    assert sum(s.cycles for s in reading.sums) == Fraction(total, timeline.ticks_per_cycle)
    assert sum(s.slices for s in reading.sums) == len(timeline.spans)


def test_flows_bind_to_their_spans() -> None:
    """As a viewer does: the slice last begun on the thread when the flow's event comes, events in order of time."""
    events = _events(render_trace(_toy()))
    for flow, producer, consumer in (("K", "load K", "BQK"), ("BQK", "BQK", "SLNV")):
        for phase, expected in (("s", producer), ("f", consumer)):
            open_slice: dict[int, str] = {}
            for e in sorted((e for e in events if "ts" in e), key=lambda e: e["ts"]):
                if e["ph"] == "X":
                    open_slice[e["tid"]] = e["name"]
                elif (e["ph"], e["name"]) == (phase, flow):
                    assert open_slice[e["tid"]] == expected


def test_the_file_begins_as_viewers_want_it_and_names_its_unit() -> None:
    content = render_trace(_toy())
    assert content.startswith(b'{"traceEvents":[')
    document = json.loads(content)
    assert document["displayTimeUnit"] == "ns"
    assert document["otherData"]["time"].startswith("1 us is 1 cycle")
    names = [e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"]
    assert names == ["array_2d", "array_2d drain", "array_2d drain 2", "array_1d", "dram"]
    stall = next(e for e in document["traceEvents"] if e.get("cat") == "stall")
    assert (stall["name"], stall["args"]["waiting"]) == ("stall: load K", "BQK")


def test_equal_timelines_give_equal_bytes_plain_and_compressed() -> None:
    packed = render_trace(_toy(), "json.gz")
    assert packed == render_trace(_toy(), "gz") and packed[4:8] == bytes(4)
    assert gzip.decompress(packed) == render_trace(_toy())
    assert check_trace(packed) == ()


def test_many_spans_are_written_piece_by_piece() -> None:
    class Pieces(io.BytesIO):
        largest = 0

        def write(self, piece: Any, /) -> int:
            self.largest = max(self.largest, len(piece))
            return super().write(piece)

    spans = tuple(Span(track="pe", name="QK", start=n, end=n + 1) for n in range(10_000))
    stream = Pieces()
    write_trace(Timeline(name="", clock_hz=1e9, ticks_per_cycle=1, tracks=("pe",), spans=spans), stream)
    assert read_trace(stream.getvalue()).cycles("pe", "work") == 10_000
    assert stream.largest < len(stream.getvalue()) / 2


def test_what_no_trace_can_show_is_refused() -> None:
    toy = _toy()

    def other(**changes: Any) -> Timeline:
        fields = {name: getattr(toy, name) for name in Timeline.__dataclass_fields__}
        return Timeline(**{**fields, **changes})

    late = Span(track="array_2d", name="RM", start=13, end=20)
    early = Span(track="dram", name="load Q", start=-1, end=0)
    lost = Span(track="array_3d", name="RM", start=13, end=20)
    for timeline, message in (
        (other(spans=(*toy.spans, late)), "SLNV until tick 14 and RM from tick 13"),
        (other(spans=(*toy.spans, early)), "begins at tick 0"),
        (other(spans=(*toy.spans, lost)), "array_3d, which is none of array_2d, array_1d, dram"),
        (other(flows=(Flow(tensor="K", producer=4, consumer=0),)), "back to load K"),
        (other(flows=(Flow(tensor="K", producer=4, consumer=99),)), "span 99 of 6"),
        (other(counters=(Counter(name="b", unit="B", samples=((3, 1), (2, 1))),)), "do not go forward"),
        (other(counters=(Counter(name="b", unit="B", samples=((3, float("nan")),)),)), "not JSON compliant"),
    ):
        with pytest.raises(ValueError, match=message):
            render_trace(timeline)
    with pytest.raises(InputError, match=r"json or json\.gz"):
        render_trace(toy, "csv")


# --- planted faults ---------------------------------------------------------------------------------

Change = Callable[[list[dict[str, Any]]], object]


def _first(events: list[dict[str, Any]], phase: str, number: int = 0) -> dict[str, Any]:
    return [e for e in events if e["ph"] == phase][number]


FAULTS: tuple[tuple[str, str, Change], ...] = (
    ("overlap", "array_2d", lambda e: _first(e, "X", 1).update(dur=2.501, args={})),
    ("overlap", "array_2d", lambda e: e.append({**_first(e, "X", 1), "ts": 2, "dur": 1, "args": {}})),
    ("dangling flow", "flow 1 of K", lambda e: e.remove(_first(e, "f"))),
    ("dangling flow", "flow 1 of K", lambda e: e.remove(_first(e, "s"))),
    ("dangling flow", "flow 1 of K", lambda e: e.append(_first(e, "s"))),
    ("backward flow", "flow 1 of K", lambda e: _first(e, "f").update(ts=0.5)),
    ("flow outside slices", "flow 1 of K", lambda e: _first(e, "s").update(ts=1.5)),
    ("flow outside slices", "flow 1 of K", lambda e: e.insert(0, e.pop(e.index(_first(e, "f"))))),
    ("negative counter", "buffer, event", lambda e: _first(e, "C").update(args={"bytes": -1})),
    ("counter order", "buffer, event", lambda e: _first(e, "C").update(ts=99)),
    ("missing thread name", "thread 6", lambda e: e.remove(next(m for m in e if m["args"].get("name") == "dram"))),
    ("precision", "event", lambda e: _first(e, "X").update(ts=0.0004)),
    ("ticks", "event", lambda e: _first(e, "X", 1).update(dur=2.4)),
    ("structure", "event", lambda e: _first(e, "X").pop("dur")),
    ("structure", "event", lambda e: _first(e, "X").update(dur=-1)),
    ("structure", "event", lambda e: _first(e, "X").update(ts="0")),
    ("structure", "event", lambda e: _first(e, "X").update(ts=1e300)),
    ("structure", "event", lambda e: _first(e, "X").update(tid="two")),
    ("structure", "event", lambda e: _first(e, "X").update(ph="b")),
    ("structure", "event", lambda e: _first(e, "X").pop("name")),
    ("structure", "event", lambda e: _first(e, "f").pop("bp")),
    ("structure", "event", lambda e: _first(e, "C").update(args={"bytes": "many"})),
    ("structure", "event 0", lambda e: e.__setitem__(0, 3)),  # type: ignore[call-overload]
)


@pytest.mark.parametrize(("kind", "where", "change"), FAULTS, ids=[f"{n} {f[0]}" for n, f in enumerate(FAULTS)])
def test_a_planted_fault_is_found(kind: str, where: str, change: Change) -> None:
    document = json.loads(render_trace(_toy()))
    assert check_trace(json.dumps(document).encode()) == ()
    change(document["traceEvents"])
    found = check_trace(json.dumps(document).encode())
    assert any(f.kind == kind and f.where.startswith(where) for f in found), found


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "not JSON"),
        (b'{"traceEvents": [', "not JSON"),
        (b'{"traceEvents": [NaN]}', "not JSON"),
        (render_trace(_toy(), "gz")[:-9], "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "structure"),
        (b'{"traceEvents": 1}', "structure"),
        (b'{"a": 1, "traceEvents": []}', "structure"),
        (b'{"traceEvents": [], "displayTimeUnit": "s"}', "structure"),
    ],
)
def test_a_file_that_is_no_trace_is_a_fault(content: bytes, kind: str) -> None:
    assert [f.kind for f in check_trace(content)] == [kind]


# --- windows and lanes ------------------------------------------------------------------------------


@examples(34, 100, deadline=None)
@given(timeline=timelines(), first=st.integers(0, 100), length=st.integers(1, 100))
def test_a_window_shows_what_the_whole_shows_there(timeline: Timeline, first: int, length: int) -> None:
    last = first + length
    part = window(timeline, first, last)
    assert (part.first, part.last) == (first, last) and extent(part) == (first, last)
    for track in timeline.tracks:
        for tick in range(first, last):
            assert [s.name for s in part.spans if s.track == track and s.start <= tick < s.end] == [
                s.name for s in timeline.spans if s.track == track and s.start <= tick < s.end
            ]
    for f in part.flows:
        assert any(
            (timeline.spans[g.producer].name, timeline.spans[g.consumer].name)
            == (part.spans[f.producer].name, part.spans[f.consumer].name)
            for g in timeline.flows
        )
    for whole, cut in zip(timeline.counters, part.counters, strict=True):
        for tick in range(first, last):
            assert [v for t, v in cut.samples if t <= tick][-1:] == [v for t, v in whole.samples if t <= tick][-1:]


def test_flows_of_a_window_are_renumbered_and_cut_with_their_spans() -> None:
    toy = _toy()
    part = window(toy, 5, 12)
    assert [s.name for s in part.spans] == ["BQK", "BQK", "SLNV", "SLNV"]
    assert part.flows == (Flow(tensor="BQK", producer=1, consumer=3),)
    assert part.counters[0].samples == ((5, 96.5),)
    with pytest.raises(InputError, match="not from tick 5 to tick 5"):
        window(toy, 5, 5)


@examples(34, 100, deadline=None)
@given(timeline=timelines())
def test_lanes_hold_every_span_once_and_apart(timeline: Timeline) -> None:
    found = lanes(timeline)
    assert sorted(i for lane in found for i in lane.spans) == list(range(len(timeline.spans)))
    for lane in found:
        for i, j in pairwise(lane.spans):
            assert timeline.spans[i].end <= timeline.spans[j].start
            assert timeline.spans[i].track == timeline.spans[j].track == lane.track
    for track in timeline.tracks:
        drains = [s for s in timeline.spans if s.track == track and s.kind == "drain"]
        most = max((sum(s.start <= at.start < max(s.end, s.start + 1) for s in drains) for at in drains), default=0)
        assert sum(lane.track == track and lane.drain > 0 for lane in found) <= most


@given(tick=st.integers(0, 10**9), ticks_per_cycle=st.integers(1, 10**6))
def test_times_are_rounded_to_the_nearest_thousandth(tick: int, ticks_per_cycle: int) -> None:
    error = Fraction(tick, ticks_per_cycle) - Fraction(thousandths(tick, ticks_per_cycle), 1000)
    assert -Fraction(1, 2000) <= error < Fraction(1, 2000)
