"""The tile-level run against the formula of `evaluate`: equal without effects, accounted for with any."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from functools import cache

import pytest
from dataflow_cases import pairs
from tile_cases import (
    LENGTHS,
    MODELS,
    UNMAPPED,
    TileCase,
    configurations,
    even_ticks,
    mapped,
    mapped_cascades,
    mapped_case,
    published_case,
    small,
    whole,
)

from fusemap.einsum_cascade import catalog
from fusemap.mappers.types import Stage
from fusemap.sim.evaluate import time_mapping
from fusemap.sim.report import PhaseTime, Timing
from fusemap.sim.simulate import known_effects, simulate_tiles
from fusemap.sim.simulation import Simulation
from fusemap.sim.tile_run import TileRun, run_tiles
from fusemap.sim.tile_types import EFFECTS, TileProgram

FLOWS = [flow for flow, _ in pairs()]
SUBSETS = [c for n in range(len(EFFECTS) + 1) for c in itertools.combinations(EFFECTS, n)]


def formula(case: TileCase) -> Timing:
    return time_mapping(case.problem, case.mapping, case.machine, accounting=case.accounting)


def formula_ticks(phase: PhaseTime, program: TileProgram) -> int:
    """max(sum of stage cycles, transfers at full bandwidth), in ticks; a run ends at a whole tick."""
    computed = sum(stage.cycles for stage in phase.stages) * program.ticks_per_cycle
    return max(computed, whole(program.memory_ticks), whole(program.inner_ticks))


def simulated(case: TileCase, effects: tuple[str, ...] | None) -> Simulation:
    parts = (case.cascade, case.problem, case.mapping, case.machine)
    return simulate_tiles(*parts, accounting=case.accounting, effects=effects, record=1)


def check_formula(case: TileCase) -> list[TileRun]:
    """Every phase takes the formula's time, exactly; the mapping moves the formula's bytes."""
    timing, programs = formula(case), case.programs(())
    runs = [even_run(p) for p in programs]
    for phase, program, run in zip(timing.phases, programs, runs, strict=True):
        slowest = max(program.memory_ticks, program.inner_ticks)
        seconds = float(slowest / program.ticks_per_cycle / Fraction(case.machine.clock_hz))
        assert seconds == pytest.approx(phase.memory_s, rel=1e-12, abs=0)
        assert run.ticks == formula_ticks(phase, program), phase.name
        for array, busy in run.busy[:-1]:
            cycles = sum(t.cycles for t in timing.einsums if t.array == array and t.einsum in einsums_of(program))
            assert busy == cycles * program.ticks_per_cycle
    moved = sum(read + written for run in runs for _, read, written in run.moved)
    assert moved == pytest.approx(timing.traffic_bytes, rel=1e-12, abs=0)
    return runs


@cache
def even_run(program: TileProgram) -> TileRun:
    """Without effects; one run where accountings differ in energies only."""
    return run_tiles(program, effects=())


def einsums_of(program: TileProgram) -> set[str]:
    return {task.einsum for task in program.tasks}


# --- no effects -------------------------------------------------------------------------------------------


@pytest.mark.sampled(6)
@pytest.mark.parametrize("rules", ["principled", "published"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("configuration", configurations())
def test_the_published_study_without_effects(configuration: str, model: str, rules: str) -> None:
    for length in LENGTHS:
        check_formula(published_case(configuration, f"{model}@{length}", rules))


def test_the_study_has_runs_bound_by_memory_and_by_arrays() -> None:
    """Both sides of the maximum are covered above."""
    bound = set()
    for configuration in configurations():
        for phase in formula(published_case(configuration, "BERT@64K")).phases:
            bound.add(phase.memory_s > phase.compute_s)
    assert bound == {True, False}


@pytest.mark.parametrize("bandwidth", [1.0, 0.01])
@pytest.mark.parametrize("pe", [2, 4])
@pytest.mark.parametrize("flow", FLOWS)
def test_small_dataflows_without_effects(flow: str, pe: int, bandwidth: float) -> None:
    for run in check_formula(small(flow, (4, 4, 16, 16), pe, bandwidth)):
        assert run.ticks == max(even_ticks(run.program), whole(run.program.memory_ticks))


@pytest.mark.parametrize("flow", FLOWS)
def test_a_memory_on_the_chip_with_a_bandwidth_counts_as_in_the_formula(flow: str) -> None:
    case = small(flow)
    slow = [replace(m, bandwidth_bytes_per_s=1e8) if m.name == "global_buffer" else m for m in case.machine.memories]
    case = replace(case, machine=replace(case.machine, memories=tuple(slow)))
    assert {p.memory for p in formula(case).phases} == {"global_buffer"}
    for run in check_formula(case):
        assert ("array_1d", "global_buffer moves the rest") in [w[:2] for w in run.waits] or "array_1d" not in dict(
            run.busy
        )
    check_accounts(case, None)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", mapped_cascades())
def test_other_cascades_without_effects(name: str) -> None:
    check_formula(mapped_case(name))


def test_cascades_that_do_not_map_say_why() -> None:
    """An operator that no array has, a choice by data, or sizes: nothing else keeps a cascade from being tested."""
    known = ("no array of", "data-dependent", "does not hold")
    left = {name: why for name in catalog.names() if isinstance(why := mapped(name), str)}
    assert [name for name, why in left.items() if not any(text in why for text in known)] == []
    assert set(left) == UNMAPPED
    assert len(mapped_cascades()) >= 40


def test_uneven_tiles_take_longer_than_the_formula() -> None:
    """AV runs in the last chunk only. Where the 2D array is the slower one in the others, its stage is uneven."""
    case = small("fusemax-binding", (6, 4, 16, 16), 4)
    (run,) = [run_tiles(p, effects=()) for p in case.programs(())]
    (phase,) = formula(case).phases
    assert run.ticks == even_ticks(run.program) > formula_ticks(phase, run.program)
    (answer,) = simulated(case, ()).phases
    (added,) = answer.added
    assert added.effect == "tiles"
    assert answer.closed_form_cycles + added.cycles == answer.cycles


# --- with effects -----------------------------------------------------------------------------------------


def check_accounts(case: TileCase, effects: tuple[str, ...] | None) -> None:
    """The formula plus what the effects add are the cycles; work and waits of every resource too."""
    found, timing = simulated(case, effects), formula(case)
    assert found.effects == (known_effects(case.machine) if effects is None else effects)
    for phase, expected in zip(found.phases, timing.phases, strict=True):
        ways = phase.closed_form_cycles + sum(a.cycles for a in phase.added)
        assert ways == pytest.approx(phase.cycles, rel=1e-12)
        assert [a.effect for a in phase.added if a.effect != "tiles"] == list(found.effects)
        seconds = phase.closed_form_cycles / found.clock_hz
        tick = 2**-20 / found.clock_hz
        assert seconds == pytest.approx(expected.latency_s, rel=1e-12, abs=2 * tick)
        for use in phase.resources:
            assert use.busy_cycles + use.waited_cycles == pytest.approx(phase.cycles, rel=1e-12)
    assert found.traffic_bytes == pytest.approx(timing.traffic_bytes, rel=1e-12)


@pytest.mark.parametrize("model", ["BERT", "XLM"])
@pytest.mark.parametrize("configuration", configurations())
def test_effects_of_the_study_are_accounted_for(configuration: str, model: str) -> None:
    check_accounts(published_case(configuration, f"{model}@1K"), None)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("configuration", configurations())
def test_effects_of_the_whole_study_are_accounted_for(configuration: str, model: str) -> None:
    for length in LENGTHS[1:]:
        check_accounts(published_case(configuration, f"{model}@{length}"), None)


@pytest.mark.parametrize(
    "flow", [pytest.param(f, marks=() if f in ("fusemax-binding", "flat") else pytest.mark.slow) for f in FLOWS]
)
def test_all_sets_of_effects_are_accounted_for(flow: str) -> None:
    """Ticks are whole numbers: here without rounding."""
    case = small(flow, (2, 2, 8, 8), bandwidth=0.05)
    for effects in SUBSETS:
        check_accounts(case, effects)
        for program in case.programs(effects):
            run = run_tiles(program, effects=effects)
            for resource, busy in run.busy:
                assert busy + sum(n for r, _, n in run.waits if r == resource) == run.ticks


@pytest.mark.parametrize("flow", FLOWS)
def test_an_effect_takes_no_time_away(flow: str) -> None:
    """Adding a bound to the same program delays; operands and drain change the program too, by their lags."""
    for program in small(flow, bandwidth=0.05).programs():
        order = [("start",), ("start", "drain"), ("start", "drain", "operands"), EFFECTS[:4], EFFECTS]
        ticks = [run_tiles(program, effects=effects).ticks for effects in order]
        assert ticks == sorted(ticks)
        assert ticks[2] >= sum(x.ticks for x in program.transfers)


def test_twice_the_bandwidth_is_never_slower_and_twice_the_latency_never_faster() -> None:
    for flow in FLOWS:
        by_bandwidth = [cycles(small(flow, (2, 2, 8, 8), bandwidth=b)) for b in (0.01, 0.02, 0.04, 0.08)]
        assert by_bandwidth == sorted(by_bandwidth, reverse=True)
        by_latency = [cycles(small(flow, (2, 2, 8, 8), latency=x)) for x in (0, 1, 8)]
        assert by_latency == sorted(by_latency)


def cycles(case: TileCase) -> Fraction:
    """Of all phases, with all effects."""
    return sum((Fraction(run_tiles(p).ticks, p.ticks_per_cycle) for p in case.programs()), Fraction(0))


# --- planted faults ---------------------------------------------------------------------------------------


def test_a_lost_cycle_and_a_lost_tile_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = small("fusemax-binding")
    (program,) = case.programs(())
    first = program.tasks[0]
    shorter = replace(program, tasks=(replace(first, ticks=first.ticks - 1), *program.tasks[1:]))
    fewer = replace(program, stages=(replace(program.stages[0], stall=1), *program.stages[1:]))
    bytes_lost = replace(program, loads=program.loads[1:])
    for planted in (shorter, fewer, bytes_lost):
        monkeypatch.setattr(TileCase, "programs", lambda *_, planted=planted: (planted,))
        with pytest.raises(AssertionError):
            check_formula(case)


def test_the_stages_of_the_formula_are_those_of_the_binding() -> None:
    """Einsums in another stage give another formula, and the run follows it."""
    case = small("fusemax-binding")
    (phase,) = case.mapping.binding
    one = Stage(
        name="all",
        work=tuple(
            (a, tuple(e for s in phase.stages for b, es in s.work if b == a for e in es)) for a in arrays(phase)
        ),
    )
    mapping = replace(case.mapping, binding=(replace(phase, stages=(one,)),))
    check_formula(replace(case, mapping=mapping))


def arrays(phase: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(a for stage in phase.stages for a, _ in stage.work))  # type: ignore[attr-defined]
