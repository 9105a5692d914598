"""`fusemap validate`: checks of the models against each other and against published numbers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json, table
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import input_error
from fusemap.validation.reproduce import load_bench
from fusemap.validation.reproduction import Reproduction, reproduce
from fusemap.validation.simulators import Agreement, CrossCheck, cross_check, load_grid
from fusemap.validation.study import load_study
from fusemap.validation.tables import agreement_sentences

if TYPE_CHECKING:
    from fusemap.validation.cuda_check import CudaCheck

WIDTH = 100
CHECKS = ("simulators", "published", "cuda", "all")
PICTURES = ("png", "pdf", "svg")


@click.command("validate", short_help="Check simulators, published numbers and executed kernels.")
@click.argument("check", type=click.Choice(CHECKS))
@click.option("--figure", metavar="FILE", help="Draw the simulators' or the kernels' cross-check (.png, .pdf, .svg).")
@click.option("--kernel", "kernels", metavar="NAME", multiple=True, help="Of the kernels only this (repeatable).")
@click.option("--kernels", "folder", metavar="DIR", help="Not the package's kernels: those that DIR/kernels.yaml has.")
@click.option("--size", "sizes", metavar="NAME=N", multiple=True, help="A size of the kernels, at these alone: P=64.")
@click.option("--record", metavar="FILE", help="Measure the kernels on this machine's GPU first and write that here.")
@click.option("--recording", "read", metavar="FILE", multiple=True, help="Hold this recording too (repeatable).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    check: str,
    figure: str | None,
    kernels: tuple[str, ...],
    folder: str | None,
    sizes: tuple[str, ...],
    record: str | None,
    read: tuple[str, ...],
    as_json: bool,
) -> int:
    """Run CHECK: simulators, published, cuda, or all.

    simulators: formula, tile events and every processing element in every cycle, on one grid of configurations.
    published: the values of the FuseMax study. cuda: attention kernels executed from their source and from PTX, held
    against what cascade and mapping predict (no GPU is needed). The exit code is 1 where something does not agree.

    \b
    Example:
      fusemap validate simulators
      fusemap validate cuda --kernel 3pass --size P=64 --size M=256
    """
    own = {"--kernel": kernels, "--kernels": folder, "--size": sizes, "--record": record, "--recording": read}
    _check_options(check, figure, cuda_only=own)
    if folder is not None and (record or read):
        raise input_error("--kernels names files of yours, and recordings are of the package's kernels")
    crossed = cross_check(load_grid(), _progress) if check in ("simulators", "all") else None
    met = reproduce(load_bench(load_study("fusemax")), "published") if check in ("published", "all") else None
    executed = _executed(kernels, folder, parse_sizes(sizes), record, read) if check in ("cuda", "all") else None
    if figure is not None:
        write_whole(figure, _picture(suffix_of(figure, PICTURES), executed))
    agrees = all(found is None or found.agrees for found in (crossed, met, executed))
    if as_json:
        emit_json(_document(crossed, met, executed, agrees=agrees))
        return 0 if agrees else 1
    blocks = [*(simulators_page(crossed) if crossed else ()), *(_published(met) if met else ())]
    if executed is not None:
        from fusemap.cli.validate_cuda import cuda_page

        blocks += cuda_page(executed)
    click.echo("\n\n".join([*blocks, *([f"wrote {figure}"] if figure else [])]))
    return 0 if agrees else 1


def _check_options(check: str, figure: str | None, cuda_only: Mapping[str, object]) -> None:
    """InputError for an option that the check does not have."""
    if figure is not None:
        suffix_of(figure, PICTURES)
        if check in ("published", "all"):
            raise input_error("--figure is of the checks simulators and cuda")
    if check != "cuda":
        for option, value in cuda_only.items():
            if value:
                raise input_error(f"{option} is of the check cuda")


def _executed(
    kernels: tuple[str, ...], folder: str | None, sizes: Mapping[str, int], record: str | None, read: tuple[str, ...]
) -> CudaCheck:
    """The kernels' cross-check, with the recordings that there are, are made or are given."""
    from pathlib import Path

    from fusemap.validation.cuda_check import check_kernels
    from fusemap.validation.cuda_gpu_recording import read_recording, recordings

    if folder is not None:
        own = Path(folder)
        return check_kernels(kernels or None, [sizes] if sizes else None, folder=own, recorded={}, progress=_progress)
    found = {**recordings(), **{Path(file).name: read_recording(file) for file in read}}
    if record is not None:
        from fusemap.validation.cuda_gpu_run import record_gpu

        found[Path(record).name] = record_gpu(
            Path(record), kernels, [sizes] if sizes else (), say=lambda text: click.echo(text, err=True)
        )
    return check_kernels(kernels or None, [sizes] if sizes else None, recorded=found, progress=_progress)


