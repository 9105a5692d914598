"""Reading a cascade: statements line by line, all errors at once.

cascade   = { [ stmt ] [ "#" comment ] NEWLINE } ;
stmt      = "cascade" NAME
          | "shape" SHAPE [ "=" ( SHAPE { "*" SHAPE } | INT ) ] { "," ... }
          | "input" access { "," access }
          | "output" NAME { "," NAME }
          | "stop" ":" var ">=" affine
          | "init" ":" einsum
          | einsum ;
einsum    = access "=" [ reduce ] expr [ "for" conds ] ;
access    = NAME [ "[" [ index { "," index } ] "]" ] ;
index     = ( idx | access ) [ ":" conds ] ;                 an access only in a read, without one in its indices
idx       = affine | var "//" SHAPE | var "%" SHAPE ;
affine    = [ "-" ] term { ( "+" | "-" ) term } ;   term = var | INT | SHAPE | var "*" SHAPE | SHAPE "*" var ;
conds     = chain { "&" chain } ;   chain = idx relop idx { relop idx } ;   relop = "<=" | "<" | ">=" | ">" | "==" ;
reduce    = NAME "[" var [ ":" conds ] { "," var [ ":" conds ] } [ ";" var ] "]" ;          "; j" only with topk
expr      = product { ( "+" | "-" ) product } ;   product = unary { ( "*" | "/" ) unary } ;
unary     = "-" unary | "(" expr ")" | NUMBER | "inf" | "size" "(" SHAPE ")" | "val" "(" idx ")"
          | NAME "(" expr { "," expr } ")" | access ;
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from fusemap.diagnostics import Diagnostic, InputError, Span
from fusemap.einsum_cascade.check import MAX_ERRORS, check_partial
from fusemap.einsum_cascade.cursor import Cursor
from fusemap.einsum_cascade.expressions import parse_expr, parse_reduce
from fusemap.einsum_cascade.indices import parse_access, parse_conditions, parse_coordinate, parse_integer
from fusemap.einsum_cascade.lexer import MAX_NAME
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.scope import rank_variables, reduced_variables
from fusemap.einsum_cascade.source import Source, read_text, source_of, suggest
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Cascade,
    Einsum,
    OperatorName,
    Reduce,
    ReduceVar,
    ShapeDecl,
    ShapeName,
    Stop,
    TensorName,
    VarName,
)

MAX_STATEMENTS = 2_000
STATEMENTS = ("cascade", "shape", "input", "output", "stop", "init")
_TITLE = re.compile(r"[ \t]*cascade(?![A-Za-z0-9_])[ \t]*([^#]*)")
_TITLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", re.ASCII)
_SCATTER = "data may choose what is read, not what is written: gather on the right-hand side, as in K[e,I[j]]"
_RANKS = "the ranks of an input are declared by variables, as in K[e,m]"
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)


@dataclass
class _Parts:
    """What the lines read so far declare; `broken` holds the words of the lines that failed."""

    names: list[str] = field(default_factory=list)
    shapes: list[ShapeDecl] = field(default_factory=list)
    inputs: list[Access] = field(default_factory=list)
    outputs: list[TensorName] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    inits: list[Einsum] = field(default_factory=list)
    einsums: list[Einsum] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def count(self) -> int:
        """Number of things declared so far."""
        lists = (self.shapes, self.inputs, self.outputs, self.stops, self.inits, self.einsums)
        return sum(len(items) for items in lists)


def parse(text: str, *, file: str = "<cascade>", operators: Operators = BUILTIN) -> Cascade:
    """The cascade that `text` describes, statically well-formed; InputError with every error otherwise.

    A missing reduce is made explicit in the tree: `sum` over the right-hand variables that are
    absent on the left, with `explicit=False`.

    >>> parse("input A[k], B[k]\\nZ = A[k] * B[k]").einsums[0].reduce.variables[0].var
    'k'
    """
    source = source_of(text, file)
    parts = _Parts()
    errors: list[Diagnostic] = []
    for line in (n for n, content in enumerate(source.lines, 1) if content):
        try:
            _statement(source, line, operators, parts)
        except InputError as error:
            errors += error.diagnostics
            parts.broken.update(_WORD.findall(source.lines[line - 1].partition("#")[0]))
        if parts.count() > MAX_STATEMENTS:
            message = f"the cascade has more than {MAX_STATEMENTS} declarations and Einsums, the limit"
            errors.append(source.diagnostic(Span(file=file, line=line, column=1), message))
        if len(errors) >= MAX_ERRORS or parts.count() > MAX_STATEMENTS:
            raise InputError(tuple(errors))
    if not (parts.einsums or errors):
        span = Span(file=file, line=1, column=1)
        hint = "write for example: Z[m] = A[k,m] * B[k]"
        raise InputError((Diagnostic(span=span, message="the cascade has no Einsum", hint=hint),))
    cascade = _cascade(source, parts)
    errors += check_partial(cascade, operators, frozenset(parts.broken))
    if errors:
        raise InputError(tuple(errors[:MAX_ERRORS]))
    return cascade


def parse_file(path: Path, *, operators: Operators = BUILTIN) -> Cascade:
    """The cascade in a file; InputError when the file cannot be read or is wrong."""
    return parse(read_text(path), file=str(path), operators=operators)


def _cascade(source: Source, parts: _Parts) -> Cascade:
    stem = Path(source.file).stem
    name = parts.names[0] if parts.names else stem if _TITLE_NAME.fullmatch(stem) else "unnamed"
    return Cascade(
        name=name,
        shapes=tuple(parts.shapes),
        inputs=tuple(parts.inputs),
        outputs=tuple(parts.outputs),
        stops=tuple(parts.stops),
        inits=tuple(parts.inits),
        einsums=tuple(parts.einsums),
        file=source.file,
        text=source.text,
    )


def _statement(source: Source, line: int, operators: Operators, parts: _Parts) -> None:
    title = _TITLE.match(source.lines[line - 1])
    if title:
        _title(source, line, title, parts)
        return
    cursor = Cursor(source, line, operators)
    if cursor.token.kind == "end":
        return
    keyword = cursor.token.text
    if keyword in STATEMENTS:
        cursor.take()
    if keyword == "shape":
        _shapes(cursor, parts)
    elif keyword == "input":
        _inputs(cursor, parts)
    elif keyword == "output":
        _outputs(cursor, parts)
    elif keyword == "stop":
        _stop(cursor, parts)
    elif keyword == "init":
        cursor.expect(":")
        parts.inits.append(_einsum(cursor))
    else:
        parts.einsums.append(_einsum(cursor))


def _title(source: Source, line: int, title: re.Match[str], parts: _Parts) -> None:
    name = title[1].rstrip()
    span = Span(file=source.file, line=line, column=title.start(1) + 1, length=max(1, len(name)))
    if not _TITLE_NAME.fullmatch(name) or len(name) > MAX_NAME:
        found = f"'{name[:MAX_NAME]}'" if name else "the end of the line"
        hint = f"a name has letters, digits, '-', '_', '.', '+', at most {MAX_NAME} of them"
        raise InputError((source.diagnostic(span, f"expected the cascade's name, found {found}", hint),))
    if parts.names:
        raise InputError((source.diagnostic(span, f"second name {name}; the cascade is {parts.names[0]} already"),))
    parts.names.append(name)


def _shapes(cursor: Cursor, parts: _Parts) -> None:
    parts.shapes.append(_shape(cursor))
    while cursor.accept(","):
        parts.shapes.append(_shape(cursor))
    cursor.end("'=', '*', ',' or the end of the line")


def _shape(cursor: Cursor) -> ShapeDecl:
    first = cursor.cased("a shape", upper=True)
    name = ShapeName(first.text)
    if not cursor.accept("="):
        return ShapeDecl(name=name, span=cursor.span(first))
    if cursor.token.kind == "number":
        token = cursor.token
        constant = parse_integer(cursor)
        if constant < 1:
            raise cursor.error(token, f"shape {name} must be at least 1, found {constant}")
        return ShapeDecl(name=name, constant=constant, span=cursor.span(first))
    factors = [ShapeName(cursor.cased("a shape or an integer", upper=True).text)]
    while cursor.accept("*"):
        factors.append(ShapeName(cursor.cased("a shape", upper=True).text))
    return ShapeDecl(name=name, factors=tuple(factors), span=cursor.span(first))


def _inputs(cursor: Cursor, parts: _Parts) -> None:
    parts.inputs.append(parse_access(cursor, "an input tensor", no_lookup=_RANKS))
    while cursor.accept(","):
        parts.inputs.append(parse_access(cursor, "an input tensor", no_lookup=_RANKS))
    cursor.end("',' or the end of the line")


def _outputs(cursor: Cursor, parts: _Parts) -> None:
    parts.outputs.append(TensorName(cursor.cased("a tensor", upper=True).text))
    while cursor.accept(","):
        parts.outputs.append(TensorName(cursor.cased("a tensor", upper=True).text))
    cursor.end("',' or the end of the line")


def _stop(cursor: Cursor, parts: _Parts) -> None:
    cursor.expect(":", "write stop: i >= I")
    first = cursor.cased("a rank variable", upper=False)
    cursor.expect(">=", "an iterative rank stops at a bound: write stop: i >= I")
    bound = parse_coordinate(cursor, "a rank stops at a sum of shapes and integers")
    if not isinstance(bound, Affine) or rank_variables(bound):
        raise cursor.error_at(bound.span, "expected a sum of shapes and integers as the bound")
    cursor.end("'+', '-' or the end of the line")
    parts.stops.append(Stop(var=VarName(first.text), bound=bound, span=cursor.span(first)))


def _einsum(cursor: Cursor) -> Einsum:
    """`access "=" [ reduce ] expr [ "for" conds ]`, the missing reduce made explicit."""
    first = cursor.token
    output = parse_access(cursor, "a statement", no_lookup=_SCATTER)
    if not cursor.at("="):
        raise cursor.unexpected("'='", _statement_hint(first.text))
    cursor.take()
    reduce = parse_reduce(cursor)
    expr = parse_expr(cursor)
    conditions = parse_conditions(cursor) if cursor.accept("for") else ()
    cursor.end("an operator, 'for' or the end of the line")
    if reduce is None:
        variables = tuple(ReduceVar(var=v) for v in reduced_variables(output, expr))
        reduce = Reduce(operator=OperatorName("sum"), variables=variables, explicit=False) if variables else None
    return Einsum(output=output, reduce=reduce, expr=expr, conditions=conditions, span=cursor.span(first))


def _statement_hint(word: str) -> str:
    return suggest(word, STATEMENTS, "statements") if word[0].islower() else ""
