"""`fusemap import onnx`: a graph of matrix products, softmax and normalizations as a cascade."""

from __future__ import annotations

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json


@click.command("onnx", short_help="An ONNX graph of attention and its surroundings as a cascade.")
@click.argument("file", metavar="FILE.onnx")
@click.option("--out", "target", metavar="FILE", help="Write to this .cascade file instead of standard output.")
@click.option(
    "--rank",
    "ranks",
    metavar="OLD=NEW",
    multiple=True,
    help="Call a rank otherwise and leave its size open, as in D1024=M; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(file: str, target: str | None, ranks: tuple[str, ...], as_json: bool) -> None:
    """Write the cascade that an ONNX model computes, for `fusemap analyze`, `run` and `export`.

    Supported are matrix products, softmax, normalizations, reductions, elementwise operators, transposes, and
    reshapes that cut or join heads. Weights are inputs; extents that the model names stay open. What is not
    supported is refused with the node's number, name and operator. Needs the package onnx: fusemap[onnx].

    \b
    Example:
      fusemap import onnx attention.onnx --rank D1024=M --out attention.cascade
    """
    if target is not None:
        suffix_of(target, ("cascade",))
    from fusemap.validation.onnx_graph.importer import import_onnx

    found = import_onnx(file, ranks=_pairs(ranks))
    if target is not None:
        write_whole(target, found.text.encode())
    if as_json:
        emit_json(found.to_json())
    elif target is None:
        click.echo(found.text, nl=False)
    else:
        for note in found.notes:
            click.echo(str(note), err=True)
        count = len(found.cascade.einsums)
        click.echo(f"{target}: cascade {found.cascade.name}, {count} Einsum{'s' if count != 1 else ''}")


def _pairs(ranks: tuple[str, ...]) -> dict[str, str]:
    """OLD=NEW as a mapping."""
    found: dict[str, str] = {}
    for text in ranks:
        old, equals, new = text.partition("=")
        if not (old and equals and new) or old in found:
            raise click.UsageError(f"--rank takes OLD=NEW, each OLD once, found {text}")
        found[old] = new
    return found
