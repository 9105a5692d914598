"""FuseMax's interleaving executed: numbers against softmax, cycles against the published count, no fault."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from cycle_cases import attention, case
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

import fusemap as fm
from fusemap.sim.cycle_compile import random_inputs
from fusemap.sim.cycle_numbers import EXP_ERROR, FORMATS
from fusemap.sim.cycle_run import CycleRun, run_cycles

# Rows (= columns), E, F, keys, queries, batches
SHAPES = [
    (2, 2, 2, 4, 4, 1),
    (4, 4, 4, 16, 16, 1),
    (4, 4, 4, 16, 4, 2),
    (4, 6, 4, 8, 8, 3),
    (4, 3, 7, 12, 8, 2),
    (3, 2, 5, 3, 3, 2),
    (1, 2, 2, 3, 2, 1),
    (8, 8, 8, 32, 32, 1),
    (32, 8, 8, 64, 64, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_attention_is_computed_and_no_rule_is_broken(shape: tuple[int, ...]) -> None:
    pe, e, f, m, p, b = shape
    cascade, problem, mapping, machine = case(pe, e, f, m, p, b=b)
    inputs = random_inputs(problem, cascade, seed=pe)
    run = run_cycles(cascade, problem, mapping, machine, inputs=inputs)
    assert run.faults == ()
    exact = attention(inputs)
    size = np.abs(exact).max()
    assert np.abs(run.outputs["AV"] - exact).max() / size < 20 * EXP_ERROR
    assert run.rounding["AV"] < 1e-14
    assert run.exp_error["AV"] < 20 * EXP_ERROR


@given(
    st.integers(1, 5),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 99),
    st.sampled_from([0.01, 1.0, 30.0]),
)
@examples(5, 15)
def test_random_shapes_and_values(
    pe: int, e: int, f: int, chunks: int, tiles: int, b: int, seed: int, scale: float
) -> None:
    cascade, problem, mapping, machine = case(pe, e, f, pe * chunks, pe * tiles, b=b, depths=(99, 99))
    inputs = {name: scale * array for name, array in random_inputs(problem, cascade, seed).items()}
    run = run_cycles(cascade, problem, mapping, machine, inputs=inputs)
    assert run.faults == ()
    assert run.rounding["AV"] < 1e-11  # a difference of scores of 1,000 has that relative error in its exp
    exact = attention(inputs)
    assert np.abs(run.outputs["AV"] - exact).max() < 20 * EXP_ERROR * np.abs(exact).max() + 1e-30


@pytest.mark.parametrize(("rows", "columns"), [(2, 4), (4, 2), (3, 5), (8, 4)])
def test_rows_and_columns_may_differ(rows: int, columns: int) -> None:
    cascade, problem, mapping, machine = case(rows, 3, 4, rows * 3, columns * 3, columns=columns)
    inputs = random_inputs(problem, cascade)
    run = run_cycles(cascade, problem, mapping, machine, inputs=inputs)
    assert [(a.rows, a.columns) for a in run.arrays] == [(rows, columns), (1, columns)]
    assert run.faults == ()
    assert np.abs(run.outputs["AV"] - attention(inputs)).max() < 1e-6


@pytest.mark.parametrize(("number", "bound"), [("float64", 1e-14), ("float32", 2e-6), ("bfloat16", 0.06)])
def test_formats_differ_by_their_rounding(number: str, bound: float) -> None:
    run = run_cycles(*case(4, 4, 4, 16, 8), number=number)
    assert run.faults == ()
    assert FORMATS[number].unit / 50 < run.rounding["AV"] < bound
    if number != "float64":
        assert np.array_equal(FORMATS[number].round(run.outputs["AV"]), run.outputs["AV"])


def published(f: int, m1: int) -> Fraction:
    """Cycles per chunk and column tile by the paper's formula where E = F."""
    return 2 * f + 10 + Fraction(f, m1)


