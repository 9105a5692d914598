"""Operation counts of the library and of filters, in closed form, and the operators of a point."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import product

import pytest
import sympy as sp
from test_counts_random import assert_counts
from test_library import sized

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.counts_record import OperationCount
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.points import is_constant, is_view, point_operators
from fusemap.einsum_cascade.scope import accesses, conditions_of, depends_on_data, lookups
from fusemap.einsum_cascade.types import Einsum


def shape(name: str) -> sp.Symbol:
    return sp.Symbol(name, integer=True, positive=True)


def counts(name_or_text: str) -> dict[tuple[str, str], OperationCount]:
    """Counts by (einsum, operator) of a built-in cascade or a text."""
    cascade = load(name_or_text) if name_or_text in names() else parse(name_or_text)
    return {(c.einsum, c.operator): c for c in operation_counts(cascade)}


SMALL = {"E": 2, "F": 3, "N": 2, "J": 3, "T": 3, "H": 4, "HK": 2, "G": 2, "C": 2, "R": 3, "D": 3, "L": 2, "X": 4}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", names())
def test_counts_of_the_library_equal_those_counted(name: str) -> None:
    """They also name the operators of a point, of which a view has none."""
    cascade = load(name)
    cases = [
        sized(cascade, M=keys, M0=chunk, P=queries, K=keys, **SMALL)
        for keys, chunk, queries in [(6, 2, 7), (4, 4, 3), (1, 1, 1)]
    ]
    found = assert_counts(cascade, *cases)
    filtered = any(conditions_of(e) or depends_on_data(e) for e in cascade.einsums)
    assert all(c.exact for c in found) or (filtered and "causal" not in name and "window" not in name)
    for einsum in cascade.einsums:
        assert_operators(einsum, found)


def assert_operators(einsum: Einsum, found: Sequence[OperationCount]) -> None:
    """Counts of an Einsum are of the operators of its point; a view has none."""
    point = point_operators(einsum)
    expected = {(o, "map") for o in point.map} | ({(point.reduce, "reduce")} if point.reduce else set())
    assert {(c.operator, c.kind) for c in found if c.einsum == einsum.name} == expected
    gathers = any(lookups(a) for a in accesses(einsum))
    assert is_view(einsum) == (not (expected or gathers or is_constant(einsum.expr)))


def test_counts_are_expressions_of_the_shapes_even_of_those_that_sympy_calls_constants() -> None:
    found = counts("input A[e,i,n,o,q,s]\nZ = A[e,i,n,o,q,s] * 2")
    everything = sp.prod(shape(n) for n in "EINOQS")
    assert found["Z", "mul"].count == everything
    assert found["Z", "sum"].count == everything - 1
    assert counts("attention-3pass")["AV", "mul"].count == shape("F") * shape("M") * shape("P")


def test_the_division_is_deferred_from_every_key_to_every_feature() -> None:
    e, f, m, p = map(shape, "EFMP")
    assert counts("attention-3pass")["A", "div"].count == m * p
    assert counts("attention-3pass-deferred")["AV", "div"].count == f * p
    assert counts("attention-1pass")["AV", "div"].count == f * p
    assert e not in counts("attention-3pass")["A", "div"].count.free_symbols


def test_a_causal_square_has_half_the_points() -> None:
    m = shape("M")
    found = counts("shape P = M\ninput A[m,p]\nQ[m: m<=p, p] = -A[m,p]\nZ[p] = sum[m] exp(Q[m,p])")
    assert sp.expand(found["Q", "neg"].count - m * (m + 1) / 2) == 0
    assert found["Z", "exp"].count == found["Q", "neg"].count
    assert sp.expand(found["Z", "sum"].count - m * (m - 1) / 2) == 0


def test_a_causal_rectangle_is_counted_for_all_shapes() -> None:
    m, p = shape("M"), shape("P")
    smaller = sp.Min(m, p)
    expected = smaller * (smaller + 1) / 2 + (p - smaller) * m
    found = counts("attention-3pass-causal")["SN", "exp"].count
    for keys, queries in product(range(1, 7), repeat=2):
        assert (found - expected).subs({m: keys, p: queries}) == 0


FILTERS = [
    "m <= p",
    "m < p",
    "p <= m",
    "m == p",
    "p-W < m <= p",
    "p-W < m < p+W",
    "m+p < W",
    "m <= p+2",
    "m > 1",
    "m < W & p >= 2",
    "m <= p & p > 2",
    "m <= p & m < W & p < 5",
    "m1*M0+m0 <= p",
    "m1 <= p",
    "m1*M0 <= p < m1*M0+M0",
    "m0 <= m1",
    "m1 <= m0 & m0 <= p",
    "m1*M0 + p < W",
    "m%W <= 1",
    "m//W == p//W",
]


@pytest.mark.parametrize("condition", FILTERS)
def test_a_filter_is_counted_exactly_in_closed_form_or_as_a_sum(condition: str) -> None:
    split = "m1" in condition or "m0" in condition
    names = ("m1,m0,p", "m1*M0+m0,p", "m1,p", "m0") if split else ("m,p", "m,p", "p", "m")
    left, index, kept, reduced = names
    shapes = "shape M = M1*M0, W" if split else "shape W"
    lines = f"Y[{left}] = -A[{index}] for {condition}\nZ[{kept}] = max[{reduced}] Y[{left}] for W > 0"
    cascade = parse(f"{shapes}\ninput A[m,p]\n{lines}")
    cases = [
        {"M": keys, "P": queries, "W": width, **({"M0": chunk} if split else {})}
        for keys, chunk, queries, width in [(6, 2, 7, 3), (6, 3, 4, 2), (8, 2, 1, 1), (4, 4, 9, 5), (1, 1, 1, 1)]
    ]
    assert assert_counts(cascade, *cases)[0].exact


@pytest.mark.parametrize("condition", ["m <= p", "p-W < m <= p", "m+p < W", "m == p", "m <= p & p > 2"])
def test_common_filters_have_a_closed_form(condition: str) -> None:
    for count in operation_counts(parse(f"shape W\ninput A[m,p]\nZ[p] = max[m] A[m,p] * 2 for {condition}")):
        assert not count.count.has(sp.Sum), count
        assert count.exact


def test_a_closed_form_is_evaluated_at_real_sizes_at_once() -> None:
    start = time.perf_counter()
    million = 1 << 20
    sizes = {"E": 64, "F": 64, "P": million, "M1": 4096, "M0": 256}
    found = counts("attention-1pass-causal")["SLN", "exp"].at(sizes)
    assert found == million * (million + 1) // 2
    assert time.perf_counter() - start < 3


def test_a_count_needs_the_sizes_of_its_shapes() -> None:
    with pytest.raises(InputError, match="the count of exp in SN needs sizes of M, P"):
        counts("attention-3pass")["SN", "exp"].at({"E": 4})


def test_counts_that_are_only_bounds_say_so() -> None:
    """The union of two filters of which neither contains the other."""
    text = "input A[m,p]\nY[m: m<p, p] = A[m,p]\nX[m: m>p, p] = A[m,p]\nU[m,p] = Y[m,p] + X[m,p]\nZ[m,p] = -U[m,p]"
    found = counts(text)
    assert found["U", "add"].exact and not found["Z", "neg"].exact
    assert_counts(parse(text), {"M": 4, "P": 5})


def test_a_recurrence_that_starts_absent_is_not_counted_as_present() -> None:
    text = "input A[k]\nstop: k >= K\ninit: R[0] = 1\nF[k: k>2] = A[k]\nR[k+1] = R[k] * F[k]\nZ = R[K]"
    assert not counts(text)["R", "mul"].exact
    assert_counts(parse(text), {"K": 5})


def test_what_is_computed_from_a_doubtful_recurrence_is_doubtful() -> None:
    lines = "F[k: k>2] = A[k]\nB[k] = -R[k]\nR[k+1] = B[k] * F[k]\nZ = R[K]"
    text = f"input A[k]\nstop: k >= K\ninit: R[0] = 1\n{lines}"
    assert not counts(text)["B", "neg"].exact
    assert_counts(parse(text), {"K": 5})


def test_a_filter_moves_with_the_offset_of_a_write() -> None:
    found = counts("input A[k]\nstop: k >= K\nR[k+1] = A[k] + 1 for k < 2\nZ[k] = -R[k+1]")
    assert found["Z", "neg"].exact
    assert found["Z", "neg"].count == sp.Min(2, shape("K"))


def test_a_projection_that_integers_break_is_a_bound() -> None:
    """Only multiples of M0 have an m1 with m1*M0 == p."""
    text = "shape M = M1*M0\ninput A[m,p]\nZ[p] = max[m1] A[m1*M0,p] for m1*M0 == p"
    assert not counts(text)["Z", "max"].exact
    assert_counts(parse(text), {"M": 9, "M0": 3, "P": 8})


def test_constants_cost_nothing() -> None:
    found = counts("input A[k]\nstop: k >= K\ninit: R[0] = -inf\nR[k+1] = max(R[k], A[k] * (1/size(K)))\nZ = R[K]")
    assert set(found) == {("R", "max"), ("R", "mul")}


def test_an_operator_used_twice_is_counted_twice_and_a_registered_one_too() -> None:
    operators = BUILTIN.register_map("cube", 1, lambda a: a**3)
    cascade = parse("input A[k]\nZ[k] = cube(A[k]) + cube(A[k]+1)", operators=operators)
    found = {c.operator: str(c.count) for c in operation_counts(cascade, operators)}
    assert found == {"cube": "2*K", "add": "2*K"}


@pytest.mark.parametrize(
    "name, einsum, operators, reduce",
    [
        ("attention-1pass", "BK", (), None),
        ("attention-1pass", "BQK", ("mul",), "sum"),
        ("attention-1pass", "LM", (), "max"),
        ("attention-1pass", "RM", ("max",), None),
        ("attention-1pass", "SLN", ("sub", "exp"), None),
        ("attention-1pass", "RD", ("add",), None),
        ("attention-1pass", "AV", ("div",), None),
        ("layernorm", "RS", ("div", "add", "rsqrt"), None),
        ("cascade-3", "RZ", ("mul", "mul", "add"), None),
    ],
)
def test_the_operators_of_a_point(name: str, einsum: str, operators: tuple[str, ...], reduce: str | None) -> None:
    found = point_operators(next(e for e in load(name).einsums if e.name == einsum))
    assert (found.map, found.reduce) == (operators, reduce)
