"""Numbers of the tile-level run against the interpreter, and faults that are planted in its schedule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dataflow_cases import pairs
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from tile_cases import ALL, TileCase, mapped_cascades, mapped_case, small
from tile_checker import faults, rules

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import interpreter, scope
from fusemap.sim.fused_words import Words
from fusemap.sim.tile_run import TileRun, run_tiles
from fusemap.sim.tile_types import EFFECTS, TileProgram, TileTask
from fusemap.sim.tile_values import TileValues, run_values

FLOWS = [flow for flow, _ in pairs()]
MOST_POINTS = 300_000


def computed(case: TileCase, runs: list[TileRun], seed: int = 0) -> TileValues:
    return run_values(case.cascade, case.problem, case.mapping, runs, seed=seed)


def farthest(case: TileCase, found: TileValues) -> float:
    """max |computed - interpreted| over the largest of the interpreted, for every output and batch index."""
    batch = [extent for _, extent in Words(case.cascade, case.problem).batch]
    known = {str(shape) for shape in scope.known_shapes(case.cascade)}
    sizes = {name: size for name, size in case.problem.sizes if name in known}
    worst = 0.0
    for at in np.ndindex(*batch):
        expected = interpreter.run(case.cascade, sizes, {n: a[at] for n, a in found.inputs.items()})
        for name, array in expected.items():
            scale = max(1e-300, float(np.max(np.abs(array))))
            worst = float(np.maximum(worst, np.max(np.abs(found.outputs[name][at] - array)) / scale))
    return worst


@examples(4, 12, deadline=None)
@given(
    st.sampled_from(FLOWS),
    st.tuples(*[st.sampled_from(x) for x in ((2, 4), (2, 8), (2, 4, 8, 12), (2, 4, 8, 12))]),
    st.sampled_from([2, 4]),
    st.sampled_from([0.01, 1.0]),
    st.sampled_from([("start", "drain"), EFFECTS[:3], EFFECTS]),
    st.integers(0, 9),
)
def test_dataflows_compute_what_the_cascade_says(
    flow: str, sizes: tuple[int, int, int, int], pe: int, bandwidth: float, effects: tuple[str, ...], seed: int
) -> None:
    """Also where all keys are one chunk: then the running state is read at its start only."""
    case = small(flow, sizes, pe, bandwidth)
    found = computed(case, case.runs(effects), seed)
    assert found.faults == ()
    assert farthest(case, found) < 1e-12


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("keys", [4, 16])
def test_every_dataflow_with_one_chunk_and_with_four(flow: str, keys: int) -> None:
    case = small(flow, (4, 4, keys, 8), 4)
    found = computed(case, case.runs())
    assert found.faults == ()
    assert farthest(case, found) < 1e-12


MANY_POINTS = frozenset(
    [
        "aki",
        "aki-streaming",
        "attention-3pass-window",
        "attention-sinks",
        "attention-sinks-streaming",
        "cca",
        "cca-streaming",
        "fai-streaming",
        "isotropic3d",
        "isotropic3d-streaming",
        "landmark",
        "landmark-streaming",
        "moa",
        "moa-streaming",
    ]
)


def test_what_has_few_points_is_tested() -> None:
    many = {n for n in mapped_cascades() if sum(s.points for s in mapped_case(n).problem.spaces) > MOST_POINTS}
    assert many == MANY_POINTS


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", [n for n in mapped_cascades() if n not in MANY_POINTS])
def test_cascades_compute_what_they_say(name: str) -> None:
    case = mapped_case(name)
    try:
        found = computed(case, case.runs(EFFECTS[:3]))
    except InputError as error:
        if "has a filter or an index that is data" not in str(error):
            raise
        pytest.skip(str(error))
    inside = [e for e, program in phases(case) if steps_inside(case, e, program)]
    assert {f.einsum for f in found.faults} <= set(inside)
    if not inside:
        assert farthest(case, found) < 1e-12


def phases(case: TileCase) -> list[tuple[str, TileProgram]]:
    return [(t.einsum, program) for program in case.programs() for t in program.tasks]


def steps_inside(case: TileCase, einsum: str, program: TileProgram) -> bool:
    """Is a rank of a recurrence stepped within a tile, as the nests of the phase put other loops around it?

    Then no order of tiles is right, and the numbers have to say so.
    """
    space = case.problem.space(einsum)
    shared = {loop.rank for loop in program.loops}
    return any(extent > 1 and rank in space.sequential and rank not in shared for rank, extent in space.ranks)


def test_a_recurrence_within_a_tile_is_reported() -> None:
    """The nests of SPNC and RNC step c and m1 in different orders."""
    found = computed(mapped_case("mla-absorbed-streaming"), mapped_case("mla-absorbed-streaming").runs())
    assert {(f.kind, f.einsum, f.tensor) for f in found.faults} == {("early", "SPNC", "RNC")}


def test_given_inputs_are_taken() -> None:
    case = small("flat", (2, 2, 4, 4), 2)
    shapes = {name: array.shape for name, array in computed(case, case.runs()).inputs.items()}
    ones = {name: np.ones(shape) for name, shape in shapes.items()}
    found = run_values(case.cascade, case.problem, case.mapping, case.runs(), inputs=ones)
    assert np.allclose(found.outputs["AV"], 1.0)


def test_a_run_that_was_not_recorded_is_refused() -> None:
    case = small("flat", (2, 2, 4, 4), 2)
    with pytest.raises(InputError, match="was not recorded from end to end"):
        computed(case, [run_tiles(p) for p in case.programs()])


def test_a_run_whose_pipeline_is_full_from_the_beginning_is_refused() -> None:
    case = small("flat", (2, 2, 4, 4), 2)
    with pytest.raises(InputError, match="without the effect start"):
        computed(case, case.runs(("drain",)))


# --- planted faults ---------------------------------------------------------------------------------------
#
# The numbers are computed in the order of the simulated starts, from the loops of the nests alone. A schedule that
# was made from a wrong program is caught where a task then starts before a word that it reads was made. It is not
# caught where something else holds the task back long enough: the order of the stages, its array, another need.


BINDING = "fusemax-binding"
PLAIN = ("start", "drain")


def right_program(effects: tuple[str, ...] = PLAIN) -> tuple[TileCase, TileProgram]:
    case = small(BINDING, (2, 2, 12, 8), 4)
    (program,) = case.programs(effects)
    return case, program


def planted(wrong: TileProgram, effects: tuple[str, ...] = PLAIN) -> tuple[set[tuple[str, str]], float]:
    """(reader, tensor) of what is read too early, and how far off the output is."""
    case, _ = right_program(effects)
    found = computed(case, [run_tiles(wrong, effects=effects, extrapolate=False, record=ALL)])
    assert {f.kind for f in found.faults} <= {"early"}
    assert all(f.einsum in f.message and f.tensor in f.message for f in found.faults)
    return {(f.einsum, f.tensor) for f in found.faults}, farthest(case, found)


def broken(wrong: TileProgram, effects: tuple[str, ...] = PLAIN) -> set[str]:
    """Rules of the right program that a run of the wrong one breaks."""
    _, right = right_program(effects)
    return rules(faults(right, run_tiles(wrong, effects=effects, extrapolate=False, record=ALL)))


def with_needs(program: TileProgram, reader: str, tensor: str, **to: int) -> TileProgram:
    """A need of a task with other fields, or without any dropped."""

    def task(t: TileTask) -> TileTask:
        if t.einsum != reader:
            return t
        assert any(n.tensor == tensor for n in t.needs)
        if not to:
            return replace(t, needs=tuple(n for n in t.needs if n.tensor != tensor))
        return replace(t, needs=tuple(replace(n, **to) if n.tensor == tensor else n for n in t.needs))

    return replace(program, tasks=tuple(map(task, program.tasks)))


def lagging(program: TileProgram, einsum: str, by: int) -> TileProgram:
    """One task works on another iteration."""
    tasks = tuple(replace(t, lag=max(0, t.lag + by)) if t.einsum == einsum else t for t in program.tasks)
    return replace(program, tasks=tasks)


def staged(program: TileProgram, einsum: str, stage: int) -> TileProgram:
    """The program with a task moved to the head of another stage."""
    found = next(replace(t, stage=stage) for t in program.tasks if t.einsum == einsum)
    rest = [t for t in program.tasks if t.einsum != einsum]
    at = next(i for i, t in enumerate(rest) if t.stage == stage)
    old, order = [t.einsum for t in program.tasks], [*rest[:at], found, *rest[at:]]
    number = {t.einsum: i for i, t in enumerate(order)}
    tasks = [replace(t, needs=tuple(replace(n, producer=number[old[n.producer]]) for n in t.needs)) for t in order]
    loads = tuple(replace(x, task=number[old[x.task]]) for x in program.loads)
    stores = tuple(replace(x, task=number[old[x.task]]) for x in program.stores)
    return replace(program, tasks=tuple(tasks), loads=loads, stores=stores)


def test_the_program_as_it_is_has_no_fault() -> None:
    _, right = right_program()
    assert planted(right) == (set(), pytest.approx(0, abs=1e-12))
    assert broken(right) == set()


def test_without_any_need_and_lag_much_is_read_too_early() -> None:
    _, right = right_program()
    wrong = replace(right, tasks=tuple(replace(t, lag=0, needs=()) for t in right.tasks))
    found, error = planted(wrong)
    assert {("RD", "SLD"), ("RNV", "SLNV"), ("RNV", "SPNV")} <= found
    assert not error < 1e-6


def test_a_lag_that_is_too_small_is_caught() -> None:
    """RNV reads what a later stage of the same turn makes: no wait can help, it needs another turn."""
    _, right = right_program()
    lag = {t.einsum: t.lag for t in right.tasks}
    for reader, tensor in (("RNV", "SLNV"), ("RNV", "SPNV"), ("RD", "SLD")):
        found, error = planted(lagging(right, reader, lag[tensor] - lag[reader]))
        assert (reader, tensor) in found
        assert not error < 1e-6


@pytest.mark.parametrize(("reader", "tensor"), [("RM", "LM"), ("SLN", "RM"), ("RNV", "SLNV"), ("RD", "SLD")])
def test_a_lag_that_is_a_little_too_small_only_waits(reader: str, tensor: str) -> None:
    """While the producer comes first in the order of work, its reader is held back by the need: right, and slower."""
    case, right = right_program()
    effects = PLAIN
    wrong = lagging(right, reader, -1)
    found = computed(case, [run_tiles(wrong, effects=effects, extrapolate=False, record=ALL)])
    readers_of_it = {t.einsum for t in right.tasks for n in t.needs if n.tensor == reader}
    assert {f.tensor for f in found.faults} <= {tensor, *readers_of_it}
    if not found.faults:
        assert farthest(case, found) < 1e-12


@pytest.mark.parametrize(("reader", "tensor"), [("RD", "SLD"), ("RNV", "SLNV")])
def test_a_dropped_need_is_caught_without_the_lag_that_it_caused(reader: str, tensor: str) -> None:
    """Both read what a later stage makes: without need and lag they read it a turn too early."""
    _, right = right_program()
    lag = {t.einsum: t.lag for t in right.tasks}
    found, _ = planted(lagging(with_needs(right, reader, tensor), reader, lag[tensor] - lag[reader]))
    assert (reader, tensor) in found


@pytest.mark.parametrize(("reader", "tensor"), [("RM", "LM"), ("SLN", "RM")])
def test_a_lost_drain_is_caught_by_the_checker_only(reader: str, tensor: str) -> None:
    """Stages keep the order, so the numbers are right; but the reader starts while the result is on its way."""
    _, right = right_program()
    lag = {t.einsum: t.lag for t in right.tasks}
    level = lagging(right, reader, lag[tensor] - lag[reader])
    wrong = with_needs(level, reader, tensor)
    assert (reader, tensor) not in planted(wrong)[0]
    held, free = (run_tiles(p, effects=PLAIN, extrapolate=False, record=ALL) for p in (level, wrong))
    assert faults(level, held) == []
    assert "need" in rules(faults(level, free))


def test_which_dropped_needs_are_caught_alone_and_which_cannot_be() -> None:
    """Lags are made such that in the steady state nobody waits: dropping one need changes few starts, or none.

    What changes no start breaks no rule, and gives the same numbers: there is no fault to find. All that do change
    one are caught by the checker, and those that read too early by the numbers as well.
    """
    _, right = right_program()
    before = starts(right)
    silent, caught, late = set(), set(), set()
    for t in right.tasks:
        for n in t.needs:
            wrong = with_needs(right, t.einsum, n.tensor)
            if starts(wrong) == before:
                silent.add((t.einsum, n.tensor))
                assert planted(wrong)[0] == set()
            else:
                assert "need" in broken(wrong)
                (caught if planted(wrong)[0] else late).add((t.einsum, n.tensor))
    assert silent
    assert len(silent | caught | late) == len({(t.einsum, n.tensor) for t in right.tasks for n in t.needs})


def test_a_dropped_need_is_caught_where_tasks_wait_for_it() -> None:
    """The same needs with no software pipelining to hide them: one stage after another on arrays of their own."""
    _, right = right_program()
    alone = replace(
        right,
        arrays=tuple(t.einsum for t in right.tasks),
        stages=right.stages[:1],
        tasks=tuple(replace(t, array=i, stage=0) for i, t in enumerate(right.tasks)),
    )
    assert planted(alone)[0] == set()
    caught = set()
    for t in right.tasks:
        for tensor in {n.tensor for n in t.needs}:
            found, _ = planted(with_needs(alone, t.einsum, tensor))
            if (t.einsum, tensor) in found:
                caught.add((t.einsum, tensor))
    assert {("RM", "LM"), ("SLN", "RM"), ("SLN", "BQK"), ("LM", "BQK")} & caught


def starts(program: TileProgram) -> dict[tuple[str, int], int]:
    run = run_tiles(program, effects=PLAIN, extrapolate=False, record=ALL)
    return {(e.name, e.iteration): e.start for e in run.events if e.kind == "work"}


def test_a_task_in_an_earlier_stage_is_caught() -> None:
    """RM before the scores of its own iteration, PRM before RM: with the needs known they would wait for ever."""
    _, right = right_program()
    for einsum, tensor in (("RM", "LM"), ("PRM", "RM")):
        producer = next(t for t in right.tasks if t.einsum == tensor)
        level = replace(
            right, tasks=tuple(replace(t, lag=producer.lag) if t.einsum == einsum else t for t in right.tasks)
        )
        found, error = planted(staged(level, einsum, 0))
        assert (einsum, tensor) in found
        assert not error < 1e-6


def test_a_distance_off_by_one_is_caught_where_a_task_waits_for_it() -> None:
    """Tiles of queries take turns: the state of a chunk is read two turns later. A slow maker shows who waits.

    Of one turn more than there are nothing is early; the checker sees that tasks wait for too little, or too much.
    """
    _, right = right_program()
    state = [(t.einsum, n) for t in right.tasks for n in t.needs if n.distance]
    assert {reader for reader, _ in state} >= {"RM", "SPD", "SPNV", "PRM"}
    for reader, need in state:
        slow = replace(
            right,
            tasks=tuple(replace(t, ticks=40 * t.ticks) if i == need.producer else t for i, t in enumerate(right.tasks)),
        )
        for off in (-1, 1):
            wrong = with_needs(slow, reader, need.tensor, distance=need.distance + off)
            run = run_tiles(wrong, effects=PLAIN, extrapolate=False, record=ALL)
            expected = run_tiles(slow, effects=PLAIN, extrapolate=False, record=ALL)
            assert faults(slow, expected) == []
            if run.events != expected.events:
                assert rules(faults(slow, run)) & {"need", "late"}


def test_a_result_that_is_lost_is_missing() -> None:
    """The last run of AV never took place."""
    case, right = right_program()
    run = run_tiles(right, effects=PLAIN, extrapolate=False, record=ALL)
    last = next(e for e in reversed(run.events) if e.name == "AV")
    again = next(e for e in run.events if e.name == "AV")
    events = tuple(again if e == last else e for e in run.events)
    found = computed(case, [replace(run, events=events)])
    assert [f.kind for f in found.faults] == ["missing"]
    assert "is never made" in found.faults[0].message
