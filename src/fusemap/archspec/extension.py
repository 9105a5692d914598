"""What a file that extends another may add: keys that would have no effect are refused, not merged silently."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fusemap.archspec.document import Document, Path, leaves, value_at
from fusemap.archspec.models import ArchModel, ArrayModel, MemoryModel, OperatorModel, PartModel, SourcedModel
from fusemap.diagnostics import Diagnostic, did_you_mean, nearest

_TEXTS = frozenset(("source", "component", "per"))
_NUMBERS = frozenset(("parameters", "dims", "actions"))
_SECTIONS = frozenset(("parameters", "clock", "word", "memories", "arrays", "parts"))


def extension_faults(base: Document, own: Document) -> tuple[Diagnostic, ...]:
    """Keys of `own` that are neither in the document it extends nor complete on their own.

    A new dimension of an inherited array would multiply its size. A new memory, array, operator or part
    is legitimate when it has all that one needs; otherwise it is a misspelt one if a name is near.
    """
    return (*_new_dims(base, own), *_incomplete(base, own))


def _new_dims(base: Document, own: Document) -> Iterator[Diagnostic]:
    for array in _mapping(own, ("arrays",)):
        path: Path = ("arrays", array, "dims")
        known = list(_mapping(base, path))
        for dim in _mapping(own, path):
            if known and dim not in known:
                close = nearest(dim, known)
                hint = f"did you mean {close}?\n  " if close else ""
                hint += f'to give it other dimensions, extend a file that sets "{array}: {{dims: null}}"'
                message = f'"{dim}" is no dimension of the inherited {array}, which has {", ".join(known)}'
                yield own.diagnostic((*path, dim), message, hint=hint, key=True)


def _incomplete(base: Document, own: Document) -> Iterator[Diagnostic]:
    arrays = [("arrays", array) for array in _mapping(own, ("arrays",)) if array in _mapping(base, ("arrays",))]
    maps: list[tuple[Path, type[SourcedModel], str]] = [
        (("memories",), MemoryModel, "memory"),
        (("arrays",), ArrayModel, "array"),
        (("parts",), PartModel, "part"),
        *(((*array, "operators"), OperatorModel, "operator") for array in arrays),
        *(((*array, "parts"), PartModel, "part") for array in arrays),
    ]
    for path, model, noun in maps:
        known = list(_mapping(base, path))
        required = {name for name, info in model.model_fields.items() if info.is_required()}
        for key, value in _mapping(own, path).items():
            near = key not in known and nearest(key, known) is not None
            if near and (value is None or (isinstance(value, dict) and not required <= value.keys())):
                message = f'no {noun} "{key[:60]}" to change in the extended file'
                yield own.diagnostic((*path, key), message, hint=did_you_mean(key, known), key=True)


def unused_parameters(own: Document, merged: Document) -> tuple[Diagnostic, ...]:
    """Parameters written in `own` that no expression of the merged document uses."""
    used: dict[str, set[Path]] = {}
    for path, value in leaves(merged):
        if not path or path[0] not in _SECTIONS or not isinstance(value, str):
            continue
        if path[-1] in _TEXTS and path[-2] not in _NUMBERS:
            continue
        for word in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", value):
            used.setdefault(word, set()).add(path)
    faults = []
    for name in _mapping(own, ("parameters",)):
        at: Path = ("parameters", name)
        if not used.get(name, set()) - {at}:
            close = nearest(name, [other for other in _mapping(merged, ("parameters",)) if other != name])
            hint = f"did you mean {close}?" if close else "use it in an expression, or remove it"
            faults.append(own.diagnostic(at, f'nothing uses parameter "{name[:60]}"', hint=hint, key=True))
    return tuple(faults)


def unused_prices(table: Document, merged: Document, model: ArchModel) -> tuple[Diagnostic, ...]:
    """Components, and actions of the table's components, that a machine adds to its table and does not use."""
    actions = _used_actions(model)
    components = {*model.parts, *(component for component, _ in actions)}
    components |= {name for array in model.arrays.values() for name in array.parts}
    known = list(_mapping(table, ("components",)))
    faults = []
    for name, component in model.components.items():
        at: Path = ("components", name)
        if name not in known:
            if name not in components:
                hint = did_you_mean(name, known, noun="components")
                faults.append(merged.diagnostic(at, f'nothing uses component "{name}"', hint=hint, key=True))
            continue
        for path in (at, *((*at, "sizes", label) for label in component.sizes)):
            if _mapping(table, path):
                faults += _unused_actions(table, merged, (*path, "energy"), {a for c, a in actions if c == name})
    return tuple(faults)


def _unused_actions(table: Document, merged: Document, path: Path, used: set[str]) -> Iterator[Diagnostic]:
    known = {*_mapping(table, path), *used}
    for action in _mapping(merged, path):
        if action not in known:
            message = f'nothing uses action "{action}" of component "{path[1]}"'
            hint = did_you_mean(action, sorted(known), noun="actions")
            yield merged.diagnostic((*path, action), message, hint=hint, key=True)


def _used_actions(model: ArchModel) -> set[tuple[str, str]]:
    """Component and action of everything that the machine does."""
    stores = {memory.component for memory in model.memories.values()}
    stores |= {array.registers.component for array in model.arrays.values()}
    used = {(component, action) for component in stores for action in ("read", "write")}
    for array in model.arrays.values():
        for key in (key for operator in array.operators.values() for key in operator.actions):
            component, _, action = key.partition(".")
            used.add((component, action or component))
    return used


def _mapping(document: Document, path: Path) -> dict[str, object]:
    """The mapping at `path`; empty when there is none."""
    try:
        value = value_at(document.data, path)
    except KeyError:
        return {}
    return value if isinstance(value, dict) else {}
