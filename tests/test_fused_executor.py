"""The executor of searched mappings: words by hand, the interpreter's numbers, the closed form, planted faults."""

from __future__ import annotations

import contextlib
import dataclasses
import random

import numpy as np
import pytest
from examples import examples
from fused_cases import (
    MATMULS,
    Case,
    Nest,
    attention,
    case,
    check,
    check_numbers,
    closed_form,
    counted,
    fusion,
    loops,
    matmul,
    one_pass,
    sums,
)
from hypothesis import given
from hypothesis import strategies as st
from nests import QUIET

from fusemap.archspec import parse_workload
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import catalog
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.interpreter_sizes import extents_of
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.recurrence import in_order, recurrences
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import EinsumMapping, Loop, Storage

# --- a matrix product -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MATMULS)
def test_words_of_a_matrix_product(name: str) -> None:
    nest, reads, writes, peak = MATMULS[name]
    done = check(matmul(nest))
    assert (done.dram_reads["Z"], done.dram_writes["Z"], done.peak_buffer_words) == (reads, writes, peak)


@st.composite
def matmul_nests(draw: st.DrawFn) -> Nest:
    """Any loops at any level in any order, any tensors kept."""
    factors = [Loop(rank=r, bound=b) for r, bounds in (("m", (2, 2)), ("n", (2, 3)), ("k", (2, 2, 2))) for b in bounds]
    homes = [draw(st.integers(0, 3)) for _ in factors]
    mixed = draw(st.permutations(list(zip(factors, homes, strict=True))))
    outer, inner = (tuple(loop for loop, home in mixed if home == level) for level in (0, 1))
    spatial = tuple((dim, p.rank, p.bound) for dim, (p, h) in zip(("rows", "columns"), mixed, strict=False) if h == 3)
    keeps = [frozenset(draw(st.sets(st.sampled_from("ABZ")))) for _ in range(2)]
    order = " ".join(draw(st.permutations("mnk")))
    return Nest(
        dram="ABZ",
        whole=keeps[0],
        tile=keeps[1],
        outer=outer,
        inner=inner,
        order=order,
        spatial=spatial,
        array="array_2d",
    )


@examples(50, 150, suppress_health_check=QUIET, deadline=None)
@given(nest=matmul_nests())
def test_any_nest_of_a_matrix_product_moves_what_the_closed_form_counts(nest: Nest) -> None:
    check(matmul(nest))


# --- a tensor that two groups read ------------------------------------------------------------------

SUMS_READS = {
    "held": {"B": {"A": 16}},
    "spilled": {"B": {"A": 16}, "C": {"B": 16}},
    "recomputed": {"B": {"A": 16}, "B@1": {"A": 16}},
}
SUMS_PEAK = {"held": 8 + 4 + 2, "spilled": 3 * 4 - 2, "recomputed": 3 * 4 + 2}  # of B whole, tiles of 4, S


@pytest.mark.parametrize("how", SUMS_READS)
def test_words_of_a_tensor_read_in_two_groups(how: str) -> None:
    done = check(sums(how))
    assert done.dram_reads == SUMS_READS[how]
    assert done.dram_writes == {"C": {"C": 16}} | ({"B": {"B": 16}} if how == "spilled" else {})
    assert done.peak_buffer_words == SUMS_PEAK[how]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("chunks", [(1, 4), (4, 1), (2, 4), (1, 1), (4, 4)])
@pytest.mark.parametrize("outer", [1, 2, 4])
@pytest.mark.parametrize("how", SUMS_READS)
def test_any_chunks_move_what_the_closed_form_counts(
    how: str, outer: int, chunks: tuple[int, int], streamed: bool
) -> None:
    check(sums(how, outer, chunks, streamed))


# --- attention --------------------------------------------------------------------------------------

HEADS, TILES, KEYS, QUERIES = 4, 2, 8, 4  # of batch and heads, of queries
ONCE = {"QK": {"Q": HEADS * 4 * QUERIES, "K": HEADS * TILES * 4 * KEYS}, "AV": {"V": HEADS * TILES * 3 * KEYS}}
SPILLED = {"SN": {"QK": HEADS * KEYS * QUERIES}, "A": {"SN": HEADS * KEYS * QUERIES}}
WRITTEN = {"AV": {"AV": HEADS * 3 * QUERIES}}


@pytest.mark.parametrize("how", ["held", "spilled", "recomputed"])
def test_words_of_attention_in_three_groups(how: str) -> None:
    done = check(attention(how))
    made = {e: {e: HEADS * KEYS * QUERIES} for e in ("QK", "SN")}
    assert done.dram_reads == (ONCE | SPILLED if how == "spilled" else ONCE)
    assert done.dram_writes == (WRITTEN | made if how == "spilled" else WRITTEN)


