"""`fusemap export teaal`: a cascade as the `einsum` section of TeAAL's YAML."""

from __future__ import annotations

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json


@click.command("teaal", short_help="The Einsums as TeAAL's YAML, where its expressions can say them.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--out", "target", metavar="FILE", help="Write to this .yaml file instead of standard output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(cascade: str, target: str | None, as_json: bool) -> None:
    """Write CASCADE (a built-in name or a file) as declaration and expressions of a TeAAL file.

    TeAAL's expressions are sums of products of tensors. A cascade with exp, max, a division, a filter or a
    recurrence is refused with the line that it cannot say.

    \b
    Example:
      fusemap export teaal cascade-1 --out cascade-1.yaml
    """
    if target is not None:
        suffix_of(target, ("yaml", "yml"))
    from fusemap.einsum_cascade.catalog import load
    from fusemap.validation.teaal.exporter import export_teaal

    loaded = load(cascade)
    text = export_teaal(loaded)
    if target is not None:
        write_whole(target, text.encode())
    if as_json:
        emit_json({"schema": "fusemap/export/1", "format": "teaal", "cascade": loaded.name, "teaal": text})
    elif target is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"written to {target}", err=True)
