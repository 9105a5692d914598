"""A reproduction as tables of text cells and sentences; printing them is the command's work."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusemap.validation.figures import FigureData, short_length
from fusemap.validation.published import Comparison
from fusemap.validation.reasons import Step, Wait, listed, percent
from fusemap.validation.reproduce import StudyRow
from fusemap.validation.reproduction import ClaimResult, Reproduction


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Headers, one letter of alignment per column, and rows of cells."""

    headers: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]


def claims_table(found: Reproduction) -> Table:
    """The claims: published, computed, which mean, the geometric one, and the sensitivity beside."""
    name = found.study.model.sensitivity or "sensitivity"
    return Table(
        headers=("claim", "published", "computed", "mean", "geometric", name),
        align="lrrlrr",
        rows=tuple(_claim_cells(c) for c in found.claims),
    )


def _claim_cells(result: ClaimResult) -> tuple[str, ...]:
    claim = result.claim
    return (
        claim.claim,
        f"{result.published.value:g}" if result.published else "-",
        number(claim.computed),
        claim.mean,
        number(claim.geometric) if claim.pick == "mean" else "-",
        number(result.sensitive.computed) if result.sensitive else "-",
    )


def configurations_table(found: Reproduction) -> Table:
    """Means over the workloads: speed-up and energy against the first configuration, use of the arrays, what bounds."""
    labels = {c: m.label for c, m in found.study.model.configurations.items()}
    arrays = tuple(found.study.model.utilization)
    rows = []
    for step in found.steps:
        own = [r for r in found.rows if r.configuration == step.configuration]
        in_use = dict(step.utilization)
        used = [percent(in_use.get(found.study.model.utilization[name], 0.0)) for name in arrays]
        rows.append((labels[step.configuration], *_relative(found, own), *used, bound_by(step.waits)))
        other = [r for r in found.sensitive_rows if r.configuration == step.configuration]
        if other:
            rows.append((f"  {found.study.model.sensitivity}", *_relative(found, other), *[""] * len(arrays), ""))
    base = labels[found.steps[0].configuration] if found.steps else ""
    headers = ("configuration", f"speed-up over {base}", "energy", *arrays, "bound by (share of time)")
    return Table(headers=headers, align="lrr" + "r" * len(arrays) + "l", rows=tuple(rows))


def _relative(found: Reproduction, rows: Sequence[StudyRow]) -> tuple[str, str]:
    """Mean speed-up and mean energy ratio against the study's first configuration."""
    first = found.steps[0].configuration
    base = {(r.model, r.seq_len): r.report for r in found.rows if r.configuration == first}
    pairs = [(base[w], r.report) for r in rows if (w := (r.model, r.seq_len)) in base]
    if not pairs:
        return ("-", "-")
    speed_up = statistics.fmean(b.latency_s / r.latency_s for b, r in pairs)
    return (number(speed_up), number(statistics.fmean(r.energy_pj / b.energy_pj for b, r in pairs)))


def bound_by(waits: Iterable[Wait]) -> str:
    """What bounds the latency, with shares, largest first, and the lengths where that is not all of them."""
    found = [w for w in waits if w.share >= 0.005]
    several = sum(bool(w.lengths) for w in found) > 1
    texts = []
    for wait in found:
        where = f" ({', '.join(map(short_length, wait.lengths))})" if several and wait.lengths else ""
        texts.append(f"{wait.resource} {percent(wait.share)}{where}")
    return ", ".join(texts)


def lengths_table(found: Reproduction, quantity: str, model: str) -> Table:
    """One quantity of one model: a row per configuration, a column per length."""
    labels = {c: m.label for c, m in found.study.model.configurations.items()}
    lengths = sorted({r.seq_len for r in found.rows})
    values = {(r.configuration, r.seq_len): float(getattr(r.report, quantity)) for r in found.rows if r.model == model}
    rows = [
        (label, *(f"{values[c, n]:.4g}" if (c, n) in values else "-" for n in lengths)) for c, label in labels.items()
    ]
    headers = (f"{model} {quantity}", *(short_length(n) for n in lengths))
    return Table(headers=headers, align="l" + "r" * len(lengths), rows=tuple(rows))


def figure_table(data: FigureData, labels: dict[str, str]) -> Table:
    """A figure's numbers, computed, with the largest difference to the published ones in the last column."""
    columns = list(dict.fromkeys((p.configuration, p.part) for p in data.points))
    keys = list(dict.fromkeys((p.model, p.seq_len) for p in data.points))
    points = {(p.model, p.seq_len, p.configuration, p.part): p for p in data.points}
    rows = []
    for key in keys:
        own = [points.get((*key, *column)) for column in columns]
        errors = [abs(p.computed / p.published - 1) for p in own if p is not None and p.published]
        cells = [number(p.computed) if p is not None else "-" for p in own]
        rows.append((key[0], short_length(key[1]), *cells, f"{max(errors):.1e}" if errors else "-"))
    headers = ("model", "length", *(f"{labels[c]} {part}".strip() for c, part in columns), "difference")
    return Table(headers=headers, align="ll" + "r" * (len(columns) + 1), rows=tuple(rows))


def step_sentences(step: Step, labels: dict[str, str]) -> str:
    """What bounds a configuration and what changed since the one before it, as sentences."""
    name = labels[step.configuration]
    use = {name: percent(share) for name, share in step.utilization}
    state = f"bound by {bound_by(step.waits)}; in use: {listed([f'{a} {u}' for a, u in use.items()])}."
    if step.previous is None:
        return f"{name}: {state}"
    speed = f"{step.speed_up:.3g}x the speed and {step.energy_ratio:.3g}x the energy of {labels[step.previous]}"
    changes = f" What changed: {'; '.join(step.changes)}." if step.changes else " Nothing else changed."
    return f"{name}: {speed}, {state}{changes}"


def agreement_sentences(found: Reproduction) -> list[str]:
    """How many published values are met, group by group of equal tolerance and reason, and which are not."""
    groups: dict[tuple[float, str], list[Comparison]] = {}
    for comparison in found.comparisons:
        groups.setdefault((comparison.published.tolerance, comparison.published.note), []).append(comparison)
    sentences = []
    for (tolerance, note), members in groups.items():
        met = sum(c.agrees for c in members)
        largest = max(abs(c.relative_error) for c in members)
        reason = f" ({_where(members)}: {note})" if note else ""
        sentences.append(
            f"{met} of {len(members)} published values met within {tolerance:g}, largest difference {largest:.2g}{reason}"
        )
    missing = sum(bool(p.configuration) for p in found.published) - len(found.comparisons)
    if missing:
        sentences.append(f"{missing} published values have no computed row to compare with")
    return sentences + [_difference(c) for c in found.disagreements][:10]


def _where(members: Sequence[Comparison]) -> str:
    configurations = dict.fromkeys(c.published.configuration for c in members)
    lengths = dict.fromkeys(short_length(c.published.seq_len) for c in members)
    return f"{', '.join(configurations)} at {', '.join(lengths)}"


def _difference(comparison: Comparison) -> str:
    p = comparison.published
    place = f"{p.configuration} {p.model} {short_length(p.seq_len)} {p.quantity}" if p.configuration else p.quantity
    return f"{place}: computed {comparison.computed:.6g}, published {p.value:.6g} ({100 * comparison.relative_error:+.2g} %)"


def number(value: float) -> str:
    """A ratio with three decimals below 1 and two above.

    >>> number(0.7875), number(6.7226), number(15.93)
    ('0.787', '6.72', '15.93')
    """
    return f"{value:.3f}" if abs(value) < 1.0005 else f"{value:.2f}"
