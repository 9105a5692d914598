"""One component's actions: each has one energy, whatever its data, because fusemap charges an access once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.document import Document, Path
from fusemap.archspec.errors import describe
from fusemap.diagnostics import Diagnostic, did_you_mean

_KEYS = ("name", "arguments", "energy")
# Arguments that Accelergy adds to every action; they say how long a cycle is, not what the action does.
_OF_EVERY_ACTION = frozenset(("global_cycle_seconds", "action_latency_cycles", "cycle_seconds"))
_NO_ESTIMATOR = "N/A"  # what Accelergy says of an ERT that it was given
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")

Energies: TypeAlias = tuple[tuple[str, Value], ...]
_Entry: TypeAlias = tuple[Path, Value, Mapping[str, object]]


def actions_of(
    document: Document, at: Path, row: Mapping[str, object], errors: list[Diagnostic]
) -> tuple[Energies, tuple[str, ...]]:
    """The energy of each action and notes of what it holds for; faults are added to `errors`.

    An action that is listed for several arguments is accepted where all of them cost the same.
    """
    actions = row.get("actions")
    if not isinstance(actions, list):
        errors.append(document.diagnostic((*at, "actions"), f"expected a list of actions, found {describe(actions)}"))
        return (), ()
    listed: dict[str, list[_Entry]] = {}
    for index, action in enumerate(actions):
        path: Path = (*at, "actions", index)
        found = _action(document, path, action, errors)
        if found is not None:
            name, energy, arguments = found
            listed.setdefault(name, []).append((path, energy, arguments))
    energies: list[tuple[str, Value]] = []
    notes: list[str] = []
    for name, entries in listed.items():
        first, energy, arguments = entries[0]
        if any(other != energy for _, other, _ in entries):
            errors.append(_several(document, first, name, str(row.get("name")), entries))
        energies.append((name, energy))
        own = ", ".join(f"{key} = {value}" for key, value in arguments.items() if key not in _OF_EVERY_ACTION)
        if own and len(entries) == 1:
            notes.append(f"{name} with {own}")
    return tuple(energies), tuple(notes)


def _action(
    document: Document, path: Path, action: object, errors: list[Diagnostic]
) -> tuple[str, Value, Mapping[str, object]] | None:
    """Name, energy and arguments; None after a fault."""
    if not isinstance(action, dict):
        errors.append(document.diagnostic(path, f"expected an action, found {describe(action)}"))
        return None
    faults = len(errors)
    for key in action:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS, noun="keys")
            errors.append(
                document.diagnostic((*path, key), f'unknown key "{key[:60]}" of an action', hint=hint, key=True)
            )
    name, energy, arguments = action.get("name"), action.get("energy"), action.get("arguments")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = f"expected the name of an action, found {describe(name)}"
        errors.append(document.diagnostic((*path, "name"), message))
    if isinstance(energy, str):
        message = f"expected an energy in pJ, a number, found {describe(energy)}"
        hint = "expressions are evaluated by accelergy, whose output has numbers"
        errors.append(document.diagnostic((*path, "energy"), message, hint=hint))
    elif isinstance(energy, bool) or not isinstance(energy, int | float) or not _usable(energy):
        message = f"expected an energy in pJ, a number, found {describe(energy)}"
        errors.append(document.diagnostic((*path, "energy"), message))
    if arguments is not None and not isinstance(arguments, dict):
        message = f"expected a mapping of arguments, found {describe(arguments)}"
        errors.append(document.diagnostic((*path, "arguments"), message))
    if len(errors) > faults or not isinstance(energy, int | float):
        return None
    return str(name), energy, arguments if isinstance(arguments, dict) else {}


def _usable(energy: float) -> bool:
    return math.isfinite(energy) and energy >= 0


def _several(
    document: Document,
    path: Path,
    name: str,
    component: str,
    entries: Sequence[tuple[Path, Value, Mapping[str, object]]],
) -> Diagnostic:
    """The fault of an action whose energy depends on its arguments."""
    keys = dict.fromkeys(key for _, _, arguments in entries for key in arguments)
    vary = [key for key in keys if len({repr(arguments.get(key)) for _, _, arguments in entries}) > 1]
    energies = [energy for _, energy, _ in entries]
    by = f" by {', '.join(vary)}" if vary else ""
    message = f'action "{name}" of {component} has {len(entries)} energies{by}: {min(energies)} to {max(energies)} pJ'
    hint = "energies that depend on data or addresses are not supported: keep the entry that you mean"
    return document.diagnostic((*path, "name"), message, hint=hint)


def estimators_in(value: object) -> Iterator[str]:
    """The names of the estimators in what a summary says of a component, in any of its forms.

    >>> list(estimators_in([{"name": "storage", "estimator": "CactiSRAM"}, {"reg": {"estimator": "Library"}}]))
    ['CactiSRAM', 'Library']
    """
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for inner in value:
            yield from estimators_in(inner) if not isinstance(inner, str) else ()
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "estimator" and isinstance(inner, str):
                yield from [inner] if inner != _NO_ESTIMATOR else ()
            elif isinstance(inner, dict | list):
                yield from estimators_in(inner)
