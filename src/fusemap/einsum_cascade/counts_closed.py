"""The number of points of a zone in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import sympy as sp

from fusemap.einsum_cascade.counts_zones import Expr, Symbol, Zone, as_bound, holds_everywhere, is_nonnegative


def count(zone: Zone) -> Expr:
    """The number of points of a zone, exact for all shapes.

    In closed form (with Min, Max and ceiling) where the inequalities tie at most two variables
    together; an unevaluated Sum otherwise.
    """
    if zone.is_empty:
        return sp.Integer(0)
    joined = _join_digits(zone)
    total = sp.Integer(1)
    for part in _independent(joined):
        total *= _count_tied(part)
    return total


def _independent(zone: Zone) -> list[Zone]:
    """The zone as a product of zones: variables that no inequality ties together are apart."""
    groups: list[set[Symbol]] = [{v} for v in zone.extents]
    for g in zone.inequalities:
        tied = [group for group in groups if group & g.free_symbols]
        groups = [group for group in groups if group not in tied] + ([set().union(*tied)] if tied else [])
    parts = []
    for group in groups:
        extents = {v: n for v, n in zone.extents.items() if v in group}
        parts.append(Zone(extents=extents, inequalities=tuple(g for g in zone.inequalities if g.free_symbols & group)))
    constant = tuple(g for g in zone.inequalities if not g.free_symbols & set(zone.extents))
    return [*parts, Zone(extents={}, inequalities=constant)] if constant else parts


def _join_digits(zone: Zone) -> Zone:
    """Replace variables that occur only as hi*LO + lo, lo in [0, LO), by one variable over [0, HI*LO)."""
    tied = [v for v in zone.extents if any(v in g.free_symbols for g in zone.inequalities)]
    for high, low in permutations(tied, 2):
        base = zone.extents[low]
        joined = sp.Dummy(f"{high}_{low}", integer=True, nonnegative=True)
        replaced = [sp.expand(g.subs(low, joined - high * base)) for g in zone.inequalities]
        if all(high not in g.free_symbols for g in replaced):
            extents = {v: n for v, n in zone.extents.items() if v not in (high, low)}
            return _join_digits(Zone(extents={**extents, joined: zone.extents[high] * base}).cut(replaced))
    return zone


def _count_tied(zone: Zone) -> Expr:
    if not zone.inequalities:
        return sp.prod(zone.extents.values())
    closed = _closed_one(zone) if len(zone.extents) == 1 else None
    if len(zone.extents) == 2:
        forms = [c for pair in permutations(zone.extents) if (c := _closed_two(zone, *pair)) is not None]
        closed = min(forms, key=lambda c: (sp.count_ops(c), str(c)), default=None)
    return _as_sum(zone) if closed is None else closed


def _closed_one(zone: Zone) -> Expr | None:
    (var,) = zone.extents
    limits = _limits(zone, var)
    if limits is None:
        return None
    lower, upper = limits
    return _at_least_zero(_least([zone.extents[var], *upper]) - _greatest([sp.Integer(0), *lower]))


def _limits(zone: Zone, var: Symbol) -> tuple[list[Expr], list[Expr]] | None:
    """Bounds L <= var < U from the inequalities, box left out; None where one is not linear in `var`."""
    lower: list[Expr] = []
    upper: list[Expr] = []
    for g in zone.inequalities:
        bound = as_bound(g, var)
        if bound is None:
            return None
        if is_nonnegative(bound.coefficient - 1):
            lower.append(_ceiling(-bound.rest, bound.coefficient))
        elif is_nonnegative(-bound.coefficient - 1):
            upper.append(sp.floor(bound.rest / -bound.coefficient) + 1)
        else:
            return None
    return lower, upper


def _closed_two(zone: Zone, inner: Symbol, outer: Symbol) -> Expr | None:
    """Sum over `outer` of the number of values of `inner`, at most one bound on either side of it.

    The number of integers in [L, U) and [0, n) is clamp(U) - clamp(L) with clamp(x) = min(max(x, 0), n),
    provided L <= U.
    """
    alone = tuple(g for g in zone.inequalities if inner not in g.free_symbols)
    tied = replace(zone, inequalities=tuple(g for g in zone.inequalities if inner in g.free_symbols))
    limits, ends = _limits(tied, inner), _limits(replace(zone, inequalities=alone), outer)
    if limits is None or ends is None or len(limits[0]) > 1 or len(limits[1]) > 1:
        return None
    if any(as_bound(x, outer) is None for x in (*limits[0], *limits[1])):
        return None
    steps = zone.extents[outer]
    start = _greatest([sp.Integer(0), *ends[0]])
    stop = _greatest([start, _least([steps, *ends[1]])])
    lower, upper = limits
    if lower and upper and not holds_everywhere(sp.expand(upper[0] - lower[0]), {outer: steps}):
        return None
    whole, before = (_sum_width(lower, upper, outer, end, zone.extents[inner]) for end in (stop, start))
    return None if whole is None or before is None else sp.expand(whole - before)


def _sum_width(lower: Sequence[Expr], upper: Sequence[Expr], outer: Symbol, steps: Expr, width: Expr) -> Expr | None:
    """Sum over outer in [0, steps) of the number of integers in [lower, upper) and [0, width)."""
    above = _sum_clamped(upper[0], outer, steps, width) if upper else steps * width
    below = _sum_clamped(lower[0], outer, steps, width) if lower else sp.Integer(0)
    return None if above is None or below is None else above - below


def _sum_clamped(x: Expr, var: Symbol, steps: Expr, width: Expr) -> Expr | None:
    """Sum over var in [0, steps) of min(max(x, 0), width), x linear in var."""
    high, low = _sum_ramp(x, var, steps), _sum_ramp(sp.expand(x - width), var, steps)
    return None if high is None or low is None else high - low


def _sum_ramp(x: Expr, var: Symbol, steps: Expr) -> Expr | None:
    """Sum over var in [0, steps) of max(x, 0), x = a*var + c: an arithmetic series over the positive part."""
    bound = as_bound(x, var)
    assert bound is not None
    a, c = bound.coefficient, bound.rest
    if a == 0:
        return steps * _at_least_zero(c)
    if is_nonnegative(a):
        first = _clamp(_ceiling(-c, a), steps)
        return a * (steps * (steps - 1) - first * (first - 1)) / 2 + c * (steps - first)
    if is_nonnegative(-a):
        stop = _clamp(_ceiling(c, -a), steps)
        return a * stop * (stop - 1) / 2 + c * stop
    return None


def _as_sum(zone: Zone) -> Expr:
    """The count as nested sums over the box of 1 where all inequalities hold."""
    holds = sp.And(*(sp.Ge(g, 0, evaluate=False) for g in zone.inequalities))
    inside = sp.Piecewise((sp.Integer(1), holds), (sp.Integer(0), True))
    return sp.Sum(inside, *((v, 0, n - 1) for v, n in zone.extents.items())) if zone.extents else inside


def evaluate(expr: Expr, sizes: Mapping[Symbol, int]) -> int:
    """The value of a count under given sizes; a Sum is enumerated, its first variable one by one."""
    sums = {s: sp.Integer(_enumerated(s, sizes)) for s in expr.atoms(sp.Sum)}
    return int(expr.xreplace(sums).subs(sizes))


def _enumerated(total: Expr, sizes: Mapping[Symbol, int]) -> int:
    """The number of points at which the Piecewise under a Sum is 1."""
    ((_, holds), _) = total.function.args
    variables = [var for var, _, _ in total.limits]
    ends = [int(last.subs(sizes)) + 1 for _, _, last in total.limits]
    tests = [sp.lambdify(variables, part, modules="numpy") for part in sp.And.make_args(holds.subs(sizes))]
    grid = np.ogrid[tuple(slice(0, end) for end in ends[1:])]
    points = 0
    for i in range(ends[0]):
        inside = np.ones(ends[1:], dtype=bool)
        for test in tests:
            inside &= test(i, *grid)
        points += int(inside.sum())
    return points


def _clamp(x: Expr, top: Expr) -> Expr:
    return _at_least_zero(_least([x, top]))


def _at_least_zero(x: Expr) -> Expr:
    return _greatest([sp.Integer(0), x])


def _least(values: Sequence[Expr]) -> Expr:
    """The minimum, decided where the difference of two values has a known sign."""
    kept: list[Expr] = []
    for value in values:
        if not any(is_nonnegative(value - other) for other in kept):
            kept = [other for other in kept if not is_nonnegative(other - value)] + [value]
    return sp.Min(*kept)


def _greatest(values: Sequence[Expr]) -> Expr:
    return -_least([-v for v in values])


def _ceiling(x: Expr, divisor: Expr) -> Expr:
    return x if divisor == 1 else sp.ceiling(x / divisor)
