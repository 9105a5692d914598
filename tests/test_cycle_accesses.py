"""Accesses of the buffer against a count by hand; registers and words that wait, where the paper has less room."""

from __future__ import annotations

import pytest
from cycle_cases import case

from fusemap.sim.cycle_compile import compile_cascade, random_inputs
from fusemap.sim.cycle_run import run_cycles


@pytest.mark.parametrize(("e", "f", "rows", "columns"), [(3, 4, 4, 4), (5, 2, 4, 2), (4, 4, 2, 6)])
def test_accesses_of_the_buffer_are_those_of_the_keep_sets(e: int, f: int, rows: int, columns: int) -> None:
    chunks, tiles, b = 2, 2, 3
    run = run_cycles(*case(rows, e, f, rows * chunks, columns * tiles, b=b, columns=columns))
    buffer = next(a for a in run.accesses if a.memory == "global_buffer")
    n, divided = chunks * tiles * b, tiles * b * f
    reads = n * (2 * e + 2 * f + 2) + 2 * divided  # Q, BK; BV, RNV; RM, RD; and both of them for AV
    assert sum(k for _, k in buffer.reads) == reads
    assert sum(k for _, k in buffer.writes) == n * (f + 2)
    by_row = n * (e + f)  # vectors of keys and values have a word per row
    assert run.words.sum(axis=0).tolist() == [
        by_row * rows + (reads - by_row) * columns,
        (n * (f + 2) + divided) * columns,
    ]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("f", [3, 6, 12])
def test_one_read_port_cannot_keep_the_published_interval(f: int) -> None:
    """Four accesses in a cycle happen, and no more; but an iteration reads more often than it has cycles."""
    run = run_cycles(*case(4, f, f, 16, 16, b=3))
    buffer = next(a for a in run.accesses if a.memory == "global_buffer")
    assert run.faults == ()
    assert buffer.peak <= 4
    assert buffer.peak_reads >= 3
    assert buffer.peak_writes == 1
    reads = 4 * f + 2 + 2 * f / 4
    assert (reads > 2 * f + 10 + f / 4) == (f > 3)
    start, end = run.ends[len(run.ends) // 2], run.ends[-8]
    pattern = buffer.pattern(start, end)
    assert sum(r * k for (r, _), k in pattern.items()) / (end - start) == pytest.approx(
        reads / (2 * f + 10 + f / 4), rel=0.05
    )


def test_registers_grow_with_rows_over_the_interval() -> None:
    """Scores and maxima of all tiles on their way down and up wait in the elements: about 4 R / interval of them."""
    peaks = [
        run_cycles(*case(rows, 2, 2, rows * 4, 16, columns=4, depths=(99, 99))).arrays[0].peak for rows in (4, 16, 32)
    ]
    assert peaks[0] < 6
    assert peaks[0] < peaks[1] < peaks[2]
    assert abs(peaks[2] - 2 * peaks[1]) <= 4


@pytest.mark.parametrize("f", [8, 40])
def test_the_published_architecture_has_too_few_registers_on_the_lanes(f: int) -> None:
    """Without interleaving F words of SPNV, which no memory keeps, wait for RNV: 32 registers hold fewer than 40."""
    run = run_cycles(*case(2, f, f, 4, 4, flow="fusemax-arch"), order="stages")
    assert run.arrays[1].peak >= f
    assert {fault.kind for fault in run.faults} == (set() if f == 8 else {"registers"})


def test_numerators_of_finished_tiles_take_room_of_their_own() -> None:
    """The next tiles write their own while the divisions go on: more vectors than P1 (F + 2) of the mapping."""
    f, tiles, chunks = 4, 4, 4
    cascade, problem, mapping, machine = case(4, f, f, 4 * chunks, 4 * tiles, b=3)
    compiled = compile_cascade(cascade, problem, mapping, machine, random_inputs(problem, cascade))
    kept = dict(compiled.program.kept)["global_buffer"]
    resident = tiles * (f + 2)
    assert resident < kept <= resident + tiles * (f + 1)
