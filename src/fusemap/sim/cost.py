"""The cost that mapping search is given: memory traffic and energy of each operand, over arrays of candidates."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.mappers.search import OperandCost
from fusemap.mappers.types import EinsumMapping, EinsumSpace
from fusemap.sim.actions import Place, places
from fusemap.sim.reuse import analyse


def operand_costs(space: EinsumSpace, nest: EinsumMapping, machine: Machine) -> dict[str, OperandCost]:
    """Bytes to the outermost memory and pJ of all levels, per operand label (principled accounting)."""
    place_of = _places(machine)
    outermost = machine.memories[0].name
    traffic = {o.label: np.zeros(1) for o in space.operands}
    energy = {o.label: np.zeros(1) for o in space.operands}
    for count in analyse(space, nest):
        place = place_of[count.memory]
        label = count.operand.label
        words = count.reads * place.read.value + (count.updates + count.fills) * place.write.value
        energy[label] = energy[label] + count.instances * words / place.words_per_access
        if count.memory == outermost:
            traffic[label] = traffic[label] + (count.reads + count.updates) * machine.word_bytes
    return {label: OperandCost(traffic_bytes=traffic[label], energy_pj=energy[label]) for label in traffic}


def operand_traffic(space: EinsumSpace, nest: EinsumMapping, machine: Machine) -> dict[str, OperandCost]:
    """As `operand_costs` with no energy: candidates of equal traffic count as equal."""
    outermost = machine.memories[0].name
    traffic = {o.label: np.zeros(1) for o in space.operands}
    for count in analyse(space, nest):
        if count.memory == outermost:
            label = count.operand.label
            traffic[label] = traffic[label] + (count.reads + count.updates) * machine.word_bytes
    return {label: OperandCost(traffic_bytes=bytes_, energy_pj=np.zeros(1)) for label, bytes_ in traffic.items()}


@lru_cache(maxsize=64)
def _places(machine: Machine) -> dict[str, Place]:
    return places(machine)
