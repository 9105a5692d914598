"""The binding in time of a found mapping, in words: how often an iteration starts, and what proves that it is least."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from fusemap.archspec.types import Machine
from fusemap.cli.map_page import WIDTH
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.modulo import Schedule, schedule
from fusemap.mappers.tasks import tasks_of
from fusemap.sim.best_candidate import Candidate


def binding(cascade: Cascade, best: Candidate, machine: Machine) -> str:
    """A sentence for every phase whose Einsums overlap, from its exact modulo schedule; empty if there is none.

    A phase that computes an Einsum again has none: its dependences are not those of the cascade.
    """
    lines = [_sentence(name, found) for name, found in _schedules(cascade, best, machine)]
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False) for line in lines)


def _schedules(cascade: Cascade, best: Candidate, machine: Machine) -> Iterator[tuple[str, Schedule]]:
    for phase in best.mapping.binding:
        if phase.pipelined and len(phase.einsums) > 1 and not any("@" in e for e in phase.einsums):
            try:
                yield phase.name, schedule(tasks_of(cascade, best.problem, best.mapping, machine, phase=phase.name))
            except InputError:
                continue  # several passes in one iteration are no loop body of tasks


def _sentence(name: str, found: Schedule) -> str:
    ticks = found.graph.ticks_per_cycle
    busy = ", ".join(f"{resource} {bound / ticks:,.6g}" for resource, bound in found.resource_bounds)
    sure = "proven least" if not found.gap else f"at most {found.gap / ticks:,.6g} cycles above the least"
    if found.recurrence is not None:
        tasks, need = ", ".join(found.recurrence.tasks), float(found.recurrence.ratio) / ticks
        busy += f"; {tasks} feed one another and need {need:,.6g}"
    return f"binding of {name}: an iteration every {float(found.interval_cycles):,.6g} cycles, {sure} (busy: {busy})"
