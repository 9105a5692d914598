"""Kernels of the GPU path: those of kernels.yaml and those that only a GPU runs (kernels/gpu_only.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from math import prod
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fusemap.archspec.document import Document
from fusemap.archspec.schema import ExpressionField, SpecModel, validate
from fusemap.archspec.yamlnodes import parse_document
from fusemap.diagnostics import did_you_mean, input_error
from fusemap.validation.cuda_kernels import Kernel, Launch, LaunchModel, kernel_names, load_kernel

FILE = "gpu_only.yaml"
FP32_BYTES, BF16_BYTES = 4, 2


class GpuOnlyModel(SpecModel):
    """A kernel of gpu_only.yaml: as KernelModel, and the tensors in `bf16` have that type, the others are fp32."""

    description: str
    file: str
    cascade: str
    constants: dict[str, ExpressionField]
    whole: list[ExpressionField]
    tensors: dict[str, list[ExpressionField]]
    bf16: list[str]
    inputs: list[str]
    outputs: list[str]
    launches: list[LaunchModel]


class GpuOnlyKernelsModel(SpecModel):
    """The file gpu_only.yaml."""

    description: str
    source: str
    sizes: dict[str, int]
    kernels: dict[str, GpuOnlyModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuKernel:
    """A kernel at given sizes, and which of its tensors are bf16."""

    kernel: Kernel
    bf16: frozenset[str] = field(default_factory=frozenset)

    def bytes_of(self, tensor: str) -> int:
        """The bytes of a tensor in device memory."""
        return prod(self.kernel.shapes[tensor]) * (BF16_BYTES if tensor in self.bf16 else FP32_BYTES)


def gpu_kernel_names() -> tuple[str, ...]:
    """Every kernel that a GPU runs."""
    return (*kernel_names(), *_model().kernels)


def gpu_kernel_source(name: str) -> str:
    """The text of a kernel's .cu file."""
    found = _model().kernels.get(name)
    return load_gpu_kernel(name).kernel.source if found is None else _text(found.file)


def load_gpu_kernel(name: str, sizes: Mapping[str, int] | None = None) -> GpuKernel:
    """A kernel with its default sizes, some of them replaced. InputError as load_kernel says."""
    model = _model()
    if name not in gpu_kernel_names():
        raise input_error(f'no kernel "{name}"', hint=did_you_mean(name, gpu_kernel_names()))
    if name not in model.kernels:
        return GpuKernel(kernel=load_kernel(name, sizes))
    found = model.kernels[name]
    known = (*model.sizes, *found.constants)
    for size in sizes or {}:
        if size not in known:
            raise input_error(f'kernel {name} has no size "{size}"', hint=did_you_mean(size, known))
    names: dict[str, float] = dict(model.sizes)
    evaluate = _Evaluate(kernel=name, names=names)
    names |= {key: evaluate(expression) for key, expression in found.constants.items()} | dict(sizes or {})
    for expression in found.whole:
        evaluate(expression)
    return GpuKernel(kernel=_kernel(name, found, evaluate, tuple(model.sizes)), bf16=frozenset(found.bf16))


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The bits of the nearest bf16 values, ties to even (finite values).

    >>> [hex(bits) for bits in to_bf16(np.float32([1, 1 + 2**-8, 1 + 3 * 2**-8]))]
    ['0x3f80', '0x3f80', '0x3f82']
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The values of bf16 bits, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluate:
    """Expressions of a kernel's sizes as whole numbers."""

    kernel: str
    names: dict[str, float]

    def __call__(self, expression: ExpressionField) -> int:
        value = expression.at(_document().place(("kernels", self.kernel))).evaluate(self.names)
        if value != int(value) or value < 1:
            raise input_error(
                f"{expression.text} of kernel {self.kernel} is {value:g}: it must be a whole number from 1",
                hint="blocks must divide the sizes",
            )
        return int(value)

    def three(self, expressions: list[ExpressionField]) -> tuple[int, int, int]:
        """Up to three numbers, filled up with ones."""
        x, y, z = [*map(self, expressions), 1, 1][:3]
        return x, y, z


def _kernel(name: str, found: GpuOnlyModel, evaluate: _Evaluate, sizes: tuple[str, ...]) -> Kernel:
    return Kernel(
        name=name,
        description=found.description,
        source=_text(found.file),
        cascade=found.cascade,
        sizes=MappingProxyType({key: int(evaluate.names[key]) for key in sizes}),
        constants=MappingProxyType({key: int(evaluate.names[key]) for key in found.constants}),
        shapes=MappingProxyType({tensor: tuple(map(evaluate, shape)) for tensor, shape in found.tensors.items()}),
        inputs=tuple(found.inputs),
        outputs=tuple(found.outputs),
        scratch=(),
        launches=tuple(
            Launch(
                entry=launch.entry,
                grid=evaluate.three(launch.grid),
                block=evaluate.three(launch.block),
                arguments=tuple(launch.arguments),
            )
            for launch in found.launches
        ),
    )


@cache
def _model() -> GpuOnlyKernelsModel:
    return validate(_document(), GpuOnlyKernelsModel)


@cache
def _document() -> Document:
    return parse_document(_text(FILE), file=FILE)


def _text(file: str) -> str:
    return (resources.files("fusemap.validation") / "kernels" / file).read_text(encoding="utf-8")
