"""A machine's components as Accelergy's tables: memories, register files, compute units and links."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fusemap.archspec.accelergy.types import VERSIONS, Estimate, Tables
from fusemap.archspec.accelergy.write import art_text, ert_text
from fusemap.archspec.archs import load_arch
from fusemap.archspec.area import part_instances
from fusemap.archspec.components import Component, Quantity
from fusemap.archspec.types import Array, Machine

ROOT = "system_top_level"  # the name that Timeloop gives the outermost level


def machine_tables(machine: Machine) -> Tables:
    """The energies (pJ per action) and areas (um^2) of one instance of each component that the machine uses.

    A memory is `ROOT.NAME`, the register file of an array `ROOT.ARRAY_registers`, a component of an operator or a
    part `ROOT.ARRAY_COMPONENT`, each with its range of instances. InputError for a memory or register file
    without an energy for reading or writing.
    """
    names = [name for name, _, _ in _components(machine)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise machine.where.error(
            f"two components would be called {', '.join(twice)}", hint="rename a memory or an array"
        )
    found = sorted(_estimates(machine), key=lambda estimate: not estimate.energies)  # what the ART alone has is last
    return Tables(version=VERSIONS[-1], components=tuple(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedTables:
    """The files of a machine: pairs of a name and a text."""

    machine: str
    files: tuple[tuple[str, str], ...]

    def to_json(self) -> dict[str, object]:
        """The document that the command prints with --json."""
        return {
            "schema": "fusemap/export/1",
            "format": "accelergy",
            "machine": self.machine,
            "files": dict(self.files),
        }


def export_accelergy(arch: str | os.PathLike[str] | Machine) -> ExportedTables:
    """The energies (pJ per action) and areas (um^2) of a machine's components as ERT.yaml and ART.yaml, format 0.4.

    InputError for a memory or register file without an energy for reading or writing.

    >>> [name for name, text in export_accelergy("fusemax-cloud").files]
    ['ERT.yaml', 'ART.yaml']
    """
    return export_tables(arch if isinstance(arch, Machine) else load_arch(arch))


def export_tables(machine: Machine) -> ExportedTables:
    """ERT.yaml and ART.yaml of a machine, the sources of their numbers as comments."""
    tables = machine_tables(machine)
    comments = [f"{machine.name}, priced by {machine.table.name}", *_sources(machine)]
    files = (("ERT.yaml", ert_text(tables, comments)), ("ART.yaml", art_text(tables, comments)))
    return ExportedTables(machine=machine.name, files=files)


def _sources(machine: Machine) -> list[str]:
    """The sources of the exported numbers, each once."""
    quantities = [quantity for _, component, _ in _components(machine) for quantity in _quantities(component)]
    return list(dict.fromkeys(" ".join(quantity.source.split()) for quantity in quantities))


def _estimates(machine: Machine) -> Iterator[Estimate]:
    for name, component, count in _components(machine):
        yield Estimate(
            name=f"{ROOT}.{_word(name)}[1..{count}]",
            energies=tuple((action, quantity.value) for action, quantity in component.energies),
            area_um2=component.area_um2.value if component.area_um2 is not None else None,
        )


def _components(machine: Machine) -> Iterator[tuple[str, Component, int]]:
    """Name, component and number of instances."""
    for memory in machine.memories:
        yield memory.name, _storing(memory.component), machine.instances(memory)
    for array in machine.arrays:
        yield f"{array.name}_registers", _storing(array.registers.component), array.pes
        for component, count in _units(array).items():
            yield f"{array.name}_{component}", machine.table.component(component, place=array.where), count
    for part in machine.parts:
        yield f"chip_{part.component}", machine.table.component(part.component, place=part.where), part.count


def _storing(component: Component) -> Component:
    """The component; InputError where it has no energy for reading or writing."""
    for action in ("read", "write"):
        component.energy(action)
    return component


def _units(array: Array) -> Mapping[str, int]:
    """The components of an array's operators and parts, with their number."""
    counts = {action.component: array.pes for cost in array.operators for action in cost.actions}
    return counts | {part.component: part_instances(part, array) for part in array.parts}


def _quantities(component: Component) -> Iterator[Quantity]:
    """Every number of a component that is exported."""
    yield from (quantity for _, quantity in component.energies)
    if component.area_um2 is not None:
        yield component.area_um2


def _word(name: str) -> str:
    """A name that Accelergy's tables can have.

    >>> _word("fusemax-cloud")
    'fusemax_cloud'
    """
    return re.sub(r"[^A-Za-z0-9_]", "_", name)
