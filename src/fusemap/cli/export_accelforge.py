"""`fusemap export accelforge`: a cascade with sizes and a machine as files that AccelForge loads."""

from __future__ import annotations

import os

import click

from fusemap.cli.files import write_whole
from fusemap.cli.output import emit_json
from fusemap.cli.sizes import parse_sizes

FILES = ("workload.yaml", "arch.yaml")


@click.command("accelforge", short_help="A cascade and a machine for AccelForge.")
@click.argument("cascade", metavar="CASCADE")
@click.option("--arch", required=True, metavar="ARCH", help="The machine: a built-in name or a file.")
@click.option("--workload", required=True, metavar="WORKLOAD", help="Sizes of the ranks, e.g. BERT@1K, or a file.")
@click.option("--size", "sizes", metavar="NAME=N", multiple=True, help="Replace or add a size; may be repeated.")
@click.option("--out", "target", metavar="DIR", help="Write workload.yaml and arch.yaml there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: both texts, and what was left out.")
def command(cascade: str, arch: str, workload: str, sizes: tuple[str, ...], target: str | None, as_json: bool) -> None:
    """Write CASCADE under WORKLOAD, and ARCH, in the formats of AccelForge 1.0.467.

    A machine keeps its capacities, bandwidths, dimensions and energies. Of an Einsum AccelForge knows which ranks index
    which tensors; its operators are only in the name of the unit that has their cycles and energy. What is left out
    is listed. Recurrences, lookups and indices that are no sums of rank variables are refused.

    \b
    Example:
      fusemap export accelforge attention-3pass --arch flat-cloud --workload BERT@1K --out peer
    """
    from fusemap.archspec.archs import load_arch
    from fusemap.archspec.workloads import load_workload
    from fusemap.einsum_cascade.catalog import load
    from fusemap.validation.accelforge.machine import peer_architecture
    from fusemap.validation.accelforge.workload import peer_workload

    machine = load_arch(arch)
    peer = peer_workload(load(cascade), load_workload(workload), parse_sizes(sizes), machine.word_bytes)
    texts = dict(zip(FILES, (peer.to_yaml(), peer_architecture(machine, peer)), strict=True))
    if target is not None:
        os.makedirs(target, exist_ok=True)
        for name, text in texts.items():
            write_whole(os.path.join(target, name), text.encode())
    if as_json:
        found = {"format": "accelforge", "cascade": peer.cascade, "left_out": list(peer.notes), "files": texts}
        emit_json({"schema": "fusemap/export/1", **found})
        return
    if target is None:
        click.echo("---\n".join(texts.values()), nl=False)
        return
    for note in peer.notes:
        click.echo(f"left out: {note}")
    click.echo(f"wrote {', '.join(os.path.join(target, name) for name in FILES)}")
