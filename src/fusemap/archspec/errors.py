"""Pydantic's validation errors as located diagnostics.

Of each error's location only the parts that exist in the data are kept (the rest are union tags); a
missing key and an unknown key that is close to it are one error; alternatives of a union are one error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fusemap.archspec.document import Document, Path, value_at
from fusemap.diagnostics import Diagnostic, nearest

MAX_ERRORS = 50

_EXPECTED: Mapping[str, str] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "none_required": "nothing",
    "expected": "{text}",
    "literal_error": "{expected}",
    "enum": "{expected}",
}
_RULES: Mapping[str, str] = {
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One pydantic error at the path where its value (or the mapping that lacks a key) stands."""

    path: Path
    error: ErrorDetails
    tags: tuple[str, ...]

    @property
    def context(self) -> dict[str, Any]:
        return self.error.get("ctx", {})


def located(
    error: ValidationError, document: Document, model: type[BaseModel], *, without: Sequence[Path] = ()
) -> tuple[Diagnostic, ...]:
    """Every error of a failed validation as a Diagnostic, except at the paths `without`; at most MAX_ERRORS."""
    all_faults = [_fault(details, document.data) for details in error.errors(include_url=False)]
    reported = [fault for fault in all_faults if fault.path not in without]
    faults = reported[:MAX_ERRORS]
    found = [
        *_key_errors(faults, document, model),
        *_type_errors(faults, document),
        *(_other(fault, document) for fault in faults if fault.error["type"] not in _GROUPED),
    ]
    if len(reported) > len(faults):
        found.append(document.diagnostic(reported[-1].path, f"{len(reported) - len(faults)} more errors"))
    return tuple(found)


_GROUPED = {"missing", "extra_forbidden", *_EXPECTED}


def _fault(details: ErrorDetails, data: object) -> _Fault:
    """Walk the location through the data; what is not there are union tags, or the missing key's name."""
    path: Path = ()
    tags: list[str] = []
    location = details["loc"]
    if details["type"] == "missing":
        location = location[:-1]
    for part in location:
        try:
            value_at(data, (*path, part))
        except KeyError:
            tags.append(str(part))
        else:
            path = (*path, part)
    return _Fault(path=path, error=details, tags=tuple(tags))


def _key_errors(faults: Sequence[_Fault], document: Document, model: type[BaseModel]) -> Iterable[Diagnostic]:
    """Unknown keys (with the nearest valid one) and missing ones that no unknown key is a misspelling of."""
    missing: dict[Path, list[str]] = {}
    for fault in faults:
        if fault.error["type"] == "missing":
            names = missing.setdefault(fault.path, [])
            name = str(fault.error["loc"][-1])
            names += [name] if name not in names else []
    for path in sorted({f.path for f in faults if f.error["type"] == "extra_forbidden"}, key=str):
        parent, key = path[:-1], str(path[-1])
        valid = _valid_keys(model, parent)
        absent = missing.get(parent, [])
        close = nearest(key, absent) or nearest(key, valid)
        if close in absent:
            absent.remove(str(close))
        suffix = f' (did you mean "{close}"?)' if close else f" (valid keys: {', '.join(valid)})" if valid else ""
        yield document.diagnostic(path, f'unknown key "{_cut(key)}"{suffix}', key=True)
    for path, names in missing.items():
        for name in names:
            yield document.diagnostic(path, f'missing key "{name}"', key=bool(path))


def _type_errors(faults: Sequence[_Fault], document: Document) -> Iterable[Diagnostic]:
    """Wrong types, one error for all alternatives of a place."""
    expected: dict[Path, list[_Fault]] = {}
    for fault in faults:
        if fault.error["type"] in _EXPECTED:
            expected.setdefault(fault.path, []).append(fault)
    for path, group in expected.items():
        wanted = list(dict.fromkeys(_wanted(fault) for fault in group))
        found = value_at(document.data, path)
        hint = ""
        if isinstance(found, str) and (close := nearest(found, _choices(group))):
            hint = f"did you mean {close}?"
        yield document.diagnostic(path, f"expected {' or '.join(wanted)}, found {describe(found)}", hint=hint)


def _other(fault: _Fault, document: Document) -> Diagnostic:
    """A broken rule, a fault inside a text, or any message of a validator."""
    kind, context = fault.error["type"], fault.context
    found = value_at(document.data, fault.path)
    place = document.place(fault.path, key="[key]" in fault.tags)
    if "[key]" in fault.tags:
        found = fault.path[-1] if fault.path else found
    if kind == "text_fault":
        offset, length, hint = context["offset"], context["length"], context["hint"]
        return place.diagnostic(context["text"], hint=hint, offset=offset, length=length)
    if kind in _RULES:
        return place.diagnostic(f"{_RULES[kind].format(**context)}, found {describe(found)}")
    message = fault.error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return place.diagnostic(message[:1].lower() + message[1:])


def _wanted(fault: _Fault) -> str:
    return _EXPECTED[fault.error["type"]].format(**{"text": fault.error["msg"], **fault.context}).replace("'", "")


def _choices(group: Sequence[_Fault]) -> list[str]:
    """The words that a literal or enum field accepts."""
    words = [str(fault.context.get("expected", "")) for fault in group]
    return [word.strip("' ") for text in words for part in text.split(",") for word in part.split(" or ")]


def describe(value: object) -> str:
    """A value in the words of a message: `"abc"`, 12, a list, a mapping, nothing."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{_cut(value)}"'
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _valid_keys(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the models at `path` accept (all alternatives of a union)."""
    types: list[Any] = [model]
    for part in path:
        types = [inner for each in types for inner in _step(each, part)]
    keys = [field.alias or name for each in types for name, field in each.model_fields.items()]
    return sorted(set(keys))


def _step(model: type[BaseModel] | _Inside, part: str | int) -> list[Any]:
    """The models (or containers of them) that may stand under a key or index."""
    if isinstance(model, _Inside):
        return _models(model.item)
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            return _models(field.annotation)
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inside:
    """A list or dict, whose items stand one path part deeper."""

    item: Any
    model_fields: Mapping[str, Any]


def _models(annotation: Any) -> list[Any]:
    """The models of a field's type, through unions and Annotated; a list or dict of them is an `_Inside`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _models(arguments[0])
    if origin in (Union, UnionType):
        return [inner for each in arguments for inner in _models(each)]
    if origin in (list, dict):
        return [_Inside(item=arguments[-1], model_fields={})]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return []
