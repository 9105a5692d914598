"""The layers of a whole model as data: which cascade each is, at which sizes, how often, with how many weights."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path as FilePath
from typing import Annotated

from pydantic import Field

from fusemap.archspec.document import Document, Path, merge
from fusemap.archspec.expressions import Expression
from fusemap.archspec.registry import is_path
from fusemap.archspec.schema import ExpressionField, SpecModel, validate
from fusemap.archspec.types import Rank, Workload
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error
from fusemap.einsum_cascade.catalog import SUFFIX
from fusemap.einsum_cascade.catalog import load as load_cascade
from fusemap.einsum_cascade.types import Cascade

LINEAR = "linear-layer"
MAX_CHAIN = 20
_BLOCK = re.compile(r"^(blocks|extends):", re.M)  # the folder also holds layers of another form


class LayerModel(SpecModel):
    """A layer: the cascades that compute it (the fastest counts), the sizes of their ranks, and how often it runs.

    `batch` ranks index every tensor. `times` is the file's `blocks` where it is left out. `parameters` are the
    weights of one of its `times`; left out, those of a linear layer are K * N per `batch` rank, of others none.
    """

    cascades: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: [LINEAR])
    ranks: dict[str, ExpressionField]
    batch: list[str] = Field(default_factory=list)
    times: ExpressionField | None = None
    parameters: ExpressionField | None = None


class BlockModel(SpecModel):
    """The layers of a model by name, in the order of running; all numbers are expressions of the model's ranks.

    `blocks`: how many there are. `cache`: words that a token leaves in the cache of one block. `layers` run in the
    blocks, `after` once behind them. `parameters`: those that no layer multiplies by.
    """

    description: str
    source: str
    extends: str = ""
    blocks: ExpressionField
    cache: ExpressionField
    layers: dict[str, LayerModel]
    after: dict[str, LayerModel] = Field(default_factory=dict)
    parameters: dict[str, ExpressionField] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer at the sizes of a model: what to map, how often it runs, its weights each time."""

    name: str
    cascades: tuple[Cascade, ...] = field(repr=False)
    workload: Workload = field(repr=False)
    times: int
    parameters: int
    in_blocks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The layers of a model at its sizes; `cache_words` is what a token leaves in the cache of one block."""

    description: str
    source: str
    blocks: int
    cache_words: int
    layers: tuple[Layer, ...]
    other_parameters: tuple[tuple[str, int], ...]

    @property
    def parameters(self) -> int:
        """Parameters of the whole model: layers times their weights, and the others."""
        return sum(x.times * x.parameters for x in self.layers) + sum(n for _, n in self.other_parameters)


def load_block(workload: Workload) -> Block:
    """The layers that the workload names as its block; InputError where it names none, or a number is wrong.

    >>> from fusemap.archspec.workloads import load_workload
    >>> load_block(load_workload("Llama-3-8B@4K")).parameters
    8030261248
    """
    if not workload.block:
        message = f'{workload.name} names no layers of a whole model: its file has no "block"'
        raise input_error(message, hint=f"built-in blocks: {', '.join(block_names())}")
    document = _extended(_document(workload.block, ""), (workload.block,))
    return _Sizes(document=document, model=validate(document, BlockModel), workload=workload).block()


def block_names() -> tuple[str, ...]:
    """The built-in blocks, sorted.

    >>> block_names()[0]
    'gqa-swiglu'
    """
    files = [item for item in _folder().iterdir() if item.name.endswith(".yaml")]
    blocks = [file for file in files if _BLOCK.search(file.read_text(encoding="utf-8"))]
    return tuple(sorted(file.name.removesuffix(".yaml") for file in blocks))


def _folder() -> resources.abc.Traversable:
    return resources.files("fusemap.validation") / "layers"


def _document(reference: str, beside: str) -> Document:
    """A built-in block, or the file at a path (relative to the file `beside`)."""
    if is_path(reference):
        return load_document(FilePath(beside).parent / reference)
    if reference not in block_names():
        raise input_error(f'unknown block "{reference[:60]}"', hint=did_you_mean(reference, block_names()))
    file = _folder() / f"{reference}.yaml"
    return parse_document(file.read_text(encoding="utf-8"), file=str(file))


def _extended(document: Document, chain: tuple[str, ...]) -> Document:
    reference = document.data.get("extends") if isinstance(document.data, dict) else None
    if not isinstance(reference, str):
        return document  # validation refuses what is no text
    if reference in chain or len(chain) >= MAX_CHAIN:
        raise document.error(("extends",), f'"extends" forms a cycle through "{reference[:60]}"')
    return merge(_extended(_document(reference, document.file), (*chain, reference)), document)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """Evaluates a block's numbers at the sizes of a workload, and collects what is wrong."""

    document: Document
    model: BlockModel
    workload: Workload
    errors: list[Diagnostic] = field(default_factory=list)

    def block(self) -> Block:
        spec = self.model
        layers = (*self._layers("layers", spec.layers), *self._layers("after", spec.after))
        others = [(n, self._whole(("parameters", n), e)) for n, e in spec.parameters.items()]
        blocks, cache = self._whole(("blocks",), spec.blocks), self._whole(("cache",), spec.cache)
        if self.errors:
            raise InputError(tuple(self.errors))
        return Block(
            description=spec.description,
            source=spec.source,
            blocks=blocks,
            cache_words=cache,
            layers=layers,
            other_parameters=tuple(others),
        )

    def _layers(self, part: str, layers: Mapping[str, LayerModel]) -> Iterator[Layer]:
        for name, spec in layers.items():
            path: Path = (part, name)
            sizes = {rank: self._whole((*path, "ranks", rank), e) for rank, e in spec.ranks.items()}
            ranks = tuple(
                Rank(name=r, size=n, source=f"{spec.ranks[r]} of {self.workload.name}") for r, n in sizes.items()
            )
            for index, rank in enumerate(spec.batch):
                if rank not in sizes:
                    self._fail((*path, "batch", index), f'unknown rank "{rank}"', did_you_mean(rank, list(sizes)))
            sized = dataclasses.replace(
                self.workload, name=f"{name} of {self.workload.name}", ranks=ranks, batch=tuple(spec.batch), block=""
            )
            once = 1 if part == "after" else self._whole(("blocks",), self.model.blocks)
            yield Layer(
                name=name,
                cascades=tuple(self._cascades(path, spec)),
                workload=sized,
                times=once if spec.times is None else self._whole((*path, "times"), spec.times),
                parameters=self._parameters(path, spec, sizes),
                in_blocks=part == "layers",
            )

    def _cascades(self, path: Path, spec: LayerModel) -> Iterator[Cascade]:
        for index, name in enumerate(spec.cascades):
            place = self.document.place((*path, "cascades", index))
            try:
                yield load_cascade(FilePath(place.span.file).parent / name if name.endswith(SUFFIX) else name)
            except InputError as error:
                (first, *_) = error.diagnostics
                self.errors.append(place.diagnostic(first.message, hint=first.hint))

    def _parameters(self, path: Path, spec: LayerModel, sizes: Mapping[str, int]) -> int:
        if spec.parameters is not None:
            return self._whole((*path, "parameters"), spec.parameters)
        if spec.cascades != [LINEAR]:
            return 0
        return math.prod(sizes.get(rank, 1) for rank in ("K", "N", *spec.batch))

    def _whole(self, path: Path, expression: Expression) -> int:
        """A positive whole number; 1 after an error, which is kept."""
        try:
            value = expression.at(self.document.place(path)).evaluate(self.workload.sizes)
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return 1
        if value != int(value) or value < 1:
            self._fail(path, f"expected a positive whole number for {self.workload.name}, found {value:g}", "")
            return 1
        return int(value)

    def _fail(self, path: Path, message: str, hint: str) -> None:
        self.errors.append(self.document.diagnostic(path, message, hint=hint))
