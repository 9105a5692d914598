"""What each slip of a published accounting does: to the rows it concerns, and to every headline claim."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.report import Report
from fusemap.validation.accounting import with_slips
from fusemap.validation.end_to_end import end_to_end, linear_rows
from fusemap.validation.published import load_published
from fusemap.validation.reasons import lanes_in_use
from fusemap.validation.reproduce import Bench, Claim, StudyRow, accountings, claims
from fusemap.validation.rows import LinearRow
from fusemap.validation.study import SlipModel, Study, WhatIfModel

Rows: TypeAlias = tuple[StudyRow | LinearRow, ...]
QUANTITIES = ("traffic_bytes", "latency_s", "energy_pj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The largest relative change of a quantity over a configuration's rows, and where it occurs."""

    configuration: str
    quantity: str
    change: float
    model: str
    seq_len: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A slip switched off, or a what-if switched on: what it changes where it shows, and the claims then.

    `base` are the claims that `claims` are to be held against.
    """

    name: str
    title: str
    what: str
    sizes: tuple[Size, ...]
    base: tuple[Claim, ...]
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The claims as published and with every slip corrected; each slip alone, then one after another.

    `printed`: claim -> the value in print, where there is one. `elements_in_use`: array -> configuration ->
    share of its processing elements in use while it works.
    """

    study: Study
    printed: Mapping[str, float]
    published: tuple[Claim, ...]
    principled: tuple[Claim, ...]
    slips: tuple[Finding, ...]
    cumulative: tuple[Finding, ...]
    what_if: tuple[Finding, ...]
    elements_in_use: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/audit/1`."""
        model = self.study.model
        return {
            "schema": "fusemap/audit/1",
            "study": self.study.name,
            "source": model.source,
            "claims": [
                {
                    "claim": c.claim,
                    "published": self.printed.get(c.claim),
                    "recomputed": c.computed,
                    "corrected": p.computed,
                    "mean": c.mean,
                    "geometric": p.geometric if p.pick == "mean" else None,
                }
                for c, p in zip(self.published, self.principled, strict=True)
            ],
            "slips": [_finding_json(f) for f in self.slips],
            "cumulative": [_finding_json(f) for f in self.cumulative],
            "what_if": [{**_finding_json(f), "without": list(model.what_if[f.name].without)} for f in self.what_if],
            "elements_in_use": {array: dict(shares) for array, shares in self.elements_in_use.items()},
            "limits": list(model.limits),
        }


def audit(bench: Bench) -> Audit:
    """Switch every slip off alone (published minus one), then all of them in the order of the file.

    The effects do not add up: a slip may matter only once another is corrected.
    """
    study = bench.study
    slips = study.model.slips
    base = accountings(study, "published")
    alone = [_finding(bench, n, s, _without(bench, {n}), base) for n, s in slips.items()]
    cumulative, done, before = [], set[str](), base
    for name, slip in slips.items():
        done.add(name)
        after = _without(bench, done)
        cumulative.append(_finding(bench, name, slip, after, before))
        before = after
    rows = bench.rows(base)
    corrected = accountings(study, "principled")
    return Audit(
        study=study,
        printed={p.quantity: p.value for p in load_published(study) if not p.configuration},
        published=_claims(study, rows, linear_rows(bench, base)),
        principled=_claims(study, bench.rows(corrected), linear_rows(bench, corrected)),
        slips=tuple(alone),
        cumulative=tuple(cumulative),
        what_if=tuple(_what_if(bench, n, s) for n, s in study.model.what_if.items()),
        elements_in_use=_elements_in_use(study, rows),
    )


def _without(bench: Bench, names: set[str]) -> dict[str, Accounting]:
    """The published accounting of every configuration with these slips switched off."""
    slips = {n: s for n, s in bench.study.model.slips.items() if n not in names}
    parts = bench.study.model.parts
    return {c: with_slips(PRINCIPLED, slips, p.dataflow, name="published") for c, p in parts.items()}


def _elements_in_use(study: Study, rows: tuple[StudyRow, ...]) -> dict[str, dict[str, float]]:
    """Mean share of each array's elements in use while it works, per array and configuration."""
    reports: dict[str, list[Report]] = {}
    for row in rows:
        reports.setdefault(row.configuration, []).append(row.report)
    return {
        array: {c: statistics.fmean(lanes_in_use(r, array) for r in found) for c, found in reports.items()}
        for array in study.model.utilization.values()
    }


def _what_if(bench: Bench, name: str, slip: WhatIfModel) -> Finding:
    """The what-if against the published accounting without the slips that it excludes."""
    before = _without(bench, set(slip.without))
    parts = bench.study.model.parts
    after = {c: with_slips(before[c], {name: slip}, p.dataflow, name="published") for c, p in parts.items()}
    return _finding(bench, name, slip, after, before)


def _finding(
    bench: Bench, name: str, slip: SlipModel, switched: Mapping[str, Accounting], base: Mapping[str, Accounting]
) -> Finding:
    """Sizes are (switched / base - 1) per configuration and quantity."""
    rows, before = bench.rows(switched), bench.rows(base)
    linear, linear_before = linear_rows(bench, switched), linear_rows(bench, base)
    return Finding(
        name=name,
        title=slip.title,
        what=slip.what,
        sizes=_sizes((*rows, *linear), (*before, *linear_before)),
        base=_claims(bench.study, before, linear_before),
        claims=_claims(bench.study, rows, linear),
    )


def _claims(study: Study, rows: tuple[StudyRow, ...], linear: tuple[LinearRow, ...]) -> tuple[Claim, ...]:
    return claims(study, rows, end_to_end(study, rows, linear))


def _sizes(rows: Rows, base: Rows) -> tuple[Size, ...]:
    largest: dict[tuple[str, str], Size] = {}
    for row, before in zip(rows, base, strict=True):
        for quantity in QUANTITIES:
            change = getattr(row, quantity) / getattr(before, quantity) - 1
            key = (row.configuration, quantity)
            if abs(change) > 1e-12 and (key not in largest or abs(change) > abs(largest[key].change)):
                largest[key] = Size(
                    configuration=row.configuration,
                    quantity=quantity,
                    change=change,
                    model=row.model,
                    seq_len=row.seq_len,
                )
    return tuple(largest.values())


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.name,
        "title": finding.title,
        "what": finding.what,
        "sizes": [
            {
                "configuration": s.configuration,
                "quantity": s.quantity,
                "largest_change": s.change,
                "model": s.model,
                "seq_len": s.seq_len,
            }
            for s in finding.sizes
        ],
        "claims": [
            {"claim": c.claim, "before": b.computed, "computed": c.computed, "mean": c.mean}
            for c, b in zip(finding.claims, finding.base, strict=True)
        ],
    }
