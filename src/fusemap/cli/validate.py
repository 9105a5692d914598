"""`fusemap validate`: checks of the models against each other, published numbers, executed kernels and peers."""

from __future__ import annotations

import click

from fusemap.cli.main import LazyCommand


@click.group("validate", short_help="Check simulators, published numbers, executed kernels and peer tools.")
def command() -> None:
    """Hold fusemap's numbers against something that is not fusemap's formula.

    \b
    Example:
      fusemap validate published
      fusemap validate cuda --kernel 3pass --size P=64 --size M=256
    """


CHECKS = {
    "functional": "Cascades executed: direct against streaming, and as NumPy functions.",
    "simulators": "Formula, tile events and every processing element against each other.",
    "published": "The values of the FuseMax study.",
    "components": "The shipped component table beside hwcomponents and its CACTI.",
    "cuda": "Attention kernels, executed, against what cascade and mapping predict.",
    "accelforge": "Counts, times and searches against AccelForge's.",
    "timeloop": "Counts, cycles and energies against Timeloop's.",
    "all": "Every check, with what the package has recorded.",
}
for name, summary in CHECKS.items():
    command.add_command(LazyCommand(name, f"fusemap.cli.validate_{name}:command", summary))
