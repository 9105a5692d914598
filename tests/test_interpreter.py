"""The meaning of a cascade: presence, order of execution, operators, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import interpreter
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.interpreter import execute, run
from fusemap.einsum_cascade.interpreter_cells import Cells, Value
from fusemap.einsum_cascade.interpreter_contract import contract
from fusemap.einsum_cascade.interpreter_schedule import Loop, Pool, einsums_of, schedule
from fusemap.einsum_cascade.interpreter_sizes import Extents
from fusemap.einsum_cascade.interpreter_values import Machine
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.parser import parse

A4 = np.array([1.0, 2.0, 3.0, 4.0])


def one(text: str, sizes: dict[str, int], operators: Any = BUILTIN, **inputs: Any) -> Any:
    """The only output of a cascade, as nested lists with None where absent."""
    (found,) = run(parse(text, operators=operators), sizes, inputs, operators=operators).values()
    return found.tolist()


# --- presence -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expr, expected",
    [
        ("F[k] + A[k]", [1, 4, 6, 4]),
        ("A[k] + F[k]", [1, 4, 6, 4]),
        ("max(F[k], 0-A[k])", [-1, 2, 3, -4]),
        ("min(A[k], F[k]*9)", [1, 2, 3, 4]),
        ("F[k] + F[k]", [None, 4, 6, None]),
        ("F[k] - A[k]", [None, 0, 0, None]),
        ("A[k] - F[k]", [None, 0, 0, None]),
        ("F[k] * A[k]", [None, 4, 9, None]),
        ("A[k] / F[k]", [None, 1, 1, None]),
        ("exp(F[k]-F[k])", [None, 1, 1, None]),
        ("F[k] + G[k]", [None, 2, 6, 4]),
        ("F[k] * G[k]", [None, None, 9, None]),
        ("expsub(F[k], A[k])", [None, 1, 1, None]),
        ("F[k] * 2 + A[k]", [1, 6, 9, 4]),
    ],
)
def test_union_and_intersection_of_present_operands(expr: str, expected: list[float | None]) -> None:
    text = f"input A[k]\noutput Z\nF[k: 0<k<3] = A[k]\nG[k: k>=2] = A[k]\nH[k] = G[k]\nZ[k] = {expr}"
    assert one(text, {"K": 4}, A=A4) == expected


@pytest.mark.parametrize("operator, expected", [("sum", 5), ("max", 3), ("min", 2), ("prod", 6)])
def test_reductions_skip_absent_elements(operator: str, expected: float) -> None:
    assert one(f"input A[k]\nF[k: 0<k<3] = A[k]\nZ = {operator}[k] F[k]", {"K": 4}, A=A4) == expected


def test_a_reduction_of_nothing_is_absent() -> None:
    assert one("input A[k]\nF[k: k>9] = A[k]\nZ = sum[k] F[k]", {"K": 4}, A=A4) is None


def test_all_places_of_a_condition_cut_the_space_alike() -> None:
    texts = [
        "Z[i] = sum[k] A[k] + val(i)*0 for k <= i",
        "Z[i] = sum[k: k<=i] A[k] + val(i)*0",
        "Z[i] = sum[k] A[k: k<=i] + val(i)*0",
    ]
    for text in texts:
        assert one(f"shape I = K\ninput A[k]\n{text}", {"K": 4}, A=A4) == [1, 3, 6, 10]


def test_an_absent_product_adds_nothing_even_against_infinity() -> None:
    """The matrix product fills with zero, and 0 * inf would be NaN."""
    text = "input A[k], B[k,j]\nF[k: k<2] = A[k]\nZ[j] = F[k] * B[k,j]"
    b = np.array([[1.0, 2.0], [3.0, 4.0], [math.inf, 5.0], [6.0, -math.inf]])
    assert one(text, {"K": 4, "J": 2}, A=A4, B=b) == [7, 10]


def test_a_product_of_two_filtered_tensors_is_present_where_they_meet() -> None:
    text = "input A[k], B[k,j]\nF[k: k<2] = A[k]\nG[k,j] = B[k,j] for k >= j\nZ[j] = F[k] * G[k,j]"
    b = np.arange(12.0).reshape(4, 3)
    assert one(text, {"K": 4, "J": 3}, A=A4, B=b) == [6, 8, None]


def test_an_init_stays_where_the_einsum_is_filtered_out() -> None:
    text = "input A[k]\noutput S\nstop: k >= K\ninit: S[0] = 9\nS[k] = A[k] + S[k-1] for k > 0"
    assert one(text, {"K": 4}, A=A4) == [9, 11, 14, 18]


def test_a_masked_input_is_absent_where_masked_and_may_hold_anything_there() -> None:
    masked = np.ma.MaskedArray([1.0, math.nan, 3.0, 4.0], mask=[False, True, False, False])
    assert one("input A[k]\nZ = sum[k] A[k]", {"K": 4}, A=masked) == 8
    assert one("input A[k]\nZ[k] = A[k] * 2", {"K": 4}, A=masked) == [2, None, 6, 8]


def test_an_output_is_masked_only_where_something_is_absent() -> None:
    cascade = parse("input A[k]\noutput Y, Z\nY[k] = A[k] for k > 0\nZ[k] = A[k] for k >= 0")
    found = run(cascade, {"K": 4}, {"A": A4})
    assert type(found["Z"]) is np.ndarray
    assert isinstance(found["Y"], np.ma.MaskedArray)
    assert found["Y"].data.tolist() == [0, 2, 3, 4]


def test_all_tensors_come_with_the_inputs_and_elements_never_written_are_absent() -> None:
    text = "input A[k]\noutput R\nstop: k >= K\ninit: R[1] = 0\nR[k+2] = A[k] + val(k)*0"
    found = run(parse(text), {"K": 4}, {"A": A4}, tensors="all")
    assert set(found) == {"A", "R"}
    assert found["R"].tolist() == [None, 0, 1, 2, 3, 4]


# --- indices --------------------------------------------------------------------------------------


def test_indices_may_be_affine_divided_constant_or_repeated() -> None:
    a = np.arange(36.0).reshape(6, 6)
    sizes = {"I": 6, "J": 6, "G": 2}
    text = "shape J = I, G\ninput A[i,j]\noutput Z\n"
    assert one(text + "Z[i] = A[i,i] for i >= 0 & i < G + 4", sizes, A=a) == np.diag(a).tolist()
    assert one(text + "Z[i] = A[i//G, i%G]", sizes, A=a) == [0, 1, 6, 7, 12, 13]
    assert one(text + "Z[i] = A[I-1-i, 0]", sizes, A=a) == a[::-1, 0].tolist()
    assert one(text + "Z[i] = A[i-1, 2]  for i > 0", sizes, A=a) == [None, *a[:5, 2].tolist()]
    assert one(text + "Z = A[G, I-1]", sizes, A=a) == 17


def test_a_reduced_variable_that_cancels_still_counts() -> None:
    assert one("input A[k]\nZ = sum[k] A[k-k+1] * A[2]", {"K": 4}, A=A4) == 4 * 2 * 3


def test_a_matrix_product_is_refused_along_an_axis_that_no_factor_has() -> None:
    ones = Value(values=np.ones((1, 2)))
    assert contract((ones, ones), (0,)) is None
    product = contract((ones, ones), (1,))
    assert product is not None and product.values.tolist() == [[2]]


def test_reads_beyond_the_end_are_cut_off_by_conditions() -> None:
    assert one("input A[k]\nZ[k] = A[k+1] * 2 for k < K-1", {"K": 4}, A=A4) == [4, 6, 8, None]
    assert one("input A[k]\nZ = sum[k] A[k+1] * A[k] for k+1 < K", {"K": 4}, A=A4) == 2 + 6 + 12


def test_flattening_writes_are_the_inverse_of_splitting_reads() -> None:
    text = "shape M = M1*M0\ninput A[m]\nB[m1,m0] = A[m1*M0+m0] for m0 <= m1\nZ[m1*M0+m0] = B[m1,m0]"
    assert one(text, {"M1": 3, "M0": 2}, A=np.arange(6.0)) == [0, None, 2, 3, 4, 5]


def test_coordinates_and_sizes_are_values() -> None:
    assert one("input A[k]\nZ[k] = A[k] * val(k) + size(K)", {"K": 4}, A=A4) == [4, 6, 10, 16]


# --- order ----------------------------------------------------------------------------------------


def test_only_the_recurrence_is_stepped() -> None:
    loops = {
        name: [{e.name for e in einsums_of([loop])} for loop in schedule(load(name)) if isinstance(loop, Loop)]
        for name in ("attention-3pass", "attention-1pass", "variance-welford")
    }
    assert loops["attention-3pass"] == []
    assert loops["attention-1pass"] == [{"RM"}, {"SPD", "RD"}, {"SPNV", "RNV"}]
    assert loops["variance-welford"] == [{"D", "RMU"}, {"RSQ"}]


def test_einsums_may_stand_in_any_order() -> None:
    assert one("input A[k]\nZ = Y * 2\nY = X + 1\nX = sum[k] A[k]", {"K": 4}, A=A4) == 22


def test_two_iterative_ranks_are_stepped_inside_each_other() -> None:
    """Paths on a grid: binomial coefficients."""
    text = """
        output Z
        stop: i >= N
        stop: j >= N
        init: S[0,0] = 1
        init: S[0,j+1] = 1
        init: S[i+1,0] = 1
        S[i+1,j+1] = S[i,j+1] + S[i+1,j]
        Z = S[N,N]
        shape N
    """
    assert one(text, {"N": 6}) == math.comb(12, 6)


def test_a_prefix_may_read_what_earlier_steps_wrote() -> None:
    text = "input A[k]\noutput S\nstop: i >= K\nshape J = K\ninit: S[0] = 1\nS[i+1] = sum[j] S[j: j<=i] * A[i]"
    expected = [1.0]
    for a in A4:
        expected.append(sum(expected) * a)
    assert one(text, {"K": 4}, A=A4) == expected


def test_a_sum_over_one_iterative_rank_is_whole_before_another_steps_on() -> None:
    """S[j+1] sums X over all i: a loop over i would write parts of the sum."""
    text = """
        output S
        stop: i >= N
        stop: j >= N
        init: S[0] = 1
        init: X[0,j] = 1
        X[i+1,j] = X[i,j] * S[j] + 1
        S[j+1] = sum[i] X[i,j]
        shape N
    """
    assert one(text, {"N": 3}) == recurrence(3)


def recurrence(n: int) -> list[float]:
    """The recurrence of the test above, by loops."""
    sums = [1.0]
    for _ in range(n):
        column = [1.0]
        for _ in range(n):
            column.append(column[-1] * sums[-1] + 1)
        sums.append(sum(column[:n]))
    return sums


def test_einsums_of_one_loop_may_lag_behind_each_other() -> None:
    """X at step i needs Y of step i+1, which needs X of two steps before."""
    text = """
        input A[k]
        output X
        stop: k >= K
        init: X[0] = 1
        X[k+1] = Y[k+1] + A[k] for k+1 < K
        Y[k] = X[k-1] * 2 for k > 0
    """
    expected: list[float | None] = [1]
    for a in A4[:3]:
        expected.append(expected[-1] * 2 + a)
    assert one(text, {"K": 4}, A=A4) == [*expected, None]


def test_a_recurrence_may_reach_back_by_a_variable() -> None:
    text = """
        input C[j]
        output Y
        stop: i >= I
        init: Y[0] = 1
        Y[i+1] = sum[j] Y[i-j] * C[j] for j <= i
        shape I
    """
    expected = [1.0]
    for i in range(5):
        expected.append(sum(expected[i - j] * (j + 1) for j in range(3) if j <= i))
    assert one(text, {"I": 5, "J": 3}, C=[1.0, 2.0, 3.0]) == expected


def test_a_large_reduction_in_parts_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = load("attention-3pass-causal")
    sizes = {"E": 3, "F": 5, "M": 12, "P": 9}
    generator = np.random.default_rng(0)
    inputs = {
        "Q": generator.normal(size=(3, 9)),
        "K": generator.normal(size=(3, 12)),
        "V": generator.normal(size=(5, 12)),
    }
    whole = execute(cascade, sizes, inputs)
    monkeypatch.setattr(interpreter, "MAX_POINTS_AT_ONCE", 4)
    parts = execute(cascade, sizes, inputs, matrix_products=False)
    for name, tensor in whole.items():
        np.testing.assert_allclose(parts[name].values, tensor.values, rtol=1e-13, atol=1e-15)
        np.testing.assert_array_equal(parts[name].present, tensor.present)


# --- operators and number formats -----------------------------------------------------------------


def test_registered_operators_run_ufunc_or_not() -> None:
    operators = (
        BUILTIN.register_map("cube", 1, lambda a: a**3)
        .register_map("lerp", 3, lambda a, b, t: a + (b - a) * t)
        .register_reduce("logsum", np.logaddexp, -math.inf)
        .register_reduce("hypot", lambda a, b: np.sqrt(a * a + b * b), 0.0)
    )
    assert one("input A[k]\nZ[k] = cube(A[k])", {"K": 4}, operators, A=A4) == [1, 8, 27, 64]
    assert one("input A[k]\nF[k: k>1] = A[k]\nZ[k] = lerp(0, F[k], 0.5)", {"K": 4}, operators, A=A4) == [
        None,
        None,
        1.5,
        2,
    ]
    assert one("input A[k]\nZ = logsum[k] A[k]", {"K": 4}, operators, A=A4) == pytest.approx(math.log(sum(np.exp(A4))))
    for size in range(1, 8):
        data = np.arange(1.0, size + 1)
        root = one("input A[k]\nF[k: k>0] = A[k]\nZ = hypot[k] F[k]", {"K": size}, operators, A=data)
        assert root == (None if size == 1 else pytest.approx(math.sqrt(sum(data[1:] ** 2))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_every_tensor_has_the_asked_number_format(dtype: type) -> None:
    cascade = load("attention-1pass-causal")
    sizes = {"E": 4, "F": 3, "M": 8, "M0": 2, "P": 6}
    generator = np.random.default_rng(0)
    inputs = {n: generator.normal(size=s) for n, s in {"Q": (4, 6), "K": (4, 8), "V": (3, 8)}.items()}
    exact = execute(cascade, sizes, inputs, dtype=np.longdouble)
    for name, tensor in execute(cascade, sizes, inputs, dtype=dtype).items():
        assert tensor.values.dtype == dtype
        tolerance = 64 * np.finfo(dtype).eps
        np.testing.assert_allclose(tensor.values, exact[name].values, rtol=tolerance, atol=tolerance)


def test_integers_are_taken_as_numbers() -> None:
    assert one("input A[k]\nZ = sum[k] A[k]", {"K": 2}, A=[1, 2]) == 3
    assert one("input S\nZ = S * 2", {}, S=4) == 8


# --- what is refused ------------------------------------------------------------------------------

GOOD = {"Q": np.ones((2, 3)), "K": np.ones((2, 4)), "V": np.ones((5, 4))}
SIZES = {"E": 2, "P": 3, "M": 4, "F": 5}


def refused(sizes: dict[str, int] | None = None, inputs: dict[str, Any] | None = None, **options: Any) -> str:
    """The message with which attention-3pass refuses to run."""
    with pytest.raises(InputError) as caught:
        run(load("attention-3pass"), SIZES if sizes is None else sizes, {**GOOD, **(inputs or {})}, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "inputs, message",
    [
        ({"K": np.ones((4, 2))}, "input K has shape (4, 2), expected (2, 4) (E=2, M=4)"),
        ({"K": 1.0}, "input K has shape (), expected (2, 4)"),
        ({"K": np.full((2, 4), math.nan)}, "input K is NaN at [0, 0] (8 such elements)"),
        ({"KK": np.ones(3)}, "attention-3pass has no input KK\n  did you mean K?"),
        ({"K": np.ones((2, 4), dtype=complex)}, "input K holds complex128, expected real numbers"),
        ({"K": [["a"] * 4] * 2}, "input K holds <U1, expected real numbers"),
        ({"K": [[1.0], [1.0, 2.0]]}, "input K is no array"),
        ({"K": None}, "input K holds object, expected real numbers"),
    ],
)
def test_a_bad_input_is_refused(inputs: dict[str, Any], message: str) -> None:
    assert message in refused(inputs=inputs)


def test_all_bad_inputs_are_told_together() -> None:
    with pytest.raises(InputError) as caught:
        run(load("attention-3pass"), SIZES, {"K": np.ones(1), "X": 1})
    assert [d.message.split(" (")[0] for d in caught.value.diagnostics] == [
        "attention-3pass has no input X",
        "input Q of attention-3pass is missing",
        "input K has shape",
        "input V of attention-3pass is missing",
    ]


def test_sizes_and_formats_are_checked() -> None:
    assert "missing size M" in refused(sizes={"E": 2, "P": 3, "F": 5})
    assert "unknown shape B" in refused(sizes={**SIZES, "B": 3})
    assert "at these sizes" in refused(sizes={**SIZES, "M": 1 << 40})
    assert "a cascade runs on floating-point numbers, not on int64" in refused(dtype=np.int64)


@pytest.mark.parametrize(
    "lines, message",
    [
        ("Z[k] = R[k+1]", "is never written"),
        ("stop: k >= K\nR[k+1] = R[k] + A[k]\nZ = R[K]", "R[0] is never written"),
        ("Y[k] = X[k]\nX[k] = Y[k] * A[k]\nZ = sum[k] X[k]", "cycle"),
    ],
)
def test_cascades_that_cannot_run_are_refused_with_the_place(lines: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        text = f"input A[k]\noutput Z\n{lines}"
        one(text if "R[k+1]" not in lines or "stop" in lines else f"{text}\nR[k] = A[k]", {"K": 4}, A=A4)
    assert message in str(caught.value)
    assert "<cascade>:" in str(caught.value)


def test_a_circle_that_the_check_of_sizes_let_through_would_end_with_the_place() -> None:
    cascade = parse("input A[k]\noutput X\nY[k] = X[k]\nX[k] = Y[k] * A[k]")
    (pool,) = schedule(cascade)
    assert isinstance(pool, Pool)
    empty = {name: Cells.empty((4,), np.dtype(float)) for name in "XY"}
    given = Cells(values=A4, written=None, present=None)
    machine = Machine(cascade=cascade, cells={**empty, "A": given}, operators=BUILTIN, dtype=np.dtype(float))
    extents = Extents(shapes={"K": 4}, ranges={"k": 4}, tensors={})
    with pytest.raises(InputError) as caught:
        interpreter._steps(machine, extents, (pool,), {}, True)
    assert str(caught.value).startswith("<cascade>:4:8: error: reads Y before anything has written it, at k=0")


def test_einsums_that_no_loop_orders_run_when_they_are_ready() -> None:
    """P needs Q ahead of it; Q needs P at its own coordinate, but only where P comes from elsewhere."""
    lines = "init: P[0] = 1\ninit: P[1] = 2\nP[t+2] = Q[t+2] + A[t] for t < 2\nQ[t] = P[t] + A[t] for t < 2"
    cascade = parse(f"input A[k]\noutput P, Q\nstop: t >= K\n{lines}")
    assert any(isinstance(step, Pool) for step in schedule(cascade))
    found = run(cascade, {"K": 4}, {"A": A4})
    assert found["P"].tolist() == [1, 2, 1, 2, None, None]
    assert found["Q"].tolist() == [2, 4, None, None]
