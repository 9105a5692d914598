"""What Timeloop's format cannot say of an Einsum and its nest."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.archspec.types import Machine
from fusemap.diagnostics import Violation
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Storage
from fusemap.validation.timeloop.vocabulary import LETTERS

LARGEST = 2**31 - 1  # factors are read as signed integers of 32 bits


def refusals(space: EinsumSpace, nest: EinsumMapping, machine: Machine) -> tuple[Violation, ...]:
    """Everything of the nest that the format has no words for; empty if it can be written."""
    return tuple(_refusals(space, nest, machine))


def _refusals(space: EinsumSpace, nest: EinsumMapping, machine: Machine) -> Iterator[Violation]:
    einsum = space.name
    if len(space.ranks) > len(LETTERS):
        yield Violation(what=f"{einsum}: dimensions", need=len(space.ranks), limit=len(LETTERS), unit="single letters")
    for rank, extent in space.ranks:
        if extent > LARGEST:
            yield Violation(what=f"{einsum}: extent of {rank}", need=extent, limit=LARGEST, unit="coordinates")
    for spill in nest.spills:
        touched = sorted(spill.tensors & {o.tensor for o in space.operands})
        if spill.fraction and touched:
            yield Violation(
                what=f"{einsum}: {spill.memory} spills {', '.join(touched)}",
                need=spill.fraction,
                limit=0,
                unit="of its words",
                hint="Timeloop keeps a tensor in a level whole, or not at all",
            )
    if not nest.levels or isinstance(nest.levels[0], Fanout):
        yield Violation(
            what=f"{einsum}: memories outside the outermost fanout",
            need=1,
            limit=0,
            unit="level",
            hint="Timeloop's outermost level is a memory",
        )
    yield from _rows(einsum, nest, machine)


def _rows(einsum: str, nest: EinsumMapping, machine: Machine) -> Iterator[Violation]:
    """Memories whose rows are no whole number of words."""
    used = {level.memory for level in nest.levels if isinstance(level, Storage)}
    for memory in machine.memories:
        if memory.name in used and memory.words_per_access != int(memory.words_per_access):
            yield Violation(
                what=f"{einsum}: a row of {memory.name}",
                need=machine.word_bytes * 8,
                limit=memory.width_bits,
                unit="bit",
                hint="Timeloop's rows are whole words",
            )
