"""The points that no other one beats, against all pairs: ties, any number of objectives, blocks of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from store_cases import front_by_pairs

from fusemap.validation import pareto_front
from fusemap.validation.pareto_front import Running, non_dominated


def points(numbers: st.SearchStrategy[float], most: int = 40) -> st.SearchStrategy[list[tuple[float, ...]]]:
    """Lists of points of one to five objectives."""
    return st.integers(1, 5).flatmap(lambda d: st.lists(st.tuples(*[numbers] * d), min_size=1, max_size=most))


def found(values: list[tuple[float, ...]]) -> list[bool]:
    """The answer that is tried."""
    return non_dominated(np.array(values, dtype=np.float64)).tolist()


@given(points(st.integers(0, 4).map(float)))
@example([(0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)])
def test_it_is_the_front_of_all_pairs_where_ties_are_common(values: list[tuple[float, ...]]) -> None:
    assert found(values) == front_by_pairs(values)


@given(points(st.floats(-1e12, 1e12)))
def test_it_is_the_front_of_all_pairs_for_any_numbers(values: list[tuple[float, ...]]) -> None:
    assert found(values) == front_by_pairs(values)


@pytest.mark.parametrize("objectives", [2, 3, 4])
@pytest.mark.parametrize("kind", ["even", "few", "trade-off", "long tails"])
def test_many_points(objectives: int, kind: str) -> None:
    """More than are looked at in one sample, chunk or slice."""
    random = np.random.default_rng(objectives)
    values = {
        "even": lambda: random.random((1200, objectives)),
        "few": lambda: random.integers(0, 9, (1200, objectives)).astype(np.float64),
        "trade-off": lambda: _simplex(random.random((1200, objectives))),
        "long tails": lambda: np.exp(6 * random.standard_normal((1200, objectives))),
    }[kind]()
    beaten = np.zeros(len(values), dtype=bool)
    for other in values:
        beaten |= (other <= values).all(axis=1) & (other < values).any(axis=1)
    assert np.array_equal(non_dominated(values), ~beaten)
    if kind == "trade-off":
        assert (~beaten).sum() > 1000


def _simplex(values: Any) -> Any:
    """Points of which hardly any beats another one."""
    return np.round(values / values.sum(axis=1, keepdims=True), 9)


@given(points(st.integers(0, 5).map(float), most=60), st.lists(st.integers(0, 60), max_size=4), st.integers(1, 20))
def test_blocks_of_any_size_have_the_same_front(values: list[tuple[float, ...]], cuts: list[int], limit: int) -> None:
    array, numbers = np.array(values), np.arange(100, 100 + len(values))
    running = Running(objectives=array.shape[1], _limit=limit)
    for part, names in zip(np.split(array, sorted(cuts)), np.split(numbers, sorted(cuts)), strict=True):
        running.add(part, names)
    front, kept = running.front()
    mask = np.array(front_by_pairs(values))
    assert (running.seen, kept.tolist()) == (len(values), numbers[mask].tolist())
    assert np.array_equal(front, array[mask])


def test_a_running_front_does_not_hold_what_is_beaten() -> None:
    running = Running(objectives=2)
    for start in range(0, 10**6, 10**5):
        block = np.arange(start, start + 10**5, dtype=np.float64)
        running.add(np.stack([block, block], axis=1), block.astype(np.int64))
        assert sum(len(part) for part in running._values) <= 2 * 10**5
    assert running.front()[1].tolist() == [0]


def test_what_has_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        non_dominated(np.array([[1.0, np.nan]]))
    assert non_dominated(np.zeros((0, 3))).tolist() == []


# --- the comparison can fail --------------------------------------------------------------------------------

FAULTS: dict[str, Callable[[Any], Any]] = {
    "drops one": lambda rows: ORIGINAL(rows) & (np.arange(len(rows)) != np.flatnonzero(ORIGINAL(rows))[-1]),
    "keeps one that is beaten": lambda rows: ORIGINAL(rows) | (np.arange(len(rows)) == 1),
    "looks at two objectives": lambda rows: ORIGINAL(rows[:, :2]),
}
ORIGINAL = pareto_front._of_distinct


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    tried = [[tuple(row) for row in random.integers(0, 5, (20, 3)).astype(float).tolist()] for _ in range(20)]
    assert all(found(values) == front_by_pairs(values) for values in tried)
    monkeypatch.setattr(pareto_front, "_of_distinct", FAULTS[fault])
    assert not all(found(values) == front_by_pairs(values) for values in tried)
