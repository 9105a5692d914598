"""The search against every mapping, one by one, of hundreds of small random problems."""

from __future__ import annotations

import dataclasses
import math

import pytest
from mapspace_brute import Brute, TooMany
from mapspace_cases import workload
from mapspace_random import Puzzle, puzzle

from fusemap.diagnostics import DoesNotFit
from fusemap.mappers.mapspace import front, options
from fusemap.mappers.mapspace.front import Objective
from fusemap.mappers.mapspace.grid import orders
from fusemap.mappers.space import make_problem
from fusemap.sim.best import find_best

OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "edp")
MOST = 60_000  # mappings of a problem
CHEAP = (2, 4, 6, 10, 14, 15, 17, 18, 29, 30, 34, 39, 42, 50, 58, 59, 62, 70, 71, 74, 78, 88, 89, 90)  # seeds with few

BOUND = (24, 39, 51, 94, 122, 123)  # seeds with few in which the buffer's bandwidth makes the best mapping slower


def searched(given: Puzzle, objective: Objective) -> float | None:
    """The value that the search finds; None where nothing fits."""
    sizes = workload(given.cascade, given.sizes)
    try:
        found = find_best(
            given.cascade, given.tiny.machine, sizes, objective=objective, space=given.space, dataflows=False
        )
    except DoesNotFit:
        return None
    assert found.proven
    return found.value


def looked(given: Puzzle, objective: Objective, most: int) -> float | None:
    """The least value over all mappings; None where none is legal."""
    problem = make_problem(given.cascade, workload(given.cascade, given.sizes), {})
    brute = Brute(cascade=given.cascade, problem=problem, machine=given.tiny.machine, space=given.space, most=most)
    found = brute.best(objective)
    return None if found is None else found[0]


def agree(seed: int, objective: Objective, most: int = MOST) -> None:
    given = puzzle(seed)
    try:
        least = looked(given, objective, most)
    except TooMany:
        pytest.skip("too many mappings to look at each")
    found = searched(given, objective)
    assert (least is None) == (found is None), given.text
    assert least is None or found is None or math.isclose(found, least, rel_tol=1e-9), given.text


@pytest.mark.sampled(2)
@pytest.mark.parametrize("seed", CHEAP)
def test_the_search_finds_the_least_of_all_mappings(seed: int) -> None:
    agree(seed, OBJECTIVES[CHEAP.index(seed) % 3])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("objective", ["latency", "edp"])
@pytest.mark.parametrize("seed", BOUND)
def test_the_search_finds_the_least_where_the_buffer_is_slow(seed: int, objective: Objective) -> None:
    given = puzzle(seed)
    wide = dataclasses.replace(given, tiny=dataclasses.replace(given.tiny, ports=None))
    agree(seed, objective)
    slow, fast = searched(given, objective), searched(wide, objective)
    assert slow is not None and fast is not None and slow > fast * (1 + 1e-9)


def test_a_search_without_the_load_of_the_buffer_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: no option knows of the buffer's cycles."""
    for module in (options, front):
        monkeypatch.setattr(module, "cycles_per_buffer_byte", lambda machine: None)
    for seed in BOUND[:5]:
        with pytest.raises(AssertionError, match="search and evaluation disagree"):
            searched(puzzle(seed), "latency")


def test_fetching_more_often_to_stream_past_a_slow_buffer_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: ranks of every operand are outermost although the buffer has a bandwidth."""
    agree(57, "latency")
    monkeypatch.setattr(front, "orders", lambda plan, anywhere: orders(plan))
    with pytest.raises(AssertionError):
        agree(57, "latency")


def test_the_problems_are_of_many_kinds() -> None:
    for seeds in (CHEAP, range(400)):
        given = [puzzle(seed) for seed in seeds]
        assert len({p.text for p in given}) > len(given) / 3
        assert {len(p.tiny.arrays) for p in given} == {1, 2}
        assert any("init:" in p.text for p in given)
        assert sum("sum[" in p.text or "max[" in p.text for p in given) > len(given) / 3
        assert any(not p.space.hold for p in given)
        assert {p.space.recompute for p in given} == {0, 1, 2}
        assert {p.tiny.ports for p in given} >= {None, 1.0, 2.0}


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(400))
def test_the_search_finds_the_least_of_all_mappings_of_hundreds(seed: int, objective: Objective) -> None:
    agree(seed, objective)
