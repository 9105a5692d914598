"""Reads and filters that depend on data: their meaning on small arrays, their limits, and every refusal."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome

import fusemap as fm
from fusemap.einsum_cascade import interpreter
from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.index_ranges import index_range
from fusemap.einsum_cascade.interpreter import execute, run
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.points import is_view, point_operators
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.scope import accesses, depends_on_data, rank_shapes, rank_variables, variables_of
from fusemap.einsum_cascade.sized import check_sizes
from fusemap.einsum_cascade.types import Lookup

NAN, INF = math.nan, math.inf
TOPK_ATTENTION = """cascade topk-attention
shape P = M
input Q[e,p], K[e,m], V[f,m]
S[m: m<=p, p] = Q[e,p] * K[e,m]
I[j,p]        = topk[m; j] S[m,p]
T[j,p]        = S[I[j,p], p]
GM[p]         = max[j] T[j,p]
N[j,p]        = exp(T[j,p] - GM[p])
D[p]          = sum[j] N[j,p]
AV[f,p]       = N[j,p] / D[p] * V[f, I[j,p]]
"""


def ranked(values: Any, places: int, **options: Any) -> list[float | None]:
    """The coordinates that topk gives for the elements of a vector, None where absent."""
    cascade = parse("input S[m]\nI[j] = topk[m; j] S[m]")
    array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values, dtype=float)
    found: list[float | None] = run(cascade, {"M": len(array), "J": places}, {"S": array}, **options)["I"].tolist()
    return found


# --- meaning ---------------------------------------------------------------------------------------


def test_topk_attention_is_softmax_over_the_largest_scores() -> None:
    cascade = parse(TOPK_ATTENTION)
    generator = np.random.default_rng(3)
    q, k, v = (generator.normal(size=shape) for shape in ((4, 9), (4, 9), (5, 9)))
    found = run(cascade, {"J": 3, "M": 9, "E": 4, "F": 5}, {"Q": q, "K": k, "V": v})["AV"]
    for p in range(9):
        scores = [float(q[:, p] @ k[:, m]) for m in range(p + 1)]
        chosen = sorted(range(p + 1), key=lambda m: (-scores[m], m))[:3]
        weights = np.array([math.exp(scores[m]) for m in chosen])
        np.testing.assert_allclose(found[:, p], v[:, chosen] @ weights / weights.sum(), rtol=1e-12)


def test_topk_attention_over_all_keys_is_attention() -> None:
    cascade, dense = parse(TOPK_ATTENTION), fm.load_cascade("attention-3pass-causal")
    sizes = {"M": 6, "E": 3, "F": 2}
    inputs = {n: np.random.default_rng(1).normal(size=s) for n, s in (("Q", (3, 6)), ("K", (3, 6)), ("V", (2, 6)))}
    expected = run(dense, {**sizes, "P": 6}, inputs)["AV"]
    np.testing.assert_allclose(run(cascade, {**sizes, "J": 6}, inputs)["AV"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "places", "expected"),
    [
        ([3.0, 1.0, 2.0], 3, [0, 2, 1]),
        ([1.0, 1.0, 2.0, 1.0], 4, [2, 0, 1, 3]),
        ([0.0, -0.0, 0.0], 3, [0, 1, 2]),
        ([-INF, INF, -INF, 5.0], 4, [1, 3, 0, 2]),
        ([1.0], 3, [0, None, None]),
        (np.ma.MaskedArray([9.0, 1.0, 8.0, 2.0], mask=[1, 0, 1, 0]), 3, [3, 1, None]),
        (np.ma.MaskedArray([9.0, 1.0], mask=True), 1, [None]),
    ],
)
def test_places_ties_and_too_few_elements(values: Any, places: int, expected: list[float | None]) -> None:
    assert ranked(values, places) == expected


def test_nan_ranks_before_every_number_so_that_it_is_not_lost() -> None:
    cascade = parse("input A[m]\nS[m] = A[m] / A[m]\nI[j] = topk[m; j] S[m]")
    found = run(cascade, {"M": 4, "J": 4}, {"A": [1.0, 0.0, 2.0, 0.0]})["I"]
    assert found.tolist() == [1, 3, 0, 2]


def test_a_threshold_leaves_out_what_is_not_above_it() -> None:
    text = "input A[m,p], V[m]\nS[m,p] = only(A[m,p], gt(A[m,p], 0.5))\nZ[p] = S[m,p] * V[m]\nG[p] = max[m] S[m,p]"
    scores = np.array([[0.2, 0.7], [0.5, 0.9], [0.1, -3.0]])
    found = run(parse(text), {"M": 3, "P": 2}, {"A": scores, "V": [1.0, 10.0, 100.0]}, tensors="all")
    assert found["S"].tolist() == [[None, 0.7], [None, 0.9], [None, None]]
    assert found["Z"].tolist() == [None, 0.7 + 9.0]
    assert found["G"].tolist() == [None, 0.9]


def test_a_gather_of_an_absent_coordinate_is_absent_and_read_nowhere() -> None:
    cascade = parse("input K[m], I[j]\nG[j] = K[I[j]]\nZ = sum[j] K[I[j]]")
    index = np.ma.MaskedArray([1, 99, 0], mask=[0, 1, 0])
    found = run(cascade, {"M": 2, "J": 3}, {"K": [5.0, 7.0], "I": index})
    assert found["G"].tolist() == [7.0, None, 5.0]
    assert found["Z"].tolist() == 12.0


def test_a_gather_of_an_absent_element_is_absent() -> None:
    cascade = parse("input A[m], I[j]\nK[m: m>0] = A[m]\nG[j] = K[I[j]]")
    assert run(cascade, {"M": 2, "J": 2}, {"A": [5.0, 7.0], "I": [0, 1]})["G"].tolist() == [None, 7.0]


def test_blocks_are_gathered_by_a_coordinate_of_a_partition() -> None:
    text = "shape M = M1*M0\ninput K[m], I[j]\nB[m1,m0] = K[m1*M0+m0]\nG[j,m0] = B[I[j],m0]\nF[j*M0+m0] = B[I[j],m0]"
    found = run(parse(text), {"M": 6, "M0": 2, "J": 2}, {"K": np.arange(6.0), "I": [2, 0]})
    assert found["G"].tolist() == [[4, 5], [0, 1]]
    assert found["F"].tolist() == [4, 5, 0, 1]


def test_a_scalar_is_looked_up_with_empty_brackets() -> None:
    text = "input S[m], K[m]\nI[j] = topk[m; j] S[m]\nB = I[0]\nZ = K[B[]]"
    cascade = parse(text)
    assert parse(format_cascade(cascade)) == cascade
    assert float(run(cascade, {"M": 3, "J": 1}, {"S": [0, 2, 1], "K": [7, 8, 9]})["Z"]) == 8.0


def test_a_gather_along_an_iterative_rank_may_read_its_own_step() -> None:
    """Autoregressive: step i appends C[i] and attends to the J best of C[0..i]."""
    lines = "C[i] = R[i] * 0.5 + 1\nI[j,i] = topk[m: m<=i; j] C[m]\nR[i+1] = sum[j] C[I[j,i]]\nZ = R[N]"
    cascade = parse(f"shape M = N\nstop: i >= N\ninput A\ninit: R[0] = A\n{lines}")
    state, seen = 3.0, []
    for _ in range(6):
        seen.append(state * 0.5 + 1)
        state = sum(sorted(seen, reverse=True)[:2])
    assert float(run(cascade, {"N": 6, "J": 2}, {"A": 3.0})["Z"]) == pytest.approx(state, rel=1e-14)


def test_halving_the_points_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cascade = parse(TOPK_ATTENTION)
    sizes = {"J": 3, "M": 9, "E": 4, "F": 5}
    inputs = {n: np.random.default_rng(2).normal(size=s) for n, s in (("Q", (4, 9)), ("K", (4, 9)), ("V", (5, 9)))}
    whole = execute(cascade, sizes, inputs)
    monkeypatch.setattr(interpreter, "MAX_POINTS_AT_ONCE", 4)
    parts = execute(cascade, sizes, inputs)
    for name, tensor in whole.items():
        np.testing.assert_allclose(parts[name].values, tensor.values, rtol=1e-13)
        np.testing.assert_array_equal(parts[name].present, tensor.present)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("gt(A[k], 1)", [0.0, 0.0, 1.0, 0.0]),
        ("ge(A[k], 1)", [0.0, 1.0, 1.0, 0.0]),
        ("eq(A[k], A[k])", [1.0, 1.0, 1.0, 0.0]),
        ("where(A[k], 1, 2)", [2.0, 1.0, 1.0, 1.0]),
        ("only(val(k), A[k])", [None, 1.0, 2.0, 3.0]),
        ("only(B[k], val(k))", [None, None, 5.0, 5.0]),
        ("where(val(k), B[k], 1)", [None, None, 5.0, 5.0]),
        ("where(B[k], 1, 2)", [None, None, 1.0, 1.0]),
        ("sign(A[k])", [0.0, 1.0, 1.0, NAN]),
        ("floor(-A[k] * 0.6)", [0.0, -1.0, -INF, NAN]),
        ("pow(2, val(k))", [1.0, 2.0, 4.0, 8.0]),
    ],
)
def test_operators_with_zero_infinity_nan_and_absent_operands(expr: str, expected: list[float | None]) -> None:
    """A is 0, 1, inf, NaN; B is absent, absent, 5, 5. NaN is not 0, and no comparison with it holds."""
    cascade = parse(
        f"input Y[k]\nB[k: k>1] = 5\nA[k] = where(eq(val(k), 3), Y[k] - inf, Y[k])\nZ[k] = {expr}\noutput Z"
    )
    found = run(cascade, {"K": 4}, {"Y": [0.0, 1.0, INF, INF]})["Z"]
    np.testing.assert_array_equal(np.ma.getmaskarray(found), [e is None for e in expected])
    kept = [e for e in expected if e is not None]
    np.testing.assert_array_equal(np.ma.compressed(found), kept)


# --- what others ask of the tree -------------------------------------------------------------------


def test_the_tree_knows_the_index_tensor_and_the_place() -> None:
    cascade = parse("input S[m,p], K[e,m]\nI[j,p] = topk[m: m<=p; j] S[m,p]\nG[e,j] = K[e, I[j,p//W]]\nshape W")
    rank, gather = cascade.einsums
    assert rank.reduce is not None
    assert (rank.reduce.operator, rank.reduce.places, rank.reduce.variables[0].var) == ("topk", "j", "m")
    assert variables_of(rank) == ("j", "p", "m")
    assert [a.tensor for a in accesses(gather)] == ["K", "I"]
    lookup = accesses(gather)[0].indices[1].expr
    assert isinstance(lookup, Lookup)
    assert (rank_variables(lookup), rank_shapes(lookup)) == (("j", "p"), ("W",))
    assert variables_of(gather) == ("e", "j", "p")
    assert depends_on_data(rank) and depends_on_data(gather)
    assert point_operators(rank).reduce == "topk"


def test_a_gather_is_no_view_but_a_dependence() -> None:
    cascade = parse("input K[m], I[j], S[m]\nG[j] = K[I[j]]\nL[j] = I[j]\nR[j] = topk[m; j] S[m]")
    assert [is_view(e) for e in cascade.einsums] == [False, True, False]
    looped = parse("input A[k]\nstop: k >= K\nT[k] = floor(A[k])\nR[k] = A[T[k]]")
    assert {a.tensor for a in accesses(looped.einsums[1])} == {"A", "T"}


@pytest.mark.parametrize(
    "text",
    [
        "Z[j,p] = topk[m: m<=p & m>W; j] S[m,p]*2 for p<3",
        "Z[e] = K[e, I[j: j<W, p]: j<=p]",
        "Z[e] = sum[j, p] K[e,B[]]*S[I[j,p],p//W]",
        "Z[p] = max[j] where(gt(S[I[j,p],p], 0), only(I[j,p], 1), -I[j,p])",
    ],
)
def test_printing_is_the_inverse_of_reading(text: str) -> None:
    cascade = parse(f"cascade c\nshape W\ninput S[m,p], K[e,m], I[j,p], B\n{text}")
    assert format_cascade(cascade).splitlines()[-1] == text
    assert parse(format_cascade(cascade)) == cascade


def test_counts_of_a_ranking_and_a_gather() -> None:
    counts = {(c.einsum, c.operator): c for c in operation_counts(parse(TOPK_ATTENTION))}
    sizes = {"M": 8, "J": 3, "E": 4, "F": 5}
    assert counts["I", "topk"].exact and counts["I", "topk"].kind == "reduce"
    assert counts["I", "topk"].at(sizes) == 8 * 9 // 2
    assert not any(einsum == "T" for einsum, _ in counts)
    filled = sum(min(3, p + 1) for p in range(8))
    assert counts["AV", "mul"].at(sizes) == 5 * filled
    plain = {c.operator: c for c in operation_counts(parse("input S[m]\nI[j] = topk[m; j] S[m]*2\nZ[j] = -I[j]"))}
    assert [str(plain[o].count) for o in ("mul", "topk", "neg")] == ["M", "M", "Min(J, M)"]
    assert all(c.exact for c in plain.values())


def test_counts_behind_a_filter_by_data_are_bounds() -> None:
    found = {c.operator: c for c in operation_counts(parse("input A[k]\nB[k] = only(A[k], gt(A[k], 0))\nZ[k] = -B[k]"))}
    assert found["only"].exact and found["gt"].exact
    assert not found["neg"].exact and str(found["neg"].count) == "K"


@pytest.mark.parametrize(("name", "cost"), [("gt", "compare"), ("ge", "compare"), ("eq", "compare")])
def test_comparisons_have_one_cost(name: str, cost: str) -> None:
    assert BUILTIN.map(name).cost == cost


def test_costs_and_arities() -> None:
    expected = {"where": (3, "select"), "only": (2, "select"), "pow": (2, "pow"), "sign": (1, "sign")}
    expected |= {name: (1, name) for name in ("softplus", "floor", "cos", "sin")}
    assert {n: (BUILTIN.map(n).arity, BUILTIN.map(n).cost) for n in expected} == expected
    assert BUILTIN.reduction("topk").cost == "topk"
    assert [o.name for o in BUILTIN.maps if o.filters] == ["only"]
    assert BUILTIN.register_map("clip", 3, np.clip).map("clip").cost == "clip"


# --- inputs that are coordinates -------------------------------------------------------------------


def test_inputs_that_index_are_drawn_in_range() -> None:
    text = (
        "input W[v,d], U[n,d], I[t], X[t]\nL[t] = only(I[t], gt(X[t], 0))\nH[t] = floor(L[t])\nE[t,d] = W[H[t],d]"
        "\nY[t,d] = U[I[t],d]"
    )
    found = fm.run(parse(text), {"V": 7, "N": 5, "T": 400, "D": 1})
    drawn = found.tensors["I"].values
    assert set(drawn.tolist()) == set(range(5))
    assert not float(found.tensors["X"].values[0]).is_integer()
    again = fm.run(parse(text), {"V": 7, "N": 5, "T": 400, "D": 1}).tensors["I"].values
    np.testing.assert_array_equal(again, drawn)


def test_the_range_of_a_computed_index() -> None:
    lines = "I[j] = topk[m; j] S[m]\nA[j] = I[j]*size(B) + val(j)\nC[j] = max(min(N[j], size(B)-1), 0)\nR = max[j] I[j]"
    more = "D[j] = where(gt(N[j], 0), floor(I[j]/2), 3)\nT = sum[j] I[j]\nF[j] = floor(N[j])\nG[j] = I[j] - val(j//B)"
    cascade = parse(f"shape B\ninput S[m], N[j]\n{lines}\n{more}")
    sizes = check_sizes(cascade, {"M": 9, "J": 4, "B": 3})
    expected = {"I": (0, 8), "A": (0, 27), "C": (0, 2), "R": (0, 8), "D": (0, 4), "G": (-1, 8)}
    assert {name: index_range(cascade, sizes, name) for name in expected} == expected
    assert {index_range(cascade, sizes, name) for name in ("T", "F", "N")} == {(-INF, INF)}


def test_the_command_runs_it(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "t.cascade"
    path.write_text(TOPK_ATTENTION, encoding="utf-8")
    assert fm.load_cascade(path) == parse(TOPK_ATTENTION)
    outcome = fusemap("run", str(path), "--size", "M=12", "--size", "J=3", "--json")
    assert outcome.code == 0, outcome.err
    (output,) = outcome.json()["outputs"]
    assert (output["tensor"], output["shape"], output["absent"], output["not_finite"]) == ("AV", [16, 12], 0, 0)
    counts = {(o["einsum"], o["operator"]): o["count"] for o in outcome.json()["operations"]}
    assert counts["I", "topk"] == 12 * 13 // 2
