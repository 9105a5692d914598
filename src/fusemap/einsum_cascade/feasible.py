"""Integer points of small systems of linear inequalities, by Fourier-Motzkin elimination.

A variable is eliminated exactly if in every pair of bounds one has coefficient 1; otherwise the real
shadow is used and the point that comes back is checked (W. Pugh, "The Omega test", 1991).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import gcd
from typing import TypeAlias

Point: TypeAlias = dict[str, int]
_LIMIT = 1_000
_EFFORT = 10_000


@dataclass(frozen=True, slots=True)
class Linear:
    """The form `sum(coefficient * variable) + constant`."""

    coefficients: tuple[tuple[str, int], ...]
    constant: int = 0

    def __add__(self, other: Linear) -> Linear:
        return combine(self, 1, other, 1)

    def __sub__(self, other: Linear) -> Linear:
        return combine(self, 1, other, -1)

    def shifted(self, offset: int) -> Linear:
        """The form plus an integer."""
        return Linear(self.coefficients, self.constant + offset)

    def at(self, point: Mapping[str, int]) -> int:
        """The value at a point; a variable that it leaves out is 0."""
        return self.constant + sum(c * point.get(v, 0) for v, c in self.coefficients)


def linear(coefficients: Mapping[str, int], constant: int = 0) -> Linear:
    """A form from its coefficients; zeros are left out.

    >>> linear({"x": 2, "y": 0}, 1)
    Linear(coefficients=(('x', 2),), constant=1)
    """
    return Linear(tuple(sorted((v, c) for v, c in coefficients.items() if c)), constant)


def combine(left: Linear, a: int, right: Linear, b: int) -> Linear:
    """a*left + b*right."""
    total = {v: a * c for v, c in left.coefficients}
    for v, c in right.coefficients:
        total[v] = total.get(v, 0) + b * c
    return linear(total, a * left.constant + b * right.constant)


def find_point(constraints: Iterable[Linear]) -> Point | None:
    """An integer point at which every form is >= 0, with small coordinates first; None if there is none.

    None is also the answer where neither could be shown within a fixed effort, which takes products by
    two shapes in one inequality; every point that is returned is one.

    >>> x = linear({"x": 1})
    >>> find_point([x.shifted(-3), linear({"x": -2}, 9)]), find_point([x.shifted(-3), linear({"x": -2}, 5)])
    ({'x': 3}, None)
    """
    system = _tightened(constraints)
    eliminated: list[_Step] = []
    while system:
        step = _next_step(system)
        eliminated.append(step)
        shadow = (_shadow(low, high, step.var) for low in step.lower for high in step.upper)
        system = _tightened((*(c for c in system if c not in step.bounds), *shadow))
        if system is not None and len(system) > _LIMIT:
            return None
    return None if system is None else _choose(tuple(reversed(eliminated)))


@dataclass(frozen=True, slots=True)
class _Step:
    """The elimination of a variable that `lower` bounds from below and `upper` from above."""

    var: str
    lower: tuple[Linear, ...]
    upper: tuple[Linear, ...]

    @property
    def bounds(self) -> frozenset[Linear]:
        return frozenset((*self.lower, *self.upper))


def _tightened(constraints: Iterable[Linear]) -> tuple[Linear, ...] | None:
    """Divided by common factors, the strongest of parallel ones; None if one of them never holds."""
    strongest: dict[tuple[tuple[str, int], ...], int] = {}
    for c in constraints:
        if not c.coefficients:
            if c.constant < 0:
                return None
            continue
        factor = gcd(*(k for _, k in c.coefficients))
        key = tuple((v, k // factor) for v, k in c.coefficients)
        strongest[key] = min(strongest.get(key, c.constant // factor), c.constant // factor)
    return tuple(Linear(key, constant) for key, constant in strongest.items())


def _next_step(system: tuple[Linear, ...]) -> _Step:
    """The variable whose elimination is exact, if any is, and adds the fewest inequalities."""
    bounds: dict[str, tuple[list[Linear], list[Linear]]] = {}
    steep: dict[str, list[bool]] = {}
    for c in system:
        for var, k in c.coefficients:
            bounds.setdefault(var, ([], []))[k < 0].append(c)
            steep.setdefault(var, [False, False])[k < 0] |= abs(k) > 1

    def price(var: str) -> tuple[bool, int, str]:
        lower, upper = bounds[var]
        return all(steep[var]), len(lower) * len(upper) - len(lower) - len(upper), var

    best = min(bounds, key=price)
    return _Step(best, tuple(bounds[best][0]), tuple(bounds[best][1]))


def _coefficient(form: Linear, var: str) -> int:
    return next((k for v, k in form.coefficients if v == var), 0)


def _shadow(low: Linear, high: Linear, var: str) -> Linear:
    """What a lower and an upper bound say together without `var`."""
    return combine(low, -_coefficient(high, var), high, _coefficient(low, var))


def _choose(steps: tuple[_Step, ...]) -> Point | None:
    """Values in reverse order of elimination, by depth-first search over at most _EFFORT values."""
    point: Point = {}
    ranges = [_range(steps[0], point)] if steps else []
    for _ in range(_EFFORT):
        if len(point) == len(steps):
            return point
        if not ranges:
            return None
        value = next(ranges[-1], None)
        if value is None:
            ranges.pop()
            point.pop(steps[len(ranges) - 1].var, None)
            continue
        point[steps[len(ranges) - 1].var] = value
        if len(point) < len(steps):
            ranges.append(_range(steps[len(ranges)], point))
    return None


def _range(step: _Step, point: Point) -> Iterator[int]:
    """Values of the variable, ascending, that its bounds allow when all others are chosen."""
    trial = {**point, step.var: 0}
    low = max((-(c.at(trial) // _coefficient(c, step.var)) for c in step.lower), default=None)
    high = min((c.at(trial) // -_coefficient(c, step.var) for c in step.upper), default=None)
    if low is None:
        return iter((0 if high is None else high,))
    return iter((low,)) if high is None else iter(range(low, high + 1))