def test_words_of_attention_in_one_pass() -> None:
    done = check(one_pass())
    reads = {"BQK": {"Q": ONCE["QK"]["Q"], "BK": ONCE["QK"]["K"]}, "SLNV": {"BV": ONCE["AV"]["V"]}}
    assert (done.dram_reads, done.dram_writes) == (reads, WRITTEN)
    chunk = {"Q": 8, "BK": 8, "BQK": 4, "LM": 2, "RM": 2, "SLN": 4, "SLD": 2, "BV": 6, "SLNV": 6}
    states = {"PRM": 2, "SPD": 2, "RD": 2, "RNV": 6, "SPNV": 6}  # once each: what was before has left
    assert done.peak_buffer_words == sum(chunk.values()) + sum(states.values())


@pytest.mark.parametrize("of", [sums("held"), sums("recomputed"), attention("held"), attention("spilled"), one_pass()])
def test_the_buffer_is_as_large_as_its_peak(of: Case) -> None:
    peak = of.executed().peak_buffer_words
    assert not of.limited(peak).executed().faults
    (fault,) = of.limited(peak - 1).executed().faults
    assert fault.kind == "capacity"
    assert f"the buffer of {peak - 1} words holds {peak} in " in fault.message


EVERY_EINSUM_ALONE = {
    "QK": Nest(dram=["Q", "K", "QK"], tile=["Q", "K", "QK"], outer=loops("p:2 h:2 m:2 b:2"), inner=()),
    "GM": Nest(dram=["QK", "GM"], tile=["GM"], outer=loops("p:2"), inner=(), order="b h m p"),
    "SN": Nest(dram=["QK", "GM", "SN"], whole=["GM"], outer=loops("m:4 b:2"), inner=(), order="h p m"),
    "SD": Nest(dram=["SN", "SD"], outer=(), inner=(), spatial=(("lanes", "m", 8),)),
    "A": Nest(dram=["SN", "SD", "A"], tile=["SN"], outer=(), inner=loops("h:2")),
    "AV": Nest(dram=["A", "V", "AV"], whole=["V"], tile=["AV"], outer=loops("h:2"), inner=loops("f:3")),
}


def test_phases_of_one_einsum_have_any_loops() -> None:
    cascade, sizes = catalog.load("attention-3pass"), {"B": 2, "H": 2, "E": 4, "F": 3, "M": 8, "P": 4}
    check(case(cascade, sizes, [fusion("", ("", e)) for e in EVERY_EINSUM_ALONE], EVERY_EINSUM_ALONE))


def test_state_and_index_expressions() -> None:
    """A prefix sum of one Einsum, read through an offset; state in the buffer, its start value for nothing."""
    text = "cascade scan\ninput X[i], W[g]\nshape I = G*R\nstop: i >= I\ninit: S[0] = 0\n"
    cascade = parse(text + "S[i+1] = S[i] + X[i] * W[i//R]\nY[i] = S[i+1] * val(i)\n")
    nests = {"S": Nest(dram=["X", "W"], tile=["X", "S"]), "Y": Nest(dram=["Y"], tile=["S"])}
    of = case(cascade, {"I": 6, "G": 2, "R": 3}, [fusion("", ("i:6", "S Y"))], nests)
    done = of.executed()
    assert not done.faults
    check_numbers(of, done)
    assert done.dram_reads == {"S": {"X": 6, "W": 6}}  # Y took the array, so W comes again
    assert done.peak_buffer_words == 3


# --- what stays and what goes -----------------------------------------------------------------------


def test_words_that_are_wanted_again_stay_while_other_groups_run() -> None:
    """K is read once per head only if it is in the buffer from one tile of queries to the next."""
    of = attention("held")
    kept = of.kept("QK", "Q K", "QK K", "Q")
    done = check(kept)
    assert done.dram_reads["QK"]["K"] == ONCE["QK"]["K"] // TILES
    largest = 2 * KEYS + 2 + 2 * KEYS + 2  # the second group: QK, GM, SN, SD
    assert (of.executed().peak_buffer_words, done.peak_buffer_words) == (largest, largest + 4 * KEYS)


def test_a_held_input_serves_the_copies_of_an_einsum() -> None:
    """B@1 finds A where B has left it; without the hold, it is gone."""
    of = sums("recomputed").kept("B", "A", "A", "B").kept("B@1", "", "A", "B@1")
    groups = (("m:2", "B S"), ("m:2", "B@1 C"))
    done = check(of.fused(fusion("p:2", *groups, held="A S")))
    assert done.dram_reads == {"B": {"A": 16}}
    fault = of.fused(fusion("p:2", *groups, held="S")).executed().faults[0]
    assert "B@1 reads A[0, 0], which is not in the buffer" in fault.message
    assert "it left the buffer after iteration [0] of the phase, group 0, iteration [1]" in fault.message


