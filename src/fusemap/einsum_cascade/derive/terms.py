"""Building and rewriting value expressions: accesses, products, substitution of tensors and variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from fusemap.einsum_cascade.scope import plain_variable
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Chain,
    Coordinate,
    Expr,
    FloorDiv,
    Index,
    Lookup,
    Modulo,
    Number,
    OperatorName,
    RankExpr,
    SizeOf,
    TensorName,
    Term,
    ValueOf,
    VarName,
)


def affine(*terms: Term) -> Affine:
    """A sum of terms."""
    return Affine(terms=terms)


def variable(name: str) -> Affine:
    """A variable alone, as an index."""
    return affine(Term(var=VarName(name)))


def access(tensor: str, *indices: RankExpr | Index) -> Access:
    """A tensor at indices."""
    made = tuple(i if isinstance(i, Index) else Index(expr=i) for i in indices)
    return Access(tensor=TensorName(tensor), indices=made)


def number(text: str) -> Expr:
    """A literal; of a negative one, its negation."""
    return apply("neg", Number(text=text[1:])) if text.startswith("-") else Number(text=text)


def apply(operator: str, *args: Expr) -> Apply:
    """An operator on arguments."""
    return Apply(operator=OperatorName(operator), args=args)


def product(factors: Sequence[Expr], divisors: Sequence[Expr] = ()) -> Expr:
    """The product of factors over the product of divisors; 1 where there are none."""
    result: Expr = Number(text="1")
    for i, factor in enumerate(factors):
        result = factor if i == 0 else apply("mul", result, factor)
    if not divisors:
        return result
    below = divisors[0]
    for divisor in divisors[1:]:
        below = apply("mul", below, divisor)
    return apply("div", result, below)


def factors_of(expr: Expr) -> tuple[tuple[Expr, ...], tuple[Expr, ...]]:
    """Factors and divisors of a product, left to right; `a / (b*c)` has divisors b and c.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> e = parse("input A, B, C\\nZ = A * B / C").einsums[0].expr
    >>> [len(part) for part in factors_of(e)]
    [2, 1]
    """
    if isinstance(expr, Apply) and expr.operator in ("mul", "div") and len(expr.args) == 2:
        above, below = factors_of(expr.args[0])
        more, less = factors_of(expr.args[1])
        if expr.operator == "div":
            more, less = less, more
        return (*above, *more), (*below, *less)
    if isinstance(expr, Apply) and expr.operator == "square":
        above, below = factors_of(expr.args[0])
        if len(above) + len(below) > 1:
            return tuple(apply("square", f) for f in above), tuple(apply("square", f) for f in below)
    return (expr,), ()


def mapped(expr: Expr, change: Callable[[Access], Expr], values: Mapping[str, Affine] | None = None) -> Expr:
    """The expression with every access replaced by what `change` makes of it, and variables in `val` by `values`."""
    if isinstance(expr, Access):
        return change(expr)
    if isinstance(expr, Apply):
        return replace(expr, args=tuple(mapped(a, change, values) for a in expr.args))
    if isinstance(expr, ValueOf) and values:
        return replace(expr, expr=coordinate_with(expr.expr, dict(values)))
    return expr


def with_variables(expr: Expr, into: dict[str, Affine]) -> Expr:
    """The expression with variables replaced by sums, in indices and values."""
    if isinstance(expr, Access):
        return access_with(expr, into)
    if isinstance(expr, Apply):
        return replace(expr, args=tuple(with_variables(a, into) for a in expr.args))
    if isinstance(expr, ValueOf):
        return replace(expr, expr=coordinate_with(expr.expr, into))
    return expr


def access_with(found: Access, into: dict[str, Affine]) -> Access:
    """The access with variables replaced by sums; ValueError where an index would leave the language."""
    return replace(
        found,
        indices=tuple(
            replace(i, expr=index_with(i.expr, into), conditions=tuple(chain_with(c, into) for c in i.conditions))
            for i in found.indices
        ),
    )


def index_with(expr: RankExpr, into: dict[str, Affine]) -> RankExpr:
    """A rank expression with variables replaced by sums."""
    if isinstance(expr, Lookup):
        return replace(expr, access=access_with(expr.access, into))
    return coordinate_with(expr, into)


def coordinate_with(expr: Coordinate, into: dict[str, Affine]) -> Coordinate:
    """A coordinate with variables replaced by sums."""
    if isinstance(expr, FloorDiv | Modulo):
        new = into.get(expr.var)
        if new is None:
            return expr
        plain = plain_variable(new)
        if plain is None:
            raise ValueError(f"{expr.var} is divided by a shape")
        return replace(expr, var=plain)
    terms: list[Term] = []
    for term in expr.terms:
        if term.var is None or term.var not in into:
            terms.append(term)
        elif term.shape is not None:
            plain = plain_variable(into[term.var])
            if plain is None:
                raise ValueError(f"{term.var} is multiplied by a shape")
            terms.append(replace(term, var=plain))
        else:
            terms += [replace(t, sign=t.sign * term.sign) for t in into[term.var].terms]
    return replace(expr, terms=tuple(terms))


def chain_with(chain: Chain, into: dict[str, Affine]) -> Chain:
    """A condition with variables replaced by sums."""
    return replace(chain, operands=tuple(coordinate_with(o, into) for o in chain.operands))


def sizes_with(expr: Expr, shape: str, new: Expr) -> Expr:
    """The expression with `size(shape)` replaced."""
    if isinstance(expr, SizeOf) and expr.shape == shape:
        return new
    if isinstance(expr, Apply):
        return replace(expr, args=tuple(sizes_with(a, shape, new) for a in expr.args))
    return expr


def fresh(base: str, taken: Iterable[str]) -> str:
    """`base`, or with the first number that makes it new.

    >>> fresh("A", ["A", "A2"])
    'A3'
    """
    names = set(taken)
    return next(n for n in (base, *(f"{base}{i}" for i in range(2, 10_000))) if n not in names)
