"""A stretch of a run at the cycle level as a timeline: single elements, results on the links, memory accesses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fusemap.sim.cycle_accesses import Accesses
from fusemap.sim.cycle_stages import Wait
from fusemap.sim.cycle_types import ArrayProgram, Program, Slot
from fusemap.sim.timeline import Counter, Span, Timeline


def timeline(
    program: Program,
    accesses: Sequence[Accesses],
    waits: Sequence[Wait],
    *,
    name: str,
    clock_hz: float,
    first: int,
    last: int,
) -> Timeline:
    """What the first and the last element of every array do from cycle `first` to cycle `last`.

    On `links`: column results on their way to the foot, and words of the lanes on their way up, at column 0.
    """
    spans = [span for array in program.arrays for span in _elements(array)]
    spans += list(_links(program))
    tracks = dict.fromkeys(s.track for s in spans)
    spans += [_stall(wait, program) for wait in waits]
    counted = [_counter(a, first, last) for a in accesses]
    return Timeline(
        name=name,
        clock_hz=clock_hz,
        ticks_per_cycle=1,
        tracks=tuple(tracks),
        spans=tuple(sorted((s for s in spans if s.end > first and s.start < last), key=lambda s: (s.start, s.track))),
        counters=tuple(c for c in counted if any(value for _, value in c.samples)),
        first=first,
        last=last,
    )


def _track(array: ArrayProgram, row: int, column: int) -> str:
    return f"{array.array} PE({row},{column})" if array.rows > 1 else f"{array.array} lane {column}"


def _elements(array: ArrayProgram) -> Iterator[Span]:
    """Spans of the first and last element; cycles of one Einsum and iteration that follow each other are one."""
    runs: list[tuple[str, int, int, int]] = []
    for op in array.operations:
        if runs and runs[-1][:2] == (op.einsum, op.iteration) and runs[-1][3] == op.cycle:
            runs[-1] = (*runs[-1][:3], op.cycle + 1)
        else:
            runs.append((op.einsum, op.iteration, op.cycle, op.cycle + 1))
    ends = dict.fromkeys([(0, 0), (array.rows - 1, array.columns - 1)])
    for row, column in ends:
        late = row + column
        for einsum, iteration, start, end in runs:
            track = _track(array, row, column)
            yield Span(track=track, name=einsum, start=start + late, end=end + late, iteration=iteration)


def _links(program: Program) -> Iterator[Span]:
    rows = program.arrays[0].rows
    made = {op.result.word: op.iteration for array in program.arrays for op in array.operations}
    for array in program.arrays:
        for move in array.moves:
            word = program.words[move.read.tag.word]
            down = array is not program.arrays[0] and move.read.slot == Slot.NORTH
            if move.up or down:
                yield Span(
                    track="links",
                    name=word.tensor,
                    start=move.cycle - rows * down,
                    end=move.cycle + rows * move.up,
                    kind="drain",
                    iteration=made.get(move.read.tag.word, 0),
                )


def _stall(wait: Wait, program: Program) -> Span:
    array = next(a for a in program.arrays if a.array == wait.array)
    return Span(
        track=_track(array, 0, 0),
        name=wait.einsum,
        start=wait.start,
        end=wait.end,
        kind="stall",
        iteration=wait.iteration,
        cause=f"{wait.tensor} on its way",
    )


def _counter(accesses: Accesses, first: int, last: int) -> Counter:
    reads, writes = dict(accesses.reads), dict(accesses.writes)
    samples: list[tuple[int, float]] = []
    for cycle in range(first, last):
        value = float(reads.get(cycle, 0) + writes.get(cycle, 0))
        if not samples or samples[-1][1] != value:
            samples.append((cycle, value))
    return Counter(name=f"{accesses.memory} accesses", unit="accesses per cycle", samples=tuple(samples))
