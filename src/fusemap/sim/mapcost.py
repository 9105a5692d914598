"""The prices that a search over whole cascades is given: principled accounting, arrays of candidates at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.mappers.mapspace.options import Prices
from fusemap.mappers.search import OperandCost
from fusemap.mappers.types import EinsumMapping, EinsumSpace
from fusemap.mappers.units import units
from fusemap.sim.actions import places
from fusemap.sim.reuse import analyse


def prices(machine: Machine) -> Prices:
    """Bytes to the outermost memory and pJ of every operand, and pJ of computing, as `evaluate` charges them."""
    place_of = places(machine)
    unit = {n: (p.read.value / p.words_per_access, p.write.value / p.words_per_access) for n, p in place_of.items()}
    outermost = machine.memories[0].name

    def operands(space: EinsumSpace, nest: EinsumMapping) -> Mapping[str, OperandCost]:
        traffic = {o.label: np.zeros(1) for o in space.operands}
        energy = {o.label: np.zeros(1) for o in space.operands}
        for count in analyse(space, nest):
            read, write = unit[count.memory]
            label = count.operand.label
            moved = count.instances * (count.reads * read + (count.updates + count.fills) * write)
            energy[label] = energy[label] + moved
            if count.memory == outermost:
                traffic[label] = traffic[label] + (count.reads + count.updates) * machine.word_bytes
        return {label: OperandCost(traffic_bytes=traffic[label], energy_pj=energy[label]) for label in traffic}

    def compute_pj(space: EinsumSpace, array: str) -> float:
        found = units(machine, machine.array(array), space)
        return sum(space.points * a.count * machine.action_energy(a).value for u in found for a in u.actions)

    def least_pj(space: EinsumSpace, array: str) -> float:
        read, write = unit[f"{array}.registers"]
        return compute_pj(space, array) + space.points * (read * len(space.inputs) + write)

    def outer_pj(reads: float, writes: float) -> float:
        return reads * unit[outermost][0] + writes * unit[outermost][1]

    return Prices(operands=operands, compute_pj=compute_pj, least_pj=least_pj, outer_pj=outer_pj)
