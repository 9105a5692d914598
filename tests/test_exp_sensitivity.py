"""The study's ratios over the cost of an exponential: against plain arithmetic, and what must not move."""

from __future__ import annotations

import statistics
from functools import cache

import pytest
from studies import bench

from fusemap.validation.exp_sensitivity import Swept, chained, exp_sweep, exp_table, length_table
from fusemap.validation.reproduce import accountings

CYCLES = (1, 2, 4, 7)


@cache
def swept(accounting: str = "principled") -> tuple[Swept, ...]:
    return exp_sweep(bench(), accounting=accounting, cycles=CYCLES)


def one(claim: str, cycles: int, priced: str = "unit") -> Swept:
    (row,) = [r for r in swept() if (r.claim, r.cycles, r.priced) == (claim, cycles, priced)]
    return row


def test_every_ratio_to_flat_is_there_at_every_number_of_cycles() -> None:
    named = {c.claim for c in bench().study.model.claims if "flat" in c.configurations and c.metric != "area_um2"}
    assert {r.claim for r in swept()} == named and len(named) == 4
    assert {(r.claim, r.cycles) for r in swept()} == {(c, n) for c in named for n in CYCLES}


def test_one_and_seven_cycles_are_what_the_study_says() -> None:
    """The published mean speed-up, and the mean with FuseMax's chain on FLAT (15.93, from the paper's formulas)."""
    assert one("attention speed-up over FLAT", 1).mean == pytest.approx(6.7229, abs=1e-3)
    assert one("attention speed-up over FLAT", 7).mean == pytest.approx(15.9319, abs=1e-3)


@pytest.mark.parametrize("length", ["1K", "16K", "1M"])
def test_latency_by_plain_arithmetic(length: str) -> None:
    """FLAT takes 3 + n cycles per score on 256 lanes, unless QK and AV or the memory take longer."""
    base = accountings(bench().study, "principled")
    points = 64 * 12 * (1 << {"1K": 20, "16K": 28, "1M": 40}[length])
    found = bench().row("flat", "BERT", length, base["flat"]).latency_s
    for cycles in (4, 7):  # compute-bound
        row = one("attention speed-up over FLAT", cycles)
        own = (3 + cycles) * points / 256 / 940e6
        assert own > found
        at = {"1K": 1 << 10, "16K": 1 << 14, "1M": 1 << 20}[length]
        ratios = [
            (3 + cycles)
            * heads
            * 64
            * at
            * at
            / 256
            / 940e6
            / bench().row("binding", model, length, base["binding"]).latency_s
            for model, heads in (("BERT", 12), ("TrXL", 16), ("T5", 8), ("XLM", 16))
        ]
        assert dict(row.by_length)[at] == pytest.approx(statistics.fmean(ratios), rel=1e-9)


def test_the_units_energy_does_not_depend_on_cycles_and_the_chains_does() -> None:
    claim = "attention energy relative to FLAT"
    assert len({one(claim, n).mean for n in CYCLES}) == 1
    chain = [one(claim, n, "chain").mean for n in (2, 4, 7)]
    assert chain == sorted(chain, reverse=True) and chain[0] > one(claim, 1).mean > chain[-1]


def test_a_chain_changes_only_the_exponentials() -> None:
    base = accountings(bench().study, "principled")["flat"]
    report, machine = bench().row("flat", "BERT", "1K", base).report, bench().machine("flat")
    other = chained(report, machine, "array_1d", 6)
    scores = 64 * 12 * (1 << 20)
    assert other.energy_pj - report.energy_pj == pytest.approx(scores * (6 * 17.1645 - 94.6475), rel=1e-6)
    assert chained(report, machine, "array_2d", 6) == report


def test_tables_show_every_number() -> None:
    means, lengths = exp_table(swept()), length_table(swept())
    assert means.count("\n") == 2 + len(CYCLES) and " 15.932 " in means and "| - |" in means
    assert lengths.splitlines()[0] == "| claim | cycles | 1K | 4K | 16K | 64K | 256K | 1M | mean |"
