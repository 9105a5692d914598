"""The prices that a search over whole cascades is given: principled accounting, arrays of candidates at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.mappers.mapspace.options import Prices
from fusemap.mappers.search import OperandCost
from fusemap.mappers.types import EinsumMapping, EinsumSpace
from fusemap.mappers.units import units
from fusemap.sim.actions import places, register_files
from fusemap.sim.reuse import analyse


def prices(machine: Machine, *, priced: bool = True) -> Prices:
    """Bytes to the outermost memory and pJ of every operand, and pJ of computing, as `evaluate` charges them.

    Also bytes that pass through the buffer, the second memory, if it has a bandwidth. Unless `priced`, an energy is
    the bytes that the outermost memory moves, so that less traffic decides between equals on a machine without
    prices. InputError names a price that is missing.
    """
    outermost, limited = machine.memories[0].name, [m.name for m in machine.memories[1:2] if m.bandwidth_bytes_per_s]
    unit = {name: (0.0, 0.0) for name in [*(m.name for m in machine.memories), *register_files(machine)]}
    unit[outermost] = (float(machine.word_bytes), float(machine.word_bytes))
    if priced:
        found = places(machine)
        unit = {n: (p.read.value / p.words_per_access, p.write.value / p.words_per_access) for n, p in found.items()}

    def operands(space: EinsumSpace, nest: EinsumMapping) -> Mapping[str, OperandCost]:
        traffic = {o.label: np.zeros(1) for o in space.operands}
        energy = {o.label: np.zeros(1) for o in space.operands}
        inside = {o.label: np.zeros(1) for o in space.operands}
        for count in analyse(space, nest):
            read, write = unit[count.memory]
            label = count.operand.label
            moved = count.instances * (count.reads * read + (count.updates + count.fills) * write)
            energy[label] = energy[label] + moved
            if count.memory == outermost:
                traffic[label] = traffic[label] + (count.reads + count.updates) * machine.word_bytes
            if count.memory in limited:
                words = count.instances * (count.reads + count.updates + count.fills)
                inside[label] = inside[label] + words * machine.word_bytes
        return {
            label: OperandCost(
                traffic_bytes=traffic[label], energy_pj=energy[label], buffer_bytes=inside[label] if limited else None
            )
            for label in traffic
        }

    def compute_pj(space: EinsumSpace, array: str) -> float:
        found = units(machine, machine.array(array), space) if priced else ()
        return sum(space.points * a.count * machine.action_energy(a).value for u in found for a in u.actions)

    def least_pj(space: EinsumSpace, array: str) -> float:
        read, write = unit[f"{array}.registers"]
        return compute_pj(space, array) + space.points * (read * len(space.inputs) + write)

    def outer_pj(reads: float, writes: float) -> float:
        return reads * unit[outermost][0] + writes * unit[outermost][1]

    def inner_pj(reads: float, writes: float) -> float:
        prices_of = [unit[m.name] for m in machine.memories]
        return reads * min(read for read, _ in prices_of) + writes * min(write for _, write in prices_of)

    return Prices(operands=operands, compute_pj=compute_pj, least_pj=least_pj, outer_pj=outer_pj, inner_pj=inner_pj)
