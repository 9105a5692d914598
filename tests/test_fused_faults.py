"""Illegal searched mappings are refused by name, and an executor that moves words wrongly is noticed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from fused_cases import MATMULS, Case, Nest, attention, case, check, fusion, loops, matmul, one_pass, sums

from fusemap.archspec.types import Machine
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import catalog
from fusemap.einsum_cascade.parser import parse
from fusemap.mappers.types import Spill
from fusemap.sim import fused_memory, fused_run, fused_slots, fused_stream

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


def two_buffers(of: Case) -> Machine:
    dram, buffer = of.machine.memories
    return dataclasses.replace(of.machine, memories=(dram, buffer, dataclasses.replace(buffer, name="second")))


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
    "two buffers": (
        lambda: dataclasses.replace(
            with_level(with_level(sums("held"), "C", 1, memory="second"), "C", 2, memory="second"),
            machine=two_buffers(sums("held")),
        ),
        "B and the others keep words in several buffers: global_buffer, second",
    ),
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


def cut_short(timeline: Any) -> Any:
    """The last slots do not run."""
    found = TRUE_TILES(timeline)
    del timeline.slots[-1:]
    return found


TRUE_TILES = fused_slots.Timeline._tiles
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


def test_points_that_do_not_run_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_slots.Timeline, "_tiles", cut_short)
    messages = [fault.message for fault in sums("held").executed().faults]
    assert any(m == "C does not run at {'m': 2, 'p': 2} (4 such points)" for m in messages)
    assert any("the output C[2, 2] is not complete in DRAM" in m for m in messages)
