"""All that a page about one evaluation shows, computed before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fusemap import einsum_cascade
from fusemap.cli.case import Case, evaluated
from fusemap.cli.simulate import steady
from fusemap.cli.sizes import parse_sizes
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade.passes.analyze import PassAnalysis, analyze
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import load_dataflow, names
from fusemap.sim.choose import Evaluation, evaluate_case
from fusemap.sim.explain import Explanation, explain
from fusemap.sim.report import Report
from fusemap.sim.simulate import simulate_tiles
from fusemap.sim.simulation import Simulation
from fusemap.sim.timeline_window import window
from fusemap.validation.accounting import accounting
from fusemap.validation.graph import CascadeGraph
from fusemap.validation.graph_draw import render
from fusemap.validation.graph_passes import graph_of
from fusemap.validation.timeline_figure import render_timeline

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another built-in dataflow on the same question: its report, or why it has none."""

    dataflow: str
    report: Report | None
    refusal: str = ""

    def to_json(self) -> dict[str, object]:
        """The rival as a JSON object; numbers are null where it was refused."""
        found = self.report
        return {
            "dataflow": self.dataflow,
            "latency_s": found and found.latency_s,
            "energy_pj": found and found.energy_pj,
            "traffic_bytes": found and found.traffic_bytes,
            "refusal": self.refusal,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A picture as the content of an SVG file, or why there is none."""

    svg: bytes
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a page is about: a derived evaluation, the cascade's passes, a run in time, and the rivals."""

    case: Case
    cascade: Cascade
    explanation: Explanation
    passes: PassAnalysis
    graph: CascadeGraph
    graph_drawing: Drawing
    simulation: Simulation | None
    timeline: Drawing
    rivals: tuple[Rival, ...]

    @property
    def report(self) -> Report:
        """The evaluation's numbers."""
        return self.explanation.evaluation.report


def findings(case: Case) -> Findings:
    """Evaluate a case, derive its numbers, and look at it from all sides; errors as `evaluated`.

    What only adds to the page (a picture, a run in time, a rival) may be refused; the page says why.
    """
    evaluation = evaluated(case)
    own = case.dataflow or evaluation.report.dataflow  # a path of a file of the same name is another one
    cascade = einsum_cascade.load(case.cascade)
    graph = graph_of(cascade)
    drawn, why_not = _attempt(lambda: render(graph, "svg"))
    simulation, no_run = _attempt(lambda: _simulated(cascade, evaluation))
    return Findings(
        case=case,
        cascade=cascade,
        explanation=explain(evaluation),
        passes=analyze(cascade),
        graph=graph,
        graph_drawing=Drawing(svg=drawn or b"", refusal=why_not),
        simulation=simulation,
        timeline=_timeline(simulation) if simulation else Drawing(svg=b"", refusal=no_run),
        rivals=tuple(_rival(name, case, cascade, evaluation) for name in names() if name != own),
    )


def _attempt(make: Callable[[], Found]) -> tuple[Found | None, str]:
    """What is made, or the first reason why it is not."""
    try:
        return make(), ""
    except InputError as error:
        return None, error.diagnostics[0].message
    except DoesNotFit as answer:
        return None, "does not fit: " + "; ".join(str(violation) for violation in answer.violations)


def _simulated(cascade: Cascade, found: Evaluation) -> Simulation:
    return simulate_tiles(cascade, found.problem, found.mapping, found.machine, accounting=found.accounting)


def _timeline(simulation: Simulation) -> Drawing:
    """Four steady iterations of the longest phase."""
    phase = simulation.longest
    recorded = phase.timeline
    if recorded is None:
        return Drawing(svg=b"", refusal="nothing was recorded")
    svg, refusal = _attempt(lambda: render_timeline(window(recorded, *steady(phase, recorded)), "svg"))
    return Drawing(svg=svg or b"", refusal=refusal)


def _rival(name: str, case: Case, cascade: Cascade, evaluation: Evaluation) -> Rival:
    found, refusal = _attempt(
        lambda: evaluate_case(
            cascade,
            evaluation.machine,
            evaluation.workload,
            load_dataflow(name),
            accounting=lambda dataflow: accounting(case.accounting, dataflow, without=case.without),
            sizes=parse_sizes(case.sizes),
        )
    )
    return Rival(dataflow=name, report=found.report if found else None, refusal=refusal)
