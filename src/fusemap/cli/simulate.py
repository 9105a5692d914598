"""`fusemap simulate`: a mapping and its binding run in time, tile by tile or cycle by cycle."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from fusemap import einsum_cascade
from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.cli.case import Case, case_from, case_options, required
from fusemap.cli.files import suffix_of, write_whole
from fusemap.cli.output import emit_json
from fusemap.cli.simulate_page import page, values_text
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.choose import Planned, plan_case
from fusemap.sim.evaluate import time_mapping
from fusemap.sim.simulate import RECORDED, simulate_tiles
from fusemap.sim.simulation import PhaseSimulation, Simulation
from fusemap.sim.tile_types import EFFECTS, WORDS_OF
from fusemap.sim.timeline import Timeline
from fusemap.sim.timeline_window import window
from fusemap.validation.accounting import accounting

if TYPE_CHECKING:
    from fusemap.sim.cycle_run import CycleRun
    from fusemap.sim.cycle_times import Order

_TRACES, _PICTURES = ("json", "gz"), ("png", "pdf", "svg")
_WINDOW = re.compile(r"(\d+):(\d+)")


@click.command("simulate", short_help="Run a mapping and its binding in time; write a timeline.")
@case_options
@click.option("--level", type=click.Choice(["tile", "cycle"]), default="tile", show_default=True, help="Of detail.")
@click.option(
    "--effect",
    "effects",
    multiple=True,
    type=click.Choice([*EFFECTS, "none"]),
    help=f"Simulate only these; repeatable. {'; '.join(f'{e}: {WORDS_OF[e]}' for e in EFFECTS)}.",
)
@click.option("--trace", metavar="FILE", help="Write the beginning as a trace for Perfetto (.json, .json.gz).")
@click.option("--figure", metavar="FILE", help="Draw a stretch of it (.png, .pdf, .svg).")
@click.option("--window", "stretch", metavar="FIRST:LAST", help="Cycles to draw; by default four steady iterations.")
@click.option("--record", type=click.IntRange(min=1), default=RECORDED, show_default=True, help="Iterations to keep.")
@click.option("--no-extrapolation", is_flag=True, help="Run every tile, also where the steady state repeats.")
@click.option("--values", is_flag=True, help="Compute the output itself, in the order of the run (small sizes).")
@click.option(
    "--order",
    type=click.Choice(["interleaved", "whole", "stages"]),
    help="Level cycle: unit steps interleaved, tile tasks in one go, or stages; by default as the binding says.",
)
@click.option(
    "--number",
    type=click.Choice(["float64", "float32", "bfloat16"]),
    default="float64",
    show_default=True,
    help="Level cycle: number format.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Level cycle: of the inputs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    level: str,
    effects: tuple[str, ...],
    trace: str | None,
    figure: str | None,
    stretch: str | None,
    record: int,
    no_extrapolation: bool,
    values: bool,
    order: Order | None,
    number: str,
    seed: int,
    as_json: bool,
    **given: Any,
) -> int:
    """Simulate CASCADE (a built-in name or a file) on a machine in time, and say what the formula leaves out.

    Level tile: events of tiles on arrays, buffer, ports and the outermost memory. Level cycle: every processing
    element in every cycle, with numbers, for small sizes.

    \b
    Example:
      fusemap simulate attention-1pass --arch fusemax-cloud --workload BERT@4K
      fusemap simulate attention-1pass --arch fusemax-cloud --workload XLM@1M --dataflow fusemax-arch
      fusemap simulate attention-1pass --arch fusemax-cloud --workload BERT@4K --trace run.json.gz
    """
    case = case_from(given)
    if trace is not None:
        suffix_of(trace, _TRACES)
    if figure is not None:
        suffix_of(figure, _PICTURES)
    if stretch is not None and figure is None:
        raise input_error("--window says what to draw", hint="add --figure FILE")
    if level == "cycle":
        return _cycle(case, order, number, seed, trace, figure, stretch, as_json=as_json)
    chosen = None if not effects else tuple(e for e in effects if e != "none")
    cascade, planned = planned_case(case)
    simulation = simulate_tiles(
        cascade,
        planned.problem,
        planned.mapping,
        planned.machine,
        accounting=planned.accounting,
        effects=chosen,
        record=record,
        extrapolate=not no_extrapolation,
        dataflow_choice=planned.dataflow_choice,
    )
    computed = _computed(cascade, planned, simulation) if values else None
    written = _files(simulation, trace, figure, stretch)
    if as_json:
        emit_json(simulation.to_json() | ({"values": computed} if computed else {}))
    else:
        click.echo("\n\n".join([page(simulation, written), *([values_text(computed)] if computed else [])]))
    return 0


def _cycle(
    case: Case,
    order: Order | None,
    number: str,
    seed: int,
    trace: str | None,
    figure: str | None,
    stretch: str | None,
    *,
    as_json: bool,
) -> int:
    """Exit code 1 when a rule of the array was broken."""
    from fusemap.cli.simulate_chain import chain, is_chain
    from fusemap.cli.simulate_cycle import cycle_json, cycle_page, cycle_run

    cascade, planned = planned_case(case)
    if is_chain(planned):
        if trace or figure or order:
            raise input_error("without a recurrence the cycle level has no timeline and no order of iterations")
        return chain(cascade, planned, number=number, seed=seed, as_json=as_json)
    run = cycle_run(cascade, planned, order=order, number=number, seed=seed)
    written = _cycle_files(run, trace, figure, stretch)
    timing = time_mapping(planned.problem, planned.mapping, planned.machine, accounting=planned.accounting)
    formula = sum(stage.cycles for phase in timing.phases for stage in phase.stages)
    if as_json:
        emit_json(cycle_json(run, planned, formula))
    else:
        text = cycle_page(run, planned.problem, planned.machine, formula)
        click.echo("\n\n".join([text, *(f"wrote {path}" for path in written)]))
    return 1 if run.faults else 0


def _computed(cascade: Cascade, planned: Planned, simulation: Simulation) -> dict[str, Any]:
    """The output in the order of the run, held against the interpreter's."""
    from fusemap.sim.tile_values import largest_difference, simulate_values

    found = simulate_values(
        cascade,
        planned.problem,
        planned.mapping,
        planned.machine,
        accounting=planned.accounting,
        effects=simulation.effects,
    )
    return {
        "outputs": {name: list(array.shape) for name, array in found.outputs.items()},
        "largest_difference": largest_difference(cascade, planned.problem, found),
        "faults": [fault.message for fault in found.faults],
    }


