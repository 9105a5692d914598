"""A whole tiny attention through every dataflow file: analysis, traffic and energy against moved words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import TypeAlias

import pytest
from dataflow_cases import attention, dataflow

from fusemap.archspec import parse_arch
from fusemap.archspec.types import Machine
from fusemap.einsum_cascade import catalog
from fusemap.mappers.types import EinsumMapping, Mapping, Problem, Storage
from fusemap.sim import actions
from fusemap.sim.accounting import Accounting
from fusemap.sim.evaluate import evaluate_mapping, plan
from fusemap.sim.executor import Execution, execute
from fusemap.sim.report import Report
from fusemap.sim.reuse import analyse

Plan: TypeAlias = tuple[Problem, Mapping, Machine]
Words: TypeAlias = dict[tuple[str, str, str], float]  # Einsum, memory, read or write -> words

# pJ per access of (read, write), and words per access; the numbers are made up to tell the levels apart
PRICES = {
    "dram": (1000.0, 2000.0, 4),
    "global_buffer": (64.0, 96.0, 8),
    "array_2d.registers": (3.0, 5.0, 1),
    "array_1d.registers": (7.0, 11.0, 1),
}


@cache
def tiny(base: str, pe: int, capacity_bytes: int) -> Machine:
    """pe x pe and pe lanes, with the prices above."""
    text = f"""\
source: a test
extends: {base}
parameters: {{pe: {pe}}}
memories:
  dram: {{component: far}}
  global_buffer: {{component: near, capacity: {capacity_bytes} B, width: 128 bit}}
arrays:
  array_2d: {{registers: {{component: file_2d}}}}
  array_1d: {{registers: {{component: file_1d}}}}
components:
  far: {{energy: {{read: 1000 pJ, write: 2000 pJ}}, area: 1 um^2}}
  near: {{energy: {{read: 64 pJ, write: 96 pJ}}, area: 1 um^2}}
  file_2d: {{energy: {{read: 3 pJ, write: 5 pJ}}, area: 1 um^2}}
  file_1d: {{energy: {{read: 7 pJ, write: 11 pJ}}, area: 1 um^2}}
"""
    return parse_arch(text, file="tiny.yaml")


def fusemax(pe: int, resident: int, e: int = 4, f: int = 4, tiles: int = 1) -> int:
    """Bytes that let `tiles` tiles of pe queries stay on chip."""
    return 2 * (pe * (e + f) + tiles * pe * resident)


STATIONARY = [(1, 0), (0, 1), (0, 0)]  # output, weight, else input


def flat_choices() -> Iterator[tuple[str, dict[str, float]]]:
    """FLAT's nests and keep sets, as its tilings may choose them."""
    for qk_output, qk_weight in STATIONARY:
        for av_output, av_weight in STATIONARY:
            for on_chip in (0, 1):
                names = {"output_stationary_QK": qk_output, "weight_stationary_QK": qk_weight}
                names |= {"output_stationary_AV": av_output, "weight_stationary_AV": av_weight}
                names |= {f"{t}_onchip": on_chip for t in ("Q", "K", "QK", "A", "V", "AV")}
                names |= {"row_granularity": on_chip, "P1": 4, "spilled": 0}
                yield f"flat {qk_output}{qk_weight}{av_output}{av_weight}{on_chip}", names


SPILLED = {"Q_onchip": 1, "QK_onchip": 1, "A_onchip": 1, "row_granularity": 1, "P1": 4, "spilled": 0.25}

