"""FLAT's published tilings: what they spill, that FLAT's own model finds them best, and what a search finds instead."""

from __future__ import annotations

import dataclasses
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fusemap.archspec import load_arch, load_workload
from fusemap.einsum_cascade import catalog
from fusemap.mappers.choices import assignment, choice_space
from fusemap.mappers.choices_grid import Grid
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.evaluate import evaluate, plan, time_mapping
from fusemap.validation import flat_model
from fusemap.validation.flat_tilings import (
    PublishedTiling,
    TilingComparison,
    compare_tiling,
    published_settings,
    published_tilings,
    summary,
    tiling_line,
    tilings_table,
)

DOCUMENT = Path(__file__).parents[1] / "docs" / "flat-tilings.md"
ROWS = {f"{r.platform} {r.model}@{r.length}": r for r in published_tilings()}
SOME = ["cloud BERT@4K", "cloud XLM@64K", "cloud T5@256K", "edge BERT@1K", "edge XLM@2K", "edge TrXL@1M"]


@cache
def compared(row: str) -> TilingComparison:
    return compare_tiling(ROWS[row])


def grid_of(row: PublishedTiling) -> tuple[Grid, int]:
    """The points of the row's space, and the published one."""
    machine, workload = load_arch(f"flat-{row.platform}"), load_workload(f"{row.model}@{row.length}")
    space = choice_space(load_dataflow("flat"), workload, machine)
    grid = Grid(space)
    return grid, grid.index(assignment(space, published_settings(machine, workload)))


def test_there_are_96_published_tilings_and_48_answers_of_flat() -> None:
    assert len(ROWS) == 96
    assert sum(r.traffic_bytes is not None and r.latency_s is not None for r in ROWS.values()) == 48


@pytest.mark.parametrize("row", ROWS)
def test_what_does_not_fit_is_what_is_published(row: str) -> None:
    machine = load_arch(f"flat-{ROWS[row].platform}")
    workload = load_workload(f"{ROWS[row].model}@{ROWS[row].length}")
    space = choice_space(load_dataflow("flat"), workload, machine)
    point = assignment(space, published_settings(machine, workload))
    assert space.settings(point)["spilled"] == ROWS[row].spilled


def own(row: PublishedTiling) -> tuple[float, float, float]:
    """Traffic and latency of the published tiling by FLAT's own model, and its least latency."""
    grid, index = grid_of(row)
    found = flat_model.own_costs(grid, load_arch(f"flat-{row.platform}"))
    return found.traffic_bytes[index], found.latency_s[index], found.latency_s[found.offered].min()


def worst(rows: list[PublishedTiling]) -> tuple[float, float, float]:
    """Largest errors of traffic and latency against FLAT's answers, and how far a tiling is from the best."""
    traffic = latency = slower = 0.0
    for row in rows:
        assert row.traffic_bytes and row.latency_s
        moved, taken, least = own(row)
        traffic = max(traffic, abs(moved / row.traffic_bytes - 1))
        latency = max(latency, abs(taken / row.latency_s - 1))
        slower = max(slower, taken / least - 1)
    return traffic, latency, slower


LONG = ("128K", "256K", "512K", "1M")


def answered(long: bool) -> list[PublishedTiling]:
    """Rows with answers of FLAT: the long ones, or the others."""
    return [r for r in ROWS.values() if r.latency_s and (r.length in LONG) == long]


def test_flats_own_model_gives_its_answers_and_finds_the_published_tilings_best() -> None:
    (traffic, latency, slower), (short_traffic, short_latency, also) = worst(answered(True)), worst(answered(False))
    assert short_traffic < 2e-3 and short_latency < 6e-3 and max(slower, also) <= 1e-12
    assert traffic < 2e-4 and latency < 2e-4


@pytest.mark.parametrize("model", ["BERT", "XLM"])
def test_what_flats_own_model_misses_shrinks_with_the_length(model: str) -> None:
    rest = [worst([ROWS[f"cloud {model}@{length}"]])[:2] for length in ("512", "1K", "2K")]
    for less, more in zip(rest[1:], rest[:-1], strict=True):
        assert less[0] < more[0] / 2 and less[1] < more[1] / 2


