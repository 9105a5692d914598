"""What a picture of a timeline shows: rows of bars, and words above rows whose bars are too narrow for names."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fusemap.diagnostics import input_error
from fusemap.sim.timeline import Span, SpanKind, Timeline
from fusemap.sim.timeline_window import extent, lanes

MOST_BARS = 4000
MOST_CELLS = 64  # cycles of a picture that keeps a bar for each


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineBar:
    """A span, or several that touch and are alike, in cycles."""

    name: str
    iteration: int
    kind: SpanKind
    cause: str
    start: float
    end: float

    @property
    def width(self) -> float:
        """Its length in cycles."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The bars of a track, or of its drains, which lie in several lanes."""

    name: str
    drains: bool
    lanes: tuple[tuple[TimelineBar, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Where bars of these names, each too narrow for its name, follow each other; `count` bars in all."""

    names: tuple[str, ...]
    start: float
    end: float
    count: int


def is_short(timeline: Timeline) -> bool:
    """Whether the picture keeps a bar for every span: at most 64 cycles."""
    first, last = extent(timeline)
    return last - first <= MOST_CELLS * timeline.ticks_per_cycle


def timeline_rows(timeline: Timeline) -> tuple[Row, ...]:
    """The rows from top to bottom. Beyond 64 cycles, bars that touch and are alike become one.

    InputError for a picture of more than 4,000 bars.
    """
    keep = is_short(timeline)
    rows: list[Row] = []
    for lane in lanes(timeline):
        bars = [_bar(timeline, timeline.spans[i]) for i in lane.spans]
        shown = tuple(b for b in (bars if keep else _merged(bars)) if b.width > 0)
        if lane.drain > 1:
            rows[-1] = replace(rows[-1], lanes=(*rows[-1].lanes, shown))
        else:
            below = bool(lane.drain) and lane.name != lane.track
            rows.append(Row(name="drain" if below else lane.name, drains=bool(lane.drain), lanes=(shown,)))
    count = sum(len(lane) for row in rows for lane in row.lanes)
    if count > MOST_BARS:
        raise input_error(
            f"the timeline has {count:,} bars, and a picture shows {MOST_BARS:,} at most",
            hint="draw a window of it, or write a trace and look at that in a viewer",
        )
    return tuple(rows)


def _bar(timeline: Timeline, span: Span) -> TimelineBar:
    return TimelineBar(
        name=span.name,
        iteration=span.iteration,
        kind=span.kind,
        cause=span.cause,
        start=timeline.cycles(span.start),
        end=timeline.cycles(span.end),
    )


def _merged(bars: Iterable[TimelineBar]) -> list[TimelineBar]:
    found: list[TimelineBar] = []
    for bar in bars:
        if found and replace(found[-1], start=bar.start, end=bar.end) == bar and found[-1].end == bar.start:
            found[-1] = replace(found[-1], end=bar.end)
        else:
            found.append(bar)
    return found


def stretches(bars: Sequence[TimelineBar], middle: float) -> tuple[Stretch, ...]:
    """Where each name of these bars is to be said: the longest stretch of it, of equal ones that near the middle.

    Names whose stretches coincide, as of Einsums that take turns, are said together.
    """
    chosen = []
    for name in dict.fromkeys(bar.name for bar in bars):
        runs = _runs(name, [bar for bar in bars if bar.name == name])
        longest = max(run.end - run.start for run in runs)
        near = [run for run in runs if run.end - run.start > 0.9 * longest]
        chosen.append(min(near, key=lambda run: abs(run.start + run.end - 2 * middle)))
    found: list[Stretch] = []
    for run in sorted(chosen, key=lambda run: (run.start, run.end)):
        if found and run.count > 1 and found[-1].count > 1 and _coincide(found[-1], run):
            one = found[-1]
            found[-1] = Stretch(
                names=(*one.names, *run.names),
                start=one.start,
                end=max(one.end, run.end),
                count=one.count + run.count,
            )
        else:
            found.append(run)
    return tuple(found)


def _runs(name: str, bars: Sequence[TimelineBar]) -> list[Stretch]:
    """Bars of a name that are at most three of their usual widths apart: of up to four Einsums that take turns."""
    apart = 3 * statistics.median(bar.width for bar in bars)
    found: list[Stretch] = []
    for bar in sorted(bars, key=lambda b: b.start):
        if found and bar.start - found[-1].end <= apart:
            found[-1] = replace(found[-1], end=bar.end, count=found[-1].count + 1)
        else:
            found.append(Stretch(names=(name,), start=bar.start, end=bar.end, count=1))
    return found


def _coincide(one: Stretch, other: Stretch) -> bool:
    common = min(one.end, other.end) - max(one.start, other.start)
    return common > 0.6 * max(one.end - one.start, other.end - other.start)
