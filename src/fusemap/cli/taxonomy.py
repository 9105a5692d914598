"""`fusemap taxonomy`: attention algorithms by the passes of their cascades."""

from __future__ import annotations

import click

from fusemap.cli.output import emit_json
from fusemap.cli.reproduce import as_table, wrapped
from fusemap.diagnostics import input_error
from fusemap.validation.taxonomy_rows import Taxonomy, taxonomy
from fusemap.validation.taxonomy_tables import COLUMNS, OPERATIONS, group_table, heading, markdown, operations_table


@click.command("taxonomy", short_help="Sort attention algorithms by their passes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the page of the documentation.")
def command(as_json: bool, as_markdown: bool) -> None:
    """Sort attention algorithms by how often their cascades must pass over the keys.

    \b
    Example:
      fusemap taxonomy --markdown > zoo.md
    """
    if as_json and as_markdown:
        raise input_error("--json and --markdown exclude each other")
    found = taxonomy()
    if as_json:
        emit_json(found.to_json())
    elif as_markdown:
        click.echo(markdown(found), nl=False)
    else:
        click.echo(report(found))


def report(found: Taxonomy) -> str:
    """The groups for people, what the columns say, the operations, and what was left out."""
    groups = [f"{heading(count)}\n\n{as_table(group_table(rows))}" for count, rows in found.groups]
    left_out = [f"- {paper.name}: {paper.reason}" for paper in found.left_out]
    counts = f"{OPERATIONS}\n\n{as_table(operations_table(found))}"
    return "\n\n".join([wrapped([COLUMNS]), *groups, counts, wrapped(["Left out", *left_out])])
