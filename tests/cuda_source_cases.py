"""Kernels for the tests of the source executor: inputs, a float64 softmax, counts by enumeration, small sources."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.cuda_kernels import Kernel, Launch

NO_COMPILER = shutil.which("g++") is None and shutil.which("clang++") is None
Tensors = Mapping[str, NDArray[np.float32]]


def make_inputs(kernel: Kernel, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Normal values, Q divided by the root of E as attention has it."""
    random = np.random.default_rng(seed)
    made = {name: random.standard_normal(kernel.shapes[name]) for name in kernel.inputs}
    if "Q" in made:
        made["Q"] /= np.sqrt(made["Q"].shape[-1])
    return {name: values.astype(np.float32) for name, values in made.items()}


def softmax_attention(inputs: Tensors, *, causal: bool) -> NDArray[np.float64]:
    """softmax(Q K^T) V in float64."""
    q, k, v = (inputs[name].astype(np.float64) for name in ("Q", "K", "V"))
    scores = q @ k.T
    if causal:
        scores = np.where(np.tri(*scores.shape, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True) @ v)


def lightning(inputs: Tensors) -> NDArray[np.float64]:
    """The masked product of all positions per head in float64, weights falling by exp(-softplus(LA)) a step."""
    q, k, v, la = (inputs[name].astype(np.float64) for name in ("Q", "K", "V", "LA"))
    steps = np.subtract.outer(np.arange(q.shape[1]), np.arange(k.shape[1]))
    decay = np.where(steps >= 0, np.exp(-np.log1p(np.exp(la))[:, None, None] * np.maximum(steps, 0)), 0.0)
    return np.asarray((q @ k.transpose(0, 2, 1) * decay) @ v)


def agent(inputs: Tensors) -> NDArray[np.float64]:
    """Agents, means of consecutive queries, gather the values by a softmax; queries read them by another."""
    q, k, v, b1, b2 = (inputs[name].astype(np.float64) for name in ("Q", "K", "V", "B1", "B2"))
    agents = q.reshape(b1.shape[1], -1, q.shape[1]).mean(axis=1) / np.sqrt(q.shape[1])
    gathered = np.exp(agents @ k.T + b1.T)
    weights = np.exp(q @ agents.T + b2.T)
    values = gathered / gathered.sum(axis=1, keepdims=True) @ v
    return np.asarray(weights / weights.sum(axis=1, keepdims=True) @ values)


def exact_output(kernel: Kernel, inputs: Tensors) -> NDArray[np.float64]:
    """The output of the kernel's algorithm by its definition, not by a cascade."""
    if kernel.softmax:
        return softmax_attention(inputs, causal=kernel.cascade.endswith("-causal"))
    return {"lightning-chunked": lightning, "agent-streaming": agent}[kernel.cascade](inputs)


def relative_error(got: NDArray[np.float32], want: NDArray[np.float64]) -> float:
    """The largest difference over the largest value; NaN counts as infinite."""
    error = float(np.abs(got - want).max() / np.abs(want).max())
    return float("inf") if np.isnan(error) else error


def edited(kernel: Kernel, old: str, new: str, *, count: int = 1) -> Kernel:
    """The kernel with a piece of its source replaced (the first `count` times; -1: everywhere)."""
    assert old in kernel.source
    return replace(kernel, source=kernel.source.replace(old, new, count))


def small_kernel(
    source: str,
    *,
    shapes: Mapping[str, tuple[int, ...]],
    inputs: tuple[str, ...] = (),
    grid: tuple[int, int, int] = (1, 1, 1),
    block: tuple[int, int, int] = (32, 1, 1),
) -> Kernel:
    """A source with one function `f` whose arguments are the tensors; those that are no inputs are outputs."""
    return Kernel(
        name="small",
        description="",
        source=source,
        cascade="",
        sizes={},
        constants={},
        shapes=shapes,
        inputs=inputs,
        outputs=tuple(name for name in shapes if name not in inputs),
        scratch=(),
        launches=(Launch(entry="f", grid=grid, block=block, arguments=tuple(shapes)),),
    )


def shared_loads(kernel: Kernel, width: int) -> Iterator[list[int]]:
    """The requests of one pass over a tensor [M][width], BM rows at a time, shared by the threads of every block.

    A request is the element of each lane that takes part.
    """
    p, m, bp, bm = (({**kernel.sizes, **kernel.constants})[name] for name in ("P", "M", "BP", "BM"))
    for _ in range(p // bp):
        for m1 in range(0, m, bm):
            for first in range(0, bm * width, bp):
                for warp in range(0, bp, 32):
                    lanes = [first + t for t in range(warp, min(warp + 32, bp)) if first + t < bm * width]
                    if lanes:
                        yield [m1 * width + lane for lane in lanes]


def row_accesses(kernel: Kernel, width: int) -> Iterator[list[int]]:
    """The requests of threads that each go along a row of their own in a tensor [P][width]."""
    p, bp = kernel.sizes["P"], kernel.constants["BP"]
    for block in range(0, p, bp):
        for warp in range(block, block + bp, 32):
            for column in range(width):
                yield [row * width + column for row in range(warp, min(warp + 32, block + bp))]


def totals(requests: Iterator[list[int]]) -> tuple[int, int, int]:
    """Elements, requests and 32-byte sectors."""
    elements = count = sectors = 0
    for lanes in requests:
        elements, count = elements + len(lanes), count + 1
        sectors += len({lane * 4 // 32 for lane in lanes})
    return elements, count, sectors