def planned_case(case: Case) -> tuple[Cascade, Planned]:
    """The cascade of a case and its mapping."""
    cascade = einsum_cascade.load(case.cascade)
    arch, workload = required(case)
    found = plan_case(
        cascade,
        load_arch(arch),
        load_workload(workload),
        load_dataflow(case.dataflow) if case.dataflow else None,
        accounting=lambda dataflow: accounting(case.accounting, dataflow, without=case.without),
        sizes=parse_sizes(case.sizes),
    )
    return cascade, found


def _cycle_files(run: CycleRun, trace: str | None, figure: str | None, stretch: str | None) -> tuple[str, ...]:
    """Write the whole run as a trace, and two iterations in its middle (or the stretch) as a picture; the paths."""
    if trace is not None:
        _write_trace(trace, run.timeline(0, run.iterations - 1))
    if figure is not None:
        middle = run.iterations // 2
        part = run.timeline(middle, min(middle + 1, run.iterations - 1))
        if stretch is not None:
            part = window(run.timeline(0, run.iterations - 1), *_cycles_of(stretch))
        _write_figure(figure, window(part, part.first, part.last))
    return tuple(path for path in (trace, figure) if path is not None)


def _write_trace(path: str, timeline: Timeline) -> None:
    from fusemap.validation.trace import render_trace

    write_whole(path, render_trace(timeline, "json.gz" if suffix_of(path, _TRACES) == "gz" else "json"))


def _write_figure(path: str, timeline: Timeline) -> None:
    from fusemap.validation.timeline_figure import render_timeline

    write_whole(path, render_timeline(timeline, suffix_of(path, _PICTURES)))


def _cycles_of(stretch: str) -> tuple[int, int]:
    """First and last cycle of a window."""
    match = _WINDOW.fullmatch(stretch)
    if match is None or int(match[1]) >= int(match[2]):
        raise input_error(f'--window is FIRST:LAST in cycles, such as 1000:1500, not "{stretch}"')
    return int(match[1]), int(match[2])


def _files(simulation: Simulation, trace: str | None, figure: str | None, stretch: str | None) -> tuple[str, ...]:
    """Write what was asked for, of the longest phase; the paths."""
    phase = simulation.longest
    timeline = phase.timeline
    if timeline is None:
        return ()
    part = None if figure is None else window(timeline, *_stretch(phase, timeline, stretch))
    if trace is not None:
        _write_trace(trace, timeline)
    if figure is not None and part is not None:
        _write_figure(figure, part)
    return tuple(path for path in (trace, figure) if path is not None)


def _stretch(phase: PhaseSimulation, timeline: Timeline, given: str | None) -> tuple[int, int]:
    """First and last tick of the stretch to draw."""
    if given is not None:
        first, last = _cycles_of(given)
        recorded = timeline.last // timeline.ticks_per_cycle
        if first > recorded:
            raise input_error(
                f"--window {given} begins after the {recorded:,} cycles that are recorded",
                hint="record more iterations with --record",
            )
        return first * timeline.ticks_per_cycle, last * timeline.ticks_per_cycle
    return steady(phase, timeline)


def steady(phase: PhaseSimulation, timeline: Timeline) -> tuple[int, int]:
    """First and last tick of four iterations in the steady state, or of what there is."""
    work = [span for span in timeline.spans if span.kind == "work"]
    name = work[0].name if work else ""
    starts = [span.start for span in work if span.name == name]
    begin = min(phase.lag + 1, max(len(starts) - 5, 0))
    return starts[begin], starts[begin + 4] if begin + 4 < len(starts) else timeline.last
