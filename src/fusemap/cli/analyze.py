"""`fusemap analyze`: how many passes a cascade needs, and why."""

from __future__ import annotations

from collections.abc import Sequence

import click

from fusemap.cli.analyze_page import page
from fusemap.cli.output import emit_json
from fusemap.cli.sizes import parse_sizes
from fusemap.einsum_cascade.analysis import analyze_cascade
from fusemap.einsum_cascade.analysis_sizes import workload_sizes
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.types import Cascade


@click.command("analyze", short_help="Passes that a cascade needs, whatever the mapping, and why.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--tensor", metavar="T", help="Only the passes over this tensor.")
@click.option("--rank", metavar="R", help="Only the passes over this rank, or part of a rank.")
@click.option("--workload", metavar="NAME@LENGTH", help="Take sizes from it: BERT@4K, or a YAML file.")
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="Extent of a shape (4096 or 4K); repeatable.")
@click.option("--loops", metavar="M,P", help="Count live elements in this order of loops, outermost first.")
@click.option("--all", "everything", is_flag=True, help="Print the proof of every tensor and rank.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    cascade: str,
    tensor: str | None,
    rank: str | None,
    workload: str | None,
    sizes: Sequence[str],
    loops: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Count the passes that CASCADE (a built-in name or a file) needs over every tensor along every rank.

    The numbers are proven for any mapping and buffer that does not hold a whole fiber. Sizes are not needed;
    those that are given are fixed, and footprints and operation counts are numbers where they can be.

    \b
    Example:
      fusemap analyze attention-3pass
      fusemap analyze attention-1pass --workload BERT@4K --size M0=256
      fusemap analyze attention-2pass --tensor BQK --rank M0
    """
    loaded = load(cascade)
    order = [name.strip().lower() for name in loops.split(",")] if loops else None
    name, ranks = _ranks(loaded, workload)
    found = analyze_cascade(
        loaded, sizes={**ranks, **parse_sizes(sizes)}, workload=name, tensor=tensor, rank=rank, order=order
    )
    if as_json:
        emit_json(found.to_json())
        return
    click.echo(page(found, everything=everything or tensor is not None or rank is not None))


def _ranks(cascade: Cascade, workload: str | None) -> tuple[str | None, dict[str, int]]:
    """The name of a workload and the sizes it gives."""
    if workload is None:
        return None, {}
    from fusemap.archspec.workloads import load_workload  # with its YAML, only where one is asked for

    found = load_workload(workload)
    return found.name, workload_sizes(cascade, found.sizes, found.name)
