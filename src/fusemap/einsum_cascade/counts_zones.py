"""Sets of integer points cut from a box by inequalities, in shapes as symbols.

Shapes are positive integer symbols and never parsed from text: SymPy reads E, I, N, O, Q and S as constants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import sympy as sp

Expr: TypeAlias = Any  # a SymPy expression; SymPy has no types
Symbol: TypeAlias = Any
NEVER = sp.Integer(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """`coefficient * variable + rest >= 0`; the coefficient is positive for a lower bound of the variable."""

    coefficient: Expr
    rest: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The points of the box 0 <= v < extents[v] at which every inequality `g >= 0` holds.

    A zone known to be empty has the one inequality `-1 >= 0`.
    """

    extents: Mapping[Symbol, Expr]
    inequalities: tuple[Expr, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Is the zone known to be empty?"""
        return self.inequalities == (NEVER,)

    def cut(self, inequalities: Iterable[Expr]) -> Zone:
        """The part where further inequalities hold; those that follow from the box or another are left out."""
        kept = list(self.inequalities)
        for g in map(sp.expand, inequalities):
            if holds_everywhere(-g - 1, self.extents) or self.is_empty:
                return replace(self, inequalities=(NEVER,))
            if not (holds_everywhere(g, self.extents) or self._follows(g, kept)):
                kept = [*(h for h in kept if not self._follows(h, [g])), g]
        return replace(self, inequalities=tuple(kept))

    def contains(self, other: Zone) -> bool:
        """Does every inequality of this zone follow from those of `other`, over the same box?"""
        return other.is_empty or all(self._follows(g, other.inequalities) for g in self.inequalities)

    def _follows(self, g: Expr, known: Sequence[Expr]) -> bool:
        """Does `g >= 0` follow from one `h >= 0`? Sufficient: g - h >= 0 in the whole box."""
        return any(holds_everywhere(sp.expand(g - h), self.extents) for h in known)


def variable(name: str) -> Symbol:
    """The symbol of a rank variable: an integer from 0."""
    return sp.Symbol(name, integer=True, nonnegative=True)


def shape(name: str) -> Symbol:
    """The symbol of a shape: an integer from 1.

    >>> shape("E") * shape("N") / shape("E")
    N
    """
    return sp.Symbol(name, integer=True, positive=True)


@lru_cache(maxsize=4096)  # a cascade asks the same of few expressions, over and over
def is_nonnegative(expr: Expr) -> bool:
    """Is `expr` >= 0 for all shapes >= 1? Sufficient: its coefficients in shape - 1 are all >= 0."""
    expanded = sp.expand(expr)
    symbols = sorted(expanded.free_symbols, key=str)
    if not symbols:
        return bool(expanded.is_nonnegative)
    if not expanded.is_polynomial(*symbols):
        return False
    above = [sp.Dummy(nonnegative=True) for _ in symbols]
    shifted = sp.Poly(expanded.xreplace({s: a + 1 for s, a in zip(symbols, above, strict=True)}), *above)
    return all(c.is_nonnegative for c in shifted.coeffs())


def holds_everywhere(g: Expr, extents: Mapping[Symbol, Expr]) -> bool:
    """Does `g >= 0` hold in the whole box? Sufficient: its least value by interval arithmetic is."""
    least = g
    for var, extent in extents.items():
        bound = as_bound(g, var)
        if bound is None:
            return False
        if is_nonnegative(bound.coefficient):
            least = least.xreplace({var: sp.Integer(0)})
        elif is_nonnegative(-bound.coefficient):
            least = least.subs(var, extent - 1)
        else:
            return False
    return is_nonnegative(least)


@lru_cache(maxsize=4096)
def as_bound(g: Expr, var: Symbol) -> Bound | None:
    """`g` as an expression linear in `var`; None where it is not."""
    if var not in g.free_symbols:
        return Bound(coefficient=sp.Integer(0), rest=g)
    expanded = sp.expand(g)
    coefficient = expanded.coeff(var, 1)
    rest = sp.expand(expanded - coefficient * var)
    if var in coefficient.free_symbols or var in rest.free_symbols:
        return None
    return Bound(coefficient=coefficient, rest=rest)


def project(zone: Zone, var: Symbol, more_than: Expr = 0) -> Zone | None:
    """The zone of the others for which more than `more_than` values of `var` are in `zone`; None if not exact.

    Fourier-Motzkin elimination; on integers it is exact where all lower bounds or all upper bounds of
    `var` have coefficient 1, and all of both where more than one value is asked for.
    """
    others = {v: n for v, n in zone.extents.items() if v != var}
    if zone.is_empty:
        return Zone(extents=others, inequalities=zone.inequalities)
    touching = [g for g in zone.inequalities if var in g.free_symbols]
    free = [g for g in zone.inequalities if var not in g.free_symbols]
    lower = [Bound(coefficient=sp.Integer(1), rest=sp.Integer(0))]
    upper = [Bound(coefficient=sp.Integer(-1), rest=zone.extents[var] - 1)]
    for g in touching:
        bound = as_bound(g, var)
        if bound is None:
            return None
        if is_nonnegative(bound.coefficient - 1):
            lower.append(bound)
        elif is_nonnegative(-bound.coefficient - 1):
            upper.append(bound)
        else:
            return None
    steep = [any(b.coefficient != 1 for b in lower), any(b.coefficient != -1 for b in upper)]
    if all(steep) or (any(steep) and more_than != 0):
        return None
    pairs = [lo.coefficient * up.rest - up.coefficient * lo.rest - more_than for lo in lower for up in upper]
    return Zone(extents=others).cut([*free, *pairs])
