"""What the cost of an exponential does to every ratio of a study that one configuration is part of.

A pipelined unit takes 1 cycle for a subtraction and an exponential. With the exponential as a chain of
multiply-accumulates, n cycles are one subtraction and n - 1 multiply-accumulates; n = 7 is FuseMax's chain of 6.
Energy is told twice: of the unit, which does not depend on n, and of the chain (n > 1).
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.archspec.types import Machine
from fusemap.sim.accounting import Accounting, OperatorCycles
from fusemap.sim.report import Report, Row
from fusemap.validation.end_to_end import end_to_end, linear_rows
from fusemap.validation.reproduce import Bench, Claim, StudyRow, accountings, claims
from fusemap.validation.rows import EndToEndRow
from fusemap.validation.study import ClaimModel

CYCLES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
Priced: TypeAlias = Literal["unit", "chain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A claim at some cycles: the arithmetic mean over all workloads, and the mean over models at each length."""

    claim: str
    short: str
    end_to_end: bool
    priced: Priced
    cycles: int
    mean: float
    by_length: tuple[tuple[int, float], ...]


def exp_sweep(
    bench: Bench, *, accounting: str = "principled", cycles: Sequence[int] = CYCLES, what_if: str = ""
) -> tuple[Swept, ...]:
    """Every claim that the what-if's configuration is part of, at each number of cycles, unit and chain.

    `what_if` names the array and the operators (default: the study's sensitivity).
    InputError for an unknown accounting.
    """
    base = accountings(bench.study, accounting)
    return tuple(row for n in cycles for row in _at(bench, base, n, what_if or bench.study.model.sensitivity or ""))


def _at(bench: Bench, base: Mapping[str, Accounting], cycles: int, what_if: str) -> Iterator[Swept]:
    model = bench.study.model
    (rule,) = model.what_if[what_if].rule.operator_cycles
    concerned = model.what_if[what_if].dataflows or []
    names = [c for c, part in model.configurations.items() if part.dataflow in concerned]
    swept = OperatorCycles(array=rule.array, pattern=tuple(rule.pattern), cycles=cycles)
    changed = {c: _with(a, swept) if c in names else a for c, a in base.items()}
    linear = linear_rows(bench, base)
    rows = bench.rows(changed)
    ways: tuple[Priced, ...] = ("unit", "chain") if cycles > 1 else ("unit",)
    for priced in ways:
        shown = tuple(_priced(bench, r, swept, priced) if r.configuration in names else r for r in rows)
        whole = end_to_end(bench.study, shown, linear)
        wanted = [m for m in model.claims if {*names} & {*m.configurations} and m.metric in ("latency_s", "energy_pj")]
        for found in claims(bench.study, shown, whole):
            claim = next((m for m in wanted if m.claim == found.claim), None)
            if claim is not None and (priced == "unit" or claim.metric == "energy_pj"):
                yield _swept(claim, found, priced, cycles, _lengths(shown, whole, claim))


def _with(accounting: Accounting, rule: OperatorCycles) -> Accounting:
    others = [o for o in accounting.operator_cycles if (o.array, o.pattern) != (rule.array, rule.pattern)]
    return dataclasses.replace(accounting, operator_cycles=(*others, rule))


def _priced(bench: Bench, row: StudyRow, rule: OperatorCycles, priced: Priced) -> StudyRow:
    """The row with its exponentials as a unit (unchanged), or as n - 1 multiply-accumulates each."""
    if priced == "unit":
        return row
    report = chained(row.report, bench.machine(row.configuration), rule.array, rule.cycles - 1)
    return dataclasses.replace(row, report=report)


def chained(report: Report, machine: Machine, array: str, macs: int) -> Report:
    """The report with every exponential of an array's unit priced as so many multiply-accumulates."""
    price = machine.table.component("mac").energy("mac")

    def row(found: Row) -> Row:
        if found.component != f"{array}.exp":
            return found
        count = found.count * macs
        return dataclasses.replace(found, count=count, unit_energy_pj=float(price.value), source=price.source)

    return dataclasses.replace(report, rows=tuple(row(r) for r in report.rows))


def _lengths(rows: Sequence[StudyRow], whole: Sequence[EndToEndRow], claim: ClaimModel) -> list[int]:
    """The length of each workload of a claim, in the order of its ratios."""
    known: Sequence[StudyRow | EndToEndRow] = whole if claim.end_to_end else rows
    first = rows[0].configuration
    return [r.seq_len for r in known if r.configuration == first]


def _swept(claim: ClaimModel, found: Claim, priced: Priced, cycles: int, lengths: Sequence[int]) -> Swept:
    by_length: dict[int, list[float]] = {}
    for length, ratio in zip(lengths, found.ratios, strict=True):
        by_length.setdefault(length, []).append(ratio)
    return Swept(
        claim=claim.claim,
        short=claim.short,
        end_to_end=claim.end_to_end,
        priced=priced,
        cycles=cycles,
        mean=found.computed,
        by_length=tuple((length, statistics.fmean(r)) for length, r in by_length.items()),
    )


def exp_table(rows: Sequence[Swept]) -> str:
    """The means as a Markdown table: a line per number of cycles, a column per claim."""
    order = list(dict.fromkeys(r.claim for r in rows))
    columns = sorted({(r.claim, r.priced) for r in rows}, key=lambda c: (order.index(c[0]), c[1] == "chain"))
    both = {claim for claim, priced in columns if priced == "chain"}
    heads = [f"{claim}{f', {priced}' if claim in both else ''}" for claim, priced in columns]
    lines = [f"| cycles | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for cycles in dict.fromkeys(r.cycles for r in rows):
        values = {(r.claim, r.priced): f"{r.mean:.3f}" for r in rows if r.cycles == cycles}
        lines.append(f"| {cycles} | {' | '.join(values.get(c, '-') for c in columns)} |")
    return "\n".join(lines) + "\n"


def length_table(rows: Sequence[Swept], cycles: Sequence[int] = (1, 2, 7)) -> str:
    """Means over the models per length as a Markdown table, at some numbers of cycles."""
    lengths = [n for n, _ in rows[0].by_length]
    heads = " | ".join(_short(n) for n in lengths)
    lines = [f"| claim | cycles | {heads} | mean |", "|---" * (len(lengths) + 3) + "|"]
    for r in sorted(rows, key=lambda r: (r.end_to_end, r.claim, r.priced, r.cycles)):
        if r.cycles in cycles and not (r.cycles > min(cycles) and r.priced == "unit" and "energy" in r.claim):
            name = f"{r.claim}, {r.priced}" if "energy" in r.claim else r.claim
            values = " | ".join(f"{v:.3f}" for _, v in r.by_length)
            lines.append(f"| {name} | {r.cycles} | {values} | {r.mean:.3f} |")
    return "\n".join(lines) + "\n"


def _short(length: int) -> str:
    return f"{length >> 20}M" if length >= 1 << 20 else f"{length >> 10}K"
