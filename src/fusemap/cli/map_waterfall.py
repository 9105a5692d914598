"""The schedule of a found mapping as a picture."""

from __future__ import annotations

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.modulo import schedule
from fusemap.mappers.tasks import tasks_of
from fusemap.sim.best_candidate import Candidate
from fusemap.validation.waterfall import render_waterfall, transfers


def waterfall(cascade: Cascade, best: Candidate, machine: Machine, suffix: str) -> bytes:
    """The exact modulo schedule of one iteration of the longest phase, drawn; InputError where it has copies.

    An Einsum that is computed again is no Einsum of the cascade, whose dependences the schedule rests on.
    """
    phase = max(best.report.phases, key=lambda p: p.latency_s).name
    einsums = next(p.einsums for p in best.mapping.binding if p.name == phase)
    again = [e for e in einsums if "@" in e]
    if again:
        hint = "a space with recompute: 0 has no such mapping"
        raise input_error(f"no waterfall is drawn of a mapping that computes {again[0].split('@')[0]} again", hint=hint)
    moved = transfers(best.problem, best.mapping, machine)
    graph = tasks_of(cascade, best.problem, best.mapping, machine, phase=phase, transfers=moved)
    return render_waterfall(schedule(graph), suffix)
