"""`fusemap derive`: cascades with fewer passes, rule by rule, executed against the original."""

from __future__ import annotations

from typing import Any

import click

from fusemap.cli.derive_all import print_all
from fusemap.cli.derive_emit import written
from fusemap.cli.derive_gains import draw, gains_options, gains_page, hardware_of, searched
from fusemap.cli.derive_page import page
from fusemap.cli.output import emit_json
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.derive.search import derive, most_passes


@click.command("derive", short_help="Equivalent cascades with fewer passes, rule by rule.")
@click.argument("cascade", metavar="CASCADE", required=False)
@click.option("--rank", metavar="R", help="The rank to pass over less often; by default the one with most passes.")
@click.option(
    "--show", metavar="NAME", help="Show this candidate instead of the best; the cascade's name can be left out."
)
@click.option("--safe", is_flag=True, help="Corrections that hold where whole chunks are masked.")
@click.option("--out", metavar="FILE", help="Write the candidate that is shown as a cascade file.")
@click.option("--numpy", "numpy_file", metavar="FILE", help="Write it as a NumPy function, a Python file.")
@click.option("--cuda", "cuda_folder", metavar="DIR", help="Write it as a CUDA kernel with what predicts its counts.")
@gains_options
@click.option("--all", "every", is_flag=True, help="Instead of CASCADE: the whole library, every rank.")
@click.option("--markdown", "as_markdown", is_flag=True, help="With --all: the page of the documentation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with all candidates.")
def command(
    cascade: str | None,
    rank: str | None,
    show: str | None,
    safe: bool,
    out: str | None,
    numpy_file: str | None,
    cuda_folder: str | None,
    every: bool,
    as_markdown: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Derive cascades that compute what CASCADE (a built-in name or a file) does in fewer passes over a rank.

    Every candidate is parsed and analysed again, and executed against the original on inputs of several magnitudes.
    The exit code is 1 where none has fewer passes; the reasons are printed. With a machine and a workload the best
    mappings of the original and of candidates are compared instead, as `fusemap map` finds them.

    \b
    Example:
      fusemap derive attention-3pass --rank M
      fusemap derive attention-3pass --show tree-1 --out 2pass.cascade
      fusemap derive attention-3pass --numpy attention.py
      fusemap derive attention-3pass --show hoist-scan-2 --cuda attention
      fusemap derive attention-3pass --arch fusemax-cloud --workload BERT@16K --figure gains.png
      fusemap derive --all
    """
    if every:
        return print_all(as_json=as_json, as_markdown=as_markdown, beside=cascade)
    if cascade is None:
        raise click.UsageError("Missing argument 'CASCADE'.")
    hardware = hardware_of(given)
    loaded = load(cascade)
    found = derive(loaded, rank or most_passes(loaded), safe=safe)
    shown = found.named(show) if show is not None else found.best
    files = written(found, shown, cascade=out, numpy=numpy_file, cuda=cuda_folder)
    mapped = searched(found, hardware) if hardware.asked else None
    if as_json:
        emit_json(found.to_json() | ({"gains": mapped.to_json()} if mapped is not None else {}))
    else:
        click.echo(page(found, shown) if mapped is None else gains_page(found, mapped))
        if files:
            click.echo("\n" + "\n".join(f"wrote {file}" for file in files))
    if mapped is not None:
        draw(mapped, hardware)
    return 0 if found.best is not None else 1
