"""The best points of a dataflow's choices: every point is evaluated, then compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, InputError, Violation, input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.bind import map_cascade
from fusemap.mappers.choices import ChoiceSpace, Point, assignment, choice_space
from fusemap.mappers.choices_grid import Grid, Indices, Numbers
from fusemap.mappers.choices_nests import is_separable, variants
from fusemap.mappers.dataflow import Dataflow
from fusemap.mappers.match import require_match
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.actions import Place, places
from fusemap.sim.choice_costs import Costs, costs
from fusemap.sim.cost import operand_costs, operand_traffic
from fusemap.sim.evaluate import evaluate_mapping, plan, time_mapping

Objective: TypeAlias = Literal["latency", "traffic", "energy", "edp"]
Method: TypeAlias = Literal["auto", "arrays", "each"]
MAX_POINTS = 1 << 20
TIE = 1e-9  # relative; points that differ by rounding only count as equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A point with its settings and what it costs; `energy_pj` is None where the machine lacks prices."""

    point: Point
    settings: tuple[tuple[str, float], ...]
    latency_s: float
    traffic_bytes: float
    energy_pj: float | None

    def to_json(self) -> dict[str, object]:
        """The candidate as a JSON object."""
        return {
            "settings": dict(self.settings),
            "latency_s": self.latency_s,
            "traffic_bytes": self.traffic_bytes,
            "energy_pj": self.energy_pj,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is searched: a cascade on a machine, a workload, a dataflow with choices, sizes beyond the workload's."""

    cascade: Cascade
    machine: Machine
    workload: Workload
    dataflow: Dataflow
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceTable:
    """The costs of every point of a space; no point is left out, those that are not legal are marked."""

    question: Question = field(repr=False)
    space: ChoiceSpace = field(repr=False)
    grid: Grid = field(repr=False)
    costs: Costs = field(repr=False)

    @property
    def evaluated(self) -> int:
        """How many points were evaluated: all."""
        return int(self.costs.legal.size)

    @property
    def feasible(self) -> int:
        """How many of them are legal."""
        return int(self.costs.legal.sum())

    def objective(self, objective: Objective) -> Numbers:
        """What is minimised, at every point, infinite where it is not legal; InputError without prices for energy."""
        values = self.costs.latency_s
        if objective == "traffic":
            values = self.costs.traffic_bytes
        if objective in ("energy", "edp"):
            energy = self.costs.energy_pj
            if energy is None:
                raise input_error(f"machine {self.question.machine.name} lacks prices, so no {objective} is known")
            values = energy if objective == "energy" else energy * self.costs.latency_s
        return np.where(self.costs.legal, values, np.inf)

    def ties(self, objective: Objective = "latency") -> Indices:
        """The points whose objective is the least, up to rounding; DoesNotFit when no point is legal."""
        values = self.objective(objective)
        if not self.feasible:
            raise DoesNotFit(f"no point of the choices of dataflow {self.space.dataflow}", self.refusal(0))
        return np.flatnonzero(values <= values.min() * (1 + TIE))

    def best(self, objective: Objective = "latency") -> Candidate:
        """The point of least objective; of equal ones that of least latency, then traffic, then energy."""
        left = self.ties(objective)
        for values in self._measures():
            least = values[left].min()
            left = left[values[left] <= least * (1 + TIE)]
        return self.candidate(int(left[0]))

    def pareto(self) -> tuple[Candidate, ...]:
        """One point of each cost that no other is at least as good as in everything and better in something."""
        rows = np.stack([values[self.costs.legal] for values in self._measures()], axis=1)
        index = np.flatnonzero(self.costs.legal)
        order = np.lexsort(rows.T[::-1])
        front: list[int] = []
        for i in order:
            if not any((rows[j] <= rows[i] * (1 + TIE)).all() for j in front):
                front.append(int(i))
        return tuple(self.candidate(int(index[i])) for i in front)

    def dominating(self, index: int) -> Indices:
        """The legal points that are as good as this one in everything and better in something."""
        measures = self._measures()
        as_good = self.costs.legal.copy()
        better = np.zeros_like(as_good)
        for values in measures:
            as_good &= values <= values[index] * (1 + TIE)
            better |= values < values[index] * (1 - TIE)
        return np.flatnonzero(as_good & better)

    def at(self, settings: Mapping[str, float]) -> int:
        """The index of the point with these settings (see `assignment`)."""
        return self.grid.index(assignment(self.space, settings))

    def candidate(self, index: int) -> Candidate:
        """The point at an index."""
        point = self.grid.point(index)
        energy = self.costs.energy_pj
        return Candidate(
            point=point,
            settings=tuple(self.space.settings(point).items()),
            latency_s=float(self.costs.latency_s[index]),
            traffic_bytes=float(self.costs.traffic_bytes[index]),
            energy_pj=None if energy is None else float(energy[index]),
        )

    def refusal(self, index: int) -> tuple[Violation, ...]:
        """Why a point is not legal: need and limit of everything that it violates; empty if it is legal."""
        try:
            _evaluated(self.question, self.space, self.grid.point(index), priced=False)
        except DoesNotFit as refusal:
            return refusal.violations
        return ()

    def _measures(self) -> tuple[Numbers, ...]:
        energy = self.costs.energy_pj
        return (self.costs.latency_s, self.costs.traffic_bytes, *(() if energy is None else (energy,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceResult:
    """The outcome of a search: `space_size` was stated before it, `evaluated` points were looked at."""

    objective: Objective
    space_size: int
    evaluated: int
    feasible: int
    best: Candidate
    ties: int
    pareto: tuple[Candidate, ...]
    table: ChoiceTable = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object, without the table of all points."""
        return {
            "dataflow": self.table.space.dataflow,
            "objective": self.objective,
            "space_size": self.space_size,
            "evaluated": self.evaluated,
            "feasible": self.feasible,
            "ties": self.ties,
            "best": self.best.to_json(),
            "pareto": [candidate.to_json() for candidate in self.pareto],
        }


def search_dataflow(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    objective: Objective = "latency",
    *,
    sizes: Mapping[str, int] | None = None,
    method: Method = "auto",
) -> ChoiceResult:
    """Search all choices that the dataflow file names for the least objective (principled accounting).

    The search is exhaustive. InputError: the dataflow does not match, a choice is at fault, too many points, no price
    for an objective that needs it; DoesNotFit: no point is legal. See `choice_table` for `method`.
    """
    table = choice_table(cascade, machine, workload, dataflow, sizes=sizes, method=method)
    ties = table.ties(objective)
    return ChoiceResult(
        objective=objective,
        space_size=table.space.count,
        evaluated=table.evaluated,
        feasible=table.feasible,
        best=table.best(objective),
        ties=len(ties),
        pareto=table.pareto(),
        table=table,
    )


def choice_table(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow,
    *,
    sizes: Mapping[str, int] | None = None,
    method: Method = "auto",
) -> ChoiceTable:
    """The costs of every point of the dataflow's choices.

    `each` evaluates point after point as `evaluate` does; `arrays` analyses each different nest once, where choices
    reach nothing but nests (`is_separable`); `auto` takes arrays where it can. Both give the same up to rounding.
    """
    require_match(cascade, dataflow)
    question = Question(cascade=cascade, machine=machine, workload=workload, dataflow=dataflow, sizes=sizes or {})
    space = choice_space(dataflow, workload, machine, sizes=sizes)
    if space.count > MAX_POINTS:
        message = f"the choices of dataflow {dataflow.name} have too many points to evaluate: {space.sizes()}"
        raise input_error(message, hint=f"at most {MAX_POINTS:,}")
    grid = Grid(space)
    found = None if method == "each" else _in_arrays(question, space, grid)
    if found is None and method == "arrays":
        raise input_error(f"the choices of dataflow {dataflow.name} change more than nests: evaluate each point")
    return ChoiceTable(question=question, space=space, grid=grid, costs=found or _one_by_one(question, space))


def _in_arrays(question: Question, space: ChoiceSpace, grid: Grid) -> Costs | None:
    """Costs of all points from their different nests; None where choices change more than these."""
    q = question
    settings = space.settings(grid.point(0))
    try:
        problem, mapping = map_cascade(
            q.cascade, q.workload, q.machine, q.dataflow, cost=operand_costs, overrides=settings, sizes=q.sizes
        )
        if not is_separable(space, q.cascade, q.dataflow, problem):
            return None
        found = [
            variants(grid, s.name, q.cascade, problem, q.machine, q.dataflow, operand_costs) for s in problem.spaces
        ]
    except (InputError, DoesNotFit):
        return None  # at some point a name has no value: asked for at each point, it may not be needed there
    in_place = q.dataflow.model.in_place
    return costs(found, problem, mapping.binding, q.machine, _prices(q.machine), in_place, space.count)


def _one_by_one(question: Question, space: ChoiceSpace) -> Costs:
    """Costs of all points, one evaluation each."""
    priced = _prices(question.machine) is not None
    rows: list[tuple[float, float, float, bool]] = []
    for point in space.points():
        try:
            rows.append((*_evaluated(question, space, point, priced=priced), True))
        except DoesNotFit:
            rows.append((np.inf, np.inf, np.inf, False))
    columns: npt.NDArray[np.float64] = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Costs(
        latency_s=columns[:, 0],
        traffic_bytes=columns[:, 1],
        energy_pj=columns[:, 2] if priced else None,
        legal=columns[:, 3] > 0,
    )


def _evaluated(question: Question, space: ChoiceSpace, point: Point, *, priced: bool) -> tuple[float, float, float]:
    """Latency, traffic and energy of one point; DoesNotFit when it is not legal."""
    q = question
    accounting = dataclasses.replace(PRINCIPLED, names=tuple(space.settings(point).items()))
    cost = operand_costs if priced else operand_traffic
    problem, mapping = plan(
        q.cascade, q.machine, q.workload, q.dataflow, accounting=accounting, sizes=q.sizes, cost=cost
    )
    if not priced:
        timing = time_mapping(problem, mapping, q.machine)
        return timing.latency_s, timing.traffic_bytes, 0.0
    report = evaluate_mapping(problem, mapping, q.machine)
    return report.latency_s, report.traffic_bytes, report.energy_pj


def _prices(machine: Machine) -> dict[str, Place] | None:
    try:
        return places(machine)
    except InputError:
        return None
