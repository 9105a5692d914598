"""Simulate a mapped cascade tile by tile, and say what makes it differ from the closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.evaluate import time_mapping
from fusemap.sim.report import PhaseTime
from fusemap.sim.simulation import Added, PhaseSimulation, ResourceUse, Simulation
from fusemap.sim.tile_program import tile_programs
from fusemap.sim.tile_run import TileRun, run_tiles
from fusemap.sim.tile_timeline import peak_bytes, tile_timeline
from fusemap.sim.tile_types import EFFECTS, WORDS_OF, Effect, TileProgram

RECORDED = 512  # slots at the beginning of each phase


def simulate_tiles(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    *,
    accounting: Accounting = PRINCIPLED,
    effects: Sequence[Effect] | None = None,
    record: int = RECORDED,
    extrapolate: bool = True,
    dataflow_choice: str = "",
) -> Simulation:
    """Cycles of a mapping, tile by tile, and the cycles that each effect adds to the closed form.

    The phases follow one another. Effects are added one after another in the order of `EFFECTS`; by default all
    that the machine has numbers for. Without any the run takes the cycles of the closed form, but for stages
    whose tiles are uneven. InputError as `run_tiles` and `tile_programs`.
    """
    chosen = tuple(e for e in EFFECTS if e in effects) if effects is not None else known_effects(machine)
    unknown = [e for e in effects or () if e not in EFFECTS]
    closed = time_mapping(problem, mapping, machine, accounting=accounting)
    steps = [chosen[:i] for i in range(len(chosen) + 1)] if not unknown else [tuple(effects or ())]
    runs: list[list[TileRun]] = []
    for step in steps:
        programs = tile_programs(cascade, problem, mapping, machine, accounting=accounting, effects=step)
        last = step == steps[-1]
        runs.append(
            [run_tiles(p, effects=step, extrapolate=extrapolate, record=record if last else 0) for p in programs]
        )
    name = f"{problem.cascade} on {machine.name}, {problem.workload}, {mapping.dataflow}"
    phases = tuple(
        _phase(phase, [row[i] for row in runs], chosen, machine, name) for i, phase in enumerate(closed.phases)
    )
    return Simulation(
        level="tile",
        cascade=problem.cascade,
        arch=machine.name,
        workload=problem.workload,
        dataflow=mapping.dataflow,
        dataflow_choice=dataflow_choice,
        accounting=accounting.name,
        clock_hz=machine.clock_hz,
        effects=chosen,
        phases=phases,
        notes=(*closed.notes, *_not_known(machine, chosen), *(note for phase in phases for note in _overbooked(phase))),
    )


def known_effects(machine: Machine) -> tuple[Effect, ...]:
    """The effects that the machine has numbers for."""
    lacks = {effect for effect, _, _ in _missing(machine)}
    return tuple(e for e in EFFECTS if e not in lacks)


def _missing(machine: Machine) -> Iterator[tuple[Effect, str, str]]:
    """(effect, memory, key) that the machine's file does not give."""
    channel = machine.memories[0]
    if channel.latency_s is None:
        yield "latency", channel.name, "latency"
    buffer = next((m for m in machine.memories[1:] if m.on_chip), None)
    if buffer is not None and buffer.ports is None:
        yield "ports", buffer.name, "ports"


def _not_known(machine: Machine, chosen: Sequence[Effect]) -> Iterator[str]:
    for effect, memory, key in _missing(machine):
        if effect not in chosen:
            yield f"not simulated: {WORDS_OF[effect]}; {machine.name} has no memories.{memory}.timing.{key}"


def _overbooked(phase: PhaseSimulation) -> Iterator[str]:
    held, room = phase.peak_buffer_bytes, phase.buffer_bytes
    if room is not None and held > room:
        yield (
            f"{phase.name}: {phase.buffer} would hold {held:,.0f} B at once, its capacity is {room:,} B: "
            f"{phase.lag + 1} iterations under way do not fit, though the formula overlaps them"
        )


def _phase(
    closed: PhaseTime, runs: Sequence[TileRun], effects: Sequence[Effect], machine: Machine, name: str
) -> PhaseSimulation:
    """One phase: `runs` are those without effects, with the first one, with the first two and so on."""
    final, program = runs[-1], runs[-1].program
    formula = _closed_form(closed, runs[0].program)
    cycles = [formula, *(Fraction(run.ticks, run.program.ticks_per_cycle) for run in runs)]
    words = [("tiles", "tiles of a stage are uneven"), *((e, WORDS_OF[e]) for e in effects)]
    added = (
        Added(effect=effect, words=text, cycles=float(after - before))
        for (effect, text), before, after in zip(words, cycles, cycles[1:], strict=False)
    )
    return PhaseSimulation(
        name=closed.name,
        cycles=float(cycles[-1]),
        closed_form_cycles=float(formula),
        added=tuple(a for a in added if a.effect != "tiles" or a.cycles),
        resources=tuple(_resources(final)),
        moved=final.moved,
        iterations=program.iterations,
        lag=program.lag,
        executed=final.executed,
        represented=final.represented,
        buffer=program.buffer,
        peak_buffer_bytes=peak_bytes(final),
        buffer_bytes=program.buffer_bytes,
        timeline=tile_timeline(
            final, f"{name}: {closed.name}", machine.clock_hz, machine.memories[0].bandwidth_bytes_per_s
        ),
    )


def _closed_form(closed: PhaseTime, program: TileProgram) -> Fraction:
    """max(sum of the stages' cycles, transfers at full bandwidth), as `evaluate` has it, exactly."""
    computed = sum(stage.cycles for stage in closed.stages)
    moved = math.ceil(max(program.memory_ticks, program.inner_ticks))  # a run ends at a whole tick
    return max(Fraction(computed), Fraction(moved, program.ticks_per_cycle))


def _resources(run: TileRun) -> Iterator[ResourceUse]:
    ticks = run.program.ticks_per_cycle
    for name, busy in run.busy:
        waits = sorted(((cause, n / ticks) for resource, cause, n in run.waits if resource == name), key=_by_cycles)
        yield ResourceUse(name=name, busy_cycles=busy / ticks, waits=tuple(waits))


def _by_cycles(wait: tuple[str, float]) -> tuple[float, str]:
    return -wait[1], wait[0]
