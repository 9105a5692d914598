"""Recompute a study: every configuration on every workload, and its claims."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.einsum_cascade.library import load
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.evaluate import evaluate
from fusemap.sim.report import Report
from fusemap.validation.accounting import published
from fusemap.validation.published import Comparison, Published
from fusemap.validation.study import ClaimModel, Study

Accountings: TypeAlias = Mapping[str, Accounting]  # by configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One configuration on one workload."""

    configuration: str
    model: str
    seq_len: int
    report: Report

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
class Bench:
    """A study's parts, loaded once; `reports` remembers what was evaluated."""

    study: Study
    cascades: Mapping[str, Cascade]
    machines: Mapping[str, Machine]
    dataflows: Mapping[str, Dataflow]
    workloads: Mapping[tuple[str, str], Workload]
    reports: dict[tuple[str, str, str, Accounting], Report] = field(default_factory=dict)

    def report(self, configuration: str, model: str, length: str, accounting: Accounting) -> Report:
        """The report of one configuration on one workload."""
        key = (configuration, model, length, accounting)
        if key not in self.reports:
            parts = self.study.model.configurations[configuration]
            self.reports[key] = evaluate(
                self.cascades[parts.cascade],
                self.machines[parts.arch],
                self.workloads[model, length],
                self.dataflows[parts.dataflow],
                accounting=accounting,
            )
        return self.reports[key]

    def rows(self, accountings: Accountings) -> tuple[StudyRow, ...]:
        """Every configuration on every workload, each under its own accounting."""
        model = self.study.model
        return tuple(
            StudyRow(
                configuration=configuration,
                model=name,
                seq_len=self.workloads[name, length].length or 0,
                report=self.report(configuration, name, length, accounting),
            )
            for configuration, accounting in accountings.items()
            for name in model.models
            for length in model.lengths
        )


def load_bench(study: Study) -> Bench:
    """Load every file that the study names."""
    parts = study.model.configurations.values()
    return Bench(
        study=study,
        cascades={p.cascade: load(p.cascade) for p in parts},
        machines={p.arch: load_arch(p.arch) for p in parts},
        dataflows={p.dataflow: load_dataflow(p.dataflow) for p in parts},
        workloads={(m, n): load_workload(f"{m}@{n}") for m in study.model.models for n in study.model.lengths},
    )


def accountings(study: Study, name: str) -> dict[str, Accounting]:
    """The accounting of every configuration: `principled`, or `published` with the study's slips."""
    if name == "principled":
        return dict.fromkeys(study.model.configurations, PRINCIPLED)
    return {c: published(study, parts.dataflow) for c, parts in study.model.configurations.items()}


def claims(study: Study, rows: Iterable[StudyRow]) -> tuple[Claim, ...]:
    """The study's headline numbers from its rows."""
    by_key = {(r.configuration, r.model, r.seq_len): r.report for r in rows}
    workloads = list(dict.fromkeys((model, seq_len) for _, model, seq_len in by_key))
    return tuple(
        Claim(claim=c.claim, pick=c.pick, ratios=tuple(_ratio(c)(by_key, w) for w in workloads))
        for c in study.model.claims
    )


Reports: TypeAlias = Mapping[tuple[str, str, int], Report]


def _ratio(claim: ClaimModel) -> Callable[[Reports, tuple[str, int]], float]:
    """What a claim averages, for one workload."""
    if claim.component is not None:
        configuration, component = claim.configuration or "", claim.component

        def share(reports: Reports, workload: tuple[str, int]) -> float:
            report = reports[configuration, *workload]
            return sum(r.energy_pj for r in report.rows if r.component == component) / report.energy_pj

        return share
    above, below, metric = claim.numerator or "", claim.denominator or "", claim.metric

    def ratio(reports: Reports, workload: tuple[str, int]) -> float:
        first, second = reports[above, *workload], reports[below, *workload]
        return float(getattr(first, metric)) / float(getattr(second, metric))

    return ratio


def compare(study: Study, rows: Iterable[StudyRow], values: Iterable[Published]) -> tuple[Comparison, ...]:
    """Published values of the study's tables beside the computed ones."""
    computed = {
        (row.configuration, row.model, row.seq_len, quantity): value
        for row in rows
        for quantity, value in row.quantities(study.model.utilization).items()
    }
    return tuple(
        Comparison(published=v, computed=computed[v.configuration, v.model, v.seq_len, v.quantity])
        for v in values
        if v.configuration
    )
