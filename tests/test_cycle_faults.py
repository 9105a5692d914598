"""Planted bugs in programs, schedules and machines: each is caught by name, and the legal program has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from cycle_cases import Case, case

from fusemap.mappers.tasks import tasks_of
from fusemap.mappers.types import EinsumMapping, Mapping, Storage
from fusemap.sim.cycle_compile import Compiled, compile_cascade, random_inputs
from fusemap.sim.cycle_machine import Executed, execute
from fusemap.sim.cycle_run import run_cycles
from fusemap.sim.cycle_types import ArrayProgram, Move, Operation, Program, Slot

SMALL = case(3, 2, 3, 6, 6)


def compiled(of: Case = SMALL) -> Compiled:
    cascade, problem, mapping, machine = of
    return compile_cascade(cascade, problem, mapping, machine, random_inputs(problem, cascade))


LEGAL = compiled()


def run(program: Program) -> Executed:
    return execute(program, LEGAL.values)


def kinds(executed: Executed) -> set[str]:
    return {fault.kind for fault in executed.faults}


def changed(array: int, change: Callable[[ArrayProgram], ArrayProgram]) -> Program:
    """The legal program with one array's program changed."""
    arrays = list(LEGAL.program.arrays)
    arrays[array] = change(arrays[array])
    return dataclasses.replace(LEGAL.program, arrays=tuple(arrays))


def operation(array: int, einsum: str, iteration: int, step: int = 0) -> Operation:
    ops = LEGAL.program.arrays[array].operations
    return next(o for o in ops if (o.einsum, o.iteration, o.step) == (einsum, iteration, step))


def with_operation(array: int, old: Operation, new: Operation) -> Program:
    def change(a: ArrayProgram) -> ArrayProgram:
        return dataclasses.replace(a, operations=tuple(new if o is old else o for o in a.operations))

    return changed(array, change)


def with_moves(array: int, change: Callable[[Move], Move | None]) -> Program:
    def moved(a: ArrayProgram) -> ArrayProgram:
        return dataclasses.replace(a, moves=tuple(m for m in map(change, a.moves) if m is not None))

    return changed(array, moved)


def test_the_program_as_compiled_has_no_fault() -> None:
    assert run(LEGAL.program).fault_count == 0


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize(("array", "einsum"), [(0, "BQK"), (0, "LM"), (0, "SLNV"), (1, "RM"), (1, "RNV"), (1, "PRM")])
def test_an_operation_a_cycle_off(array: int, einsum: str, shift: int) -> None:
    op = operation(array, einsum, 1)
    found = run(with_operation(array, op, dataclasses.replace(op, cycle=op.cycle + shift)))
    assert kinds(found) & {"absent", "stale", "double_unit"}


@pytest.mark.parametrize("edge", ["west", "north", "port_a"])
def test_a_feed_a_cycle_late_is_lost_and_missed(edge: str) -> None:
    array = 1 if edge == "port_a" else 0
    feed = next(f for f in LEGAL.program.arrays[array].feeds if f.edge == edge and f.place is not None)

    def change(a: ArrayProgram) -> ArrayProgram:
        late = dataclasses.replace(feed, cycle=feed.cycle + 1)
        return dataclasses.replace(a, feeds=tuple(late if f is feed else f for f in a.feeds))

    found = kinds(run(changed(array, change)))
    assert "absent" in found or "stale" in found
    assert "lost" in found or "double_link" in found


def test_an_operand_that_is_not_passed_on_is_absent_in_the_next_element() -> None:
    passing = next(m for m in LEGAL.program.arrays[0].moves if m.read.slot == Slot.WEST)
    found = run(with_moves(0, lambda m: None if m is passing else m))
    first = next(f for f in found.faults if f.kind == "absent")
    assert (first.unit, first.cycle) == ("array_2d(0,1)", passing.cycle + 1)


def test_a_result_at_the_foot_that_no_register_takes_is_lost() -> None:
    foot = next(m for m in LEGAL.program.arrays[1].moves if m.read.slot == Slot.NORTH)
    found = run(with_moves(1, lambda m: None if m is foot else m))
    lost = next(f for f in found.faults if f.kind == "lost")
    assert lost.unit.startswith("array_1d north latch")
    assert "absent" in kinds(found) or "stale" in kinds(found)


