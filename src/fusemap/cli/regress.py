"""`fusemap regress`: numbers recorded in a baseline, checked in continuous integration."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json
from fusemap.cli.regress_formats import ENDINGS, FORMATS
from fusemap.cli.regress_words import recording
from fusemap.diagnostics import input_error
from fusemap.validation.regress import (
    cases_of,
    check_tolerance,
    held,
    recorded_anew,
    regress,
)
from fusemap.validation.regress_cases import evaluate_cases
from fusemap.validation.regress_file import Baseline, baseline_text, load_baseline, parse_baseline
from fusemap.validation.regress_text import scalar

_TOLERANCE = click.option(
    "--tolerance",
    type=float,
    metavar="SHARE",
    help="Of what is recorded, where the file names no tolerance for a metric.  [default: 1e-6]",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_BASELINE = click.argument("baseline", metavar="BASELINE")


@click.group("regress", short_help="Record numbers in a baseline, and check that none moved.")
def command() -> None:
    """Hold latency, energy, area, traffic and utilization of some cases against a baseline, a YAML file.

    The file has the cases, and below them what `record` wrote. docs/regression.md has a workflow for GitHub and the
    fixture of pytest.

    \b
    Example:
      fusemap regress record baseline.yaml
      fusemap regress check baseline.yaml
    """


@command.command("check", short_help="Evaluate the cases again and say what moved.")
@_BASELINE
@_TOLERANCE
@click.option("--format", "format_", type=click.Choice(list(FORMATS)), help="What is printed.  [default: text]")
@click.option(
    "--report", "reports", multiple=True, metavar="FILE", help="Write .md, .xml (JUnit), .sarif, .json, .txt."
)
@_JSON
def check(baseline: str, tolerance: float | None, format_: str | None, reports: tuple[str, ...], as_json: bool) -> int:
    """Evaluate the cases of BASELINE again: what moved, by how much, and which component moved it.

    The exit code is 0 where all is as recorded, 1 where something moved, is not recorded or is not asked for any
    more, 2 where a file is wrong.

    \b
    Example:
      fusemap regress check baseline.yaml
      fusemap regress check baseline.yaml --format github --report report.md --report junit.xml
    """
    if as_json and format_ is not None:
        raise input_error("--json is a format too: give it or --format")
    endings = [suffix_of(report, tuple(ENDINGS)) for report in reports]
    found = regress(baseline, tolerance=tolerance)
    for report, ending in zip(reports, endings, strict=True):
        write_whole(report, ENDINGS[ending](found).encode())
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo(FORMATS[format_ or "text"](found).rstrip("\n"))
    return 0 if found.agrees else 1


@command.command("record", short_help="Evaluate the cases and write what they come to.")
@_BASELINE
@click.option("--reason", metavar="TEXT", help="Why numbers moved; required where they did.")
@click.option("--cases", metavar="FILE", help="Begin a baseline whose cases are in this file.")
@_TOLERANCE
@_JSON
def record(baseline: str, reason: str | None, cases: str | None, tolerance: float | None, as_json: bool) -> int:
    """Evaluate the cases of BASELINE and write their numbers below them.

    Numbers within their tolerance stay as they are recorded, so that a review shows what moved and nothing else. Where
    some moved, --reason says why, in the file.

    \b
    Example:
      fusemap regress record baseline.yaml
      fusemap regress record baseline.yaml --reason "DRAM priced as HBM3"
    """
    check_tolerance(tolerance)
    reason = " ".join(reason.split()) if reason is not None else None
    if reason == "":
        raise input_error("--reason is empty: say in a few words why the numbers moved")
    loaded = load_baseline(baseline) if cases is None else _begun(baseline, cases)
    found = evaluate_cases(cases_of(loaded))
    compared = held(loaded, found, tolerance=tolerance)
    written = recorded_anew(loaded, found, compared, reason)
    if written is not None:
        write_whole(baseline, baseline_text(loaded, written).encode())
    if as_json:
        emit_json({**compared.to_json(), "written": written is not None})
    else:
        click.echo(recording(compared, written=written is not None))
    return 0


def _begun(baseline: str, cases: str) -> Baseline:
    """A baseline that is still to be written, whose cases are in another file."""
    if os.path.exists(baseline):
        raise input_error(f"{baseline} is there already, and names its cases itself", hint="leave --cases out")
    if not os.path.isfile(cases):
        raise input_error(f"there is no file {cases} with cases")
    beside = Path(os.path.relpath(cases, Path(baseline).parent)).as_posix()
    return parse_baseline(f"cases: {scalar(beside)}\n", file=baseline)
