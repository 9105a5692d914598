"""The reuse analysis against an executor that moves single words, on random Einsums and nests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from examples import examples
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from nests import QUIET, Nest, make_loop, make_operand, nest, nests
from reuse_faults import FAULTS

from fusemap.mappers.types import EinsumSpace, Fanout, Loop
from fusemap.sim import executor, reuse
from fusemap.sim.executor import LevelTraffic, Moved, execute

Counts: TypeAlias = list[tuple[str, str, int, int, int, int]]  # operand, memory, instances, reads, fills, updates


# --- the two sides ---------------------------------------------------------------------------------


def analysed(case: Nest) -> Counts:
    """Counts per instance by the analysis."""
    return [
        (c.operand.label, c.memory, c.instances, c.reads, c.fills, c.updates) for c in reuse.analyse(case[0], case[1])
    ]


def executed(case: Nest) -> Counts:
    """Counts per instance by the executor, in which all instances must agree."""
    return [
        (t.operand.label, t.memory, len(t.instances), t.each.reads, t.each.fills, t.each.updates)
        for t in execute(case[0], case[1]).traffic
    ]


def right_numbers(case: Nest, seed: int) -> bool:
    """Whether the executor's output is that of numpy.einsum on the same inputs."""
    space, mapping = case
    run = execute(space, mapping, seed=seed)
    ranks = [rank for rank, _ in space.ranks]
    letters = ["".join(rank for rank in ranks if rank in operand.ranks) for operand in space.operands]
    extents = dict(space.ranks)
    arrays = [np.ones(extent, dtype=np.int64) for extent in extents.values()]  # ranks that no input has
    for operand, words in zip(space.inputs, run.inputs, strict=True):
        array = np.zeros([extents[rank] for rank in ranks if rank in operand.ranks], dtype=np.int64)
        for word, value in words.items():
            array[word] = value
        arrays.append(array)
    expected = np.einsum(",".join([*ranks, *letters[:-1]]) + "->" + letters[-1], *arrays)
    if set(run.output) != set(np.ndindex(expected.shape)):
        return False
    return all(run.output[word] == expected[word] for word in run.output)


def check(case: Nest, seed: int) -> None:
    assert right_numbers(case, seed)
    assert analysed(case) == executed(case)


@examples(134, 400, suppress_health_check=QUIET)
@given(case=nests(), seed=st.integers(0, 9))
def test_analysis_and_executor_agree_on_every_count(case: Nest, seed: int) -> None:
    check(case, seed)


@pytest.mark.slow
@settings(max_examples=4000, suppress_health_check=QUIET, derandomize=False)
@given(case=nests(points=144), seed=st.integers(0, 9))
def test_analysis_and_executor_agree_on_many_more_nests(case: Nest, seed: int) -> None:
    check(case, seed)


MATRIX_VECTOR = EinsumSpace(
    name="Z",
    ranks=(("k", 4), ("m", 4)),
    operands=(make_operand("A", {"k", "m"}), make_operand("B", {"k"}), make_operand("Z", {"m"})),
    operators=("multiply", "add"),
)


def matrix_vector_nests() -> list[Nest]:
    """Z[m] = A[k, m] * B[k]: three memories with fanouts between, every order and place of the loops k, k, m, m.

    A and B are kept everywhere, Z in every set of memories.
    """
    kept_sets = [set(kept) for n in (1, 2, 3) for kept in itertools.combinations(range(3), n)]
    mappings = {
        nest([True, False, True, False, True], [make_loop(rank, 2) for rank in order], list(home), keeps)
        for keeps in ({"A": {0, 1, 2}, "B": {0, 1, 2}, "Z": kept} for kept in kept_sets)
        for order in set(itertools.permutations("kkmm"))
        for home in itertools.combinations_with_replacement(range(5), 4)
    }
    return [(MATRIX_VECTOR, mapping) for mapping in sorted(mappings, key=repr)]


def test_analysis_and_executor_agree_on_every_nest_of_a_matrix_times_a_vector() -> None:
    cases = matrix_vector_nests()
    assert len(cases) == 7 * math.factorial(8) // (math.factorial(4) * 2 * 2)
    assert all(analysed(case) == executed(case) for case in cases)
    hard = [case for case in cases if sums_come_back_below_a_reduction(case)]
    assert len(hard) > 20
    assert all(right_numbers(case, seed=0) for case in hard)


def sums_come_back_below_a_reduction(case: Nest) -> bool:
    """Partial sums are fetched by instances that share them."""
    return any(row[0] == "Z" and row[4] > 0 for row in analysed(case)) and any(
        loop.rank == "k" for level in case[1].levels if isinstance(level, Fanout) for loop in level.loops
    )


