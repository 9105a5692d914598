"""Laws of the reuse analysis that carry the executed small nests to sizes that nobody can execute."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
from examples import examples
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from nests import QUIET, Nest, make_loop, nests
from reuse_faults import FAULTS, FAULTS_BEYOND_SMALL_INTEGERS

from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage
from fusemap.sim import reuse
from fusemap.sim.executor import execute
from fusemap.sim.reuse import LevelCount

FIELDS = ("tile", "visits", "access", "partition", "reads", "fills", "updates", "instances")
HUGE = st.integers(2**60, 2**70) | st.integers(1, 3)
Relation: TypeAlias = Callable[..., None]
FRAGILE: dict[str, tuple[str, Relation]] = {}  # by law: the fault that breaks it, the law without shrinking


def law(fault: str, **strategies: Any) -> Callable[[Relation], Relation]:
    """A test that the relation holds for everything drawn; it must not hold with the planted fault."""

    def decorate(relation: Relation) -> Relation:
        quick = settings(max_examples=2000, phases=[Phase.generate], suppress_health_check=QUIET)
        FRAGILE[relation.__name__] = fault, quick(given(**strategies)(relation))
        return examples(20, 60, suppress_health_check=QUIET)(given(**strategies)(relation))

    return decorate


def table(case: Nest) -> dict[tuple[str, str], dict[str, int]]:
    """The counts by operand and memory."""
    rows = reuse.analyse(case[0], case[1])
    return {(row.operand.label, row.memory): {name: getattr(row, name) for name in FIELDS} for row in rows}


def with_levels(case: Nest, levels: tuple[Level, ...]) -> Nest:
    return case[0], replace(case[1], levels=levels)


def with_bounds(case: Nest, new: Callable[[int], Any]) -> Nest:
    """The same nest with every bound b replaced by new(b)."""
    change = [
        replace(lv, loops=tuple(Loop(rank=p.rank, bound=new(p.bound)) for p in lv.loops)) for lv in case[1].levels
    ]
    return with_levels(case, tuple(change))


def with_outer(case: Nest, outer: Level, *, relevant: bool) -> Nest:
    """The nest below one more level over a new rank that indexes every operand, or none."""
    space, mapping = case
    rank = frozenset(loop.rank for loop in outer.loops) if relevant else frozenset[str]()
    operands = tuple(replace(operand, ranks=operand.ranks | rank) for operand in space.operands)
    return replace(space, operands=operands), replace(mapping, levels=(outer, *mapping.levels))


def temporal(rank: str, bound: int) -> Storage:
    return Storage(memory="host", loops=(make_loop(rank, bound),))


def spatial(rank: str, bound: int) -> Fanout:
    return Fanout(array="chips", dim="x", loops=(make_loop(rank, bound),))


# --- from executed nests to any size ---------------------------------------------------------------


@law("relevant fanouts forgotten", case=nests(points=48), power=st.integers(1, 70))
def test_counts_of_powered_bounds_follow_from_the_executed_nest(case: Nest, power: int) -> None:
    """Accesses, transfers and first writes are monomials in the bounds: bounds**n make each of them **n."""
    counts = table(with_bounds(case, lambda bound: bound**power))
    home: set[str] = set()
    for level in execute(case[0], case[1]).traffic:
        big, small = counts[level.operand.label, level.memory], level.each
        first = small.updates - small.reads if level.operand.is_output else 0
        read = small.updates**power - first**power if level.operand.is_output else small.reads**power
        assert big["updates"] == small.updates**power
        assert big["reads"] == read
        if level.operand.label in home:
            assert big["fills"] == (small.fills + first) ** power - first**power
        else:
            assert big["fills"] == small.fills == 0
        assert big["instances"] == len(level.instances) ** power
        home.add(level.operand.label)


@law("counts wrap at 64 bits", case=nests(points=4**10), k=HUGE)
def test_an_outermost_batch_loop_of_k_multiplies_every_count_by_k(case: Nest, k: int) -> None:
    before, after = table(case), table(with_outer(case, temporal("batch", k), relevant=True))
    assert before.keys() == after.keys()
    for key, row in before.items():
        scaled = {name: row[name] * k for name in ("access", "partition", "reads", "fills", "updates")}
        assert {name: after[key][name] for name in scaled} == scaled
        assert after[key]["instances"] == row["instances"]
        assert all(type(count) is int for count in after[key].values())


@law("visits by relevant loops only", case=nests(points=4**10), k=HUGE)
def test_an_outermost_irrelevant_loop_repeats_what_does_not_stay(case: Nest, k: int) -> None:
    """A tile that never changed below stays for all k iterations; all else moves k times; first writes stay."""
    before, after = table(case), table(with_outer(case, temporal("again", k), relevant=False))
    for operand in case[0].operands:
        rows = [(before[key], after[key]) for key in before if key[0] == operand.label]
        for i, (old, new) in enumerate(rows):
            stays = i + 1 < len(rows) and rows[i + 1][0]["visits"] == 1
            assert new["access"] == old["access"] * (1 if stays else k)
            assert (new["partition"], new["instances"]) == (old["partition"], old["instances"])
            if i > 0:
                own = old["fills"] + old["partition"]
                assert new["fills"] == own * (1 if old["visits"] == 1 else k) - old["partition"]


@law("partition ignores spatial loops", case=nests(points=4**10), k=HUGE, relevant=st.booleans())
def test_an_outermost_fanout_copies_the_instances_and_changes_none(case: Nest, k: int, relevant: bool) -> None:
    before, after = table(case), table(with_outer(case, spatial("chip", k), relevant=relevant))
    for key, row in before.items():
        assert after[key] == row | {"instances": row["instances"] * k}


# --- what changes nothing --------------------------------------------------------------------------


@law("loops of bound 1 fetch again", case=nests(points=4**10))
def test_a_loop_of_bound_one_changes_nothing(case: Nest) -> None:
    expected = table(case)
    for i, level in enumerate(case[1].levels):
        for rank, _ in case[0].ranks:
            padded = replace(level, loops=(*level.loops, make_loop(rank, 1)))
            assert table(with_levels(case, (*case[1].levels[:i], padded, *case[1].levels[i + 1 :]))) == expected


@law("visits to the outermost relevant loop only", case=nests(points=4**10), a=HUGE, b=HUGE)
def test_splitting_a_loop_into_adjacent_loops_changes_nothing(case: Nest, a: int, b: int) -> None:
    whole = with_bounds(case, lambda bound: 1 if bound == 1 else a * b)
    split = [
        replace(lv, loops=tuple(q for p in lv.loops for q in ([p] if p.bound == 1 else halves(p.rank, a, b))))
        for lv in case[1].levels
    ]
    assert table(with_levels(case, tuple(split))) == table(whole)


def halves(rank: str, a: int, b: int) -> list[Loop]:
    return [make_loop(rank, a), make_loop(rank, b)]


@law("visits to the outermost relevant loop only", case=nests(points=4**10))
def test_the_order_of_loops_that_are_alike_does_not_matter(case: Nest) -> None:
    for operand in case[0].operands:
        alone = replace(case[0], operands=(operand,))
        expected = table((alone, case[1]))
        for i, level in enumerate(case[1].levels):
            for j in range(len(level.loops) - 1):
                first, second = level.loops[j : j + 2]
                if (first.rank in operand.ranks) == (second.rank in operand.ranks):
                    swapped = (*level.loops[:j], second, first, *level.loops[j + 2 :])
                    levels = (*case[1].levels[:i], replace(level, loops=swapped), *case[1].levels[i + 1 :])
                    assert table((alone, replace(case[1], levels=levels))) == expected


# --- conservation ----------------------------------------------------------------------------------


def shares(levels: Iterable[Level], operand: Operand) -> int:
    """How many instances share a word below these levels: the product of the irrelevant spatial bounds."""
    loops = (loop for level in levels if isinstance(level, Fanout) for loop in level.loops)
    return math.prod(loop.bound for loop in loops if loop.rank not in operand.ranks)


def positions(mapping: EinsumMapping) -> dict[str, int]:
    return {level.memory: i for i, level in enumerate(mapping.levels) if isinstance(level, Storage)}


def families(case: Nest) -> list[tuple[Operand, LevelCount, LevelCount, int]]:
    """Every parent and child that keep an operand, and how many children share each word of the parent."""
    space, mapping = case
    position = positions(mapping)
    found: list[tuple[Operand, LevelCount, LevelCount, int]] = []
    for operand in space.operands:
        rows = [row for row in reuse.analyse(space, mapping) if row.operand == operand]
        for parent, child in itertools.pairwise(rows):
            between = mapping.levels[position[parent.memory] : position[child.memory]]
            found.append((operand, parent, child, shares(between, operand)))
    return found


@law("multicast counted per instance", case=nests(points=4**10), power=st.integers(1, 40))
def test_what_children_take_their_parents_give(case: Nest, power: int) -> None:
    for operand, parent, child, sharing in families(with_bounds(case, lambda bound: bound**power)):
        assert child.fills * child.instances == parent.reads * parent.instances * sharing
        if operand.is_output:
            drained = child.fills + child.partition  # what came, and the first visits, which nothing had filled
            assert drained * child.instances == parent.updates * parent.instances * sharing


@law("first writes read", case=nests(points=4**10), power=st.integers(1, 40))
def test_traffic_is_at_least_compulsory_and_first_writes_are_the_words(case: Nest, power: int) -> None:
    space, mapping = with_bounds(case, lambda bound: bound**power)
    position = positions(mapping)
    extents = {rank: extent**power for rank, extent in space.ranks}
    for row in reuse.analyse(space, mapping):
        words = math.prod(extents[rank] for rank in row.operand.ranks)
        assert row.access * row.instances >= words
        assert row.reads >= 0 and row.fills >= 0
        if row.operand.is_output:
            assert row.updates - row.reads == row.partition
            assert row.partition * row.instances == words * shares(mapping.levels[: position[row.memory]], row.operand)


@law("tile of the next level", case=nests(points=4**10))
def test_keeping_a_tensor_in_one_more_memory_never_costs_the_outer_ones(case: Nest) -> None:
    space, mapping = case
    for i, level in enumerate(mapping.levels):
        for operand in space.operands:
            if not isinstance(level, Storage) or level.keeps(operand.tensor):
                continue
            more = replace(level, keep=(level.keep or frozenset()) | {operand.tensor})
            kept = table((space, replace(mapping, levels=(*mapping.levels[:i], more, *mapping.levels[i + 1 :]))))
            outer = [lv.memory for lv in mapping.levels[:i] if isinstance(lv, Storage) and lv.keeps(operand.tensor)]
            for memory in outer:
                row, before = kept[operand.label, memory], table(case)[operand.label, memory]
                assert all(row[name] <= before[name] for name in ("reads", "fills", "updates"))


# --- many mappings at once -------------------------------------------------------------------------


def check_arrays(case: Nest, bounds: list[list[int]], dtype: Any) -> None:
    """Three mappings in one, whose i-th loop (outside in) has the bounds bounds[i]."""
    arrays = iter(np.array(three, dtype=dtype) for three in bounds)
    together = table(with_bounds(case, lambda _: next(arrays)))
    for column in range(3):
        ints = iter(three[column] for three in bounds)
        one = table(with_bounds(case, lambda _, ints=ints: next(ints)))
        for key, row in one.items():
            assert {name: int(np.broadcast_to(together[key][name], 3)[column]) for name in FIELDS} == row


def threes(largest: int) -> st.SearchStrategy[list[list[int]]]:
    """Three bounds for each of at most ten loops, with many of 1."""
    three = st.lists(st.integers(1, largest) | st.just(1), min_size=3, max_size=3)
    return st.lists(three, min_size=10, max_size=10)


@law("bounds of 1 in arrays fetch again", case=nests(points=4**10), bounds=threes(2**6))
def test_int64_arrays_of_bounds_give_the_numbers_of_each_mapping(case: Nest, bounds: list[list[int]]) -> None:
    check_arrays(case, bounds, np.int64)  # at most 2**60: within 64 bits


@law("bounds of 1 in arrays fetch again", case=nests(points=4**10), bounds=threes(2**70))
def test_object_arrays_of_bounds_give_the_numbers_of_each_mapping(case: Nest, bounds: list[list[int]]) -> None:
    check_arrays(case, bounds, object)  # Python integers: exact at any size


# --- the exact count of a known nest ---------------------------------------------------------------


def test_a_matrix_product_of_extent_2_to_the_70_by_hand() -> None:
    """Z[m,n] = A[k,m] * B[k,n], k innermost at DRAM: A once per n, B once per m, Z written once and never read."""
    n = 2**70
    operands = tuple(
        Operand(tensor=name, label=name, ranks=frozenset(ranks), is_output=name == "Z")
        for name, ranks in [("A", "km"), ("B", "kn"), ("Z", "mn")]
    )
    space = EinsumSpace(name="Z", ranks=tuple((r, n) for r in "kmn"), operands=operands, operators=("multiply", "add"))
    dram = Storage(memory="DRAM", loops=tuple(make_loop(rank, n) for rank in "nmk"), keep=None)
    levels = (dram, Storage(memory="register", keep=None))
    counts = table((space, EinsumMapping(einsum="Z", array="pe", levels=levels)))
    assert {key: (row["reads"], row["fills"], row["updates"]) for key, row in counts.items()} == {
        ("A", "DRAM"): (2**210, 0, 0),
        ("A", "register"): (2**210, 2**210, 0),
        ("B", "DRAM"): (2**210, 0, 0),
        ("B", "register"): (2**210, 2**210, 0),
        ("Z", "DRAM"): (0, 0, 2**140),
        ("Z", "register"): (2**210 - 2**140, 0, 2**210),
    }


# --- every law can fail ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FRAGILE)
def test_a_planted_fault_breaks_the_law(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fault, relation = FRAGILE[name]
    (FAULTS | FAULTS_BEYOND_SMALL_INTEGERS)[fault](monkeypatch)
    with pytest.raises(AssertionError):
        relation()


def test_int64_bounds_that_could_wrap_are_refused() -> None:
    """Three loops of 2**22 wrap int64; ints and float64 do not."""
    operand = Operand(tensor="Z", label="Z", ranks=frozenset("m"), is_output=True)
    space = EinsumSpace(name="Z", ranks=(("m", 2**44), ("k", 2**22)), operands=(operand,), operators=("mul",))

    def reads(bound: object) -> object:
        loops = tuple(Loop(rank=rank, bound=bound) for rank in "mkm")  # type: ignore[arg-type]
        levels = (Storage(memory="M0", loops=loops, keep=None),)
        return reuse.analyse(space, EinsumMapping(einsum="Z", array="pe", levels=levels))[0].reads

    with pytest.raises(OverflowError, match="2\\*\\*62"):
        reads(np.array([2**22]))
    assert reads(2**22) == 2**66 - 2**44
    assert reads(np.array([2.0**22])) == 2**66 - 2**44
