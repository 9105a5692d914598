"""`fusemap evaluate model`: all layers of a model, for a prompt or one decoding step."""

from __future__ import annotations

import sys
import textwrap

import click

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.cli.case import Case
from fusemap.cli.output import table
from fusemap.cli.quantities import binary, joules, number, percent, si
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import Diagnostic, InputError
from fusemap.validation.accounting import NAMES
from fusemap.validation.inference import Inference, LayerRow, Total, inference
from fusemap.validation.inference_types import Experts

MODEL = "model"
WIDTH = 100


def model_of(case: Case, *, no_energy: bool = False) -> Inference:
    """The inference that the case asks for; InputError for an option that does not go with a whole model."""
    refused = {
        "--dataflow": case.dataflow,
        "--accounting": case.accounting != NAMES[0],
        "--without": case.without,
        "--no-energy": no_energy,
    }
    wrong = [
        Diagnostic(message=f"{name} does not go with `evaluate model`") for name, given in refused.items() if given
    ]
    if not case.arch:
        wrong.append(Diagnostic(message="--arch is missing: on which machine?"))
    if not case.workload:
        wrong.append(Diagnostic(message="--workload is missing: which model?", hint="for example Llama-3-8B-decode@4K"))
    if wrong:
        raise InputError(tuple(wrong))
    sizes = parse_sizes(case.sizes)
    return inference(load_workload(case.workload or ""), load_arch(case.arch or ""), sizes=sizes, watch=_watched)


def _watched(layer: str) -> None:
    """The layer that is mapped now, for those who sit before a terminal."""
    if sys.stderr.isatty():
        click.echo(f"mapping {layer}", err=True)


def model_text(found: Inference) -> str:
    """The table of layers and the totals, for people."""
    notes = [
        f"{found.block[:1].upper()}{found.block[1:]}.",
        "A layer's latency, energy and traffic are of one of its times, in the fastest mapping that was found of the "
        "fastest of its cascades. Traffic is beside what any mapping moves, inputs and outputs once. Left out: "
        "normalization, rotation, products of gates, residual sums.",
    ]
    if found.tokens > found.sequences and found.causal:
        notes.append("The causal mask is not exploited: attention's work is an upper bound, by up to two.")
    notes += experts_note(found.experts)
    notes += [
        f"{row.layer}: {o.cascade} instead of {row.cascade} {_instead(o.latency_s, row)}"
        for row in found.rows
        for o in row.others
    ]
    paragraphs = "\n".join(textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes)
    return "\n\n".join([_heading(found), _layers(found), _totals(found), paragraphs])


def experts_note(experts: Experts | None) -> list[str]:
    """How many experts the tokens reach, and by which rule."""
    if experts is None:
        return []
    return [
        f"Experts: {counted(experts.tokens, 'token')} with {experts.chosen} of {experts.routed} each reach "
        f"{experts.touched} ({experts.rule}); uniform routing is expected to reach {experts.expected:.1f}."
    ]


def _instead(latency_s: float | None, row: LayerRow) -> str:
    if latency_s is None:
        return "does not fit"
    slower = latency_s / row.latency_s - 1
    return f"takes {si(latency_s, 's')}, {percent(slower)} more" if slower else "takes as long"


def _heading(found: Inference) -> str:
    per_token = binary(found.cache_bytes_per_token)
    lines = [
        f"{found.workload} on {found.arch}: {found.phase}, {counted(found.sequences, 'sequence')}, "
        f"{counted(found.tokens, 'token')}",
        f"{number(found.parameters)} parameters; cache {per_token} a token, {binary(found.cache_bytes)} in all",
        f"{found.tokens_per_s:,.4g} tokens/s, limited by {found.bottleneck}",
    ]
    return "\n".join(lines)


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def _layers(found: Inference) -> str:
    rows = [
        [
            row.layer,
            number(row.times),
            si(row.latency_s, "s"),
            "-" if row.energy_pj is None else joules(row.energy_pj),
            binary(row.report.traffic_bytes),
            f"{row.report.traffic_bytes / row.least_bytes:.2f}x",
            f"{row.flops_per_byte:.3g}",
            percent(max(row.report.utilization.values())),
            row.report.bottleneck,
        ]
        for row in found.rows
    ]
    headers = ["layer", "times", "latency", "energy", "traffic", "of least", "FLOP/B", "array used", "limited by"]
    return table(rows, headers, "lrrrrrrrl", width=WIDTH)


def _totals(found: Inference) -> str:
    same = "block" if len({row.times % found.blocks for row in found.rows if row.in_blocks}) == 1 else "mean block"
    rows = [_total(same, found.per_block), _total("all layers", found.total)]
    headers = ["", "latency", "on arrays", "on memory", "energy", "traffic", "of least", "FLOP/B"]
    return table(rows, headers, "lrrrrrrr", width=WIDTH)


def _total(name: str, total: Total) -> list[str]:
    return [
        name,
        si(total.latency_s, "s"),
        si(total.compute_s, "s"),
        si(total.memory_s, "s"),
        "-" if total.energy_pj is None else joules(total.energy_pj),
        binary(total.traffic_bytes),
        f"{total.traffic_bytes / total.least_bytes:.2f}x",
        f"{total.flops_per_byte:.3g}",
    ]
