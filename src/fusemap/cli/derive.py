"""`fusemap derive`: cascades with fewer passes, rule by rule, executed against the original."""

from __future__ import annotations

import click

from fusemap.cli.derive_emit import written
from fusemap.cli.derive_page import page
from fusemap.cli.output import emit_json
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.derive.search import derive, most_passes


@click.command("derive", short_help="Equivalent cascades with fewer passes, rule by rule.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--rank", metavar="R", help="The rank to pass over less often; by default the one with most passes.")
@click.option(
    "--show", metavar="NAME", help="Show this candidate instead of the best; the cascade's name can be left out."
)
@click.option("--safe", is_flag=True, help="Corrections that hold where whole chunks are masked.")
@click.option("--out", metavar="FILE", help="Write the candidate that is shown as a cascade file.")
@click.option("--numpy", "numpy_file", metavar="FILE", help="Write it as a NumPy function, a Python file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with all candidates.")
def command(
    cascade: str,
    rank: str | None,
    show: str | None,
    safe: bool,
    out: str | None,
    numpy_file: str | None,
    as_json: bool,
) -> int:
    """Derive cascades that compute what CASCADE (a built-in name or a file) does in fewer passes over a rank.

    Every candidate is parsed and analysed again, and executed against the original on inputs of several magnitudes.
    The exit code is 1 where none has fewer passes; the reasons are printed.

    \b
    Example:
      fusemap derive attention-3pass --rank M
      fusemap derive attention-3pass --show tree-1 --out 2pass.cascade
      fusemap derive attention-3pass --numpy attention.py
    """
    loaded = load(cascade)
    found = derive(loaded, rank or most_passes(loaded), safe=safe)
    shown = found.named(show) if show is not None else found.best
    files = written(found, shown, cascade=out, numpy=numpy_file)
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo(page(found, shown))
        if files:
            click.echo("\n" + "\n".join(f"wrote {file}" for file in files))
    return 0 if found.best is not None else 1
