"""Derive latency and utilization: cycles of an Einsum, stages, phases, and what would have to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusemap.archspec.types import Machine, Memory
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.mappers.types import Phase, Problem, Stage
from fusemap.mappers.units import units
from fusemap.sim.accounting import Accounting
from fusemap.sim.explain_words import steps_term
from fusemap.sim.report import PhaseTime, Report
from fusemap.sim.terms import Term, given, largest, product, quotient, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """The latency if an array, a memory or a stall took no time at all: what improving it can gain at most."""

    resource: str
    latency_s: float

    def to_json(self) -> dict[str, object]:
        """The relief as a JSON object."""
        return {"resource": self.resource, "latency_s": self.latency_s}


def cycles_term(
    einsum: str, problem: Problem, mapping: CascadeMapping, machine: Machine, accounting: Accounting
) -> Term:
    """cycles = temporal steps * cycles per point; the operators of a point follow one another."""
    nest = mapping.nest(einsum)
    array = machine.array(nest.array)
    costs = []
    for unit in units(machine, array, problem.space(einsum)):
        cycles = accounting.cycles(array.name, unit.pattern, unit.cycles)
        source = unit.source if cycles == unit.cycles else f"{accounting.name} accounting"
        costs.append(given(" + ".join(unit.pattern), cycles, "cycles", source=source))
    return product(einsum, steps_term(nest), total("per point", costs, "cycles"), unit="cycles")


def latency_term(
    mapping: CascadeMapping, machine: Machine, cycles: Mapping[str, Term], traffic: Sequence[tuple[Memory, Term]]
) -> Term:
    """Sum over phases of max(compute, memory), from cycles per Einsum, and slowest memory and its traffic per phase."""
    phases = []
    for phase, (memory, moved) in zip(mapping.binding, traffic, strict=True):
        parts = [_compute(phase, machine, cycles), _memory(machine, memory, moved)]
        phases.append(largest(f"phase {phase.name}", parts, "s"))
    return total("latency", phases, "s")


def utilization_term(array: str, report: Report, cycles: Mapping[str, Term]) -> Term:
    """Sum over the array's Einsums of cycles * (lanes in use / lanes) / cycles of the whole latency."""
    whole = product(
        "whole", given("latency", report.latency_s, "s"), given("clock", report.clock_hz, "Hz"), unit="cycles"
    )
    parts = []
    for time in report.einsums:
        if time.array == array:
            lanes = quotient("lanes in use", given("in use", time.lanes), given("processing elements", time.pes))
            busy = product("if all lanes worked", cycles[time.einsum], lanes, unit="cycles")
            parts.append(quotient(time.einsum, busy, whole))
    return total(f"utilization of {array}", parts)


def reliefs(report: Report) -> tuple[Relief, ...]:
    """What each array, the stalls and each memory cost: the latency without them, least first."""
    arrays = dict.fromkeys(a for phase in report.phases for stage in phase.stages for a, _ in stage.busy_cycles)
    stalls = ["stall"] if any(s.stall_cycles for phase in report.phases for s in phase.stages) else []
    memories = dict.fromkeys(memory for phase in report.phases for memory, _ in phase.memory_times)
    found = [
        Relief(resource=name, latency_s=sum(_without(phase, name, report.clock_hz) for phase in report.phases))
        for name in (*arrays, *stalls, *memories)
    ]
    return tuple(sorted(found, key=lambda relief: relief.latency_s))


def _without(phase: PhaseTime, resource: str, clock_hz: float) -> float:
    cycles = 0
    for stage in phase.stages:
        cycles += max((c for array, c in stage.busy_cycles if array != resource), default=0)
        cycles += 0 if resource == "stall" else stage.stall_cycles
    memory_s = max((seconds for memory, seconds in phase.memory_times if memory != resource), default=0.0)
    return max(cycles / clock_hz, memory_s)


def _compute(phase: Phase, machine: Machine, cycles: Mapping[str, Term]) -> Term:
    stages = total("cycles", [_stage(stage, cycles) for stage in phase.stages], "cycles")
    return quotient(
        "compute",
        stages,
        given("clock", machine.clock_hz, "Hz", source=dict(machine.sources).get("clock_hz", machine.source)),
        "s",
    )


def _stage(stage: Stage, cycles: Mapping[str, Term]) -> Term:
    arrays = [total(array, [cycles[e] for e in einsums], "cycles") for array, einsums in stage.work]
    if not stage.stalls:
        return largest(f"stage {stage.name}", arrays, "cycles")
    stalls = []
    for stall in stage.stalls:
        waiting = given("times", stall.factor)
        stalls.append(product(f"stall: {stall.why}", waiting, cycles[stall.einsum], unit="cycles"))
    return total(f"stage {stage.name}", [largest("busiest array", arrays, "cycles"), *stalls], "cycles")


def _memory(machine: Machine, memory: Memory, traffic: Term) -> Term:
    if memory.bandwidth_bytes_per_s is None:
        return given("memory", 0.0, "s", source=f"{memory.name} has no bandwidth limit")
    source = dict(memory.sources).get("bandwidth_bytes_per_s", machine.source)
    bandwidth = given(f"{memory.name} bandwidth", memory.bandwidth_bytes_per_s, "B/s", source=source)
    return quotient("memory", traffic, bandwidth, "s")
