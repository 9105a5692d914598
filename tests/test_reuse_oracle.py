"""The reuse analysis against an executor that moves single words, on random Einsums and nests."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage
from fusemap.sim import executor, reuse
from fusemap.sim.executor import LevelTraffic, Moved, execute

Nest: TypeAlias = tuple[EinsumSpace, EinsumMapping]
Counts: TypeAlias = list[tuple[str, str, int, int, int, int]]  # operand, memory, instances, reads, fills, updates
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


# --- random Einsums and nests ----------------------------------------------------------------------


def cut(loops: list[Loop], points: int) -> list[Loop]:
    """The longest prefix of the loops with at most this many points."""
    sizes = itertools.accumulate((loop.bound for loop in loops), lambda a, b: a * b)
    return [loop for loop, size in zip(loops, sizes, strict=True) if size <= points]


@st.composite
def nests(draw: st.DrawFn, points: int = 96) -> Nest:
    """1-4 ranks, 1-3 inputs and an output with any ranks, 1-4 memories, 0-2 fanouts, any keep sets."""
    ranks = "bkmp"[: draw(st.integers(1, 4))]
    bound = st.sampled_from([2, 3, 2, 1, 4])
    loop = st.builds(lambda rank, bound: Loop(rank=rank, bound=bound), st.sampled_from(ranks), bound)
    loops = cut(draw(st.lists(loop, min_size=1, max_size=8)), points)
    subset = st.sets(st.sampled_from(ranks)).map(frozenset)
    operands = [Operand(tensor=name, label=name, ranks=draw(subset)) for name in "ABC"[: draw(st.integers(1, 3))]]
    operands.append(Operand(tensor="Z", label="Z", ranks=draw(subset), is_output=True))
    space = EinsumSpace(
        name="Z",
        ranks=tuple((rank, math.prod(p.bound for p in loops if p.rank == rank)) for rank in ranks),
        operands=tuple(operands),
        operators=("multiply", "add"),
    )
    memories = draw(st.integers(1, 4))
    kinds = draw(st.permutations([True] * memories + [False] * draw(st.integers(0, 2))))
    home = [draw(st.integers(0, len(kinds) - 1)) for _ in loops]
    keeps = {o.tensor: draw(st.sets(st.integers(0, memories - 1), min_size=1)) for o in operands}
    return space, nest(kinds, loops, home, keeps)


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


@settings(max_examples=400, suppress_health_check=QUIET)
@given(case=nests(), seed=st.integers(0, 9))
def test_analysis_and_executor_agree_on_every_count(case: Nest, seed: int) -> None:
    check(case, seed)


@pytest.mark.slow
@settings(max_examples=5000, suppress_health_check=QUIET, derandomize=False)
@given(case=nests(points=192), seed=st.integers(0, 9))
def test_analysis_and_executor_agree_on_many_more_nests(case: Nest, seed: int) -> None:
    check(case, seed)
