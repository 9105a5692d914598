"""FLAT's matrix products executed on the array: results against NumPy, cycles of tiles that come and go."""

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
from fusemap.sim.cycle_matmul import MatmulRun, run_matmul

CASCADE = fm.load_cascade("attention-3pass")
RULES = {  # which operand rests, as FLAT's tilings say it
    "output": {
        "output_stationary_QK": 1,
        "weight_stationary_QK": 0,
        "output_stationary_AV": 1,
        "weight_stationary_AV": 0,
    },
    "weight": {
        "output_stationary_QK": 0,
        "weight_stationary_QK": 1,
        "output_stationary_AV": 0,
        "weight_stationary_AV": 1,
    },
    "input": {
        "output_stationary_QK": 0,
        "weight_stationary_QK": 0,
        "output_stationary_AV": 0,
        "weight_stationary_AV": 0,
    },
}
READS = {"QK": ("Q", "K"), "AV": ("A", "V")}


def product(
    pe: int,
    einsum: str,
    rests: str,
    e: int,
    f: int,
    m: int,
    p: int,
    *,
    b: int = 1,
    number: str = "float64",
    seed: int = 0,
) -> tuple[MatmulRun, np.ndarray]:
    """The run and what NumPy makes of the same values."""
    machine = fm.load_arch("flat-cloud", parameters={"pe": pe})
    ranks = f"{{B: {b}, H: 1, E: {e}, F: {f}, M: {m}, P: {p}}}"
    workload = parse_workload(f"description: small\nsource: made up\nbatch: [B, H]\nranks: {ranks}")
    problem, mapping = map_cascade(
        CASCADE, workload, machine, fm.load_dataflow("flat"), cost=operand_costs, overrides=RULES[rests]
    )
    rng = np.random.default_rng(seed)
    shapes = {"Q": (b, 1, e, p), "K": (b, 1, e, m), "A": (b, 1, m, p), "V": (b, 1, f, m)}
    inputs = {name: rng.standard_normal(shapes[name]) for name in READS[einsum]}
    spec = "bhep,bhem->bhmp" if einsum == "QK" else "bhmp,bhfm->bhfp"
    expected = np.einsum(spec, *(inputs[name] for name in READS[einsum]))
    return run_matmul(CASCADE, problem, mapping, machine, einsum, inputs, number=number), expected


@pytest.mark.parametrize("einsum", ["QK", "AV"])
@pytest.mark.parametrize("rests", ["output", "weight"])
@pytest.mark.parametrize(("e", "m", "p"), [(4, 8, 8), (3, 4, 12), (9, 4, 8)])
def test_products_are_right_and_no_rule_is_broken(einsum: str, rests: str, e: int, m: int, p: int) -> None:
    if rests == "weight":
        e, m = (min(e, 4), m) if einsum == "QK" else (e, 4)  # the summed rank fits the array
    run, expected = product(4, einsum, rests, e, e, m, p, b=2)
    assert run.faults == ()
    assert np.abs(run.output - expected).max() < 1e-13
    assert run.registers <= run.depth == 4


@given(
    st.sampled_from(["QK", "AV"]),
    st.sampled_from(["output", "weight", "input"]),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 99),
)
@examples(7, 20)
def test_random_products(einsum: str, rests: str, pe: int, e: int, ms: int, ps: int, seed: int) -> None:
    m = pe * ms
    if rests != "output":
        e, m = (min(e, pe), m) if einsum == "QK" else (e, pe)
    run, expected = product(pe, einsum, rests, e, e, m, pe * ps, seed=seed)
    assert run.faults == ()
    assert np.abs(run.output - expected).max() < 1e-13


@pytest.mark.parametrize("number", ["float32", "bfloat16"])
def test_products_in_short_formats(number: str) -> None:
    run, expected = product(4, "QK", "output", 8, 8, 8, 8, number=number)
    error = np.abs(run.output - expected).max()
    assert run.faults == ()
    assert 1e-9 < error < {"float32": 1e-5, "bfloat16": 0.5}[number]


@pytest.mark.parametrize("e", [1, 4, 8, 15, 16, 20])
def test_results_that_rest_leave_a_row_a_cycle(e: int) -> None:
    """R rows leave in R cycles: with fewer than R steps a tile takes R all the same, 4 times E where E = R / 4."""
    pe, tiles = 16, 4
    run, _ = product(pe, "QK", "output", e, e, 2 * pe, 2 * pe)
    assert run.faults == ()
    assert (run.tiles, run.steps, run.tile, run.fill) == (tiles, e, max(e, pe), 0)
    assert run.drain == 3 * pe + pe - 2 - (run.tile - e)
    assert run.cycles == tiles * run.tile + run.drain
    assert run.registers <= run.depth == 4


@pytest.mark.parametrize("p", [8, 16, 48])
def test_operands_that_rest_are_loaded_meanwhile(p: int) -> None:
    """The first tile takes 2R - 1 cycles to load, all others come while the one before is worked on."""
    pe = 8
    run, _ = product(pe, "QK", "weight", 4, 4, 3 * pe, p)
    assert run.faults == ()
    assert (run.rests, run.tiles, run.tile, run.fill) == ("K", 3, max(p, pe), 2 * pe - 1)
    assert run.drain == pe + 4 - 1 - (run.tile - p)  # 4 columns are in use
    assert run.registers <= run.depth == 4


def test_accesses_are_counted() -> None:
    """Two operands stream in every cycle, and a row of results leaves in each of R cycles per tile."""
    run, _ = product(4, "QK", "output", 8, 8, 8, 8)
    reads = sum(n for a in run.accesses for _, n in a.reads)
    writes = sum(n for a in run.accesses for _, n in a.writes)
    assert (reads, writes) == (2 * run.tiles * run.steps, run.tiles * 4)


def test_tiles_that_follow_too_fast_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    """At E = 3 steps a tile, 8 rows cannot leave in time: the links are given two values at once."""
    from fusemap.sim.cycle_resting import Resting

    monkeypatch.setattr(Resting, "interval", property(lambda self: self.steps))
    run, _ = product(8, "QK", "output", 3, 3, 16, 16)
    assert "double_link" in {fault.kind for fault in run.faults}


@pytest.mark.parametrize("rests", ["output", "weight"])
def test_planted_faults_are_caught(rests: str) -> None:
    run, _ = product(4, "QK", rests, 4, 4, 8, 8)
    array = run.program.arrays[0]
    values = {load.word: np.ones((4, 4)) if load.row is not None else np.ones(4) for load in run.program.loads}
    assert execute(run.program, values).fault_count == 0
    for moves in (array.moves[1:], array.moves[:-1]):
        wrong = dataclasses.replace(array, moves=moves)
        found = execute(dataclasses.replace(run.program, arrays=(wrong,)), values)
        assert {fault.kind for fault in found.faults} & {"absent", "lost"}
    if rests == "output":
        late = dataclasses.replace(array, sinks=tuple(dataclasses.replace(s, cycle=s.cycle + 1) for s in array.sinks))
        found = execute(dataclasses.replace(run.program, arrays=(late,)), values)
        assert {fault.kind for fault in found.faults} == {"lost", "absent"}


def test_a_sum_that_is_left_unfinished_is_refused() -> None:
    with pytest.raises(fm.InputError, match="leaves sums unfinished"):
        product(2, "QK", "weight", 4, 4, 4, 4)
