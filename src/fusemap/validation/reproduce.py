"""Recompute a study: every configuration on every workload, and its claims."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow
from fusemap.mappers.types import Mapping as MappingOnMachine
from fusemap.mappers.types import Problem
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.cost import operand_traffic
from fusemap.sim.evaluate import evaluate_mapping, plan, time_mapping
from fusemap.sim.report import Report, Timing
from fusemap.validation.accounting import check_name, published, with_slips
from fusemap.validation.published import Comparison, Published
from fusemap.validation.rows import EndToEndRow, LinearRow, ParetoRow
from fusemap.validation.study import ClaimModel, Study

Accountings: TypeAlias = Mapping[str, Accounting]  # by configuration
Names: TypeAlias = tuple[tuple[str, float], ...]
Totals: TypeAlias = dict[tuple[str, str, int], Report | EndToEndRow]  # by configuration, model and length


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One configuration on one workload."""

    configuration: str
    model: str
    seq_len: int
    report: Report

    @property
    def traffic_bytes(self) -> float:
        """Bytes to and from the outermost memory."""
        return self.report.traffic_bytes

    @property
    def latency_s(self) -> float:
        """Latency of the attention."""
        return self.report.latency_s

    @property
    def energy_pj(self) -> float:
        """Energy of the attention."""
        return self.report.energy_pj

    def quantities(self, utilization: Mapping[str, str]) -> dict[str, float]:
        """The quantities that the published tables hold, by their names there."""
        report = self.report
        named = {"traffic_bytes": report.traffic_bytes, "latency_s": report.latency_s, "energy_pj": report.energy_pj}
        by_array = report.utilization
        named |= {name: by_array[array] for name, array in utilization.items()}
        return named | {f"utilization of {t.einsum}": report.einsum_utilization(t) for t in report.einsums}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A headline number, computed: the arithmetic mean (or least) of `ratios`, one per workload."""

    claim: str
    pick: str
    ratios: tuple[float, ...]

    @property
    def computed(self) -> float:
        """The arithmetic mean, or the least where the claim says at least."""
        return min(self.ratios) if self.pick == "least" else statistics.fmean(self.ratios)

    @property
    def geometric(self) -> float:
        """The geometric mean."""
        return statistics.geometric_mean(self.ratios)

    @property
    def mean(self) -> str:
        """How `computed` is formed."""
        return "least" if self.pick == "least" else "arithmetic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One configuration on one workload that could not be evaluated, and why."""

    configuration: str
    model: str
    length: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A study's parts, loaded when they are first used; remembers what was mapped and evaluated.

    A mapping depends on an accounting only through the names that it sets.
    """

    study: Study
    cascades: dict[str, Cascade] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    dataflows: dict[str, Dataflow] = field(default_factory=dict)
    workloads: dict[str, Workload] = field(default_factory=dict)
    plans: dict[tuple[str, str, Names], tuple[Problem, MappingOnMachine]] = field(default_factory=dict)
    reports: dict[tuple[str, str, Accounting], Report] = field(default_factory=dict)

    def dataflow(self, configuration: str) -> Dataflow:
        """The dataflow of a configuration."""
        return _once(self.dataflows, self.study.model.parts[configuration].dataflow, load_dataflow)

    def machine(self, configuration: str) -> Machine:
        """The machine of a configuration."""
        return _once(self.machines, self.study.model.parts[configuration].arch, load_arch)

    def workload(self, reference: str) -> Workload:
        """The workload of a reference such as BERT@4K."""
        return _once(self.workloads, reference, load_workload)

    def report(self, configuration: str, workload: str, accounting: Accounting) -> Report:
        """The report of one configuration on one workload."""
        key = (configuration, workload, accounting)
        if key not in self.reports:
            problem, mapping = self._plan(configuration, workload, accounting)
            machine = self.machine(configuration)
            self.reports[key] = evaluate_mapping(problem, mapping, machine, accounting=accounting)
        return self.reports[key]

    def timing(self, configuration: str, machine: Machine, workload: str, accounting: Accounting) -> Timing:
        """Time and traffic of a configuration's cascade and dataflow on another machine."""
        cascade, dataflow = self._cascade(configuration), self.dataflow(configuration)
        sized = self.workload(workload)
        problem, mapping = plan(cascade, machine, sized, dataflow, accounting=accounting, cost=operand_traffic)
        return time_mapping(problem, mapping, machine, accounting=accounting)

    def _cascade(self, configuration: str) -> Cascade:
        return _once(self.cascades, self.study.model.parts[configuration].cascade, load)

    def _plan(self, configuration: str, workload: str, accounting: Accounting) -> tuple[Problem, MappingOnMachine]:
        key = (configuration, workload, accounting.names)
        if key not in self.plans:
            cascade, sized = self._cascade(configuration), self.workload(workload)
            machine, dataflow = self.machine(configuration), self.dataflow(configuration)
            self.plans[key] = plan(cascade, machine, sized, dataflow, accounting=accounting)
        return self.plans[key]

    def row(self, configuration: str, model: str, length: str, accounting: Accounting) -> StudyRow:
        """One row of the study."""
        report = self.report(configuration, f"{model}@{length}", accounting)
        seq_len = self.workloads[f"{model}@{length}"].length or 0
        return StudyRow(configuration=configuration, model=model, seq_len=seq_len, report=report)

    def rows(self, accountings: Accountings) -> tuple[StudyRow, ...]:
        """Every configuration on every workload, each under its own accounting; raises what one raises."""
        return tuple(self.row(c, m, n, accountings[c]) for c, m, n in self._points(accountings))

    def attempts(self, accountings: Accountings) -> tuple[tuple[StudyRow, ...], tuple[Failure, ...]]:
        """As `rows`, but one that fails loses no other."""
        return attempted(self._points(accountings), lambda c, m, n: self.row(c, m, n, accountings[c]))

    def _points(self, accountings: Accountings) -> list[tuple[str, str, str]]:
        model = self.study.model
        found = [c for c in accountings if c in model.configurations]
        return [(c, m, n) for c in found for m in model.models for n in model.lengths]


