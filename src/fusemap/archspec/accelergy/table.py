"""Accelergy's tables as a component table of fusemap, every number with the file and the estimator it comes from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.accelergy.read import read_tables
from fusemap.archspec.accelergy.types import Estimate, Tables
from fusemap.archspec.arithmetic import Value
from fusemap.archspec.components import size_text
from fusemap.archspec.document import TextFault
from fusemap.archspec.tables import parse_components
from fusemap.archspec.units import CAPACITY, TECHNOLOGY, parse_quantity, quantity
from fusemap.diagnostics import did_you_mean, input_error

NO_PROCESS = "none"
_SIZE = re.compile(r"(?P<capacity>[0-9]+ ?(?:[KMGT]i?)?B)[_x ]+(?P<width>[0-9]+)(?: ?bit)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a user says of tables that they do not say themselves.

    `technology` is that of all components, "45 nm", `technologies` those of single ones (`none`: not the chip's).
    `names` gives components (`DRAM`) and actions (`mac.compute`) other names; `sizes` are the memories that hold
    for one capacity and width alone, with that size or with "" where the flattened architecture has it.
    """

    technology: str = ""
    technologies: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTable:
    """A component table made of another tool's numbers: its text, and what was noticed on the way."""

    origin: str
    text: str
    components: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """The document that the command prints with --json."""
        return {
            "schema": "fusemap/import/1",
            "format": self.origin,
            "components": list(self.components),
            "text": self.text,
            "notes": [{"line": None, "column": None, "message": note} for note in self.notes],
        }


def import_accelergy(
    files: Sequence[str | os.PathLike[str]],
    *,
    technology: str = "",
    technologies: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    sizes: Mapping[str, str] | None = None,
) -> ImportedTable:
    """The component table that Accelergy's ERT.yaml, ART.yaml, summaries and flattened architecture make.

    `technology` is that of all components ("45nm"), `technologies` of single ones (`none`: not the chip's), `rename`
    calls components and actions otherwise, `sizes` are memories whose numbers hold for one size ("16MiB_4096", or ""
    for what the architecture says). InputError for what is not supported, with file, line and column.
    """
    choices = Choices(technology=technology, technologies=technologies or {}, names=rename or {}, sizes=sizes or {})
    return component_table(read_tables(files), choices)


def component_table(tables: Tables, choices: Choices) -> ImportedTable:
    """The component table of Accelergy's numbers; InputError for a choice that names nothing, or what is missing.

    A component is called as the last part of its name, with more of it where two would be called alike.
    """
    named = dict(zip(_short_names(tables.components), tables.components, strict=True))
    _check(choices, named)
    files = f"Accelergy, format {tables.version}: {', '.join(tables.files)}"
    lines = [
        "description: Energies and areas that Accelergy estimated, of one instance each.",
        f"source: {_text(files)}",
    ]
    technologies = {name: _technology(name, estimate, choices) for name, estimate in named.items()}
    common = choices.technology or _commonest([nm for nm in technologies.values() if nm != NO_PROCESS])
    if common:
        lines.append(f"technology: {_technology_text(common)}")
    lines += ["", "components:"]
    for name, estimate in named.items():
        lines += _entry(name, estimate, choices, technologies[name], common)
    text = "\n".join(lines) + "\n"
    parse_components(text, file="the imported table")
    called = tuple(choices.names.get(name, name) for name in named)
    return ImportedTable(origin="accelergy", text=text, components=called, notes=tuple(_notes(named)))


def _short_names(components: Sequence[Estimate]) -> list[str]:
    """The shortest tails of the names that tell the components apart."""
    found = []
    for component in components:
        others = [other.parts for other in components if other is not component]
        parts = component.parts
        length = next((n for n in range(1, len(parts) + 1) if all(o[-n:] != parts[-n:] for o in others)), None)
        if length is None:
            twice = ", ".join(other.name for other in components if other.parts == parts)
            raise input_error(f"these components differ in their ranges alone: {twice}")
        found.append("_".join(parts[-length:]))
    return found


def _check(choices: Choices, named: Mapping[str, Estimate]) -> None:
    """InputError for a choice of a component or an action that the tables do not have, or for a bad name."""
    actions = [f"{name}.{action}" for name, estimate in named.items() for action, _ in estimate.energies]
    for option, keys, valid in (
        ("--technology", choices.technologies, list(named)),
        ("--size", choices.sizes, list(named)),
        ("--rename", choices.names, [*named, *actions]),
    ):
        for key in keys:
            if key not in valid:
                hint = did_you_mean(key, valid, noun="names")
                raise input_error(f'{option} names "{key[:60]}", which the tables do not have', hint=hint)
    for new in choices.names.values():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,59}", new):
            raise input_error(f'"{new[:60]}" is no name: expected letters, digits and underscores')
    called = [choices.names.get(name, name) for name in named]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise input_error(f"--rename calls two components {', '.join(twice)}")


