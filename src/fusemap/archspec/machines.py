"""A merged arch document as a Machine: validated, expressions evaluated, components looked up."""

from __future__ import annotations

from collections.abc import Mapping

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.components import Component, ComponentTable
from fusemap.archspec.decide import as_whole
from fusemap.archspec.document import Document, Path, Place, select
from fusemap.archspec.extension import unused_prices
from fusemap.archspec.models import (
    ArchModel,
    ArrayModel,
    MemoryModel,
    OperatorModel,
    PartModel,
    RegistersModel,
    TimingModel,
)
from fusemap.archspec.reader import Reader, resolve_parameters
from fusemap.archspec.registry import find
from fusemap.archspec.schema import validate
from fusemap.archspec.tables import machine_table
from fusemap.archspec.technology import in_technology
from fusemap.archspec.types import (
    OPERATORS,
    Action,
    Array,
    Dim,
    Machine,
    Memory,
    OperatorCost,
    Part,
    RegisterFile,
    words_per_access,
)
from fusemap.diagnostics import InputError, did_you_mean


def build_machine(
    document: Document,
    *,
    name: str,
    parameters: Mapping[str, Value] | None = None,
    given: Mapping[Path, Value] | None = None,
) -> Machine:
    """The machine that a merged document describes, with numbers `given` by their path in it."""
    model = validate(document, ArchModel)
    reader = Reader(document=document, given=given or {})
    if not resolve_parameters(reader, model.parameters, parameters):
        reader.finish()
    table = machine_table(model.table, document.place(("table",)), select(document, "components"))
    technology, table = in_technology(reader, model, table)
    clock, clock_source = reader.quantity(("clock",), model.clock)
    word, word_source = reader.quantity(("word",), model.word)
    machine = Machine(
        name=model.name or name,
        description=model.description,
        clock_hz=clock,
        word_bytes=as_whole(word),
        memories=tuple(_memory(reader, table, key, memory, as_whole(word)) for key, memory in model.memories.items()),
        arrays=tuple(_array(reader, table, key, array) for key, array in model.arrays.items()),
        parts=_parts(reader, table, ("parts",), model.parts, None),
        parameters=tuple((key, reader.names[key]) for key in model.parameters),
        table=table,
        source=document.source(()),
        sources=(("clock_hz", clock_source), ("word_bytes", word_source)),
        where=document.place(),
        technology_nm=technology,
    )
    _check_owners(reader, model)
    reader.finish()
    _check_prices(document, model)
    return machine


def _check_prices(document: Document, model: ArchModel) -> None:
    """InputError for what the machine adds to its component table without using it."""
    if not model.components:
        return
    place = document.place(("table",))
    table = find("components", model.table, beside=place.span.file, place=place)[1]
    if faults := unused_prices(table, document, model):
        raise InputError(faults)


def _memory(reader: Reader, table: ComponentTable, name: str, model: MemoryModel, word_bytes: int) -> Memory:
    path: Path = ("memories", name)
    sources: list[tuple[str, str]] = []
    capacity = bandwidth = None
    if model.capacity is not None or (*path, "capacity") in reader.given:
        capacity, source = reader.quantity((*path, "capacity"), model.capacity)
        sources.append(("capacity_bytes", source))
    if model.bandwidth is not None or (*path, "bandwidth") in reader.given:
        bandwidth, source = reader.quantity((*path, "bandwidth"), model.bandwidth)
        sources.append(("bandwidth_bytes_per_s", source))
    width, source = reader.quantity((*path, "width"), model.width)
    sources.append(("width_bits", source))
    bindings = {"width_bits": width} | ({"capacity_bytes": capacity} if capacity is not None else {})
    place = reader.document.place((*path, "capacity" if capacity is not None else "component"))
    component = _component(reader, table, (*path, "component"), model.component, bindings, place)
    latency, ports = _timing(reader, (*path, "timing"), model.timing, sources)
    return Memory(
        name=name,
        capacity_bytes=None if capacity is None else as_whole(capacity),
        bandwidth_bytes_per_s=bandwidth,
        width_bits=as_whole(width),
        words_per_access=words_per_access(as_whole(width), word_bytes),
        on_chip=model.on_chip,
        component=component or _absent(model.component, place),
        sources=tuple(sources),
        where=reader.document.place(path, key=True),
        latency_s=latency,
        ports=ports,
        per=_dimensions(model),
    )


def _dimensions(model: MemoryModel) -> tuple[str, ...]:
    return (model.per,) if isinstance(model.per, str) else tuple(dict.fromkeys(model.per))


def _check_owners(reader: Reader, model: ArchModel) -> None:
    """A memory is per dimensions of one array, and does not stand inside one that is per a dimension it is not per."""
    dims = [dim for array in model.arrays.values() for dim in array.dims]
    inside: dict[str, str] = {}
    for name, memory in model.memories.items():
        own = _dimensions(memory)
        for dim in [dim for dim in inside if dim not in own][:1]:
            outer = inside[dim]
            message = f"{name} is not per {dim}, but {outer}, further out, is" if own else ""
            message = message or f"{name} is one of the chip, but {outer}, further out, is not"
            reader.fail(("memories", name), message, hint=f'list it before {outer}, or give it a "per"', key=True)
        inside |= {dim: inside.get(dim, name) for dim in own}
        if own and (memory.bandwidth is not None or memory.timing is not None):
            what = "bandwidth" if memory.bandwidth is not None else "timing"
            message = f"the {what} of a memory that is one per {', '.join(own)} is not modelled"
            reader.fail(("memories", name, what), message, hint="leave it out", key=True)
        for dim in own:
            if dims.count(dim) != 1:
                several = "several arrays have" if dim in dims else "no array has"
                message, hint = f'{several} a dimension "{dim}"', did_you_mean(dim, dims, noun="dimensions")
                reader.fail(("memories", name, "per"), message, hint=hint)
        if len({key for key, array in model.arrays.items() for dim in own if dim in array.dims}) > 1:
            reader.fail(("memories", name, "per"), f"{name} is per dimensions of several arrays")


