"""Random Einsums whose loops are to be split with a memory, and every mapping that a search may find for them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from hypothesis import strategies as st

from fusemap.archspec import parse_arch
from fusemap.archspec.types import Machine
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage

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
