"""Parsing of rank expressions, conditions and accesses."""

from __future__ import annotations

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.cursor import Cursor
from fusemap.einsum_cascade.lexer import Token
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Chain,
    Coordinate,
    FloorDiv,
    Index,
    Lookup,
    Modulo,
    RankExpr,
    ShapeName,
    TensorName,
    Term,
    VarName,
)

RELATIONS = ("<=", "<", ">=", ">", "==")
MAX_INTEGER = 2**63 - 1
_BY_ITSELF = "an element of a tensor is an index by itself, as in K[e,I[j]]: name a sum by an Einsum of its own"
_ONE_DEEP = "name the inner read by an Einsum of its own, as in I2[j] = I[N[j]]"
_CONDITION = "a condition compares coordinates; to filter by data write only(x, gt(a, b))"
_FORMS = "an index is a signed sum of variables, shapes, integers and var*SHAPE, or var//SHAPE, or var%SHAPE"


def parse_access(cursor: Cursor, what: str = "a tensor", *, no_lookup: str = "") -> Access:
    """`NAME [ "[" index, ... "]" ]`; the case of the name is checked later.

    An index may be an element of a tensor unless `no_lookup` says what to write instead.
    """
    first = cursor.name(what)
    indices: list[Index] = []
    if cursor.accept("["):
        while not cursor.at("]"):
            indices.append(_index(cursor, no_lookup))
            if not cursor.at("]"):
                cursor.expect(",", _after_index(cursor))
        cursor.expect("]")
    return Access(tensor=TensorName(first.text), indices=tuple(indices), span=cursor.span(first))


def parse_conditions(cursor: Cursor) -> tuple[Chain, ...]:
    """`chain { "&" chain }`."""
    chains = [_chain(cursor)]
    while cursor.accept("&"):
        chains.append(_chain(cursor))
    return tuple(chains)


def parse_coordinate(cursor: Cursor, no_lookup: str = "") -> Coordinate:
    """`affine | var "//" SHAPE | var "%" SHAPE`; `no_lookup` says what to write instead of an element of a tensor."""
    first = cursor.token
    if _lookup_ahead(cursor):
        raise _no_lookup(cursor, no_lookup)
    if first.kind == "name" and cursor.peek().text in ("//", "%"):
        return _division(cursor)
    terms = [_term(cursor, -1 if cursor.accept("-") else 1)]
    while cursor.at("+", "-"):
        sign = 1 if cursor.take().text == "+" else -1
        if _lookup_ahead(cursor):
            raise _no_lookup(cursor, no_lookup)
        terms.append(_term(cursor, sign))
    if cursor.at("*", "/", "//", "%", "(", "["):
        raise _not_affine(cursor, first)
    return Affine(terms=tuple(terms), span=cursor.span(first))


def parse_integer(cursor: Cursor) -> int:
    """A non-negative integer of at most 63 bits."""
    token = cursor.take()
    if not token.text.isdigit():
        raise cursor.error(token, f"expected an integer, found {token.described()}")
    if len(token.text) > 19 or int(token.text) > MAX_INTEGER:
        raise cursor.error(token, f"integer larger than {MAX_INTEGER}")
    return int(token.text)


def _index(cursor: Cursor, no_lookup: str) -> Index:
    first = cursor.token
    expr: RankExpr = parse_coordinate(cursor, no_lookup) if no_lookup or not _lookup_ahead(cursor) else _lookup(cursor)
    conditions = parse_conditions(cursor) if cursor.accept(":") else ()
    return Index(expr=expr, conditions=conditions, span=cursor.span(first))


def _lookup_ahead(cursor: Cursor) -> bool:
    return cursor.token.kind == "name" and cursor.peek().text == "["


def _lookup(cursor: Cursor) -> Lookup:
    """`IDX[j,p]`, whose own indices are known without data, as a whole index."""
    first = cursor.token
    access = parse_access(cursor, "an index", no_lookup=_ONE_DEEP)
    if cursor.at("+", "-", "*", "/", "//", "%"):
        raise cursor.error_at(cursor.span(first), "index is not affine", _BY_ITSELF)
    return Lookup(access=access, span=cursor.span(first))


def _no_lookup(cursor: Cursor, hint: str) -> InputError:
    """The tensor that comes next cannot be read where it stands."""
    message = f"coordinate that depends on the data of {cursor.token.text}" if hint else "index is not affine"
    return cursor.error(cursor.token, message, hint or _BY_ITSELF)


def _after_index(cursor: Cursor) -> str:
    if cursor.at(*RELATIONS):
        return "a filter follows a colon: write var: condition"
    return "a condition is chained or joined by &" if cursor.token.text in (":", "=") else ""


def _chain(cursor: Cursor) -> Chain:
    first = cursor.token
    operands = [parse_coordinate(cursor, _CONDITION)]
    relations: list[str] = []
    while cursor.at(*RELATIONS):
        relations.append(cursor.take().text)
        operands.append(parse_coordinate(cursor, _CONDITION))
    if not relations:
        raise cursor.unexpected("a comparison (<=, <, >=, > or ==)", "write ==" if cursor.at("=") else "")
    return Chain(operands=tuple(operands), relations=tuple(relations), span=cursor.span(first))


def _division(cursor: Cursor) -> Coordinate:
    first = cursor.take()
    kind = cursor.take().text
    if first.text[0].isupper() or cursor.token.kind != "name" or cursor.token.text[0].islower():
        raise _not_affine(cursor, first)
    shape = ShapeName(cursor.name("a shape").text)
    if cursor.at("+", "-", "*", "/", "//", "%"):
        raise _not_affine(cursor, first)
    node = FloorDiv if kind == "//" else Modulo
    return node(var=VarName(first.text), shape=shape, span=cursor.span(first))


def _term(cursor: Cursor, sign: int) -> Term:
    first = cursor.token
    if first.kind == "number":
        return Term(sign=sign, constant=parse_integer(cursor))
    if first.text == "(":
        raise _not_affine(cursor, first)
    name = cursor.name("a rank variable, a shape or an integer")
    is_shape = name.text[0].isupper()
    if not cursor.at("*"):
        return Term(sign=sign, shape=ShapeName(name.text)) if is_shape else Term(sign=sign, var=VarName(name.text))
    cursor.take()
    other = cursor.token
    if other.kind != "name" or other.text[0].isupper() == is_shape:
        raise _not_affine(cursor, first)
    cursor.name("a rank variable or a shape")
    var, shape = (other.text, name.text) if is_shape else (name.text, other.text)
    return Term(sign=sign, var=VarName(var), shape=ShapeName(shape))


def _not_affine(cursor: Cursor, first: Token) -> InputError:
    """The index from `first` on is not affine: say why in terms of its next two tokens."""
    token, hint = cursor.token, _FORMS
    if token.text == "/":
        hint = "integer division is //"
    elif token.text == "(" or first.text == "(":
        hint = "write the sum without parentheses"
    elif token.text == "[":
        hint = _BY_ITSELF
    elif token.kind == "number":
        hint = f"declare a shape, as in `shape S = {token.text[:19]}`, and use S"
    if token.kind != "end":
        cursor.take()
    return cursor.error_at(cursor.span(first), "index is not affine", hint)
