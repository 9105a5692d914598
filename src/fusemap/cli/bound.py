"""`fusemap export bound`: the traffic bound of cascades over on-chip room, beside what dataflows move."""

from __future__ import annotations

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json
from fusemap.cli.sizes import parse_sizes

PICTURES = ("png", "pdf", "svg")
ATTENTION = ("attention-3pass", "attention-2pass", "attention-1pass")


@click.command("bound", short_help="The least off-chip traffic over on-chip room, beside that of dataflows.")
@click.option(
    "--cascade",
    "cascades",
    metavar="CASCADE",
    multiple=True,
    help="Bound this cascade alone; may be repeated.  [default: attention of 3, 2 and 1 passes, and dataflows]",
)
@click.option("--workload", metavar="WORKLOAD", default="BERT@64K", show_default=True, help="Sizes of the ranks.")
@click.option("--size", "sizes", metavar="NAME=N", multiple=True, help="Replace or add a size; may be repeated.")
@click.option("--out", "target", metavar="FILE", help="Draw to a .png, .pdf or .svg file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: the points.")
def command(
    cascades: tuple[str, ...], workload: str, sizes: tuple[str, ...], target: str | None, as_json: bool
) -> None:
    """Draw the traffic that no mapping can go below, proven from the passes, over what fits on chip.

    Points are the traffic that built-in dataflows move on machines of 32 x 32 processing elements with buffers
    of 8 KiB to 64 MiB, where they are legal.

    \b
    Example:
      fusemap export bound --size P=32 --out traffic-bound.png
      fusemap export bound --cascade softmax --size N=1K --size K=64K --json
    """
    if target is None and not as_json:
        raise click.UsageError("give --out FILE to draw, --json for the points, or both")
    suffix = suffix_of(target, PICTURES) if target else ""
    given = parse_sizes(sizes)
    from fusemap.archspec.workloads import load_workload
    from fusemap.einsum_cascade.catalog import load
    from fusemap.validation.traffic_figure import bound_data, render_bound  # matplotlib loads only for this

    loaded = [load(name) for name in cascades or ATTENTION]
    data = bound_data(loaded, load_workload(workload), given, compare=not cascades)
    if target is not None:
        write_whole(target, render_bound(data, suffix))
    if as_json:
        emit_json({"schema": "fusemap/export/1", "format": "bound", **data.to_json()})
    else:
        click.echo(f"written to {target}", err=True)