def _picture(suffix: str, executed: CudaCheck | None) -> bytes:
    if executed is not None:
        from fusemap.validation.cuda_figure import render_kernels

        return render_kernels(executed, suffix)
    from fusemap.validation.simulators_figure import render_fidelities

    return render_fidelities(suffix)


def _document(
    crossed: CrossCheck | None, met: Reproduction | None, executed: CudaCheck | None, *, agrees: bool
) -> dict[str, object]:
    parts = {"simulators": crossed, "published": met, "cuda": executed}
    found = {name: part.to_json() for name, part in parts.items() if part is not None}
    return {"schema": "fusemap/validate/1", "agrees": agrees, **found}


def _progress(number: int, of: int) -> None:
    """Count the configurations on a terminal."""
    if sys.stderr.isatty():
        line = f"configuration {number} of {of}" if number < of else " " * 40 + "\r"
        click.echo(f"\r{line}", err=True, nl=False)


def simulators_page(found: CrossCheck) -> list[str]:
    """The grid, one table per binding, and what it comes to."""
    blocks = []
    for dataflow in dict.fromkeys(row.dataflow for row in found.rows):
        rows = [row for row in found.rows if row.dataflow == dataflow]
        blocks.append(f"{dataflow}: cycle level {_how(rows[0])}\n\n{_table(rows)}")
    return [*blocks, _legend(), _verdict(found)]


def _how(row: Agreement) -> str:
    return "interleaved, iterations overlapped" if row.order == "interleaved" else "stage by stage"


def _table(rows: Sequence[Agreement]) -> str:
    headers = ["array", "E", "F", "M1", "P1", "H", "formula", "tile", "filled", "cycle", "over", "explained"]
    headers += ["cycles/it.", "regs 2D 1D", "ports"]
    cells = [
        [
            f"{r.rows}x{r.columns}",
            *map(str, (r.E, r.F, r.chunks, r.tiles, r.heads)),
            *(f"{n:,}" for n in (r.formula, r.tile, r.tile_filled, r.cycle, r.over)),
            _explained(r),
            f"{r.steady:,.4g}",
            f"{r.registers_2d} {r.registers_1d}" + ("" if r.fits_registers else "!"),
            str(r.ports),
        ]
        for r in rows
    ]
    return table(cells, headers, "l" + "r" * 14, width=130)


def _explained(row: Agreement) -> str:
    if row.explained is not None:
        return f"{row.explained:,}"
    return "-" if row.expected_steady is None else f"{float(row.expected_steady):,.4g}/it."


def _legend() -> str:
    return (
        "formula: cycles of evaluate without memory; tile: tile events without effects; filled: with start and ways\n"
        "through the arrays; cycle: every processing element in every cycle; over: cycle - formula, beside it\n"
        "the same in closed form; cycles/it.: executed in the middle of the run, divisions in between apart;\n"
        "registers and buffer ports in use at most (! more than there are)"
    )


def _verdict(found: CrossCheck) -> str:
    wrong = [(row, text) for row in found.rows for text in row.disagreements()]
    if not wrong:
        explained = sum(row.explained is not None or row.expected_steady is not None for row in found.rows)
        return (
            f"{len(found.rows)} configurations agree: the tile level equals the formula where tiles are even, no\n"
            "link or unit has two values in a cycle, outputs are the interpreter's to rounding, and\n"
            f"{explained} runs at the cycle level are explained to the cycle"
        )
    lines = [f"  {row.dataflow} {row.rows}x{row.columns} E={row.E} F={row.F}: {text}" for row, text in wrong]
    return "\n".join([f"{len(wrong)} disagreements", *lines])


def _published(found: Reproduction) -> list[str]:
    return ["published values of fusemax", *agreement_sentences(found)]
