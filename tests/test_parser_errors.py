"""Syntax errors: place, message, and a nearly identical text that is right."""

from __future__ import annotations

import pytest

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.parser import parse

HEAD = "cascade t\ninput A[k], B[k,m]\n"


def found(text: str) -> list[str]:
    """Every diagnostic of a text as `line:column: message`."""
    with pytest.raises(InputError) as caught:
        parse(text)
    places = [(d.span, d.message) for d in caught.value.diagnostics]
    return [f"{s.line}:{s.column}: {m}" if s else m for s, m in places]


OPERAND = "expected a tensor, a number, a function or '('"
NOT_AFFINE = "index is not affine"

# (wrong third line, its column, the message, the same line put right)
LINES = [
    ("Z[k] = ", 7, f"{OPERAND}, found the end of the line", "Z[k] = A[k]"),
    ("Z[k] A[k]", 6, "expected '=', found 'A'", "Z[k] = A[k]"),
    ("Z[k = A[k]", 5, "expected ',', found '='", "Z[k] = A[k]"),
    ("Z[k] = A[k", 11, "expected ',', found the end of the line", "Z[k] = A[k]"),
    ("Z[k] = (A[k]", 13, "expected ')', found the end of the line", "Z[k] = (A[k])"),
    ("Z[k] = A[k])", 12, "expected an operator, 'for' or the end of the line, found ')'", "Z[k] = A[k]"),
    ("Z[k] = A[k] B[k,k]", 13, "expected an operator, 'for' or the end of the line, found 'B'", "Z[k] = A[k]*B[k,k]"),
    ("Z[k] = A[k] + * 2", 15, f"{OPERAND}, found '*'", "Z[k] = A[k] + 2"),
    ("Z[k] = A[k] $ 2", 13, "unexpected character '$'", "Z[k] = A[k] * 2"),
    ("Z[k] = A[k] \N{MULTIPLICATION SIGN} 2", 13, "unexpected character '\N{MULTIPLICATION SIGN}'", "Z[k] = A[k] * 2"),
    ("Z[k] = 2x", 8, "malformed number 2x", "Z[k] = 2"),
    ("Z[k] = 1e999", 8, "number out of the range of float64", "Z[k] = inf"),
    ("Z[k] = A[1.5]", 10, "expected an integer, found '1.5'", "Z[k] = A[1]"),
    ("Z[k] = A[9223372036854775808]", 10, "integer larger than 9223372036854775807", "Z[k] = A[0]"),
    ("Z = A(k)", 6, "expected an operator or '[', found '('", "Z = A[k]"),
    ("Z[k] = exp[k]", 8, f"{OPERAND}, found exp[", "Z[k] = exp(A[k])"),
    ("Z = 2 * sum[k] A[k]", 9, f"{OPERAND}, found the reduction sum", "Z = sum[k] 2 * A[k]"),
    ("Z = sum[K] A[k]", 9, "expected a rank variable, found K", "Z = sum[k] A[k]"),
    ("Z = sum[] A[k]", 9, "expected a rank variable, found ']'", "Z = sum[k] A[k]"),
    (
        "Z[k] = A[k] for k",
        18,
        "expected a comparison (<=, <, >=, > or ==), found the end of the line",
        "Z[k] = A[k] for k<3",
    ),
    ("Z[k] = A[k] for k = 3", 19, "expected a comparison (<=, <, >=, > or ==), found '='", "Z[k] = A[k] for k == 3"),
    ("Z[k<=3] = A[k]", 4, "expected ',', found '<='", "Z[k: k<=3] = A[k]"),
    ("Z[k] = A[k*k]", 10, NOT_AFFINE, "Z[k] = A[k]"),
    ("Z[k] = A[K*K]", 10, NOT_AFFINE, "Z[k] = A[k*K]"),
    ("Z[k] = A[2*k]", 10, NOT_AFFINE, "Z[k] = A[k*K]"),
    ("Z[k] = A[k*2]", 10, NOT_AFFINE, "Z[k] = A[k*K]"),
    ("Z[k] = A[(k+1)]", 10, NOT_AFFINE, "Z[k] = A[k+1]"),
    ("Z[k] = A[k/K]", 10, NOT_AFFINE, "Z[k] = A[k//K]"),
    ("Z[k] = A[k//2]", 10, NOT_AFFINE, "Z[k] = A[k//K]"),
    ("Z[k] = A[k//k]", 10, NOT_AFFINE, "Z[k] = A[k//K]"),
    ("Z[k] = A[k%K+1]", 10, NOT_AFFINE, "Z[k] = A[k%K]"),
    ("Z[k] = A[A[k]+1]", 10, NOT_AFFINE, "Z[k] = A[A[k]]"),
    ("Z[k] = val(k*k)", 12, NOT_AFFINE, "Z[k] = val(k)"),
    ("Z[k] = size(k)", 13, "expected a shape, found k", "Z[k] = size(K)"),
    ("Z[k] = A[for]", 10, "expected a rank variable, a shape or an integer, found the keyword for", "Z[k] = A[k]"),
    ("shape m = M1*M0\nZ = 1", 7, "expected a shape, found m", "shape M = M1*M0\nZ = 1"),
    ("shape M = M1*2\nZ = 1", 14, "expected a shape, found '2'", "shape M = M1*M0\nZ = 1"),
    ("shape W = 0\nZ = 1", 11, "shape W must be at least 1, found 0", "shape W = 1\nZ = 1"),
    ("shape M M1\nZ = 1", 9, "expected '=', '*', ',' or the end of the line, found 'M1'", "shape M, M1\nZ = 1"),
    ("input C[k] D[k]\nZ = 1", 12, "expected ',' or the end of the line, found 'D'", "input C[k], D[k]\nZ = 1"),
    ("output z\nZ = 1", 8, "expected a tensor, found z", "output Z\nZ = 1"),
    ("ouput Z\nZ = 1", 7, "expected '=', found 'Z'", "output Z\nZ = 1"),
    ("cascade two\nZ = 1", 9, "second name two; the cascade is t already", "Z = 1"),
    ("stop k >= K\nZ[k] = 1", 6, "expected ':', found 'k'", "stop: k >= K\nZ[k] = 1"),
    ("stop: k > K\nZ[k] = 1", 9, "expected '>=', found '>'", "stop: k >= K\nZ[k] = 1"),
    ("stop: K >= K\nZ[k] = 1", 7, "expected a rank variable, found K", "stop: k >= K\nZ[k] = 1"),
    ("stop: k >= k\nZ[k] = 1", 12, "expected a sum of shapes and integers as the bound", "stop: k >= K\nZ[k] = 1"),
    ("init Z = 1\nZ = 1", 6, "expected ':', found 'Z'", "Z = 1"),
]


