"""Skipped repetition: a run that skips is the same, to the tick, as one that does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from dataflow_cases import pairs
from examples import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from tile_cases import mapped_cascades, mapped_case, most_events, published_case, small
from tile_draw import chained, tile_programs_drawn

from fusemap.sim import tile_steady
from fusemap.sim.tile_run import run_tiles
from fusemap.sim.tile_types import EFFECTS, Load, Need, Store, TileLoop, TileProgram

FLOWS = [flow for flow, _ in pairs()]
SETS: list[tuple[str, ...]] = [(), EFFECTS[:1], EFFECTS[:3], EFFECTS[:4], EFFECTS, ("start", "operands", "ports")]
MOST_EVENTS = 10_000


def answer(program: TileProgram, effects: tuple[str, ...], *, extrapolate: bool) -> tuple[object, ...]:
    """All that a run counts."""
    run = run_tiles(program, effects=effects, extrapolate=extrapolate)
    return run.ticks, run.waits, run.busy, run.moved, run.represented


def same(program: TileProgram, effects: tuple[str, ...]) -> None:
    assert answer(program, effects, extrapolate=True) == answer(program, effects, extrapolate=False)


@examples(27, 80, deadline=None, suppress_health_check=list(HealthCheck))
@given(tile_programs_drawn(most_steps=12, most_iterations=300), st.sampled_from(SETS))
def test_random_programs(program: TileProgram, effects: tuple[str, ...]) -> None:
    same(program, effects)


@examples(7, 20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(FLOWS),
    st.tuples(*[st.sampled_from(x) for x in ((2, 4), (2, 8), (8, 16, 32, 64), (8, 16, 32, 64))]),
    st.sampled_from([2, 4]),
    st.sampled_from([0.003, 0.03, 0.3, 1.0]),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from(SETS),
)
def test_dataflows(
    flow: str,
    sizes: tuple[int, int, int, int],
    pe: int,
    bandwidth: float,
    latency: float,
    effects: tuple[str, ...],
) -> None:
    for program in small(flow, sizes, pe, bandwidth, latency).programs(effects):
        if most_events(program) <= MOST_EVENTS:
            same(program, effects)


def test_the_dataflows_are_bound_by_memory_and_by_arrays() -> None:
    """What is drawn above covers both, and something is skipped in each."""
    found = set()
    for flow in FLOWS:
        for bandwidth in (0.003, 1.0):
            for program in small(flow, (4, 8, 64, 64), 2, bandwidth, 0.1).programs():
                run = run_tiles(program)
                busy = dict(run.busy)
                bound = busy.pop(program.channel) > max(busy.values())
                found.add((bound, run.executed < run.represented))
    assert {(True, True), (False, True)} <= found


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", mapped_cascades())
def test_cascades(name: str) -> None:
    for program in mapped_case(name).programs():
        if most_events(program) <= MOST_EVENTS // 8:
            same(program, EFFECTS)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("bound", range(1, 13))
def test_loops_of_few_steps(bound: int, level: int) -> None:
    """One loop of 1 to 12 steps among others of 6, with everything in it that makes first and last steps differ."""
    program = busy_program(tuple(bound if i == level else 6 for i in range(3)), lag=2)
    for effects in SETS:
        same(program, effects)


@pytest.mark.parametrize("lag", [0, 1, 5, 7, 40])
def test_long_pipelines(lag: int) -> None:
    """More iterations under way than an inner loop has."""
    program = busy_program((9, 8), lag=lag)
    for effects in SETS:
        same(program, effects)


def busy_program(bounds: tuple[int, ...], *, lag: int) -> TileProgram:
    """Three tasks behind one another: a recurrence over the first loop, a task per turn of the last one, transfers."""
    program = chained([7, 5, 3], bound=1, arrays=2, delay=4, latency=11)
    last, inner = len(bounds) - 1, 1
    for bound in bounds[1:]:
        inner *= bound
    again = Need(producer=2, tensor="R", distance=inner, loop=0, digit=1, delay=6)
    a, b, c = program.tasks
    tasks = (
        a,
        replace(b, lag=lag, needs=(*b.needs, replace(again, distance=inner + max(0, 1)))),
        replace(c, lag=lag, skips=(last,)),
    )
    loads = (
        Load(task=0, tensor="X", ticks=6, byte_count=8.0, skips=(), depth=3),
        Load(task=1, tensor="Z", ticks=9, byte_count=8.0, skips=(last,), depth=2),
    )
    stores = (Store(task=2, tensor="Y", ticks=8, byte_count=4.0, skips=()),)
    loops = tuple(TileLoop(rank=f"r{i}", bound=bound) for i, bound in enumerate(bounds))
    return replace(program, loops=loops, tasks=tasks, loads=loads, stores=stores)


# --- what was wrong once: states that only look equal -----------------------------------------------------


def test_a_delay_that_reaches_over_two_iterations() -> None:
    """What ended long ago still holds its reader back when it has a long way to go."""
    program = chained([1], bound=9)
    late = Need(producer=0, tensor="N", distance=2, delay=20)
    program = replace(program, tasks=(replace(program.tasks[0], needs=(late,)),))
    assert run_tiles(program, effects=("start", "drain")).ticks == 4 * (1 + 20) + 1  # every second one follows
    same(program, ("start", "drain"))


def test_the_order_in_which_tiles_are_asked_for() -> None:
    program = chained([1], bound=7)
    loads = tuple(Load(task=0, tensor=f"X{d}", ticks=1, byte_count=1.0, skips=(), depth=d) for d in (2, 3))
    same(replace(program, loads=loads), EFFECTS[:3])


def test_start_values_of_two_steps_behind_a_pipeline() -> None:
    """A need that begins at the third step only, of a task that is a step behind."""
    for lag in (1, 2, 3):
        for bound in range(5, 13):
            program = chained([2, 3], bound=bound, arrays=2, needs=False)
            need = Need(producer=0, tensor="N", distance=1, loop=1, digit=2, delay=15)
            tasks = (program.tasks[0], replace(program.tasks[1], lag=lag, needs=(need,)))
            loops = (TileLoop(rank="b", bound=3), *program.loops)
            same(replace(program, loops=loops, tasks=tasks), ("start", "drain"))


# --- planted faults ---------------------------------------------------------------------------------------


class Careless(tile_steady.Steady):
    """Compares from the first step on."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.guard = [0] * len(self.guard)


