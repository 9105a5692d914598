"""`fusemap run`: execute a cascade on NumPy arrays and say what came out."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from fusemap.cli.output import emit_json, table
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.execution import Execution, run_cascade, summary
from fusemap.einsum_cascade.scope import input_names, outputs

Arrays = dict[str, NDArray[Any]]


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

    Inputs that are indices are uniform coordinates. Shapes without --size get small sizes, which are printed; with
    --input they follow from the arrays.

    \b
    Example:
      fusemap run attention-1pass --size M=4K --size M0=256 --size P=512
    """
    found = run_cascade(load(cascade), parse_sizes(sizes), read_arrays(source) if source else None, seed=seed)
    if target:
        write_outputs(found, target)
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo(report(found))


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


def drawn(found: Execution) -> str:
    """How the random inputs were drawn."""
    indices = set(found.coordinates)
    if not indices:
        return "standard normal inputs"
    others = "" if indices == set(input_names(found.cascade)) else "standard normal inputs, "
    return f"{others}uniform coordinates in {', '.join(found.coordinates)}"


def report(found: Execution) -> str:
    """The execution for people: sizes, one line per output, seconds."""
    sizes = ", ".join(f"{name}={size}" for name, size in found.sizes.items())
    lines = [f"{found.cascade.name}: {sizes}"]
    if found.chosen:
        lines.append(f"sizes chosen here, --size sets others: {', '.join(found.chosen)}")
    lines.append("inputs from a file" if found.seed is None else f"{drawn(found)}, seed {found.seed}")
    rows = []
    for name in outputs(found.cascade):
        facts = summary(name, found.tensors[name])
        numbers = [f"{facts[k]:.6g}" if facts[k] is not None else "-" for k in ("min", "mean", "max")]
        shape = "x".join(map(str, facts["shape"])) or "scalar"
        rows.append([name, shape, *numbers, str(facts["absent"]), str(facts["not_finite"]), facts["checksum"]])
    headers = ["output", "shape", "min", "mean", "max", "absent", "not finite", "checksum"]
    return "\n".join([*lines, "", table(rows, headers, "lrrrrrrl"), "", f"{found.seconds:.3f} s"])
