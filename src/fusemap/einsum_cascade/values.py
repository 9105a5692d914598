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


def gt(a: ArrayLike, b: ArrayLike) -> Array:
    """1.0 where a > b, else 0.0, elementwise; a comparison with NaN is 0.0."""
    return np.greater(a, b).astype(float)


def ge(a: ArrayLike, b: ArrayLike) -> Array:
    """1.0 where a >= b, else 0.0, elementwise; a comparison with NaN is 0.0."""
    return np.greater_equal(a, b).astype(float)


def eq(a: ArrayLike, b: ArrayLike) -> Array:
    """1.0 where a == b, else 0.0, elementwise; NaN equals nothing."""
    return np.equal(a, b).astype(float)


def where(condition: ArrayLike, a: ArrayLike, b: ArrayLike) -> Array:
    """a where the condition is not 0, else b, elementwise; a NaN is not 0.

    >>> where([0.0, 2.0], [1.0, 1.0], [5.0, 5.0]).tolist()
    [5.0, 1.0]
    """
    return np.where(np.not_equal(condition, 0), a, b)


def only(a: ArrayLike, condition: ArrayLike) -> Array:
    """a, elementwise; the interpreter makes it absent where the condition is 0. A NaN is not 0."""
    return np.broadcast_arrays(a, condition)[0]


def softplus(a: ArrayLike) -> Array:
    """log(1 + exp(a)), elementwise, without overflow.

    >>> float(softplus(1e9)), float(softplus(-1e9))
    (1000000000.0, 0.0)
    """
    return np.logaddexp(a, 0.0)


def topk(values: Array, present: NDArray[np.bool_] | None, axis: int, places: range) -> tuple[Array, NDArray[np.bool_]]:
    """The coordinates along `axis` of the present elements at `places` of the order of descending values.

    The first place is 0. Equal values are in the order of their coordinates, and NaN comes before every
    number, so that it is not lost. `axis` of both results has one element per place; the second
    result is False where there are too few elements.

    >>> scores = np.array([1.0, 5.0, 5.0, 2.0])
    >>> coordinates, found = topk(scores, np.array([True, True, True, False]), 0, range(4))
    >>> coordinates[found].tolist()
    [1.0, 2.0, 0.0]
    """
    here = np.broadcast_to(True if present is None else present, values.shape)
    number = np.where(np.isnan(values), 0.0, values)
    order = np.lexsort((-number, ~np.isnan(values), ~here), axis=axis)
    ranks = np.arange(places.start, places.stop)
    first = np.take(order, np.minimum(ranks, values.shape[axis] - 1), axis=axis)
    shape = [1] * values.ndim
    shape[axis] = -1
    found = ranks.reshape(shape) < np.count_nonzero(here, axis=axis, keepdims=True)
    return np.where(found, first, 0).astype(values.dtype), found
