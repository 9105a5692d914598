"""What a kernel must compute: its inputs, and the library's cascade of its algorithm in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.scope import known_shapes, output_variables, shape_of
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.cuda_kernels import Kernel

_SEED = 0


def make_inputs(kernel: Kernel) -> dict[str, NDArray[np.float32]]:
    """Normal values, Q divided by the root of E as attention has it; always the same."""
    random = np.random.default_rng(_SEED)
    made = {name: random.standard_normal(kernel.shapes[name]) for name in kernel.inputs}
    if "Q" in made:
        made["Q"] /= np.sqrt(made["Q"].shape[-1])
    return {name: values.astype(np.float32) for name, values in made.items()}


def reference(kernel: Kernel, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float64]]:
    """The outputs of the kernel's algorithm, the library's cascade in float64, in the layout of the kernel."""
    return run_cascade(kernel, load(kernel.cascade), inputs)


def run_cascade(
    kernel: Kernel, cascade: Cascade, inputs: Mapping[str, NDArray[np.float32]], tiles: Mapping[str, int] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The outputs of a cascade in float64 from a kernel's inputs, in the layout of the kernel.

    `tiles` are sizes of its partitions; by default chunks have the keys that a block brings in at a time. InputError: a
    tensor's shape in the kernel does not name its ranks in the cascade.
    """
    sizes = {**kernel.sizes, **kernel.constants, **({"M0": kernel.constants["BM"]} if tiles is None else tiles)}
    given = {
        name: np.transpose(values.astype(np.float64), np.argsort(_axes(kernel, cascade, name)))
        for name, values in inputs.items()
    }
    known = known_shapes(cascade)
    made = run(cascade, {name: size for name, size in sizes.items() if name in known}, given)
    return {
        name: np.asarray(np.transpose(made[name], _axes(kernel, cascade, name)), np.float64) for name in kernel.outputs
    }


def _axes(kernel: Kernel, cascade: Cascade, tensor: str) -> tuple[int, ...]:
    """For each rank of the kernel's tensor, its place in the cascade's."""
    ranks = _ranks(cascade, tensor)
    if sorted(kernel.layouts[tensor]) != sorted(ranks):
        found, wanted = (", ".join(names) for names in (kernel.layouts[tensor], ranks))
        raise input_error(f"{tensor} of kernel {kernel.name} is [{found}], cascade {cascade.name} has ranks {wanted}")
    return tuple(ranks.index(rank) for rank in kernel.layouts[tensor])


def _ranks(cascade: Cascade, tensor: str) -> tuple[str, ...]:
    written = [*cascade.inputs, *(einsum.output for einsum in cascade.einsums)]
    return next(tuple(map(shape_of, output_variables(access))) for access in written if access.tensor == tensor)
