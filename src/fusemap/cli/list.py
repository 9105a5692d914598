"""`fusemap list`: the built-in names, each with a line about it, from the registries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from types import MappingProxyType

import click

from fusemap import einsum_cascade
from fusemap.archspec import registry
from fusemap.cli.output import emit_json, table
from fusemap.mappers import dataflow as dataflows

Described = tuple[tuple[str, str], ...]


def _cascades() -> Described:
    return tuple((name, _first_sentence(einsum_cascade.load(name).text)) for name in einsum_cascade.names())


def _archs() -> Described:
    return _documents("arch")


def _workloads() -> Described:
    return _documents("workload")


def _dataflows() -> Described:
    return tuple((name, dataflows.load_dataflow(name).model.description) for name in dataflows.names())


def _documents(kind: registry.Kind) -> Described:
    return tuple((name, _description(registry.built_in(kind, name).data)) for name in registry.names(kind))


def _description(data: object) -> str:
    return str(data.get("description", "")) if isinstance(data, Mapping) else ""


def _first_sentence(text: str) -> str:
    """The first sentence of the comment that a cascade file starts with.

    >>> _first_sentence("# Softmax with a running\\n# maximum. Cited.\\ncascade x")
    'Softmax with a running maximum.'
    """
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), text.splitlines()))
    return comment.partition(". ")[0].rstrip(".") + "."


KINDS: Mapping[str, Callable[[], Described]] = MappingProxyType(
    {"cascades": _cascades, "archs": _archs, "workloads": _workloads, "dataflows": _dataflows}
)
NOTES: Mapping[str, str] = MappingProxyType({"workloads": "a sequence length follows the name: BERT@4K, BERT@65536"})


@click.command("list", short_help="Name the built-in cascades, archs, workloads and dataflows.")
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(kind: str | None, as_json: bool) -> None:
    """Name the built-in cascades, archs, workloads and dataflows (all, or one kind).

    \b
    Example:
      fusemap list workloads
    """
    found = {name: entries() for name, entries in KINDS.items() if kind in (None, name)}
    if as_json:
        entries = {k: [{"name": n, "summary": s} for n, s in described] for k, described in found.items()}
        emit_json({"schema": "fusemap/list/1", **entries})
        return
    blocks = [table(described, (name, NOTES.get(name, "")), width=100) for name, described in found.items()]
    click.echo("\n\n".join(blocks))
