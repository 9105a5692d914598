"""`fusemap export`: a cascade in the formats of other programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from fusemap.cli.bound import command as bound_command
from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.main import LazyCommand
from fusemap.cli.output import emit_json
from fusemap.einsum_cascade.catalog import load

if TYPE_CHECKING:
    from fusemap.validation.graph import CascadeGraph
    from fusemap.validation.graph_canvas import Direction

PICTURES = ("svg", "png", "pdf")


@click.group("export", short_help="Write a cascade as LaTeX, NumPy or a graph.")
def command() -> None:
    """Write a cascade in a format of other programs.

    \b
    Example:
      fusemap export latex attention-3pass
      fusemap export graph attention-1pass --out attention-1pass.svg
    """


command.add_command(bound_command)
command.add_command(LazyCommand("teaal", "fusemap.cli.export_teaal:command", "The Einsums as TeAAL's YAML."))
command.add_command(LazyCommand("trace", "fusemap.cli.export_trace:command", "A simulation in time, for Perfetto."))
_ACCELFORGE = "A cascade and a machine for AccelForge."
command.add_command(LazyCommand("accelforge", "fusemap.cli.export_accelforge:command", _ACCELFORGE))
_TIMELOOP = "Einsums, machine and mapping as Timeloop v4 files."
command.add_command(LazyCommand("timeloop", "fusemap.cli.export_timeloop:command", _TIMELOOP))
_ACCELERGY = "A machine's energies and areas as Accelergy's ERT and ART."
command.add_command(LazyCommand("accelergy", "fusemap.cli.export_accelergy:command", _ACCELERGY))


@command.command("latex", short_help="The cascade's equations, as papers print them.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--out", "target", metavar="FILE", help="Write to this file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def latex_command(cascade: str, target: str | None, as_json: bool) -> None:
    """Write CASCADE (a built-in name or a file) as an align* environment, for a document with amsmath.

    The notation is that of EDGE, TeAAL and FuseMax: ranks as subscripts, a sum over ranks that are absent on
    the left implied, any other reduction after `::`.

    \b
    Example:
      fusemap export latex attention-3pass --out attention.tex
    """
    from fusemap.einsum_cascade.latex import latex

    loaded = load(cascade)
    text = latex(loaded)
    _give(f"{text}\n".encode(), target, {"format": "latex", "cascade": loaded.name, "latex": text}, as_json=as_json)


@command.command("numpy", short_help="The cascade as a Python function that needs NumPy alone.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--out", "target", metavar="FILE", help="Write to this file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def numpy_command(cascade: str, target: str | None, as_json: bool) -> None:
    """Write CASCADE (a built-in name or a file) as a Python file with one function of its inputs.

    Iterative ranks are loops with running values, filters are masks, sums of products are np.einsum. Cascades
    that read at coordinates that are data are refused.

    \b
    Example:
      fusemap export numpy attention-1pass --out attention.py
    """
    from fusemap.einsum_cascade.emit.numpy_text import numpy_source

    loaded = load(cascade)
    text = numpy_source(loaded)
    _give(text.encode(), target, {"format": "numpy", "cascade": loaded.name, "numpy": text}, as_json=as_json)


@command.command("graph", short_help="The cascade's Einsums and reads, coloured by pass.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--out", "target", metavar="FILE", help="Draw to a .svg, .png or .pdf file, or write .dot text.")
@click.option("--tensor", metavar="T", help="Show the passes over this tensor.  [default: an input with most passes]")
@click.option("--rank", metavar="R", help="Show the passes over this rank, or part of a rank.")
@click.option("--plain", is_flag=True, help="Show no passes.")
@click.option(
    "--direction",
    type=click.Choice(["right", "down"]),
    default="right",
    show_default=True,
    help="Where data flow to; down fits one column of a paper.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: nodes, edges, barriers.")
def graph_command(
    cascade: str,
    target: str | None,
    tensor: str | None,
    rank: str | None,
    plain: bool,
    direction: Direction,
    as_json: bool,
) -> None:
    """Draw CASCADE (a built-in name or a file): Einsums by pass, reads as edges, barriers as dashed lines.

    Without --out the text of the graph in the DOT language is printed.

    \b
    Example:
      fusemap export graph attention-3pass --out attention-3pass.pdf
      fusemap export graph attention-1pass --tensor BQK --rank M0 --direction down --out tiles.png
    """
    from fusemap.validation.graph import cascade_graph
    from fusemap.validation.graph_passes import graph_of

    suffix = suffix_of(target, (*PICTURES, "dot")) if target else "dot"
    if plain and (tensor or rank):
        raise click.UsageError("--plain shows no passes, so --tensor and --rank have no meaning")
    loaded = load(cascade)
    graph = cascade_graph(loaded) if plain else graph_of(loaded, tensor=tensor, rank=rank)
    _give(_content(graph, suffix, direction), target, graph.to_json(), as_json=as_json)


def _content(graph: CascadeGraph, suffix: str, direction: Direction) -> bytes:
    if suffix in PICTURES:
        from fusemap.validation.graph_draw import render  # matplotlib loads only to draw

        return render(graph, suffix, direction)
    from fusemap.validation.graph_dot import to_dot

    return to_dot(graph).encode()


def _give(content: bytes, target: str | None, document: Mapping[str, object], *, as_json: bool) -> None:
    """The content to its file, else to standard output unless that takes the document."""
    if target is not None:
        write_whole(target, content)
    if as_json:
        emit_json({"schema": "fusemap/export/1", **document})
    elif target is None:
        click.echo(content.decode(), nl=False)
    else:
        click.echo(f"written to {target}", err=True)
