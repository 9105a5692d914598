"""The expression language against Python's own grammar (its ast, evaluated here), and its errors."""

from __future__ import annotations

import ast
import math
import operator
import pickle
import timeit
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fusemap.archspec.arithmetic import FUNCTIONS, divisors
from fusemap.archspec.document import Place
from fusemap.archspec.expressions import constant, parse_expression
from fusemap.archspec.syntax import Call, Number
from fusemap.diagnostics import InputError, Span

Value = int | float


def exact_divide(x: Value, y: Value) -> Value:
    if isinstance(x, int) and isinstance(y, int) and x % y == 0:
        return x // y
    return x / y


def brute_divisor(n: Value, limit: Value) -> int:
    if not isinstance(n, int) or n < 1:
        raise ValueError
    return max(d for d in range(1, n + 1) if n % d == 0 and d <= limit)


def brute_round(x: Value, digits: Value = 0) -> Value:
    if not isinstance(digits, int) or abs(digits) > 30:
        raise ValueError
    return round(x, digits) if digits else round(x)


def brute_power(x: Value, y: Value) -> Value:
    if isinstance(x, int) and isinstance(y, int) and abs(x) > 1 and y > 1001:
        raise OverflowError
    result = x**y
    if isinstance(result, complex):
        raise ValueError
    return result


