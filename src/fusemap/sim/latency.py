"""Latency composed from the binding: stages one after another, each as long as its busiest array."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping

from fusemap.archspec.types import Machine
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Phase, Stage
from fusemap.mappers.units import units
from fusemap.sim.accounting import Accounting
from fusemap.sim.report import EinsumTime, PhaseTime, StageTime


def einsum_time(space: EinsumSpace, nest: EinsumMapping, machine: Machine, accounting: Accounting) -> EinsumTime:
    """cycles = temporal steps * cycles per point; operators of one point follow one another on a PE."""
    array = machine.array(nest.array)
    found = units(machine, array, space)
    per_point = sum(accounting.cycles(array.name, unit.pattern, unit.cycles) for unit in found)
    return EinsumTime(
        einsum=space.name,
        array=array.name,
        cycles=nest.temporal_steps * per_point,
        cycles_per_point=per_point,
        lanes=nest.lanes,
        pes=array.pes,
    )


def phase_time(
    phase: Phase,
    times: AbstractMapping[str, EinsumTime],
    words: AbstractMapping[str, AbstractMapping[str, float]],
    machine: Machine,
) -> PhaseTime:
    """max(sum of stage cycles / clock, words of the phase * word size / bandwidth of each memory that has one).

    `words` are those that each memory moves for each Einsum; memories work at the same time.
    """
    stages = tuple(_stage_time(stage, times) for stage in phase.stages)
    memory_times = tuple(
        (memory.name, sum(words[memory.name][e] for e in phase.einsums) * machine.word_bytes / bandwidth)
        for memory in machine.memories
        if (bandwidth := memory.bandwidth_bytes_per_s) is not None
    )
    memory, memory_s = max(memory_times, key=lambda item: item[1], default=(machine.memories[0].name, 0.0))
    return PhaseTime(
        name=phase.name,
        stages=stages,
        compute_s=sum(s.cycles for s in stages) / machine.clock_hz,
        memory_s=memory_s,
        memory=memory,
        memory_times=memory_times,
    )


def _stage_time(stage: Stage, times: AbstractMapping[str, EinsumTime]) -> StageTime:
    busy = tuple((array, sum(times[e].cycles for e in einsums)) for array, einsums in stage.work)
    stalled = sum(stall.factor * times[stall.einsum].cycles for stall in stage.stalls)
    return StageTime(name=stage.name, busy_cycles=busy, stall_cycles=stalled, stalls=tuple(s.why for s in stage.stalls))
