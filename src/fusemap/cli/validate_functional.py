"""`fusemap validate functional`: cascades executed in two ways."""

from __future__ import annotations

import textwrap

import click

from fusemap.cli.output import table
from fusemap.cli.validate_outcome import conclude
from fusemap.validation.functional import TOLERANCE, Executed, Functional, check_functional


@click.command("functional", short_help="Cascades executed: direct against streaming, and as NumPy functions.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the random inputs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(seed: int, as_json: bool) -> int:
    """Execute every cascade of the library in two ways, on the same random inputs.

    Two cascades of one algorithm (direct and streaming) must give the same outputs, and so must a cascade and the
    NumPy function that is exported of it. The exit code is 1 where they differ.

    \b
    Example:
      fusemap validate functional
    """
    found = check_functional(seed)
    return conclude({"functional": found}, functional_page(found), as_json=as_json)


def functional_page(found: Functional) -> list[str]:
    """The pairs of forms, the exported functions in a line, and the verdict."""
    pairs = [row for row in found.rows if row.against != "NumPy"]
    exported = [row for row in found.rows if row.against == "NumPy"]
    cells = [[row.cascade, row.against, _error(row), _sizes(row)] for row in pairs]
    wrong = [row for row in found.rows if not row.agrees]
    absent = [row.cascade for row in exported if row.error is None]
    worst = max((row.error for row in exported if row.error is not None), default=0.0)
    lines = [
        f"{len(exported) - len(absent)} cascades against their exported NumPy functions: at most {worst:.1e} apart",
        *textwrap.wrap(f"not exported, as they read at coordinates that are data: {', '.join(absent)}", 100),
    ]
    verdict = f"{len(found.rows) - len(absent)} executions agree to {TOLERANCE:g}"
    if wrong:
        verdict = "\n".join([f"{len(wrong)} differ", *(f"  {r.cascade} and {r.against}: {_error(r)}" for r in wrong)])
    return [table(cells, ["direct", "streaming", "difference", "sizes"], "llrl", width=120), "\n".join(lines), verdict]


def _error(row: Executed) -> str:
    return "-" if row.error is None else f"{row.error:.1e}" + ("" if row.agrees else " !")


def _sizes(row: Executed) -> str:
    return " ".join(f"{name}={size}" for name, size in row.sizes)
