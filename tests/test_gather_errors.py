"""Refusals of reads and filters that depend on data: every message, with its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from test_gather import TOPK_ATTENTION, ranked

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.sized import check_sizes

INF = math.inf

HEAD = "input S[m,p], K[e,m], N[j], W[e,b]"
SUM = "an element of a tensor is an index by itself, as in K[e,I[j]]: name a sum by an Einsum of its own"
MIXED = "integers are inputs, topk, floor, val, comparisons, and + - * max min where only of integers"

# (second line, its column, the message, the hint)
WRONG = [
    ("Z[e,j] = K[e,N[j]+1]", 14, "index is not affine", SUM),
    ("Z[e,j] = K[e,1+N[j]]", 16, "index is not affine", SUM),
    ("Z[e,j] = K[e,m0*N[j]]", 14, "index is not affine", SUM),
    ("Z[e,j] = K[e,-N[j]]", 14, "index is not affine", SUM),
    ("Z[e,j] = K[e,N[j]//M]", 14, "index is not affine", SUM),
    (
        "Z[e,j] = K[e,N[N[j]]]",
        16,
        "coordinate that depends on the data of N",
        "name the inner read by an Einsum of its own, as in I2[j] = I[N[j]]",
    ),
    (
        "Z[e,N[j]] = K[e,j]",
        5,
        "coordinate that depends on the data of N",
        "data may choose what is read, not what is written: gather on the right-hand side, as in K[e,I[j]]",
    ),
    (
        "Z[e,j] = K[e,j] for N[j] < 3",
        21,
        "coordinate that depends on the data of N",
        "a condition compares coordinates; to filter by data write only(x, gt(a, b))",
    ),
    (
        "Z[e,j] = K[e,j: 0 <= N[j]]",
        22,
        "coordinate that depends on the data of N",
        "a condition compares coordinates; to filter by data write only(x, gt(a, b))",
    ),
    (
        "Z[j] = val(N[j])",
        12,
        "coordinate that depends on the data of N",
        "an element is a value as it stands: leave val out",
    ),
    ("Z[e,j] = K[e,N[j,0]]", 14, "N has 1 rank, found 2 indices", "declared as N[j]"),
    ("Z[e,j] = K[e,X[j]]", 14, "undefined tensor X", "valid tensors: K, N, S, W, Z"),
    ("Z[e,j] = K[e,n[j]]", 14, "tensor n must start with an upper-case letter", "did you mean N?"),
    ("Z[e] = K[e,N[j: j<q]]", 19, "filter names q, which is no variable of this Einsum", "valid variables: e, j"),
    (
        "Z[j,p] = topk[m] S[m,p]",
        10,
        "topk needs a place",
        "write topk[m; j] with j on the left: the place in the order, 0 first",
    ),
    ("Z[p] = sum[m; p] S[m,p]", 8, "sum has no place", "write sum[m]"),
    (
        "Z[j] = topk[m,p; j] S[m,p]",
        8,
        "topk ranks along one variable, found m, p",
        "flatten them by an Einsum of their own, as in F[m*N+n] = S[m,n]",
    ),
    ("Z[p] = topk[m; j] S[m,p]", 8, "place j of topk is not on the left", "write Z[j,...]"),
    ("Z[j,p] = topk[m; j] S[m,p]*N[j]", 10, "place j of topk is on the right", "the place only orders results"),
    ("Z[j,p] = topk[m: m<j; j] S[m,p]", 18, "filter ties m to j: what topk ranks cannot depend on the place", ""),
    ("Z[j,p] = topk[e; j] S[m,p]", 10, "reduce list [e] differs from the variables absent on the left: m",
     "write topk[m; j]"),
    ("Z[j] = topk[m; j] S[m,p]", 8, "reduce list [m] differs from the variables absent on the left: m, p",
     "topk ranks along one variable: reduce the others by an Einsum of their own"),
    ("Z[j,p] = topk[m; ] S[m,p]", 18, "expected a rank variable, found ']'", ""),
    ("Z[j,p] = topk[m; j,e] S[m,p]", 19, "expected ']', found ','", ""),
    (
        "Z[j,p] = topk[m; J] S[m,p]",
        18,
        "expected a rank variable, found J",
        "a rank variable starts with a lower-case letter: did you mean j?",
    ),
    ("Z[j,p] = topp[m; j] S[m,p]", 10, "unknown reduction topp", "did you mean topk?"),
    ("Z[m] = only(N[m])", 8, "only takes 2 arguments, found 1", ""),
]  # fmt: skip


@pytest.mark.parametrize(("line", "column", "message", "hint"), WRONG, ids=[line for line, *_ in WRONG])
def test_wrong_lines(line: str, column: int, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(f"{HEAD}\n{line}")
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert (found.span.line, found.span.column, found.message, found.hint) == (2, column, message, hint)
    assert found.source == line


@pytest.mark.parametrize(
    "line",
    [
        "B[j] = N[j] * 0.5",
        "B[j] = exp(N[j])",
        "B[j] = N[j] / 2",
        "B[j] = prod[b] floor(W[0,b]) * N[j]",
        "B[j] = K[0,N[j]] * 0.5",
        "B[j] = where(N[j], N[j], 0.5)",
        "B[j] = 1 / size(M)",
    ],
)
def test_an_index_tensor_must_be_sure_to_hold_integers(line: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(f"{HEAD}\n{line}\nC[j] = B[j] + 1\nZ[e,j] = K[e,C[j]]")
    (found,) = caught.value.diagnostics
    assert (str(found.span), found.message) == ("<cascade>:4:14", "C is an index, but not sure to hold integers")
    assert found.hint == MIXED
    parse(f"{HEAD}\n{line}\nC[j] = floor(B[j]) + 1\nZ[e,j] = K[e,C[j]]")


def sized_error(text: str, sizes: Mapping[str, int]) -> str:
    cascade = parse(text)
    with pytest.raises(InputError) as caught:
        check_sizes(cascade, sizes)
    return str(caught.value)


def test_an_index_that_ranges_beyond_the_rank_is_refused_with_sizes() -> None:
    sizes = {"M": 8, "P": 2, "J": 2, "E": 2}
    text = f"{HEAD}\nI[j,p] = topk[m; j] S[m,p]\nZ[e,j,p] = W[e,I[j,p]]"
    assert sized_error(text, {**sizes, "B": 7}) == (
        "<cascade>:3:16: error: index I[j,p] ranges over 0..7, beyond rank 2 of W\n"
        "    Z[e,j,p] = W[e,I[j,p]]\n"
        "                   ^~~~~~\n"
        "  that rank has the coordinates 0..6"
    )
    check_sizes(parse(text), {**sizes, "B": 8})
    filtered = text.replace("topk[m; j]", "topk[m: m<B; j]")
    check_sizes(parse(filtered), {**sizes, "B": 7})
    below = f"{HEAD}\nI[j,p] = topk[m; j] S[m,p]\nL[j,p] = I[j,p] - 1\nZ[e,j,p] = K[e,L[j,p]]"
    assert "index L[j,p] ranges over -1..6, beyond rank 2 of K" in sized_error(below, {**sizes, "B": 1})


def test_what_else_is_read_where_an_index_is_absent_is_checked() -> None:
    """At p = 0 the filter leaves no m, so that K is not read there; X is."""
    lines = "I[j,p] = topk[m: m<p; j] S[m,p]\nX[p] = S[0,p+1] for p < P-1\nZ[e,j,p] = K[e,I[j,p]] + X[p-1]"
    sizes = {"M": 8, "P": 2, "J": 2, "E": 2}
    found = sized_error(f"{HEAD}\n{lines}\noutput Z", {**sizes, "B": 1})
    assert "X[-1] is never written, but read at e = 0, j = 0, p = 0" in found


def test_a_circle_through_data_is_refused() -> None:
    text = "input A[k], N[k]\nstop: k >= K\ninit: R[0] = 0\nR[k+1] = T[k] + A[k]\nT[k] = R[N[k]]\nZ = R[K]"
    assert "dependency cycle: R -> T -> R" in sized_error(text, {"K": 4})
    with pytest.raises(InputError, match="R reads itself without stepping an iterative rank forward"):
        parse("input A[k], N[k]\nstop: k >= K\ninit: R[0] = 0\nR[k+1] = R[N[k]] + A[k]\nZ = R[K]")


@pytest.mark.parametrize(("value", "shown"), [(2.5, "2.5"), (-1.0, "-1"), (4.0, "4"), (INF, "inf"), (1e300, "1e+300")])
def test_an_index_that_is_no_coordinate_is_refused_where_it_is_read(value: float, shown: str) -> None:
    cascade = parse("input K[e,m], N[j]\nL[j] = N[j]\nG[e,j] = K[e, L[j]]", file="a.cascade")
    inputs: dict[str, Any] = {"K": np.ones((2, 4)), "N": [0.0, value]}
    with pytest.raises(InputError) as caught:
        run(cascade, {"E": 2, "M": 4, "J": 2}, inputs)
    assert str(caught.value) == (
        f"a.cascade:3:15: error: index L[j] is {shown} at e=0, j=1, but rank 2 of K has the coordinates 0..3\n"
        "    G[e,j] = K[e, L[j]]\n"
        "                  ^~~~\n"
        "  an index tensor holds integers from 0: see where its values are computed or given"
    )
    run(parse("input K[e,m], N[j]\nG[e,j] = K[e, N[j]] for j < 1"), {"E": 2, "M": 4, "J": 2}, inputs)


def test_a_nan_index_is_refused() -> None:
    cascade = parse("input K[m], N[j]\nL[j] = floor(N[j] - inf)\nG[j] = K[L[j]]")
    with pytest.raises(InputError, match=r"index L\[j\] is nan at j=0"):
        run(cascade, {"M": 2, "J": 1}, {"K": [1.0, 2.0], "N": [INF]})


def test_a_coordinate_that_the_number_format_cannot_hold_is_refused() -> None:
    assert ranked(np.arange(2048.0) % 7, 1, dtype=np.float16) == [6]
    with pytest.raises(InputError, match=r"variable m has 2049 coordinates, more than float16 tells apart \(2048\)"):
        ranked(np.zeros(2049), 1, dtype=np.float16)
    gather = parse("input K[m], N[j]\nG[j] = K[N[j]]")
    with pytest.raises(InputError, match="rank 1 of K has 2049 coordinates, more than float16"):
        run(gather, {"M": 2049, "J": 1}, {"K": np.zeros(2049), "N": [0]}, dtype=np.float16)


@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_no_dataflow_maps_what_depends_on_data(
    fusemap: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.cascade").write_text(TOPK_ATTENTION, encoding="utf-8")
    outcome = fusemap(command, "t.cascade", "--arch", "fusemax-cloud", "--workload", "BERT@1K", "--size", "J=32")
    assert (outcome.code, outcome.out) == (2, "")
    start = "error: the built-in dataflows do not map data-dependent reads: Einsum"
    assert [line for line in outcome.err.splitlines() if "error" in line] == [
        f"t.cascade:5:17: {start} I selects coordinates by topk[m; j]",
        f"t.cascade:6:19: {start} T reads S at I[j,p]",
        f"t.cascade:10:38: {start} AV reads V at I[j,p]",
    ]
