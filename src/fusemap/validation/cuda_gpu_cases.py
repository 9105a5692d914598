"""What is run on a GPU: kernels with sizes, their inputs, and the float64 result that they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.cuda_gpu_driver import MOST_ELEMENTS, Device
from fusemap.validation.cuda_gpu_kernels import GpuKernel, from_bf16, gpu_kernel_names, load_gpu_kernel, to_bf16
from fusemap.validation.cuda_reference import reference

Sizes = Mapping[str, int]

# The first is the executors' default; the others differ in every size, so that no two counts agree by chance.
SMALL: tuple[Sizes, ...] = (
    MappingProxyType({"P": 256, "M": 256, "E": 32, "F": 32}),
    MappingProxyType({"P": 64, "M": 1024, "E": 32, "F": 32}),
    MappingProxyType({"P": 512, "M": 512, "E": 32, "F": 32}),
    MappingProxyType({"P": 128, "M": 512, "E": 64, "F": 32}),
)
# |K| is 256 MiB in fp32: five times the 50 MB of an H100's L2 (NVIDIA H100 data sheet), so that DRAM sees each pass.
DRAM: Sizes = MappingProxyType({"M": 1 << 20, "E": 64, "F": 64})

ALL_ROWS = 1 << 24  # scores: beyond it only CHECKED_ROWS rows are computed in float64, which takes a second
CHECKED_ROWS = 64
_CHUNK = 1 << 16  # keys at a time in float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A kernel (its name) and the sizes that it is run with."""

    kernel: str
    sizes: Sizes

    def __str__(self) -> str:
        return f"{self.kernel} {' '.join(f'{name}={value}' for name, value in self.sizes.items())}"

    def load(self) -> GpuKernel:
        """The kernel at these sizes."""
        return load_gpu_kernel(self.kernel, self.sizes)


def cases(device: Device, kernels: Sequence[str] = (), sizes: Sequence[Sizes] = ()) -> tuple[Case, ...]:
    """The kernels (all) with the sizes (SMALL and, per kernel, the DRAM case). InputError: a size that does not fit.

    No DRAM case for a causal kernel, which with few queries sees few keys, nor for one whose result is no softmax: it
    is held against its whole cascade, which cannot be computed row by row.
    """
    made = []
    for name in kernels or gpu_kernel_names():
        default = load_gpu_kernel(name)
        wanted = list(sizes or SMALL)
        if not sizes and default.kernel.softmax and not is_causal(default):
            wanted.append(dram_sizes(name, device))
        made += [Case(kernel=name, sizes=one) for one in wanted]
    return tuple(made)


def dram_sizes(name: str, device: Device) -> Sizes:
    """The DRAM case of a kernel: one block per multiprocessor (BP queries each), fewer where a tensor needs it.

    A tensor such as the scores of 3pass-spilled may have as many elements as an int can index, and all tensors
    together half of the memory (the profiler keeps a copy of what a kernel writes).
    """
    block = load_gpu_kernel(name).kernel.constants["BP"]
    one = load_gpu_kernel(name, {**DRAM, "P": block})
    two = load_gpu_kernel(name, {**DRAM, "P": 2 * block})
    most = device.multiprocessors
    for tensor, shape in one.kernel.shapes.items():
        if two.kernel.shapes[tensor] != shape:
            most = min(most, MOST_ELEMENTS // prod(shape))
    fixed = 2 * _bytes(one) - _bytes(two)  # what does not grow with P
    most = min(most, (device.memory_bytes // 2 - fixed) // (_bytes(one) - fixed))
    return MappingProxyType({"P": max(1, most) * block, **DRAM})


def make_inputs(kernel: GpuKernel, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Standard normal values by name, Q divided by the root of E as attention has it; exact in the tensor's type."""
    random = np.random.default_rng(seed)
    made = {}
    for name in kernel.kernel.inputs:
        values = random.standard_normal(kernel.kernel.shapes[name], dtype=np.float32)
        if name == "Q":
            values /= np.float32(np.sqrt(values.shape[-1]))
        made[name] = from_bf16(to_bf16(values)) if name in kernel.bf16 else values
    return made


def checked_rows(kernel: GpuKernel) -> NDArray[np.int64]:
    """The rows of the output that are compared: all, or CHECKED_ROWS evenly spaced ones when there are many scores."""
    if not kernel.kernel.softmax:
        return np.arange(kernel.kernel.shapes[kernel.kernel.outputs[0]][0])
    queries, keys = kernel.kernel.sizes["P"], kernel.kernel.sizes["M"]
    count = queries if queries * keys <= ALL_ROWS else min(queries, CHECKED_ROWS)
    return np.linspace(0, queries - 1, count).astype(np.int64)


def exact_rows(
    kernel: GpuKernel, inputs: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Rows of softmax(Q K^T) V in float64: the maximum first, then the sums, in chunks of keys.

    For a kernel that computes something else: rows of what the library's cascade of it does.
    """
    if not kernel.kernel.softmax:
        return reference(kernel.kernel, inputs)[kernel.kernel.outputs[0]][rows]
    largest = np.full(len(rows), -np.inf)
    for _, scores in _scores(kernel, inputs, rows):
        largest = np.maximum(largest, scores.max(axis=1))
    denominator, numerator = np.zeros(len(rows)), np.zeros((len(rows), inputs["V"].shape[1]))
    for keys, scores in _scores(kernel, inputs, rows):
        weights = np.exp(scores - largest[:, None])
        denominator += weights.sum(axis=1)
        numerator += weights @ inputs["V"][keys].astype(np.float64)
    return np.asarray(numerator / denominator[:, None])


def is_causal(kernel: GpuKernel) -> bool:
    """Whether the kernel's cascade lets a query see only the keys up to it."""
    return kernel.kernel.cascade.endswith("-causal")


def _scores(
    kernel: GpuKernel, inputs: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    queries = inputs["Q"][rows].astype(np.float64)
    for start in range(0, len(inputs["K"]), _CHUNK):
        keys = slice(start, min(start + _CHUNK, len(inputs["K"])))
        scores = queries @ inputs["K"][keys].astype(np.float64).T
        if is_causal(kernel):
            scores = np.where(np.arange(keys.start, keys.stop) <= rows[:, None], scores, -np.inf)
        yield keys, scores


def _bytes(kernel: GpuKernel) -> int:
    return sum(kernel.bytes_of(tensor) for tensor in kernel.kernel.shapes)
