"""The executor of searched mappings: words by hand, the interpreter's numbers, the closed form, planted faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fused_cases import (
    Case,
    Nest,
    attention,
    case,
    check,
    check_numbers,
    counted,
    fusion,
    loops,
    matmul,
    one_pass,
    sums,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import QUIET

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import catalog
from fusemap.einsum_cascade.parser import parse
from fusemap.mappers.types import Loop, Spill
from fusemap.sim import fused_memory, fused_run, fused_stream

# --- a matrix product -------------------------------------------------------------------------------

# Z[m,n] = A[m,k] B[k,n] with M, N, K = 4, 6, 8: nest, words read, words written, words in the buffer at most
MATMULS: dict[str, tuple[Nest, dict[str, int], dict[str, int], int]] = {
    "all whole": (
        Nest(dram="ABZ", whole="ABZ"),
        {"A": 32, "B": 48},
        {"Z": 24},
        32 + 48 + 24,
    ),
    "two rows of A at a time, B whole": (
        Nest(dram="ABZ", whole="B", tile="AZ", outer=(), inner=loops("m:2")),
        {"A": 32, "B": 48},
        {"Z": 24},
        2 * 8 + 48 + 2 * 6,
    ),
    "two rows of A at a time, B again and again": (
        Nest(dram="ABZ", whole="AZ", tile="B", outer=loops("m:2"), inner=loops("n:3")),
        {"A": 32, "B": 2 * 48},
        {"Z": 24},
        2 * 8 + 8 * 2 + 2 * 6,
    ),
    "partial sums come back": (
        Nest(dram="ABZ", tile="ABZ", outer=loops("k:4 m:2"), inner=()),
        {"A": 32, "B": 48, "Z": 3 * 24},
        {"Z": 4 * 24},
        2 * 2 + 2 * 6 + 2 * 6,
    ),
    "all streamed, Z stays in the registers": (
        Nest(dram="ABZ", order="m n k"),
        {"A": 4 * 6 * 8, "B": 4 * 6 * 8},
        {"Z": 24},
        0,
    ),
    "all streamed, A stays in the registers": (
        Nest(dram="ABZ", order="m k n"),
        {"A": 32, "B": 4 * 6 * 8, "Z": 7 * 24},
        {"Z": 8 * 24},
        0,
    ),
    "all streamed, B multicast over m": (
        Nest(dram="ABZ", order="n k", spatial=(("lanes", "m", 4),)),
        {"A": 4 * 6 * 8, "B": 48},
        {"Z": 24},
        0,
    ),
    "all streamed, products summed over k": (
        Nest(dram="ABZ", order="n m", spatial=(("lanes", "k", 8),)),
        {"A": 6 * 32, "B": 48},
        {"Z": 24},
        0,
    ),
    "partial sums come back to lanes that share them": (
        Nest(dram="ABZ", order="k n m", spatial=(("lanes", "k", 2),)),
        {"A": 6 * 32, "B": 48, "Z": 3 * 24},
        {"Z": 4 * 24},
        0,
    ),
}


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


@settings(max_examples=150, suppress_health_check=QUIET, deadline=None)
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


# --- illegal mappings -------------------------------------------------------------------------------

A3 = "b:2 h:2 p:2"
REST = ("m:4", "A AV")
ILLEGAL: dict[str, tuple[Callable[[], Case], str, str]] = {
    "QK and SN share one loop over m": (
        lambda: attention("held").fused(fusion(A3, ("m:4", "QK GM SN SD"), REST, held="QK GM SN SD")),
        "incomplete",
        "SN reads GM[0, 0, 0], of which only 2 of 8 points have run",
    ),
    "QK is not held": (
        lambda: attention("held").fused(
            fusion(A3, ("m:4", "QK GM"), ("m:4", "SN SD"), REST, held="GM SN SD"),
        ),
        "absent",
        "SN reads QK[0, 0, 0, 0], which is not in the buffer, and its nest has no DRAM for it; "
        "it left the buffer after iteration [0, 0, 0] of the phase, group 0, iteration [3]",
    ),
    "QK is kept by the chunk only": (
        lambda: (
            attention("held")
            .kept("QK", "Q K", "", "Q K QK")
            .kept("GM", "", "GM", "QK")
            .fused(fusion(A3, ("m:4", "QK GM"), ("m:4", "SN SD"), REST, held="GM SN SD"))
        ),
        "absent",
        "group 0, iteration [0]",
    ),
    "B@1 has no DRAM for A": (
        lambda: sums("recomputed").kept("B@1", "", "", "A B@1"),
        "absent",
        "B@1 reads A[0, 0], which is not in the buffer, and its nest has no DRAM for it",
    ),
    "B@1 has no memory for A": (
        lambda: sums("recomputed").kept("B@1", "", "", "B@1"),
        "absent",
        "B@1 streams A[0, 0], which is in no memory of its nest",
    ),
    "B is not spilled but read from DRAM": (
        lambda: sums("spilled").kept("B", "A", "", "A B"),
        "absent",
        "C reads B[0, 0], which is neither in the buffer nor in DRAM; it left the buffer after",
    ),
    "C runs before S": (
        lambda: sums("held").fused(fusion("p:2", ("m:2", "B C"), ("m:2", "S"), held="B S")),
        "absent",
        "C reads S[0], which is not in the buffer",
    ),
    "partial sums go nowhere": (
        lambda: matmul(Nest(dram="AB", tile="ABZ", outer=loops("k:2 m:2"), inner=())),
        "lost",
        "Z adds to Z[0, 0], whose partial sum has left the buffer for nowhere",
    ),
    "the output stays on chip": (
        lambda: matmul(Nest(dram="AB", tile="ABZ", outer=(), inner=())),
        "missing",
        "the output Z[0, 0] is not complete in DRAM at the end (24 such words)",
    ),
    "the output is kept nowhere": (
        lambda: matmul(Nest(dram="AB", tile="AB", outer=(), inner=())),
        "absent",
        "Z writes Z[0, 0], for which its nest has no memory",
    ),
    "two steps of a recurrence of two Einsums in one chunk": (
        lambda: one_pass(m1=2),
        "absent",
        "SPD reads RD[0, 0, 1, 0], which is not in the buffer",
    ),
    "a recurrence is spread": (
        lambda: case(
            parse("cascade c\ninput X[i]\nstop: i >= I\ninit: S[0] = 0\nS[i+1] = S[i] + X[i]\n"),
            {"I": 4},
            [fusion("", ("", "S"))],
            {"S": Nest(dram="SX", tile="SX", spatial=(("lanes", "i", 2),))},
        ),
        "absent",
        "S reads S[1], which is neither in the buffer nor in DRAM",
    ),
    "an Einsum lacks the rank of its group": (
        lambda: case(
            parse("cascade c\ninput A[m], D\nB = D * D\nC[m] = A[m] * B\n"),
            {"M": 4},
            [fusion("", ("m:2", "B C"))],
            {"B": Nest(dram="D", tile="DB"), "C": Nest(dram="AC", tile="ABC")},
        ),
        "repeated",
        "B runs twice at {}",
    ),
}


@pytest.mark.parametrize("what", ILLEGAL)
def test_illegal_mapping_is_refused(what: str) -> None:
    make, kind, message = ILLEGAL[what]
    faults = make().executed().faults
    assert faults[0].kind == kind
    assert message in faults[0].message
    assert faults[0].words >= 1


def with_level(of: Case, einsum: str, number: int, **changes: Any) -> Case:
    nest = of.mapping.nest(einsum)
    levels = list(nest.levels)
    levels[number] = dataclasses.replace(levels[number], **changes)
    return of.nested(dataclasses.replace(nest, levels=tuple(levels)))


MALFORMED: dict[str, tuple[Callable[[], Case], str]] = {
    "a rank is not covered": (
        lambda: with_level(sums("held"), "C", 2, loops=loops("m:1 p:2")),
        "C covers 2 of the 4 coordinates of m",
    ),
    "a rank that it lacks": (
        lambda: with_level(sums("held"), "C", 2, loops=loops("m:2 p:2 k:2")),
        "C has a loop over k, which is not a rank of it",
    ),
    "other loops than its phase": (
        lambda: with_level(with_level(sums("held"), "C", 0, loops=()), "C", 2, loops=loops("m:2 p:4")),
        "C runs the loops () where its phase shares (p:2)",
    ),
    "other loops than its group": (
        lambda: with_level(with_level(sums("held"), "C", 1, loops=()), "C", 2, loops=loops("m:4 p:2")),
        "C runs the loops () where its group shares (m:2)",
    ),
    "in no group": (
        lambda: sums("held").fused(fusion("p:2", ("m:2", "B S"))),
        "C is in 0 groups of the phases, not in one",
    ),
    "in two groups": (
        lambda: sums("held").fused(fusion("p:2", ("m:2", "B S"), ("m:2", "C C"))),
        "C is in 2 groups of the phases, not in one",
    ),
    "an unknown Einsum": (
        lambda: sums("held").fused(fusion("p:2", ("m:2", "B S"), ("m:2", "C D"))),
        "D is in a group, but the problem has no such Einsum",
    ),
    "not bound to its phase": (
        lambda: sums("held").fused(fusion("p:2", ("m:2", "B S")), fusion("p:2", ("m:2", "C"))),
        "C is in a group of phase 1, to which it is not bound",
    ),
    "no buffer": (lambda: with_level(sums("held"), "C", 1, memory="dram"), "C must have dram outside and one buffer"),
    "registers that step": (
        lambda: with_level(with_level(sums("held"), "C", 2, loops=loops("p:2")), "C", 3, loops=loops("m:2")),
        "C must end with array_1d.registers, without loops and keeping everything",
    ),
    "no nest": (
        lambda: dataclasses.replace(
            sums("held"), mapping=dataclasses.replace(sums("held").mapping, einsums=sums("held").mapping.einsums[:2])
        ),
        "C has no nest",
    ),
    "a spill": (
        lambda: sums("held").nested(
            dataclasses.replace(
                sums("held").mapping.nest("C"),
                spills=(Spill(memory="global_buffer", fraction=0.5, tensors=frozenset("C")),),
            )
        ),
        "C spills a fraction of a tensor",
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_searched_mapping_is_not_run(what: str) -> None:
    make, message = MALFORMED[what]
    done = make().executed()
    assert {f.kind for f in done.faults} == {"nest"}
    assert any(message in f.message for f in done.faults)
    assert not done.outputs


@pytest.mark.parametrize("name", ["attention-3pass-causal", "moba"])
def test_filters_and_lookups_are_refused(name: str) -> None:
    of = sums("held")
    with pytest.raises(InputError, match="has a filter or an index that is data"):
        dataclasses.replace(of, cascade=catalog.load(name)).executed()


# --- planted faults in the executor -----------------------------------------------------------------


def stay(memory: Any, key: Any, chosen: Any, slot: int) -> None:
    """Nothing ever leaves the buffer."""


def never_written(memory: Any, key: Any, chosen: Any, slot: int) -> None:
    """What leaves is not written to DRAM."""
    memory.buffer[key].fresh[:] = False
    TRUE_LEAVE(memory, key, chosen, slot)


def last_wins(operator: Any, into: Any, numbers: Any, values: Any) -> None:
    """No reduction."""
    into[numbers] = values


def forget(registers: Any, einsum: str) -> None:
    """Sums in the registers are not written."""
    registers.sums.pop(einsum, None)


TRUE_LEAVE = fused_memory.Memory.leave
BROKEN = {
    "nothing leaves": (fused_memory.Memory, "leave", stay),
    "nothing is written": (fused_memory.Memory, "leave", never_written),
    "no reduction in the buffer": (fused_run, "combine", last_wins),
    "no reduction in the registers": (fused_stream, "combine", last_wins),
    "sums are forgotten": (fused_stream.Registers, "_drain", forget),
}


@pytest.mark.parametrize("what", BROKEN)
def test_wrong_movement_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [attention("spilled"), *(matmul(nest) for nest, *_ in MATMULS.values())]
    monkeypatch.setattr(*BROKEN[what])
    with pytest.raises(AssertionError):
        for of in cases:
            check(of)


def test_the_closed_form_is_read_from_the_report() -> None:
    """The oracle has something to disagree with: a nest that keeps less moves more."""
    reads, _ = counted(sums("spilled"))
    assert reads == SUMS_READS["spilled"]
    assert np.isfinite(sums("held").executed().outputs["C"]).all()