def load_bench(study: Study) -> Bench:
    """The study's bench with nothing evaluated yet."""
    return Bench(study=study)


_Part = TypeVar("_Part")
_Row = TypeVar("_Row")


def attempted(
    points: Iterable[tuple[str, str, str]], row: Callable[[str, str, str], _Row]
) -> tuple[tuple[_Row, ...], tuple[Failure, ...]]:
    """The rows of (configuration, model, length), and why others could not be evaluated."""
    rows, failures = [], []
    for configuration, model, length in points:
        try:
            rows.append(row(configuration, model, length))
        except (InputError, DoesNotFit) as error:
            failures.append(_failure(configuration, model, length, str(error)))
        except Exception as error:  # a fault of one row; the others stand
            message = f"internal error: {type(error).__name__}: {error}"
            failures.append(_failure(configuration, model, length, message))
    return tuple(rows), tuple(failures)


def _once(parts: dict[str, _Part], name: str, load_part: Callable[[str], _Part]) -> _Part:
    if name not in parts:
        parts[name] = load_part(name)
    return parts[name]


def _failure(configuration: str, model: str, length: str, message: str) -> Failure:
    return Failure(configuration=configuration, model=model, length=length, message=message)


def accountings(study: Study, name: str) -> dict[str, Accounting]:
    """The accounting of every configuration: `principled`, or `published` with the study's slips; else InputError."""
    check_name(name)
    if name == "principled":
        return dict.fromkeys(study.model.parts, PRINCIPLED)
    return {c: published(study, parts.dataflow) for c, parts in study.model.parts.items()}


def claims(study: Study, rows: Iterable[StudyRow], whole: Iterable[EndToEndRow] = ()) -> tuple[Claim, ...]:
    """The study's headline numbers from its rows, each over the workloads that have the rows it needs.

    `whole` are the rows end to end, which some claims are about.
    """
    attention: Totals = {(r.configuration, r.model, r.seq_len): r.report for r in rows}
    with_layers: Totals = {(r.configuration, r.model, r.seq_len): r for r in whole}
    workloads = list(dict.fromkeys((model, seq_len) for _, model, seq_len in attention))
    found = []
    for claim in study.model.claims:
        needed, by_key = claim.configurations, with_layers if claim.end_to_end else attention
        complete = [w for w in workloads if all((c, *w) in by_key for c in needed)]
        ratios = tuple(_value(claim, [by_key[c, *w] for c in needed]) for w in complete)
        if ratios:
            found.append(Claim(claim=claim.claim, pick=claim.pick, ratios=ratios))
    return tuple(found)


def _value(claim: ClaimModel, reports: Sequence[Report | EndToEndRow]) -> float:
    """What a claim averages, for one workload: a component's share of the energy, or a ratio of two reports."""
    if claim.component is not None:
        (report,) = reports
        assert isinstance(report, Report)  # a claim end to end has no component
        return sum(r.energy_pj for r in report.rows if r.component == claim.component) / report.energy_pj
    above, below = reports
    return float(getattr(above, claim.metric)) / float(getattr(below, claim.metric))


def sensitivity(bench: Bench, name: str, accountings: Accountings) -> dict[str, Accounting]:
    """The accountings with a what-if of the study switched on where it concerns the dataflow."""
    model = bench.study.model
    return {
        c: with_slips(a, {name: model.what_if[name]}, model.parts[c].dataflow, name=f"{a.name} with {name}")
        for c, a in accountings.items()
    }


def compare(
    study: Study,
    rows: Iterable[StudyRow],
    values: Iterable[Published],
    *,
    linear: Iterable[LinearRow] = (),
    pareto: Iterable[ParetoRow] = (),
) -> tuple[Comparison, ...]:
    """Published values of the study's tables beside the computed ones, as far as there are rows."""
    tables: list[tuple[str, StudyRow | LinearRow | ParetoRow, dict[str, float]]] = [
        *((study.model.experiment, r, r.quantities(study.model.utilization)) for r in rows),
        *(("linear", r, r.quantities()) for r in linear),
        *(("pareto", r, r.quantities()) for r in pareto),
    ]
    computed = {
        (table, row.configuration, row.model, row.seq_len, quantity): value
        for table, row, quantities in tables
        for quantity, value in quantities.items()
    }
    return tuple(
        Comparison(published=v, computed=computed[key])
        for v in values
        if (key := (v.study, v.configuration, v.model, v.seq_len, v.quantity)) in computed
    )
