"""+Architecture executed: where its stall is, how long, and what the interleaving gains."""

from __future__ import annotations

import itertools

import pytest
from cycle_cases import attention, case

from fusemap.mappers.tasks import tasks_of
from fusemap.sim.cycle_compile import random_inputs
from fusemap.sim.cycle_run import run_cycles


@pytest.mark.parametrize(("rows", "f"), [(2, 2), (4, 6), (8, 3), (16, 2)])
def test_the_stalls_of_one_tile_after_another(rows: int, f: int) -> None:
    """RM waits R cycles for the maxima to leave the columns, SLN R more for them to climb back.

    RNV waits for SLNV where the column is longer than the F cycles of SPNV. The published formula has the first.
    """
    cascade, problem, mapping, machine = case(rows, f, f, rows * 3, rows * 2, flow="fusemax-arch")
    run = run_cycles(cascade, problem, mapping, machine, order="stages", inputs=random_inputs(problem, cascade))
    assert run.faults == ()
    waits = {(w.einsum, w.producer): w.end - w.start for w in run.waits if w.iteration == 2}
    expected = {("RM", "LM"): rows, ("SLN", "RM"): rows, ("RNV", "SLNV"): max(0, rows + 1 - f)}
    assert waits == {key: cycles for key, cycles in expected.items() if cycles}
    tile = f + 1 + rows + 1 + rows + 8 + f + max(f, rows + 1)
    assert run.ends[3] - run.ends[2] == tile
    assert run.utilization("array_2d") < (2 * f + 9) / tile


def test_the_stall_can_be_pointed_at() -> None:
    """The first wait of RM begins when LM has been issued and ends when lane 0 has the maximum of column 0."""
    run = run_cycles(*case(8, 4, 4, 16, 16, flow="fusemax-arch"), order="stages")
    wait = next(w for w in run.waits if w.einsum == "RM" and w.iteration == 0)
    times = dict(run.timetable.cycles)
    assert (wait.array, wait.tensor) == ("array_1d", "LM")
    assert wait.start == times["LM", 0][-1] + 1
    assert wait.end == times["RM", 0][0] == wait.start + 8


def test_numbers_do_not_depend_on_the_order() -> None:
    of = case(4, 4, 4, 16, 8, b=2)
    inputs = random_inputs(of[1], of[0])
    runs = [run_cycles(*of, order=order, inputs=inputs) for order in ("interleaved", "whole", "stages")]
    assert all(run.faults == () for run in runs)
    assert all((run.outputs["AV"] == runs[0].outputs["AV"]).all() for run in runs)
    assert abs(runs[0].outputs["AV"] - attention(inputs)).max() < 1e-6
    assert runs[0].cycles < runs[2].cycles


def test_without_interleaving_the_interval_is_the_same_and_words_wait_in_registers() -> None:
    run = run_cycles(*case(4, 12, 12, 8, 16, depths=(12, 99)), order="whole")
    interleaved = run_cycles(*case(4, 12, 12, 8, 16))
    assert run.interval == interleaved.interval == 34
    assert interleaved.arrays[1].peak < 12 - 1 <= run.arrays[1].peak
    short = run_cycles(*case(4, 12, 12, 8, 16, depths=(12, run.arrays[1].peak - 1)), order="whole")
    assert {fault.kind for fault in short.faults} == {"registers"}


def test_feed_delays_what_climbs_and_nothing_else() -> None:
    of = case(8, 2, 2, 16, 16)
    plain, fed = tasks_of(*of), tasks_of(*of, feed=True)
    assert plain.tasks == fed.tasks
    changed = [(a, b) for a, b in zip(plain.dependences, fed.dependences, strict=True) if a != b]
    assert [(b.producer, b.consumer, b.delay, b.latency - a.latency) for a, b in changed] == [("RM", "SLN", 8, 8)]


def test_the_timeline_shows_elements_links_and_stalls() -> None:
    run = run_cycles(*case(4, 2, 2, 8, 8, flow="fusemax-arch"), order="stages")
    shown = run.timeline(0, 2)
    assert shown.tracks == ("array_2d PE(0,0)", "array_2d PE(3,3)", "array_1d lane 0", "array_1d lane 3", "links")
    work = [s for s in shown.spans if s.track == "array_2d PE(3,3)" and s.kind == "work"]
    assert [(s.name, s.start) for s in work[:2]] == [("BQK", 6), ("LM", 8)]
    for track in shown.tracks[:4]:
        spans = sorted((s.start, s.end) for s in shown.spans if s.track == track)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    stall = next(s for s in shown.spans if s.kind == "stall")
    assert (stall.track, stall.name, stall.cause, stall.end - stall.start) == (
        "array_1d lane 0",
        "RM",
        "LM on its way",
        4,
    )
    climb = next(s for s in shown.spans if s.track == "links" and s.name == "RM")
    assert (climb.kind, climb.end - climb.start) == ("drain", 4)
    assert {c.name: max(v for _, v in c.samples) for c in shown.counters}["global_buffer accesses"] >= 2
