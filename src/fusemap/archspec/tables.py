"""Component tables from files: `load_components`, and the table of a machine with its own overrides."""

from __future__ import annotations

import os
from functools import cache

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.components import ComponentTable, Entry, Price, Size
from fusemap.archspec.document import Document, Path, Place, merge, with_sources
from fusemap.archspec.models import ComponentModel, ComponentsModel
from fusemap.archspec.reader import Reader
from fusemap.archspec.registry import built_in, find, is_path, names
from fusemap.archspec.schema import validate
from fusemap.archspec.units import QuantityText
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import InputError, did_you_mean


def load_components(reference: str | os.PathLike[str]) -> ComponentTable:
    """The component table of a built-in name ("45nm") or a path; InputError lists every fault."""
    if isinstance(reference, str):
        return build_table(find("components", reference)[1], name=reference)
    return build_table(with_sources(load_document(reference)), name=str(reference))


def parse_components(text: str, *, file: str = "<components>") -> ComponentTable:
    """The component table of a YAML text that is named `file` in errors."""
    return build_table(with_sources(parse_document(text, file=file)), name=file)


def machine_table(reference: str, place: Place, inline: Document) -> ComponentTable:
    """The table that a machine names at `place`, with the machine's own `components:` merged over it."""
    if not inline.data and not is_path(reference) and reference in names("components"):
        return _built_in(reference)
    document = find("components", reference, beside=place.span.file, place=place)[1]
    file = base = document.file
    _check_inline(inline)
    if isinstance(inline.data, dict) and inline.data:
        document, file = merge(document, inline), f"{file} with {inline.file}"
    return build_table(document, name=reference, file=file, base=base)


def _check_inline(inline: Document) -> None:
    """InputError for a technology of a component in a machine's file: it would re-date what the table says."""
    components = inline.data.get("components", {}) if isinstance(inline.data, dict) else {}
    for name, component in components.items() if isinstance(components, dict) else ():
        if isinstance(component, dict) and "technology" in component:
            message = "the technology of a component is the component table's to say"
            hint = "numbers in a machine's file are in the machine's technology"
            raise inline.error(("components", name, "technology"), message, hint=hint, key=True)


@cache
def _built_in(name: str) -> ComponentTable:
    return build_table(built_in("components", name), name=name)


def build_table(document: Document, *, name: str, file: str = "", base: str = "") -> ComponentTable:
    """The table of a document: formulas checked against their parameters, sizes evaluated."""
    model = validate(document, ComponentsModel)
    reader = Reader(document=document)
    technology = _technology(reader, ("technology",), model.technology)
    entries = tuple(_entry(reader, key, component, technology) for key, component in model.components.items())
    reader.finish()
    return ComponentTable(
        name=name,
        file=file or document.file,
        base=base or document.file,
        entries=entries,
        place=document.place(),
    )


def _technology(reader: Reader, path: Path, text: QuantityText | str | None) -> Value | None:
    """A technology in nm; None where none is given, or an error was noted."""
    if not isinstance(text, QuantityText):
        return None
    try:
        return text.at(reader.document.place(path)).evaluate({})
    except InputError as error:
        reader.errors.extend(error.diagnostics)
        return None


def _entry(reader: Reader, name: str, model: ComponentModel, technology: Value | None) -> Entry:
    """A component in its own technology, else in the table's."""
    path: Path = ("components", name)
    if model.sizes and (model.energy or model.area or model.parameters):
        other = next(key for key in ("energy", "area", "parameters") if getattr(model, key))
        reader.fail((*path, other), f'a component with "sizes" gives {other} per size', key=True)
    return Entry(
        name=name,
        parameters=tuple(model.parameters),
        energies=_energies(reader, path, model.energy, model.parameters),
        area=_price(reader, (*path, "area"), model.area, model.parameters) if model.area else None,
        sizes=_sizes(reader, path, model),
        technology_nm=_technology(reader, (*path, "technology"), model.technology) if model.technology else technology,
        off_process=model.technology == "none",
    )


def _energies(
    reader: Reader, path: Path, energy: dict[str, QuantityText], parameters: list[str]
) -> tuple[tuple[str, Price], ...]:
    items = energy.items()
    return tuple((action, _price(reader, (*path, "energy", action), text, parameters)) for action, text in items)


def _price(reader: Reader, path: Path, text: QuantityText, parameters: list[str]) -> Price:
    """A price that uses only the component's parameters; without any it must evaluate."""
    placed = text.at(reader.document.place(path))
    unknown = sorted(text.amount.names() - set(parameters))
    for name in unknown:
        hint = did_you_mean(name, parameters, noun="parameters") or 'list it in "parameters"'
        reader.fail(path, f'"{name}" is not a parameter of this component', hint=hint)
    if not unknown and not text.amount.names():
        try:
            placed.evaluate({})
        except InputError as error:
            reader.errors.extend(error.diagnostics)
    return Price(text=placed, source=reader.source(path))


def _sizes(reader: Reader, path: Path, model: ComponentModel) -> tuple[Size, ...]:
    sizes: dict[tuple[int, int], Size] = {}
    for label, size in model.sizes.items():
        at: Path = (*path, "sizes", label)
        capacity = int(reader.quantity((*at, "capacity"), size.capacity)[0])
        width = int(reader.quantity((*at, "width"), size.width)[0])
        built = Size(
            label=label,
            capacity_bytes=capacity,
            width_bits=width,
            energies=_energies(reader, at, size.energy, []),
            area=_price(reader, (*at, "area"), size.area, []) if size.area else None,
        )
        if (capacity, width) in sizes:
            reader.fail(at, f"size given twice: {built}", key=True)
        sizes[capacity, width] = built
    return tuple(sizes.values())
