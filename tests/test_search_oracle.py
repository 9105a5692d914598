"""The search of splits against enumeration: every split, order and keep set, priced one by one on integers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from examples import examples
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from search_cases import ENERGIES, Case, candidates, cases, held_bytes, machine

from fusemap.diagnostics import InputError
from fusemap.mappers import search
from fusemap.mappers.search import best_split
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Loop, Operand, Storage
from fusemap.sim.cost import operand_costs
from fusemap.sim.executor import execute
from fusemap.sim.reuse import analyse

Counts: TypeAlias = list[tuple[str, int, int, int, int]]  # memory, instances, reads, fills, updates
Objective: TypeAlias = tuple[float, float, int]  # bytes to the outermost memory, pJ, bytes held at the split memory
QUICK = [HealthCheck.too_slow, HealthCheck.data_too_large]


def analysed(space: EinsumSpace, nest: EinsumMapping) -> Counts:
    return [(c.memory, c.instances, c.reads, c.fills, c.updates) for c in analyse(space, nest)]


def executed(space: EinsumSpace, nest: EinsumMapping) -> Counts:
    """The same by moving single words."""
    run = execute(space, nest)
    return [(t.memory, len(t.instances), t.each.reads, t.each.fills, t.each.updates) for t in run.traffic]


def objective(case: Case, nest: EinsumMapping, held: int, count: Callable[..., Counts]) -> Objective:
    """Traffic, energy and footprint of one mapping, by the prices in the text of the machine."""
    far_read, far_write, near_read, near_write = case.energies
    prices = {
        "far": (far_read, far_write, 2),
        "mid": (5, 4, 4),
        "near": (near_read, near_write, 8),
        "grid.registers": (1, 0.5, 1),
    }
    traffic, energy = 0, 0.0
    for memory, instances, reads, fills, updates in count(case.space, nest):
        read, write, words = prices[memory]
        energy += instances * (reads * read + (fills + updates) * write) / words
        traffic += 2 * (reads + updates) if memory == "far" else 0
    return traffic, energy, held


def least(case: Case, count: Callable[..., Counts]) -> Objective:
    """The lexicographic minimum; energies are multiples of 1/8 and small, so floats compare exactly."""
    fits = [(nest, held) for nest, held in candidates(case) if case.capacity is None or held <= case.capacity]
    return min(objective(case, nest, held, count) for nest, held in fits)


def found(case: Case, count: Callable[..., Counts] = analysed) -> Objective:
    """The objective of what the search finds."""
    nest = best_split(case.space, case.nest, case.machine, "near", case.split, operand_costs)
    return objective(case, nest, held_bytes(case.space, nest), count)


def is_candidate(case: Case) -> bool:
    """Whether the found mapping is one of the enumerated ones that fit (loops of bound 1 left out)."""
    mapped = plain(best_split(case.space, case.nest, case.machine, "near", case.split, operand_costs))
    return any(
        mapped == plain(nest) for nest, held in candidates(case) if case.capacity is None or held <= case.capacity
    )


def plain(nest: EinsumMapping) -> EinsumMapping:
    """The nest without loops of bound 1, which do nothing."""
    return replace(
        nest, levels=tuple(replace(lv, loops=tuple(p for p in lv.loops if p.bound > 1)) for lv in nest.levels)
    )


def check(case: Case) -> None:
    assert found(case) == least(case, analysed)


@examples(34, 100, suppress_health_check=QUICK)
@given(case=cases())
def test_the_search_finds_the_least_of_all_mappings(case: Case) -> None:
    check(case)


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=QUICK, derandomize=False)
@given(case=cases(splits=60))
def test_the_search_finds_the_least_of_all_mappings_of_larger_einsums(case: Case) -> None:
    check(case)


@examples(14, 40, suppress_health_check=QUICK)
@given(case=cases(splits=4))
def test_the_found_mapping_is_in_the_space_and_fits(case: Case) -> None:
    assert is_candidate(case)


def is_tiny(case: Case) -> bool:
    return case.space.points <= 32


@examples(9, 25, suppress_health_check=[*QUICK, HealthCheck.filter_too_much])
@given(case=cases(splits=4).filter(is_tiny))
def test_the_search_finds_the_least_of_what_an_executor_counts(case: Case) -> None:
    assert found(case, executed) == least(case, executed)


def batched(case: Case, batch: int) -> Case:
    """The case with an outermost loop over a rank that indexes every operand."""
    far, *rest = case.nest.levels
    outer = Storage(memory="far", loops=(Loop(rank="h", bound=batch), *far.loops), keep=None)
    operands = tuple(replace(o, ranks=o.ranks | {"h"}) for o in case.space.operands)
    space = replace(case.space, ranks=(("h", batch), *case.space.ranks), operands=operands)
    return replace(case, space=space, nest=replace(case.nest, levels=(outer, *rest)))


@examples(10, 30, suppress_health_check=QUICK)
@given(case=cases(splits=6), batch=st.sampled_from([2, 3, 64]))
def test_a_batch_loop_is_left_out_without_loss(case: Case, batch: int) -> None:
    larger = batched(case, batch)
    check(larger)
    one, many = (best_split(c.space, c.nest, c.machine, "near", c.split, operand_costs) for c in (case, larger))
    assert many.levels[1:] == one.levels[1:]
    assert many.levels[0].loops == (Loop(rank="h", bound=batch), *one.levels[0].loops)


# --- planted faults --------------------------------------------------------------------------------


def first_order_only(patch: pytest.MonkeyPatch) -> None:
    shim = SimpleNamespace(**vars(itertools))
    shim.permutations = lambda ranks: [tuple(ranks)]
    patch.setattr(search, "itertools", shim)


def no_capacity(patch: pytest.MonkeyPatch) -> None:
    true = search._least
    patch.setattr(search, "_least", lambda traffic, energy, held, capacity: true(traffic, energy, held, None))


def ties_by(*picked: int) -> Callable[[pytest.MonkeyPatch], None]:
    """Compare only some of (traffic, energy, footprint)."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        true = search._better
        patch.setattr(search, "_better", lambda key, best: true([key[i] for i in picked], [best[i] for i in picked]))

    return plant


