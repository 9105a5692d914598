"""`fusemap schema`: the JSON schemas of the YAML files that fusemap reads, for editors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import click

from fusemap.archspec import registry
from fusemap.cli.output import emit_json, table

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _dataflow() -> dict[str, Any]:
    """The schema of a dataflow file; it requires nothing at the top, which may come from the file it extends."""
    from fusemap.mappers.dataflow import DataflowModel  # pydantic loads only when a schema is asked for

    schema = DataflowModel.model_json_schema()
    return {"$schema": DIALECT, **{key: value for key, value in schema.items() if key != "required"}}


def _space() -> dict[str, Any]:
    """The schema of a file that narrows the space of mappings."""
    from fusemap.mappers.mapspace.space import MapspaceModel

    return {"$schema": DIALECT, **MapspaceModel.model_json_schema()}


def _sweep() -> dict[str, Any]:
    """The schema of a sweep's file."""
    from fusemap.validation.sweep_model import SweepModel

    return {"$schema": DIALECT, **SweepModel.model_json_schema()}


def _baseline() -> dict[str, Any]:
    """The schema of a baseline of `fusemap regress`."""
    from fusemap.validation.regress_model import BaselineModel

    return {"$schema": DIALECT, **BaselineModel.model_json_schema()}


def _models() -> dict[str, Any]:
    """The schema of a file that names models of hwcomponents."""
    from fusemap.validation.hwcomponents.models import SpecTableModel

    return {"$schema": DIALECT, **SpecTableModel.model_json_schema()}


KINDS: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]] = MappingProxyType(
    {
        "arch": ("an accelerator: memories, arrays, operators", partial(registry.json_schema, "arch")),
        "components": ("energy and area of components", partial(registry.json_schema, "components")),
        "workload": ("the rank sizes of a model", partial(registry.json_schema, "workload")),
        "dataflow": ("loop nests, keep sets and the binding in time", _dataflow),
        "space": ("what a search for a mapping may do", _space),
        "sweep": ("the points of a design space", _sweep),
        "models": ("models of hwcomponents that make a component table", _models),
        "baseline": ("cases whose numbers are recorded and checked", _baseline),
    }
)


@click.command("schema", short_help="Print the JSON schema of a file format.")
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document with the schema (or all) in it.")
def command(kind: str | None, as_json: bool) -> None:
    """Print the JSON schema of a kind of YAML file, for completion and checks in an editor.

    Save it, and name it in the first line of a file for the YAML language server:

    \b
      # yaml-language-server: $schema=arch.schema.json

    \b
    Example:
      fusemap schema arch > arch.schema.json
    """
    if as_json:
        wanted = KINDS if kind is None else {kind: KINDS[kind]}
        emit_json({"schema": "fusemap/schema/1", "schemas": {name: make() for name, (_, make) in wanted.items()}})
    elif kind is None:
        click.echo(table([(name, about) for name, (about, _) in KINDS.items()], ("kind", "describes")))
        click.echo("\nfusemap schema arch > arch.schema.json, then start an arch file with the line")
        click.echo("  # yaml-language-server: $schema=arch.schema.json")
    else:
        click.echo(json.dumps(KINDS[kind][1](), indent=2))
