"""`fusemap workload`: workloads from models' configurations, and models by kinds of layers."""

from __future__ import annotations

import click

from fusemap.cli.main import LazyCommand


@click.group("workload", short_help="Models from their configurations, and by kinds of layers.")
def command() -> None:
    """Read a model's configuration as a workload; show a workload's model by kinds of layers.

    \b
    Example:
      fusemap workload from-config config.json --out mine.yaml
      fusemap workload show Qwen3-30B-A3B-decode@4K
    """


command.add_command(
    LazyCommand("from-config", "fusemap.cli.workload_config:command", "A config.json as a workload file.")
)
command.add_command(
    LazyCommand("show", "fusemap.cli.workload_show:command", "Weights, cache, work and cost by kinds of layers.")
)
