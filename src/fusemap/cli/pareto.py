"""`fusemap pareto`: the points of a sweep's store that no other point beats."""

from __future__ import annotations

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.main import ANSWER_IS_NO
from fusemap.cli.output import emit_json
from fusemap.diagnostics import input_error

SHOWN = 20
PICTURES = ("png", "pdf", "svg")
TABLES = ("csv", "parquet")
WHERE_HELP = "Only rows for which this holds, such as 'pe >= 64 and cascade == softmax' (repeatable)."


@click.command("pareto", short_help="The points of a sweep that no other point beats.")
@click.argument("store", metavar="STORE")
@click.option("--minimize", metavar="COLUMNS", help="Objectives, smaller is better.  [default: latency_s,energy_pj]")
@click.option("--maximize", metavar="COLUMNS", help="Objectives, larger is better: utilization.array_2d")
@click.option("--x", metavar="COLUMN", help="One more objective, smaller is better; with --figure the x axis.")
@click.option("--y", metavar="COLUMN", help="One more objective, smaller is better; with --figure the y axis.")
@click.option("--where", metavar="CONDITION", multiple=True, help=WHERE_HELP)
@click.option("--by", metavar="COLUMNS", help="A front for each value of these columns: cascade")
@click.option("--rows", "most", metavar="N", default=SHOWN, show_default=True, help="Rows of each front to print.")
@click.option("--out", metavar="FILE", help="Write all rows of the fronts, .csv or .parquet.")
@click.option("--figure", "--plot", metavar="FILE", help="Draw the fronts, .png, .pdf or .svg.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    store: str,
    minimize: str | None,
    maximize: str | None,
    x: str | None,
    y: str | None,
    where: tuple[str, ...],
    by: str | None,
    most: int,
    out: str | None,
    figure: str | None,
    as_json: bool,
) -> int:
    """Print the points of STORE that no other point beats.

    A point beats another one when it is as good in every objective and better in one. Points that are equal in all
    objectives are all kept. Columns may lack their unit: area is area_um2. The exit code is 1 where no row has a
    value of every objective.

    \b
    Example:
      fusemap pareto results.sqlite
      fusemap pareto results.sqlite --minimize latency,energy,area --by cascade
      fusemap pareto results.sqlite --where 'length == 4096 and dataflow != flat' --out front.csv
    """
    table_suffix = suffix_of(out, TABLES) if out else ""
    picture = suffix_of(figure, PICTURES) if figure else ""
    from fusemap.cli.pareto_page import page
    from fusemap.validation.pareto import pareto

    axes = [name for name in (x, y) if name]
    wanted = [*axes, *(name for name in names(minimize, "--minimize") if name not in axes)]
    groups = names(by, "--by")
    found = pareto(store, minimize=wanted, maximize=names(maximize, "--maximize"), where=where, by=groups)
    if out:
        from fusemap.validation.pareto_export import exported

        write_whole(out, exported(found, table_suffix))
    if figure:
        from fusemap.validation.plots_front import front_of, render_front

        write_whole(figure, render_front(front_of(found), picture))
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo(page(found, most))
        for file in filter(None, (out, figure)):
            click.echo(f"wrote {file}")
    return 0 if found.fronts else ANSWER_IS_NO


def names(text: str | None, option: str) -> list[str]:
    """Names separated by commas; InputError where one is empty."""
    found = [name.strip() for name in text.split(",")] if text is not None else []
    if "" in found:
        raise input_error(f"{option} {text}: expected columns, separated by commas")
    return found
