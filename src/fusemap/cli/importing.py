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
_HWCOMPONENTS = "Models of hwcomponents and its CACTI as a component table."
command.add_command(LazyCommand("hwcomponents", "fusemap.cli.import_hwcomponents:command", _HWCOMPONENTS))
_ONNX = "An ONNX graph of attention as a cascade."
command.add_command(LazyCommand("onnx", "fusemap.cli.import_onnx:command", _ONNX))
command.add_command(LazyCommand("teaal", "fusemap.cli.import_teaal:command", "TeAAL's dense Einsums as a cascade."))
_TIMELOOP = "A Timeloop v4 design: cascade, machine, workload, dataflow."
command.add_command(LazyCommand("timeloop", "fusemap.cli.import_timeloop:command", _TIMELOOP))
