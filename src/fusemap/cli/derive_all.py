"""`fusemap derive --all`: every cascade of the library, what the rules make of it, or why they do nothing."""

from __future__ import annotations

import sys

import click

from fusemap.cli.output import emit_json
from fusemap.cli.reproduce import as_table, wrapped
from fusemap.diagnostics import input_error
from fusemap.validation.derive_study import Study, study
from fusemap.validation.derive_study_page import WHY, markdown, others_table, reduced_table, summary
from fusemap.validation.tables import Table


def print_all(*, as_json: bool, as_markdown: bool, beside: str | None) -> int:
    """Derive everything and print it; a terminal shows how far it is. InputError: options that exclude each other."""
    if beside is not None:
        raise input_error(f"--all is the whole library, and {beside} is one cascade", hint="leave one of them out")
    if as_json and as_markdown:
        raise input_error("--json and --markdown exclude each other")
    found = study(progress=_shown if sys.stderr.isatty() else lambda text: None)
    if sys.stderr.isatty():
        _shown("")
    if as_json:
        emit_json(found.to_json())
    elif as_markdown:
        click.echo(markdown(found), nl=False)
    else:
        click.echo(report(found))
    return 0


def _shown(text: str) -> None:
    click.echo(f"\r{text.ljust(79)[:79]}\r", err=True, nl=False)


def report(found: Study) -> str:
    """The tables for people, and how long it took."""
    slowest = found.slowest
    times = (
        f"{sum(row.seconds for row in found.rows):.0f} s of the processor; the slowest is {slowest.cascade} over "
        f"{slowest.rank}, {slowest.seconds:.1f} s"
    )
    reduced = reduced_table(found)
    short = Table(headers=reduced.headers[:-1], align=reduced.align[:-1], rows=tuple(row[:-1] for row in reduced.rows))
    left = [f"{row.cascade} keeps {row.after} over {row.rank}: {row.reasons[-1]}" for row in found.of("fewer")]
    counts = [f"{len(found.of(kind))} ranks are left: {why}" for kind, why in WHY.items() if found.of(kind)]
    others = as_table(others_table(found))
    return "\n\n".join([wrapped([summary(found)]), as_table(short), wrapped(left), wrapped(counts), others, times])
