"""Linear forms: affine rank expressions as coefficients, with symbolic or with known shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TypeAlias

from fusemap.einsum_cascade.types import Affine, Chain, RankExpr, ShapeName, VarName

Product: TypeAlias = tuple[VarName | None, ShapeName | None]
Symbolic: TypeAlias = dict[Product, int]
CONSTANT: Product = (None, None)


def symbolic(expr: Affine) -> Symbolic:
    """Coefficients of the products var*shape, var, shape and 1."""
    form: Symbolic = {}
    for term in expr.terms:
        key = (term.var, term.shape)
        form[key] = form.get(key, 0) + term.sign * (1 if term.constant is None else term.constant)
    return form


def difference(left: Symbolic, right: Symbolic) -> Symbolic:
    """left - right, without zero coefficients."""
    keys = dict.fromkeys((*left, *right))
    form = {k: left.get(k, 0) - right.get(k, 0) for k in keys}
    return {k: c for k, c in form.items() if c}


def least(form: Symbolic) -> int | None:
    """A lower bound that holds for all shapes >= 1 and variables >= 0; None if there is none.

    >>> least({(VarName("i"), None): 1, CONSTANT: 2}), least({(None, ShapeName("K")): -1})
    (2, None)
    """
    bound = 0
    for (var, shape), coefficient in form.items():
        if (var, shape) == CONSTANT:
            bound += coefficient
        elif coefficient < 0:
            return None
        elif var is None:
            bound += coefficient
    return bound


def ordered(chain: Chain) -> Iterator[tuple[RankExpr, RankExpr, int]]:
    """The inequalities `high - low >= gap` that a chain stands for; an equality gives two."""
    for (left, right), relation in zip(pairwise(chain.operands), chain.relations, strict=True):
        if relation in ("<", "<=", "=="):
            yield right, left, int(relation == "<")
        if relation in (">", ">=", "=="):
            yield left, right, int(relation == ">")


def value(expr: Affine, sizes: Mapping[ShapeName, int]) -> tuple[dict[VarName, int], int]:
    """Coefficients of the variables and the constant, for known shapes."""
    coefficients: dict[VarName, int] = {}
    constant = 0
    for term in expr.terms:
        scale = term.sign * (1 if term.constant is None else term.constant)
        if term.shape is not None:
            scale *= sizes[term.shape]
        if term.var is None:
            constant += scale
        else:
            coefficients[term.var] = coefficients.get(term.var, 0) + scale
    return coefficients, constant
