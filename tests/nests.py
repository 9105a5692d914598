"""Random Einsums and random loop nests of them, small enough to execute."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

from hypothesis import HealthCheck
from hypothesis import strategies as st

from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage

Nest: TypeAlias = tuple[EinsumSpace, EinsumMapping]
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


def cut(loops: list[Loop], points: int) -> list[Loop]:
    """The longest prefix of the loops with at most this many points."""
    sizes = itertools.accumulate((loop.bound for loop in loops), lambda a, b: a * b)
    return [loop for loop, size in zip(loops, sizes, strict=True) if size <= points]


@st.composite
def nests(draw: st.DrawFn, points: int = 64) -> Nest:
    """1-4 ranks, 1-3 inputs and an output with any ranks, 1-4 memories, 0-2 fanouts, any keep sets."""
    ranks = "bkmp"[: draw(st.sampled_from([2, 3, 4, 1]))]
    bound = st.sampled_from([2, 2, 3, 1, 2, 4])
    loop = st.builds(make_loop, st.sampled_from(ranks), bound)
    loops = cut(draw(st.lists(loop, min_size=draw(st.sampled_from([6, 4, 1])), max_size=10)), points)
    operands = [make_operand(name, draw(subsets(ranks))) for name in "ABC"[: draw(st.sampled_from([2, 1, 3]))] + "Z"]
    space = EinsumSpace(
        name="Z",
        ranks=tuple((rank, math.prod(p.bound for p in loops if p.rank == rank)) for rank in ranks),
        operands=tuple(operands),
        operators=("multiply", "add"),
    )
    memories = draw(st.sampled_from([3, 2, 4, 1]))
    kinds = draw(st.permutations([True] * memories + [False] * draw(st.sampled_from([1, 2, 0]))))
    level = st.integers(0, len(kinds) - 1)
    home = [draw(level) for _ in loops] if draw(st.booleans()) else [min(draw(level), draw(level)) for _ in loops]
    keeps = {o.tensor: draw(subsets(range(memories), often=3)) or set(range(memories)) for o in operands}
    return space, nest(kinds, loops, home, keeps)


def make_loop(rank: str, bound: int) -> Loop:
    return Loop(rank=rank, bound=bound)


def make_operand(name: str, ranks: set[str]) -> Operand:
    return Operand(tensor=name, label=name, ranks=frozenset(ranks), is_output=name == "Z")


def subsets(members: Sequence[Any], often: int = 1) -> st.SearchStrategy[set[Any]]:
    """Each member is in with the odds often : 1 (st.sets prefers small sets)."""
    flags = st.lists(st.sampled_from([True] * often + [False]), min_size=len(members), max_size=len(members))
    return flags.map(lambda chosen: set(itertools.compress(members, chosen)))


def nest(kinds: list[bool], loops: list[Loop], home: list[int], keeps: dict[str, set[int]]) -> EinsumMapping:
    """Levels outside in (True: a memory), loop i at level home[i], tensors kept in the numbered memories."""
    levels: list[Level] = []
    for i, is_memory in enumerate(kinds):
        mine = tuple(loop for loop, level in zip(loops, home, strict=True) if level == i)
        if not is_memory:
            levels.append(Fanout(array="pe", dim=f"d{i}", loops=mine))
            continue
        number = sum(kinds[:i])
        kept = frozenset(tensor for tensor, memories in keeps.items() if number in memories)
        levels.append(Storage(memory=f"M{number}", loops=mine, keep=None if len(kept) == len(keeps) else kept))
    return EinsumMapping(einsum="Z", array="pe", levels=tuple(levels))
