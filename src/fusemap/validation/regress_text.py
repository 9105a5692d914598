"""The part of a baseline that is recorded, as YAML: one number a line, in a fixed order, written so that it reads back.

What cases of one machine share (clock, unit energies, areas) stands once per machine, so that a changed price is one
line of a review and not one for every case.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fusemap.diagnostics import input_error
from fusemap.validation.regress_model import SCHEMA
from fusemap.validation.regress_snapshot import Phase, Refused, Snapshot

_PLAIN = re.compile(r"[A-Za-z][\w./@+=#-]*( [\w./@+=-][\w./@+=#-]*)*", re.ASCII)
_WORDS = {"null", "true", "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a baseline holds: results by case, the version and inputs they were computed with, and the reason."""

    version: str
    reason: str
    results: Mapping[str, Snapshot | Refused]
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What cases of a machine share; `numbers` has `unit_energy_pj` and `area_um2` under (section, name).

    `outermost` is None for cases without prices, which do not say.
    """

    clock_hz: float
    outermost: str | None
    numbers: Mapping[tuple[str, str], float]

    def joined(self, other: Machine) -> Machine | None:
        """Both in one; None where they contradict each other."""
        ours, theirs = self.numbers, other.numbers
        if self.clock_hz != other.clock_hz or any(ours.get(key, value) != value for key, value in theirs.items()):
            return None
        if None not in (self.outermost, other.outermost) and self.outermost != other.outermost:
            return None
        outermost = other.outermost if self.outermost is None else self.outermost
        return Machine(clock_hz=self.clock_hz, outermost=outermost, numbers={**ours, **theirs})


def machine_of(found: Snapshot) -> Machine:
    """The part of a snapshot that other cases of its machine share."""
    prices = {("unit_energy_pj", action.price_key): action.unit_energy_pj for action in found.actions}
    areas = {("area_um2", name): area for name, area in found.areas}
    outermost = found.outermost if found.actions else None
    return Machine(clock_hz=found.clock_hz, outermost=outermost, numbers={**prices, **areas})


def record_text(record: Record) -> str:
    """The key `recorded` with all below it; InputError for a number that is not finite."""
    machines, names = share(record.results)
    lines = [
        "recorded:",
        f"  schema: {SCHEMA}",
        f"  fusemap: {scalar(record.version)}",
        f"  reason: {quoted(record.reason)}",
    ]
    lines += _block("inputs", record.inputs, 1)
    if machines:
        lines.append("  machines:")
        for name in sorted(machines):
            lines += _machine(name, machines[name])
    snapshots = {name: found for name, found in record.results.items() if isinstance(found, Snapshot)}
    if snapshots:
        lines.append("  cases:")
        for name, found in snapshots.items():
            lines += _case(name, found, names[name])
    refused = {name: found.reason for name, found in record.results.items() if isinstance(found, Refused)}
    lines += _block("refused", refused, 1)
    return "\n".join(lines) + "\n"


def share(results: Mapping[str, Snapshot | Refused]) -> tuple[dict[str, Machine], dict[str, str]]:
    """The machines of all cases by name, and the name of each case's; one that contradicts another is numbered."""
    machines: dict[str, Machine] = {}
    names: dict[str, str] = {}
    for case, found in results.items():
        if isinstance(found, Refused):
            continue
        arch, own, number = found.text("arch"), machine_of(found), 1
        name = arch
        while (joined := machines.get(name, own).joined(own)) is None:
            number += 1
            name = f"{arch} {number}"
        machines[name], names[case] = joined, name
    return machines, names


def scalar(value: float | str) -> str:
    """A value as YAML that reads back as the same value.

    >>> scalar(0.1), scalar(12.0), scalar(1e-300), scalar("BERT@4K"), scalar("no: 1"), scalar("true")
    ('0.1', '12', '1e-300', 'BERT@4K', '"no: 1"', '"true"')
    """
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else quoted(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return str(int(value))
    return repr(value)


def quoted(text: str) -> str:
    """A text in double quotes on one line, what cannot be seen escaped.

    >>> print(quoted('a "b"\\n'))
    "a \\"b\\"\\n"
    """
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in shown)


def _machine(name: str, machine: Machine) -> Iterator[str]:
    yield f"    {scalar(name)}:"
    yield f"      clock_hz: {_number(machine.clock_hz, name, 'clock_hz')}"
    if machine.outermost:
        yield f"      outermost: {scalar(machine.outermost)}"
    for section in ("unit_energy_pj", "area_um2"):
        own = {key: value for (kind, key), value in machine.numbers.items() if kind == section}
        yield from _block(section, {key: own[key] for key in sorted(own)}, 3, of=name)


def _case(name: str, found: Snapshot, machine: str) -> Iterator[str]:
    yield f"    {scalar(name)}:"
    for key, text in found.texts:
        yield f"      {key}: {scalar(text)}"
    if machine != found.text("arch"):
        yield f"      machine: {scalar(machine)}"
    yield from _block("tiles", dict(found.tiles), 3, of=name)
    parts: dict[str, dict[str, float]] = {"utilization": {}, "energy_pj": {}}
    for metric, value in found.metrics:
        family, point, part = metric.partition(".")
        if point:
            parts[family][part] = value
        else:
            yield f"      {metric}: {_number(value, name, metric)}"
    yield from _block("utilization", parts["utilization"], 3, of=name, always=True)
    yield from _block("energy_by_component_pj", parts["energy_pj"], 3, of=name)
    yield "      phases:" if found.phases else "      phases: {}"
    for phase in found.phases:
        yield from _phase(phase, name)
    counts: dict[str, dict[str, float]] = {}
    for action in found.actions:
        key = " ".join(part for part in (action.component, action.action, action.tensor) if part)
        counts.setdefault(action.einsum, {})[key] = action.count
    if counts:
        yield "      counts:"
        for einsum, own in counts.items():
            yield from _block(scalar(einsum), own, 4, of=name)


def _phase(phase: Phase, case: str) -> Iterator[str]:
    yield f"        {scalar(phase.name)}:"
    yield f"          compute_s: {_number(phase.compute_s, case, 'compute_s')}"
    yield from _block("memory_s", dict(phase.memory_s), 5, of=case, always=True)
    yield "          cycles:" if phase.cycles else "          cycles: {}"
    for stage, cycles in phase.cycles:
        yield from _block(scalar(stage), dict(cycles), 6, of=case, always=True)


def _block(
    key: str, entries: Mapping[str, float | str], depth: int, *, of: str = "", always: bool = False
) -> list[str]:
    """A mapping of values, one a line; nothing where there are none, unless it `always` stands there."""
    indent = "  " * depth
    if not entries:
        return [f"{indent}{key}: {{}}"] if always else []
    lines = [f"{indent}{key}:"]
    for name, value in entries.items():
        text = scalar(value) if isinstance(value, str) else _number(value, of, name)
        lines.append(f"{indent}  {scalar(name)}: {text}")
    return lines


def _number(value: float, of: str, name: str) -> str:
    if not math.isfinite(value):
        raise input_error(f"{name} of {of} is {value}, and a baseline holds numbers that are finite")
    return scalar(value)
