"""FLAT's softmax on its lanes: results against NumPy, rows that follow each other, and what the chain costs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

import fusemap as fm
from fusemap.archspec.workloads import parse_workload
from fusemap.mappers.bind import map_cascade
from fusemap.sim.cost import operand_costs
from fusemap.sim.cycle_machine import execute
from fusemap.sim.cycle_softmax import SoftmaxRun, run_softmax
from fusemap.sim.cycle_types import Slot


def softmax(
    pe: int, m: int, p: int, *, b: int = 1, number: str = "float64", scale: float = 1.0, seed: int = 0
) -> tuple[SoftmaxRun, np.ndarray]:
    """The run, and the softmax of the same scores along m."""
    cascade, machine = fm.load_cascade("attention-3pass"), fm.load_arch("flat-cloud", parameters={"pe": pe})
    ranks = f"{{B: {b}, H: 1, E: 4, F: 4, M: {m}, P: {p}}}"
    workload = parse_workload(f"description: small\nsource: made up\nbatch: [B, H]\nranks: {ranks}")
    on_chip = {"QK_onchip": 1, "A_onchip": 1}
    problem, mapping = map_cascade(
        cascade, workload, machine, fm.load_dataflow("flat"), cost=operand_costs, overrides=on_chip
    )
    scores = scale * np.random.default_rng(seed).standard_normal((b, 1, m, p))
    run = run_softmax(cascade, problem, mapping, machine, "array_1d", {"QK": scores}, number=number)
    exact = np.exp(scores - scores.max(axis=2, keepdims=True))
    return run, exact / exact.sum(axis=2, keepdims=True)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.integers(1, 2), st.sampled_from([0.1, 1.0, 50.0]))
@examples(5, 15)
def test_softmax_is_computed_and_no_rule_is_broken(lanes: int, words: int, rows: int, b: int, scale: float) -> None:
    run, exact = softmax(lanes, lanes * words, rows, b=b, scale=scale)
    assert run.faults == ()
    assert np.abs(run.outputs["A"] - exact).max() < 1e-14


@pytest.mark.parametrize(("number", "bound"), [("float32", 1e-6), ("bfloat16", 0.03)])
def test_softmax_in_short_formats(number: str, bound: float) -> None:
    run, exact = softmax(4, 8, 4, number=number)
    assert run.faults == ()
    assert 1e-9 < np.abs(run.outputs["A"] - exact).max() < bound


@pytest.mark.parametrize(("lanes", "words"), [(2, 1), (4, 1), (4, 2), (4, 5), (8, 3)])
def test_a_row_takes_two_cycles_more_than_published(lanes: int, words: int) -> None:
    """A maximum and a sum over several words of a lane need an operation more, the one along the chain."""
    run, _ = softmax(lanes, lanes * words, 7)
    assert run.faults == ()
    assert run.published == 4 * words
    assert run.row == run.published + (2 if words > 1 else 0)
    assert run.cycles == run.fill + run.rows * run.row + run.drain
    assert run.drain == lanes - 1
    assert run.fill % run.row == 0


def test_weights_that_no_memory_keeps_for_the_sum_wait_in_registers() -> None:
    """SD reads SN, which its nest keeps in no memory: as many registers as words of a lane, and the running sum."""
    runs = {words: softmax(2, 2 * words, 3)[0] for words in (4, 12, 17)}
    assert {words: run.registers for words, run in runs.items()} == {4: 4, 12: 12, 17: 17}
    assert {words: {f.kind for f in run.faults} for words, run in runs.items()} == {
        4: set(),
        12: set(),
        17: {"registers"},
    }


def test_planted_faults_are_caught() -> None:
    run, _ = softmax(4, 8, 3)
    array = run.program.arrays[0]
    values = {load.word: np.ones(4) for load in run.program.loads}
    assert execute(run.program, values).fault_count == 0

    def kinds(**changes: object) -> set[str]:
        wrong = dataclasses.replace(array, **changes)  # type: ignore[arg-type]
        found = execute(dataclasses.replace(run.program, arrays=(wrong,)), values)
        return {fault.kind for fault in found.faults}

    early = tuple(dataclasses.replace(s, cycle=s.cycle - 1) for s in array.sinks)
    assert {"lost", "absent"} <= kinds(sinks=early)
    assert {"lost", "absent"} <= kinds(sinks=array.sinks[1:])
    assert "absent" in kinds(moves=array.moves[1:])
    reader = next(o for o in array.operations if o.einsum == "SN")
    assert {r.slot for r in reader.reads} == {Slot.PORT_A, Slot.WEST}
    hasty = tuple(dataclasses.replace(o, cycle=o.cycle - 1) if o is reader else o for o in array.operations)
    assert kinds(operations=hasty) & {"absent", "double_unit"}
