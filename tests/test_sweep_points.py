"""Points of a sweep that are evaluated together have, bit for bit, the numbers of each evaluated alone."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_cases import DIMENSIONS, FLAT, FUSEMAX, SMALL, alone, sweep

from fusemap.archspec import batches
from fusemap.sim import actions
from fusemap.validation.sweep_points import Results, evaluate_points, result_columns
from fusemap.validation.sweep_spec import Sweep

FEW = batches.FEW


@lru_cache
def loaded(text: str, **changes: Any) -> Sweep:
    """A sweep, read once."""
    return sweep(text, **changes)


def rows(results: Results) -> dict[int, dict[str, Any]]:
    """The result columns of every point."""
    names = list(results.columns)
    cells = zip(*results.columns.values(), strict=True)
    return {int(i): dict(zip(names, row, strict=True)) for i, row in zip(results.index, cells, strict=True)}


def together(found: Sweep, numbers: list[int]) -> dict[int, dict[str, Any]]:
    """The rows of some points, evaluated at once."""
    results = evaluate_points(found, np.array(sorted(numbers)))
    assert sorted(results.index.tolist()) == sorted(numbers)
    assert tuple(results.columns) == result_columns(found)
    return rows(results)


def drawn(data: st.DataObject, found: Sweep, most: int) -> list[int]:
    numbers = st.integers(0, found.space.size - 1)
    return data.draw(st.lists(numbers, min_size=FEW + 1, max_size=most, unique=True))


@settings(max_examples=6)
@given(st.data())
def test_fusemax_points_are_those_of_one_by_one(data: st.DataObject) -> None:
    found = loaded(FUSEMAX)
    numbers = drawn(data, found, 30)
    for number, row in together(found, numbers).items():
        assert row == alone(found, number), found.space.point(number)


@settings(max_examples=4)
@given(st.data())
def test_flat_points_are_those_of_one_by_one(data: st.DataObject) -> None:
    found = loaded(FLAT, accounting=data.draw(st.sampled_from(["principled", "published"])))
    for number, row in together(found, drawn(data, found, 14)).items():
        assert row == alone(found, number), found.space.point(number)


@settings(max_examples=6)
@given(st.data())
def test_sizes_and_dimensions_are_those_of_one_by_one(data: st.DataObject) -> None:
    found = loaded(DIMENSIONS, energy=data.draw(st.sampled_from(["true", "false"])))
    for number, row in together(found, drawn(data, found, 40)).items():
        assert row == alone(found, number), found.space.point(number)


def test_every_status_is_seen() -> None:
    found = loaded(FUSEMAX)
    numbers = np.random.default_rng(0).choice(found.space.size, 120, replace=False)
    seen = {row["status"] for row in together(found, numbers.tolist()).values()}
    assert seen == {"ok", "unpriced", "does not fit"}
    tiles = together(loaded(DIMENSIONS), list(range(loaded(DIMENSIONS).space.size)))
    assert {row["status"] for row in tiles.values()} == {"ok", "failed", "does not fit"}


def test_reasons_name_need_and_limit_of_their_own_point() -> None:
    found = loaded(SMALL)
    unfit = {n: r for n, r in together(found, list(range(found.space.size))).items() if r["status"] == "does not fit"}
    assert len(unfit) == 15
    assert {row["reason"].split(" for ")[0] for row in unfit.values()} == {"global_buffer"}
    pe = {found.space.point(n)["pe"]: row["reason"] for n, row in unfit.items()}
    assert "needs 66,048 B, limit 8,192 B" in pe[128]
    assert len(set(pe.values())) == 3


def test_the_oracle_sees_a_lane_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(SMALL)
    monkeypatch.setattr(actions, "somewhere", lambda words: batches.rendered is None)
    wrong = together(found, list(range(found.space.size)))
    monkeypatch.undo()
    assert any(row != alone(found, number) for number, row in wrong.items())


def test_a_search_is_evaluated_one_by_one_and_counted() -> None:
    found = loaded(FLAT)
    points = [n for n in range(found.space.size) if found.space.point(n)["dataflow"] == "unfused"][: FEW + 2]
    results = evaluate_points(found, np.array(points))
    assert results.plain == len(points)
    assert evaluate_points(loaded(SMALL), np.arange(30)).plain == 0


def test_a_time_limit_gives_back_what_is_done() -> None:
    found = loaded(FLAT)
    points = np.array([n for n in range(found.space.size) if found.space.point(n)["dataflow"] == "unfused"][:10])
    results = evaluate_points(found, points, limit_s=0.0)
    assert len(results.index) == 1
    assert rows(results)[int(results.index[0])] == alone(found, int(results.index[0]))


def test_a_dataflow_that_is_left_open_is_chosen_for_each_point() -> None:
    text = "cascade: attention-3pass\narch: flat-cloud\nworkload: BERT\nlength: [1K, 4K]\n"
    found = sweep(text)
    for number, row in together(found, [0, 1]).items():
        assert row == alone(found, number)
    assert together(found, [0])[0]["mapped_by"] == "flat"


def test_no_points_are_no_rows() -> None:
    results = evaluate_points(loaded(SMALL), np.array([], dtype=np.int64))
    assert len(results.index) == 0
    assert set(map(len, results.columns.values())) == {0}
