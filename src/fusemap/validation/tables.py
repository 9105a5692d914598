"""A reproduction as tables of text cells and sentences; printing them is the command's work."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusemap.validation.figures import AnyFigure, Point, short_length
from fusemap.validation.figures_scatter import ScatterData
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
        rows.append(
            (labels[step.configuration], *_relative(found, own), *used, bound_by(step.waits, least=0.05, lengths=False))
        )
        other = [r for r in found.sensitive_rows if r.configuration == step.configuration]
        if other:
            rows.append((f"  {found.study.model.sensitivity}", *_relative(found, other), *[""] * len(arrays), ""))
    headers = ("configuration", "speed-up", "energy", *arrays, "bound by (share of the time)")
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


def bound_by(waits: Iterable[Wait], *, least: float = 0.005, lengths: bool = True) -> str:
    """What bounds the latency for `least` of it or more, and at which lengths above all where they differ."""
    found = [w for w in waits if w.share >= least]
    several = lengths and sum(bool(w.lengths) for w in found) > 1
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


def figure_table(data: AnyFigure, labels: dict[str, str]) -> Table:
    """A figure's numbers, computed; the last column is the largest difference to the published ones of the row.

    Bars: a row per model and length, a column per configuration. Parts: a row per configuration and part,
    a column per length. Machines of many sizes: a row each.
    """
    if isinstance(data, ScatterData):
        return _scatter_table(data)
    split = any(p.part for p in data.points)
    rows: dict[tuple[str, str], dict[str, Point]] = {}
    for p in sorted(data.points, key=lambda p: p.seq_len) if split else data.points:
        label, length = labels[p.configuration], short_length(p.seq_len)
        row, column = ((label, p.part), length) if split else ((p.model, length), label)
        rows.setdefault(row, {})[column] = p
    order = list(labels.values())
    keys = sorted(rows, key=lambda key: order.index(key[0])) if split else list(rows)
    columns = list(dict.fromkeys(column for points in rows.values() for column in points))
    headers = (*(("configuration", "part") if split else ("model", "length")), *columns, "difference")
    cells = tuple((*key, *_figure_cells(rows[key], columns)) for key in keys)
    return Table(headers=headers, align="ll" + "r" * (len(columns) + 1), rows=cells)


def _scatter_table(data: ScatterData) -> Table:
    headers = ("model", data.parameter, data.against, data.quantity, "difference")
    rows = [
        (p.model, str(p.value), *(f"{v:.6g}" for v in p.computed), f"{p.difference:.1e}" if p.published else "-")
        for p in data.points
    ]
    return Table(headers=headers, align="lrrrr", rows=tuple(rows))


def _figure_cells(points: Mapping[str, Point], columns: Sequence[str]) -> Iterable[str]:
    yield from (number(points[c].computed) if c in points else "-" for c in columns)
    errors = [abs(p.computed / p.published - 1) for p in points.values() if p.published]
    yield f"{max(errors):.1e}" if errors else "-"


def step_sentences(step: Step, labels: dict[str, str]) -> str:
    """What bounds a configuration and what changed since the one before it, as sentences."""
    name = labels[step.configuration]
    use = {name: percent(share) for name, share in step.utilization}
    state = f"bound by {bound_by(step.waits)}; in use: {listed([f'{a} {u}' for a, u in use.items()])}."
    if step.previous is None:
        return f"{name}: {state}"
    energy = f"{step.energy_ratio:.3g}x the energy" if abs(step.energy_ratio - 1) >= 5e-4 else "the energy"
    speed = f"{step.speed_up:.3g}x the speed and {energy} of {labels[step.previous]}"
    changes = f" What changed: {'; '.join(step.changes)}." if step.changes else ""
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
        met_text = f"{met} of {len(members)} published values met within {tolerance:g}"
        sentences.append(f"{met_text}, largest difference {largest:.2g}{reason}")
    missing = sum(bool(p.configuration) for p in found.published) - len(found.comparisons)
    if missing:
        sentences.append(f"{missing} published values have no computed row to compare with")
    if found.disagreements and found.accounting != "published":
        sentences.append(f"{found.accounting} accounting: the study's slips are corrected, so these differ")
    return [*sentences, *_differences(found.disagreements)]


def _differences(missed: Iterable[Comparison]) -> Iterable[str]:
    """The published values that are not met: how many of each quantity, and the one that is furthest off."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in missed:
        groups.setdefault((comparison.published.configuration, comparison.published.quantity), []).append(comparison)
    for members in groups.values():
        worst = max(members, key=lambda c: abs(c.relative_error))
        yield f"{len(members)} not met, at most {_difference(worst)}"


def _where(members: Sequence[Comparison]) -> str:
    configurations = dict.fromkeys(c.published.configuration for c in members)
    lengths = dict.fromkeys(short_length(c.published.seq_len) for c in members)
    return f"{', '.join(configurations)} at {', '.join(lengths)}"


def _difference(comparison: Comparison) -> str:
    p = comparison.published
    place = f"{p.configuration} {p.model} {short_length(p.seq_len)} {p.quantity}" if p.configuration else p.quantity
    error = f"{100 * comparison.relative_error:+.2g} %"
    return f"{place}: computed {comparison.computed:.6g}, published {p.value:.6g} ({error})"


def number(value: float) -> str:
    """A ratio with three decimals below 1 and two above.

    >>> number(0.7875), number(6.7226), number(15.93)
    ('0.787', '6.72', '15.93')
    """
    return f"{value:.3f}" if abs(value) < 1.0005 else f"{value:.2f}"