@pytest.mark.parametrize("missing", ["softmax", "spill", "partial sums"])
def test_another_model_would_not(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that sets FLAT's own model apart is needed."""
    if missing == "softmax":
        found = [compared(row) for row in SOME if ROWS[row].platform == "edge"]
        assert not any(c.is_tied for c in found) and all(c.own.is_best for c in found)
        return
    real = flat_model._av

    def changed(grid: Grid) -> flat_model._Words:
        words = real(grid)
        if missing == "spill":
            return dataclasses.replace(words, buffer=0 * words.buffer)
        sums = np.where(grid.name("weight_stationary_AV") > 0, grid.name("M") / grid.name("MR"), 1)
        return dataclasses.replace(words, dram=words.dram + grid.name("PT") * grid.name("F") * (2 * sums - 1))

    monkeypatch.setattr(flat_model, "_av", changed)
    traffic, _, slower = worst([r for r in answered(False) if r.spilled and r.platform == "edge"])
    assert traffic > 0.02
    assert slower > 0.01 or missing == "spill"


@pytest.mark.parametrize("row", SOME)
def test_the_search_finds_at_least_the_published_latency(row: str) -> None:
    found = compared(row)
    assert found.best.latency_s <= found.published.latency_s * (1 + 1e-12)
    assert found.own.is_best and found.dominating > 0 and found.better is not None
    assert found.better.latency_s <= found.published.latency_s * (1 + 1e-9)
    assert found.better.traffic_bytes <= found.published.traffic_bytes * (1 + 1e-9)
    assert dict(found.published.settings)["spilled"] == found.row.spilled


@pytest.mark.parametrize("row", SOME)
def test_what_is_compared_is_what_evaluate_says(row: str) -> None:
    """The published tiling as the table of the dataflow has it, and the winner evaluated anew."""
    found, machine = compared(row), load_arch(f"flat-{ROWS[row].platform}")
    workload = load_workload(f"{found.row.model}@{found.row.length}")
    cascade, dataflow = catalog.load("attention-3pass"), load_dataflow("flat")
    for candidate, names in ((found.published, ()), (found.best, found.best.settings)):
        accounting = dataclasses.replace(PRINCIPLED, names=names)
        if candidate.energy_pj is None:
            timing = time_mapping(*plan(cascade, machine, workload, dataflow, accounting=accounting), machine)
        else:
            timing = report = evaluate(cascade, machine, workload, dataflow, accounting=accounting)
            assert report.energy_pj == pytest.approx(candidate.energy_pj, rel=1e-12)
        assert timing.latency_s == pytest.approx(candidate.latency_s, rel=1e-12)
        assert timing.traffic_bytes == pytest.approx(candidate.traffic_bytes, rel=1e-12)


def shown() -> list[str]:
    return [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if re.match(r"\| (cloud|edge) ", line)]


def test_the_document_shows_every_row_in_order() -> None:
    cells = [[cell.strip() for cell in line.split("|")[1:4]] for line in shown()]
    assert cells == [[r.platform, r.model, r.length] for r in ROWS.values()]


@pytest.mark.parametrize("row", SOME)
def test_the_document_shows_what_is_computed(row: str) -> None:
    assert tiling_line(compared(row)) in shown()


@pytest.mark.slow
def test_the_document_shows_all_that_is_computed() -> None:
    found = [compared(row) for row in ROWS]
    text = DOCUMENT.read_text(encoding="utf-8")
    assert tilings_table(found) in text
    counts = summary(found)
    assert counts == {"rows": 96, "best by FLAT's own model": 96, "least latency": 32, "dominated": 96}
    for c in found:
        assert c.published.latency_s >= c.best.latency_s * (1 - 1e-12) and math.isfinite(c.slower_by)
        assert c.is_tied == (
            c.row.platform == "cloud" and c.row.length in ("512", "1K", "2K", "4K", "8K", "16K", "32K", "64K")
        )
