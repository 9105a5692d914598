"""`fusemap audit`: what a published accounting does besides what its text says, and what that changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import click

from fusemap.cli.output import emit_json
from fusemap.cli.reproduce import as_table, wrapped
from fusemap.validation.audit import Audit, Finding, audit
from fusemap.validation.reproduce import load_bench
from fusemap.validation.study import load_study
from fusemap.validation.tables_audit import headline_table, matrix, size_sentence, what_if_sentences


@click.command("audit", short_help="List the known slips of a published accounting.")
@click.argument("study", metavar="STUDY")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(study: str, as_json: bool) -> None:
    """List the known slips in the accounting of STUDY (fusemax), the size of each, and the claims without them.

    \b
    Example:
      fusemap audit fusemax
    """
    found = audit(load_bench(load_study(study)))
    if as_json:
        emit_json(found.to_json())
    else:
        click.echo(report(found))


def report(found: Audit) -> str:
    """The audit for people: corrected claims, claims by slips, each slip, all of them in turn, what-ifs, limits."""
    model = found.study.model
    blocks = [
        wrapped(
            [
                f"{len(found.slips)} known slips in the published accounting of: {model.description}",
                f"source: {model.source}",
            ]
        ),
        as_table(headline_table(found)),
        wrapped(["Claims with one slip corrected, the others left in (. is unchanged)"]),
        *_matrices(found, found.slips),
        *(_slip(found, f) for f in found.slips),
        wrapped(
            ["Claims with the slips corrected one after another; effects do not add up, as a slip may hide another"]
        ),
        *_matrices(found, found.cumulative, in_turn=True),
        wrapped(["What if: not slips, but other readings of the same design"]),
        *_matrices(found, found.what_if),
        *(_what_if(found, f) for f in found.what_if),
        wrapped(["Limits of the study and of this model", *(f"- {limit}" for limit in model.limits)]),
    ]
    return "\n\n".join(blocks)


def _matrices(found: Audit, findings: Sequence[Finding], *, in_turn: bool = False) -> Iterable[str]:
    """Findings by the claims about the attention, and by those end to end."""
    for end_to_end in dict.fromkeys(c.end_to_end for c in found.study.model.claims):
        yield as_table(matrix(found, findings, in_turn=in_turn, end_to_end=end_to_end))


def _slip(found: Audit, finding: Finding) -> str:
    return wrapped([f"{finding.name}: {finding.title}. {finding.what}", *_size(found, finding)])


def _size(found: Audit, finding: Finding) -> Iterable[str]:
    sizes = size_sentence(found, finding.sizes)
    yield (
        f"  Largest change when corrected: {sizes}." if sizes else "  Changes nothing as long as the others are there."
    )


def _what_if(found: Audit, finding: Finding) -> str:
    sentences = [f"  {s}." for s in what_if_sentences(found, finding)]
    return wrapped([f"{finding.name}: {finding.title}. {finding.what}", *sentences])
