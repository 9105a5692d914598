"""Attentions of published papers as data: where each comes from, its cascades, and the passes that are expected.

The folder `taxonomy` has one file per family. The models below document the format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from fusemap.archspec.document import Document, Path
from fusemap.archspec.schema import SpecModel, validate
from fusemap.archspec.yamlnodes import parse_document
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.types import Cascade

FAMILIES = ("classic", "softmax", "linear", "selective")
FORMS = ("direct", "streaming")  # how an attention is stated
ESTIMATES = {"direct": "direct", "streaming": "minimum"}  # what an estimate says of a form

PassesField: TypeAlias = int | Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]* [+-] [0-9]+$")]


class EstimateModel(SpecModel):
    """Passes by derivation: of the form as the paper writes it, and of the best that is known."""

    direct: PassesField
    minimum: PassesField


class WhyModel(SpecModel):
    """An explanation for the direct form, for the streaming form, or for both."""

    direct: str | None = None
    minimum: str | None = None


class UsersModel(SpecModel):
    """Who computes an attention by its direct and by its streaming form."""

    direct: str | None = None
    streaming: str | None = None


class EntryModel(SpecModel):
    """An attention. `estimate`, `difference` and `inexact` are keyed by a rank `M`, or by tensor and rank `K,M`.

    The first key of `estimate` is the one the attention is grouped by. `difference` explains where the analysis
    rules the estimate out, `inexact` where it proves fewer passes than its schedule makes.
    """

    name: str
    paper: str
    citation: str
    direct: str
    streaming: str | None = None
    streaming_missing: str | None = None
    used_by: UsersModel = Field(default_factory=UsersModel)
    ranks: Annotated[list[str], Field(min_length=1)]
    estimate: Annotated[dict[str, EstimateModel], Field(min_length=1)]
    difference: dict[str, WhyModel] = Field(default_factory=dict)
    inexact: dict[str, WhyModel] = Field(default_factory=dict)
    source: Literal["text", "code", "memory"]
    simplified: str = ""

    def cascade(self, form: str) -> str | None:
        """The name of the cascade of a form."""
        return self.direct if form == "direct" else self.streaming


class LeftOutModel(SpecModel):
    """A paper without a cascade here, and why."""

    number: int
    name: str
    reason: str


class FamilyModel(SpecModel):
    """A file of the folder."""

    encoded: Annotated[list[EntryModel], Field(min_length=1)]
    left_out: list[LeftOutModel] = Field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A file that has been checked: its entries name cascades and ranks that exist."""

    name: str
    model: FamilyModel
    document: Document = field(repr=False)


def load_families() -> tuple[Family, ...]:
    """All families; InputError with every fault of all files.

    >>> [family.model.encoded[0].name for family in load_families()][1:]
    ['Isotropic3D', 'CEMA', 'Landmark']
    """
    folder = resources.files("fusemap.validation") / "taxonomy"
    found: list[Family] = []
    faults: list[Diagnostic] = []
    for name in FAMILIES:
        try:
            found.append(parse_family((folder / f"{name}.yaml").read_text(encoding="utf-8"), file=f"{name}.yaml"))
        except InputError as error:
            faults += error.diagnostics
    faults += _repeated(found)
    if faults:
        raise InputError(tuple(faults))
    return tuple(found)


def parse_family(text: str, *, file: str) -> Family:
    """The text of a file as a family; InputError with every fault, located."""
    document = parse_document(text, file=file)
    model = validate(document, FamilyModel)
    faults = [f for n, entry in enumerate(model.encoded) for f in _faults(document, ("encoded", n), entry)]
    if faults:
        raise InputError(tuple(faults))
    return Family(name=file.removesuffix(".yaml"), model=model, document=document)


def _repeated(families: list[Family]) -> Iterator[Diagnostic]:
    """Names that two entries share."""
    seen: dict[str, str] = {}
    for family in families:
        for n, entry in enumerate(family.model.encoded):
            if entry.name in seen:
                message = f"a second {entry.name}: the first is in {seen[entry.name]}"
                yield family.document.diagnostic(("encoded", n, "name"), message)
            seen.setdefault(entry.name, family.document.file)


def _faults(document: Document, path: Path, entry: EntryModel) -> Iterator[Diagnostic]:
    """What is wrong with an entry that has the right fields."""
    if (entry.streaming is None) == (entry.streaming_missing is None):
        message = f"{entry.name} needs either streaming or streaming_missing (why it has none)"
        yield document.diagnostic((*path, "name"), message)
    cascades: dict[str, Cascade] = {}
    for form in FORMS:
        name = entry.cascade(form)
        if name in names():
            cascades[form] = load(name)
        elif name is not None:
            hint = did_you_mean(name, names(), noun="cascades")
            yield document.diagnostic((*path, form), f"unknown cascade {name}", hint=hint)
    for form, cascade in cascades.items():
        yield from _fiber_faults(document, path, entry, form, cascade)
    for field_name, whys in (("difference", entry.difference), ("inexact", entry.inexact)):
        yield from _why_faults(document, (*path, field_name), entry, whys)


def _fiber_faults(
    document: Document, path: Path, entry: EntryModel, form: str, cascade: Cascade
) -> Iterator[Diagnostic]:
    """Ranks of the estimate that a cascade lacks."""
    owned = owned_ranks(cascade, parts=True)
    for key in entry.estimate:
        tensor, rank = split_fiber(key)
        mine = [r.rank for r in owned if tensor in (None, r.tensor)]
        if rank not in mine:
            owner = f"{tensor} of {cascade.name}" if tensor else cascade.name
            hint = did_you_mean(rank, list(dict.fromkeys(mine)), noun="ranks")
            yield document.diagnostic((*path, "estimate", key), f"{owner} has no rank {rank}", hint=hint, key=True)


def _why_faults(
    document: Document, path: Path, entry: EntryModel, whys: Mapping[str, WhyModel]
) -> Iterator[Diagnostic]:
    """Explanations of what is not there to be explained."""
    for key, why in whys.items():
        if key not in entry.estimate:
            hint = did_you_mean(key, list(entry.estimate), noun="keys")
            yield document.diagnostic((*path, key), f"{entry.name} has no estimate for {key}", hint=hint, key=True)
        elif why.minimum is not None and entry.streaming is None:
            yield document.diagnostic((*path, key, "minimum"), f"{entry.name} has no streaming form", key=True)


def split_fiber(key: str) -> tuple[str | None, str]:
    """Tensor and rank of a key.

    >>> split_fiber("K,M"), split_fiber("M")
    (('K', 'M'), (None, 'M'))
    """
    tensor, _, rank = key.rpartition(",")
    return tensor or None, rank
