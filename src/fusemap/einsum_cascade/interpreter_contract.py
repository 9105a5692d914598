"""Sums of products as matrix products: the fast path of the interpreter."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from fusemap.einsum_cascade.interpreter_cells import Floats, Value
from fusemap.einsum_cascade.interpreter_space import Booleans
from fusemap.einsum_cascade.types import Apply, Expr


def factors(expr: Expr) -> tuple[Expr, ...]:
    """The operands of the products at the top of an expression: a*b*c gives a, b, c."""
    if isinstance(expr, Apply) and expr.operator == "mul":
        return tuple(f for arg in expr.args for f in factors(arg))
    return (expr,)


def contract(values: Sequence[Value], axes: tuple[int, ...]) -> Value | None:
    """The sum over `axes` of the product of `values`, an absent factor contributing nothing.

    The summed axes stay with length 1. None where zeros in place of absent elements would spoil the
    sum (0 * inf), or where a summed axis occurs in no factor (it would have to be counted).
    """
    covered = {axis for value in values for axis, length in enumerate(value.values.shape) if length > 1}
    masks = [value.present for value in values if value.present is not None]
    arrays = [value.filled(0.0) for value in values]
    if not covered.issuperset(axes) or (masks and not all(np.isfinite(a).all() for a in arrays)):
        return None
    total = _product_sum(arrays, axes)
    return Value(values=total, present=_any_point(masks, axes) if masks else None)


def _any_point(masks: Sequence[Booleans], axes: tuple[int, ...]) -> Booleans:
    """Where some point of the summed axes has every factor: a product of 0/1 counts, exact below 2**53."""
    reduced = [any_along(m, _alone(masks, k, axes)) for k, m in enumerate(masks)]
    if len(reduced) == 1:
        return reduced[0]
    left = tuple(a for a in axes if any(m.shape[a] > 1 for m in reduced))
    counts = _product_sum([m.astype(np.float64) for m in reduced], left)
    return np.asarray(counts > 0)


def any_along(mask: Booleans, axes: tuple[int, ...]) -> Booleans:
    """Is any element true, along `axes`, which stay with length 1?"""
    return np.asarray(mask.any(axis=axes, keepdims=True))


def _product_sum(arrays: Sequence[Floats], axes: tuple[int, ...]) -> Floats:
    """Sum over `axes` (kept with length 1) of the product of arrays that broadcast together."""
    summed = [np.asarray(np.sum(a, axis=_alone(arrays, k, axes), keepdims=True)) for k, a in enumerate(arrays)]
    left = tuple(a for a in axes if any(array.shape[a] > 1 for array in summed))
    if len(summed) == 2:
        return _matmul(summed[0], summed[1], left)
    return _einsum(summed, left)


def _alone(arrays: Sequence[Floats | Booleans], k: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The summed axes along which only array k varies: they can be summed before the product."""
    others = [a for i, a in enumerate(arrays) if i != k]
    return tuple(axis for axis in axes if arrays[k].shape[axis] > 1 and all(o.shape[axis] == 1 for o in others))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    """The axes of a product of two arrays, by the part they play in a batched matrix product."""

    batch: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    summed: tuple[int, ...]


def _matmul(left: Floats, right: Floats, axes: tuple[int, ...]) -> Floats:
    def those(in_left: bool, in_right: bool) -> tuple[int, ...]:
        pairs = enumerate(zip(left.shape, right.shape, strict=True))
        return tuple(i for i, (a, b) in pairs if i not in axes and (a > 1, b > 1) == (in_left, in_right))

    roles = _Roles(batch=those(True, True), left=those(True, False), right=those(False, True), summed=axes)
    product: Floats = np.matmul(
        _as_matrices(left, roles.batch, roles.left, roles.summed),
        _as_matrices(right, roles.batch, roles.summed, roles.right),
    )
    lengths = [max(a, b) for a, b in zip(left.shape, right.shape, strict=True)]
    order = (*roles.batch, *roles.left, *roles.right)
    kept = product.reshape([lengths[i] for i in order])
    back = kept.transpose([order.index(i) for i in sorted(order)])
    return back.reshape([lengths[i] if i in order else 1 for i in range(left.ndim)])


def _as_matrices(array: Floats, batch: tuple[int, ...], rows: tuple[int, ...], columns: tuple[int, ...]) -> Floats:
    others = tuple(i for i in range(array.ndim) if i not in (*batch, *rows, *columns))
    ordered = array.transpose((*batch, *rows, *columns, *others))
    shape = [prod(array.shape[i] for i in axes) for axes in (batch, rows, columns)]
    return ordered.reshape(shape)


def _einsum(arrays: Sequence[Floats], axes: tuple[int, ...]) -> Floats:
    ndim = arrays[0].ndim
    letters = string.ascii_letters[:ndim]
    terms = ["".join(c for c, n in zip(letters, a.shape, strict=True) if n > 1) for a in arrays]
    kept = [i for i in range(ndim) if i not in axes and any(a.shape[i] > 1 for a in arrays)]
    squeezed = [a.reshape([n for n in a.shape if n > 1]) for a in arrays]
    total = np.einsum(",".join(terms) + "->" + "".join(letters[i] for i in kept), *squeezed, optimize="greedy")
    lengths = [max(a.shape[i] for a in arrays) if i in kept else 1 for i in range(ndim)]
    return np.asarray(total).reshape(lengths)
