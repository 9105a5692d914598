"""A model's `config.json` as a workload file: its ranks, the parts of its layers, and every default that was used."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path as FilePath

from fusemap.archspec.config_values import Default, Values, refusals
from fusemap.archspec.document import Document, Path
from fusemap.archspec.families import FamilyModel, by_architecture, families, family
from fusemap.archspec.jsontext import load_json
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error

PROMPTS, SEQUENCES = 1, 64  # how many of them unless it is said


@dataclass(frozen=True, slots=True, kw_only=True)
class RankLine:
    """A rank of the file, what it is written as, and where that is from."""

    name: str
    text: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigWorkload:
    """A workload read from a configuration.

    `defaults` are the keys that it leaves out, `ignored` those without a part in the cost, `unknown` those that this
    family does not know, `notes` what is left out.
    """

    name: str
    config: str
    family: str
    model_type: str
    decode: bool
    parts: tuple[str, ...]
    ranks: tuple[RankLine, ...]
    defaults: tuple[Default, ...]
    ignored: tuple[str, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The workload file."""
        phase = f"one decoding step of B sequences with {self._length} tokens in the cache"
        what = phase if self.decode else f"prefill of B prompts of {self._length} tokens"
        about = [f"# {line}" for line in (*(f"{d.key} is {d.rule}" for d in self.defaults), *self.notes)]
        lines = [
            f"description: {_yaml(f'{self.name}, {what}.')}",
            "source: >-",
            f"  {self.config}, read as {self.model_type} with the defaults of the transformers library;",
            "  the number of sequences is chosen here",
            *about,
            f"block: [{', '.join(self.parts)}]",
            "ranks:",
            *(f"  {rank.name}: {rank.text}  # {rank.source}" for rank in self.ranks),
            "batch: [B, H]",
        ]
        return "\n".join(lines) + "\n"

    @property
    def _length(self) -> str:
        return next(rank.text for rank in self.ranks if rank.name == "M")


def read_config(
    path: str | os.PathLike[str],
    *,
    name: str = "",
    decode: bool = False,
    batch: int | None = None,
    length: int | None = None,
    uniform: bool = False,
    as_family: str = "",
) -> ConfigWorkload:
    """The workload of a `config.json`: prefill, or with `decode` one step with LENGTH tokens in the cache.

    `length` is written instead of LENGTH; `uniform` takes the experts that uniform routing is expected to reach instead
    of as many as can be; `as_family` reads a `model_type` that is not known as one that is. InputError names every key,
    with its place, that is wrong, missing, or changes the cost in a way that is not supported.
    """
    document = load_json(path)
    whole = _mapping(document, ())
    at: Path = ("text_config",) if isinstance(whole.get("text_config"), dict) else ()
    data = _mapping(document, at)
    model_type, chosen = _family(document, at, data, whole, as_family)
    spec = family(chosen)
    if decode and not spec.decodes:
        raise input_error(f"{model_type} is an encoder: it has no decoding step", hint="leave out --decode")
    values = Values(document=document, at=at, data=data, family=spec)
    values.names |= {"DECODE": int(decode), "UNIFORM": int(uniform)}
    values.read()
    parts, ranks = _parts(values, decode=decode, batch=batch, length=length)
    values.finish()
    known = {*spec.fields, *spec.harmless, *spec.noted, *spec.elsewhere}
    known |= {key for key in data for pattern in spec.refused if fnmatchcase(key, pattern)}  # here left out
    return ConfigWorkload(
        name=name or _name(path, whole),
        config=" ".join(FilePath(path).name.split()),
        family=chosen,
        model_type=model_type,
        decode=decode,
        parts=parts,
        ranks=ranks,
        defaults=tuple(values.defaults),
        ignored=tuple(key for key in data if key in known - spec.fields.keys()),
        unknown=tuple(key for key in data if key not in known),
        notes=tuple(_notes(at, data, whole, spec)),
    )


