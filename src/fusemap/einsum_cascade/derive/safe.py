"""Forms of corrections that stay finite where nothing has been seen yet, and counts of what has been seen."""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from fusemap.einsum_cascade.derive.algebra import Symbols
from fusemap.einsum_cascade.derive.chunks import Chunks
from fusemap.einsum_cascade.derive.ratio import Ratio
from fusemap.einsum_cascade.derive.terms import affine, apply, sizes_with
from fusemap.einsum_cascade.printer import format_expr
from fusemap.einsum_cascade.types import Apply, Expr, ShapeName, SizeOf, Term, ValueOf, VarName


def corrected(ratio: Ratio, leaves: Mapping[sp.Symbol, Expr], *, safe: bool, old: bool) -> tuple[Expr, tuple[str, ...]]:
    """h with its leaves in place, and what has to hold for it.

    `old`: the old statistics may be those of nothing, so that dividing by one is guarded (0 then). `safe`: a chunk may
    be empty, so that the difference of two infinite statistics is guarded.
    """
    symbols = Symbols()
    before = {symbols.of(leaves[s]) for s, (_, when) in ratio.leaves.items() if when == "old"}
    value = ratio.value.subs({s: symbols.of(leaf) for s, leaf in leaves.items()})
    expr = symbols.expression(value)
    below = sorted({format_expr(symbols.leaves[s]) for s in _divided(value) & before})
    conditions = tuple(f"{name} is not 0 once a chunk was seen" for name in below)
    if below and old:
        expr = _guard_division(expr)
    return (_guard_difference(expr) if safe else expr), conditions


def _divided(value: sp.Expr) -> set[sp.Symbol]:
    """Symbols that a product divides by."""
    return {b for b, p in (f.as_base_exp() for f in sp.Mul.make_args(value)) if b.is_Symbol and p.is_negative}


def _guard_division(expr: Expr) -> Expr:
    if isinstance(expr, Apply):
        args = tuple(_guard_division(a) for a in expr.args)
        return apply("safediv" if expr.operator == "div" else str(expr.operator), *args)
    return expr


def _guard_difference(expr: Expr) -> Expr:
    if not isinstance(expr, Apply):
        return expr
    inside = expr.args[0]
    if expr.operator == "exp" and isinstance(inside, Apply) and inside.operator == "sub":
        return apply("expsub", *(_guard_difference(a) for a in inside.args))
    return apply(str(expr.operator), *(_guard_difference(a) for a in expr.args))


def guarded(expr: Expr, chunks: Chunks, when: str) -> Expr:
    """What is made of statistics so far: the size of the rank is then the number of elements so far.

    Under a filter that number is not known and the whole size stays. Any values may stand in between.
    """
    if chunks.filtered:
        return expr
    if when == "chunk":
        return sizes_with(expr, chunks.rank, SizeOf(shape=ShapeName(chunks.inner)))
    new = sizes_with(expr, chunks.rank, seen_elements(chunks.m1, chunks.inner, before=when == "old"))
    return _guard_division(new) if when == "old" and new != expr else new


def seen_elements(m1: str, inner: str, *, before: bool) -> Expr:
    """The number of elements of the chunks up to m1, or before it."""
    terms = [Term(var=VarName(m1), shape=ShapeName(inner))]
    if not before:
        terms.append(Term(shape=ShapeName(inner)))
    return ValueOf(expr=affine(*terms))


def counted(constant: sp.Expr, m1: str, inner: str, *, before: bool, chunk: bool) -> Expr:
    """The sum of a constant over the elements of a chunk, or of all chunks before."""
    number: Expr = SizeOf(shape=ShapeName(inner)) if chunk else seen_elements(m1, inner, before=before)
    if constant == 1:
        return number
    return apply("mul", Symbols().expression(constant), number)