CASES: dict[str, tuple[str, str, int, int, tuple[int, ...], dict[str, float]]] = {
    # what: dataflow, machine, pe, buffer bytes, (E, F, M, P, heads, batch), names of expressions that are set
    "binding, two tiles of queries": ("fusemax-binding", "fusemax-cloud", 4, fusemax(4, 10), (4, 4, 8, 8, 1, 1), {}),
    "binding, all queries on chip": (
        "fusemax-binding",
        "fusemax-cloud",
        2,
        fusemax(2, 10, tiles=4),
        (4, 4, 8, 8, 1, 1),
        {},
    ),
    "binding, heads, E and F differ": ("fusemax-binding", "fusemax-cloud", 2, 200, (4, 2, 6, 4, 2, 2), {}),
    "arch": ("fusemax-arch", "fusemax-cloud", 2, fusemax(2, 10, tiles=2), (4, 4, 8, 8, 1, 1), {}),
    "cascade": ("fusemax-cascade", "flat-cloud", 4, fusemax(4, 18), (4, 4, 8, 8, 1, 1), {}),
    "cascade, E and F differ": ("fusemax-cascade", "flat-cloud", 2, 300, (2, 6, 4, 8, 2, 1), {}),
    "unfused, all fits": ("unfused", "unfused-cloud", 4, 1024, (4, 4, 8, 8, 1, 1), {}),
    "unfused, little fits": ("unfused", "unfused-cloud", 2, 24, (4, 4, 8, 8, 1, 1), {}),
    "unfused, not even a row fits": ("unfused", "unfused-cloud", 2, 14, (4, 2, 8, 4, 2, 1), {}),
    "search": ("unfused", "unfused-cloud", 2, 64, (4, 4, 8, 8, 1, 1), {}),
    "flat by its rules": ("flat", "flat-cloud", 4, 512, (4, 4, 8, 8, 1, 1), {}),
    "flat by its rules, off chip": ("flat", "flat-cloud", 4, 60, (4, 4, 8, 8, 1, 1), {}),
    "flat, a quarter spilled": ("flat", "flat-cloud", 2, 600, (4, 2, 8, 8, 1, 1), SPILLED),
    **{name: ("flat", "flat-cloud", 2, 600, (4, 2, 8, 8, 1, 1), choice) for name, choice in flat_choices()},
}


@cache
def planned(case: str) -> Plan:
    name, base, pe, capacity_bytes, (e, f, m, p, heads, batch), choice = CASES[case]
    machine = tiny(base, pe, capacity_bytes)
    cascade = "attention-naive" if case == "search" else dataflow(name).model.cascades[0]
    accounting = Accounting(names=tuple(choice.items()))
    workload = attention(e, f, m, p, heads, batch)
    problem, mapping = plan(catalog.load(cascade), machine, workload, dataflow(name), accounting=accounting)
    return problem, mapping, machine


@cache
def executed(case: str) -> dict[str, Execution]:
    problem, mapping, _ = planned(case)
    return {space.name: execute(space, mapping.nest(space.name)) for space in problem.spaces}


@pytest.mark.parametrize("case", CASES)
def test_every_count_of_every_einsum_is_what_moves(case: str) -> None:
    problem, mapping, _ = planned(case)
    for space in problem.spaces:
        moved = [
            (t.operand.label, t.memory, len(t.instances), t.each.reads, t.each.fills, t.each.updates)
            for t in executed(case)[space.name].traffic
        ]
        counted = analyse(space, mapping.nest(space.name))
        assert [(c.operand.label, c.memory, c.instances, c.reads, c.fills, c.updates) for c in counted] == moved


def words(case: str) -> Words:
    """Words read and written per Einsum and memory; of a spilled tensor a fraction goes to the outermost memory."""
    problem, mapping, _ = planned(case)
    found: Words = {}

    def add(einsum: str, memory: str, read: float, written: float) -> None:
        for action, amount in (("read", read), ("write", written)):
            found[einsum, memory, action] = found.get((einsum, memory, action), 0) + amount

    for space in problem.spaces:
        nest = mapping.nest(space.name)
        for level in executed(case)[space.name].traffic:
            s = 0 if level.memory.endswith("registers") else spilled(nest, level.operand.tensor)
            total = level.total
            add(space.name, level.memory, (1 - s) * total.reads, (1 - s) * (total.updates + total.fills))
            if level.memory == "global_buffer":
                add(space.name, "dram", s * total.reads, s * total.updates)
    return found


def spilled(nest: EinsumMapping, tensor: str) -> float:
    """The fraction of a tensor that the buffer, where it keeps it, does not hold."""
    for spill in nest.spills:
        buffer = next(lv for lv in nest.levels if isinstance(lv, Storage) and lv.memory == spill.memory)
        if tensor in spill.tensors and buffer.keeps(tensor):
            return spill.fraction
    return 0


