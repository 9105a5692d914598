"""`fusemap import`: files of other programs as cascades, machines and workloads."""

from __future__ import annotations

import click

from fusemap.cli.main import LazyCommand


@click.group("import", short_help="Read a file of another program.")
def command() -> None:
    """Read a file of another program; what cannot be taken over is named with its line.

    \b
    Example:
      fusemap import teaal gemm.yaml --out gemm.cascade
    """


_ACCELERGY = "Accelergy's ERT and ART as a component table."
command.add_command(LazyCommand("accelergy", "fusemap.cli.import_accelergy:command", _ACCELERGY))
command.add_command(LazyCommand("teaal", "fusemap.cli.import_teaal:command", "TeAAL's dense Einsums as a cascade."))
