r"""A cascade as mathematics, in the notation of EDGE (arXiv 2404.11591), TeAAL and FuseMax (MICRO 2024).

- Rank variables are subscripts: `QK[m,p] = Q[e,p]*K[e,m]` is `QK_{m,p} = Q_{e,p} \cdot K_{e,m}`, with the sum
  over e implied, as e is absent on the left.
- A reduction that is not the implied sum follows `::`, as in Cascade 4 of FuseMax: `GM[p] = max[m] QK[m,p]` is
  `GM_{p} = QK_{m,p} :: \bigvee_{m} \max(\cup)`; `\cup` says that absent operands are skipped. Places
  that a reduction fills with coordinates follow an arrow: `topk[m; j]` is `\bigvee_{m \rightarrow j}`.
- Filters stand after a colon (`m : m \leq p`), other conditions after "for", a partitioned rank is
  `m1 \times M0 + m0`; division is a fraction, exp is e to a power; every operator without a sign of its own
  keeps its name, upright: `\mathrm{safediv}(a, b)`.
- With iterative ranks the initialization comes first and the stopping condition last, `\diamond : m1 \geq M1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from fusemap.einsum_cascade.scope import plain_variable, rank_shapes, rank_variables, reduced_variables
from fusemap.einsum_cascade.types import (
    Access,
    Apply,
    Cascade,
    Chain,
    Coordinate,
    Einsum,
    Expr,
    FloorDiv,
    Index,
    Lookup,
    Modulo,
    Number,
    RankExpr,
    Reduce,
    ReduceVar,
    ShapeDecl,
    SizeOf,
    Term,
    ValueOf,
)

_SUM, _PRODUCT, _ATOM = 0, 1, 2  # how tightly an expression holds together; a fraction is an atom
_INFIX: Mapping[str, tuple[str, int]] = MappingProxyType(
    {"add": ("+", _SUM), "sub": ("-", _SUM), "mul": (r"\cdot", _PRODUCT)}
)
_UPRIGHT = frozenset({"cos", "log", "max", "min", "sin", "tanh"})  # LaTeX has a command for them
_REDUCTIONS: Mapping[str, str] = MappingProxyType({"sum": "+", "prod": r"\times", "max": r"\max", "min": r"\min"})
_RELATIONS: Mapping[str, str] = MappingProxyType(
    {"<=": r"\leq", "<": "<", ">=": r"\geq", ">": ">", "==": "=", "!=": r"\neq"}
)


def latex(cascade: Cascade) -> str:
    r"""The cascade as an `align*` environment, one statement a line, for a document with amsmath.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> print(latex(parse("input A[k], B[k]\nY = A[k]*B[k]\nZ = max[k] Y*A[k]")))
    \begin{align*}
    Y &= A_{k} \cdot B_{k} \\
    Z &= Y \cdot A_{k} :: \bigvee_{k} \max(\cup)
    \end{align*}
    """
    return _environment("align*", cascade)


def inline(cascade: Cascade) -> str:
    r"""The same inside a formula, which every notebook shows: `$\displaystyle\begin{aligned}...\end{aligned}$`."""
    return rf"$\displaystyle{_environment('aligned', cascade)}$"


def _environment(name: str, cascade: Cascade) -> str:
    body = " \\\\\n".join(_lines(cascade))
    return f"\\begin{{{name}}}\n{body}\n\\end{{{name}}}"


def _lines(cascade: Cascade) -> Iterator[str]:
    """The statements in the order of the papers: shapes, initialization, Einsums, stopping conditions."""
    yield from (_shape(s) for s in cascade.shapes if s.factors or s.constant is not None)
    if cascade.inits:
        yield r"\text{Initialization:} &"
        yield from (_einsum(e) for e in cascade.inits)
        yield r"\text{Extended Einsums:} &"
    yield from (_einsum(e) for e in cascade.einsums)
    yield from (rf"& \diamond : {_name(s.var)} \geq {_rank_expr(s.bound)}" for s in cascade.stops)


def _shape(shape: ShapeDecl) -> str:
    factors = r" \times ".join(_name(f) for f in shape.factors)
    return f"{_name(shape.name)} &= {factors or shape.constant}"


def _einsum(einsum: Einsum) -> str:
    reduce = "" if einsum.reduce is None or _is_implied(einsum) else f" {_reduce(einsum.reduce)}"
    conditions = rf" \quad \mathrm{{for}}\ {_conditions(einsum.conditions)}" if einsum.conditions else ""
    return f"{_access(einsum.output)} &= {_expr(einsum.expr, _SUM)}{reduce}{conditions}"


def _is_implied(einsum: Einsum) -> bool:
    """Is the reduction the sum over all variables that are absent on the left, none of them filtered?"""
    if einsum.reduce is None or einsum.reduce.operator != "sum":
        return False
    implied = {ReduceVar(var=v) for v in reduced_variables(einsum.output, einsum.expr)}
    return set(einsum.reduce.variables) == implied


def _reduce(reduce: Reduce) -> str:
    variables = ", ".join(_filtered(_name(v.var), v.conditions) for v in reduce.variables)
    if reduce.places is not None:
        moved = f"{', '.join(_name(v.var) for v in reduce.variables)} \\rightarrow {_name(reduce.places)}"
        variables = _filtered(moved, tuple(c for v in reduce.variables for c in v.conditions))
    operator = _REDUCTIONS.get(reduce.operator) or _upright(reduce.operator)
    return rf":: \bigvee_{{{variables}}} {operator}(\cup)"


# --- accesses and conditions ----------------------------------------------------------------------


def _access(access: Access) -> str:
    if not access.indices:
        return _name(access.tensor)
    separator = r",\, " if any(i.conditions for i in access.indices) else ","
    return f"{_name(access.tensor)}_{{{separator.join(_index(i) for i in access.indices)}}}"


def _index(index: Index) -> str:
    return _filtered(_rank_expr(index.expr), index.conditions)


def _filtered(text: str, conditions: tuple[Chain, ...]) -> str:
    return f"{text} : {_conditions(conditions)}" if conditions else text


def _conditions(conditions: tuple[Chain, ...]) -> str:
    return r" \wedge ".join(_chain(c) for c in conditions)


def _chain(chain: Chain) -> str:
    first, *others = (_rank_expr(o) for o in chain.operands)
    return first + "".join(f" {_RELATIONS[r]} {o}" for r, o in zip(chain.relations, others, strict=True))


def _rank_expr(expr: RankExpr) -> str:
    if isinstance(expr, FloorDiv):
        return rf"\lfloor {_name(expr.var)} / {_name(expr.shape)} \rfloor"
    if isinstance(expr, Lookup):
        return _access(expr.access)
    if isinstance(expr, Modulo):
        return rf"{_name(expr.var)} \ \mathrm{{mod}}\ {_name(expr.shape)}"
    products = any(t.var is not None and t.shape is not None for t in expr.terms)
    signs = (" - ", " + ") if products else ("-", "+")
    first, *others = expr.terms
    start = f"{'-' if first.sign < 0 else ''}{_term(first)}"
    return start + "".join(f"{signs[t.sign > 0]}{_term(t)}" for t in others)


def _term(term: Term) -> str:
    names = [_name(n) for n in (term.var, term.shape) if n is not None]
    return r" \times ".join([*names, *([str(term.constant)] if term.constant is not None else [])])


def _name(name: str) -> str:
    """A tensor, shape or rank variable; an underscore of its name is no subscript."""
    return name.replace("_", r"\_")


def _upright(name: str) -> str:
    return rf"\{name}" if name in _UPRIGHT else rf"\mathrm{{{_name(name)}}}"


# --- values ---------------------------------------------------------------------------------------


def _expr(expr: Expr, level: int) -> str:
    """`expr` where at least `level` is expected: parentheses around anything looser."""
    if isinstance(expr, Access):
        return _access(expr)
    if isinstance(expr, Number):
        return _parenthesized(*_number(expr.text), level)
    if isinstance(expr, SizeOf):
        return rf"\mathrm{{size}}({_name(expr.shape)})"
    if isinstance(expr, ValueOf):
        return _parenthesized(*_coordinate(expr.expr), level)
    return _parenthesized(*_apply(expr), level)


def _parenthesized(text: str, own: int, level: int) -> str:
    return rf"\left({text}\right)" if own < level else text


def _coordinate(expr: Coordinate) -> tuple[str, int]:
    """A coordinate as a value: as it is, or named where a shape in it could be taken for a tensor, or e for 2.718."""
    text = _rank_expr(expr)
    if rank_shapes(expr) or "e" in rank_variables(expr):
        return rf"\mathrm{{val}}\left({text}\right)", _ATOM
    return text, _SUM if plain_variable(expr) is None else _ATOM


def _number(text: str) -> tuple[str, int]:
    r"""A literal and how tightly it holds together: `1e-5` is `10^{-5}`, `2e3` is `2 \times 10^{3}`."""
    if text == "inf":
        return r"\infty", _ATOM
    mantissa, _, exponent = text.lower().partition("e")
    if not exponent:
        return text, _ATOM
    power = f"10^{{{int(exponent)}}}"
    return (power, _ATOM) if float(mantissa) == 1 else (rf"{mantissa} \times {power}", _PRODUCT)


def _apply(expr: Apply) -> tuple[str, int]:
    """An application and how tightly it holds together."""
    own = _NOTATIONS.get((expr.operator, len(expr.args)))
    if own is not None:
        return own(*expr.args)
    if expr.operator in _INFIX and len(expr.args) == 2:
        sign, level = _INFIX[expr.operator]
        return f"{_expr(expr.args[0], level)} {sign} {_expr(expr.args[1], level + 1)}", level
    args = ", ".join(_expr(a, _SUM) for a in expr.args)
    return rf"{_upright(expr.operator)}\left({args}\right)", _ATOM


def _base(expr: Expr) -> str:
    """What an exponent is put on."""
    text = _expr(expr, _SUM)
    subscripted = isinstance(expr, Access) and bool(expr.indices)
    return text if subscripted or len(text) == 1 else rf"\left({text}\right)"


def _root(arg: Expr) -> str:
    return rf"\sqrt{{{_expr(arg, _SUM)}}}"


_NOTATIONS: Mapping[tuple[str, int], Callable[..., tuple[str, int]]] = MappingProxyType(
    {
        ("neg", 1): lambda a: (f"-{_expr(a, _PRODUCT)}", _SUM),
        ("div", 2): lambda a, b: (rf"\frac{{{_expr(a, _SUM)}}}{{{_expr(b, _SUM)}}}", _ATOM),
        ("recip", 1): lambda a: (rf"\frac{{1}}{{{_expr(a, _SUM)}}}", _ATOM),
        ("exp", 1): lambda a: (f"e^{{{_expr(a, _SUM)}}}", _ATOM),
        ("sqrt", 1): lambda a: (_root(a), _ATOM),
        ("rsqrt", 1): lambda a: (rf"\frac{{1}}{{{_root(a)}}}", _ATOM),
        ("square", 1): lambda a: (f"{_base(a)}^{{2}}", _ATOM),
        ("pow", 2): lambda a, b: (f"{_base(a)}^{{{_expr(b, _SUM)}}}", _ATOM),
        ("abs", 1): lambda a: (rf"\left|{_expr(a, _SUM)}\right|", _ATOM),
    }
)