class Hasty(tile_steady.Steady):
    """Skips the last step too."""

    def _found(self, level: int, *rest: Any) -> Any:
        loops = self.program.loops
        longer = replace(loops[level], bound=loops[level].bound + 1)
        self.program = replace(self.program, loops=(*loops[:level], longer, *loops[level + 1 :]))
        try:
            return super()._found(level, *rest)
        finally:
            self.program = replace(self.program, loops=loops)


@pytest.mark.parametrize("careless", [Careless, Hasty])
def test_skipping_first_or_last_steps_is_noticed(careless: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that runs at the first step of the inner loop only, and one that runs at its last step only."""
    program = chained([40, 3, 50], bound=12, needs=False)
    first, second, third = program.tasks
    tasks = (replace(first, skips=(1,), at_end=False), second, replace(third, skips=(1,)))
    program = replace(program, loops=(TileLoop(rank="b", bound=3), *program.loops), tasks=tasks)
    before = answer(program, ("start", "drain"), extrapolate=True)
    assert before == answer(program, ("start", "drain"), extrapolate=False)
    monkeypatch.setattr("fusemap.sim.tile_run.Steady", careless)
    assert before != answer(program, ("start", "drain"), extrapolate=True)


def test_forgetting_part_of_the_state_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the arrays' times are compared, neither the ends of tasks nor the channel."""
    programs = [p for flow in FLOWS for p in small(flow, (4, 8, 64, 64), 2, 0.03, 0.1).programs()]
    before = [answer(p, EFFECTS, extrapolate=True) for p in programs]
    monkeypatch.setattr(tile_steady, "relative", lambda state, *_, **__: tuple(t - min(state.free) for t in state.free))
    assert before != [answer(p, EFFECTS, extrapolate=True) for p in programs]


# --- how much is skipped ----------------------------------------------------------------------------------


def test_a_million_tokens_take_less_than_a_million_events() -> None:
    (program,) = published_case("binding", "XLM@1M").programs()
    run = run_tiles(program)
    assert run.represented > 10**11
    assert run.executed < 10**6
