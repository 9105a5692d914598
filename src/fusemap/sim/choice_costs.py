"""Latency, traffic and energy at all points of a dataflow's choices, as arrays (principled accounting).

What an Einsum costs depends on its nest and, linearly, on the fraction that it spills: each different nest is
analysed once with nothing and once with everything spilled, by the rules of `evaluate_mapping`, and the points are
sums and maxima of these numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.mappers.choices_grid import Numbers
from fusemap.mappers.choices_nests import Variants
from fusemap.mappers.legality import resident_words, violations
from fusemap.mappers.types import EinsumMapping, Phase, Problem, Stage
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.actions import Place, memory_rows, moved_words, operator_rows, traffic_words
from fusemap.sim.latency import einsum_time

ROUNDING = 1 + 1e-12  # as in the check of one mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Arrays over points: `legal` says which fit, `energy_pj` is None where the machine lacks prices."""

    latency_s: Numbers
    traffic_bytes: Numbers
    energy_pj: Numbers | None
    legal: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """A number of one Einsum at every point, from its values with nothing and with everything spilled."""

    variants: Variants
    none: Sequence[float]
    whole: Sequence[float]

    def values(self) -> Numbers:
        none = np.array(self.none, dtype=np.float64)[self.variants.which]
        whole = np.array(self.whole, dtype=np.float64)[self.variants.which]
        share = self.variants.spilled
        return (1 - share) * none + share * whole


@dataclass(frozen=True, slots=True, kw_only=True)
class _Einsum:
    """One Einsum at every point; `held` are words of a tensor in a memory."""

    cycles: Numbers
    words: Mapping[str, Numbers]
    energy_pj: Numbers | None
    held: Mapping[tuple[str, str], Numbers]
    legal: Numbers


def costs(
    found: Sequence[Variants],
    problem: Problem,
    binding: tuple[Phase, ...],
    machine: Machine,
    place_of: dict[str, Place] | None,
    in_place: Sequence[Sequence[str]],
    count: int,
) -> Costs:
    """Costs of all points; `place_of` has the prices of words (None: energy is left out)."""
    einsums = {v.einsum: _einsum(v, problem, machine, place_of) for v in found}
    latency, legal = np.zeros(count), np.ones(count, dtype=bool)
    for phase in binding:
        latency = latency + _phase_s(phase, einsums, machine)
        legal &= _fits(phase, einsums, machine, in_place)
    for einsum in einsums.values():
        legal &= einsum.legal > 0
    outermost = machine.memories[0].name
    traffic = sum((e.words[outermost] for e in einsums.values()), np.zeros(count)) * machine.word_bytes
    energy = None
    if place_of is not None:
        energy = sum((e.energy_pj for e in einsums.values() if e.energy_pj is not None), np.zeros(count))
    return Costs(latency_s=latency, traffic_bytes=traffic, energy_pj=energy, legal=legal)


def _einsum(found: Variants, problem: Problem, machine: Machine, place_of: dict[str, Place] | None) -> _Einsum:
    space = problem.space(found.einsum)
    numbers = range(len(found.nests))
    ends = [[found.nest(i, fraction) for i in numbers] for fraction in (0.0, 1.0)]
    moved = [[moved_words(space, nest, machine, PRINCIPLED) for nest in nests] for nests in ends]

    def over(values: list[list[float]]) -> Numbers:
        return _Ends(variants=found, none=values[0], whole=values[1]).values()

    def constant(values: list[float]) -> Numbers:
        return np.array(values, dtype=np.float64)[found.which]

    words = {m.name: over([[traffic_words(one, m.name) for one in end] for end in moved]) for m in machine.memories}
    energy = None
    if place_of is not None:
        operators = [sum(r.energy_pj for r in operator_rows(space, n, machine, PRINCIPLED)) for n in found.nests]
        rows = [[sum(r.energy_pj for r in memory_rows(space, m, place_of, PRINCIPLED)) for m in end] for end in moved]
        energy = over(rows) + constant(operators)
    alone = [[_alone(problem, nest) for nest in nests] for nests in ends]
    held = {
        (memory.name, tensor): over([[_held(one, memory.name).get(tensor, 0) for one in end] for end in alone])
        for memory in machine.memories
        for tensor in sorted({o.tensor for o in space.operands})
        if memory.capacity_bytes is not None
    }
    roomy = _without_limits(machine)
    return _Einsum(
        cycles=constant([einsum_time(space, nest, machine, PRINCIPLED).cycles for nest in found.nests]),
        words=words,
        energy_pj=energy,
        held=held,
        legal=constant([float(not violations(*one, roomy)) for one in alone[0]]),
    )


def _alone(problem: Problem, nest: EinsumMapping) -> tuple[Problem, CascadeMapping]:
    """One Einsum as a problem of its own."""
    stage = Stage(name=nest.einsum, work=((nest.array, (nest.einsum,)),))
    phase = Phase(name=nest.einsum, stages=(stage,))
    space = problem.space(nest.einsum)
    one = dataclasses.replace(problem, spaces=(space,))
    return one, CascadeMapping(dataflow="", einsums=(nest,), binding=(phase,))


def _held(one: tuple[Problem, CascadeMapping], memory: str) -> dict[str, float]:
    problem, mapping = one
    return resident_words(problem, mapping, mapping.binding[0], memory)


def _without_limits(machine: Machine) -> Machine:
    """The machine with memories of any capacity: that is asked of all Einsums of a phase together."""
    memories = tuple(dataclasses.replace(memory, capacity_bytes=None) for memory in machine.memories)
    return dataclasses.replace(machine, memories=memories)


def _phase_s(phase: Phase, einsums: Mapping[str, _Einsum], machine: Machine) -> Numbers:
    """max(sum of stage cycles / clock, words / bandwidth of each memory that has one), as `phase_time`."""
    compute = sum((_stage_cycles(stage, einsums) for stage in phase.stages), np.zeros(1)) / machine.clock_hz
    result: Numbers = compute
    for memory in machine.memories:
        if memory.bandwidth_bytes_per_s is not None:
            words = sum((einsums[e].words[memory.name] for e in phase.einsums), np.zeros(1))
            result = np.maximum(result, words * machine.word_bytes / memory.bandwidth_bytes_per_s)
    return result


def _stage_cycles(stage: Stage, einsums: Mapping[str, _Einsum]) -> Numbers:
    longest: Numbers = np.zeros(1)
    for _, names in stage.work:
        longest = np.maximum(longest, sum((einsums[e].cycles for e in names), np.zeros(1)))
    return sum((stall.factor * einsums[stall.einsum].cycles for stall in stage.stalls), longest)


def _fits(
    phase: Phase, einsums: Mapping[str, _Einsum], machine: Machine, in_place: Sequence[Sequence[str]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether what the phase keeps in each memory fits; tensors of a group and Einsums share their place."""
    group = {tensor: "+".join(tensors) for tensors in in_place for tensor in tensors}
    fits = np.ones(1, dtype=bool)
    for memory in machine.memories:
        if memory.capacity_bytes is None:
            continue
        held: dict[str, Numbers] = {}
        for einsum in phase.einsums:
            for (at, tensor), words in einsums[einsum].held.items():
                if at == memory.name:
                    name = group.get(tensor, tensor)
                    held[name] = np.maximum(held.get(name, np.zeros(1)), words)
        need = sum(held.values(), np.zeros(1)) * machine.word_bytes
        fits = fits & (need <= memory.capacity_bytes * ROUNDING)
    return fits
