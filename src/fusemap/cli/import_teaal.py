"""`fusemap import teaal`: the dense Einsums of a TeAAL file as a cascade."""

from __future__ import annotations

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json


@click.command("teaal", short_help="TeAAL's dense Einsums as a cascade.")
@click.argument("file", metavar="FILE.yaml")
@click.option("--out", "target", metavar="FILE", help="Write to this .cascade file instead of standard output.")
@click.option("--partitioned", is_flag=True, help="Write uniform_shape and nway_shape as shapes: M = M1*M0.")
@click.option("--einsum-only", is_flag=True, help="Leave mapping, format, architecture and bindings unread.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(file: str, target: str | None, partitioned: bool, einsum_only: bool, as_json: bool) -> None:
    """Write the cascade that a TeAAL file computes, for `fusemap analyze`, `run`, `map` and all others.

    What the file says and the cascade does not hold (loop order, layout, space) is a note on standard error
    and a comment in the cascade. What is sparse or wrong is refused with its line: take(), uniform_occupancy,
    flatten, compressed formats.

    \b
    Example:
      fusemap import teaal gemm.yaml --out gemm.cascade
    """
    if target is not None:
        suffix_of(target, ("cascade",))
    from fusemap.validation.teaal.importer import import_teaal

    found = import_teaal(file, partitioned=partitioned, einsum_only=einsum_only)
    if target is not None:
        write_whole(target, found.text.encode())
    if as_json:
        emit_json(found.to_json())
        return
    for note in found.notes:
        click.echo(str(note), err=True)
    if target is None:
        click.echo(found.text, nl=False)
    else:
        count = len(found.cascade.einsums)
        click.echo(f"{target}: cascade {found.cascade.name}, {count} Einsum{'s' if count != 1 else ''}")