@pytest.mark.parametrize(("wrong", "column", "message", "right"), LINES, ids=[w for w, *_ in LINES])
def test_syntax_error(wrong: str, column: int, message: str, right: str) -> None:
    assert found(HEAD + wrong) == [f"3:{column}: {message}"]
    parse(HEAD + right)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cascade\nZ = 1", "1:8: expected the cascade's name, found the end of the line"),
        ("cascade a b\nZ = 1", "1:9: expected the cascade's name, found 'a b'"),
        (f"cascade {'a' * 65}\nZ = 1", f"1:9: expected the cascade's name, found '{'a' * 64}'"),
    ],
)
def test_bad_title(text: str, message: str) -> None:
    assert found(text) == [message]


def test_hints_say_what_to_write() -> None:
    with pytest.raises(InputError) as caught:
        parse("input A[k]\nouput Z\nshape m\nZ[k] = A[k/K]\nY[k] = A[k*2]\nX[k] = A[k] for k = 2")
    assert [d.hint for d in caught.value.diagnostics] == [
        "did you mean output?",
        "a shape starts with an upper-case letter: did you mean M?",
        "integer division is //",
        "declare a shape, as in `shape S = 2`, and use S",
        "write ==",
    ]


def test_the_message_shows_line_and_caret() -> None:
    with pytest.raises(InputError) as caught:
        parse("input A[k]\nZ[k] = A[k*k] + 1\n", file="my.cascade")
    assert str(caught.value) == (
        "my.cascade:2:10: error: index is not affine\n"
        "    Z[k] = A[k*k] + 1\n"
        "             ^~~\n"
        "  an index is a signed sum of variables, shapes, integers and var*SHAPE, or var//SHAPE, or var%SHAPE"
    )


def test_errors_of_all_lines_come_together_without_follow_up_errors() -> None:
    text = (
        "input A[k*k], B[k]\nstop i >= I\nS[i+1] = S[i] + B[i] $\n"
        "Z[k] = A[k] + S[I] + foo(B[k])\nY[k] = Z[k] + Undefined[k]"
    )
    assert found(text) == [
        "1:9: index is not affine",
        "2:6: expected ':', found 'i'",
        "3:22: unexpected character '$'",
        "4:22: unknown operator foo",
        "5:15: undefined tensor Undefined",
    ]


def test_a_nested_expression_is_refused_one_deeper_than_the_limit() -> None:
    deep = "Z = " + "(" * 100 + "1" + ")" * 100
    parse(deep)
    assert found("Z = (" + deep[4:] + ")") == ["1:106: expression nested more than 100 deep"]
    parse("Z = 1" + "+1" * 100)
    assert found("Z = 1" + "+1" * 101) == ["1:5: expression nested more than 100 deep"]
