"""The search of splits against enumeration: every split, order and keep set, priced one by one on integers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from fusemap.archspec import parse_arch
from fusemap.archspec.types import Machine
from fusemap.diagnostics import InputError
from fusemap.mappers import search
from fusemap.mappers.search import best_split
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage
from fusemap.sim.cost import operand_costs
from fusemap.sim.executor import execute
from fusemap.sim.reuse import analyse

Counts: TypeAlias = list[tuple[str, int, int, int, int]]  # memory, instances, reads, fills, updates
Objective: TypeAlias = tuple[float, float, int]  # bytes to the outermost memory, pJ, bytes held at the split memory

ARCH = """\
source: a test
table: 45nm
clock: 1 GHz
word: 2 B
memories:
  far: {{component: far, width: 32 bit, on_chip: false}}
  mid: {{component: mid, width: 64 bit}}
  near: {{component: near, width: 128 bit}}
arrays:
  grid:
    dims: {{rows: 4, columns: 4}}
    registers: {{component: file, depth: 64}}
    operators: {{mul + sum: {{cycles: 1, actions: {{mac: 1}}}}}}
components:
  far: {{energy: {{read: {0} pJ, write: {1} pJ}}, area: 1 um^2}}
  mid: {{energy: {{read: 5 pJ, write: 4 pJ}}, area: 1 um^2}}
  near: {{energy: {{read: {2} pJ, write: {3} pJ}}, area: 1 um^2}}
  file: {{energy: {{read: 1 pJ, write: 0.5 pJ}}, area: 1 um^2}}
"""
ENERGIES = ((100, 90, 2, 3), (10, 100, 40, 1), (0, 0, 7, 7), (1, 1, 0, 0))


@cache
def machine(energies: tuple[int, ...], capacity: int | None) -> Machine:
    """Memories far, mid and near; near holds `capacity` bytes."""
    found = parse_arch(ARCH.format(*energies))
    far, mid, near = found.memories
    return replace(found, memories=(far, mid, replace(near, capacity_bytes=capacity)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A nest whose loops all stand at `far`, to be split with `near`."""

    space: EinsumSpace
    nest: EinsumMapping
    split: tuple[str, ...]
    energies: tuple[int, ...]
    capacity: int | None

    @property
    def machine(self) -> Machine:
        return machine(self.energies, self.capacity)


# --- the enumerator --------------------------------------------------------------------------------