def _technology(name: str, estimate: Estimate, choices: Choices) -> str:
    """The technology of a component as a text, from the choices or the flattened architecture."""
    stated = dict(estimate.attributes).get("technology", "")
    wanted = choices.technologies.get(name) or choices.technology
    if wanted == NO_PROCESS:
        return NO_PROCESS
    written = _nanometres(stated)
    if wanted:
        if written is not None and written != _nanometres(wanted) and name not in choices.technologies:
            raise input_error(
                f"{name} is in {stated} in the flattened architecture, and in {wanted} by --technology",
                hint=f"say which with --technology {name}={wanted}",
            )
        return wanted
    if written is None:
        found = f'the flattened architecture has "{stated}"' if stated else "the tables do not say it"
        raise input_error(
            f"in which technology is {name}? {found}",
            hint=f"give --technology 45nm, --technology {name}=45nm, or {name}=none for what is not on the chip",
        )
    return stated


def _nanometres(text: str) -> Value | None:
    """The nanometres of a technology: `45nm`, `45`; None for any other text."""
    try:
        return quantity(text if not text.isdigit() else f"{text} nm", TECHNOLOGY).evaluate({})
    except TextFault:
        return None


def _technology_text(text: str) -> str:
    value = _nanometres(text)
    if value is None:
        raise input_error(f'expected a technology such as 45nm, found "{text[:40]}"')
    return f"{value} nm"


def _commonest(texts: Sequence[str]) -> str:
    return max(texts, key=texts.count) if texts else ""


def _notes(named: Mapping[str, Estimate]) -> list[str]:
    """What a user has to know of the numbers."""
    notes = []
    leaking = [name for name, estimate in named.items() if estimate.energy_pj.get("leak")]
    if leaking:
        notes.append(f"leak is kept (pJ per cycle), and no evaluation charges it: {', '.join(leaking)}")
    updating = [
        name
        for name, estimate in named.items()
        if "update" in estimate.energy_pj and estimate.energy_pj["update"] != estimate.energy_pj.get("write")
    ]
    if updating:
        notes.append(f"update costs another energy than write, and fusemap charges write: {', '.join(updating)}")
    notes += [f"{name}: {note}" for name, estimate in named.items() for note in estimate.notes]
    return notes


def _entry(name: str, estimate: Estimate, choices: Choices, technology: str, common: str) -> list[str]:
    """The lines of one component."""
    by = f", estimated by {', '.join(estimate.estimators)}" if estimate.estimators else ""
    given = f" ({'; '.join(estimate.notes)})" if estimate.notes else ""
    lines = [f"  {choices.names.get(name, name)}:", f"    source: {_text(f'Accelergy, {estimate.name}{by}{given}')}"]
    if technology == NO_PROCESS:
        lines.append(f"    technology: {NO_PROCESS}")
    elif _nanometres(technology) != _nanometres(common):
        lines.append(f"    technology: {_technology_text(technology)}")
    prices = []
    if estimate.energies:
        energies = [f"{choices.names.get(f'{name}.{a}', a)}: {energy!r} pJ" for a, energy in estimate.energies]
        prices.append(f"energy: {{{', '.join(energies)}}}")
    if estimate.area_um2 is not None:
        prices.append(f"area: {estimate.area_um2!r} um^2")
    if name not in choices.sizes:
        return [*lines, *(f"    {price}" for price in prices)]
    capacity, width = _size(name, estimate, choices.sizes[name])
    label = size_text(capacity, width).removesuffix(" bit").replace(" x ", "_").replace(" ", "")
    sized = [f"capacity: {size_text(capacity, width).partition(' x ')[0]}", f"width: {width} bit"]
    return [*lines, "    sizes:", f"      {label}: {{{', '.join([*sized, *prices])}}}"]


def _size(name: str, estimate: Estimate, text: str) -> tuple[int, int]:
    """Capacity in bytes and width in bits, from the text or else from the flattened architecture."""
    if text:
        match = _SIZE.fullmatch(text)
        if match is None:
            raise input_error(f'"{text[:40]}" is no size such as 16MiB_4096')
        return int(parse_quantity(match["capacity"], CAPACITY)), int(match["width"])
    attributes = dict(estimate.attributes)
    depth, width = attributes.get("depth", ""), attributes.get("width", "")
    if not (depth.isdigit() and width.isdigit()) or int(depth) * int(width) % 8:
        message = f"the size of {name} is not known: it is depth x width of the flattened architecture"
        raise input_error(message, hint=f"give that file too, or --size {name}=16MiB_4096")
    return int(depth) * int(width) // 8, int(width)


def _text(text: str) -> str:
    """A text as YAML writes it for certain."""
    return json.dumps(text, ensure_ascii=False)
