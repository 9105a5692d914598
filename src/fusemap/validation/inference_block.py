"""The layers of a whole model as data: which cascade each is, at which sizes, how often, with how many weights."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path as FilePath

from fusemap.archspec.document import Document, Path, merge
from fusemap.archspec.expressions import Expression
from fusemap.archspec.registry import is_path
from fusemap.archspec.schema import validate
from fusemap.archspec.types import Rank, Workload
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error
from fusemap.einsum_cascade.catalog import SUFFIX
from fusemap.einsum_cascade.catalog import load as load_cascade
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.inference_types import LINEAR, Block, BlockModel, Experts, Kind, Layer, LayerModel

MAX_CHAIN = 20
IN_BLOCKS, BEHIND = "other layers", "behind the blocks"  # kinds of layers whose file names none
_BLOCK = re.compile(r"\b(ranks|extends|derived|parameters):")  # the folder also holds layers of another form
_MADE = re.compile(r"^extends:", re.M)


def load_block(workload: Workload) -> Block:
    """The layers that the workload names as its block; InputError where it names none, or a number is wrong.

    >>> from fusemap.archspec.workloads import load_workload
    >>> load_block(load_workload("Llama-3-8B@4K")).parameters
    8030261248
    """
    if not workload.block:
        message = f'{workload.name} names no layers of a whole model: its file has no "block"'
        raise input_error(message, hint=f"built-in blocks: {', '.join(whole_blocks())}, or a list of parts")
    document = _joined([_extended(_document(part, ""), (part,)) for part in workload.block])
    return _Sizes(document=document, model=validate(document, BlockModel), workload=workload).block()


def block_names() -> tuple[str, ...]:
    """The built-in blocks and parts of blocks, sorted.

    >>> block_names()[0]
    'dense-mix'
    """
    return _names(_BLOCK)


def whole_blocks() -> tuple[str, ...]:
    """Those of them that are made of parts.

    >>> whole_blocks()[0]
    'gqa-swiglu'
    """
    return _names(_MADE)


def _names(of: re.Pattern[str]) -> tuple[str, ...]:
    files = [item for item in _folder().iterdir() if item.name.endswith(".yaml")]
    blocks = [file for file in files if of.search(file.read_text(encoding="utf-8"))]
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
    """The document over the parts that it extends, each over those before it."""
    named = document.data.get("extends") if isinstance(document.data, dict) else None
    references = [named] if isinstance(named, str) else named
    if not isinstance(references, list) or not all(isinstance(part, str) for part in references):
        return document  # validation refuses what is no text
    below = []
    for index, reference in enumerate(references):
        if reference in chain or len(chain) >= MAX_CHAIN:
            raise document.error(("extends", index), f'"extends" forms a cycle through "{reference[:60]}"')
        below.append(_extended(_document(reference, document.file), (*chain, reference)))
    return merge(_joined(below), document) if below else document


def _joined(parts: Sequence[Document]) -> Document:
    """The parts merged, each over those before it; their descriptions and sources in a row."""
    whole = parts[0]
    for part in parts[1:]:
        joined = merge(whole, part)
        both = {key: _listed(whole.data, part.data, key) for key in ("description", "source")}
        whole = dataclasses.replace(joined, data={**_mapping(joined.data), **{k: v for k, v in both.items() if v}})
    return whole


def _listed(first: object, second: object, key: str) -> str:
    texts = [" ".join(t.split()) for t in (_mapping(first).get(key), _mapping(second).get(key)) if isinstance(t, str)]
    return "; ".join(dict.fromkeys("; ".join(texts).split("; ")))


def _mapping(data: object) -> Mapping[str, object]:
    return data if isinstance(data, dict) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    """Evaluates a block's numbers at the sizes of a workload, and collects what is wrong."""

    document: Document
    model: BlockModel
    workload: Workload
    names: dict[str, int] = field(default_factory=dict)
    errors: list[Diagnostic] = field(default_factory=list)

    def block(self) -> Block:
        spec = self.model
        self.names.update(self.workload.sizes)
        for name, expression in spec.derived.items():
            self.names[name] = self._whole(("derived", name), expression)
        layers = (*self._layers("layers", spec.layers), *self._layers("after", spec.after))
        others = [(n, self._whole(("parameters", n), e)) for n, e in spec.parameters.items()]
        blocks, cache = self._whole(("blocks",), spec.blocks), self._whole(("cache",), spec.cache)
        kinds, experts = tuple(self._kinds(blocks, {layer.kind for layer in layers})), self._experts()
        if self.errors:
            raise InputError(tuple(self.errors))
        return Block(
            description=spec.description,
            source=spec.source,
            blocks=blocks,
            cache_words=cache,
            causal=spec.causal,
            kinds=kinds,
            experts=experts,
            layers=layers,
            other_parameters=tuple(others),
        )

    def _kinds(self, blocks: int, used: set[str]) -> Iterator[Kind]:
        """The kinds that layers have; of a file without caches of its own, all blocks keep all tokens."""
        kinds = {name: spec for name, spec in self.model.kinds.items() if name in used}
        if not any(spec.held for spec in kinds.values()):
            yield Kind(name=IN_BLOCKS, times=blocks, held=self.names.get("M", 0))
        for name, spec in kinds.items():
            held = self._whole(("kinds", name, "held"), spec.held, least=0) if spec.held else 0
            yield Kind(name=name, times=self._whole(("kinds", name, "times"), spec.times), held=held)

    def _experts(self) -> Experts | None:
        spec = self.model.experts
        if spec is None:
            return None
        numbers = ("routed", "chosen", "tokens", "touched")
        return Experts(**{n: self._whole(("experts", n), getattr(spec, n)) for n in numbers}, rule=spec.rule)

    def _layers(self, part: str, layers: Mapping[str, LayerModel]) -> Iterator[Layer]:
        once = 1 if part == "after" else self._whole(("blocks",), self.model.blocks)
        for name, spec in layers.items():
            path: Path = (part, name)
            sizes = {rank: self._whole((*path, "ranks", rank), e) for rank, e in spec.ranks.items()}
            weights = self._parameters(path, spec, sizes)
            yield Layer(
                name=name,
                kind=spec.kind or (IN_BLOCKS if part == "layers" else BEHIND),
                cascades=tuple(self._cascades(path, spec)),
                workload=self._sized(path, name, spec, sizes),
                times=once if spec.times is None else self._whole((*path, "times"), spec.times),
                parameters=weights,
                active=weights if spec.active is None else self._whole((*path, "active"), spec.active),
                in_blocks=part == "layers",
            )

    def _sized(self, path: Path, name: str, spec: LayerModel, sizes: Mapping[str, int]) -> Workload:
        """The layer's own workload: the ranks of its cascades."""
        for index, rank in enumerate(spec.batch):
            if rank not in sizes:
                self._fail((*path, "batch", index), f'unknown rank "{rank}"', did_you_mean(rank, list(sizes)))
        source = self.workload.name
        ranks = tuple(Rank(name=r, size=n, source=f"{spec.ranks[r]} of {source}") for r, n in sizes.items())
        batch = tuple(spec.batch)
        return dataclasses.replace(self.workload, name=f"{name} of {source}", ranks=ranks, batch=batch, block=())

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

    def _whole(self, path: Path, expression: Expression, least: int = 1) -> int:
        """A positive whole number; 1 after an error, which is kept."""
        try:
            value = expression.at(self.document.place(path)).evaluate(self.names)
        except InputError as error:
            self.errors.extend(error.diagnostics)
            return 1
        if value != int(value) or value < least:
            self._fail(path, f"expected a positive whole number for {self.workload.name}, found {value:g}", "")
            return 1
        return int(value)

    def _fail(self, path: Path, message: str, hint: str) -> None:
        self.errors.append(self.document.diagnostic(path, message, hint=hint))
