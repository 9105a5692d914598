"""`fusemap explain`: why a number of `fusemap evaluate` is what it is, down to loop bounds, prices and sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from fusemap.cli.case import case_from, case_options, evaluated
from fusemap.cli.evaluate import heading
from fusemap.cli.explain_overview import OVERVIEWS
from fusemap.cli.explain_text import Sources, derivation_lines, measured, nest_text
from fusemap.cli.output import emit_json
from fusemap.cli.quantities import area, binary, joules, part_of, percent
from fusemap.diagnostics import InputError, input_error
from fusemap.sim.explain import METRICS, Explanation, Part, document, explain
from fusemap.sim.explain_select import Selection, select

DEFAULT = ("latency", "energy")
NESTS_SHOWN = 2


@click.command("explain", short_help="Show where a number comes from.")
@case_options
@click.argument("metric", metavar="[METRIC]", type=click.Choice(METRICS), required=False)
@click.option("--einsum", default="", metavar="NAME", help="Derive the numbers of one Einsum.")
@click.option("--component", default="", metavar="NAME", help="Derive those of a memory, an array or a unit.")
@click.option("--tensor", default="", metavar="NAME", help="Derive those of one tensor.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document with the whole derivation.")
def command(metric: str | None, einsum: str, component: str, tensor: str, as_json: bool, **given: Any) -> None:
    """Say why CASCADE has its latency, energy, traffic, area or utilization (METRIC) on a machine.

    Without METRIC: latency and energy; with --json all. First the biggest contributions; with --einsum, --component or
    --tensor how each of their numbers follows from loop bounds, unit energies and their sources.

    \b
    Example:
      fusemap explain attention-1pass --arch fusemax-cloud --workload BERT@4K latency
      fusemap explain attention-1pass --arch fusemax-cloud --workload BERT@4K energy --einsum BQK
    """
    case = case_from(given)
    explanation = explain(evaluated(case))
    default = METRICS if as_json else DEFAULT
    metrics = (metric,) if metric else default
    selection = Selection(einsum=einsum, component=component, tensor=tensor)
    selected = {m: select(explanation, m, selection) for m in metrics}
    if not any(selected.values()):
        raise _nothing(explanation, metrics, selection)
    if as_json:
        emit_json(_document(explanation, selection, selected))
        return
    if selection.everything:
        blocks = [OVERVIEWS[m](explanation) for m in metrics]
    else:
        blocks = list(_details(explanation, selected))
    click.echo("\n\n".join([heading(explanation.evaluation.report), *blocks]))


def _nothing(explanation: Explanation, metrics: Sequence[str], selection: Selection) -> InputError:
    """What to say when the selection admits no part: what there are parts by."""
    kinds = ("einsum", "component", "tensor")
    asked = " and ".join(f"{kind} {getattr(selection, kind)}" for kind in kinds if getattr(selection, kind))
    hints = []
    for metric in metrics:
        parts = explanation.derivation(metric).parts
        hints.append(f"{metric} has parts by {', '.join(k for k in kinds if any(getattr(p, k) for p in parts))}")
    return input_error(f"no part of {' or '.join(metrics)} is due to {asked}", hint="; ".join(hints))


def _document(
    explanation: Explanation, selection: Selection, selected: Mapping[str, tuple[Part, ...]]
) -> dict[str, object]:
    """The whole metrics, or the terms of the selected parts."""
    if selection.everything:
        return document(explanation, {m: explanation.derivation(m).terms for m in selected})
    return document(explanation, {m: [part.term for part in parts] for m, parts in selected.items()})


def _details(explanation: Explanation, selected: Mapping[str, tuple[Part, ...]]) -> Iterator[str]:
    """The loop nests that are involved, if they are few, and the derivation of every part."""
    evaluation = explanation.evaluation
    einsums = list(dict.fromkeys(part.einsum for parts in selected.values() for part in parts if part.einsum))
    if len(einsums) <= NESTS_SHOWN:
        for einsum in einsums:
            yield nest_text(evaluation.problem.space(einsum), evaluation.mapping.nest(einsum))
    sources = Sources()
    for metric, parts in selected.items():
        whole = sum(term.value for term in explanation.derivation(metric).terms)
        for part in parts:
            yield "\n".join([_title(part, metric, whole), *derivation_lines(part.term, sources)])
    yield str(sources)
    if len(einsums) > NESTS_SHOWN:
        yield "the loop nest: --einsum NAME"


def _title(part: Part, metric: str, whole: float) -> str:
    """A part's name and value, and its share where parts add up to the metric."""
    value, share = part.term.value, part_of(part.term.value, whole)
    if metric == "energy":
        return f"{part.term.name}: {joules(value)}, {share} of all energy"
    if metric == "traffic":
        return f"{part.term.name}: {binary(value)}, {share} of all traffic"
    if metric == "area":
        return f"{part.term.name}: {area(value)}, {share} of the area"
    if metric == "utilization":
        return f"{part.einsum}: {percent(value)} of {part.component}"
    return f"{part.term.name}{f' on {part.component}' if part.einsum else ''}: {measured(value, part.term.unit)}"
