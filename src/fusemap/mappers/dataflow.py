"""A dataflow as data: loop nests, keep sets, spills and the binding in time, sizes as expressions.

The file format is documented by the models below (`fusemap schema dataflow` prints it as JSON schema).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import Field

from fusemap.archspec.document import Document, merge
from fusemap.archspec.expressions import Expression
from fusemap.archspec.schema import ExpressionField, SpecModel, validate
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import did_you_mean, input_error

Loops = list[dict[str, ExpressionField]]
Kept = list[str | dict[str, ExpressionField]]


class LevelModel(SpecModel):
    """A level of a nest: `memory` with temporal loops, or `spatial` (an array dimension) with spatial ones.

    `keep` lists just what this level keeps, instead of the Einsum's entry; with it a memory may have several levels.
    The innermost memory keeps everything without it; what it does not keep, the units take from further out.
    """

    memory: str | None = None
    spatial: str | None = None
    loops: Loops = Field(default_factory=list)
    keep: list[str] | None = None


class NestModel(SpecModel):
    """Levels outside in; an Einsum takes the loops over the ranks that it has."""

    array: str
    levels: list[LevelModel]


class ChoiceModel(SpecModel):
    """Use this nest when the expression is not zero (the last choice may leave it out)."""

    use: str
    when: ExpressionField | None = None


Free = Literal["order", "keep"]


def _all_free() -> list[Free]:
    return ["order", "keep"]


class SearchModel(SpecModel):
    """Split the outermost loops of these ranks with memory `at`, whose loop order and bypass are `free`.

    With a fixed order, the loops at `at` are those of `split` outside the nest's own; a fixed keep set is the entry's.
    """

    at: str
    split: list[str]
    free: list[Free] = Field(default_factory=_all_free)


class SpillModel(SpecModel):
    """`memory` holds only 1 - fraction of the listed tensors (default: of all that it keeps)."""

    memory: str
    fraction: ExpressionField
    tensors: list[str] | None = None


class EinsumModel(SpecModel):
    """How one Einsum runs; `keep` lists tensors per memory, `{T: expression}` keeps T when it is not zero.

    With `copy_of` the entry computes another Einsum again: `QK@1` with `copy_of: QK` makes a tensor `QK@1`, which the
    entries with `reads: {QK: QK@1}` read in place of QK.
    """

    nest: str | list[ChoiceModel]
    copy_of: str | None = None
    reads: dict[str, str] = Field(default_factory=dict)
    keep: dict[str, Kept] = Field(default_factory=dict)
    spill: SpillModel | None = None
    search: SearchModel | None = None


class StallModel(SpecModel):
    """The stage waits `factor` times the time of `einsum`."""

    einsum: str
    factor: ExpressionField
    why: str


class StageModel(SpecModel):
    """Einsums that run at the same time, per array."""

    name: str
    work: dict[str, list[str]]
    stalls: list[StallModel] = Field(default_factory=list)


class PhaseModel(SpecModel):
    """Stages one after another, overlapped with the phase's memory traffic.

    `pipelined` declares that consumers run on tiles of an earlier iteration, so that an Einsum may share
    a stage with its producer or precede it.
    """

    phase: str
    pipelined: bool = False
    stages: list[StageModel]


class GroupModel(SpecModel):
    """Einsums that run in turn in every iteration of a loop over chunks of one rank (or once, without a loop)."""

    loops: Loops = Field(default_factory=list)
    einsums: list[str]


class FusionModel(SpecModel):
    """What a phase does in time: for every iteration of `loops`, its groups one after another.

    The loops are those of the outermost level of all its nests, a group's those of the level below. The tensors in
    `held` stay on chip from the first group that touches them to the last; of those in `twice`, and of any that an
    iteration reads from the one before after making its own, two tiles are there. Room is asked for group by group.
    """

    loops: Loops = Field(default_factory=list)
    groups: list[GroupModel]
    held: list[str] = Field(default_factory=list)
    twice: list[str] = Field(default_factory=list)


class ParametersModel(SpecModel):
    """Numbers looked up in a table by `key` columns; where no row matches, `rules` compute them."""

    table: str
    key: list[str]
    rules: dict[str, ExpressionField] = Field(default_factory=dict)


class NeedModel(SpecModel):
    """The least that a memory must hold under this dataflow: `bytes` for `what`, its smallest tiles."""

    memory: str
    bytes: ExpressionField
    what: str


class DivisorsModel(SpecModel):
    """Candidates: every divisor of a number, from `at_least` to `at_most` where these are given."""

    divisors_of: ExpressionField
    at_least: ExpressionField | None = None
    at_most: ExpressionField | None = None


# Candidates of a choice: values of the name that it is called by, or settings of several names at once.
Setting = dict[str, ExpressionField | DivisorsModel]
Choices = dict[str, DivisorsModel | list[ExpressionField | Setting]]


class DataflowModel(SpecModel):
    """A dataflow file; a search may set the names of `choices`, which have values without it too.

    `fusion` describes the phases of `binding` one by one, or is left out.
    """

    description: str
    source: str
    cascades: list[str]
    extends: str | None = None
    parameters: ParametersModel | None = None
    tiles: dict[str, ExpressionField] = Field(default_factory=dict)
    needs: list[NeedModel] = Field(default_factory=list)
    choices: Choices = Field(default_factory=dict)
    nests: dict[str, NestModel] = Field(default_factory=dict)
    einsums: dict[str, EinsumModel] = Field(default_factory=dict)
    in_place: list[list[str]] = Field(default_factory=list)
    otherwise: Literal["search", "refuse"] = "refuse"
    binding: list[PhaseModel] = Field(default_factory=list)
    fusion: list[FusionModel] = Field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataflow:
    """A validated dataflow file with the places of its parts."""

    model: DataflowModel
    document: Document = field(repr=False)

    @property
    def name(self) -> str:
        """The dataflow's name: that of its file."""
        return Path(self.document.file).stem

    def located(self, expression: Expression, *path: str | int) -> Expression:
        """The expression, with its errors pointing at `path` of the file."""
        return expression.at(self.document.place(path))


