"""Single-precision arithmetic as PTX rounds it (PTX ISA, section 9.7.3), on NumPy arrays.

add, sub, mul and fma are rounded once in the mode that the instruction names; div.rn, rcp.rn and sqrt.rn are correctly
rounded. The approximations (ex2, lg2, rcp, rsqrt, sqrt, div .approx, div.full) are computed in float64 and rounded
once, which is closer than the 1 or 2 ulp that a GPU promises: outputs may differ from a GPU's in those last bits.
NaN payloads and the order of -0 and +0 in min and max are not modelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Function: TypeAlias = Callable[..., Array]

_SMALLEST = float(np.finfo(np.float32).tiny)
_MIDPOINT, _BELOW = np.uint64(1 << 28), np.uint64((1 << 29) - 1)


def fma(a: Array, b: Array, c: Array, *, mode: str = "rn") -> Array:
    """a * b + c of float32 values, rounded once.

    >>> one = np.array([1], np.float32); tiny = np.array([2.0**-24], np.float32)
    >>> fma(one, one, tiny), fma(one, one, tiny, mode="rp") > 1
    (array([1.], dtype=float32), array([ True]))
    """
    product = np.multiply(a, b, dtype=np.float64)  # 24 + 24 bits: exact
    return _rounded_sum(product, np.asarray(c, np.float64), mode)


def add(a: Array, b: Array, *, mode: str = "rn") -> Array:
    """a + b of float32 values, rounded once."""
    if mode == "rn":
        return np.add(a, b)
    return _rounded_sum(np.asarray(a, np.float64), np.asarray(b, np.float64), mode)


def subtract(a: Array, b: Array, *, mode: str = "rn") -> Array:
    """a - b of float32 values, rounded once."""
    return add(a, np.negative(b), mode=mode)


def multiply(a: Array, b: Array, *, mode: str = "rn") -> Array:
    """a * b of float32 values, rounded once."""
    if mode == "rn":
        return np.multiply(a, b)
    product = np.multiply(a, b, dtype=np.float64)
    return _directed(product, np.zeros_like(product), mode)


def divide(a: Array, b: Array) -> Array:
    """a / b of float32 values, to nearest."""
    return np.divide(a, b)


def through_double(function: Function) -> Function:
    """A function of one float32 array, computed in float64 and rounded once."""

    def rounded(a: Array) -> Array:
        return np.asarray(function(np.asarray(a, np.float64))).astype(np.float32)

    return rounded


def flushing(function: Function, inputs: int) -> Function:
    """.ftz: subnormal float32 operands and results become zeros of their signs."""

    def flushed(*operands: Array) -> Array:
        return flush(function(*(flush(a) for a in operands[:inputs]), *operands[inputs:]))

    return flushed


def flush(a: Array) -> Array:
    """Subnormals as zeros of their signs; other types unchanged."""
    if a.dtype != np.float32:
        return a
    return np.where(np.abs(a) < np.float32(_SMALLEST), np.copysign(np.float32(0), a), a)


def saturate(a: Array) -> Array:
    """.sat: clamped to [0, 1]; NaN becomes 0."""
    return np.where(np.isnan(a), np.float32(0), np.minimum(np.maximum(a, np.float32(0)), np.float32(1)))


def _rounded_sum(a: Array, b: Array, mode: str) -> Array:
    """a + b of float64 values, rounded once to float32.

    A float64 sum, rounded to float32, is the right answer unless it lies half-way between two float32 values or is
    subnormal there; then the sum's error decides, put into its last bit (rounding to odd).
    """
    high = np.asarray(a + b)
    if mode == "rn":
        near = high.astype(np.float32)
        bits = high.view(np.uint64) & _BELOW
        small = np.abs(near) <= np.float32(_SMALLEST)
        if not ((bits == _MIDPOINT) | (small & (high != 0))).any():
            return near
    part = high - a
    low = (a - (high - part)) + (b - part)
    low = np.where(np.isfinite(low), low, 0.0)
    return _to_odd(high, low).astype(np.float32) if mode == "rn" else _directed(high, low, mode)


def _to_odd(high: Array, low: Array) -> Array:
    """high + low rounded to odd in float64: then any rounding to fewer bits is right (Boldo and Melquiond, 2008)."""
    even = (high.view(np.uint64) & np.uint64(1)) == 0
    return np.where((low != 0) & even, np.nextafter(high, np.copysign(np.inf, low)), high)


def _directed(high: Array, low: Array, mode: str) -> Array:
    """high + low rounded down (rm), up (rp) or towards zero (rz) to float32."""
    near = high.astype(np.float32)
    if mode == "rz":
        down, up = _directed(high, low, "rm"), _directed(high, low, "rp")
        return np.where((high > 0) | ((high == 0) & (low > 0)), down, up)
    above = (near > high) | ((near == high) & (low < 0))
    below = (near < high) | ((near == high) & (low > 0))
    wrong, way = (above, -np.inf) if mode == "rm" else (below, np.inf)
    stepped = np.nextafter(near, np.float32(way))
    return np.where(wrong & np.isfinite(high), stepped, near)