def candidates(case: Case) -> Iterator[tuple[EinsumMapping, int]]:
    """Every mapping of the search space with the bytes that it holds at `near`."""
    far, *rest = case.nest.levels
    free = [loop for loop in far.loops if loop.rank in case.split]
    tensors = sorted({operand.tensor for operand in case.space.operands})
    kept_sets = [set(kept) for n in range(len(tensors) + 1) for kept in itertools.combinations(tensors, n)]
    for sizes in itertools.product(*([d for d in range(1, p.bound + 1) if p.bound % d == 0] for p in free)):
        inner = {loop.rank: size for loop, size in zip(free, sizes, strict=True)}
        outer = Storage(
            memory="far",
            keep=None,
            loops=tuple(Loop(rank=p.rank, bound=p.bound // inner.get(p.rank, 1)) for p in far.loops),
        )
        for order, kept in itertools.product(itertools.permutations(inner), kept_sets):
            loops = tuple(Loop(rank=rank, bound=inner[rank]) for rank in order)
            levels: list[Level] = [outer]
            for level in rest:
                near = isinstance(level, Storage) and level.memory == "near"
                levels.append(Storage(memory="near", loops=loops, keep=frozenset(kept)) if near else level)
            nest = replace(case.nest, levels=tuple(levels))
            yield nest, held_bytes(case.space, nest)


def held_bytes(space: EinsumSpace, nest: EinsumMapping) -> int:
    """Bytes of the tiles that `near` keeps; two accesses by the same ranks are one tile."""
    at = next(i for i, level in enumerate(nest.levels) if isinstance(level, Storage) and level.memory == "near")
    near = nest.levels[at]
    assert isinstance(near, Storage)
    below = [loop for level in nest.levels[at:] for loop in level.loops]
    tiles = {(o.tensor, o.ranks): o.ranks for o in space.operands if near.keeps(o.tensor)}
    return 2 * sum(math.prod(loop.bound for loop in below if loop.rank in ranks) for ranks in tiles.values())


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


# --- random cases ----------------------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn, splits: int = 12, points: int = 4000) -> Case:
    """2-4 ranks, 2-4 operands (a tensor may be read twice), fanouts, a memory between, and a capacity that binds."""
    ranks = "bmkn"[: draw(st.sampled_from([3, 2, 4]))]
    extents = {rank: draw(st.sampled_from([4, 2, 6, 3, 8, 12, 1])) for rank in ranks}
    operands = [operand(draw, name, ranks) for name in draw(st.sampled_from(["AZ", "ABZ", "AAZ", "ABCZ"]))]
    labelled = tuple(
        replace(o, label=f"{o.tensor}#{i}") if o.tensor in {p.tensor for p in operands[:i]} else o
        for i, o in enumerate(operands)
    )
    space = EinsumSpace(name="Z", ranks=tuple(extents.items()), operands=labelled, operators=("mul", "sum"))
    fanouts, spatial = [], dict.fromkeys(ranks, 1)
    for dim in ("rows", "columns"):
        rank = draw(st.sampled_from(ranks))
        bound = draw(st.sampled_from([b for b in (1, 2, 3, 4) if extents[rank] % (b * spatial[rank]) == 0]))
        spatial[rank] *= bound
        fanouts.append(Fanout(array="grid", dim=dim, loops=(Loop(rank=rank, bound=bound),)))
    order = draw(st.permutations(ranks))
    loops = tuple(Loop(rank=rank, bound=extents[rank] // spatial[rank]) for rank in order)
    split = chosen(draw, loops, splits)
    kept = frozenset(draw(st.sets(st.sampled_from(sorted({o.tensor for o in operands})))))
    between: list[Level] = [Storage(memory="mid", keep=kept)] if draw(st.booleans()) else []
    levels = (Storage(memory="far", loops=loops, keep=None), *between, Storage(memory="near"), *fanouts)
    nest = EinsumMapping(einsum="Z", array="grid", levels=(*levels, Storage(memory="grid.registers", keep=None)))
    capacity = draw(st.sampled_from([None, 1, 8, 20, 40, 80, 160, 400]))
    return Case(space=space, nest=nest, split=split, energies=draw(st.sampled_from(ENERGIES)), capacity=capacity)


def operand(draw: st.DrawFn, name: str, ranks: str) -> Operand:
    indexed = frozenset(draw(st.lists(st.sampled_from(ranks), min_size=1)))
    return Operand(tensor=name, label=name, ranks=indexed, is_output=name == "Z")


def chosen(draw: st.DrawFn, loops: tuple[Loop, ...], splits: int) -> tuple[str, ...]:
    """Up to 3 ranks to split, with at most this many splits."""
    picked: list[str] = []
    grid = 1
    for loop in draw(st.permutations(loops)):
        grid *= sum(loop.bound % d == 0 for d in range(1, loop.bound + 1))
        if grid <= splits and len(picked) < 3:
            picked.append(loop.rank)
    return tuple(picked)


QUICK = [HealthCheck.too_slow, HealthCheck.data_too_large]


def check(case: Case) -> None:
    assert found(case) == least(case, analysed)


@settings(max_examples=150, suppress_health_check=QUICK)
@given(case=cases())
def test_the_search_finds_the_least_of_all_mappings(case: Case) -> None:
    check(case)


@pytest.mark.slow
@settings(max_examples=1500, suppress_health_check=QUICK, derandomize=False)
@given(case=cases(splits=60))
def test_the_search_finds_the_least_of_all_mappings_of_larger_einsums(case: Case) -> None:
    check(case)


@settings(max_examples=40, suppress_health_check=QUICK)
@given(case=cases(splits=4))
def test_the_found_mapping_is_in_the_space_and_fits(case: Case) -> None:
    assert is_candidate(case)


def is_tiny(case: Case) -> bool:
    return case.space.points <= 32


@settings(max_examples=25, suppress_health_check=[*QUICK, HealthCheck.filter_too_much])
@given(case=cases(splits=4).filter(is_tiny))
def test_the_search_finds_the_least_of_what_an_executor_counts(case: Case) -> None:
    assert found(case, executed) == least(case, executed)


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


@pytest.mark.parametrize("fault", FAULTS)
def test_enumeration_catches_a_fault_in_the_search(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search._search.cache_clear()
    FAULTS[fault](monkeypatch)
    quick = settings(max_examples=600, phases=[Phase.generate], database=None, suppress_health_check=QUICK)
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
