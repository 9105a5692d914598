"""`fusemap sweep export`: a store's rows as a table for other programs."""

from __future__ import annotations

import click

from fusemap.cli.output import emit_json


@click.command("export", short_help="A store as CSV or parquet.")
@click.argument("store", metavar="STORE")
@click.option("--to", "target", metavar="FILE", required=True, help="A .csv or .parquet file, or a URL (s3://...).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(store: str, target: str, as_json: bool) -> None:
    """Write all rows of STORE to FILE, in the order of the points.

    \b
    Example:
      fusemap sweep export results.sqlite --to results.parquet
    """
    from fusemap.validation.sweep_export import export

    count = export(store, target)
    if as_json:
        emit_json({"schema": "fusemap/sweep-export/1", "store": store, "to": target, "rows": count})
    else:
        click.echo(f"{count:,} rows in {target}")
