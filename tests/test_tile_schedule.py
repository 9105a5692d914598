"""The tile-level run against its rules: a checker that reads only the recorded events, and the earliest schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from dataflow_cases import pairs
from examples import examples
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from tile_cases import ALL, mapped_cascades, mapped_case, most_events, small
from tile_checker import distinct_names, earliest, faults, rules
from tile_draw import chained, tile_programs_drawn

from fusemap.sim.tile_run import TileEvent, TileRun, run_tiles
from fusemap.sim.tile_types import EFFECTS, Load, Store, TileProgram, TileStage

FLOWS = [flow for flow, _ in pairs()]
SHOWN = examples(27, 80, deadline=None, suppress_health_check=list(HealthCheck))
SETS = [EFFECTS[:1], EFFECTS[:2], EFFECTS[:3], EFFECTS[:4], EFFECTS, ("start", "operands", "ports"), ("start", "ports")]
MOST_EVENTS = 1200


def recorded(program: TileProgram, effects: tuple[str, ...] = EFFECTS) -> TileRun:
    return run_tiles(program, effects=effects, extrapolate=False, record=ALL)


# --- the oracle: the earliest schedule --------------------------------------------------------------------


@SHOWN
@given(tile_programs_drawn())
def test_starts_are_the_longest_paths(program: TileProgram) -> None:
    run = recorded(program, ("start", "drain"))
    assert {(e.number, e.iteration): e.start for e in run.events if e.kind == "work"} == earliest(program)


@pytest.mark.parametrize("pe", [2, 4])
@pytest.mark.parametrize("flow", FLOWS)
def test_starts_of_dataflows_are_the_longest_paths(flow: str, pe: int) -> None:
    effects = ("start", "drain")
    for program in small(flow, pe=pe).programs(effects):
        run = recorded(program, effects)
        assert {(e.number, e.iteration): e.start for e in run.events if e.kind == "work"} == earliest(program)


# --- every rule, on everything ----------------------------------------------------------------------------


@SHOWN
@given(tile_programs_drawn(), st.sampled_from(SETS))
def test_no_rule_is_broken_and_nothing_is_late(program: TileProgram, effects: tuple[str, ...]) -> None:
    assert faults(program, recorded(program, effects)) == []


@pytest.mark.parametrize("bandwidth", [1.0, 0.03])
@pytest.mark.parametrize("flow", FLOWS)
def test_no_rule_is_broken_by_a_dataflow(flow: str, bandwidth: float) -> None:
    for effects in SETS:
        for program in map(distinct_names, small(flow, bandwidth=bandwidth).programs(effects)):
            assert faults(program, recorded(program, effects)) == []


@examples(9, 25, deadline=None)
@given(
    st.sampled_from(FLOWS),
    st.tuples(*[st.sampled_from(x) for x in ((2, 4), (2, 8), (4, 8, 16), (4, 8, 16))]),
    st.sampled_from([2, 4]),
    st.sampled_from([0.01, 0.1, 1.0]),
    st.sampled_from([0.0, 1.0, 10.0]),
)
def test_no_rule_is_broken_on_other_machines(
    flow: str, sizes: tuple[int, int, int, int], pe: int, bandwidth: float, latency: float
) -> None:
    for program in map(distinct_names, small(flow, sizes, pe, bandwidth, latency).programs()):
        if most_events(program) <= MOST_EVENTS:
            assert faults(program, recorded(program)) == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", mapped_cascades())
def test_no_rule_is_broken_by_a_cascade(name: str) -> None:
    for program in map(distinct_names, mapped_case(name).programs()):
        if most_events(program) <= MOST_EVENTS:
            assert faults(program, recorded(program)) == []


# --- what was wrong once ----------------------------------------------------------------------------------


def test_what_is_made_once_is_waited_for_at_every_step() -> None:
    """A runs at the first of two steps and drains for 20 ticks; B reads it at the last one."""
    program = chained([1, 1, 1], bound=2)
    first, second, third = program.tasks
    first = replace(first, skips=(0,), at_end=False)
    second = replace(second, skips=(0,), needs=(replace(second.needs[0], delay=20),))
    program = replace(program, tasks=(first, second, replace(third, needs=())))
    run = recorded(program, ("start", "drain"))
    assert next(e.start for e in run.events if e.number == 1) == 21
    assert faults(program, run) == []


def test_stores_go_in_the_order_in_which_they_are_ready() -> None:
    """The task that is listed first ends last: its store waits for the other one's, not the other way round."""
    program = chained([10, 2], bound=2, arrays=2)
    tasks = tuple(replace(t, needs=(), stage=0) for t in program.tasks)
    stores = tuple(Store(task=i, tensor=f"Y{i}", ticks=1, byte_count=1.0, skips=()) for i in (0, 1))
    program = replace(program, tasks=tasks, stages=program.stages[:1], stores=stores, loads=(load_of(0, depth=1),))
    run = recorded(program, EFFECTS[:3])
    assert [e.name for e in run.events if e.kind == "transfer"][:3] == ["load X0", "store Y1", "store Y0"]
    assert faults(program, run) == []