def _yaml(text: str) -> str:
    """A text as a YAML scalar: bare where that is one."""
    return text if re.fullmatch(r"[A-Za-z][\w ,./()-]*", text, re.ASCII) else json.dumps(text)


def _mapping(document: Document, at: Path) -> Mapping[str, object]:
    data = document.data
    for part in at:
        data = data[part] if isinstance(data, dict) else None
    if not isinstance(data, dict):
        raise document.error(at, "expected a configuration: a JSON object of keys and values")
    return data


def _family(
    document: Document, at: Path, data: Mapping[str, object], whole: Mapping[str, object], as_family: str
) -> tuple[str, str]:
    """The type of the model, and the family's file; what the base refuses is said too where it is not known."""
    if as_family:
        if as_family not in families():
            hint = did_you_mean(as_family, list(families()), noun="families")
            raise input_error(f'unknown family "{as_family[:60]}"', hint=hint)
        return as_family, families()[as_family]
    inner = "model_type" in data
    given = data.get("model_type") if inner else whole.get("model_type")
    if isinstance(given, str) and given in families():
        return given, families()[given]
    named = data.get("architectures", whole.get("architectures"))
    first = str(named[0]) if isinstance(named, list) and named else ""
    if given is None and first in by_architecture():
        return first, by_architecture()[first]
    place: Path = (*at, "model_type") if inner or not at else ("model_type",)
    found = f'model_type "{str(given)[:60]}" is not supported' if given is not None else "no model_type"
    hint = did_you_mean(str(given), list(families()), noun="types")
    errors: list[Diagnostic] = [document.diagnostic(place, found, hint=hint)]
    raise InputError((*errors, *refusals(document, at, data, family("decoder"), others=False)))


def _parts(
    values: Values, *, decode: bool, batch: int | None, length: int | None
) -> tuple[tuple[str, ...], tuple[RankLine, ...]]:
    """The parts whose condition holds, and the ranks that they need."""
    spec = values.family
    tokens = "LENGTH" if length is None else str(length)
    count = batch or (SEQUENCES if decode else PROMPTS)
    noun = "sequences" if decode else "prompts"
    lines = {
        "B": RankLine(name="B", text=str(count), source=f"{noun}; --size B=... gives another number"),
        "M": RankLine(name="M", text=tokens, source="key and value positions"),
        "P": RankLine(name="P", text="1" if decode else tokens, source="query positions of a sequence"),
    }
    used = [(name, part) for name, part in spec.parts.items() if part.when is None or values.number(part.when)]
    for ranks in (*(part.ranks for _, part in used), spec.ranks):
        for rank, expression in ranks.items():
            if rank not in lines:
                size = values.whole(rank, expression)
                lines[rank] = RankLine(
                    name=rank, text=str(size), source=_source(values, rank, values.shown(expression))
                )
    return tuple(name for name, _ in used), tuple(lines.values())


def _source(values: Values, rank: str, shown: str) -> str:
    about = values.family.about.get(rank, "")
    spec = values.family.fields.get(shown)
    about = about or (spec.about if spec else "")
    return f"{about}: {shown}" if about else shown


def _name(path: str | os.PathLike[str], whole: Mapping[str, object]) -> str:
    """The name that the configuration has, its folder's, or its own."""
    given = whole.get("_name_or_path")
    if isinstance(given, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", given):
        return given.rpartition("/")[2]
    stem = FilePath(path).stem
    folder = FilePath(path).resolve().parent.name
    return folder if stem == "config" and folder else stem


def _notes(at: Path, data: Mapping[str, object], whole: Mapping[str, object], spec: FamilyModel) -> Iterator[str]:
    if at:
        others = ", ".join(key for key, value in whole.items() if key.endswith("_config") and key != at[0] and value)
        yield f"only the text is counted (text_config); left out: {others or 'what else the model has'}"
    for key, note in spec.noted.items():
        if data.get(key) or (at and whole.get(key)):
            yield f"{key}: {note}"
