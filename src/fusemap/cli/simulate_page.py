"""A simulation as a page for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fusemap.cli.output import table
from fusemap.cli.quantities import binary, part_of, percent, si
from fusemap.sim.simulation import PhaseSimulation, ResourceUse, Simulation

WIDTH = 100


def page(simulation: Simulation, written: Sequence[str] = ()) -> str:
    """Totals, the way from the formula to the simulated cycles, and who waited for what."""
    blocks = [_heading(simulation), _totals(simulation)]
    for phase in simulation.phases:
        blocks += [_way(phase), _resources(phase)]
    blocks += _notes(simulation)
    blocks += [f"wrote {path}" for path in written]
    return "\n\n".join(blocks)


def values_text(computed: Mapping[str, Any]) -> str:
    """What was computed, and how far it is from the interpreter's output."""
    shapes = ", ".join(f"{name} ({' x '.join(map(str, shape))})" for name, shape in computed["outputs"].items())
    difference = f"largest difference from the interpreter: {computed['largest_difference']:.2g} of the largest value"
    faults = computed["faults"]
    order = "every task had what it reads" if not faults else f"{len(faults)} faults, first: {faults[0]}"
    return f"computed {shapes} in the order of the run; {order}\n{difference}"


def _heading(s: Simulation) -> str:
    chosen = f" (chosen: {s.dataflow_choice})" if s.dataflow_choice else ""
    lines = [
        f"{s.cascade} on {s.arch}, {s.workload}",
        f"dataflow {s.dataflow}{chosen}; {s.accounting} accounting; simulated {s.level} by {s.level}",
    ]
    return "\n".join(line for text in lines for line in textwrap.wrap(text, WIDTH, subsequent_indent="  "))


def _totals(s: Simulation) -> str:
    over = s.cycles - s.closed_form_cycles
    than = f"{_signed(over)} cycles, {_share(over, s.closed_form_cycles)} against the formula"
    executed = sum(phase.executed for phase in s.phases)
    represented = sum(phase.represented for phase in s.phases)
    rows = [
        ["cycles", _whole(s.cycles), than],
        ["latency", si(s.latency_s, "s"), ""],
        ["traffic", binary(s.traffic_bytes), ""],
        ["tile events", _whole(represented), f"{_whole(executed)} run, the others repeat them"],
    ]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return "\n".join(f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c}".rstrip() for a, b, c in rows)


def _way(phase: PhaseSimulation) -> str:
    """From the formula to the simulated cycles, effect by effect."""
    rows = [["formula of evaluate", _whole(phase.closed_form_cycles), "", ""]]
    for added in phase.added:
        rows.append([added.words, _signed(added.cycles), _share(added.cycles, phase.closed_form_cycles), added.effect])
    rows.append(["simulated", _whole(phase.cycles), "", ""])
    return table(rows, [f"phase {phase.name}", "cycles", "", "effect"], "lrrl", width=WIDTH)


def _resources(phase: PhaseSimulation, shown: int = 4) -> str:
    rows = []
    for use in phase.resources:
        waits = "; ".join(f"{cause} {_whole(cycles)}" for cause, cycles in use.waits[:shown])
        rest = sum(cycles for _, cycles in use.waits[shown:])
        waits += f"; other {_whole(rest)}" if rest >= 0.5 else ""
        rows.append([use.name, _busy(use, phase), _whole(use.busy_cycles), _whole(use.waited_cycles), waits])
    held = f"{phase.buffer} holds at most {binary(phase.peak_buffer_bytes)}"
    held += f" of {binary(phase.buffer_bytes)}" if phase.buffer_bytes is not None else ""
    under_way = f"{phase.iterations:,} iterations, {phase.lag + 1} under way at once"
    lines = [table(rows, ["resource", "busy", "cycles", "waits", "for"], "lrrrl", width=WIDTH), under_way]
    return "\n".join([*lines, f"{held} in the iterations recorded"] if phase.peak_buffer_bytes else lines)


def _busy(use: ResourceUse, phase: PhaseSimulation) -> str:
    return percent(use.busy_cycles / phase.cycles) if phase.cycles else part_of(0, 1)


def _notes(s: Simulation) -> Iterator[str]:
    if s.notes:
        yield "\n".join(textwrap.fill(f"note: {note}", WIDTH, subsequent_indent="  ") for note in s.notes)


def _whole(cycles: float) -> str:
    return f"{cycles:,.0f}"


def _signed(cycles: float) -> str:
    return f"{cycles:+,.0f}"


def _share(part: float, of: float) -> str:
    share = part / of if of else 0.0
    return "0 %" if not share else f"{100 * share:+.2g} %" if abs(share) < 0.1 else f"{100 * share:+.1f} %"
