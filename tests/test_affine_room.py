"""Room of tensors whose index is a sum of ranks: the distinct words of a tile, against an enumeration of them."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusemap.archspec.workloads import parse_workload
from fusemap.einsum_cascade import parse
from fusemap.mappers.legality import resident_words
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import EinsumMapping, Loop, Mapping, Phase, Problem, Stage, Storage


def conv(stride: int, bounds: dict[str, tuple[int, int]]) -> Problem:
    """A convolution whose ranks have two loops each."""
    shape = f"shape S = {stride}\n" if stride > 1 else ""
    index = "p*S + r" if stride > 1 else "p + r"
    text = f"cascade conv\n{shape}input I[c,x], W[c,r]\nO[p] = I[c, {index}] * W[c,r]\n"
    sizes = {rank.upper(): math.prod(pair) for rank, pair in bounds.items()}
    extent = (sizes["P"] - 1) * stride + sizes["R"]
    ranks = ", ".join(f"{rank}: {size}" for rank, size in {**sizes, "X": extent}.items())
    return make_problem(parse(text), parse_workload(f"source: here\nranks: {{{ranks}}}\n"), {})


def held(problem: Problem, bounds: dict[str, tuple[int, int]]) -> dict[str, float]:
    """Words in the inner of two memories, which keeps everything below the outer loops."""
    outer, inner = (tuple(Loop(rank=rank, bound=pair[i]) for rank, pair in bounds.items()) for i in (0, 1))
    levels = (Storage(memory="dram", loops=outer, keep=None), Storage(memory="buffer", loops=inner, keep=None))
    stage = Stage(name="O", work=(("a", ("O",)),))
    phase = Phase(name="O", stages=(stage,))
    nest = EinsumMapping(einsum="O", array="a", levels=levels)
    mapping = Mapping(dataflow="d", einsums=(nest,), binding=(phase,))
    return resident_words(problem, mapping, phase, "buffer")


PAIR = st.tuples(st.integers(1, 3), st.integers(1, 4))


@given(stride=st.integers(1, 4), c=PAIR, r=PAIR, p=PAIR)
def test_room_is_that_of_the_distinct_words(
    stride: int, c: tuple[int, int], r: tuple[int, int], p: tuple[int, int]
) -> None:
    bounds = {"c": c, "r": r, "p": p}
    touched = {(k, j * stride + i) for k, i, j in itertools.product(*(range(b[1]) for b in (c, r, p)))}
    found = held(conv(stride, bounds), bounds)
    assert found["I"] == len(touched)
    assert found["W"] == c[1] * r[1] and found["O"] == p[1]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_sum_of_ranks_is_noted_as_an_upper_bound_of_traffic(stride: int) -> None:
    bounds = {"c": (1, 1), "r": (1, 3), "p": (2, 2)}
    problem = conv(stride, bounds)
    assert any("reuse of I between overlapping coordinates" in note for note in problem.notes)
    assert problem.spaces[0].operands[0].sums == ((("p", stride), ("r", 1)),)


def test_a_partition_is_no_sum() -> None:
    text = "cascade c\nshape M0 = 4, M = M1*M0\ninput A[m]\nZ[m1] = sum[m0] A[m1*M0 + m0]\n"
    problem = make_problem(parse(text), parse_workload("source: here\nranks: {M: 8}\n"), {})
    assert problem.spaces[0].operands[0].sums == () and not problem.notes
