"""NumPy value functions of the operators that NumPy itself does not have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating[Any]]


def rsqrt(a: ArrayLike) -> Array:
    """1 / sqrt(a), elementwise."""
    return np.divide(1.0, np.sqrt(a))


def relu(a: ArrayLike) -> Array:
    """max(a, 0), elementwise; NaN stays NaN."""
    return np.maximum(a, 0.0)


def sigmoid(a: ArrayLike) -> Array:
    """1 / (1 + exp(-a)), elementwise, without overflow on either side.

    >>> [float(sigmoid(x)) for x in (-1e9, 0.0, 1e9)]
    [0.0, 0.5, 1.0]
    """
    tail = np.exp(-np.abs(a))
    return np.where(np.asarray(a) >= 0, 1.0, tail) / (1.0 + tail)


def recip(a: ArrayLike) -> Array:
    """1 / a, elementwise."""
    return np.divide(1.0, a)


def expsub(a: ArrayLike, b: ArrayLike) -> Array:
    """exp(a - b), elementwise, and 1 where a == b, even when both are the same infinity.

    >>> float(expsub(float("-inf"), float("-inf"))), float(expsub(float("-inf"), 0.0))
    (1.0, 0.0)
    """
    left, right = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    same = left == right
    return np.where(same, 1.0, np.exp(np.where(same, 0.0, left) - np.where(same, 0.0, right)))


def safediv(a: ArrayLike, b: ArrayLike) -> Array:
    """a / b, elementwise, and 0 where b == 0.

    >>> float(safediv(3.0, 0.0)), float(safediv(3.0, 2.0))
    (0.0, 1.5)
    """
    divisor = np.asarray(b, dtype=float)
    zero = divisor == 0
    return np.where(zero, 0.0, np.divide(a, np.where(zero, 1.0, divisor)))