@cache
def names() -> tuple[str, ...]:
    """Names of the built-in dataflows.

    >>> "flat" in names()
    True
    """
    return tuple(sorted(f.name.removesuffix(".yaml") for f in _library().iterdir() if f.name.endswith(".yaml")))


def load_dataflow(name_or_path: str) -> Dataflow:
    """A built-in dataflow by name, or a YAML file by path; InputError when it is neither or is wrong."""
    if name_or_path in names():
        return _built_in(name_or_path)
    path = Path(name_or_path)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        hint = did_you_mean(name_or_path, names(), noun="dataflows")
        raise input_error(f"no dataflow or file named {name_or_path}", hint=hint)
    return _extended(load_document(path), ())


def parse_dataflow(text: str, *, file: str = "dataflow.yaml") -> Dataflow:
    """The dataflow of a YAML text that is named `file` in errors; its name is that of the file."""
    return _extended(parse_document(text, file=file), ())


def read_table(dataflow: Dataflow) -> tuple[Mapping[str, float], ...]:
    """Rows of the dataflow's parameter table, column name -> number; `#` lines are comments."""
    parameters = dataflow.model.parameters
    if parameters is None:
        return ()
    lines = [line for line in _table_text(dataflow).splitlines() if line and not line.startswith("#")]
    header = lines[0].split(",") if lines else []
    absent = [name for name in parameters.key if name not in header]
    if absent:
        path = ("parameters", "key", parameters.key.index(absent[0]))
        message = f'table {parameters.table} has no column "{absent[0]}"'
        raise dataflow.document.error(path, message, hint=did_you_mean(absent[0], header, noun="columns"))
    return tuple(_row(dataflow, header, line) for line in lines[1:])


def _table_text(dataflow: Dataflow) -> str:
    """The table file's text: beside the dataflow file, else built in."""
    assert dataflow.model.parameters is not None
    name, path = dataflow.model.parameters.table, ("parameters", "table")
    beside = Path(dataflow.document.file).parent / name
    source = beside if beside.is_file() else _library() / name
    if not source.is_file():
        raise dataflow.document.error(path, f"no table named {name}")
    try:
        return source.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise dataflow.document.error(path, f"cannot read table {name}: {error}") from None


def _extended(document: Document, above: tuple[str, ...]) -> Dataflow:
    """The dataflow of a document, merged over the one it extends."""
    base = document.data.get("extends") if isinstance(document.data, dict) else None
    if isinstance(base, str):
        if base in above:
            raise document.error(("extends",), f"dataflow {base} extends itself")
        if base not in names():
            hint = did_you_mean(base, names(), noun="dataflows")
            raise document.error(("extends",), f"unknown dataflow {base}", hint=hint)
        below = _extended(_document_of(base), (*above, base))
        document = merge(below.document, document)
    return Dataflow(model=validate(document, DataflowModel), document=document)


def _row(dataflow: Dataflow, header: list[str], line: str) -> Mapping[str, float]:
    cells = line.split(",")
    try:
        row = {name: int(c) if c.isdecimal() else float(c) for name, c in zip(header, cells, strict=True)}
    except ValueError:
        row = {}
    if not all(math.isfinite(value) for value in row.values()) or not row:
        message = f"table row is not {len(header)} numbers: {line[:60]}"
        raise dataflow.document.error(("parameters", "table"), message)
    return row


@cache
def _built_in(name: str) -> Dataflow:
    return _extended(_document_of(name), ())


def _document_of(name: str) -> Document:
    """The document of a built-in dataflow."""
    return parse_document((_library() / f"{name}.yaml").read_text(encoding="utf-8"), file=f"{name}.yaml")


def _library() -> resources.abc.Traversable:
    return resources.files("fusemap.mappers") / "library"
