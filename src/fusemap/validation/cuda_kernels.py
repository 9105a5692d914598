"""CUDA kernels as data: which file, how it is compiled and launched, and what its tensors are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from pydantic import Field

from fusemap.archspec.document import Document
from fusemap.archspec.schema import ExpressionField, SpecModel, validate
from fusemap.archspec.yamlnodes import parse_document
from fusemap.diagnostics import did_you_mean, input_error

FILE = "kernels.yaml"


class LaunchModel(SpecModel):
    """One launch: `grid` and `block` are expressions of the sizes, `arguments` tensors and sizes in order."""

    entry: str
    grid: list[ExpressionField]
    block: list[ExpressionField]
    arguments: list[str]


class PredictionModel(SpecModel):
    """What predicts a kernel's counts: files beside it, and where they claim less than exact counts.

    `cascade` is what the kernel computes operation by operation, `mapping` how it does so, `compiled` the mapping
    that a compiler makes of it where that differs. The operations of the cascade are at least 1 - `repeated` of the
    kernel's, for the reason `why`.
    """

    cascade: str
    mapping: str
    compiled: str | None = None
    repeated: float = 0
    why: str = ""


class PassesModel(SpecModel):
    """The tensor and rank whose passes are proven for a kernel's algorithm."""

    tensor: str = "K"
    rank: str = "M"


class KernelModel(SpecModel):
    """A kernel: `constants` are compiled in (-D), `tensors` are row-major shapes; those in `scratch` start undefined.

    `cascade` is the algorithm in the library. `inputs` and `outputs` name tensors of it, whose shapes name its ranks in
    the order that the kernel has them; the expressions of `whole` must be whole numbers, as grids and shapes must.
    `sizes` are those that the file's do not have (a number: a default), or that others fix (an expression: it holds
    whatever is asked for); `checked` replaces the file's. `softmax`: the output is softmax(Q K^T) V.
    """

    description: str
    file: str
    cascade: str
    softmax: bool = True
    passes: PassesModel = PassesModel()
    prediction: PredictionModel
    sizes: dict[str, ExpressionField] = Field(default_factory=dict)
    checked: list[dict[str, int]] = Field(default_factory=list)
    constants: dict[str, ExpressionField]
    whole: list[ExpressionField] = Field(default_factory=list)
    tensors: dict[str, list[ExpressionField]]
    inputs: list[str]
    outputs: list[str]
    scratch: list[str] = Field(default_factory=list)
    launches: list[LaunchModel]


