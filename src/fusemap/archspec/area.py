"""The area of a machine, component by component."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fusemap.archspec.components import Quantity
from fusemap.archspec.types import Array, Machine, Part
from fusemap.diagnostics import Diagnostic, InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaRow:
    """`count` instances of a component in a structure (an array, a memory or the chip)."""

    structure: str
    component: str
    count: int
    area_um2: Quantity

    @property
    def total_um2(self) -> float:
        """count * area of one instance."""
        return self.count * self.area_um2.value


def area_rows(machine: Machine) -> tuple[AreaRow, ...]:
    """The rows whose totals add up to the machine's area; InputError names every area that is not known.

    A memory on the chip counts once; an array has pes register files and its parts, counted per
    processing element, per column or once.
    """
    rows: list[AreaRow] = []
    errors: list[Diagnostic] = []
    for structure, name, count, area in _instances(machine):
        try:
            rows.append(AreaRow(structure=structure, component=name, count=count, area_um2=area()))
        except InputError as error:
            errors.extend(error.diagnostics)
    if errors:
        raise InputError(tuple(errors))
    return tuple(rows)


def area_um2(machine: Machine) -> float:
    """The area of the whole chip: the sum over `area_rows`."""
    return sum(row.total_um2 for row in area_rows(machine))


def _instances(machine: Machine) -> Iterator[tuple[str, str, int, Callable[[], Quantity]]]:
    for memory in machine.memories:
        if memory.on_chip:
            yield memory.name, memory.component.name, machine.instances(memory), memory.component.area
    for array in machine.arrays:
        yield array.name, array.registers.component.name, array.pes, array.registers.component.area
        for part in array.parts:
            yield array.name, part.component, part_instances(part, array), _area_of(machine, part)
    for part in machine.parts:
        yield "chip", part.component, part.count, _area_of(machine, part)


def _area_of(machine: Machine, part: Part) -> Callable[[], Quantity]:
    return lambda: machine.table.component(part.component, place=part.where).area()


def part_instances(part: Part, array: Array) -> int:
    """How many instances an array has of a part."""
    if part.per == "pe":
        return part.count * array.pes
    return part.count * (array.dim("columns").extent if part.per == "column" else 1)
