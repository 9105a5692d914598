"""Integer arithmetic and conversions as PTX defines them (PTX ISA, sections 9.7.1, 9.7.8 and 9.7.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fusemap.validation.cuda_ptx_float import Array

_WIDE: Mapping[str, np.dtype[Any]] = {
    **{"u4": np.dtype(np.uint64), "i4": np.dtype(np.int64)},
    **{"u2": np.dtype(np.uint32), "i2": np.dtype(np.int32)},
}


def multiply_wide(a: Array, b: Array) -> Array:
    """The full product of two 16- or 32-bit integers, in twice the bits."""
    return np.asarray(np.multiply(a, b, dtype=_WIDE[a.dtype.str[1:]]))


def multiply_high(a: Array, b: Array) -> Array:
    """The upper half of the product of two 32-bit integers."""
    product = multiply_wide(a, b)
    return np.asarray(product >> product.dtype.type(32)).astype(a.dtype)


def divide(a: Array, b: Array) -> Array:
    """a / b towards zero; a division by zero gives all ones."""
    quotient = np.floor_divide(a, np.where(b == 0, b.dtype.type(1), b))
    if a.dtype.kind == "i":
        quotient = quotient + ((quotient < 0) & (quotient * b != a)).astype(a.dtype)
    ones = np.array(-1).astype(a.dtype)
    return np.asarray(np.where(b == 0, ones, quotient))


def remainder(a: Array, b: Array) -> Array:
    """a - b * (a / b), with the sign of a; a when b is zero."""
    return np.asarray(np.where(b == 0, a, a - b * divide(a, b)))


def shift_left(a: Array, amount: Array) -> Array:
    """a << amount; 0 from the width on."""
    bits = 8 * a.dtype.itemsize
    kept = np.minimum(amount, np.uint32(bits - 1)).astype(a.dtype)
    return np.asarray(np.where(amount >= bits, a.dtype.type(0), a << kept))


def shift_right(a: Array, amount: Array) -> Array:
    """a >> amount, filled with the sign (signed) or with zeros; amounts above the width act as the width."""
    bits = 8 * a.dtype.itemsize
    kept = np.minimum(amount, np.uint32(bits - 1)).astype(a.dtype)
    if a.dtype.kind == "i":
        return np.asarray(a >> kept)
    return np.asarray(np.where(amount >= bits, a.dtype.type(0), a >> kept))


def ones(a: Array) -> Array:
    """popc: how many bits are set."""
    return np.asarray(np.unpackbits(_bytes(a), axis=-1).sum(axis=-1, dtype=np.uint32))


def leading_zeros(a: Array) -> Array:
    """clz: zeros above the highest set bit."""
    bits = np.unpackbits(_bytes(a)[..., ::-1], axis=-1)
    return np.asarray(np.where(bits.any(axis=-1), bits.argmax(axis=-1), bits.shape[-1]), np.uint32)


def field(a: Array, start: Array, length: Array) -> Array:
    """bfe.u32: `length` bits of a from bit `start`."""
    shifted = shift_right(a, start & np.uint32(255))
    count = length & np.uint32(255)
    mask = shift_left(np.ones_like(shifted), count) - np.uint32(1)
    return np.asarray(shifted & np.where(count >= 32, np.uint32(0xFFFFFFFF), mask))


def logic(a: Array, b: Array, c: Array, table: Array) -> Array:
    """lop3: bit i of the result is bit (a_i b_i c_i) of the table."""
    result = np.zeros_like(a)
    for row in range(8):
        chosen = [x if row >> place & 1 else ~x for x, place in ((a, 2), (b, 1), (c, 0))]
        result = np.where(
            (table >> np.uint32(row)) & np.uint32(1), result | (chosen[0] & chosen[1] & chosen[2]), result
        )
    return result


def to_integer(a: Array, target: type[np.generic], rounding: str) -> Array:
    """A float as an integer: rounded (rzi, rni, rmi, rpi), clamped to the target's range, NaN as 0."""
    whole = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}[rounding](a.astype(np.float64))
    limits = np.iinfo(target)  # type: ignore[type-var]
    inside = np.where((whole > limits.min) & (whole < float(limits.max)), whole, 0.0).astype(target)
    top = np.where(whole >= float(limits.max), target(limits.max), inside)
    return np.where(whole <= limits.min, target(limits.min), top)


def _bytes(a: Array) -> Array:
    shaped = np.ascontiguousarray(np.atleast_1d(a))
    return shaped.view(np.uint8).reshape(*shaped.shape, -1)