# Per point of an Einsum: component actions on FuseMax's and on FLAT's arrays (the published operator costs).
CHAINED = {"mac": 6.0, "add": 1.0}
PIPELINED = {"exp": 1.0, "add": 1.0}
ONE_ACTION = {
    "mac": ("QK", "BQK", "AV3", "SLNV", "SPD", "SPNV"),
    "max": ("GM", "LM", "RM"),
    "add": ("SD", "SLD", "RD", "RNV"),
    "divide": ("A", "AV1"),
}
POINT = {einsum: {action: 1.0} for action, einsums in ONE_ACTION.items() for einsum in einsums}
ENERGY = {"mac": 17.1645, "add": 8.3395, "max": 0.028036, "divide": 36.251153, "exp": 94.6475}
RANKS = {
    **dict.fromkeys(("QK", "BQK"), "emp"),
    **dict.fromkeys(("GM", "LM", "SN", "SD", "A", "SLN", "SLD"), "mp"),
    **dict.fromkeys(("AV3", "SLNV"), "fmp"),
    **dict.fromkeys(("RM", "PRM", "SPD", "RD"), "cp"),
    **dict.fromkeys(("SPNV", "RNV"), "fcp"),
    "AV1": "fp",
}


def operator_energy(case: str) -> float:
    """Energy of all operators by the published table: points times the actions of one point."""
    problem, _, machine = planned(case)
    _, _, _, _, (e, f, m, p, heads, batch), _ = CASES[case]
    chunks = m // dict(problem.sizes)["M0"] if "M0" in dict(problem.sizes) else 1
    extent = {"e": e, "f": f, "m": m, "p": p, "c": chunks}
    total = 0.0
    for space in problem.spaces:
        name = space.name if space.name != "AV" else ("AV1" if "M0" in dict(problem.sizes) else "AV3")
        points = heads * batch
        for rank in RANKS[name]:
            points *= extent[rank]
        exponential = CHAINED if machine.array("array_1d").find(("sub", "exp")) is None else PIPELINED
        per_point = POINT.get(name, exponential)
        if problem.cascade == "attention-naive" and name == "SN":
            per_point = {"exp": 1.0}  # no maximum to subtract
        total += points * sum(ENERGY[action] * count for action, count in per_point.items())
    return total


def report(case: str) -> Report:
    problem, mapping, machine = planned(case)
    return evaluate_mapping(problem, mapping, machine)


def check_totals(case: str) -> None:
    """Traffic and energy of the report are those of the executed words and the published operators."""
    moved, found = words(case), report(case)
    traffic = 2 * sum(amount for (_, memory, _), amount in moved.items() if memory == "dram")
    assert found.traffic_bytes == pytest.approx(traffic, rel=1e-12)
    energy = operator_energy(case)
    for (_, memory, action), amount in moved.items():
        read, write, per_access = PRICES[memory]
        energy += amount / per_access * (read if action == "read" else write)
    assert found.energy_pj == pytest.approx(energy, rel=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_traffic_and_energy_are_those_of_the_moved_words(case: str) -> None:
    check_totals(case)


def kept(case: str, einsum: str) -> frozenset[str] | None:
    """What the buffer keeps for an Einsum."""
    levels = planned(case)[1].nest(einsum).levels
    return next(lv.keep for lv in levels if isinstance(lv, Storage) and lv.memory == "global_buffer")


def fractions(case: str) -> set[float]:
    return {spill.fraction for nest in planned(case)[1].einsums for spill in nest.spills}


def test_the_cases_differ_in_what_they_test() -> None:
    tiles = {case: dict(planned(case)[1].tiles) for case in CASES}
    assert [tiles[case]["P2"] for case in ("binding, two tiles of queries", "binding, all queries on chip")] == [2, 1]
    assert kept("unfused, all fits", "QK") != kept("unfused, little fits", "QK")
    assert [case for case in CASES if case.startswith("flat") and "QK" in (kept(case, "QK") or ())]
    assert [case for case in CASES if case.startswith("flat") and "QK" not in (kept(case, "QK") or ())]
    assert fractions("unfused, all fits") == {0} and fractions("unfused, not even a row fits") == {0.375}
    assert fractions("flat, a quarter spilled") == {0.25}


def no_fills(patch: pytest.MonkeyPatch) -> None:
    true = actions.analyse
    patch.setattr(actions, "analyse", lambda *a, **k: tuple(replace(c, fills=0) for c in true(*a, **k)))


def one_register_file(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(actions, "instances", lambda accounting, in_use, of_array: 1)


@pytest.mark.parametrize("fault", [no_fills, one_register_file])
def test_moved_words_catch_a_fault_in_the_energy(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        check_totals("binding, two tiles of queries")