def test_a_move_upward_with_the_downward_skew_is_caught() -> None:
    climb = next(m for m in LEGAL.program.arrays[0].moves if m.up)
    found = run(with_moves(0, lambda m: dataclasses.replace(m, up=False) if m is climb else m))
    assert {"absent", "lost"} <= kinds(found)


def test_a_move_beyond_the_last_column_is_lost() -> None:
    passing = next(m for m in LEGAL.program.arrays[0].moves if m.read.slot == Slot.WEST)
    beyond = dataclasses.replace(passing.target, links=frozenset({"east"}), inner=frozenset())
    found = run(with_moves(0, lambda m: dataclasses.replace(m, target=beyond) if m is passing else m))
    assert kinds(found) == {"lost"}
    assert found.faults[0].unit == "array_2d east edge(0)"


def test_two_values_on_a_link() -> None:
    """LM's partial maximum goes south; the row's own sum is sent there too."""
    op = operation(0, "LM", 1)
    extra = Move(cycle=op.cycle, read=op.reads[0], target=dataclasses.replace(op.target, links=frozenset({"south"})))
    found = run(changed(0, lambda a: dataclasses.replace(a, moves=(*a.moves, extra))))
    assert "double_link" in kinds(found)
    assert next(f for f in found.faults if f.kind == "double_link").unit.startswith("array_2d south link")


def test_two_operations_in_a_cycle() -> None:
    op = operation(1, "RD", 0)
    twice = dataclasses.replace(operation(1, "RM", 1), cycle=op.cycle)
    found = run(with_operation(1, operation(1, "RM", 1), twice))
    assert "double_unit" in kinds(found)


def test_a_register_written_too_early() -> None:
    """The scores of the next tile go where those of this one still wait for SLN."""
    victim, op = operation(0, "BQK", 0, 1), operation(0, "BQK", 1)
    assert victim.target.register != op.target.register or op.cycle > victim.cycle
    target = dataclasses.replace(op.target, register=victim.target.register)
    found = run(with_operation(0, op, dataclasses.replace(op, target=target)))
    assert "overwritten" in kinds(found) or "absent" in kinds(found)


def test_a_register_with_reads_to_come_is_not_overwritten() -> None:
    victim = operation(0, "LM", 0)
    scores = next(r for r in victim.reads if r.slot >= Slot.FIRST)
    extra = dataclasses.replace(victim.target, register=scores.slot - Slot.FIRST, uses=1, links=frozenset())
    partial = next(r for r in victim.reads if r.slot == Slot.NORTH)
    move = Move(cycle=victim.cycle, read=partial, target=extra)
    found = run(changed(0, lambda a: dataclasses.replace(a, moves=(*a.moves, move))))
    assert "overwritten" in kinds(found)


def test_the_wrong_word_is_stale() -> None:
    op = operation(0, "BQK", 1)
    other = operation(0, "BQK", 2)
    found = run(with_operation(0, op, dataclasses.replace(op, reads=other.reads)))
    stale = next(f for f in found.faults if f.kind == "stale")
    assert stale.tensor.startswith(("Q[", "BK[")) and stale.expected.startswith(("Q[", "BK["))
    assert stale.tensor != stale.expected


def test_memory_read_before_it_is_written() -> None:
    """RNV's first word is read a cycle before the lanes have written it."""
    places = {o.target.place: o for o in LEGAL.program.arrays[1].operations if o.einsum == "RNV"}
    feed = next(f for f in LEGAL.program.arrays[1].feeds if f.place in places)
    writer = places[feed.place]
    late = dataclasses.replace(writer, cycle=feed.cycle)
    assert kinds(run(with_operation(1, writer, late))) & {"absent", "stale", "double_unit"}


@pytest.mark.parametrize(("producer", "consumer", "tensor"), [("LM", "RM", "LM"), ("RM", "SLN", "RM")])
def test_a_delay_one_too_short_is_absent(producer: str, consumer: str, tensor: str) -> None:
    """Both delays, down and up the column, are R: with R - 1 the reader misses its operand."""
    cascade, problem, mapping, machine = case(20, 1, 1, 40, 20)
    graph = tasks_of(cascade, problem, mapping, machine, feed=True)
    wrong = dataclasses.replace(
        graph,
        dependences=tuple(
            dataclasses.replace(d, latency=d.latency - 1, delay=d.delay - 1)
            if (d.producer, d.consumer) == (producer, consumer)
            else d
            for d in graph.dependences
        ),
    )
    legal = run_cycles(cascade, problem, mapping, machine, order="stages")
    assert legal.faults == ()
    found = run_cycles(cascade, problem, mapping, machine, order="stages", graph=wrong)
    assert {fault.kind for fault in found.faults} & {"absent", "stale"}
    assert any(fault.expected.startswith(tensor) for fault in found.faults)


