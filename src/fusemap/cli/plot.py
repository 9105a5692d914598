"""`fusemap plot`: pictures of a sweep's store, one command per kind of picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json
from fusemap.cli.pareto import WHERE_HELP, names

PICTURES = ("png", "pdf", "svg")
Command = TypeVar("Command", bound=Callable[..., Any])


class Plot(Protocol):
    """What a picture shows."""

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""


@click.group("plot", short_help="Draw fronts, sensitivities, heat maps and traffic of a sweep.")
def command() -> None:
    """Draw a picture of a sweep's store: fusemap plot KIND STORE --out FILE.

    The file is a .png, .pdf or .svg, as wide as a column of a paper (3.5 inches) or as a page (7 inches). Equal stores
    give equal files. Columns may lack their unit: area is area_um2.

    \b
    Example:
      fusemap plot pareto results.sqlite --x latency --y energy --by cascade --out front.png
      fusemap plot tornado results.sqlite --y latency --out tornado.pdf
      fusemap plot heatmap results.sqlite --x pe --y dram.bandwidth --z latency --out map.svg
      fusemap plot traffic results.sqlite --where 'length == 65536' --out traffic.png
      fusemap plot scatter results.sqlite --x area --y latency --z cascade --out all.png
    """


def options(function: Command) -> Command:
    """The options of all kinds."""
    for option in reversed(
        (
            click.argument("store", metavar="STORE"),
            click.option("--out", "target", metavar="FILE", required=True, help="The picture: .png, .pdf or .svg."),
            click.option("--where", metavar="CONDITION", multiple=True, help=WHERE_HELP),
            click.option("--width", type=click.Choice(("column", "page")), default="column", show_default=True),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON document: what the picture shows."),
        )
    ):
        function = option(function)
    return function


def finish(kind: str, target: str, content: bytes, plot: Plot, *, as_json: bool, says: Sequence[str]) -> None:
    """Write the picture, and say what it shows."""
    write_whole(target, content)
    if as_json:
        inner = {key: value for key, value in plot.to_json().items() if key != "schema"}
        emit_json({"schema": "fusemap/plot/1", "kind": kind, "picture": target, **inner})
        return
    for line in says:
        click.echo(line)
    click.echo(f"wrote {target}")


def _inches(width: str) -> float:
    from fusemap.validation.plots_page import WIDTHS

    return WIDTHS[width]


@command.command("pareto", short_help="Points that no other point beats, in two or three objectives.")
@options
@click.option("--x", metavar="COLUMN", default="latency_s", show_default=True, help="First objective.")
@click.option("--y", metavar="COLUMN", default="energy_pj", show_default=True, help="Second objective.")
@click.option("--z", metavar="COLUMN", help="Third objective, as colour.")
@click.option("--maximize", metavar="COLUMNS", help="Those of them of which more is better.")
@click.option("--by", metavar="COLUMNS", help="A front for each value of these columns: cascade")
def pareto_command(
    store: str,
    target: str,
    where: tuple[str, ...],
    width: str,
    as_json: bool,
    x: str,
    y: str,
    z: str | None,
    maximize: str | None,
    by: str | None,
) -> None:
    """Draw fronts over all points of STORE: two objectives as steps, a third one as colour with a panel per group.

    \b
    Example:
      fusemap plot pareto results.sqlite --by cascade --out front.png
      fusemap plot pareto results.sqlite --x latency --y energy --z area --width page --out front.pdf
    """
    suffix = suffix_of(target, PICTURES)
    from fusemap.validation.pareto import fronts_of
    from fusemap.validation.plots_front import axes_of, front_of, render_front, title_of
    from fusemap.validation.store_layout import layout_of

    layout = layout_of(store)
    axes = {f"--{axis}": name for axis, name in (("x", x), ("y", y), ("z", z)) if name}
    found = fronts_of(layout, axes_of(layout, axes, names(maximize, "--maximize")), where=where, by=names(by, "--by"))
    plot = front_of(found)
    says = [title_of(found), *found.counts.sentences()]
    finish("pareto", target, render_front(plot, suffix, width=_inches(width)), plot, as_json=as_json, says=says)


@command.command("heatmap", short_help="A result over two parameters, the best of all other ones.")
@options
@click.option("--x", metavar="COLUMN", required=True, help="The parameter to the right.")
@click.option("--y", metavar="COLUMN", required=True, help="The parameter upwards.")
@click.option("--z", metavar="COLUMN", default="latency_s", show_default=True, help="The result.")
@click.option(
    "--take", type=click.Choice(("least", "greatest", "mean")), help="Of the rows of a cell.  [default: best]"
)
def heatmap_command(
    store: str, target: str, where: tuple[str, ...], width: str, as_json: bool, x: str, y: str, z: str, take: Any
) -> None:
    """Draw a result over two parameters; a cell shows the best of all rows with these two values.

    \b
    Example:
      fusemap plot heatmap results.sqlite --x pe --y dram.bandwidth --z latency --out map.png
      fusemap plot heatmap results.sqlite --x pe --y length --z utilization.array_2d --take mean --out map.pdf
    """
    suffix = suffix_of(target, PICTURES)
    from fusemap.validation.plots_heatmap import heat_map, render_heat_map

    plot = heat_map(store, x=x, y=y, z=z, where=where, take=take)
    says = [plot.title(), *plot.counts.sentences()]
    finish("heatmap", target, render_heat_map(plot, suffix, width=_inches(width)), plot, as_json=as_json, says=says)


@command.command("scatter", short_help="Two numbers against each other, a third column as colour.")
@options
@click.option("--x", metavar="COLUMN", default="latency_s", show_default=True, help="To the right.")
@click.option("--y", metavar="COLUMN", default="energy_pj", show_default=True, help="Upwards.")
@click.option("--z", metavar="COLUMN", help="As colour: a number, or a name (cascade).")
def scatter_command(
    store: str, target: str, where: tuple[str, ...], width: str, as_json: bool, x: str, y: str, z: str | None
) -> None:
    """Draw every row of STORE as a point.

    \b
    Example:
      fusemap plot scatter results.sqlite --x area --y latency --z cascade --out all.png
      fusemap plot scatter results.sqlite --x traffic --y latency --z pe --out all.svg
    """
    suffix = suffix_of(target, PICTURES)
    from fusemap.validation.plots_scatter import render_scatter, scatter

    plot = scatter(store, x=x, y=y, z=z, where=where)
    says = [plot.title(), *plot.counts.sentences()]
    finish("scatter", target, render_scatter(plot, suffix, width=_inches(width)), plot, as_json=as_json, says=says)


@command.command("tornado", short_help="How a result changes with each parameter about a base point.")
@options
@click.option("--y", metavar="COLUMN", default="latency_s", show_default=True, help="The result.")
@click.option("--base", metavar="POINT", default="middle", show_default=True, help="A point's number, middle or best.")
def tornado_command(
    store: str, target: str, where: tuple[str, ...], width: str, as_json: bool, y: str, base: str
) -> None:
    """Draw how a result changes when one parameter goes from its lowest to its highest value.

    The other parameters stay as at the base point. All numbers are rows of STORE; nothing is interpolated.

    \b
    Example:
      fusemap plot tornado results.sqlite --y energy --out tornado.png
      fusemap plot tornado results.sqlite --y latency --base best --where 'cascade == attention-1pass' --out t.pdf
    """
    suffix = suffix_of(target, PICTURES)
    from fusemap.validation.plots_tornado import tornado
    from fusemap.validation.plots_tornado_draw import render_tornado

    plot = tornado(store, y=y, base=base, where=where)
    says = [plot.title(), *plot.notes()]
    finish("tornado", target, render_tornado(plot, suffix, width=_inches(width)), plot, as_json=as_json, says=says)


@command.command("traffic", short_help="Off-chip traffic over room on chip, with the proven pass bound.")
@options
def traffic_command(store: str, target: str, where: tuple[str, ...], width: str, as_json: bool) -> None:
    """Draw the off-chip traffic of the rows over what fits on chip, above the bound that no mapping goes below.

    The bound is proven from the passes of each cascade in STORE (see `fusemap export bound`). The rows have to be of
    one workload, length and size. Room is what all memories and register files on chip hold together.

    \b
    Example:
      fusemap plot traffic results.sqlite --where 'length == 65536' --out traffic.png
    """
    suffix = suffix_of(target, PICTURES)
    from fusemap.validation.plots_traffic import traffic
    from fusemap.validation.plots_traffic_draw import render_traffic

    plot = traffic(store, where=where)
    says = [plot.title(), plot.notes()[0], *plot.counts.sentences()]
    finish("traffic", target, render_traffic(plot, suffix, width=_inches(width)), plot, as_json=as_json, says=says)
