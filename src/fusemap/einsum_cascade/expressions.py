"""Parsing of value expressions and of the reduction in front of them."""

from __future__ import annotations

import math

from fusemap.einsum_cascade.cursor import Cursor
from fusemap.einsum_cascade.indices import parse_access, parse_conditions, parse_coordinate
from fusemap.einsum_cascade.lexer import Token
from fusemap.einsum_cascade.types import (
    Apply,
    Expr,
    Number,
    OperatorName,
    Reduce,
    ReduceVar,
    ShapeName,
    SizeOf,
    ValueOf,
    VarName,
)

MAX_DEPTH = 100
INFIX = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
_WHAT = "a tensor, a number, a function or '('"


def parse_expr(cursor: Cursor) -> Expr:
    """A sum of products of unary expressions, as a tree at most MAX_DEPTH deep."""
    return _sum(cursor, 0)[0]


def parse_reduce(cursor: Cursor) -> Reduce | None:
    """`op "[" var [":" conds] { "," ... } [ ";" var ] "]"` where it stands in front of an expression, else None."""
    if not _reduce_ahead(cursor):
        return None
    first = cursor.take()
    cursor.expect("[")
    variables = [_reduce_var(cursor)]
    while cursor.accept(","):
        variables.append(_reduce_var(cursor))
    places = VarName(cursor.cased("a rank variable", upper=False).text) if cursor.accept(";") else None
    cursor.expect("]")
    span = cursor.span(first)
    return Reduce(operator=OperatorName(first.text), variables=tuple(variables), places=places, span=span)


def _reduce_ahead(cursor: Cursor) -> bool:
    """A reduction's name and bracket, or a lower-case word whose bracket an operand follows."""
    token = cursor.token
    if token.kind != "name" or not token.text[0].islower() or cursor.peek().text != "[":
        return False
    if token.text in cursor.operators.reduce_names:
        return True
    if token.text in cursor.operators.map_names:
        return False
    ahead = 2
    while cursor.peek(ahead).kind != "end" and cursor.peek(ahead).text != "]":
        ahead += 1
    after = cursor.peek(ahead + 1)
    return after.text == "(" or (after.kind in ("name", "number") and after.text != "for")


def _reduce_var(cursor: Cursor) -> ReduceVar:
    first = cursor.cased("a rank variable", upper=False)
    conditions = parse_conditions(cursor) if cursor.accept(":") else ()
    return ReduceVar(var=VarName(first.text), conditions=conditions, span=cursor.span(first))


def _sum(cursor: Cursor, level: int) -> tuple[Expr, int]:
    first = cursor.token
    left, depth = _product(cursor, level)
    while cursor.at("+", "-"):
        operator = cursor.take()
        right, below = _product(cursor, level)
        left, depth = _apply(cursor, first, INFIX[operator.text], (left, right), max(depth, below))
    return left, depth


def _product(cursor: Cursor, level: int) -> tuple[Expr, int]:
    first = cursor.token
    left, depth = _unary(cursor, level)
    while cursor.at("*", "/"):
        operator = cursor.take()
        right, below = _unary(cursor, level)
        left, depth = _apply(cursor, first, INFIX[operator.text], (left, right), max(depth, below))
    return left, depth


def _apply(cursor: Cursor, first: Token, name: str, args: tuple[Expr, ...], depth: int) -> tuple[Expr, int]:
    """The node and its depth; fails when the tree grows deeper than MAX_DEPTH."""
    if depth >= MAX_DEPTH:
        raise _too_deep(cursor, first)
    return Apply(operator=OperatorName(name), args=args, span=cursor.span(first)), depth + 1


def _too_deep(cursor: Cursor, first: Token) -> Exception:
    message = f"expression nested more than {MAX_DEPTH} deep"
    return cursor.error(first, message, "name a part of it by an Einsum of its own")


def _unary(cursor: Cursor, level: int) -> tuple[Expr, int]:
    first = cursor.token
    if level > MAX_DEPTH:
        raise _too_deep(cursor, first)
    if cursor.accept("-"):
        arg, depth = _unary(cursor, level + 1)
        return _apply(cursor, first, "neg", (arg,), depth)
    if cursor.accept("("):
        inner = _sum(cursor, level + 1)
        cursor.expect(")")
        return inner
    if first.kind == "number":
        return _number(cursor), 0
    if first.kind != "name":
        raise cursor.unexpected(_WHAT)
    if first.text == "inf":
        cursor.take()
        return Number(text="inf", span=cursor.span(first)), 0
    if first.text in ("size", "val"):
        return _builtin(cursor), 0
    return _call(cursor, level) if cursor.peek().text == "(" else (_operand(cursor), 0)


def _number(cursor: Cursor) -> Number:
    token = cursor.take()
    if math.isinf(float(token.text)):
        raise cursor.error(token, "number out of the range of float64", "write inf")
    return Number(text=token.text, span=cursor.span(token))


def _builtin(cursor: Cursor) -> Expr:
    first = cursor.take()
    cursor.expect("(")
    if first.text == "size":
        shape = ShapeName(cursor.cased("a shape", upper=True).text)
        cursor.expect(")")
        return SizeOf(shape=shape, span=cursor.span(first))
    expr = parse_coordinate(cursor, "an element is a value as it stands: leave val out")
    cursor.expect(")")
    return ValueOf(expr=expr, span=cursor.span(first))


def _call(cursor: Cursor, level: int) -> tuple[Expr, int]:
    first = cursor.name("a function")
    if first.text[0].isupper():
        raise cursor.unexpected("an operator or '['", f"indices stand in brackets: {first.text}[...]")
    cursor.expect("(")
    arg, depth = _sum(cursor, level + 1)
    args = [arg]
    while cursor.accept(","):
        arg, below = _sum(cursor, level + 1)
        args.append(arg)
        depth = max(depth, below)
    cursor.expect(")")
    return _apply(cursor, first, first.text, tuple(args), depth)


def _operand(cursor: Cursor) -> Expr:
    first, bracket = cursor.token, cursor.peek().text == "["
    if bracket and first.text in cursor.operators.reduce_names:
        hint = "a reduction covers a whole right-hand side: give this one an Einsum of its own"
        raise cursor.error(first, f"expected {_WHAT}, found the reduction {first.text}", hint)
    if bracket and first.text in cursor.operators.map_names:
        raise cursor.error(first, f"expected {_WHAT}, found {first.text}[", f"write {first.text}(...)")
    return parse_access(cursor, _WHAT)
