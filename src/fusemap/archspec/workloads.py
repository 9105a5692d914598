"""Workloads from files: `load_workload("BERT@4K")`, `load_workload("my.yaml@4K")`."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from fusemap.archspec.document import Document, Place, TextFault, merge, text_place, with_sources
from fusemap.archspec.models import WorkloadModel
from fusemap.archspec.reader import LARGEST, Reader
from fusemap.archspec.registry import find, is_path
from fusemap.archspec.schema import validate
from fusemap.archspec.types import Rank, Workload
from fusemap.archspec.yamlnodes import parse_document
from fusemap.diagnostics import did_you_mean

MAX_CHAIN = 20
_LENGTH = "LENGTH"
_SUFFIX = {"": 0, "K": 10, "M": 20, "G": 30}


def load_workload(reference: str) -> Workload:
    """The workload `MODEL@LENGTH`: MODEL a built-in name or a path, LENGTH a whole number with K, M or G.

    A file whose ranks do not use LENGTH is named without it. InputError for an unknown model, a missing
    or bad length, a size above 2^40.

    >>> load_workload("BERT@4K").sizes["M"]
    4096
    """
    name, at, length_text = reference.rpartition("@")
    if not at:
        name, length_text = reference, ""
    place = text_place(reference, "<workload>")
    source = find_workload(name, place=place)
    try:
        length = parse_length(length_text, offset=len(name) + 1) if at else None
    except TextFault as fault:
        raise fault.at(place) from None
    return _build(source.document, model=source.model, length=length, reference=reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSource:
    """A workload file that was read and merged over what it extends, for workloads of many lengths."""

    model: str
    document: Document = field(repr=False)

    @property
    def takes_length(self) -> bool:
        """True when the file's ranks use LENGTH."""
        ranks = validate(self.document, WorkloadModel).ranks
        return any(_LENGTH in expression.names() for expression in ranks.values())

    def at(self, length: int | None) -> Workload:
        """The workload of a length.

        >>> find_workload("BERT").at(4096).name
        'BERT@4096'
        """
        reference = self.model if length is None else f"{self.model}@{length}"
        return _build(self.document, model=self.model, length=length, reference=reference)


def find_workload(name: str, *, place: Place | None = None) -> WorkloadSource:
    """The file of a built-in name or a path, read but without a length; InputError where it is none."""
    identity, own = find("workload", name, place=place)
    return WorkloadSource(model=FilePath(name).stem if is_path(name) else name, document=_extended(own, (identity,)))


def parse_workload(text: str, *, length: int | None = None, file: str = "<workload>") -> Workload:
    """The workload of a YAML text that is named `file` in errors."""
    name = FilePath(file).stem
    reference = name if length is None else f"{name}@{length}"
    document = _extended(with_sources(parse_document(text, file=file)), (file,))
    return _build(document, model=name, length=length, reference=reference)


def parse_length(text: str, *, offset: int = 0) -> int:
    """A sequence length: 1K = 1024, 1M = 2^20, any whole number from 1 to 2^40; TextFault otherwise.

    >>> parse_length("256K")
    262144
    """
    match = re.fullmatch(r"([0-9]{1,20})([KMG]?)", text)
    length = int(match[1]) << _SUFFIX[match[2]] if match else 0
    if length < 1:
        message = f'bad length "{text[:40]}": expected a whole number from 1, such as 4096, 4K or 1M'
        fixed = text.strip().upper().removesuffix("IB").removesuffix("B")
        hint = f"did you mean {fixed}?" if re.fullmatch(r"[1-9][0-9]{0,9}[KMG]", fixed) else ""
        raise TextFault(message, offset=offset, length=max(1, len(text)), hint=hint)
    if length > LARGEST:
        raise TextFault(f'length too large: "{text[:40]}" is more than 2^40', offset=offset, length=len(text))
    return length


def _extended(document: Document, chain: tuple[str, ...]) -> Document:
    """The document merged over the one that it extends, whose description is not inherited."""
    reference = document.data.get("extends") if isinstance(document.data, dict) else None
    if not isinstance(reference, str):
        return document  # validation refuses what is no text
    place = document.place(("extends",))
    identity, base = find("workload", reference, beside=document.file, place=place)
    if identity in chain:
        raise place.error(f'"extends" forms a cycle through "{reference}"')
    if len(chain) >= MAX_CHAIN:
        raise place.error(f'"extends" goes through more than {MAX_CHAIN} files')
    below = _extended(base, (*chain, identity))
    if isinstance(below.data, dict):
        kept = {key: value for key, value in below.data.items() if key != "description"}
        below = dataclasses.replace(below, data=kept)
    return merge(below, document)


def _block(document: Document, spec: WorkloadModel) -> tuple[str, ...]:
    """The block's parts as names, or as paths from here rather than from the file that they are written in."""
    parts = [spec.block] if isinstance(spec.block, str) else spec.block
    folder = FilePath(document.span(("block",)).file).parent
    return tuple(str(folder / part) if is_path(part) else part for part in parts if part)


def _build(document: Document, *, model: str, length: int | None, reference: str) -> Workload:
    spec = validate(document, WorkloadModel)
    place = text_place(reference, "<workload>")
    uses_length = any(_LENGTH in expression.names() for expression in spec.ranks.values())
    if uses_length and length is None:
        raise place.error(f'"{reference[:60]}" has no length', hint=f"add one, for example {model}@4K")
    if length is not None and not uses_length:
        raise place.error(f'"{model[:60]}" takes no length: none of its ranks uses {_LENGTH}')
    reader = Reader(document=document)
    if length is not None:
        reader.names[_LENGTH], reader.origins[_LENGTH] = length, f"{_LENGTH} = {length} from {reference}"
    ranks = []
    for name, expression in spec.ranks.items():
        size, source = reader.whole(("ranks", name), expression)
        ranks.append(Rank(name=name, size=size, source=source))
    for index, rank in enumerate(spec.batch):
        if rank not in spec.ranks:
            reader.fail(("batch", index), f'unknown rank "{rank}"', hint=did_you_mean(rank, list(spec.ranks)))
        elif rank in spec.batch[:index]:
            reader.fail(("batch", index), f'rank "{rank}" is listed twice')
    reader.finish()
    return Workload(
        name=f"{model}@{reference.rpartition('@')[2]}" if length is not None else model,
        model=model,
        length=length,
        ranks=tuple(ranks),
        batch=tuple(spec.batch),
        description=spec.description,
        source=document.source(()),
        where=document.place(),
        block=_block(document, spec),
    )
