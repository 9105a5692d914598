"""`fusemap validate simulators`: formula, tile events and every processing element, on one grid."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import table
from fusemap.cli.validate_outcome import PICTURES, conclude, progress
from fusemap.validation.simulators import Agreement, CrossCheck, cross_check, load_grid


@click.command("simulators", short_help="Formula, tile events and every processing element against each other.")
@click.option("--figure", metavar="FILE", help="Draw the cross-check (.png, .pdf, .svg).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(figure: str | None, as_json: bool) -> int:
    """Hold the three fidelities of a simulation against each other, on one grid of configurations.

    The exit code is 1 where something does not agree.

    \b
    Example:
      fusemap validate simulators
    """
    suffix = suffix_of(figure, PICTURES) if figure is not None else None
    found = check_simulators()
    if figure is not None and suffix is not None:
        from fusemap.validation.simulators_figure import render_fidelities

        write_whole(figure, render_fidelities(suffix))
    return conclude({"simulators": found}, simulators_page(found), as_json=as_json, written=figure)


def check_simulators() -> CrossCheck:
    """The cross-check of the package's grid, its progress shown on a terminal."""
    return cross_check(load_grid(), progress)


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
