"""`fusemap report`: one evaluation as a page to read, keep and send: numbers, figures, reasons and sources."""

from __future__ import annotations

import hashlib
from typing import Any

import click

from fusemap.cli.case import case_from, case_options
from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json
from fusemap.diagnostics import input_error


@click.command("report", short_help="One evaluation as a self-contained HTML page.")
@case_options
@click.option("--html", "target", metavar="FILE", help="Write the page to this .html file.  [required]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document: what the page holds.")
def command(target: str | None, as_json: bool, **given: Any) -> None:
    """Write all about CASCADE (a built-in name or a file) on a machine into one page that opens offline.

    Totals and the bottleneck with its reason, every count with its price and source, the passes, four iterations
    in time, the other built-in dataflows, and the command and digests to repeat it.

    \b
    Example:
      fusemap report attention-1pass --arch fusemax-cloud --workload BERT@4K --html report.html
    """
    if target is None:
        raise input_error("--html is missing: into which file?", hint="--html report.html")
    suffix_of(target, ("html", "htm"))
    from fusemap.cli.report_findings import findings
    from fusemap.cli.report_page import html_page
    from fusemap.cli.report_provenance import inputs, repeat, versions

    case = case_from(given)
    found = findings(case)
    content = html_page(found, target).encode()
    write_whole(target, content)
    if not as_json:
        click.echo(f"wrote {target}: {len(content):,} bytes, no other file needed")
        return
    emit_json(
        {
            "schema": "fusemap/report/1",
            "html": target,
            "sha256": hashlib.sha256(content).hexdigest(),
            "command": repeat(case, target),
            "versions": versions(),
            "inputs": inputs(case, found.report.dataflow),
            "comparison": [rival.to_json() for rival in found.rivals],
            "evaluation": found.report.to_json(),
        }
    )
