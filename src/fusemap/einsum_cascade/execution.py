"""A cascade executed as a user asks for it: open sizes chosen, inputs given or random, and a typed result."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.index_tensors import index_limits
from fusemap.einsum_cascade.interpreter import Tensor, execute
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.interpreter_sizes import Extents, extents_of
from fusemap.einsum_cascade.notebook import table_html
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.scope import input_names, output_variables, outputs, shape_of
from fusemap.einsum_cascade.types import Cascade, TensorName

MAX_VALUES_SHOWN = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Execution(Mapping[str, NDArray[Any]]):
    """What was run, at which sizes, and what came out; a mapping from the name of an output to its array.

    An output with absent elements is a `numpy.ma.MaskedArray`, masked there. `tensors` has inputs and
    intermediate tensors too. `chosen` are the sizes that were left open; `seed` is None for given inputs.
    """

    cascade: Cascade
    extents: Extents
    chosen: tuple[str, ...]
    seed: int | None
    tensors: Mapping[TensorName, Tensor]
    seconds: float

    @property
    def sizes(self) -> dict[str, int]:
        """The size of every shape."""
        return {str(name): size for name, size in self.extents.shapes.items()}

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The inputs that are read as indices."""
        indices = index_limits(self.cascade, self.extents.tensors)
        return tuple(str(name) for name in input_names(self.cascade) if name in indices)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in outputs(self.cascade):
            raise KeyError(name)
        return self.tensors[TensorName(name)].array()

    def __iter__(self) -> Iterator[str]:
        return iter(outputs(self.cascade))

    def __len__(self) -> int:
        return len(outputs(self.cascade))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        return f"<Execution of {self.cascade.name} with {sizes}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: a table of the outputs."""
        facts = [summary(name, self.tensors[name]) for name in outputs(self.cascade)]
        numbers = ("min", "mean", "max")
        rows = [
            [f["tensor"], " x ".join(map(str, f["shape"])), *("-" if f[n] is None else f"{f[n]:.6g}" for n in numbers)]
            for f in facts
        ]
        return table_html(repr(self).strip("<>"), ["output", "shape", *numbers], rows)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/run/1`."""
        sizes = self.sizes
        return {
            "schema": "fusemap/run/1",
            "cascade": self.cascade.name,
            "sizes": sizes,
            "sizes_chosen": list(self.chosen),
            "seed": self.seed,
            "seconds": self.seconds,
            "outputs": [summary(name, self.tensors[name]) for name in outputs(self.cascade)],
            "operations": [
                {
                    "einsum": c.einsum,
                    "operator": c.operator,
                    "kind": c.kind,
                    "count": c.at(sizes),
                    "formula": str(c.count),
                    "exact": c.exact,
                }
                for c in operation_counts(self.cascade)
            ],
        }


def run_cascade(
    cascade: Cascade,
    sizes: Mapping[str, int] | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    *,
    seed: int = 0,
    dtype: DTypeLike = np.float64,
    operators: Operators = BUILTIN,
) -> Execution:
    """Execute a cascade on `inputs`, or without any on standard normal ones (uniform coordinates where they index).

    Sizes that are not given follow from the inputs' shapes; those still open are chosen small. Errors as
    `fusemap.einsum_cascade.interpreter.run`, and InputError when memory does not suffice.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> run_cascade(load("softmax"), {"N": 2, "K": 8})
    <Execution of softmax with N=2, K=8: Y>
    """
    known = {**_sizes_of(cascade, inputs or {}), **(sizes or {})}
    filled, chosen = fill_sizes(cascade, known)
    extents = extents_of(cascade, filled)
    arrays = random_inputs(cascade, extents, seed) if inputs is None else inputs
    start = time.perf_counter()
    try:
        tensors = execute(cascade, filled, arrays, dtype=dtype, operators=operators, extents=extents)
    except MemoryError as error:
        raise input_error(f"not enough memory to run {cascade.name}: {error}", hint="choose smaller sizes") from error
    return Execution(
        cascade=cascade,
        extents=extents,
        chosen=chosen,
        seed=seed if inputs is None else None,
        tensors=tensors,
        seconds=time.perf_counter() - start,
    )


def random_inputs(cascade: Cascade, extents: Extents, seed: int) -> dict[str, NDArray[Any]]:
    """Standard normal inputs, drawn in the order in which the cascade declares them; coordinates where they index."""
    generator = np.random.default_rng(seed)
    limits = index_limits(cascade, extents.tensors)
    inputs: dict[str, NDArray[Any]] = {}
    for name in input_names(cascade):
        shape = extents.tensors[name]
        limit = limits.get(name)
        inputs[name] = generator.standard_normal(shape) if limit is None else generator.integers(0, limit, shape)
    return inputs


def _sizes_of(cascade: Cascade, inputs: Mapping[str, ArrayLike]) -> dict[str, int]:
    """The sizes that the shapes of the inputs tell; a wrong number of axes is reported when they are used."""
    found: dict[str, int] = {}
    for access in cascade.inputs:
        for var, length in zip(output_variables(access), _shape(inputs.get(access.tensor, 0.0)), strict=False):
            if length:
                found.setdefault(shape_of(var), length)
    return found


def _shape(given: ArrayLike) -> tuple[int, ...]:
    """The shape of an input; empty for what is no array, which is reported when it is used."""
    try:
        return np.shape(given)
    except ValueError:
        return ()


def summary(name: str, tensor: Tensor) -> dict[str, Any]:
    """Shape, extremes, mean, number of absent and of not finite elements, and CRC-32 of the values' bytes.

    Extremes and mean are over finite elements, null if there are none. Equal checksums mean equal bits;
    another machine may sum in another order. `values` is there for up to MAX_VALUES_SHOWN elements.
    """
    present = tensor.values if tensor.present is None else tensor.values[tensor.present]
    finite = present[np.isfinite(present)]
    facts: dict[str, Any] = {
        "tensor": name,
        "shape": list(tensor.values.shape),
        "min": float(finite.min()) if finite.size else None,
        "mean": float(finite.mean()) if finite.size else None,
        "max": float(finite.max()) if finite.size else None,
        "absent": tensor.values.size - present.size,
        "not_finite": present.size - finite.size,
        "checksum": f"{zlib.crc32(np.ascontiguousarray(tensor.values).tobytes()):08x}",
    }
    if tensor.values.size <= MAX_VALUES_SHOWN:
        facts["values"] = _listed(tensor.array().tolist())
    return facts


def _listed(value: Any) -> Any:
    """Nested lists for JSON: null where absent, a text where not finite."""
    if isinstance(value, list):
        return [_listed(v) for v in value]
    return value if value is None or np.isfinite(value) else str(value)
