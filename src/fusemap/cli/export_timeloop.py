"""`fusemap export timeloop`: the Einsums of a mapping as Timeloop v4 files."""

from __future__ import annotations

import os

import click

from fusemap.cli.files import write_whole
from fusemap.cli.output import emit_json
from fusemap.cli.sizes import parse_sizes


@click.command("timeloop", short_help="Einsums, machine and mapping as Timeloop v4 files.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--arch", required=True, metavar="ARCH", help="The machine: a built-in name or a file.")
@click.option("--workload", required=True, metavar="WORKLOAD", help="Sizes of the ranks, e.g. BERT@1K, or a file.")
@click.option("--dataflow", metavar="NAME", help="The mapping: a built-in name or a file; by default the fastest.")
@click.option("--einsum", "einsums", metavar="E", multiple=True, help="Only this Einsum; may be repeated.")
@click.option("--size", "sizes", metavar="NAME=N", multiple=True, help="Set a rank or tile; may be repeated.")
@click.option("--mapper", is_flag=True, help="Also write constraints and settings for timeloop-mapper.")
@click.option("--out", "target", metavar="DIR", help="Write a folder per Einsum there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: all texts, and notes.")
def command(
    cascade: str,
    arch: str,
    workload: str,
    dataflow: str | None,
    einsums: tuple[str, ...],
    sizes: tuple[str, ...],
    mapper: bool,
    target: str | None,
    as_json: bool,
) -> None:
    """Write each Einsum of CASCADE with its machine and mapping: problem, architecture, energy, mapping.

    Energies stand in the files as fusemap's component table has them, so that Timeloop asks no estimator. What
    Timeloop takes otherwise is a comment in the files; what its format has no words for is refused.

    \b
    Example:
      fusemap export timeloop attention-1pass --arch fusemax-cloud --workload BERT@1K --out files
    """
    from fusemap.archspec.archs import load_arch
    from fusemap.archspec.workloads import load_workload
    from fusemap.einsum_cascade.catalog import load
    from fusemap.mappers.dataflow import load_dataflow
    from fusemap.validation.timeloop.export import export_einsums

    found = export_einsums(
        load(cascade),
        load_arch(arch),
        load_workload(workload),
        load_dataflow(dataflow) if dataflow else None,
        einsums=einsums,
        sizes=parse_sizes(sizes),
        mapper=mapper,
    )
    if target is not None:
        for einsum in found.einsums:
            os.makedirs(os.path.join(target, einsum.folder), exist_ok=True)
            for name, text in einsum.files.items():
                write_whole(os.path.join(target, einsum.folder, name), text.encode())
    if as_json:
        emit_json(found.to_json())
        return
    for einsum in found.einsums:
        for note in einsum.notes:
            click.echo(f"{einsum.einsum}: {note}", err=True)
    if target is None:
        texts = [text for einsum in found.einsums for text in einsum.files.values()]
        click.echo("---\n".join(texts), nl=False)
    else:
        listed = ", ".join(einsum.folder for einsum in found.einsums)
        click.echo(f"written to {target}: {listed}")
