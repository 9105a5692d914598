"""Static errors: place, message, and a nearly identical cascade that is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.check import MAX_ERRORS, check
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import Affine, Einsum, Index, TensorName, Term, VarName

HEAD = "input Q[e,p], K[e,m], X[i]\n"

# (class, wrong text after HEAD, errors as line:column: message, the same text put right)
CASES = [
    ("wrong case of a tensor", "Z[p] = q[e,p]", "2:8: tensor q must start with an upper-case letter", "Z[p] = Q[e,p]"),
    (
        "wrong case of an output tensor",
        "z[p] = Q[e,p]",
        "2:1: tensor z must start with an upper-case letter",
        "Z[p] = Q[e,p]",
    ),
    ("wrong case of a variable", "Z[p] = Q[E,p]", "2:10: index E is past the last element of rank E", "Z[p] = Q[e,p]"),
    (
        "wrong case of a variable on the left",
        "Z[P] = Q[e,p]",
        "2:3: Z is written at a constant, which only init: may do",
        "Z[p] = Q[e,p]",
    ),
    (
        "wrong case in a declaration",
        "input V[E]\nZ = 1",
        "2:9: a rank of input V is not a lower-case variable",
        "input V[e]\nZ = 1",
    ),
    (
        "an input in lower case",
        "input v[e]\nZ = 1",
        "2:7: tensor v must start with an upper-case letter",
        "input V[e]\nZ = 1",
    ),
    ("a variable as value", "Z[p] = p * 2", "2:8: p is a rank variable, not a value", "Z[p] = val(p) * 2"),
    ("a shape as value", "Z[p] = Q[e,p] / E", "2:17: E is a shape, not a tensor", "Z[p] = Q[e,p] / size(E)"),
    ("unknown operator", "Z[p] = expo(Q[e,p])", "2:8: unknown operator expo", "Z[p] = exp(Q[e,p])"),
    ("a reduction as function", "Z[p] = sum(Q[e,p])", "2:8: unknown operator sum", "Z[p] = sum[e] Q[e,p]"),
    ("unknown reduction", "Z[p] = mean[e] Q[e,p]", "2:8: unknown reduction mean", "Z[p] = max[e] Q[e,p]"),
    ("arity", "Z[p] = sum[e] max(Q[e,p])", "2:15: max takes 2 arguments, found 1", "Z[p] = sum[e] max(Q[e,p], 0)"),
    ("arity of one", "Z[e,p] = exp(Q[e,p], 1)", "2:10: exp takes 1 argument, found 2", "Z[e,p] = exp(Q[e,p])"),
    (
        "reduce list too short",
        "Z[p] = sum[m] Q[e,p]*K[e,m]",
        "2:8: reduce list [m] differs from the variables absent on the left: e, m",
        "Z[p] = sum[m, e] Q[e,p]*K[e,m]",
    ),
    (
        "reduce list with a variable of the left",
        "Z[p] = sum[e, p] Q[e,p]",
        "2:8: reduce list [e, p] differs from the variables absent on the left: e",
        "Z[p] = sum[e] Q[e,p]",
    ),
    (
        "reduce list with a variable twice",
        "Z[p] = sum[e, e] Q[e,p]",
        "2:8: reduce list [e, e] differs from the variables absent on the left: e",
        "Z[p] = sum[e] Q[e,p]",
    ),
    (
        "reduction of nothing",
        "Z[e,p] = sum[m] Q[e,p]",
        "2:10: reduce list [m] differs from the variables absent on the left: none",
        "Z[e,p] = Q[e,p]",
    ),
    ("duplicate input", "input Q[e]\nZ = 1", "2:7: duplicate input Q", "input R[e]\nZ = 1"),
    (
        "input with a variable twice",
        "input R[e,e]\nZ = 1",
        "2:11: input R repeats the variable e",
        "input R[e,m]\nZ = 1",
    ),
    (
        "input with a filter",
        "input R[e: e<2]\nZ = 1",
        "2:9: filter in the declaration of input R",
        "input R[e]\nZ = R[e: e<2]",
    ),
    ("assignment to an input", "Q[e,p] = 1", "2:1: assignment to the input Q", "Z[e,p] = 1"),
    (
        "init of an input",
        "init: X[0] = 1\nZ = 1",
        "2:7: assignment to the input X",
        "stop: i >= I\ninit: Y[0] = 1\nY[i+1] = Y[i]\nZ = Y[I]",
    ),
    (
        "offset write without stop",
        "S[i+1] = S[i] + X[i]\nZ = S[I]",
        "2:3: offset write on rank i without stop:",
        "stop: i >= I\nS[i+1] = S[i] + X[i]\nZ = S[I]",
    ),
    ("repeated variable on the left", "Z[m,m] = K[e,m]", "2:5: repeated variable m on the left of Z", "Z[m] = K[e,m]"),
    (
        "repeated variable in one index",
        "stop: m >= M\nZ[m+m] = K[e,m]",
        "3:3: Z is not written at a plain rank|3:3: repeated variable m on the left of Z",
        "Z[m] = K[e,m]",
    ),
    ("rank count", "Z[m] = K[m]", "2:8: K has 2 ranks, found 1 index", "Z[m] = K[e,m]"),
    (
        "rank count of a scalar",
        "Z = 1\nY[m] = K[e,m]*Z[m]",
        "3:15: Z has 0 ranks, found 1 index",
        "Z = 1\nY[m] = K[e,m]*Z",
    ),
    (
        "rank count of an init",
        "stop: i >= I\ninit: S[0,0] = 1\nS[i+1] = S[i]\nZ = S[I]",
        "3:7: S has 1 rank, found 2 indices",
        "stop: i >= I\ninit: S[0] = 1\nS[i+1] = S[i]\nZ = S[I]",
    ),
    (
        "foreign variable in a filter on the left",
        "Z[m: m<=q, p] = Q[e,p]*K[e,m]",
        "2:9: filter names q, which is no variable of this Einsum",
        "Z[m: m<=p, p] = Q[e,p]*K[e,m]",
    ),
    (
        "foreign variable behind for",
        "Z[p] = Q[e,p] for m < 2",
        "2:19: filter names m, which is no variable of this Einsum",
        "Z[p] = Q[e,p] for p < 2",
    ),
    (
        "foreign variable in a reduction",
        "Z[p] = sum[e: e//P<m] Q[e,p]",
        "2:20: filter names m, which is no variable of this Einsum",
        "Z[p] = sum[e: e//P<p] Q[e,p]",
    ),
    (
        "foreign variable in a right-hand filter",
        "Z[p] = Q[e: e<m, p]",
        "2:15: filter names m, which is no variable of this Einsum",
        "Z[p] = Q[e: e<p, p]",
    ),
    ("tensor defined twice", "Z = 1\nZ = 2", "3:1: tensor Z is defined twice", "Z = 1\nY = 2"),
    ("undefined tensor", "Z[m] = KK[e,m]", "2:8: undefined tensor KK", "Z[m] = K[e,m]"),
    ("undefined output", "output Y\nZ = 1", "2:8: undefined tensor Y", "output Z\nZ = 1"),
    ("input as output", "output Z, K\nZ = 1", "2:11: output K is an input", "output Z\nZ = 1"),
    ("output twice", "output Z, Z\nZ = 1", "2:11: duplicate output Z", "output Z\nZ = 1"),
    (
        "no output",
        "Y[e] = W[e]\nW[e] = Y[e]",
        "3:1: the cascade has no output",
        "output Y\nY[e] = W[e]\nW[e] = Y[e]",
    ),
    (
        "init of nothing",
        "init: S[0] = 1\nZ = 1",
        "2:7: init of S, which no Einsum defines",
        "stop: i >= I\ninit: S[0] = 1\nS[i+1] = S[i]\nZ = S[I]",
    ),
    (
        "self-reference",
        "Z[e] = Z[e] + 1",
        "2:8: Z reads itself without stepping an iterative rank forward",
        "stop: e >= E\nZ[e+1] = Z[e] + 1",
    ),
    (
        "self-reference that stands still",
        "stop: i >= I\nS[i+1] = S[i+1] + X[i]",
        "3:10: S reads itself without stepping an iterative rank forward",
        "stop: i >= I\nS[i+1] = S[i] + X[i]",
    ),
    (
        "self-reference that goes back",
        "stop: i >= I\nS[i+1] = S[i+2] + X[i]",
        "3:10: S reads itself without stepping an iterative rank forward",
        "stop: i >= I\nS[i+2] = S[i+1] + X[i]",
    ),
    (
        "self-reference on another rank",
        "stop: i >= I\nS[i+1,m] = S[i+1,m-1] + X[i]",
        "3:12: S reads itself without stepping an iterative rank forward",
        "stop: i >= I\nS[i+1,m] = S[i,m-1] + X[i]",
    ),
    (
        "self-reference to a prefix that includes it",
        "stop: i >= I\nS[i] = X[i] + S[k: k<=i]",
        "3:15: S reads itself without stepping an iterative rank forward",
        "stop: i >= I\nS[i] = X[i] + S[k: k<i]",
    ),
    ("unknown shape in an index", "Z[m] = K[EE,m]", "2:10: unknown shape EE", "Z[m] = K[E-1,m]"),
    ("unknown shape in a division", "Z[m] = K[m//GG,m]", "2:10: unknown shape GG", "shape GG\nZ[m] = K[m//GG,m]"),
    ("unknown shape in size", "Z[m] = K[e,m] / size(EE)", "2:17: unknown shape EE", "Z[m] = K[e,m] / size(E)"),
    (
        "unknown shape in a filter",
        "Z[p] = Q[e,p] for p-WW<e",
        "2:19: unknown shape WW",
        "shape WW = 3\nZ[p] = Q[e,p] for p-WW<e",
    ),
    (
        "unknown shape in stop",
        "stop: i >= T\nS[i+1] = S[i]",
        "2:12: unknown shape T",
        "shape T\nstop: i >= T\nS[i+1] = S[i]",
    ),
    ("shape twice", "shape M = 2, M = 3\nZ = 1", "2:14: shape M is declared twice", "shape M = 2, N = 3\nZ = 1"),
    (
        "shape by itself",
        "shape A = B*C, B = A\nZ = 1",
        "2:7: shape A is defined by itself: A = B = A",
        "shape A = B*C, B = D\nZ = 1",
    ),
    ("second stop", "stop: i >= I\nstop: i >= 3\nS[i] = 1", "3:7: second stop for i", "stop: i >= I\nS[i] = 1"),
    (
        "stop of nothing",
        "stop: j >= I\nS[i] = 1",
        "2:7: stop for j, which is no variable of an Einsum",
        "stop: i >= I\nS[i] = 1",
    ),
    ("write at a quotient", "shape G\nZ[e//G] = 1", "3:3: Z is not written at a plain rank", "Z[e] = 1"),
    ("write backward", "stop: i >= I\nZ[I-i] = X[i]", "3:3: Z is not written at a plain rank", "Z[i] = X[I-i]"),
    (
        "write at a product that is no flattening",
        "shape M=M1*M0\nZ[m1*M1+m0] = K[e,m1*M0+m0]",
        "3:3: Z is not written at a plain rank",
        "shape M=M1*M0\nZ[m1*M0+m0] = K[e,m1*M0+m0]",
    ),
]


def found(text: str) -> str:
    """All diagnostics of a text as `line:column: message`, joined by bars."""
    with pytest.raises(InputError) as caught:
        parse(text)
    places = [(d.span, d.message) for d in caught.value.diagnostics]
    return "|".join(f"{s.line}:{s.column}: {m}" if s else m for s, m in places)


@pytest.mark.parametrize(("wrong", "message", "right"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_static_error(wrong: str, message: str, right: str) -> None:
    assert found(HEAD + wrong) == message
    parse(HEAD + right)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("Z[p] = q[e,p]", "did you mean Q?"),
        ("Z[p] = Q[E,p]", "rank variables are lower-case: did you mean e?"),
        ("Z[P] = Q[e,p]", "did you mean p?"),
        ("Z[p] = expo(Q[e,p])", "did you mean exp?"),
        ("Z[p] = zzz[e] Q[e,p]", "valid reductions: max, min, prod, sum, topk"),
        ("Z[p] = max(Q[e,p])", "to reduce over m write max[m] in front of the right-hand side"),
        ("Z[p] = max[m] Q[e,p]", "write max[e]"),
        ("Z[m] = Ky[e,m]", "did you mean K?"),
        ("Z[m] = Other[e,m]", "valid tensors: K, Q, X, Z"),
        ("S[i+1] = X[i]", "add the line stop: i >= I"),
        ("Z[m: m<=r, p] = Q[e,p]*K[e,m]", "valid variables: e, m, p"),
        ("Z[m] = K[m]", "declared as K[e,m]"),
        ("Z = 1\nZ = 2", "first in line 2"),
    ],
)
def test_hint(wrong: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(HEAD + wrong)
    assert hint in [d.hint for d in caught.value.diagnostics]


def test_all_errors_come_together_in_order_of_place() -> None:
    text = "input A[k,k]\nZ[k] = foo(A[k]) + B\nZ[j] = max[k] A[j,k] for q<1"
    assert found(text) == (
        "1:11: input A repeats the variable k|2:8: unknown operator foo|2:12: A has 2 ranks, found 1 index|"
        "2:20: undefined tensor B|3:1: tensor Z is defined twice|"
        "3:26: filter names q, which is no variable of this Einsum"
    )


def test_the_number_of_errors_is_limited() -> None:
    cascade = parse("Z = 1")
    wrong = tuple(replace(cascade.einsums[0], output=cascade.einsums[0].output) for _ in range(3 * MAX_ERRORS))
    assert len(check(replace(cascade, einsums=wrong), BUILTIN)) <= MAX_ERRORS


def test_a_tree_that_came_from_no_text_is_checked_without_places() -> None:
    cascade = parse("input A[k]\nZ[k] = A[k]")
    index = Index(expr=Affine(terms=(Term(var=VarName("k")), Term(constant=1))))
    output = replace(cascade.einsums[0].output, indices=(index,), tensor=TensorName("Y"))
    built = replace(cascade, einsums=(Einsum(output=output, reduce=None, expr=cascade.einsums[0].expr),), text="")
    (error,) = check(built, BUILTIN)
    assert error.message == "offset write on rank k without stop:"


RIGHT = [
    "input Q[e,p], K[e,m]\nQK[m: m<=p, p] = Q[e,p]*K[e,m]",
    "input A[k]\nstop: i >= I\nshape I = K\nS[i+1] = A[k: k<=i]",
    "input Q[e,p], K[e,m]\nshape W = 4\nQK[m: p-W<m<=p, p] = Q[e,p]*K[e,m]",
    "shape H = HK*G\ninput Q[e,h,p], K[e,m,hk]\nQK[h,m,p] = Q[e,h,p]*K[e,m,h//G]",
    "input A[i,j]\nstop: i >= I\nstop: j >= J\ninit: D[0,j] = 0\ninit: D[i+1,0] = 0\n"
    "D[i+1,j+1] = min(D[i,j+1], D[i+1,j]) + A[i,j]\nZ = D[I,J]",
    "stop: i >= K-1\nshape K\ninit: F[0] = 1\ninit: F[1] = 1\nF[i+2] = F[i+1] + F[i]\nZ = F[K]",
    "output X\ninput L[i,k], B[i]\nstop: i >= I\nshape K = I\nX[i] = B[i] - Y[i]\nY[i] = L[i,k: k<i]*X[k]",
    "input A[j,k], X0[j]\nshape K = J, T\nstop: t >= T\ninit: X[0,j] = X0[j]\nX[t+1,j] = A[j,k]*X[t,k]\nZ[j] = X[T,j]",
]


@pytest.mark.parametrize("text", RIGHT)
def test_examples_of_the_language_are_right(text: str) -> None:
    parse(text)
