"""Mappings drawn from the whole space are executed: all that the search may choose from is legal and counted right."""

from __future__ import annotations

import dataclasses
import random

import pytest
from fused_cases import Case
from mapspace_cases import Tiny, small_sizes, workload
from mapspace_draw import drawn, wrong
from mapspace_random import puzzle

from fusemap.einsum_cascade import catalog
from fusemap.mappers.mapspace import plan
from fusemap.mappers.space import make_problem

LIBRARY = (
    *("attention-3pass", "attention-3pass-deferred", "attention-naive", "attention-1pass", "attention-2pass"),
    *("attention-flash-1", "attention-splitk", "softmax", "softmax-online", "layernorm", "rmsnorm-matmul"),
    *("variance-welford", "linear-attention", "linear-attention-causal-streaming", "prefix-times-suffix"),
    *("cascade-1", "cascade-2", "scan-divide-by-total", "logsumexp", "cross-entropy"),
)


def of_puzzle(seed: int) -> tuple[Case, list[float]]:
    given = puzzle(seed)
    machine = dataclasses.replace(given.tiny, words=None).machine
    problem = make_problem(given.cascade, workload(given.cascade, given.sizes), {})
    return drawn(given.cascade, problem, machine, random.Random(seed))


def of_library(name: str, seed: int) -> tuple[Case, list[float]]:
    rng = random.Random(f"{name} {seed}")
    cascade = catalog.load(name)
    sizes = {shape: rng.choice((1, 2, 3, 4)) for shape in "PNKEFDTC"} | {"M": 4}
    problem = make_problem(cascade, workload(cascade, small_sizes(cascade, sizes, rng.choice((1, 2)))), {})
    return drawn(cascade, problem, Tiny(words=None).machine, rng)


@pytest.mark.parametrize("seed", range(60))
def test_a_mapping_of_a_random_cascade(seed: int) -> None:
    assert wrong(*of_puzzle(seed)) == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LIBRARY)
def test_a_mapping_of_a_library_cascade(name: str, seed: int) -> None:
    assert wrong(*of_library(name, seed)) == []


def test_a_loop_across_a_barrier_is_met_by_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: no Einsum waits for a reduction."""
    monkeypatch.setattr(plan, "epochs", lambda of, members, rank: dict.fromkeys(members, 0))
    faults = [text for seed in range(20) for text in wrong(*of_library("softmax", seed))]
    assert any("points have run" in text for text in faults)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
def test_many_mappings_of_a_library_cascade(name: str) -> None:
    for seed in range(100):
        assert wrong(*of_library(name, seed)) == [], seed


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(30))
def test_mappings_of_thousands_of_random_cascades(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        assert wrong(*of_puzzle(seed)) == [], seed
