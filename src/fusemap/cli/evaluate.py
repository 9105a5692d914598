"""`fusemap evaluate`: latency, energy, area, traffic and utilization of a cascade on an accelerator."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from fusemap.cli.case import Case, case_from, case_options, evaluated, timed
from fusemap.cli.evaluate_model import MODEL, model_of, model_text
from fusemap.cli.output import emit_json, table
from fusemap.cli.quantities import area, binary, joules, number, part_of, percent, si
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.sim.report import Report, Timing

WIDTH = 100


@click.command("evaluate", short_help="Cycles, energy and traffic of a cascade on an accelerator.")
@case_options
@click.option("--no-energy", is_flag=True, help="Leave energy and area out: no price need be known.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with a row per action.")
def command(no_energy: bool, as_json: bool, **given: Any) -> None:
    """Evaluate CASCADE (a built-in name or a file) on a machine, in closed form.

    Without --dataflow the fastest built-in one is taken that is meant for the cascade and legal on the
    machine; where none is, the fastest of the others, which includes mapping every Einsum by search.

    With `model` for CASCADE every layer of the workload's model is evaluated in its fastest mapping: attention,
    linear layers, the vocabulary; for a prompt, or one decoding step (Llama-3-8B-decode).

    \b
    Example:
      fusemap evaluate attention-1pass --arch fusemax-cloud --workload BERT@4K
      fusemap evaluate attention-3pass --arch flat-cloud --workload XLM@64K --accounting published
      fusemap evaluate model --arch fusemax-cloud --workload Llama-3-8B-decode@4K
    """
    case = case_from(given)
    if case.cascade == MODEL:
        found = model_of(case, no_energy=no_energy)
        return emit_json(found.to_json()) if as_json else click.echo(model_text(found))
    report = timed(case) if no_energy else _priced(case)
    if as_json:
        emit_json(report.to_json())
    else:
        click.echo(summary(case, report))


def _priced(case: Case) -> Report:
    """The report; where nothing but prices is missing, the error says how to do without."""
    try:
        return evaluated(case).report
    except InputError as error:
        try:
            timed(case)
        except (InputError, DoesNotFit):
            raise error from None
        *others, last = error.diagnostics
        hint = f"{last.hint}; for latency and traffic alone: --no-energy"
        raise InputError((*others, dataclasses.replace(last, hint=hint))) from None


def summary(case: Case, report: Timing) -> str:
    """The evaluation for people; energy and area where the report has them."""
    blocks = [heading(report), _totals(report), _phases(report)]
    if isinstance(report, Report):
        blocks.append(_energy(report))
    blocks += _remarks(report)
    if isinstance(report, Report):
        blocks.append(f"why these numbers: fusemap explain {case.arguments}")
    return "\n\n".join(blocks)


def heading(report: Timing) -> str:
    """What was evaluated: cascade, machine, workload, dataflow and accounting."""
    chosen = f" (chosen: {report.dataflow_choice})" if report.dataflow_choice else ""
    lines = [
        f"{report.cascade} on {report.arch}, {report.workload}",
        f"dataflow {report.dataflow}{chosen}; {report.accounting} accounting",
    ]
    return "\n".join(line for text in lines for line in textwrap.wrap(text, WIDTH, subsequent_indent="  "))


def _totals(report: Timing) -> str:
    cycles = report.latency_s * report.clock_hz
    memory_s = sum(phase.memory_s for phase in report.phases)
    busy = ", ".join(f"{array} {percent(share)}" for array, share in report.utilization.items())
    moved = f"takes the memory {part_of(memory_s, report.latency_s)} of the latency"
    lines = [
        ("latency", si(report.latency_s, "s"), f"{cycles:,.0f} cycles, limited by {report.bottleneck}"),
        ("traffic", binary(report.traffic_bytes), moved),
        ("utilization", "", busy),
    ]
    if isinstance(report, Report):
        power = f"{si(report.energy_pj * 1e-12 / report.latency_s, 'W')} on average"
        lines.insert(1, ("energy", joules(report.energy_pj), power))
        lines.insert(3, ("area", area(report.area_um2), ""))
    return _columns(lines)


def _phases(report: Timing) -> str:
    """A line per phase, and under it one per stage where there are several: times, limits, busy arrays."""
    arrays = list(report.utilization)
    stalls = any(stage.stall_cycles for phase in report.phases for stage in phase.stages)
    rows = []
    for phase in report.phases:
        totals = [sum(dict(stage.busy_cycles).get(array, 0) for stage in phase.stages) for array in arrays]
        stalled = sum(stage.stall_cycles for stage in phase.stages)
        cells = [part_of(phase.latency_s, report.latency_s), si(phase.compute_s, "s"), si(phase.memory_s, "s")]
        busy = _busy(totals, stalled, phase.latency_s * report.clock_hz, stalls)
        rows.append([phase.name, si(phase.latency_s, "s"), *cells, *busy, phase.bottleneck])
        for stage in phase.stages if len(phase.stages) > 1 else ():
            own = [dict(stage.busy_cycles).get(array, 0) for array in arrays]
            busy = _busy(own, stage.stall_cycles, stage.cycles, stalls)
            rows.append([f"  {stage.name}", "", "", si(stage.cycles / report.clock_hz, "s"), "", *busy, ""])
    busy_headers = [*arrays, *(["stall"] if stalls else [])]
    headers = ["phase", "latency", "share", "compute", "memory", *busy_headers, "limited by"]
    return table(rows, headers, "lrrrr" + "r" * len(busy_headers) + "l", width=WIDTH)


def _busy(cycles: list[int], stalled: int, of: float, stalls: bool) -> list[str]:
    """The share of time that each array works, and that everything stalls where anything does."""
    shares = [c / of if of else 0.0 for c in (*cycles, *([stalled] if stalls else []))]
    return [percent(share) if share else "-" for share in shares]


def _energy(report: Report, einsums_shown: int = 3) -> str:
    """Energy by component, with the Einsums that take most of it."""
    by_einsum = report.energy_by("component", "einsum")
    rows = []
    for (component,), energy in report.energy_by("component").items():
        own = ((einsum, e) for (c, einsum), e in by_einsum.items() if c == component)
        largest = ", ".join(f"{einsum} {part_of(e, energy)}" for einsum, e in islice(own, einsums_shown))
        rows.append([component, joules(energy), part_of(energy, report.energy_pj), largest])
    return table(rows, ["component", "energy", "share", "most of it"], "lrrl", width=WIDTH)


def _remarks(report: Timing) -> Iterator[str]:
    """Tile sizes and notes, where there are any."""
    if report.tiles:
        text = ", ".join(f"{name} {value if isinstance(value, str) else number(value)}" for name, value in report.tiles)
        yield textwrap.fill(f"tiles  {text}", WIDTH, subsequent_indent="       ")
    yield from _idle(report)
    if report.notes:
        yield "\n".join(textwrap.fill(f"note: {note}", WIDTH, subsequent_indent="  ") for note in report.notes)


def _idle(report: Timing) -> Iterator[str]:
    """Which Einsums leave half of their array idle or more."""
    groups: dict[tuple[int, int], list[str]] = {}
    for time in report.einsums:
        if time.lanes * 2 <= time.pes:
            groups.setdefault((time.lanes, time.pes), []).append(time.einsum)
    if groups:
        used = [f"{number(lanes)} of {number(pes)} by {', '.join(names)}" for (lanes, pes), names in groups.items()]
        text = f"at most half of the processing elements in use: {'; '.join(used)}"
        yield textwrap.fill(text, WIDTH, subsequent_indent="  ")


def _columns(lines: list[tuple[str, str, str]]) -> str:
    """Name, right-aligned value and remark in columns."""
    names, values = (max(len(line[i]) for line in lines) for i in (0, 1))
    return "\n".join(f"{n.ljust(names)}  {v.rjust(values)}  {remark}".rstrip() for n, v, remark in lines)