@pytest.mark.parametrize("order", ["interleaved", "whole", "stages"])
def test_a_dropped_dependence_is_caught(order: str) -> None:
    """Without `RM -> SLN` the array subtracts a maximum that is not there yet."""
    cascade, problem, mapping, machine = case(4, 2, 2, 8, 8)
    graph = tasks_of(cascade, problem, mapping, machine, feed=True)
    kept = tuple(d for d in graph.dependences if (d.producer, d.consumer) != ("RM", "SLN"))
    wrong = dataclasses.replace(graph, dependences=kept)
    found = run_cycles(cascade, problem, mapping, machine, order=order, graph=wrong)  # type: ignore[arg-type]
    assert any(fault.expected.startswith("RM") for fault in found.faults)
    assert not np.isfinite(found.outputs["AV"]).all() or found.rounding["AV"] > 1e-6


def test_too_few_registers() -> None:
    legal = run_cycles(*case(8, 2, 2, 16, 16, depths=(7, 32)))
    peak = legal.arrays[0].peak
    assert legal.faults == () and peak > 4
    short = run_cycles(*case(8, 2, 2, 16, 16, depths=(peak - 1, 32)))
    assert {fault.kind for fault in short.faults} == {"registers"}
    assert short.faults[0].unit.startswith("array_2d(")
    lanes = run_cycles(*case(8, 2, 2, 16, 16, depths=(7, legal.arrays[1].peak - 1)))
    assert {(fault.kind, fault.unit[:8]) for fault in lanes.faults} == {("registers", "array_1d")}


def test_too_few_ports() -> None:
    cascade, problem, mapping, machine = SMALL
    needed = next(a.peak for a in run_cycles(*SMALL).accesses if a.memory == "global_buffer")
    for ports in (needed, needed - 1):
        memories = tuple(
            dataclasses.replace(m, ports=ports) if m.name == "global_buffer" else m for m in machine.memories
        )
        found = run_cycles(cascade, problem, mapping, dataclasses.replace(machine, memories=memories))
        assert [fault.kind for fault in found.faults] == ([] if ports == needed else ["ports"])


def keeping(mapping: Mapping, einsum: str, memory: str, tensors: frozenset[str]) -> Mapping:
    """The mapping with another keep set for one Einsum."""

    def level(n: object) -> object:
        return dataclasses.replace(n, keep=tensors) if isinstance(n, Storage) and n.memory == memory else n

    def nest(n: EinsumMapping) -> EinsumMapping:
        levels = tuple(level(one) for one in n.levels)
        return dataclasses.replace(n, levels=levels) if n.einsum == einsum else n  # type: ignore[arg-type]

    return dataclasses.replace(mapping, einsums=tuple(nest(n) for n in mapping.einsums))


def test_numerators_that_no_memory_keeps_need_too_many_registers() -> None:
    cascade, problem, mapping, machine = case(2, 8, 8, 4, 16)
    assert run_cycles(cascade, problem, mapping, machine).faults == ()
    wrong = keeping(mapping, "SPNV", "global_buffer", frozenset())
    found = run_cycles(cascade, problem, wrong, machine)
    assert {fault.kind for fault in found.faults} == {"registers"}
    assert found.arrays[1].peak > 8 * 8


def test_maxima_through_the_buffer_need_no_climb() -> None:
    """If SLN takes RM from the buffer it enters at the north edge: no wait for R rows, and fewer registers."""
    cascade, problem, mapping, machine = case(16, 2, 2, 32, 32, depths=(99, 99))
    up = run_cycles(cascade, problem, mapping, machine)
    through = keeping(mapping, "SLN", "global_buffer", frozenset({"RM"}))
    down = run_cycles(cascade, problem, through, machine)
    assert up.faults == down.faults == ()
    assert dict(down.arrays[0].links)["north"] == 0 < dict(up.arrays[0].links)["north"]
    assert down.fill < up.fill
    assert down.arrays[0].peak < up.arrays[0].peak
    assert np.array_equal(up.outputs["AV"], down.outputs["AV"])
