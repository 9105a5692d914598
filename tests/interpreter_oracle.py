"""A second interpreter of cascades: one element at a time, on demand, in plain Python.

It shares nothing with the one under test but the syntax tree. It also counts every application of an
operator. An element is a number, or None where it is absent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Chain,
    Coordinate,
    Einsum,
    Expr,
    FloorDiv,
    Index,
    Lookup,
    Number,
    SizeOf,
    ValueOf,
)

Point = dict[str, int]
Element = tuple[str, tuple[int, ...]]

MAPS: Mapping[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: float(np.divide(a, b)),
    "neg": lambda a: -a,
    "exp": lambda a: float(np.exp(a)),
    "log": lambda a: float(np.log(a)),
    "sqrt": lambda a: float(np.sqrt(a)),
    "rsqrt": lambda a: 1 / math.sqrt(a),
    "square": lambda a: a * a,
    "abs": abs,
    "relu": lambda a: a if a > 0 else 0.0,
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "tanh": math.tanh,
    "recip": lambda a: 1 / a,
    "max": max,
    "min": min,
    "expsub": lambda a, b: 1.0 if a == b else math.exp(a - b),
    "safediv": lambda a, b: 0.0 if b == 0 else a / b,
    "gt": lambda a, b: 1.0 if a > b else 0.0,
    "ge": lambda a, b: 1.0 if a >= b else 0.0,
    "eq": lambda a, b: 1.0 if a == b else 0.0,
    "where": lambda c, a, b: b if c == 0 else a,
    "only": lambda a, c: a,
    "pow": lambda a, b: float(np.power(a, b)),
    "sign": lambda a: a if math.isnan(a) else float((a > 0) - (a < 0)),
    "softplus": lambda a: max(a, 0.0) + math.log1p(math.exp(-abs(a))),
    "floor": lambda a: float(math.floor(a)),
    "cos": math.cos,
    "sin": math.sin,
}
REDUCTIONS = {"sum": MAPS["add"], "prod": MAPS["mul"], "max": max, "min": min}
UNION = {"add", "max", "min"}
RELATIONS: Mapping[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b,
}


class Oracle:
    """The elements of a cascade under given extents of all shapes."""

    def __init__(self, cascade: Cascade, sizes: Mapping[str, int], inputs: Mapping[str, Any]) -> None:
        self.sizes = sizes
        self.inputs = {a.tensor: np.asarray(inputs[a.tensor], dtype=float) for a in cascade.inputs}
        self.stops = {s.var: s.bound for s in cascade.stops}
        self.points: dict[Element, tuple[Einsum, list[Point]]] = {}
        self.known: dict[Element, float | None] = {}
        self.fibers: dict[Element, list[tuple[float, int]]] = {}
        self.applied: Counter[tuple[str, str, str]] = Counter()
        for einsum in (*cascade.inits, *cascade.einsums):
            self._register(einsum)

    def run(self) -> dict[Element, float | None]:
        """Every element that an Einsum or init writes."""
        with np.errstate(all="ignore"):
            for element in self.points:
                self.element(*element)
        return {e: self.known[e] for e in self.points}

    def element(self, tensor: str, at: tuple[int, ...]) -> float | None:
        """One element, computed once."""
        if tensor in self.inputs:
            assert all(0 <= i < n for i, n in zip(at, self.inputs[tensor].shape, strict=True))
            return float(self.inputs[tensor][at])
        if (tensor, at) not in self.known:
            einsum, points = self.points[tensor, at]
            if einsum.reduce is not None and einsum.reduce.places is not None:
                self.known[tensor, at] = self._ranked(einsum, points)
                return self.known[tensor, at]
            values = [v for p in points if (v := self.value(einsum, einsum.expr, p)) is not None]
            self.known[tensor, at] = self._reduced(einsum, values)
        return self.known[tensor, at]

    def value(self, einsum: Einsum, expr: Expr, at: Point) -> float | None:
        """An expression at one point."""
        if isinstance(expr, Access):
            found = [self.index(i, at) for i in expr.indices]
            coordinates = tuple(c for c in found if c is not None)
            return self.element(expr.tensor, coordinates) if len(coordinates) == len(found) else None
        if isinstance(expr, Number):
            return float(expr.text)
        if isinstance(expr, SizeOf):
            return float(self.sizes[expr.shape])
        if isinstance(expr, ValueOf):
            return float(self.rank(expr.expr, at))
        args = [self.value(einsum, a, at) for a in expr.args]
        present = [a for a in args if a is not None]
        if len(present) == len(args):
            if not _literal(expr):
                self.applied[einsum.name, expr.operator, "map"] += 1
            kept = expr.operator != "only" or present[1] != 0
            return float(MAPS[expr.operator](*present)) if kept else None
        return present[0] if present and expr.operator in UNION else None

    def index(self, index: Index, at: Point) -> int | None:
        """An index at one point; None where it is read from an absent element."""
        if not isinstance(index.expr, Lookup):
            return self.rank(index.expr, at)
        access = index.expr.access
        found = self.element(access.tensor, tuple(self.rank(i.expr, at) for i in access.indices))
        assert found is None or found == int(found)
        return None if found is None else int(found)

    def rank(self, expr: Coordinate, at: Point) -> int:
        """A rank expression at one point."""
        if not isinstance(expr, Affine):
            divisor = self.sizes[expr.shape]
            return at[expr.var] // divisor if isinstance(expr, FloorDiv) else at[expr.var] % divisor
        total = 0
        for t in expr.terms:
            part = t.sign * (1 if t.constant is None else t.constant)
            part *= 1 if t.shape is None else self.sizes[t.shape]
            total += part * (1 if t.var is None else at[t.var])
        return total

    def _ranked(self, einsum: Einsum, points: list[Point]) -> float | None:
        """The coordinate at one place: as many elements as the place are better, one after the other is taken out."""
        reduce = einsum.reduce
        var, place = reduce.variables[0].var, reduce.places
        if not points:
            return None
        fiber = (einsum.name, tuple(sorted((v, i) for v, i in points[0].items() if v not in (var, place))))
        if fiber not in self.fibers:
            values = [(self.value(einsum, einsum.expr, p), p[var]) for p in points]
            self.fibers[fiber] = [(v, m) for v, m in values if v is not None]
            self.applied[einsum.name, reduce.operator, "reduce"] += len(self.fibers[fiber])
        left = list(self.fibers[fiber])
        for _ in range(points[0][place]):
            if left:
                left.remove(_best(left))
        return float(_best(left)[1]) if left else None

    def _reduced(self, einsum: Einsum, values: list[float]) -> float | None:
        if not values:
            return None
        if einsum.reduce is None:
            (value,) = values
            return value
        self.applied[einsum.name, einsum.reduce.operator, "reduce"] += len(values) - 1
        return float(reduce(REDUCTIONS[einsum.reduce.operator], values))

    def _register(self, einsum: Einsum) -> None:
        names = list(dict.fromkeys([*_variables(einsum.output), *_variables(einsum.expr)]))
        chains = list(_chains(einsum))
        for coordinates in product(*(range(self._extent(v)) for v in names)):
            at = dict(zip(names, coordinates, strict=True))
            element = (einsum.name, tuple(self.rank(i.expr, at) for i in einsum.output.indices))
            points = self.points.setdefault(element, (einsum, []))[1]
            if all(self._holds(c, at) for c in chains):
                points.append(at)

    def _extent(self, var: str) -> int:
        return self.rank(self.stops[var], {}) if var in self.stops else self.sizes[var.upper()]

    def _holds(self, chain: Chain, at: Point) -> bool:
        values = [self.rank(o, at) for o in chain.operands]
        return all(RELATIONS[r](a, b) for a, b, r in zip(values, values[1:], chain.relations, strict=False))


def _best(elements: list[tuple[float, int]]) -> tuple[float, int]:
    """The element with the largest value, NaN before all, the smaller coordinate first."""
    best = elements[0]
    for value, at in elements[1:]:
        larger = (math.isnan(value) and not math.isnan(best[0])) or value > best[0]
        equal = value == best[0] or (math.isnan(value) and math.isnan(best[0]))
        if larger or (equal and at < best[1]):
            best = (value, at)
    return best


def _literal(expr: Expr) -> bool:
    return all(_literal(a) for a in expr.args) if isinstance(expr, Apply) else isinstance(expr, Number | SizeOf)


def _variables(expr: Expr) -> Iterator[str]:
    if isinstance(expr, Apply):
        for arg in expr.args:
            yield from _variables(arg)
    for index in expr.indices if isinstance(expr, Access) else ():
        if isinstance(index.expr, Lookup):
            yield from _variables(index.expr.access)
    ranks = [i.expr for i in expr.indices if not isinstance(i.expr, Lookup)] if isinstance(expr, Access) else []
    for rank in [*ranks, *([expr.expr] if isinstance(expr, ValueOf) else [])]:
        yield from ([t.var for t in rank.terms if t.var is not None] if isinstance(rank, Affine) else [rank.var])


def _accesses(expr: Expr) -> Iterator[Access]:
    if isinstance(expr, Access):
        yield expr
        for index in expr.indices:
            if isinstance(index.expr, Lookup):
                yield index.expr.access
    elif isinstance(expr, Apply):
        for arg in expr.args:
            yield from _accesses(arg)


def _chains(einsum: Einsum) -> Iterator[Chain]:
    yield from einsum.conditions
    for access in (einsum.output, *_accesses(einsum.expr)):
        for index in access.indices:
            yield from index.conditions
    for var in einsum.reduce.variables if einsum.reduce else ():
        yield from var.conditions
