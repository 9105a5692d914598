"""A study recomputed and held against what was published, as one typed result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusemap.einsum_cascade.notebook import table_html
from fusemap.validation.end_to_end import end_to_end, linear_attempts
from fusemap.validation.pareto_study import pareto_attempts
from fusemap.validation.published import Comparison, Published, load_published
from fusemap.validation.reasons import Step, steps
from fusemap.validation.reproduce import (
    Accountings,
    Bench,
    Claim,
    Failure,
    StudyRow,
    accountings,
    claims,
    compare,
    sensitivity,
)
from fusemap.validation.rows import EndToEndRow, LinearRow, ParetoRow
from fusemap.validation.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """A headline number: computed, as published (if it was), and under the study's sensitivity (if it concerns it)."""

    claim: Claim
    published: Published | None
    sensitive: Claim | None

    @property
    def comparison(self) -> Comparison | None:
        """The published number beside the computed one."""
        if self.published is None:
            return None
        return Comparison(published=self.published, computed=self.claim.computed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """Every row of a study under one accounting, its claims, and its agreement with the published values.

    `rows` are the attention's, `linear` the linear layers', `whole` both together, `pareto` other machines'.
    `sensitive_rows` are those that the study's sensitivity changes; `failures` could not be evaluated.
    """

    study: Study
    accounting: str
    rows: tuple[StudyRow, ...]
    linear: tuple[LinearRow, ...]
    whole: tuple[EndToEndRow, ...]
    pareto: tuple[ParetoRow, ...]
    sensitive_rows: tuple[StudyRow, ...]
    failures: tuple[Failure, ...]
    claims: tuple[ClaimResult, ...]
    published: tuple[Published, ...]
    comparisons: tuple[Comparison, ...]
    steps: tuple[Step, ...]

    @property
    def disagreements(self) -> tuple[Comparison, ...]:
        """Published values, claims among them, that the computed ones do not meet within tolerance."""
        of_claims = [c.comparison for c in self.claims if c.comparison is not None]
        return tuple(c for c in (*self.comparisons, *of_claims) if not c.agrees)

    @property
    def agrees(self) -> bool:
        """Whether every row was evaluated and every published value met; only `published` has to meet them."""
        return not self.failures and (self.accounting != "published" or not self.disagreements)

    def _repr_html_(self) -> str:
        """What a notebook shows: the headline claims, computed and published."""
        rows = [
            [c.claim.claim, f"{c.published.value:g}" if c.published else "-", f"{c.claim.computed:.4g}"]
            for c in self.claims
        ]
        return table_html(f"{self.study.name} ({self.accounting})", ["claim", "published", "computed"], rows)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/reproduce/1`."""
        return {
            "schema": "fusemap/reproduce/1",
            "study": self.study.name,
            "source": self.study.model.source,
            "accounting": self.accounting,
            "rows": [
                *(_row_json(r, self.study) for r in self.rows),
                *(r.to_json() for r in self.linear),
                *(r.to_json() for r in self.whole),
                *(r.to_json() for r in self.pareto),
            ],
            "claims": [_claim_json(c, self.study.model.sensitivity) for c in self.claims],
            "steps": [_step_json(s) for s in self.steps],
            "agreement": {
                "values": len(self.comparisons),
                "within_tolerance": sum(c.agrees for c in self.comparisons),
                "disagreements": [_comparison_json(c) for c in self.disagreements],
            },
            "failures": [
                {"configuration": f.configuration, "model": f.model, "length": f.length, "message": f.message}
                for f in self.failures
            ],
            "not_modelled": dict(self.study.model.not_modelled),
        }


def reproduce(bench: Bench, accounting: str) -> Reproduction:
    """Evaluate every row of the bench's study under an accounting (`published`, `principled`) and compare."""
    study = bench.study
    switched = accountings(study, accounting)
    rows, failures = bench.attempts(switched)
    linear, linear_failures = linear_attempts(bench, switched)
    pareto, pareto_failures = pareto_attempts(bench, switched)
    published = load_published(study)
    sensitive_rows = _sensitive_rows(bench, switched)
    return Reproduction(
        study=study,
        accounting=accounting,
        rows=rows,
        linear=linear,
        whole=end_to_end(study, rows, linear),
        pareto=pareto,
        sensitive_rows=sensitive_rows,
        failures=(*failures, *linear_failures, *pareto_failures),
        claims=_claims(study, rows, sensitive_rows, linear, published),
        published=published,
        comparisons=compare(study, rows, published, linear=linear, pareto=pareto),
        steps=steps(bench, rows),
    )


def _sensitive_rows(bench: Bench, switched: Accountings) -> tuple[StudyRow, ...]:
    """The rows that the study's sensitivity concerns, under it."""
    name = bench.study.model.sensitivity
    if name is None:
        return ()
    other = sensitivity(bench, name, switched)
    return bench.attempts({c: a for c, a in other.items() if a != switched[c]})[0]


def _claims(
    study: Study,
    rows: Sequence[StudyRow],
    sensitive_rows: Sequence[StudyRow],
    linear: Sequence[LinearRow],
    published: Sequence[Published],
) -> tuple[ClaimResult, ...]:
    printed = {p.quantity: p for p in published if not p.configuration}
    replaced = {(r.configuration, r.model, r.seq_len): r for r in sensitive_rows}
    other = [replaced.get((r.configuration, r.model, r.seq_len), r) for r in rows]
    concerned = {c for c, _, _ in replaced}
    needs = {c.claim: c.configurations for c in study.model.claims}
    return tuple(
        ClaimResult(
            claim=claim,
            published=printed.get(claim.claim),
            sensitive=sensitive if concerned & set(needs[claim.claim]) else None,
        )
        for claim, sensitive in zip(_from(study, rows, linear), _from(study, other, linear), strict=True)
    )


def _from(study: Study, rows: Sequence[StudyRow], linear: Sequence[LinearRow]) -> tuple[Claim, ...]:
    return claims(study, rows, end_to_end(study, rows, linear))


def _row_json(row: StudyRow, study: Study) -> dict[str, object]:
    report = row.report
    by_array = report.utilization
    return {
        "study": study.model.experiment,
        "configuration": row.configuration,
        "model": row.model,
        "seq_len": row.seq_len,
        "traffic_bytes": report.traffic_bytes,
        "latency_s": report.latency_s,
        "energy_pj": report.energy_pj,
        **{name: by_array[array] for name, array in study.model.utilization.items()},
        "area_um2": report.area_um2,
        "bottleneck": report.bottleneck,
        "einsum_utilization": {t.einsum: report.einsum_utilization(t) for t in report.einsums},
    }


def _claim_json(result: ClaimResult, sensitivity_name: str | None) -> dict[str, object]:
    claim, printed, comparison = result.claim, result.published, result.comparison
    return {
        "claim": claim.claim,
        "published": printed.value if printed else None,
        "computed": claim.computed,
        "mean": claim.mean,
        "geometric": claim.geometric if claim.pick == "mean" else None,
        "sensitivity": {sensitivity_name: result.sensitive.computed} if result.sensitive else {},
        "shown_in": printed.shown_in if printed else None,
        "tolerance": printed.tolerance if printed else None,
        "within_tolerance": comparison.agrees if comparison else None,
    }


def _step_json(step: Step) -> dict[str, object]:
    return {
        "configuration": step.configuration,
        "previous": step.previous,
        "speed_up": step.speed_up,
        "energy_ratio": step.energy_ratio,
        "bound_by": {w.resource: w.share for w in step.waits},
        "busy": dict(step.busy),
        "utilization": dict(step.utilization),
        "changes": list(step.changes),
    }


def _comparison_json(comparison: Comparison) -> dict[str, object]:
    printed = comparison.published
    return {
        "configuration": printed.configuration,
        "model": printed.model,
        "seq_len": printed.seq_len,
        "quantity": printed.quantity,
        "published": printed.value,
        "computed": comparison.computed,
        "relative_error": comparison.relative_error,
        "tolerance": printed.tolerance,
    }