BINARY: dict[type, Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: exact_divide,
    ast.FloorDiv: lambda x, y: int(x // y),
    ast.Mod: operator.mod,
    ast.Pow: brute_power,
    ast.Eq: lambda x, y: int(x == y),
    ast.NotEq: lambda x, y: int(x != y),
    ast.Lt: lambda x, y: int(x < y),
    ast.LtE: lambda x, y: int(x <= y),
    ast.Gt: lambda x, y: int(x > y),
    ast.GtE: lambda x, y: int(x >= y),
}
CALLS: dict[str, Callable[..., Value]] = {
    "min": min,
    "max": max,
    "ceil": math.ceil,
    "floor": math.floor,
    "log2": math.log2,
    "round": brute_round,
    "largest_divisor": brute_divisor,
}


def oracle(node: ast.expr, names: Mapping[str, Value]) -> Value:
    """The value of a Python expression tree."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.Attribute():
            return names[ast.unparse(node)]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -oracle(inner, names)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return oracle(inner, names)
        case ast.BinOp(left=left, op=op, right=right):
            return finite(BINARY[type(op)](oracle(left, names), oracle(right, names)))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return BINARY[type(op)](oracle(left, names), oracle(right, names))
        case ast.Call(func=ast.Name(id="if_"), args=[condition, first, second]):
            return oracle(first if oracle(condition, names) else second, names)
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return finite(CALLS[name](*(oracle(argument, names) for argument in arguments)))
    raise AssertionError(ast.dump(node))


def finite(value: Value) -> Value:
    if value.bit_length() > 1000 if isinstance(value, int) else not math.isfinite(value):
        raise OverflowError
    return value


NAMES: dict[str, Value] = {"P": 4096, "pe": 256, "array_2d.rows": 12, "x": 0.25, "zero": 0, "neg": -3}
atoms = st.sampled_from(sorted(NAMES)) | st.integers(0, 200).map(str) | st.sampled_from(["0.5", "1e3", "2.", ".25"])


def combine(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "**"])
    space = st.sampled_from(["", " ", "  "])
    plain = st.builds(lambda a, s, o, b: f"{a}{s}{o}{s}{b}", inner, space, operators, inner)
    compared = st.builds(
        lambda a, o, b: f"({a} {o} {b})", inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), inner
    )
    calls = st.builds(
        lambda f, a, b: f"{f}({a}, {b})", st.sampled_from(["min", "max", "largest_divisor", "round"]), inner, inner
    )
    unary = st.builds(lambda f, a: f"{f}({a})", st.sampled_from(["ceil", "floor", "log2", "-", "+", ""]), inner)
    choice = st.builds(lambda c, a, b: f"if({c}, {a}, {b})", inner, inner, inner)
    grouped = st.builds(lambda a, o, b: f"({a}) {o} ({b})", inner, operators, inner)
    return plain | grouped | compared | calls | unary | choice | inner.map(lambda a: f"-{a}")


expressions = st.recursive(atoms, combine, max_leaves=12)


@settings(max_examples=400, deadline=None)
@given(expressions)
@example("-2 ** 2")
@example("2 ** -1 ** 2")
@example("7 // 2 * 2 - 1 - 1")
def test_values_equal_those_of_pythons_grammar(text: str) -> None:
    tree = ast.parse(text.replace("if(", "if_("), mode="eval").body
    try:
        expected = oracle(tree, NAMES)
    except (ArithmeticError, ValueError):
        with pytest.raises(InputError):
            parse_expression(text).evaluate(NAMES)
        return
    found = parse_expression(text).evaluate(NAMES)
    assert found == expected
    if "log2" not in text:
        assert type(found) is type(expected)


@settings(max_examples=300)
@given(expressions)
@example("(2 ** 3) ** 2")
@example("(-2) ** 2")
@example("2 ** (3 ** 2)")
@example("(1 < 2) < 3")
@example("-(1 + 2) * 3")
@example("1 - (2 - 3)")
def test_printing_and_parsing_again_gives_the_same_tree(text: str) -> None:
    try:
        parsed = parse_expression(text)
    except InputError:
        return
    assert parse_expression(str(parsed)) == parsed
    assert str(parse_expression(str(parsed))) == str(parsed)


@settings(max_examples=300, deadline=500)
@given(st.text(max_size=60) | st.text("0123456789.+-*/%()<>=!, abce_", max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse_expression(text).evaluate({"a": 1, "b": 2.5})
    except InputError as error:
        assert all(d.span is not None for d in error.diagnostics)


PUBLISHED = [
    ("round(0.02947 * max(64, depth) + 0.288 + 0.000275 + 0.00402 * ceil(log2(depth)), 6)", {"depth": 4}, 2.182395),
    ("16 * 2 ** 20", {}, 1 << 24),
    ("2 * max(1, pe // E)", {"pe": 256, "E": 64}, 8),
    ("largest_divisor(4096, 1000)", {}, 512),
    ("largest_divisor(P // pe, 7.9)", {"P": 1 << 20, "pe": 256}, 4),
    ("largest_divisor(7, 100)", {}, 7),
    ("largest_divisor(12, 4)", {}, 4),
    ("7.5 // 2", {}, 3),
    ("10 / 4", {}, 2.5),
    ("2 ** 70 / 2 ** 69", {}, 2),
    ("(2 ** 70 + 1) // 2", {}, 1 << 69),
    ("3 > 2", {}, 1),
    ("if(zero == 0, 1, 1 / zero)", {"zero": 0}, 1),
    ("log2(0.25)", {}, -2.0),
    ("round(2.675, 2)", {}, 2.67),
    ("round(1250, -2)", {}, 1200),
]


@pytest.mark.parametrize(("text", "names", "value"), PUBLISHED)
def test_known_values(text: str, names: dict[str, Value], value: Value) -> None:
    found = parse_expression(text).evaluate(names)
    assert found == value and type(found) is type(value)


SYNTAX = [
    ("", 1, "expected an expression, found nothing"),
    ("   ", 1, "expected an expression, found nothing"),
    ("1 +", 4, "expected a number, a name or a parenthesis, found the end"),
    ("(1", 3, 'expected ")", found the end'),
    ("1 2", 3, 'expected an operator, found "2"'),
    ("4KB", 2, "expected an operator after the number"),
    ("1.2.3", 4, "expected an operator after the number"),
    ("a $ b", 3, 'unexpected character "$"'),
    ("a.b. c", 4, 'unexpected character "."'),
    ("1 < 2 < 3", 7, 'expected an operator, found "<"'),
    ("ceiling(2)", 1, 'unknown function "ceiling"'),
    ("min()", 5, 'expected a number, a name or a parenthesis, found ")"'),
    ("1 + if(1, 2)", 5, "if takes 3 arguments, found 2"),
    ("log2(1, 2)", 1, "log2 takes 1 arguments, found 2"),
    ("a = 1", 3, 'unexpected character "="'),
    ("__import__('os')", 12, 'unexpected character "\'"'),
    ("1" * 101, 1, "number too long"),
    ("1e999", 1, "number too large"),
    ("(" * 41 + "1" + ")" * 41, 41, "nested too deeply"),
    ("-" * 60 + "1", 41, "nested too deeply"),
    ("+".join(["1"] * 151), 301, "expression too long: more than 300 symbols"),
    ("1" + " " * 2000, 1, "expression too long: more than 2000 characters"),
]


@pytest.mark.parametrize(("text", "column", "message"), SYNTAX, ids=[s[0][:12] or "empty" for s in SYNTAX])
def test_syntax_errors_point_into_the_text(text: str, column: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_expression(text)
    diagnostic = caught.value.diagnostics[0]
    assert message in diagnostic.message
    assert diagnostic.span is not None and diagnostic.span.column == column


VALUES = [
    ("1 / 0", 3, "division by zero"),
    ("5 % (2 - 2)", 3, "division by zero"),
    ("5 // 0.0", 3, "division by zero"),
    ("0 ** -1", 3, "division by zero"),
    ("1e308 * 10", 7, "the result is too large"),
    ("9 ** 9 ** 9", 3, "the result is too large"),
    ("2 ** 700 * 2 ** 700", 10, "the result is too large"),
    ("(0 - 8) ** 0.5", 9, "a fractional power of a negative number"),
    ("log2(0)", 1, "log2 of a number that is not positive"),
    ("1 + largest_divisor(12, 0.5)", 5, "nothing fits: the largest divisor of 12 that is <= 0.5"),
    ("largest_divisor(0, 4)", 1, "largest_divisor takes a positive whole number, found 0"),
    ("largest_divisor(2.5, 4)", 1, "largest_divisor takes a positive whole number, found 2.5"),
    ("largest_divisor(2 ** 61 - 1, 4)", 1, "too large to find its divisors"),
    ("round(2, 0.5)", 1, "round takes a whole number of digits"),
    ("arary_2d.rows", 1, 'unknown name "arary_2d.rows"'),
    ("max(1, max)", 8, 'unknown name "max"'),
]


@pytest.mark.parametrize(("text", "column", "message"), VALUES, ids=[v[0] for v in VALUES])
def test_evaluation_errors_point_into_the_text(text: str, column: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_expression(text).evaluate({"array_2d.rows": 1})
    diagnostic = caught.value.diagnostics[0]
    assert message in diagnostic.message
    assert diagnostic.span is not None and diagnostic.span.column == column


def test_hints_name_the_nearest_function_and_name() -> None:
    with pytest.raises(InputError, match="did you mean ceil"):
        parse_expression("ciel(2)")
    with pytest.raises(InputError, match=r"did you mean array_2d\.rows"):
        parse_expression("array_2d.row").evaluate({"array_2d.rows": 1})


def test_an_error_is_placed_in_the_file_the_text_stands_in() -> None:
    place = Place(span=Span(file="m.yaml", line=3, column=8, length=7), source="rows:  1 / zed")
    with pytest.raises(InputError) as caught:
        parse_expression("1 / zed", place=place).evaluate({})
    assert str(caught.value) == 'm.yaml:3:12: error: unknown name "zed"\n    rows:  1 / zed\n               ^~~'


def test_names_lists_those_of_every_branch() -> None:
    assert parse_expression("if(a, b.c, min(d, 2))").names() == {"a", "b.c", "d"}


def test_equal_trees_are_equal_wherever_they_stand() -> None:
    assert parse_expression(" 1+ 2") == parse_expression("(1)   +2")
    assert hash(parse_expression("1+2")) == hash(parse_expression("1 + 2"))
    assert parse_expression("1 + 2") != parse_expression("2 + 1")
    assert pickle.loads(pickle.dumps(parse_expression("a + 1"))) == parse_expression("a + 1")


@given(st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_constant_is_its_number(value: Value) -> None:
    assert constant(value).evaluate({}) == value


def test_every_function_has_an_oracle_or_a_case() -> None:
    assert set(FUNCTIONS) == {*CALLS, "if"}
    assert isinstance(parse_expression("-1").tree, Call) and isinstance(parse_expression("1").tree, Number)


@given(st.integers(1, 5000))
def test_divisors_are_those_found_by_trying_all(n: int) -> None:
    assert divisors(n) == tuple(d for d in range(1, n + 1) if n % d == 0)


@given(st.integers(1, 2000), st.integers(1, 2000) | st.floats(1, 2000))
def test_the_largest_divisor_is_the_one_found_by_trying_all(n: int, limit: Value) -> None:
    assert parse_expression("largest_divisor(n, limit)").evaluate({"n": n, "limit": limit}) == brute_divisor(n, limit)


def test_evaluation_takes_microseconds() -> None:
    limit = "min(P // pe, (buffer - 2 * pe * (E + F)) // (2 * (E + F + 2) * pe))"
    expression = parse_expression(f"largest_divisor(P // pe, {limit})")
    names = {"P": 1 << 20, "pe": 256, "buffer": 1 << 24, "E": 64, "F": 64}
    assert expression.evaluate(names) == 128
    assert timeit.timeit(lambda: expression.evaluate(names), number=2000) / 2000 < 100e-6
