"""Tensors while a cascade runs: values, which elements were written, and which of those are present."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.einsum_cascade.interpreter_space import Booleans, Integers, Space, rank_values
from fusemap.einsum_cascade.linear import value as linear_value
from fusemap.einsum_cascade.types import Access, Affine, VarName

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An expression at every point of a space; `present` None stands for present everywhere."""

    values: Floats
    present: Booleans | None = None

    def filled(self, fill: float) -> Floats:
        """The values, with `fill` where absent."""
        if self.present is None:
            return self.values
        return np.where(self.present, self.values, self.values.dtype.type(fill))


@dataclass(slots=True, kw_only=True)
class Cells:
    """The elements of one tensor; `written`, `present` None stand for all. Absent values are 0."""

    values: Floats
    written: Booleans | None
    present: Booleans | None

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Cells:
        """A tensor of which nothing is written yet."""
        nothing = np.zeros(shape, dtype=bool)
        return Cells(values=np.zeros(shape, dtype=dtype), written=nothing, present=nothing.copy())

    def settle(self) -> None:
        """Drop the masks that have become full, so that later reads are fast."""
        if self.written is not None and self.written.all():
            self.written = None
        if self.present is not None and self.present.all():
            self.present = None

    def read(self, access: Access, space: Space) -> tuple[Value, Booleans | None]:
        """The elements at every point, and where such an element exists and was written (None: everywhere)."""
        view = _view(access, space, self.values.shape)
        if view is not None:
            present = None if self.present is None else view.of(self.present)
            return Value(values=view.of(self.values), present=present), _gaps(self.written, view)
        indices, inside = _scattered(access, space, self.values.shape)
        clipped = tuple(np.clip(i, 0, n - 1) for i, n in zip(indices, self.values.shape, strict=True))
        found = inside if self.written is None else inside & self.written[clipped]
        present = None if self.present is None else self.present[clipped]
        return Value(values=self.values[clipped], present=present), None if found.all() else found

    def write(self, access: Access, value: Value, space: Space) -> None:
        """Write one element per point of `space`: the value where present, else absent.

        An element that an `init` wrote stays where the value is absent.
        """
        assert self.written is not None and self.present is not None, access.tensor
        view = _view(access, space, self.values.shape)
        if view is None:
            self._scatter(access, value, space, self.written, self.present)
            return
        view.of(self.written)[...] = True
        values, present = view.of(self.values), view.of(self.present)
        if value.present is None:
            values[...] = value.values
            present[...] = True
        else:
            np.copyto(values, value.values, where=value.present)
            present |= value.present

    def _scatter(self, access: Access, value: Value, space: Space, written: Booleans, present: Booleans) -> None:
        indices = tuple(rank_values(index.expr, space) for index in access.indices)
        shape = np.broadcast_shapes(value.values.shape, *(i.shape for i in indices))
        written[indices] = True
        if value.present is None:
            self.values[indices] = np.broadcast_to(value.values, shape)
            present[indices] = True
            return
        here = np.broadcast_to(value.present, shape)
        chosen = tuple(np.broadcast_to(i, shape)[here] for i in indices)
        self.values[chosen] = np.broadcast_to(value.values, shape)[here]
        present[chosen] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A slice of a tensor with its axes brought into the order of a space."""

    key: tuple[int | slice | EllipsisType, ...]
    order: tuple[int, ...]
    expand: tuple[slice | None, ...]

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """The view: basic indexing only, so that writing to it writes to the array."""
        view: NDArray[Any] = array[self.key].transpose(self.order)[(*self.expand, ...)]
        return view


def _view(access: Access, space: Space, shape: tuple[int, ...]) -> _View | None:
    """The access as a view: every index a constant or a variable of its own plus a constant, all within `shape`."""
    key: list[int | slice | EllipsisType] = []
    variables: list[VarName] = []
    for index, extent in zip(access.indices, shape, strict=True):
        if not isinstance(index.expr, Affine):
            return None
        coefficients, offset = linear_value(index.expr, space.shapes)
        if set(coefficients.values()) - {1} or len(coefficients) > 1 or set(coefficients) & set(variables):
            return None
        start, stop = space.range(next(iter(coefficients))) if coefficients else (0, 1)
        if offset + start < 0 or offset + stop > extent:
            return None
        key.append(slice(offset + start, offset + stop) if coefficients else offset)
        variables += coefficients
    order = tuple(variables.index(v) for v in space.variables if v in variables)
    expand = tuple(slice(None) if v in variables else None for v in space.variables)
    return _View(key=(*key, ...), order=order, expand=expand)


def _gaps(written: Booleans | None, view: _View) -> Booleans | None:
    found = None if written is None else view.of(written)
    return None if found is None or found.all() else found


def _scattered(access: Access, space: Space, shape: tuple[int, ...]) -> tuple[tuple[Integers, ...], Booleans]:
    """The coordinates of an access at every point, and where they lie within `shape`."""
    indices = tuple(rank_values(index.expr, space) for index in access.indices)
    inside = np.ones((1,) * len(space.variables), dtype=bool)
    for coordinates, extent in zip(indices, shape, strict=True):
        inside = inside & (coordinates >= 0) & (coordinates < extent)
    return indices, inside
