"""`fusemap import accelergy`: Accelergy's ERT and ART as a component table."""

from __future__ import annotations

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json
from fusemap.diagnostics import input_error


@click.command("accelergy", short_help="Accelergy's ERT and ART as a component table.")
@click.argument("files", metavar="FILE.yaml...", nargs=-1, required=True)
@click.option("--out", "target", metavar="FILE", help="Write to this .yaml file instead of standard output.")
@click.option(
    "--technology",
    "technologies",
    metavar="[NAME=]NODE",
    multiple=True,
    help="The technology, 45nm, or that of one component: DRAM=none where it is not on the chip.",
)
@click.option(
    "--rename", "renamed", metavar="NAME=NEW", multiple=True, help="DRAM=hbm2, or an action, mac.compute=mac."
)
@click.option(
    "--size",
    "sizes",
    metavar="NAME[=16MiB_4096]",
    multiple=True,
    help="A memory whose numbers hold for one size, which the flattened architecture has too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    files: tuple[str, ...],
    target: str | None,
    technologies: tuple[str, ...],
    renamed: tuple[str, ...],
    sizes: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write the component table that Accelergy's files make, for the `table:` of a machine.

    FILEs are ERT.yaml, ART.yaml, and if you have them ERT_summary.yaml, ART_summary.yaml (the estimators) and
    flattened_architecture.yaml (technology and sizes), in any order. Energies that depend on data or addresses and
    expressions are refused with their line.

    \b
    Example:
      fusemap import accelergy ERT.yaml ART.yaml --technology 45nm --technology DRAM=none --out components.yaml
    """
    if target is not None:
        suffix_of(target, ("yaml", "yml"))
    from fusemap.archspec.accelergy.table import import_accelergy

    common = [text for text in technologies if "=" not in text]
    if len(common) > 1:
        raise input_error(f"several technologies of all components: {', '.join(common)}")
    found = import_accelergy(
        files,
        technology=common[0] if common else "",
        technologies=_pairs("--technology", [text for text in technologies if "=" in text]),
        rename=_pairs("--rename", renamed),
        sizes=_pairs("--size", [text if "=" in text else f"{text}=" for text in sizes], empty=True),
    )
    if target is not None:
        write_whole(target, found.text.encode())
    if as_json:
        emit_json(found.to_json())
        return
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    if target is None:
        click.echo(found.text, nl=False)
    else:
        click.echo(f"{len(found.components)} components written to {target}")


def _pairs(option: str, texts: tuple[str, ...] | list[str], *, empty: bool = False) -> dict[str, str]:
    """NAME=VALUE texts as a mapping."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not (value or empty):
            raise input_error(f'{option} takes NAME=VALUE, found "{text[:60]}"')
        if name in pairs:
            raise input_error(f"{option} is given twice for {name}")
        pairs[name] = value
    return pairs
