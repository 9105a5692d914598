"""The recorded events of a tile-level run as a timeline: tracks, what the buffer holds, and who waited for whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fusemap.sim.tile_run import TileEvent, TileRun
from fusemap.sim.tile_types import Need, TileProgram
from fusemap.sim.timeline import Counter, Flow, Span, SpanKind, Timeline

KINDS: dict[str, SpanKind] = {"work": "work", "transfer": "transfer", "stall": "stall"}
DRAIN = "between arrays"


def tile_timeline(run: TileRun, name: str, clock_hz: float, bandwidth_bytes_per_s: float | None) -> Timeline:
    """The recorded slots of a run.

    Tracks are the arrays and the outermost memory; results on their way between arrays have a track of
    their own. Counters: bytes held in the buffer, bytes per second moved.
    """
    program, ticks = run.program, run.program.ticks_per_cycle
    events = [event for event in run.events if event.end > event.start]
    spans = [_span(event) for event in events]
    flows, drains = _handed(program, events)
    tracks = (*program.arrays, *([DRAIN] if drains else []), program.channel)
    last = max((span.end for span in spans), default=0)
    return Timeline(
        name=name,
        clock_hz=clock_hz,
        ticks_per_cycle=ticks,
        tracks=tracks,
        spans=(*spans, *drains),
        counters=tuple(_counters(run, bandwidth_bytes_per_s)),
        flows=flows,
        first=0,
        last=last,
    )


def peak_bytes(run: TileRun) -> float:
    """The most that the buffer holds at once in the recorded slots."""
    return max((held for _, held in _held(run.room)), default=0.0)


def _span(event: TileEvent) -> Span:
    kind = KINDS[event.kind]
    name = f"wait: {event.name}" if kind == "stall" else event.name
    return Span(
        track=event.track,
        name=name,
        start=event.start,
        end=event.end,
        kind=kind,
        iteration=event.iteration,
        cause=event.name if kind == "stall" else "",
    )


def _handed(program: TileProgram, events: Sequence[TileEvent]) -> tuple[tuple[Flow, ...], list[Span]]:
    """A flow for every result that one task hands to another, and a span for each that is on its way for a while."""
    work = {(e.number, e.iteration): i for i, e in enumerate(events) if e.kind == "work"}
    loads = {(e.name, e.iteration): i for i, e in enumerate(events) if e.kind == "transfer"}
    flows: list[Flow] = []
    drains: dict[tuple[int, int], Span] = {}
    for (number, iteration), consumer in work.items():
        for need in program.tasks[number].needs:
            producer = work.get((need.producer, iteration - need.distance))
            if producer is None or not _reads(program, need, iteration) or producer == consumer:
                continue
            made = events[producer]
            flows.append(Flow(tensor=need.tensor, producer=producer, consumer=consumer))
            if need.delay:
                drains[producer, need.delay] = Span(
                    track=DRAIN,
                    name=need.tensor,
                    start=made.end,
                    end=made.end + need.delay,
                    kind="drain",
                    iteration=made.iteration,
                )
        for load in program.loads:
            if load.task == number and (at := loads.get((f"load {load.tensor}", iteration))) is not None:
                flows.append(Flow(tensor=load.tensor, producer=at, consumer=consumer))
    forward = (f for f in flows if events[f.producer].end <= events[f.consumer].start)
    return tuple(sorted(forward, key=lambda f: (f.consumer, f.producer))), list(drains.values())


def _reads(program: TileProgram, need: Need, iteration: int) -> bool:
    """Does the task of this iteration read what was made before, rather than a start value?"""
    inner = 1
    for loop in program.loops[need.loop + 1 :]:
        inner *= loop.bound
    return not need.digit or iteration // inner % program.loops[need.loop].bound >= need.digit


def _held(room: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """What is held after each time at which it changes."""
    held, number = 0.0, 0
    while number < len(room):
        time = room[number][0]
        while number < len(room) and room[number][0] == time:
            held += room[number][1]
            number += 1
        yield time, max(held, 0.0)


def _counters(run: TileRun, bandwidth_bytes_per_s: float | None) -> Iterator[Counter]:
    held = tuple(_held(run.room))
    if held:
        yield Counter(name=f"held in {run.program.buffer}", unit="B", samples=((0, 0.0), *held) if held[0][0] else held)
    moves = sorted((e for e in run.events if e.kind == "transfer"), key=lambda e: e.start)
    if moves and bandwidth_bytes_per_s is not None:
        samples: dict[int, float] = {0: 0.0}
        for event in moves:
            samples[event.start] = bandwidth_bytes_per_s
            samples[event.end] = 0.0
        yield Counter(name=f"moved by {run.program.channel}", unit="B/s", samples=tuple(sorted(samples.items())))
