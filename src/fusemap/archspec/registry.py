"""The built-in archs, component tables and workloads, and how a name or path finds its file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path as FilePath
from typing import Any, Literal, TypeAlias

from fusemap.archspec.document import Document, Place, text_place, with_sources
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import did_you_mean

Kind: TypeAlias = Literal["arch", "workload", "components"]

_FOLDERS: Mapping[Kind, str] = {"arch": "archs", "workload": "workloads", "components": "components"}


@cache
def names(kind: Kind) -> tuple[str, ...]:
    """The built-in names of a kind, sorted.

    >>> names("workload")[0]
    'BERT'
    """
    folder = resources.files("fusemap.archspec") / _FOLDERS[kind]
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def is_path(reference: str) -> bool:
    """Whether a reference is a path rather than a built-in name: it has a slash or ends in .yaml or .yml."""
    return "/" in reference or "\\" in reference or reference.endswith((".yaml", ".yml"))


@cache
def built_in(kind: Kind, name: str) -> Document:
    """The document of a built-in name, which must exist; all who ask share it."""
    label = f"{_FOLDERS[kind]}/{name}.yaml"
    text = (resources.files("fusemap.archspec") / _FOLDERS[kind] / f"{name}.yaml").read_text("utf-8")
    return with_sources(parse_document(text, file=label))


def find(kind: Kind, reference: str, *, beside: str = "", place: Place | None = None) -> tuple[str, Document]:
    """The identity and document of a built-in name, or of a path relative to the file `beside`.

    InputError at `place` (where the reference is written) for an unknown name or an absent file.
    """
    place = place or text_place(reference, f"<{kind}>")
    if not is_path(reference):
        valid = names(kind)
        if reference not in valid:
            hint = did_you_mean(reference, valid)
            raise place.error(f'unknown {_noun(kind)} "{reference[:60]}"', hint=hint)
        return f"{kind} {reference}", built_in(kind, reference)
    path = FilePath(beside).parent / reference
    try:
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    if not exists:
        raise place.error(f'no such file: "{reference[:200]}"')
    return str(path.resolve()), with_sources(load_document(path))


def _noun(kind: Kind) -> str:
    return "component table" if kind == "components" else kind


def json_schema(kind: Kind) -> dict[str, Any]:
    """The JSON schema of a kind of file, for editors.

    An arch may leave anything to the file it extends, so its schema requires nothing (the loader does).
    """
    from fusemap.archspec import models  # pydantic loads only when a schema is asked for

    if kind == "workload":
        schema = models.WorkloadModel.model_json_schema()
    elif kind == "components":
        schema = models.ComponentsModel.model_json_schema()
    else:
        schema = _without_required(models.ArchFileModel.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _without_required(schema: Any) -> Any:
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if not (key == "required" and isinstance(value, list))}
        return {key: _without_required(value) for key, value in kept.items()}
    return [_without_required(item) for item in schema] if isinstance(schema, list) else schema
