"""`fusemap run`: execute a cascade on NumPy arrays and say what came out."""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from fusemap.cli.output import emit_json, table
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.interpreter import Tensor, execute
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.interpreter_sizes import Extents, extents_of
from fusemap.einsum_cascade.library import load
from fusemap.einsum_cascade.scope import input_names, output_variables, outputs, shape_of
from fusemap.einsum_cascade.types import Cascade, TensorName

MAX_VALUES_SHOWN = 64
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What was run, at which sizes, and what came out."""

    cascade: Cascade
    extents: Extents
    chosen: tuple[str, ...]
    seed: int | None
    tensors: Mapping[TensorName, Tensor]
    seconds: float


@click.command("run", short_help="Execute a cascade on NumPy arrays.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="Extent of a shape (4096 or 4K); repeatable.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random inputs.")
@click.option("--input", "source", metavar="FILE.npz", help="Read the inputs from arrays named like them.")
@click.option(
    "--out", "target", metavar="FILE.npz", help="Write the outputs, and NAME.present where elements are absent."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with the operation counts.")
def command(
    cascade: str, sizes: Sequence[str], seed: int, source: str | None, target: str | None, as_json: bool
) -> None:
    """Execute CASCADE (a built-in name or a file) in float64 on standard normal inputs.

    Shapes without --size get small sizes, which are printed; with --input they follow from the arrays.

    \b
    Example:
      fusemap run attention-1pass --size M=4K --size M0=256 --size P=512
    """
    found = run_cascade(load(cascade), parse_sizes(sizes), seed=seed, arrays=read_arrays(source) if source else None)
    if target:
        write_outputs(found, target)
    if as_json:
        emit_json(document(found))
    else:
        click.echo(report(found))


def run_cascade(cascade: Cascade, sizes: Mapping[str, int], *, seed: int, arrays: Arrays | None) -> Execution:
    """Execute a cascade on `arrays`, or on standard normal inputs; open sizes are chosen."""
    given = dict(sizes) if arrays is None else {**_sizes_of(cascade, arrays), **sizes}
    filled, chosen = fill_sizes(cascade, given)
    extents = extents_of(cascade, filled)
    inputs = random_inputs(cascade, extents, seed) if arrays is None else arrays
    start = time.perf_counter()
    try:
        tensors = execute(cascade, filled, inputs)
    except MemoryError as error:
        raise input_error(f"not enough memory to run {cascade.name}: {error}", hint="choose smaller sizes") from error
    return Execution(
        cascade=cascade,
        extents=extents,
        chosen=chosen,
        seed=seed if arrays is None else None,
        tensors=tensors,
        seconds=time.perf_counter() - start,
    )


def random_inputs(cascade: Cascade, extents: Extents, seed: int) -> Arrays:
    """Standard normal inputs, drawn in the order in which the cascade declares them."""
    generator = np.random.default_rng(seed)
    return {name: generator.standard_normal(extents.tensors[name]) for name in input_names(cascade)}


def read_arrays(path: str) -> Arrays:
    """The arrays of an .npz file; InputError for anything that is none."""
    try:
        with open(path, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise input_error(f"{path} holds a single array, expected an .npz archive of named arrays")
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise input_error(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise input_error(f"{path} is no .npz archive of numbers ({type(error).__name__})") from error


def _sizes_of(cascade: Cascade, arrays: Arrays) -> dict[str, int]:
    """The sizes that the shapes of the arrays tell; a wrong number of axes is reported when they are used."""
    found: dict[str, int] = {}
    for access in cascade.inputs:
        array = arrays.get(access.tensor)
        for var, length in zip(output_variables(access), () if array is None else array.shape, strict=False):
            if length:
                found.setdefault(shape_of(var), length)
    return found


def write_outputs(found: Execution, path: str) -> None:
    """Write the outputs to an .npz file, absent elements as 0 with a mask `NAME.present` beside them."""
    arrays: Arrays = {}
    for name in outputs(found.cascade):
        tensor = found.tensors[name]
        arrays[name] = tensor.values
        if tensor.present is not None:
            arrays[f"{name}.present"] = tensor.present
    with open(path, "wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def document(found: Execution) -> dict[str, Any]:
    """The JSON document of an execution, schema fusemap/run/1."""
    shapes = {str(name): size for name, size in found.extents.shapes.items()}
    return {
        "schema": "fusemap/run/1",
        "cascade": found.cascade.name,
        "sizes": shapes,
        "sizes_chosen": list(found.chosen),
        "seed": found.seed,
        "seconds": found.seconds,
        "outputs": [summary(name, found.tensors[name]) for name in outputs(found.cascade)],
        "operations": [
            {
                "einsum": c.einsum,
                "operator": c.operator,
                "kind": c.kind,
                "count": c.at(shapes),
                "formula": str(c.count),
                "exact": c.exact,
            }
            for c in operation_counts(found.cascade)
        ],
    }


def summary(name: str, tensor: Tensor) -> dict[str, Any]:
    """Shape, extremes, mean, number of absent and of not finite elements, and CRC-32 of the float64 bytes.

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


def report(found: Execution) -> str:
    """The execution for people: sizes, one line per output, seconds."""
    sizes = ", ".join(f"{name}={size}" for name, size in found.extents.shapes.items())
    lines = [f"{found.cascade.name}: {sizes}"]
    if found.chosen:
        lines.append(f"sizes chosen here, --size sets others: {', '.join(found.chosen)}")
    lines.append("inputs from a file" if found.seed is None else f"standard normal inputs, seed {found.seed}")
    rows = []
    for name in outputs(found.cascade):
        facts = summary(name, found.tensors[name])
        numbers = [f"{facts[k]:.6g}" if facts[k] is not None else "-" for k in ("min", "mean", "max")]
        shape = "x".join(map(str, facts["shape"])) or "scalar"
        rows.append([name, shape, *numbers, str(facts["absent"]), str(facts["not_finite"]), facts["checksum"]])
    headers = ["output", "shape", "min", "mean", "max", "absent", "not finite", "checksum"]
    return "\n".join([*lines, "", table(rows, headers, "lrrrrrrl"), "", f"{found.seconds:.3f} s"])