def load_of(task: int, depth: int) -> Load:
    return Load(task=task, tensor="X0", ticks=1, byte_count=1.0, skips=(), depth=depth)


# --- the checker can fail ---------------------------------------------------------------------------------

Edit = Callable[[TileProgram, list[TileEvent]], list[TileEvent]]


@pytest.fixture(scope="module")
def planted() -> tuple[TileProgram, TileRun]:
    """FuseMax's binding with a slow channel and long drains: every rule holds some event back."""
    program = distinct_names(small("fusemax-binding", (4, 4, 16, 16), 4, 0.3, 0.2).programs()[0])
    run = recorded(program)
    assert faults(program, run) == []
    return program, run


def moved(events: list[TileEvent], at: int, ticks: int) -> list[TileEvent]:
    """The events with one of them moved."""
    e = events[at]
    return [*events[:at], replace(e, start=e.start + ticks, end=e.end + ticks), *events[at + 1 :]]


def first(events: list[TileEvent], kind: str, past: int, name: str = "") -> int:
    """An event of a kind in the middle of the run."""
    return next(i for i, e in enumerate(events) if e.kind == kind and e.iteration >= past and name in e.name)


def test_every_start_is_tight(planted: tuple[TileProgram, TileRun]) -> None:
    """Any one event a tick earlier breaks a rule, and a tick later is late (or breaks another one)."""
    program, run = planted
    events = [e for e in run.events if e.kind != "stall"]
    for at in range(0, len(events), max(1, len(events) // 20)):
        if events[at].start:
            assert rules(faults(program, run, moved(events, at, -1))) - {"late"}
        assert faults(program, run, moved(events, at, 1))


def test_a_lost_event_is_missed(planted: tuple[TileProgram, TileRun]) -> None:
    program, run = planted
    events = [e for e in run.events if e.kind != "stall"]
    for at in (first(events, "work", 3), first(events, "transfer", 3)):
        assert rules(faults(program, run, [*events[:at], *events[at + 1 :]])) == {"complete"}
        assert rules(faults(program, run, [*events, events[at]])) == {"complete"}
        longer = replace(events[at], end=events[at].end + 1)
        assert rules(faults(program, run, [*events[:at], longer, *events[at + 1 :]])) == {"complete"}


# Of every rule: which program, where its second run starts instead, and the name under which that is found.
def other_array(program: TileProgram) -> TileProgram:
    """Two tasks of one stage that take turns on an array."""
    tasks = tuple(replace(t, array=0, stage=0, needs=()) for t in program.tasks)
    return replace(program, arrays=("a0",), tasks=tasks, stages=program.stages[:1])


PLANTED: dict[str, tuple[TileProgram, str, int]] = {
    "array": (other_array(chained([5, 7], bound=3)), "T1", -1),
    "stage": (chained([5, 7], bound=3, needs=False), "T1", -1),
    "need": (chained([5, 7], bound=3, delay=9), "T1", -1),
    "load": (replace(chained([5, 7], bound=3), loads=(replace(load_of(0, depth=2), ticks=20),)), "T0", -1),
    "room": (replace(chained([5, 7], bound=3), loads=(load_of(0, depth=1),)), "load X0", -1),
}


@pytest.mark.parametrize("rule", PLANTED)
def test_a_broken_rule_is_named(rule: str) -> None:
    program, name, ticks = PLANTED[rule]
    run = recorded(program, EFFECTS[:4])
    assert faults(program, run) == []
    events = [e for e in run.events if e.kind != "stall"]
    at = [i for i, e in enumerate(events) if e.name == name][1]
    assert rule in rules(faults(program, run, moved(events, at, ticks)))


def test_a_broken_distance_is_named() -> None:
    """T0 needs what T1 made two iterations ago; a program that asks for one is broken by the same run."""
    program = chained([5, 7], bound=6, needs=False)
    back = replace(PLANTED["need"][0].tasks[1].needs[0], producer=1, distance=2, delay=30)
    program = replace(program, tasks=(replace(program.tasks[0], needs=(back,)), program.tasks[1]))
    asked = replace(program, tasks=(replace(program.tasks[0], needs=(replace(back, distance=1),)), program.tasks[1]))
    run = recorded(program, ("start", "drain"))
    assert faults(program, run) == []
    assert "need" in rules(faults(asked, run))
    assert "late" in rules(faults(program, recorded(asked, ("start", "drain"))))


def test_a_missing_stall_and_ports_are_named() -> None:
    program = chained([5, 7], bound=3, needs=False)
    stalls = (replace(program.stages[0], stall=4), TileStage(name="s1"))
    assert "stage" in rules(faults(replace(program, stages=stalls), recorded(program, ("start",))))
    busy = replace(program, tasks=tuple(replace(t, accesses=t.accesses + 40) for t in program.tasks))
    run = recorded(busy, ("start", "ports"))
    assert faults(busy, run) == []
    without = replace(recorded(busy, ("start",)), effects=("start", "ports"))
    assert "stage" in rules(faults(busy, without))


def test_a_store_before_its_task_and_a_shared_channel_are_named(planted: tuple[TileProgram, TileRun]) -> None:
    program, run = planted
    events = [e for e in run.events if e.kind != "stall"]
    at = first(events, "transfer", 3, "store")
    task = program.stores[0].task
    made = next(e for e in events if e.number == task and e.iteration == events[at].iteration)
    assert "made" in rules(faults(program, run, moved(events, at, made.end - 1 - events[at].start)))
    transfers = sorted((e for e in events if e.kind == "transfer"), key=lambda e: e.start)
    twin = next(i for i, e in enumerate(events) if e == transfers[5])
    assert "channel" in rules(faults(program, run, moved(events, twin, transfers[4].start - events[twin].start)))


def test_wrong_counts_are_named(planted: tuple[TileProgram, TileRun]) -> None:
    program, run = planted
    (name, busy), *rest = run.busy
    assert rules(faults(program, replace(run, busy=((name, busy + 1), *rest)))) == {"accounts"}
    assert rules(faults(program, replace(run, waits=run.waits[1:]))) == {"accounts"}
    assert "end" in rules(faults(program, replace(run, ticks=run.ticks // 2)))


def test_a_tile_is_not_stored_before_it_is_loaded_again() -> None:
    """Sums go through the outer memory: each iteration loads what the one before stored."""
    program = chained([5], bound=4)
    store = Store(task=0, tensor="Y0", ticks=3, byte_count=1.0, skips=())
    again = replace(load_of(0, depth=2), stored=0, distance=1)
    program = replace(program, loads=(again,), stores=(store,))
    run = recorded(program, EFFECTS[:3])
    assert run.ticks == 1 + 4 * 5 + 4 * 3 + 3 * 1  # nothing overlaps; the first tile is there before
    assert faults(program, run) == []
    alone = replace(program, loads=(replace(again, stored=None, distance=0),))
    assert "stored" in rules(faults(program, recorded(alone, EFFECTS[:3])))