def test_another_einsum_on_the_array_overwrites_the_registers() -> None:
    """The closed form takes streamed words to stay in the registers; with the array to itself, they do."""
    streamed = Nest(dram=["A", "D"], tile=["A", "B"])  # D[p] is the same in every chunk of m
    nests = {"B": streamed, "C": Nest(dram=["C"], tile=["B", "C"])}
    text = "cascade c\ninput A[m,p], D[p]\nB[m,p] = A[m,p] * D[p]\nC[m,p] = B[m,p] * B[m,p]\n"
    of = case(parse(text), {"M": 4, "P": 4}, [fusion("p:4", ("m:4", "B C"))], nests)
    done = of.executed()
    assert not done.faults
    assert counted(of)[0]["B"]["D"] == 4
    assert done.dram_reads["B"]["D"] == 16
    elsewhere = of.nested(_moved(of, "C", "array_2d"))
    assert elsewhere.executed().dram_reads["B"]["D"] == 4


def _moved(of: Case, einsum: str, array: str) -> EinsumMapping:
    nest = of.mapping.nest(einsum)
    levels = (*nest.levels[:-1], Storage(memory=f"{array}.registers", keep=None))
    return dataclasses.replace(nest, array=array, levels=levels)


# --- every cascade ----------------------------------------------------------------------------------


def alone(name: str) -> tuple[Case, bool]:
    """Every Einsum of a library cascade in a phase of its own, with loops and keep sets by chance.

    And whether Einsums need each other, so that this order cannot be.
    """
    cascade, draw = catalog.load(name), random.Random(name)
    sizes = small(cascade)
    workload = parse_workload(f"source: a test\nranks: {_braced(sizes)}\nbatch: []\n", file="w.yaml")
    problem = make_problem(cascade, workload, {})
    nests = {}
    for space in problem.spaces:
        tensors = sorted({o.tensor for o in space.operands})
        outer = [Loop(rank=rank, bound=2) for rank, n in space.ranks if n % 2 == 0 and draw.random() < 0.5]
        kept = [t for t in tensors if draw.random() < 0.6]
        nests[space.name] = Nest(dram=tensors, tile=kept, outer=tuple(outer), inner=())
    stepped = any(n > 1 for space in problem.spaces for rank, n in space.ranks if rank in space.sequential)
    circular = stepped and any(len(group) > 1 for group in recurrences(problem.reads))
    order = [problem.spaces[i].name for i in in_order([[s.name] for s in problem.spaces], problem.reads)]
    return case(cascade, sizes, [fusion("", ("", e)) for e in order], nests), circular


def small(cascade: Cascade) -> dict[str, int]:
    """Sizes with 2 heads, features and queries, where these are free."""
    for chosen in ({n: 2 for n in known_shapes(cascade) if n in "EFHP"}, {}):
        with contextlib.suppress(InputError):
            return {str(k): v for k, v in extents_of(cascade, fill_sizes(cascade, chosen)[0]).shapes.items()}
    raise AssertionError(cascade.name)


def _braced(sizes: dict[str, int]) -> str:
    return "{" + ", ".join(f"{name}: {size}" for name, size in sizes.items()) + "}"


def exact(of: Case, einsum: str) -> bool:
    """Does the closed form count words exactly: no coordinates that overlap, no tensor that is touched twice?"""
    space = of.problem.space(einsum)
    tensors = [o.tensor for o in space.operands]
    return not space.notes and len({*tensors}) == len(tensors)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", catalog.names())
def test_every_cascade_einsum_after_einsum(name: str) -> None:
    try:
        of, circular = alone(name)
        done = of.executed()
    except InputError as error:
        assert "not executed" in str(error) or "do not map data-dependent reads" in str(error)
        return
    if circular:
        assert {"absent"} <= {fault.kind for fault in done.faults}
        return
    assert [str(fault) for fault in done.faults] == []
    check_numbers(of, done)
    for space in of.problem.spaces:
        reads, writes = closed_form(of, space.name)
        if exact(of, space.name):
            assert (done.dram_reads.get(space.name, {}), done.dram_writes[space.name]) == (reads, writes)
        for tensor, words in done.dram_reads.get(space.name, {}).items():
            assert words <= reads[tensor]


def test_the_closed_form_is_read_from_the_report() -> None:
    """The oracle has something to disagree with: a nest that keeps less moves more."""
    reads, _ = counted(sums("spilled"))
    assert reads == SUMS_READS["spilled"]
    assert np.isfinite(sums("held").executed().outputs["C"]).all()
