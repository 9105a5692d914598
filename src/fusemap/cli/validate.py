"""`fusemap validate`: checks of the models against each other and against published numbers."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json, table
from fusemap.diagnostics import input_error
from fusemap.validation.reproduce import load_bench
from fusemap.validation.reproduction import Reproduction, reproduce
from fusemap.validation.simulators import Agreement, CrossCheck, cross_check, load_grid
from fusemap.validation.study import load_study
from fusemap.validation.tables import agreement_sentences

WIDTH = 100
CHECKS = ("simulators", "published", "all")
PICTURES = ("png", "pdf", "svg")


@click.command("validate", short_help="Check the simulators against each other, and published numbers.")
@click.argument("check", type=click.Choice(CHECKS))
@click.option("--figure", metavar="FILE", help="Draw the cross-check of the simulators (.png, .pdf, .svg).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(check: str, figure: str | None, as_json: bool) -> int:
    """Run CHECK: simulators, published, or all.

    simulators: formula, tile events and every processing element in every cycle, on one grid of configurations.
    published: the values of the FuseMax study. The exit code is 1 where something does not agree.

    \b
    Example:
      fusemap validate simulators
    """
    if figure is not None:
        suffix_of(figure, PICTURES)
        if check == "published":
            raise input_error("--figure is of the check simulators")
    crossed = cross_check(load_grid(), _progress) if check != "published" else None
    met = reproduce(load_bench(load_study("fusemax")), "published") if check != "simulators" else None
    if figure is not None:
        from fusemap.validation.simulators_figure import render_fidelities

        write_whole(figure, render_fidelities(suffix_of(figure, PICTURES)))
    agrees = (crossed is None or crossed.agrees) and (met is None or met.agrees)
    if as_json:
        emit_json(_document(crossed, met, agrees=agrees))
    else:
        blocks = [*(simulators_page(crossed) if crossed else ()), *(_published(met) if met else ())]
        click.echo("\n\n".join([*blocks, *([f"wrote {figure}"] if figure else [])]))
    return 0 if agrees else 1


def _document(crossed: CrossCheck | None, met: Reproduction | None, *, agrees: bool) -> dict[str, object]:
    found: dict[str, object] = {"schema": "fusemap/validate/1", "agrees": agrees}
    if crossed is not None:
        found["simulators"] = crossed.to_json()
    if met is not None:
        found["published"] = met.to_json()
    return found


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
