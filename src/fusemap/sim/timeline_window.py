"""A stretch of a timeline, and the lanes in which its spans lie side by side without overlap."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fusemap.diagnostics import input_error
from fusemap.sim.timeline import Counter, Flow, Span, Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """Spans that do not overlap, as numbers into `Timeline.spans` by start.

    `drain` is 0 for what takes the track, n for the nth lane of its drains.
    """

    track: str
    name: str
    drain: int
    spans: tuple[int, ...]


def extent(timeline: Timeline) -> tuple[int, int]:
    """The first and the last tick: as the timeline says, or further out where its spans are."""
    first = min((s.start for s in timeline.spans), default=timeline.first)
    last = max((s.end for s in timeline.spans), default=timeline.last)
    return min(timeline.first, first), max(timeline.last, last)


def window(timeline: Timeline, first: int, last: int) -> Timeline:
    """What of a timeline lies between ticks `first` and `last`: spans are cut at both, and keep their ticks.

    A counter begins with the value that it has at `first`. A flow stays if both of its spans do. InputError if
    `first` is not before `last`.

    >>> spans = tuple(Span(track="pe", name="QK", start=n, end=n + 4, iteration=n // 4) for n in (0, 4, 8))
    >>> whole = Timeline(name="toy", clock_hz=1e9, ticks_per_cycle=1, tracks=("pe",), spans=spans, last=12)
    >>> [(s.start, s.end, s.iteration) for s in window(whole, 6, 10).spans]
    [(6, 8, 1), (8, 10, 2)]
    """
    if not first < last:
        raise input_error(f"a window ends after it begins, not from tick {first} to tick {last}")
    number: dict[int, int] = {}
    spans: list[Span] = []
    for i, span in enumerate(timeline.spans):
        if span.start < last and (span.end > first or span.start == span.end == first):
            number[i] = len(spans)
            within = first <= span.start and span.end <= last
            spans.append(span if within else replace(span, start=max(span.start, first), end=min(span.end, last)))
    flows = tuple(
        Flow(tensor=f.tensor, producer=number[f.producer], consumer=number[f.consumer])
        for f in timeline.flows
        if f.producer in number and f.consumer in number
    )
    counters = tuple(_cut(counter, first, last) for counter in timeline.counters)
    return replace(timeline, spans=tuple(spans), counters=counters, flows=flows, first=first, last=last)


def _cut(counter: Counter, first: int, last: int) -> Counter:
    before = [sample for sample in counter.samples if sample[0] <= first]
    held = ((first, before[-1][1]),) if before else ()
    return replace(counter, samples=(*held, *(s for s in counter.samples if first < s[0] < last)))


def lanes(timeline: Timeline) -> tuple[Lane, ...]:
    """The lanes of every track in order: its own, then as many as its drains need at once.

    Raises ValueError for a span of an unknown track, and for two spans of a track that overlap and are not drains.
    """
    own: dict[str, list[int]] = {track: [] for track in timeline.tracks}
    drains: dict[str, list[int]] = {track: [] for track in timeline.tracks}
    for i, span in enumerate(timeline.spans):
        if span.track not in own:
            raise ValueError(f"span {span.name} is on {span.track}, which is none of {', '.join(timeline.tracks)}")
        (drains if span.kind == "drain" else own)[span.track].append(i)
    found: list[Lane] = []
    for track in timeline.tracks:
        apart = _apart(timeline.spans, drains[track])
        if own[track] or not apart:
            numbers = _in_order(timeline.spans, own[track])
            found.append(Lane(track=track, name=track, drain=0, spans=numbers))
        base = f"{track} drain" if own[track] else track
        for n, numbers in enumerate(apart, 1):
            found.append(Lane(track=track, name=base if n == 1 else f"{base} {n}", drain=n, spans=numbers))
    return tuple(found)


def _in_order(spans: Sequence[Span], numbers: Iterable[int]) -> tuple[int, ...]:
    ordered = sorted(numbers, key=lambda i: (spans[i].start, spans[i].end, i))
    for i, j in itertools.pairwise(ordered):
        one, other = spans[i], spans[j]
        if other.start < one.end:
            raise ValueError(
                f"{one.track} does {one.name} until tick {one.end} and {other.name} from tick {other.start} on"
            )
    return tuple(ordered)


def _apart(spans: Sequence[Span], numbers: Iterable[int]) -> list[tuple[int, ...]]:
    """Each span in the first lane that is free when it starts."""
    placed: list[list[int]] = []
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for i in sorted(numbers, key=lambda i: (spans[i].start, spans[i].end, i)):
        while busy and busy[0][0] <= spans[i].start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane = len(placed)
            placed.append([])
        placed[lane].append(i)
        heapq.heappush(busy, (spans[i].end, lane))
    return [tuple(lane) for lane in placed]
