"""The technology of a machine and of its component table: equal, or scaled by factors that the machine's file states.

Nothing is scaled silently and no scaling law is built in: energy = energy in the table * factor, and so the area.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.components import ComponentTable, Entry, Scaling
from fusemap.archspec.expressions import Expression
from fusemap.archspec.models import ArchModel, ScalingModel
from fusemap.archspec.reader import Reader
from fusemap.archspec.units import QuantityText


def in_technology(reader: Reader, model: ArchModel, table: ComponentTable) -> tuple[Value | None, ComponentTable]:
    """The machine's technology in nm (None: neither file says), and the table that prices its components in it.

    A fault is noted with the reader: a component that is used and is in another technology, which no scaling covers.
    """
    used = [entry for entry in table.entries if entry.name in _used(model) and not entry.off_process]
    stated = {entry.technology_nm for entry in used}
    own = _nanometres(reader, ("technology",), model.technology)
    if model.scaling is not None:
        if own is None:
            reader.fail(
                ("scaling",), "a scaling needs the technology that it leads to", hint='add "technology:"', key=True
            )
            return None, table
        scaling = _scaling(reader, model.scaling, table, used, own)
        if scaling is None:
            return own, table
        table = replace(table, scaling=scaling)
        used = [entry for entry in used if not scaling.holds_for(entry)]
    elif own is None and len(stated) == 1:
        return stated.pop(), table
    elif own is None and len(stated) > 1:
        message = f"the components are in several technologies: {_listed(used)}"
        reader.fail(("table",), message, hint='say which is the machine\'s with "technology:", and scale the others')
        return None, table
    _check(reader, own, [entry for entry in used if entry.technology_nm != own])
    return own, table


def _check(reader: Reader, own: Value | None, others: Sequence[Entry]) -> None:
    """A fault for components that are not in the machine's technology."""
    if own is None or not others:
        return
    unknown = [entry for entry in others if entry.technology_nm is None]
    if unknown:
        names = ", ".join(entry.name for entry in unknown)
        message = f"the machine is in {own} nm, and the table does not say in which technology these are: {names}"
        reader.fail(("table",), message, hint='add "technology:" to the table')
        return
    example = f"{{from: {others[0].technology_nm} nm, to: {own} nm, energy: FACTOR, area: FACTOR, source: ...}}"
    message = f"the machine is in {own} nm, and components of the table are not: {_listed(others)}"
    reader.fail(("technology",), message, hint=f"nothing is scaled silently: add scaling: {example}")


def _scaling(
    reader: Reader, model: ScalingModel, table: ComponentTable, used: Sequence[Entry], own: Value
) -> Scaling | None:
    """The factors, checked against the machine and the table; None after a fault."""
    faults = len(reader.errors)
    origin = _nanometres(reader, ("scaling", "from"), model.from_)
    target = _nanometres(reader, ("scaling", "to"), model.to)
    energy, source = _factor(reader, "energy", model.energy)
    area = _factor(reader, "area", model.area)[0] if model.area is not None else None
    if target not in (own, None):
        reader.fail(("scaling", "to"), f"the scaling leads to {target} nm, and the machine is in {own} nm")
    if origin is not None and origin == target:
        reader.fail(("scaling", "from"), f"the scaling leads from {origin} nm to the same")
    elif origin is not None and not any(entry.technology_nm == origin for entry in used):
        message = f"no component that the machine uses is in {origin} nm: {_listed(used) or 'none says its technology'}"
        reader.fail(("scaling", "from"), message)
    if origin is None or target is None or len(reader.errors) > faults:
        return None
    return Scaling(
        from_nm=origin,
        to_nm=target,
        energy=energy,
        area=area,
        source=source,
        table=table.base,
        where=reader.document.place(("scaling",)),
    )


def _factor(reader: Reader, key: str, expression: Expression) -> tuple[Value, str]:
    """A positive factor and its source."""
    value = reader.number(("scaling", key), expression)
    if value is None:
        return 1, ""
    if value <= 0:
        reader.fail(("scaling", key), f"a factor must be positive, found {value}")
    return value, reader.source(("scaling", key), expression)


def _nanometres(reader: Reader, path: tuple[str, ...], text: QuantityText | None) -> Value | None:
    return None if text is None else reader.quantity(path, text)[0]


def _used(model: ArchModel) -> frozenset[str]:
    """The components that the machine uses."""
    arrays = model.arrays.values()
    operators = [operator for array in arrays for operator in array.operators.values()]
    return frozenset(
        (
            *(memory.component for memory in model.memories.values()),
            *(array.registers.component for array in arrays),
            *(part for array in arrays for part in array.parts),
            *model.parts,
            *(key.partition(".")[0] for operator in operators for key in operator.actions),
        )
    )


def _listed(entries: Sequence[Entry]) -> str:
    """`mac, add in 65 nm; sram in 28 nm`."""
    groups: Mapping[Value | None, list[str]] = {entry.technology_nm: [] for entry in entries}
    for entry in entries:
        groups[entry.technology_nm].append(entry.name)
    return "; ".join(
        f"{', '.join(names)} in {f'{nm} nm' if nm is not None else 'a technology that the table does not say'}"
        for nm, names in groups.items()
    )
