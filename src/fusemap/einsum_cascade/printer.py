"""Writing a cascade: the exact inverse of the parser."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.einsum_cascade.scope import reduced_variables
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Chain,
    Einsum,
    Expr,
    FloorDiv,
    Index,
    Lookup,
    Number,
    RankExpr,
    Reduce,
    ReduceVar,
    ShapeDecl,
    SizeOf,
    Term,
    ValueOf,
)

_WIDTH = 100
_SIGNS = {"add": " + ", "sub": " - ", "mul": "*", "div": " / "}
_SUM, _PRODUCT, _UNARY = 0, 1, 2
_LEVELS = {"add": _SUM, "sub": _SUM, "mul": _PRODUCT, "div": _PRODUCT}


def format_cascade(cascade: Cascade) -> str:
    """The text of a cascade, such that `parse(format_cascade(c)) == c`.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> print(format_cascade(parse("input A[k],B[k]\\nZ=sum[k]A[k]*(B[k]-1)")), end="")
    cascade unnamed
    input A[k], B[k]
    Z = sum[k] A[k]*(B[k] - 1)
    """
    return "".join(f"{line}\n" for line in _lines(cascade))


def _lines(cascade: Cascade) -> Iterator[str]:
    yield f"cascade {cascade.name}"
    yield from (f"shape {_shape(s)}" for s in cascade.shapes)
    yield from _listed("input", [format_access(a) for a in cascade.inputs])
    yield from _listed("output", list(cascade.outputs))
    yield from (f"stop: {s.var} >= {format_rank_expr(s.bound)}" for s in cascade.stops)
    yield from (f"init: {format_einsum(e)}" for e in cascade.inits)
    yield from (format_einsum(e) for e in cascade.einsums)


def _listed(keyword: str, items: list[str]) -> Iterator[str]:
    """All items in one line if they fit, else one a line."""
    line = f"{keyword} {', '.join(items)}"
    if len(line) > _WIDTH:
        yield from (f"{keyword} {item}" for item in items)
    elif items:
        yield line


def _shape(shape: ShapeDecl) -> str:
    if shape.constant is not None:
        return f"{shape.name} = {shape.constant}"
    return f"{shape.name} = {'*'.join(shape.factors)}" if shape.factors else shape.name


def format_einsum(einsum: Einsum) -> str:
    """One Einsum in one line; an implied sum stays implied."""
    reduce = f"{format_reduce(einsum.reduce)} " if einsum.reduce is not None and not _is_implied(einsum) else ""
    conditions = f" for {format_conditions(einsum.conditions)}" if einsum.conditions else ""
    return f"{format_access(einsum.output)} = {reduce}{format_expr(einsum.expr)}{conditions}"


def _is_implied(einsum: Einsum) -> bool:
    """Would leaving the reduction out be read back as the same reduction?"""
    reduce = einsum.reduce
    if reduce is None or reduce.explicit or reduce.operator != "sum" or reduce.places is not None:
        return False
    variables = tuple(ReduceVar(var=v) for v in reduced_variables(einsum.output, einsum.expr))
    return reduce.variables == variables


def format_reduce(reduce: Reduce) -> str:
    """A reduction in front of an expression, as in `sum[e,m]` or `topk[m; j]`."""
    variables = (_filtered(v.var, v.conditions) for v in reduce.variables)
    places = f"; {reduce.places}" if reduce.places is not None else ""
    return f"{reduce.operator}[{', '.join(variables)}{places}]"


def format_access(access: Access) -> str:
    """A tensor at its indices, as in `K[e,m1*M0+m0]`."""
    if not access.indices:
        return access.tensor
    separator = ", " if any(i.conditions for i in access.indices) else ","
    return f"{access.tensor}[{separator.join(_index(i) for i in access.indices)}]"


def _index(index: Index) -> str:
    return _filtered(format_rank_expr(index.expr), index.conditions)


def _filtered(text: str, conditions: tuple[Chain, ...]) -> str:
    return f"{text}: {format_conditions(conditions)}" if conditions else text


def format_conditions(conditions: tuple[Chain, ...]) -> str:
    """Conditions joined by `&`, as in `p-W<m<=p & m>=S`."""
    return " & ".join(_chain(c) for c in conditions)


def _chain(chain: Chain) -> str:
    first, *others = (format_rank_expr(o) for o in chain.operands)
    return first + "".join(f"{r}{o}" for r, o in zip(chain.relations, others, strict=True))


def format_rank_expr(expr: RankExpr) -> str:
    """A rank expression without blanks, as in `m1*M0+m0`, `h//G` or `IDX[j]`; a scalar looked up is `I[]`."""
    if isinstance(expr, Lookup):
        return format_access(expr.access) if expr.access.indices else f"{expr.access.tensor}[]"
    if not isinstance(expr, Affine):
        return f"{expr.var}{'//' if isinstance(expr, FloorDiv) else '%'}{expr.shape}"
    text = "".join(f"{'-' if t.sign < 0 else '+'}{_term(t)}" for t in expr.terms)
    return text.removeprefix("+")


def _term(term: Term) -> str:
    return "*".join(str(part) for part in (term.var, term.shape, term.constant) if part is not None)


def format_expr(expr: Expr) -> str:
    """A value expression with the fewest parentheses that keep its tree."""
    return _expr(expr, _SUM)


def _expr(expr: Expr, level: int) -> str:
    """`expr` where the grammar expects at least `level`: parentheses around anything looser."""
    if isinstance(expr, Access):
        return format_access(expr)
    if isinstance(expr, Number):
        return expr.text
    if isinstance(expr, SizeOf):
        return f"size({expr.shape})"
    if isinstance(expr, ValueOf):
        return f"val({format_rank_expr(expr.expr)})"
    return _apply(expr, level)


def _apply(expr: Apply, level: int) -> str:
    if expr.operator in _LEVELS and len(expr.args) == 2:
        own = _LEVELS[expr.operator]
        text = f"{_expr(expr.args[0], own)}{_SIGNS[expr.operator]}{_expr(expr.args[1], own + 1)}"
        return f"({text})" if own < level else text
    if expr.operator == "neg" and len(expr.args) == 1:
        return f"-{_expr(expr.args[0], _UNARY)}"
    return f"{expr.operator}({', '.join(_expr(a, _SUM) for a in expr.args)})"