@pytest.mark.parametrize(
    ("pe", "f", "m", "p", "b"), [(4, 4, 16, 8, 4), (4, 4, 8, 4, 9), (4, 3, 16, 8, 4), (2, 5, 6, 4, 5), (8, 8, 16, 8, 9)]
)
def test_the_published_interval_is_met_exactly(pe: int, f: int, m: int, p: int, b: int) -> None:
    """Over every block of chunks and tiles in the middle of a run, also with one tile (P1 = 1)."""
    run = run_cycles(*case(pe, f, f, m, p, b=b))
    block = run.iterations // b
    stages = -(-run.ends[0] // (2 * f + 10)) + 1
    middle = range(block + stages, run.iterations - block - stages)
    gaps = {Fraction(run.ends[i + block] - run.ends[i], block) for i in middle}
    assert gaps == {published(f, m // pe)}
    assert run.faults == ()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("e", range(1, 7))
@pytest.mark.parametrize("f", [1, 2, 4, 6])
def test_interval_for_any_widths(e: int, f: int) -> None:
    """max(2F + 10, E + F + 9) without divisions: where E > F a cycle less than the published E + 1 + 1 + 8 + F."""
    run = run_cycles(*case(2, e, f, 4, 6))
    assert run.interval == max(2 * f + 10, e + f + 9)
    assert {y - x for x, y in itertools.pairwise(run.ends)} <= {run.interval, run.interval + (f + 1) // 2}
    assert run.faults == ()


def formula(run: CycleRun, rows: int, columns: int, f: int, m1: int) -> tuple[int, int, int]:
    """(cycles, fill, drain) for E = F >= 2, M1 >= 2 in closed form.

    BQK[0] starts in cycle 0. Its column maximum is ready 2F - 1 cycles later, leaves the column in R + 1 and climbs
    back in R + 1; SLN must begin at its place in the period of 2F + 10, k periods after RM. In the beginning the
    lanes lack 2F + 1 cycles of work in each of these k periods, in the end 9, which divisions fill. Where these wait
    for a tile that is not done yet (few tiles, long columns) the drain is longer; no such case is on the grid below.
    """
    interval = 2 * f + 10
    k = -(-(2 * rows + 1) // interval)
    n = run.iterations
    work = max(n * f // m1, run.inserted + 9 * k + f)
    total = 2 * f + rows + columns - 1 + n * interval + k * (2 * f + 1) + work
    fill = 2 * f + rows + k * interval
    return total, fill, total - fill - n * interval - run.inserted


@pytest.mark.sampled(2)
@pytest.mark.parametrize("rows", [2, 3, 5, 8, 16])
@pytest.mark.parametrize(("f", "chunks", "tiles", "b"), [(2, 2, 1, 1), (3, 3, 2, 2), (4, 4, 4, 1), (6, 2, 3, 2)])
def test_fill_and_drain_in_closed_form(rows: int, f: int, chunks: int, tiles: int, b: int) -> None:
    columns = 4
    run = run_cycles(*case(rows, f, f, rows * chunks, columns * tiles, b=b, columns=columns, depths=(99, 99)))
    assert (run.cycles, run.fill, run.drain) == formula(run, rows, columns, f, chunks)
    assert run.faults == ()


def test_the_closed_form_is_a_bound_where_divisions_wait_for_a_tile() -> None:
    """One tile at a time and 96 rows: a few idle cycles of the lanes find no finished tile."""
    run = run_cycles(*case(96, 24, 24, 384, 2, b=3, columns=2, depths=(99, 99)))
    total, fill, _ = formula(run, 96, 2, 24, 4)
    assert run.faults == ()
    assert run.fill == fill
    assert 0 < run.cycles - total < 9


def test_sizes_that_the_cascade_does_not_have_are_refused() -> None:
    cascade, problem, mapping, machine = case(2, 2, 2, 4, 4)
    inputs = random_inputs(problem, cascade)
    with pytest.raises(fm.InputError, match="Q has the shape"):
        run_cycles(cascade, problem, mapping, machine, inputs={**inputs, "Q": inputs["Q"][:, :, :1]})
