"""`fusemap export accelergy`: a machine's component energies and areas as ERT.yaml and ART.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from fusemap.cli.files import write_whole
from fusemap.cli.output import emit_json


@click.command("accelergy", short_help="A machine's energies and areas as Accelergy's ERT and ART.")
@click.argument("arch", metavar="ARCH")
@click.option("--out", "folder", metavar="DIR", help="Write ERT.yaml and ART.yaml there instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(arch: str, folder: str | None, as_json: bool) -> None:
    """Write the energy (pJ per action) and area (um^2) of each component of ARCH in Accelergy's format 0.4.

    Formulas are evaluated and sizes looked up as the machine uses them. `fusemap import accelergy` reads the files
    back to the same numbers; Timeloop and Accelergy read them as they are.

    \b
    Example:
      fusemap export accelergy fusemax-cloud --out tables
    """
    from fusemap.archspec.accelergy.machine import export_accelergy

    found = export_accelergy(arch)
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, text in found.files:
            write_whole(str(Path(folder) / name), text.encode())
    if as_json:
        emit_json(found.to_json())
    elif folder is None:
        click.echo("".join(text for _, text in found.files), nl=False)
    else:
        click.echo(f"{found.machine} written to {', '.join(str(Path(folder) / name) for name, _ in found.files)}")