class KernelsModel(SpecModel):
    """All kernels; `sizes` are a kernel's by default, `checked` those at which predictions are held against runs."""

    description: str
    source: str
    sizes: dict[str, int]
    checked: list[dict[str, int]]
    kernels: dict[str, KernelModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A launch with numbers: blocks and threads in up to three dimensions."""

    entry: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel at given sizes.

    layouts: the ranks of its tensors as their shapes name them; analysed: the tensor and rank of the proven passes.
    """

    name: str
    description: str
    source: str
    cascade: str
    sizes: Mapping[str, int]
    constants: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scratch: tuple[str, ...]
    launches: tuple[Launch, ...]
    layouts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    softmax: bool = True
    analysed: tuple[str, str] = ("K", "M")
    prediction: PredictionModel | None = None


def kernel_names(folder: Path | None = None) -> tuple[str, ...]:
    """The built-in kernels, or those of a folder with a `kernels.yaml`."""
    return tuple(_model(folder).kernels)


def checked_sizes(name: str, folder: Path | None = None) -> tuple[Mapping[str, int], ...]:
    """The sizes at which a kernel is held against its prediction. InputError: no such kernel."""
    model = _model(folder)
    _check_name(name, model)
    return tuple(MappingProxyType(sizes) for sizes in model.kernels[name].checked or model.checked)


def load_kernel(name: str, sizes: Mapping[str, int] | None = None, *, folder: Path | None = None) -> Kernel:
    """A built-in kernel, or one of a folder, with its default sizes, some of them replaced.

    InputError: no such kernel or size, or a size that does not divide as the kernel needs.
    """
    document = _document(folder)
    model = validate(document, KernelsModel)
    _check_name(name, model)
    found = model.kernels[name]
    own = tuple(dict.fromkeys((*model.sizes, *found.sizes)))
    wrong = [size for size in sizes or {} if size not in own and size not in found.constants]
    if wrong:
        known = (*own, *found.constants)
        raise input_error(f'kernel {name} has no size "{wrong[0]}"', hint=did_you_mean(wrong[0], known))
    at = ("kernels", name)
    names: dict[str, float] = {key: (sizes or {}).get(key, size) for key, size in model.sizes.items()}
    for key, expression in found.sizes.items():
        given = None if expression.names() else (sizes or {}).get(key)
        names[key] = _whole(document, expression, (*at, "sizes", key), names) if given is None else given
    for key, expression in found.constants.items():
        given = (sizes or {}).get(key)
        names[key] = _whole(document, expression, (*at, "constants", key), names) if given is None else given
    for i, expression in enumerate(found.whole):
        _whole(document, expression, (*at, "whole", i), names)
    return Kernel(
        name=name,
        description=found.description,
        source=_text(found.file, folder),
        cascade=_located(found.cascade, folder),
        sizes=MappingProxyType({key: int(names[key]) for key in own}),
        constants=MappingProxyType({key: int(names[key]) for key in found.constants}),
        shapes=MappingProxyType(
            {
                tensor: tuple(_whole(document, e, (*at, "tensors", tensor, i), names) for i, e in enumerate(shape))
                for tensor, shape in found.tensors.items()
            }
        ),
        inputs=tuple(found.inputs),
        outputs=tuple(found.outputs),
        scratch=tuple(found.scratch),
        launches=tuple(
            Launch(
                entry=launch.entry,
                grid=_three(document, launch.grid, (*at, "launches", i, "grid"), names),
                block=_three(document, launch.block, (*at, "launches", i, "block"), names),
                arguments=tuple(launch.arguments),
            )
            for i, launch in enumerate(found.launches)
        ),
        layouts=MappingProxyType({tensor: tuple(e.text for e in shape) for tensor, shape in found.tensors.items()}),
        softmax=found.softmax,
        analysed=(found.passes.tensor, found.passes.rank),
        prediction=_prediction(found.prediction, folder),
    )


def _prediction(model: PredictionModel, folder: Path | None) -> PredictionModel:
    """The files of a prediction, those of a folder with their whole path."""
    compiled = model.compiled and _located(model.compiled, folder)
    files = {"cascade": _located(model.cascade, folder), "mapping": _located(model.mapping, folder)}
    return model.model_copy(update={**files, "compiled": compiled})


def _located(file: str, folder: Path | None) -> str:
    """The path of a file of the folder; what is none of its files stays a name of the package."""
    return str((folder / file).resolve()) if folder is not None and (folder / file).is_file() else file


def _check_name(name: str, model: KernelsModel) -> None:
    if name not in model.kernels:
        raise input_error(f'no kernel "{name}"', hint=did_you_mean(name, tuple(model.kernels)))


def _three(
    document: Document, expressions: list[ExpressionField], path: tuple[str | int, ...], names: Mapping[str, float]
) -> tuple[int, int, int]:
    x, y, z = [*(_whole(document, e, (*path, i), names) for i, e in enumerate(expressions)), 1, 1][:3]
    return x, y, z


def _whole(
    document: Document, expression: ExpressionField, path: tuple[str | int, ...], names: Mapping[str, float]
) -> int:
    value = expression.at(document.place(path)).evaluate(names)
    if value != int(value) or value < 1:
        raise input_error(
            f"{expression.text} of kernel {path[1]} is {value:g}: it must be a whole number from 1",
            hint="blocks must divide the sizes",
        )
    return int(value)


def _model(folder: Path | None = None) -> KernelsModel:
    return validate(_document(folder), KernelsModel)


def _document(folder: Path | None = None) -> Document:
    return parse_document(_text(FILE, folder), file=FILE if folder is None else str(folder / FILE))


def _text(file: str, folder: Path | None = None) -> str:
    found = (resources.files("fusemap.validation") / "kernels" if folder is None else folder) / file
    return found.read_text(encoding="utf-8")
