"""The sections besides `einsum`: what is dense is read or noted, what is sparse is refused by name.

None of them changes what a dense Einsum computes: they say in which order, in which pieces, where and in
which layout. A compressed format, a partition by occupancy and a flattened rank say that the accelerator
is sparse, and its cost is not that of the dense cascade: those are refused.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from fusemap.archspec.document import Path
from fusemap.archspec.errors import describe
from fusemap.diagnostics import did_you_mean
from fusemap.validation.teaal.einsum_section import Declaration
from fusemap.validation.teaal.reader import Reader
from fusemap.validation.teaal.types import Split

_STEP = re.compile(r"\s*([A-Za-z_]\w*)\s*\(\s*(.*?)\s*\)\s*", re.ASCII)
_SIZE = re.compile(r"[A-Za-z_]\w*|[0-9]+", re.ASCII)
_RANKS = re.compile(r"\s*([A-Za-z_]\w*)\s*|\s*\(\s*[A-Za-z_]\w*(\s*,\s*[A-Za-z_]\w*)+\s*\)\s*", re.ASCII)
_DENSE = {"uniform_shape": "shape", "nway_shape": "nway"}
_STEPS = ("uniform_shape", "nway_shape", "follow", "uniform_occupancy", "flatten")
_SPARSE = "dense cascades only; --einsum-only imports what is computed and leaves the mapping out"
_KEYS = ("rank-order", "partitioning", "loop-order", "spacetime")


def read_mapping(reader: Reader, value: object, declaration: Declaration, einsums: Sequence[str]) -> tuple[Split, ...]:
    """The dense splits of the `mapping` section; notes on the rest, faults where it is sparse or wrong."""
    section = reader.mapping(("mapping",), value)
    reader.known_keys(("mapping",), section, _KEYS)
    _rank_order(reader, section.get("rank-order"), declaration)
    splits = _partitioning(reader, section.get("partitioning"), einsums)
    _loop_order(reader, section.get("loop-order"), einsums)
    _spacetime(reader, section.get("spacetime"), einsums)
    return splits


def _rank_order(reader: Reader, value: object, declaration: Declaration) -> None:
    path: Path = ("mapping", "rank-order")
    for tensor, order in reader.items(path, value, tuple(declaration), "tensors"):
        ranks = reader.names((*path, tensor), order, "a rank")
        if Counter(ranks) != Counter(declaration[tensor]) and isinstance(order, list):
            hint = f"declared as [{', '.join(declaration[tensor])}]"
            reader.fault((*path, tensor), f"the ranks of {tensor} in another order were expected", hint)
    if value:
        reader.note(path, "rank-order says how tensors are laid out, not what is computed: left out")


def _partitioning(reader: Reader, value: object, einsums: Sequence[str]) -> tuple[Split, ...]:
    path: Path = ("mapping", "partitioning")
    splits: list[Split] = []
    for einsum, parts in reader.items(path, value, einsums, "expressions"):
        for ranks, steps in reader.mapping((*path, einsum), parts).items():
            here = (*path, einsum, ranks)
            if not _RANKS.fullmatch(ranks):
                reader.fault(here, f"expected a rank, or ranks as in (M, K0), found {ranks}", key=True)
                continue
            read = _steps(reader, here, steps)
            if read and "(" not in ranks:
                place = reader.document.place(here, key=True)
                splits.append(Split(einsum=einsum, rank=ranks.strip(), steps=read, place=place))
            elif read:
                reader.fault(here, f"{ranks} can only be flattened, found {steps}", key=True)
    return tuple(splits)


def _steps(reader: Reader, path: Path, value: object) -> tuple[tuple[str, int | str], ...]:
    found: list[tuple[str, int | str]] = []
    for index, text in enumerate(reader.sequence(path, value)):
        here = (*path, index)
        match = _STEP.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            reader.fault(here, f"expected a step as in uniform_shape(16), found {describe(text)}")
            continue
        name, argument = match.groups()
        if name in _DENSE:
            if not _SIZE.fullmatch(argument) or argument == "0":
                reader.fault(here, f"{name} takes a positive integer or a name, found ({argument})")
            found.append((_DENSE[name], int(argument) if argument.isdigit() else argument))
        elif name == "follow":
            reader.note(
                here, f"follow({argument}) cuts this rank where {argument} is cut: left out, it computes the same"
            )
        elif name in _STEPS:
            why = "cuts a rank by what is stored" if name == "uniform_occupancy" else "joins ranks of stored elements"
            reader.fault(here, f"{name} {why}: not supported", _SPARSE)
        else:
            reader.fault(here, f"unknown partitioning step {name}", did_you_mean(name, _STEPS, noun="steps"))
    return tuple(found)


def _loop_order(reader: Reader, value: object, einsums: Sequence[str]) -> None:
    path: Path = ("mapping", "loop-order")
    for einsum, order in reader.items(path, value, einsums, "expressions"):
        ranks = reader.names((*path, einsum), order, "a rank")
        if ranks:
            message = f"loop order of {einsum}: {', '.join(ranks)}. Loops change when, not what is computed: left out"
            reader.note((*path, einsum), message)


def _spacetime(reader: Reader, value: object, einsums: Sequence[str]) -> None:
    path: Path = ("mapping", "spacetime")
    for einsum, stamps in reader.items(path, value, einsums, "expressions"):
        found = reader.mapping((*path, einsum), stamps)
        reader.known_keys((*path, einsum), found, ("space", "time", "opt"))
        spread = [str(rank) for rank in reader.sequence((*path, einsum, "space"), found.get("space", []))]
        reader.note(
            (*path, einsum),
            f"{einsum} is spread in space over {', '.join(spread) or 'nothing'}: where, not what: left out",
        )


def read_format(reader: Reader, value: object, declaration: Declaration) -> None:
    """Refuse every compressed format of the `format` section; uncompressed ones say nothing about values."""
    for tensor, formats in reader.items(("format",), value, tuple(declaration), "tensors"):
        for name, ranks in reader.mapping(("format", tensor), formats).items():
            path: Path = ("format", tensor, name)
            kinds = {
                rank: spec["format"]
                for rank, spec in reader.mapping(path, ranks).items()
                if isinstance(spec, Mapping) and spec.get("format", "U") != "U"
            }
            if kinds:
                kind = describe(next(iter(kinds.values())))
                message = f"{tensor} is stored in the sparse format {kind} along {', '.join(kinds)}"
                reader.fault((*path, next(iter(kinds)), "format"), message, _SPARSE)
    if value:
        reader.note(("format",), "format says how coordinates and payloads are stored: left out")


def note_hardware(reader: Reader, section: str, value: object) -> None:
    """`architecture` and `bindings` say where a cascade runs; a machine and a dataflow are files of their own here."""
    reader.mapping((section,), value)
    reader.note((section,), f"{section} describes the accelerator, not what is computed: left out")
