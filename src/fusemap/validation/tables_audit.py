"""An audit as tables of text cells and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fusemap.validation.audit import Audit, Finding, Size
from fusemap.validation.figures import short_length
from fusemap.validation.reasons import listed, percent
from fusemap.validation.reproduce import Claim
from fusemap.validation.tables import Table

SAME = "."  # a claim that a correction leaves as it is
_CHANGED = 1e-9


def headline_table(found: Audit) -> Table:
    """Each claim as printed, as recomputed with all slips, and with every slip corrected."""
    printed = found.printed
    rows = [
        (c.claim, f"{printed[c.claim]:g}" if c.claim in printed else "-", digits(c), digits(p), _change(c, p), c.mean)
        for c, p in zip(found.published, found.principled, strict=True)
    ]
    headers = ("claim", "published", "recomputed", "corrected", "change", "mean")
    return Table(headers=headers, align="lrrrrl", rows=tuple(rows))


def matrix(found: Audit, findings: Sequence[Finding], *, in_turn: bool = False, end_to_end: bool = False) -> Table:
    """Findings by claims, the published claims above; `.` where a claim stays as published.

    The claims are those `end_to_end`, or the others. `in_turn`: the findings build on one another, and `.` is a
    claim that stays as in the row above.
    """
    short = {c.claim: c.short for c in found.study.model.claims if c.end_to_end == end_to_end}

    def of(claims: Iterable[Claim]) -> list[Claim]:
        return [c for c in claims if c.claim in short]

    published = of(found.published)
    rows = [("published", *map(digits, published))]
    rows += [
        (f"+ {f.name}" if in_turn else f.name, *_cells(of(f.claims), of(f.base) if in_turn else published))
        for f in findings
    ]
    if in_turn:
        rows.append(("principled", *map(digits, of(found.principled))))
    headers = ("end to end" if end_to_end else "", *(short[c.claim] for c in published))
    return Table(headers=headers, align="l" + "r" * len(published), rows=tuple(rows))


def _cells(claims: Iterable[Claim], above: Iterable[Claim]) -> Iterable[str]:
    for claim, base in zip(claims, above, strict=True):
        yield digits(claim) if changed(claim, base) else SAME


def changed(claim: Claim, base: Claim) -> bool:
    """Whether a claim differs from its base by more than rounding."""
    return abs(claim.computed / base.computed - 1) > _CHANGED


def digits(claim: Claim) -> str:
    """A claim with three decimals.

    >>> digits(Claim(claim="c", pick="mean", ratios=(0.78746,)))
    '0.787'
    """
    return f"{claim.computed:.3f}"


def _change(before: Claim, after: Claim) -> str:
    return f"{100 * (after.computed / before.computed - 1):+.1f} %" if changed(after, before) else SAME


def size_sentence(found: Audit, sizes: Sequence[Size]) -> str:
    """The largest change per quantity and configuration, and where it occurs."""
    labels = {c: m.label for c, m in found.study.model.parts.items()}
    by_quantity: dict[str, list[str]] = {}
    for size in sizes:
        place = f"{size.model} {short_length(size.seq_len)}"
        text = f"{labels[size.configuration]} {change_percent(size.change)} ({place})"
        by_quantity.setdefault(size.quantity, []).append(text)
    return "; ".join(f"{quantity}: {', '.join(texts)}" for quantity, texts in by_quantity.items())


def change_percent(change: float) -> str:
    """A relative change in percent, with two digits at least.

    >>> change_percent(0.5899), change_percent(-0.000316)
    ('+59.0 %', '-0.032 %')
    """
    value = 100 * change
    return f"{value:+.1f} %" if abs(value) >= 1 else f"{value:+.2g} %"


def what_if_sentences(found: Audit, finding: Finding) -> list[str]:
    """Each claim that a what-if changes, with and without it, and for register files how many elements are idle."""
    model = found.study.model.what_if[finding.name]
    corrected = {c.claim: digits(c) for c in found.principled}
    both = f" ({listed(model.without)} corrected in both)" if model.without else ""
    sentences = [
        f"{c.claim}: {digits(c)} with it, {digits(b)} without{both}; {corrected[c.claim]} with every slip corrected"
        for c, b in zip(finding.claims, finding.base, strict=True)
        if changed(c, b)
    ]
    return [*sentences, *(_idle(found) if model.rule.register_instances is not None else ())]


def _idle(found: Audit) -> Iterable[str]:
    """The configurations that leave elements of an array idle while it works."""
    labels = {c: m.label for c, m in found.study.model.configurations.items()}
    for array, shares in found.elements_in_use.items():
        partly = {labels[c]: share for c, share in shares.items() if share < 1 - _CHANGED}
        if partly:
            texts = [f"{label} uses {percent(share)}" for label, share in partly.items()]
            rest = ", the others all" if len(partly) < len(shares) else ""
            yield f"while {array} works, {listed(texts)} of its processing elements{rest}"
