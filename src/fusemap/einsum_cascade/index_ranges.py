"""The coordinates that the elements of an index tensor can name, for known sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import product
from types import MappingProxyType
from typing import TypeAlias

from fusemap.einsum_cascade.interpreter_schedule import components
from fusemap.einsum_cascade.linear import value
from fusemap.einsum_cascade.resolve import Sizes, extent
from fusemap.einsum_cascade.scope import accesses
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Cascade,
    Coordinate,
    Einsum,
    Expr,
    FloorDiv,
    Number,
    SizeOf,
    TensorName,
    ValueOf,
)

Range: TypeAlias = tuple[float, float]
UNKNOWN: Range = (-math.inf, math.inf)
_CORNERS: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b if a and b else 0.0,
        "div": lambda a, b: a / b,
        "max": max,
        "min": min,
    }
)


def index_range(cascade: Cascade, sizes: Sizes, tensor: TensorName) -> Range:
    """The least and the greatest value that the elements of an index tensor can have, infinite where not known.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> best = parse("input S[m]\\nI[j] = topk[m; j] S[m]\\nB[j] = floor(I[j] / 2)\\ninput N[j]")
    >>> index_range(best, {"M": 9, "J": 2}, "B"), index_range(best, {"M": 9, "J": 2}, "N")
    ((0, 4), (-inf, inf))
    """
    writers = (*cascade.inits, *cascade.einsums)
    reads = [[n for n, w in enumerate(writers) if w.name in {a.tensor for a in accesses(e)}] for e in writers]
    known: dict[TensorName, Range] = {}
    for group in components([set(r) for r in reads]):
        circular = len(group) > 1 or group[0] in reads[group[0]]
        for einsum in (writers[n] for n in group):
            own = UNKNOWN if circular else _written_range(cascade, sizes, einsum, known)
            known[einsum.name] = _hull(own, known.get(einsum.name, own))
    return known.get(tensor, UNKNOWN)


def _written_range(cascade: Cascade, sizes: Sizes, einsum: Einsum, known: Mapping[TensorName, Range]) -> Range:
    reduce = einsum.reduce
    if reduce is not None and reduce.places is not None:
        return 0, extent(cascade, sizes, reduce.variables[0].var) - 1
    if reduce is not None and reduce.operator not in ("max", "min"):
        return UNKNOWN
    return _range(cascade, sizes, einsum.expr, known)


def _range(cascade: Cascade, sizes: Sizes, expr: Expr, known: Mapping[TensorName, Range]) -> Range:
    if isinstance(expr, Access):
        return known.get(expr.tensor, UNKNOWN)
    if isinstance(expr, Number):
        return float(expr.text), float(expr.text)
    if isinstance(expr, SizeOf):
        return sizes[expr.shape], sizes[expr.shape]
    if isinstance(expr, ValueOf):
        return coordinate_range(cascade, sizes, expr.expr)
    args = [_range(cascade, sizes, arg, known) for arg in expr.args]
    if expr.operator in ("gt", "ge", "eq"):
        return 0, 1
    if expr.operator in ("where", "only"):
        return _hull(args[-2], args[-1]) if expr.operator == "where" else args[0]
    if expr.operator == "floor":
        low, high = args[0]
        return (math.floor(low), math.floor(high)) if math.isfinite(low) and math.isfinite(high) else UNKNOWN
    if expr.operator not in _CORNERS or (expr.operator == "div" and args[1][0] <= 0):
        return UNKNOWN
    return _corners(_CORNERS[expr.operator], *args)


def _corners(function: Callable[[float, float], float], left: Range, right: Range) -> Range:
    """The range of a function that is monotonic in each operand; where a corner is no number, it is not known."""
    values = [function(a, b) for a, b in product(left, right)]
    return UNKNOWN if any(math.isnan(v) for v in values) else (min(values), max(values))


def _hull(left: Range, right: Range) -> Range:
    return min(left[0], right[0]), max(left[1], right[1])


def coordinate_range(cascade: Cascade, sizes: Sizes, expr: Coordinate) -> Range:
    """The least and the greatest value of a coordinate over the ranges of its variables."""
    if not isinstance(expr, Affine):
        last, divisor = extent(cascade, sizes, expr.var) - 1, sizes[expr.shape]
        return 0, last // divisor if isinstance(expr, FloorDiv) else min(last, divisor - 1)
    coefficients, constant = value(expr, sizes)
    ends = [c * (extent(cascade, sizes, v) - 1) for v, c in coefficients.items()]
    return constant + sum(min(e, 0) for e in ends), constant + sum(max(e, 0) for e in ends)
