"""From word counts and operators to rows: actions of components with their unit energy and its source."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from fusemap.archspec.components import Quantity
from fusemap.archspec.decide import somewhere
from fusemap.archspec.types import Machine
from fusemap.mappers.types import EinsumMapping, EinsumSpace
from fusemap.mappers.units import units
from fusemap.sim.accounting import Accounting, instances
from fusemap.sim.report import Row
from fusemap.sim.reuse import LevelCount, analyse


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A level that holds words: how many per access, what an access costs."""

    name: str
    words_per_access: float
    read: Quantity
    write: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Words of one operand at one level that are charged there.

    `copies` instances of the level are charged, and the fraction `share` of what they move; the words are
    those that `spilled_from` could not hold, if it is not empty.
    """

    count: LevelCount
    copies: int
    share: float
    read_words: float
    written_words: float
    spilled_from: str = ""


def places(machine: Machine) -> dict[str, Place]:
    """Every memory and register file with its prices; InputError names a missing energy."""
    result = {}
    for memory in machine.memories:
        component = memory.component
        result[memory.name] = Place(
            name=memory.name,
            words_per_access=memory.words_per_access,
            read=component.energy("read"),
            write=component.energy("write"),
        )
    for array in machine.arrays:
        component = array.registers.component
        name = f"{array.name}.registers"
        result[name] = Place(
            name=name,
            words_per_access=1,
            read=component.energy("read"),
            write=component.energy("write"),
        )
    return result


def register_files(machine: Machine) -> dict[str, int]:
    """How many register files each array has, by the name of the level; other memories are not listed."""
    return {f"{array.name}.registers": array.pes for array in machine.arrays}


def moved_words(space: EinsumSpace, nest: EinsumMapping, machine: Machine, accounting: Accounting) -> tuple[Moved, ...]:
    """Words moved per operand and level: reads -> read; updates and fills -> written.

    Of a tensor that memory m spills by fraction s, the outermost memory sees (1 - s) of its own words
    plus s of m's reads and updates; m itself sees 1 - s of its words.
    """
    projected = accounting.projected(space)
    rule = None if accounting.partition_bits is None else accounting.partition
    counts = analyse(projected, nest, partition=rule)
    outermost, of_array = machine.memories[0].name, register_files(machine)
    result = []
    for count in counts:
        copies = instances(accounting, count.instances, of_array.get(count.memory))
        reads, updates = count.reads * copies, count.updates * copies
        spilled = _spilled(nest, count, counts)
        share = 1 - spilled
        if count.memory == outermost:
            reads, updates = _outward(reads, updates, accounting)
        elif spilled:
            outer_reads, outer_updates = _outward(reads, updates, accounting)
            outer = dataclasses.replace(count, memory=outermost, fills=0)
            result.append(
                Moved(
                    count=outer,
                    copies=copies,
                    share=spilled,
                    read_words=spilled * outer_reads,
                    written_words=spilled * outer_updates,
                    spilled_from=count.memory,
                )
            )
            share = 1 if accounting.spill_keeps_buffer else share
        written = updates + count.fills * copies
        moved = Moved(count=count, copies=copies, share=share, read_words=share * reads, written_words=share * written)
        result.append(moved)
    return tuple(result)


def memory_rows(
    space: EinsumSpace, moved: tuple[Moved, ...], place_of: dict[str, Place], accounting: Accounting
) -> Iterator[Row]:
    """A row per operand, level and action, where anything moves."""
    for item in moved:
        place = place_of[item.count.memory]
        tensor = item.count.operand.tensor
        if not accounting.charges(place.name, space.name, tensor):
            continue
        for action, words, price in (("read", item.read_words, place.read), ("write", item.written_words, place.write)):
            if somewhere(words):
                yield Row(
                    einsum=space.name,
                    component=place.name,
                    action=action,
                    tensor=item.count.operand.label,
                    count=words / place.words_per_access,
                    unit_energy_pj=price.value,
                    source=price.source,
                    words=words,
                )


def operator_rows(space: EinsumSpace, nest: EinsumMapping, machine: Machine, accounting: Accounting) -> Iterator[Row]:
    """A row per component action: points of the iteration space times the actions of one point."""
    array = machine.array(nest.array)
    for unit in units(machine, array, space):
        for action in unit.actions:
            if not accounting.charges(f"{array.name}.{action.component}", space.name, ""):
                continue
            price = machine.action_energy(action)
            yield Row(
                einsum=space.name,
                component=f"{array.name}.{action.component}",
                action=" + ".join(unit.pattern),
                tensor="",
                count=space.points * action.count,
                unit_energy_pj=price.value,
                source=price.source,
            )


def traffic_words(moved: tuple[Moved, ...], memory: str) -> float:
    """Words that the Einsum reads from and writes to a memory."""
    return sum(m.read_words + m.written_words for m in moved if m.count.memory == memory)


def _outward(reads: float, updates: float, accounting: Accounting) -> tuple[float, float]:
    """Words to the outermost memory; overflowing counts come with a work-around that drops equal reads."""
    if accounting.partition_bits is not None and reads == updates:
        return 0, updates
    return reads, updates


def _spilled(nest: EinsumMapping, count: LevelCount, counts: tuple[LevelCount, ...]) -> float:
    """Fraction of this operand's words at this level that is spilled (at the outer memory: not moved)."""
    for spill in nest.spills:
        if count.operand.tensor in spill.tensors:
            kept = any(c.memory == spill.memory and c.operand.label == count.operand.label for c in counts)
            if kept and (count.memory == spill.memory or _is_outer(count, spill.memory, counts)):
                return spill.fraction
    return 0


def _is_outer(count: LevelCount, memory: str, counts: tuple[LevelCount, ...]) -> bool:
    """True when the count's level lies outside `memory` for the same operand (counts come outermost first)."""
    order = [c.memory for c in counts if c.operand.label == count.operand.label]
    return order.index(count.memory) < order.index(memory)
