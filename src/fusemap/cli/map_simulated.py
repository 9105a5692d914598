"""The mappings that a search compares, simulated tile by tile: what the formula that ranked them leaves out."""

from __future__ import annotations

from dataclasses import dataclass

from fusemap.archspec.types import Machine
from fusemap.cli.output import table
from fusemap.cli.quantities import si
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.types import Cascade
from fusemap.sim.best_candidate import Candidate
from fusemap.sim.best_choices import BestChoice
from fusemap.sim.best_outcome import Best
from fusemap.sim.simulate import simulate_tiles

WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A mapping's latency by the formula and simulated (None: it is not), and what makes most of the difference."""

    name: str
    formula_s: float
    simulated_s: float | None
    mostly: str


def simulated(cascade: Cascade, machine: Machine, found: Best | BestChoice) -> tuple[Simulated, ...]:
    """The best mapping and the built-in dataflows beside it."""
    others = (o for o in found.others if o.mapping != found.best.mapping)
    return tuple(_one(cascade, machine, candidate) for candidate in (found.best, *others))


def _one(cascade: Cascade, machine: Machine, of: Candidate) -> Simulated:
    try:
        run = simulate_tiles(cascade, of.problem, of.mapping, machine, record=0)
    except InputError as error:
        why = error.diagnostics[0].message
        return Simulated(name=of.name, formula_s=of.report.latency_s, simulated_s=None, mostly=f"not simulated: {why}")
    by_effect: dict[str, float] = {}
    for added in (a for phase in run.phases for a in phase.added):
        by_effect[added.words] = by_effect.get(added.words, 0.0) + added.cycles
    most = max(by_effect, key=lambda words: by_effect[words], default="")
    share = by_effect.get(most, 0.0) / run.closed_form_cycles if run.closed_form_cycles else 0.0
    mostly = most if share >= 0.001 else ""
    return Simulated(name=of.name, formula_s=of.report.latency_s, simulated_s=run.latency_s, mostly=mostly)


def simulated_text(rows: tuple[Simulated, ...]) -> str:
    """The table, and a warning where the simulation ranks another mapping first."""
    cells = [
        [r.name, si(r.formula_s, "s"), "-" if r.simulated_s is None else si(r.simulated_s, "s"), _over(r), r.mostly]
        for r in rows
    ]
    text = table(cells, ["mapping", "by formula", "simulated", "", "mostly"], "lrrrl", width=WIDTH)
    best, known = rows[0], [r for r in rows if r.simulated_s is not None]
    first = min(known, key=lambda r: r.simulated_s or 0.0, default=best)
    if best.simulated_s is not None and first.simulated_s is not None and first.simulated_s < 0.999 * best.simulated_s:
        times = best.simulated_s / first.simulated_s
        text += (
            f"\nsimulated, {first.name} is {times:.3g}x faster: the search's formula knows no {best.mostly or 'waits'}"
        )
    return text


def _over(row: Simulated) -> str:
    return "" if row.simulated_s is None else f"{100 * (row.simulated_s / row.formula_s - 1):+,.3f} %"
