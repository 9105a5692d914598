"""Numbers of the cycle level: formats that every operation cycle rounds to, and exp in six multiply-accumulates.

exp(x) = 2^y with y = x log2(e). The first cycle splits y into an integer n and a fraction f in [-1/2, 1/2]; five more
evaluate a polynomial of degree 5 for 2^f by Horner's rule, and the last one adds n to the exponent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import did_you_mean, input_error

Floats: TypeAlias = NDArray[np.float64]

# 2^f on [-1/2, 1/2] by the polynomial of least maximal relative error (Remez exchange), lowest power first.
COEFFICIENTS = (
    1.0000000716546846,
    0.6931469670647606,
    0.24022119723840027,
    0.05550713273497576,
    0.009675541334452193,
    0.0013276471992658442,
)
EXP_ERROR = 7.4937e-8  # its maximal relative error, which the tests measure
EXP_CYCLES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A number format: `round` gives the nearest number of it; `unit` is half the distance of 1 to its successor."""

    name: str
    unit: float
    round: Callable[[Floats], Floats]


def _same(values: Floats) -> Floats:
    return values


def _float32(values: Floats) -> Floats:
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float32).astype(np.float64)


def _bfloat16(values: Floats) -> Floats:
    """Nearest even with 8 significant bits, by way of float32 (whose own rounding comes first)."""
    with np.errstate(over="ignore", under="ignore"):
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    finite = (bits & np.uint32(0x7F800000)) != np.uint32(0x7F800000)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = (bits + np.uint32(0x7FFF) + odd) & np.uint32(0xFFFF0000)
    return np.where(finite, rounded, bits).astype(np.uint32).view(np.float32).astype(np.float64)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "float64": Format(name="float64", unit=2.0**-53, round=_same),
        "float32": Format(name="float32", unit=2.0**-24, round=_float32),
        "bfloat16": Format(name="bfloat16", unit=2.0**-8, round=_bfloat16),
    }
)


def number_format(name: str) -> Format:
    """The format of that name; InputError names the nearest one.

    >>> float(number_format("bfloat16").round(np.array([1.00390625]))[0])
    1.0
    """
    if name not in FORMATS:
        raise input_error(f'unknown number format "{name}"', hint=did_you_mean(name, tuple(FORMATS)))
    return FORMATS[name]


def split(x: Floats) -> tuple[Floats, Floats]:
    """(f, n) with x log2(e) = n + f, n whole: exp's first cycle, not rounded. n = -inf and f = 0 for x = -inf."""
    y = x * math.log2(math.e)
    n = np.rint(y)
    with np.errstate(invalid="ignore"):
        f = np.where(np.isinf(y), 0.0, y - n)
    return f, n


def scale(p: Floats, n: Floats) -> Floats:
    """p * 2^n: exp's last cycle."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        exponent = np.clip(np.nan_to_num(n, nan=0.0, neginf=-5000, posinf=5000), -5000, 5000).astype(np.int64)
        found: Floats = np.where(np.isnan(n), np.nan, np.ldexp(p, exponent))
        return found


def exp6(x: Floats, number: Format = FORMATS["float64"]) -> Floats:
    """exp(x) in six cycles, each rounded: what a processing element computes, as one function.

    >>> abs(float(exp6(np.array([-2.0]))[0]) / math.exp(-2) - 1) < EXP_ERROR
    True
    >>> float(exp6(np.array([-math.inf]))[0])
    0.0
    """
    constants = number.round(np.array(COEFFICIENTS))
    f, n = split(np.asarray(x, dtype=np.float64))
    f = number.round(f)
    p = number.round(constants[5] * f + constants[4])
    for constant in constants[3:0:-1]:
        p = number.round(p * f + constant)
    return number.round(scale(p * f + constants[0], n))
