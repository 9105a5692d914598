"""The value of an Einsum's expression over a space, and its reduction.

Union and intersection as in EDGE (arXiv 2404.11591): `add max min` and reductions skip an absent
operand, every other operator is absent where an operand is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.interpreter_cells import Cells, Floats, Value
from fusemap.einsum_cascade.interpreter_contract import any_along
from fusemap.einsum_cascade.interpreter_lookups import both, coordinates, located
from fusemap.einsum_cascade.interpreter_space import Booleans, Integers, Space, rank_values
from fusemap.einsum_cascade.operators import Operator, Operators
from fusemap.einsum_cascade.types import (
    Access,
    Apply,
    Cascade,
    Expr,
    Lookup,
    Number,
    SizeOf,
    TensorName,
    ValueOf,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A cascade in execution: its tensors, operators and number format."""

    cascade: Cascade
    cells: Mapping[TensorName, Cells]
    operators: Operators
    dtype: np.dtype[Any]


class UnwrittenError(InputError):
    """An element was read before it was written."""


def evaluate(machine: Machine, expr: Expr, space: Space, cut: Booleans | None) -> Value:
    """The value of `expr` at every point of `space`; `cut` tells the points that count (None: all).

    Raises UnwrittenError where a point that counts reads an element that does not exist or was not written.
    """
    if isinstance(expr, Access):
        return _read(machine, expr, space, cut)
    if isinstance(expr, Apply):
        args = [evaluate(machine, arg, space, cut) for arg in expr.args]
        return apply(machine.operators.map(expr.operator), args, machine.dtype)
    return Value(values=_constant(expr, space, machine.dtype))


def _read(machine: Machine, access: Access, space: Space, cut: Booleans | None) -> Value:
    """The elements of a tensor, absent where an index that is data is absent."""
    cells = machine.cells[access.tensor]
    known: dict[Lookup, Integers] = {}
    present: Booleans | None = None
    for rank, (index, extent) in enumerate(zip(access.indices, cells.values.shape, strict=True)):
        if isinstance(index.expr, Lookup):
            looked_up = evaluate(machine, index.expr.access, space, cut)
            target = (access, rank, extent)
            known[index.expr] = coordinates(machine.cascade, index.expr, looked_up, space, cut, target)
            present = both(present, looked_up.present)
    value, found = cells.read(access, replace(space, looked_up=known) if known else space)
    if found is not None:
        _check_found(machine.cascade, access, found, space, both(cut, present))
    return restrict(value, present)


def apply(operator: Operator, args: Sequence[Value], dtype: np.dtype[Any]) -> Value:
    """A map operator on values that may be absent."""
    function = operator.function()
    values = _as_floats(function(*(a.values for a in args)), dtype)
    masks = [a.present for a in args if a.present is not None]
    if operator.filters:
        masks.append(np.asarray(args[-1].values != 0))
    if not masks:
        return Value(values=values)
    if not operator.union:
        return Value(values=values, present=_conjunction(masks))
    left, right = args
    if left.present is not None:
        values = np.where(left.present, values, right.values)
    if right.present is not None:
        values = np.where(right.present, values, left.values)
    if left.present is None or right.present is None:
        return Value(values=values)
    return Value(values=values, present=left.present | right.present)


def reduce_value(operator: Operator, value: Value, axes: tuple[int, ...], dtype: np.dtype[Any]) -> Value:
    """Reduce `axes` to length 1, skipping absent elements; absent where none is present."""
    if value.present is None:
        return Value(values=_fold(operator, value.values, axes, dtype))
    identity = 0.0 if operator.identity is None else operator.identity
    values = _fold(operator, value.filled(identity), axes, dtype)
    present = any_along(np.broadcast_to(value.present, value.values.shape), axes)
    return Value(values=values, present=present)


def restrict(value: Value, cut: Booleans | None) -> Value:
    """The value, absent outside `cut`."""
    if cut is None:
        return value
    return Value(values=value.values, present=cut if value.present is None else value.present & cut)


def spread(value: Value, lengths: tuple[int, ...]) -> Value:
    """The value with every axis at its full length."""
    present = None if value.present is None else np.broadcast_to(value.present, lengths)
    return Value(values=np.broadcast_to(value.values, lengths), present=present)


def joined(left: Value, right: Value, axis: int) -> Value:
    """Two values that are neighbours along an axis."""
    values = np.concatenate([left.values, right.values], axis=axis)
    if left.present is None and right.present is None:
        return Value(values=values)
    masks = [np.ones(v.values.shape, dtype=bool) if v.present is None else v.present for v in (left, right)]
    return Value(values=values, present=np.concatenate(masks, axis=axis))


def _fold(operator: Operator, values: Floats, axes: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    function = operator.function()
    if function in (np.add, np.maximum, np.minimum, np.multiply):
        return _as_floats(np.ufunc.reduce(function, values, axis=axes, keepdims=True), dtype)
    for axis in axes:
        values = _fold_axis(function, values, axis, dtype)
    return values


def _fold_axis(function: Callable[..., Any], values: Floats, axis: int, dtype: np.dtype[Any]) -> Floats:
    """Fold one axis by halves: about log2(n) calls of a function that is no NumPy ufunc."""
    while (length := values.shape[axis]) > 1:
        half = length // 2
        left, right, rest = np.split(values, [half, 2 * half], axis=axis)
        values = np.concatenate([_as_floats(function(left, right), dtype), rest], axis=axis)
    return values


def _constant(expr: Number | SizeOf | ValueOf, space: Space, dtype: np.dtype[Any]) -> Floats:
    if isinstance(expr, ValueOf):
        return rank_values(expr.expr, space).astype(dtype)
    number = float(expr.text) if isinstance(expr, Number) else space.shapes[expr.shape]
    return np.full((1,) * len(space.variables), number, dtype=dtype)


def _as_floats(values: Any, dtype: np.dtype[Any]) -> Floats:
    return np.asarray(values, dtype=dtype)


def _conjunction(masks: Sequence[Booleans]) -> Booleans:
    both = masks[0]
    for mask in masks[1:]:
        both = both & mask
    return both


def _check_found(cascade: Cascade, access: Access, found: Booleans, space: Space, cut: Booleans | None) -> None:
    missing = ~found if cut is None else ~found & cut
    if not missing.any():
        return
    point = [int(i) for i in np.argwhere(missing)[0]]
    message = f"reads {access.tensor} before anything has written it, at {space.place(point)}"
    hint = "an init, a filter, or a forward step of the iterative rank is missing"
    raise UnwrittenError(located(cascade, access.span, message, hint).diagnostics)
