"""`fusemap validate accelforge`: our counts, times and energies against AccelForge's."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import click

from fusemap.cli.output import table
from fusemap.cli.validate_outcome import conclude
from fusemap.diagnostics import input_error
from fusemap.validation.accelforge.check import AccelForgeCheck, check_accelforge
from fusemap.validation.accelforge.compare import CAUSES, TOLERANCE
from fusemap.validation.accelforge.peer import VARIABLE, named_python

if TYPE_CHECKING:
    from fusemap.validation.accelforge.minimal import Minimal

WIDTH = 100


@click.command("accelforge", short_help="Counts, times and searches against AccelForge's.")
@click.option("--python", metavar="PATH", help=f"An interpreter that has AccelForge.  [default: ${VARIABLE}]")
@click.option("--record", metavar="FILE", help="Write its answers to this file.")
@click.option("--recording", metavar="FILE", default="", help="Read the answers from this file, run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(python: str | None, record: str | None, recording: str, as_json: bool) -> int:
    """Hold single Einsums on given nests, searches, and statements about its model against AccelForge.

    AccelForge runs where --python or FUSEMAP_ACCELFORGE_PYTHON names an interpreter that has it; else its recorded
    answers are read. Every difference has a cause that is listed; one without a cause makes the exit code 1.

    \b
    Example:
      fusemap validate accelforge
      fusemap validate accelforge --python forge/bin/python --record answers.json
    """
    if recording and (python or record):
        raise input_error("--recording reads answers; --python and --record make them")
    named = None if recording else named_python(python)
    if record is not None and named is None:
        raise input_error("--record needs an interpreter that has AccelForge", hint=f"--python PATH or {VARIABLE}")
    if named is not None and sys.stderr.isatty():
        click.echo("AccelForge is asked, which takes a minute or more", err=True)
    found = check_accelforge(named, record=record, recording=recording)
    return conclude({"accelforge": found}, accelforge_page(found), as_json=as_json, written=record)


def accelforge_page(found: AccelForgeCheck) -> list[str]:
    """Counts by level, searches, the minimal case, statements, causes, verdict."""
    origin = f"recorded answers, {found.recording}" if found.recording else f"run now, Python {found.python}"
    head = f"{found.peer} ({origin}): {found.nests} Einsums on given nests"
    return [
        head,
        _counts(found),
        _searches(found),
        minimal_page(found.minimal, found.peer),
        _claims(found),
        _end(found),
    ]


def _counts(found: AccelForgeCheck) -> str:
    """How many quantities are equal, equal with a cause, or different."""
    kinds: dict[str, list[int]] = {}
    for row in found.counts:
        level, _, rest = row.quantity.partition(" ")
        kind = f"{'registers' if level.endswith('registers') else level} {rest.split(' ')[0]}".strip()
        tally = kinds.setdefault(kind, [0, 0, 0])
        tally[2 if not row.agrees else 1 if row.cause else 0] += 1
    cells = [[kind, *(str(n) for n in tally)] for kind, tally in sorted(kinds.items())]
    return table(cells, ["quantity", "equal", "equal with drain", "unexplained"], "lrrr", width=WIDTH)


def _searches(found: AccelForgeCheck) -> str:
    headers = ["least words to memory", "fusemap", "AccelForge", "bound", "cause", ""]
    cells = [
        [
            row.case,
            f"{row.ours_words:,.0f}",
            f"{row.theirs_words:,.0f}",
            f"{row.bound_words:,.0f}",
            row.cause or ("-" if row.agrees else "none"),
            "" if row.agrees else "!",
        ]
        for row in found.searches
    ]
    return table(cells, headers, "lrrrll", width=WIDTH)


def minimal_page(found: Minimal, peer: str) -> str:
    """The smallest barrier side by side."""
    cells = [
        [f"{peer}: its search", f"{found.claimed_words:,.0f}", f"{found.claimed_values:g}"],
        [f"proven bound, {found.on_chip_values} values on chip", f"{found.bound_words:,.0f}", ""],
        ["fusemap map", f"{found.found_words:,.0f}", ""],
        ["the same, executed word by word", f"{found.executed_words:,}", f"{found.executed_values}"],
        [f"{peer}'s mapping, executed", f"{found.missing_words} words are gone", ""],
    ]
    title = "B = 2 A, S = sum of B, C = B S; 64 x 2 values, a buffer of 16"
    faults = "\n".join(textwrap.fill(f"  {fault}", WIDTH, subsequent_indent="  ") for fault in found.faults)
    return f"{table(cells, [title, 'words to memory', 'values kept'], 'lrr', width=WIDTH)}\n{faults}"


def _claims(found: AccelForgeCheck) -> str:
    lines = [f"of {found.peer}:"]
    for claim in found.claims:
        lines.append(f"  {'true ' if claim.holds else 'FALSE'}  {claim.statement}")
        lines.append(textwrap.fill(claim.shown, WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9))
    return "\n".join(lines)


def _end(found: AccelForgeCheck) -> str:
    used = {row.cause for row in found.counts} | {row.cause for row in found.searches}
    causes = [
        textwrap.fill(f"{name}: {text}", WIDTH, subsequent_indent="  ") for name, text in CAUSES.items() if name in used
    ]
    wrong = [f"  {r.case}: {r.quantity} is {r.theirs:g}, not {r.expected:g}" for r in found.counts if not r.agrees]
    wrong += [f"  {row.case}: {row.theirs_words:g} words" for row in found.searches if not row.agrees]
    wrong += [f"  {claim.statement}: {claim.shown}" for claim in found.claims if not claim.holds]
    wrong += ["  the minimal case: see above"] if not found.minimal.agrees else []
    wrong += [f"  {case}: {error}" for case, error in found.errors]
    verdict = (
        f"{len(found.counts)} quantities (to {TOLERANCE:g}) and {len(found.searches)} searches agree or have a cause"
    )
    if wrong:
        verdict = "\n".join([f"{len(wrong)} differences without a cause", *wrong])
    return "\n".join([*causes, "", verdict])
