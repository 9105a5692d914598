"""Evaluate a cascade on a machine: mapping -> word counts -> actions -> Report (the closed form)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as AbstractMapping
from typing import TypeAlias

from fusemap.archspec.area import area_um2
from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.bind import map_cascade
from fusemap.mappers.dataflow import Dataflow
from fusemap.mappers.legality import require_legal
from fusemap.mappers.match import require_match
from fusemap.mappers.padding import padding_notes
from fusemap.mappers.search import SplitCost
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.actions import Moved, memory_rows, moved_words, operator_rows, places, traffic_words
from fusemap.sim.cost import operand_costs
from fusemap.sim.latency import einsum_time, phase_time
from fusemap.sim.report import Report, Row, Timing


def evaluate(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    *,
    accounting: Accounting = PRINCIPLED,
    sizes: AbstractMapping[str, int] | None = None,
) -> Report:
    """Latency, energy, area, traffic and utilization of the cascade under the dataflow.

    InputError: something does not match or is not known; DoesNotFit: the mapping is not legal.
    """
    problem, mapping = plan(cascade, machine, workload, dataflow, accounting=accounting, sizes=sizes)
    return evaluate_mapping(problem, mapping, machine, accounting=accounting)


def plan(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    *,
    accounting: Accounting = PRINCIPLED,
    sizes: AbstractMapping[str, int] | None = None,
    cost: SplitCost = operand_costs,
) -> tuple[Problem, Mapping]:
    """The sized problem and its legal mapping, searched with `cost` where the dataflow asks for it."""
    require_match(cascade, dataflow)
    problem, mapping = map_cascade(
        cascade, workload, machine, dataflow, cost=cost, overrides=dict(accounting.names), sizes=sizes
    )
    if not problem.spaces:
        raise input_error(f"cascade {cascade.name} computes nothing: all it has are tensors under new indices")
    require_legal(problem, mapping, machine, in_place=dataflow.model.in_place)
    return problem, mapping


def evaluate_mapping(
    problem: Problem, mapping: Mapping, machine: Machine, *, accounting: Accounting = PRINCIPLED
) -> Report:
    """The report of a mapping that is given (and taken to be legal)."""
    place_of = places(machine)
    moved = _moved(problem, mapping, machine, accounting)
    timing = _timing(problem, mapping, machine, accounting, moved)
    rows: list[Row] = []
    for space in problem.spaces:
        rows += memory_rows(space, moved[space.name], place_of, accounting)
        rows += operator_rows(space, mapping.nest(space.name), machine, accounting)
    shared = {field.name: getattr(timing, field.name) for field in dataclasses.fields(timing)}
    return Report(**shared, area_um2=area_um2(machine), rows=tuple(rows))


def time_mapping(
    problem: Problem, mapping: Mapping, machine: Machine, *, accounting: Accounting = PRINCIPLED
) -> Timing:
    """As `evaluate_mapping` without energy and area, so that the machine may lack prices."""
    return _timing(problem, mapping, machine, accounting, _moved(problem, mapping, machine, accounting))


MovedByEinsum: TypeAlias = AbstractMapping[str, tuple[Moved, ...]]


def _moved(problem: Problem, mapping: Mapping, machine: Machine, accounting: Accounting) -> MovedByEinsum:
    return {s.name: moved_words(s, mapping.nest(s.name), machine, accounting) for s in problem.spaces}


def _timing(
    problem: Problem, mapping: Mapping, machine: Machine, accounting: Accounting, moved: MovedByEinsum
) -> Timing:
    times = {s.name: einsum_time(s, mapping.nest(s.name), machine, accounting) for s in problem.spaces}
    words = {m.name: {e: traffic_words(items, m.name) for e, items in moved.items()} for m in machine.memories}
    return Timing(
        cascade=problem.cascade,
        arch=machine.name,
        workload=problem.workload,
        dataflow=mapping.dataflow,
        accounting=accounting.name,
        clock_hz=machine.clock_hz,
        traffic_bytes=sum(words[machine.memories[0].name].values()) * machine.word_bytes,
        phases=tuple(phase_time(p, times, words, machine) for p in mapping.binding),
        einsums=tuple(times.values()),
        tiles=mapping.tiles,
        notes=(*problem.notes, *mapping.notes, *padding_notes(problem, mapping, machine)),
    )