def energy_unseen_within_an_order(patch: pytest.MonkeyPatch) -> None:
    """Among the splits of one order and keep set, the footprint decides what the energy should."""
    true = search._least

    def faulty(traffic: Any, energy: Any, held: Any, capacity: int | None) -> Any:
        found = true(traffic, traffic, held, capacity)
        if found is None:
            return None
        values = (np.broadcast_to(v, np.broadcast(traffic, energy, held).shape) for v in (traffic, energy, held))
        return tuple(float(v[found[1]]) for v in values), found[1]

    patch.setattr(search, "_least", faulty)


def all_or_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(search, "_subsets", lambda operands: [(), operands])


def no_largest_divisor(patch: pytest.MonkeyPatch) -> None:
    true = search.divisors
    patch.setattr(search, "divisors", lambda n: true(n)[:-1] or (1,))


def every_leading_loop_is_common(patch: pytest.MonkeyPatch) -> None:
    def faulty(space: EinsumSpace, nest: EinsumMapping, split: tuple[str, ...]) -> frozenset[str]:
        leading = itertools.takewhile(lambda loop: loop.rank not in split, nest.levels[0].loops)
        return frozenset(loop.rank for loop in leading)

    patch.setattr(search, "_common_prefix", faulty)


def tiles_without_spatial_loops(patch: pytest.MonkeyPatch) -> None:
    true = search._tile

    def faulty(nest: EinsumMapping, at: str, operand: Operand) -> Any:
        return true(replace(nest, levels=tuple(lv for lv in nest.levels if isinstance(lv, Storage))), at, operand)

    patch.setattr(search, "_tile", faulty)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "one order only": first_order_only,
    "no capacity": no_capacity,
    "traffic alone decides": ties_by(0),
    "energy before traffic": ties_by(1, 0, 2),
    "no footprint": ties_by(0, 1),
    "energy unseen within an order": energy_unseen_within_an_order,
    "all tensors or none": all_or_nothing,
    "the largest divisor is forgotten": no_largest_divisor,
    "leading loops are common to all": every_leading_loop_is_common,
    "tiles without spatial loops": tiles_without_spatial_loops,
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("fault", FAULTS)
def test_enumeration_catches_a_fault_in_the_search(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search._search.cache_clear()
    FAULTS[fault](monkeypatch)
    quick = settings(
        max_examples=600, derandomize=True, phases=[Phase.generate], database=None, suppress_health_check=QUICK
    )
    case = find(cases(), lambda case: found(case) != least(case, analysed), settings=quick)
    monkeypatch.undo()
    search._search.cache_clear()
    check(case)


# --- limits ----------------------------------------------------------------------------------------


def test_a_nest_that_starts_at_the_split_memory_stays_as_it_is() -> None:
    loops = (Loop(rank="m", bound=8), Loop(rank="k", bound=4))
    operands = (
        Operand(tensor="A", label="A", ranks=frozenset("mk")),
        Operand(tensor="Z", label="Z", ranks=frozenset("m"), is_output=True),
    )
    space = EinsumSpace(name="Z", ranks=(("m", 8), ("k", 4)), operands=operands, operators=("sum",))
    nest = EinsumMapping(einsum="Z", array="grid", levels=(Storage(memory="far", loops=loops, keep=None),))
    assert best_split(space, nest, machine(ENERGIES[0], 64), "far", ("m", "k"), operand_costs) == nest


def test_too_many_splits_are_refused() -> None:
    many = 735_134_400  # 1344 divisors
    operands = (
        Operand(tensor="A", label="A", ranks=frozenset("mk")),
        Operand(tensor="Z", label="Z", ranks=frozenset("m"), is_output=True),
    )
    space = EinsumSpace(name="Z", ranks=(("m", many), ("k", many)), operands=operands, operators=("sum",))
    loops = (Loop(rank="m", bound=many), Loop(rank="k", bound=many))
    levels = (
        Storage(memory="far", loops=loops, keep=None),
        Storage(memory="near"),
        Storage(memory="grid.registers", keep=None),
    )
    nest = EinsumMapping(einsum="Z", array="grid", levels=levels)
    with pytest.raises(InputError, match=r"Einsum Z has too many splits to search: 1,806,336, at most 1,048,576"):
        best_split(space, nest, machine(ENERGIES[0], 64), "near", ("m", "k"), operand_costs)