# --- planted faults --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_oracle_catches_a_fault_in_the_analysis(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[fault](monkeypatch)
    quick = settings(max_examples=2000, phases=[Phase.generate], database=None, suppress_health_check=QUIET)
    space, mapping = find(nests(), lambda case: analysed(case) != executed(case), settings=quick)
    monkeypatch.undo()
    assert analysed((space, mapping)) == executed((space, mapping))


def no_fetch_of_sums(keepers: Any, time: Any, *, is_output: bool) -> None:
    """Tiles of the output that come back start from nothing."""
    coming = [keeper.buffers[place] for keeper in keepers[1:] for place in keeper.changes(time)]
    TRUE_FETCH(keepers, time, is_output=is_output)
    for buffer in coming if is_output else []:
        buffer.words = {}


def multicast_of_sums(keepers: Any, time: Any, *, is_output: bool) -> None:
    """Partial sums that come back go to every instance."""
    TRUE_FETCH(keepers, time, is_output=False)


def last_sum_wins(parts: Any) -> Any:
    """No reduction of partial sums."""
    return {word: value for words in parts for word, value in words.items()}


TRUE_FETCH = executor._fetch


@pytest.mark.parametrize(
    ("name", "fault"), [("_fetch", no_fetch_of_sums), ("_fetch", multicast_of_sums), ("_sum", last_sum_wins)]
)
def test_wrong_movement_in_the_executor_gives_wrong_numbers(
    name: str, fault: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, name, fault)
    assert not all(right_numbers(case, seed=0) for case in matrix_vector_nests())


# --- the executor by hand --------------------------------------------------------------------------


def test_traffic_of_a_nest_counted_by_hand() -> None:
    """Z[m] = A[k, m] * B[k]: k outside m at M0, so Z comes back to M1 once per k, and B stays for all of m."""
    loops, keeps = [make_loop("k", 4), make_loop("m", 4)], {"A": {0}, "B": {0, 1}, "Z": {0, 1}}
    assert executed((MATRIX_VECTOR, nest([True, True], loops, [0, 0], keeps))) == [
        ("A", "M0", 1, 16, 0, 0),
        ("B", "M0", 1, 4, 0, 0),
        ("B", "M1", 1, 16, 4, 0),
        ("Z", "M0", 1, 12, 0, 16),
        ("Z", "M1", 1, 12, 12, 16),
    ]


def test_shared_words_cost_one_read_at_the_parent_by_hand() -> None:
    """k on a fanout between the memories: each of 4 instances has its B and a partial Z; Z[m] is summed on the way."""
    loops, keeps = [make_loop("k", 4), make_loop("m", 4)], {"A": {0, 1}, "B": {0, 1}, "Z": {0, 1}}
    assert executed((MATRIX_VECTOR, nest([True, False, True], loops, [1, 2], keeps))) == [
        ("A", "M0", 1, 16, 0, 0),
        ("A", "M1", 4, 4, 4, 0),
        ("B", "M0", 1, 4, 0, 0),
        ("B", "M1", 4, 4, 1, 0),
        ("Z", "M0", 1, 0, 0, 4),
        ("Z", "M1", 4, 0, 0, 4),
    ]


def test_instances_that_disagree_are_not_averaged() -> None:
    one, two = Moved(reads=1, fills=0, updates=0), Moved(reads=2, fills=0, updates=0)
    traffic = LevelTraffic(memory="M0", operand=make_operand("A", set()), instances=(one, two))
    assert traffic.total == Moved(reads=3, fills=0, updates=0)
    with pytest.raises(ValueError, match="instances of M0 disagree on A"):
        _ = traffic.each


@pytest.mark.parametrize(
    ("loops", "keeps", "message"),
    [
        ([make_loop("k", 2), make_loop("m", 4)], {"A": {0}, "B": {0}, "Z": {0}}, "loops cover 2 of rank k"),
        ([make_loop("k", 4), make_loop("n", 4)], {"A": {0}, "B": {0}, "Z": {0}}, "loop over n"),
        ([make_loop("k", 0), make_loop("m", 4)], {"A": {0}, "B": {0}, "Z": {0}}, "loop over k has bound 0"),
        ([make_loop("k", 4), make_loop("m", 4)], {"A": {0}, "B": set(), "Z": {0}}, "no level keeps B"),
    ],
)
def test_executor_refuses_what_is_no_nest_of_the_space(
    loops: list[Loop], keeps: dict[str, set[int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        execute(MATRIX_VECTOR, nest([True], loops, [0, 0], keeps))
