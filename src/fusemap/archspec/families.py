"""How the configurations of a family of models are read, as data: which key is which size, and what follows.

A file of `configs` has the keys of a `config.json` with the defaults of the library that writes them, numbers that
follow from them, and the parts of `validation/layers` that make the model, each with a condition and its ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import Field

from fusemap.archspec.document import Document, merge
from fusemap.archspec.models import Identifier
from fusemap.archspec.schema import ExpressionField, SpecModel, validate
from fusemap.archspec.yamlnodes import parse_document


class FieldModel(SpecModel):
    """A key of a configuration and the name of its value here.

    `size` is a whole number from 1, `count` one from 0, `flag` true or false, `choice` a word of `choices`. `words` is
    a list of words, each of which adds one to a name; `layers` a list of layers, of which `each` says whether layer I
    counts. `default` holds where the key is absent, `none` where its value is null; without them it must be there.
    """

    name: Identifier = ""
    about: str = ""
    kind: Literal["size", "count", "flag", "choice", "words", "layers"] = "size"
    default: ExpressionField | None = None
    none: ExpressionField | None = None
    choices: dict[str, int] = Field(default_factory=dict)
    words: dict[str, Identifier] = Field(default_factory=dict)
    absent: dict[Identifier, ExpressionField] = Field(default_factory=dict)
    each: ExpressionField | None = None


class PartModel(SpecModel):
    """A part of the model: when it is there, and the ranks that it needs, in the names of the configuration."""

    when: ExpressionField | None = None
    ranks: dict[Identifier, ExpressionField] = Field(default_factory=dict)


class FamilyModel(SpecModel):
    """A file of `configs`. `refused` keys change the cost in ways that are not supported, unless false, null, 0, empty.

    `*` in a key stands for any letters. `elsewhere` are keys that other families read. `harmless` ones have no part
    in the cost, `noted` ones neither, but what they say is left out. `checks` must hold; each is named by what is wrong
    where it does not.
    """

    description: str
    source: str
    extends: str = ""
    model_types: list[str] = Field(default_factory=list)
    architectures: list[str] = Field(default_factory=list)
    decodes: bool = True
    fields: dict[str, FieldModel] = Field(default_factory=dict)
    numbers: dict[Identifier, ExpressionField] = Field(default_factory=dict)
    checks: dict[str, ExpressionField] = Field(default_factory=dict)
    ranks: dict[Identifier, ExpressionField] = Field(default_factory=dict)
    about: dict[Identifier, str] = Field(default_factory=dict)
    parts: dict[str, PartModel] = Field(default_factory=dict)
    refused: dict[str, str] = Field(default_factory=dict)
    elsewhere: dict[str, str] = Field(default_factory=dict)
    supported: str = ""
    noted: dict[str, str] = Field(default_factory=dict)
    harmless: list[str] = Field(default_factory=list)


@cache
def family(name: str) -> FamilyModel:
    """The family of a file, over the one that it extends.

    >>> family("llama").fields["num_key_value_heads"].default is not None
    True
    """
    return validate(_document(name), FamilyModel)


@cache
def families() -> Mapping[str, str]:
    """The file of each `model_type` that is read, sorted.

    >>> families()["kimi_k2"]
    'deepseek_v3'
    """
    named = ((kind, name) for name in _names() for kind in family(name).model_types)
    return dict(sorted(named))


@cache
def by_architecture() -> Mapping[str, str]:
    """The file of each name in `architectures`, for configurations without a `model_type`."""
    return {kind: name for name in _names() for kind in family(name).architectures}


def _names() -> Iterator[str]:
    files = (resources.files("fusemap.archspec") / "configs").iterdir()
    return iter(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def _document(name: str) -> Document:
    file = resources.files("fusemap.archspec") / "configs" / f"{name}.yaml"
    document = parse_document(file.read_text(encoding="utf-8"), file=str(file))
    below = document.data.get("extends") if isinstance(document.data, dict) else None
    if not isinstance(below, str):
        return document
    base = _document(below)
    kept = {k: v for k, v in _mapping(base.data).items() if k not in ("model_types", "architectures")}
    return merge(Document(file=base.file, data=kept, entries=base.entries), document)


def _mapping(data: object) -> Mapping[str, object]:
    return data if isinstance(data, dict) else {}
