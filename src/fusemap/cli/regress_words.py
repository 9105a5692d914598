"""What moved, in words and as tables; the other formats (`regress_formats`) are made of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fusemap.cli.output import table
from fusemap.validation.regress import Regression
from fusemap.validation.regress_causes import Cause, Factor
from fusemap.validation.regress_compare import CaseResult, Change

WIDTH = 120
PARTS = 3  # of a component, the largest first
DETAILED = 20  # cases; of more, a line each
FACTORS = {
    "count": ("count", ""),
    "unit_energy_pj": ("unit energy", " pJ"),
    "bytes_per_access": ("per access", " B"),
    "cycles": ("cycles", ""),
    "clock_hz": ("clock", " Hz"),
    "bytes": ("traffic", " B"),
    "bytes_per_s": ("bandwidth", " B/s"),
}


def text(found: Regression) -> str:
    """The page for a terminal."""
    wrong = found.having("moved", "new", "missing")
    blocks = ["\n".join(heading(found))]
    blocks += ["\n".join(details(case)) for case in wrong[:DETAILED]]
    if wrong[DETAILED:]:
        blocks.append("\n".join(f"{case.name}: {headline(case)}" for case in wrong[DETAILED:]))
    return "\n\n".join(blocks)


def heading(found: Regression) -> Iterator[str]:
    """How many cases are as recorded, and what changed around them."""
    yield f"{found.baseline}: {verdict(found)}"
    if not found.agrees:
        if found.version and found.version != found.now:
            yield f"recorded with fusemap {found.version}, evaluated with {found.now}"
        if found.inputs:
            yield f"changed since it was recorded: {', '.join(found.inputs)}"


def verdict(found: Regression) -> str:
    """One line on all cases."""
    if found.agrees:
        return f"{_cases(len(found.cases))} as recorded"
    words = {"moved": "moved", "new": "not recorded", "missing": "recorded, but not asked for any more"}
    parts = [f"{len(found.having(status))} {word}" for status, word in words.items() if found.having(status)]
    return f"of {_cases(len(found.cases))} {', '.join(parts)}, {len(found.having('equal'))} as recorded"


def recording(found: Regression, *, written: bool) -> str:
    """One line on what a recording did."""
    words = {"new": "new", "moved": "moved", "missing": "gone", "equal": "as they were"}
    parts = [f"{len(found.having(status))} {word}" for status, word in words.items() if found.having(status)]
    done = f"wrote {found.baseline}" if written else f"{found.baseline} is up to date"
    return f"{done}: {_cases(len(found.cases) - len(found.having('missing')))}, {', '.join(parts)}"


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def headline(case: CaseResult) -> str:
    """A case in one line: its totals that moved, each with the largest part of the component that moved it most.

    Where only parts moved, such as a component's energy, the first of them.
    """
    if case.status == "new":
        return "not recorded yet"
    if case.status == "missing":
        return "recorded, but not among the cases any more"
    if case.reason:
        return case.reason
    totals = [change for change in case.changes if "." not in change.metric] or list(case.changes[:1])
    return "; ".join(_headed(case, change) for change in totals)


def _headed(case: CaseResult, change: Change) -> str:
    family, _, component = change.metric.partition(".")
    shown = _percent(change) or signed(change.absolute)
    moved = f"{change.metric} {shown} ({amount(change.recorded)} -> {amount(change.found)})"
    groups = grouped([cause for cause in case.causes if cause.metric == family])
    largest = next((parts[0] for name, _, parts in groups if component in ("", name)), None)
    return f"{moved}, most by {largest.component}, {largest.what}: {why(largest)}" if largest else moved


def details(case: CaseResult) -> Iterator[str]:
    """A case with its metrics and causes."""
    yield f"{case.name} ({case.file}:{case.line})"
    if not case.changes:
        yield f"  {headline(case)}"
    yield from around(case)
    if case.changes:
        yield ""
        yield from _indented(table(metric_rows(case), ["metric", "recorded", "found", "change", ""], "lrrrr", WIDTH))
    for metric in dict.fromkeys(cause.metric for cause in case.causes):
        yield ""
        headers = [f"{metric}, by component", "change", "share", "what moved"]
        yield from _indented(table(list(cause_rows(case, metric)), headers, "lrrl", WIDTH))


def around(case: CaseResult) -> Iterator[str]:
    """What else is another than when the case was recorded."""
    if case.inputs:
        yield f"  changed since: {', '.join(case.inputs)}"
    for name, recorded, found in case.differences:
        yield f"  {name} {found}, was {recorded}"


def metric_rows(case: CaseResult) -> list[list[str]]:
    """A row for each metric that moved: recorded, found, difference, per cent."""
    return [
        [change.metric, amount(change.recorded), amount(change.found), signed(change.absolute), _percent(change)]
        for change in case.changes
    ]


def cause_rows(case: CaseResult, metric: str, most: int = PARTS) -> Iterator[list[str]]:
    """Components by what they add to a metric's change, each followed by its largest parts."""
    groups = grouped([cause for cause in case.causes if cause.metric == metric])
    whole = sum(change for _, change, _ in groups)
    for component, change, parts in groups:
        share = f"{100 * change / whole:.3g} %" if whole else ""
        yield [component, signed(change), share, ""]
        for part in parts[:most]:
            yield [f"  {part.what}", signed(part.change), "", why(part)]
        if parts[most:]:
            rest = sum(part.change for part in parts[most:])
            yield [f"  {len(parts) - most} more", signed(rest), "", ""]


def grouped(causes: Sequence[Cause]) -> list[tuple[str, float, list[Cause]]]:
    """The causes by component with the sum of their changes, the largest sum first."""
    groups: dict[str, list[Cause]] = {}
    for cause in causes:
        groups.setdefault(cause.component.partition("#")[0], []).append(cause)
    sums = [(component, sum(part.change for part in parts), parts) for component, parts in groups.items()]
    return sorted(sums, key=lambda group: -abs(group[1]))


def why(cause: Cause) -> str:
    """Which factors of a cause moved, from what to what."""
    parts = [cause.note] if cause.note else []
    return ", ".join([*parts, *(_factor(factor) for factor in cause.factors)])


def _factor(factor: Factor) -> str:
    name, unit = FACTORS[factor.name]
    return f"{name} {amount(factor.recorded)} -> {amount(factor.found)}{unit}"


def amount(value: float | None) -> str:
    """A number with up to ten digits, whole ones in groups of three.

    >>> amount(50331648), amount(249.6), amount(1.23456789012e20), amount(None)
    ('50,331,648', '249.6', '1.23456789e+20', 'none')
    """
    if value is None:
        return "none"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.10g}"


def signed(value: float) -> str:
    """A difference, with its sign.

    >>> signed(12.5), signed(-3)
    ('+12.5', '-3')
    """
    return f"{value:+.5g}"


def _percent(change: Change) -> str:
    return "" if change.relative is None else f"{100 * change.relative:+.4g} %"


def _indented(block: str) -> Iterator[str]:
    return (f"  {line}" for line in block.splitlines())
