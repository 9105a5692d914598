"""The best setting of a dataflow's choices, told as any other search for a mapping is."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow, names
from fusemap.mappers.mapspace.front import Objective
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.best import built_in
from fusemap.sim.best_candidate import Candidate, key
from fusemap.sim.best_json import costs, described, head, html
from fusemap.sim.choose_choices import ChoiceResult, search_dataflow
from fusemap.sim.evaluate import evaluate_mapping, plan, time_mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class BestChoice:
    """The best point of all that a dataflow leaves to choose; every point was evaluated.

    `result` has the space, the ties and the Pareto set; `in_place` are the tensors that share their space.
    """

    objective: Objective
    best: Candidate
    others: tuple[Candidate, ...]
    result: ChoiceResult = field(repr=False)
    in_place: tuple[tuple[str, ...], ...]
    seconds: float

    @property
    def value(self) -> float:
        """The objective's value of the best point (s, pJ, or s * pJ)."""
        return key(self.objective, self.best)[0]

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/map/1`, with the settings of the best point and the number of ties."""
        result = self.result
        return {
            **head(self.best, self.objective, self.value, proven=True, bound=self.value, gap=0.0),
            "counted": result.space_size,
            "priced": result.evaluated,
            "pruned": 0,
            "unfit": result.evaluated - result.feasible,
            "cuts": 1,
            "seconds": self.seconds,
            "best": {**described(self.best), "settings": dict(result.best.settings)},
            "others": [costs(other) for other in self.others],
            "front": [{"name": self.best.name, **point.to_json()} for point in result.pareto],
            "ties": result.ties,
        }

    def _repr_html_(self) -> str:
        return html(f"{self.best.name}: the best of {self.result.space_size:,} settings", self.to_json())


def best_choice(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    *,
    objective: Objective = "latency",
    sizes: Mapping[str, int] | None = None,
) -> BestChoice:
    """The best setting of the `choices` of a dataflow, by evaluating all of them (see `search_dataflow`).

    With the objective "pareto" the best is that of least latency. InputError where the dataflow has no choices.
    """
    start = time.perf_counter()
    if not dataflow.model.choices:
        having = [name for name in names() if load_dataflow(name).model.choices]
        hint = f"built-in dataflows with choices: {', '.join(having)}; without --dataflow all mappings are searched"
        raise input_error(f"dataflow {dataflow.name} leaves nothing to choose: it has no choices", hint=hint)
    least = "latency" if objective == "pareto" else objective
    result = search_dataflow(cascade, machine, workload, dataflow, least, sizes=sizes)
    best = _candidate(cascade, machine, workload, dataflow, result, sizes or {})
    return BestChoice(
        objective=objective,
        best=best,
        others=built_in(cascade, machine, workload, sizes or {}, priced=best.energy_pj is not None),
        result=result,
        in_place=tuple(tuple(group) for group in dataflow.model.in_place),
        seconds=time.perf_counter() - start,
    )


def _candidate(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    result: ChoiceResult,
    sizes: Mapping[str, int],
) -> Candidate:
    accounting = dataclasses.replace(PRINCIPLED, names=result.best.settings)
    problem, mapping = plan(cascade, machine, workload, dataflow, accounting=accounting, sizes=sizes)
    priced = result.best.energy_pj is not None
    if not priced:
        timing = time_mapping(problem, mapping, machine)
        return Candidate(name=dataflow.name, problem=problem, mapping=mapping, report=timing, energy_pj=None)
    report = evaluate_mapping(problem, mapping, machine)
    energy = report.energy_pj
    return Candidate(name=dataflow.name, problem=problem, mapping=mapping, report=report, energy_pj=energy)
