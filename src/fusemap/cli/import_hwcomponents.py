"""`fusemap import hwcomponents`: a component table made of hwcomponents' models."""

from __future__ import annotations

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json


@click.command("hwcomponents", short_help="Models of hwcomponents and its CACTI as a component table.")
@click.argument("spec", metavar="SPEC.yaml")
@click.option("--python", metavar="PYTHON", help="A Python >= 3.12 that has hwcomponents.")
@click.option("--out", "target", metavar="FILE", help="Write to this .yaml file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(spec: str, python: str | None, target: str | None, as_json: bool) -> None:
    """Write the component table of the models that SPEC names, for the `table:` of a machine.

    Every number says the model, its version and its technology. A model of another technology is refused unless SPEC
    states the factors and their source. FUSEMAP_HWCOMPONENTS_PYTHON names a Python as well.

    \b
    Example:
      fusemap import hwcomponents models.yaml --python hw/bin/python --out components.yaml
    """
    if target is not None:
        suffix_of(target, ("yaml", "yml"))
    from fusemap.validation.hwcomponents.importer import import_hwcomponents

    table = import_hwcomponents(spec, python=python)
    if target is not None:
        write_whole(target, table.text.encode())
    if as_json:
        emit_json(table.to_json())
        return
    for note in table.notes:
        click.echo(f"note: {note}", err=True)
    if target is None:
        click.echo(table.text, nl=False)
    else:
        click.echo(f"{len(table.components)} components written to {target}")