def _timing(
    reader: Reader, path: Path, model: TimingModel | None, sources: list[tuple[str, str]]
) -> tuple[Value | None, int | None]:
    """Latency and ports, where the file gives them; their sources are added to the list."""
    latency = ports = None
    if model is not None and model.latency is not None:
        latency, source = reader.quantity((*path, "latency"), model.latency)
        sources.append(("latency_s", source))
    if model is not None and model.ports is not None:
        ports, source = reader.whole((*path, "ports"), model.ports)
        sources.append(("ports", source))
    return latency, ports


def _component(
    reader: Reader, table: ComponentTable, path: Path, name: str, bindings: Mapping[str, Value], place: Place
) -> Component | None:
    """The component that the text at `path` names; errors of its use point at `place`."""
    if not _known(reader, table, path, name):
        return None
    try:
        return table.component(name, bindings=bindings, place=place)
    except InputError as error:
        reader.errors.extend(error.diagnostics)
        return None


def _known(reader: Reader, table: ComponentTable, path: Path, name: str, *, key: bool = False) -> bool:
    if name not in table.names():
        hint = did_you_mean(name, table.names(), noun="components")
        reader.fail(path, f'unknown component "{name[:60]}" in {table.file}', hint=hint, key=key)
    return name in table.names()


def _array(reader: Reader, table: ComponentTable, name: str, model: ArrayModel) -> Array:
    path: Path = ("arrays", name)
    dims = []
    for dim, expression in model.dims.items():
        extent, source = reader.whole((*path, "dims", dim), expression)
        dims.append(Dim(name=dim, extent=extent, source=source))
    return Array(
        name=name,
        dims=tuple(dims),
        registers=_registers(reader, table, (*path, "registers"), model.registers),
        operators=_operators(reader, table, (*path, "operators"), model.operators),
        parts=_parts(reader, table, (*path, "parts"), model.parts, list(model.dims)),
        where=reader.document.place(path, key=True),
    )


def _registers(reader: Reader, table: ComponentTable, path: Path, model: RegistersModel) -> RegisterFile:
    depth, source = reader.whole((*path, "depth"), model.depth)
    place = reader.document.place((*path, "depth"))
    component = _component(reader, table, (*path, "component"), model.component, {"depth": depth}, place)
    return RegisterFile(depth_words=depth, component=component or _absent(model.component, place), source=source)


def _operators(
    reader: Reader, table: ComponentTable, path: Path, models: Mapping[str, OperatorModel]
) -> tuple[OperatorCost, ...]:
    costs: dict[tuple[str, ...], OperatorCost] = {}
    for key, model in models.items():
        at: Path = (*path, key)
        pattern = tuple(word.strip() for word in key.split("+"))
        for word in pattern:
            if word not in OPERATORS:
                hint = did_you_mean(word, OPERATORS, noun="operators")
                reader.fail(at, f'unknown operator "{word[:60]}"', hint=hint, key=True)
        if pattern in costs:
            reader.fail(at, f"operator given twice: {' + '.join(pattern)}", key=True)
        cycles, source = reader.whole((*at, "cycles"), model.cycles)
        actions = _actions(reader, table, (*at, "actions"), model)
        place = reader.document.place(at, key=True)
        costs[pattern] = OperatorCost(pattern=pattern, cycles=cycles, actions=actions, source=source, where=place)
    return tuple(costs.values())


def _actions(reader: Reader, table: ComponentTable, path: Path, model: OperatorModel) -> tuple[Action, ...]:
    """`mac: 6` is six times the action `mac` of the component `mac`; `sram.read: 1` names both."""
    actions = []
    for key, expression in model.actions.items():
        component, _, action = key.partition(".")
        _known(reader, table, (*path, key), component, key=True)
        count, source = reader.whole((*path, key), expression)
        actions.append(Action(component=component, action=action or component, count=count, source=source))
    return tuple(actions)


def _parts(
    reader: Reader, table: ComponentTable, path: Path, models: Mapping[str, PartModel], dims: list[str] | None
) -> tuple[Part, ...]:
    """The parts of an array with those dimensions, or of the chip (None)."""
    parts = []
    for component, model in models.items():
        at: Path = (*path, component)
        _known(reader, table, at, component, key=True)
        if (dims is None) != (model.per == "chip"):
            where = "an array" if dims is not None else "the chip"
            reader.fail((*at, "per"), f'"per: {model.per}" does not apply to a part of {where}')
        if model.per == "column" and dims is not None and "columns" not in dims:
            reader.fail((*at, "per"), f'"per: column" needs a dimension "columns", found {", ".join(dims)}')
        count_path: Path = (*at, "count")
        count, source = reader.whole(count_path, model.count)
        place = reader.document.place(at, key=True)
        parts.append(Part(component=component, per=model.per, count=count, source=source, where=place))
    return tuple(parts)


def _absent(name: str, place: Place) -> Component:
    """Stands for a component whose lookup failed, until the reader raises."""
    return Component(name=name, label=name, energies=(), area_um2=None, table="", place=place)
