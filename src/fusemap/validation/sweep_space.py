"""The points of a sweep: all combinations of the axes' values that no condition excludes, never held at once.

A point is its number in the full grid, in which the last axis varies fastest; so it has one name for good, in
whatever order and by whomever it is evaluated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.archspec.batches import Index, collapsed, run
from fusemap.archspec.divergence import Texts
from fusemap.archspec.expressions import Expression
from fusemap.archspec.lanes import Lanes
from fusemap.validation.sweep_axes import Axis

BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`then` must not be 0, or its names must be those of the point, where `names` are those of the point."""

    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    then: Expression | tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class Space:
    """The axes of a sweep and the conditions between them."""

    axes: tuple[Axis, ...]
    conditions: tuple[Condition, ...] = field(default=())

    @cached_property
    def size(self) -> int:
        """How many combinations there are, before conditions."""
        return math.prod(len(axis.values) for axis in self.axes)

    def places(self, index: Index) -> dict[str, NDArray[np.int64]]:
        """For each axis the place of every point's value."""
        found = {}
        rest = index
        for axis in reversed(self.axes):
            rest, found[axis.column] = np.divmod(rest, len(axis.values))
        return found

    def column(self, axis: Axis, places: NDArray[np.int64]) -> NDArray[Any]:
        """The values of an axis at some places."""
        return _table(axis)[places]

    def point(self, number: int) -> dict[str, Any]:
        """The values of one point, by column."""
        places = self.places(np.array([number]))
        return {axis.column: axis.values[int(places[axis.column][0])] for axis in self.axes}

    def allowed(self, start: int, stop: int) -> Index:
        """The points from `start` to before `stop` that every condition allows, in order."""
        index = np.arange(start, stop, dtype=np.int64)
        for condition in self.conditions:
            index = index[self._holds(condition, index)] if len(index) else index
        return index

    def blocks(self, size: int = BLOCK) -> Iterator[Index]:
        """All allowed points in order, in blocks of at most `size`."""
        for start in range(0, self.size, size):
            if len(index := self.allowed(start, min(start + size, self.size))):
                yield index

    def count(self) -> int:
        """How many points there are, exactly; conditions are tried on every combination, a block at a time."""
        return sum(len(index) for index in self.blocks()) if self.conditions else self.size

    def _holds(self, condition: Condition, index: Index) -> NDArray[np.bool_]:
        places = self.places(index)
        excluded = np.ones(len(index), dtype=bool)
        for column, names in condition.names:
            excluded &= self._among(column, names, places)
        if not isinstance(condition.then, Expression):
            allowed = np.ones(len(index), dtype=bool)
            for column, names in condition.then:
                allowed &= self._among(column, names, places)
            return ~excluded | allowed
        concerned = np.flatnonzero(excluded)
        result = np.ones(len(index), dtype=bool)
        if len(concerned):
            result[concerned] = self._true(condition.then, {c: p[concerned] for c, p in places.items()})
        return result

    def _among(self, column: str, names: tuple[str, ...], places: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
        axis = next(axis for axis in self.axes if axis.column == column)
        return np.array([value in names for value in axis.values])[places[column]]

    def _true(self, expression: Expression, places: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Where an expression of the axes is not 0; InputError where it has no value."""
        texts = Texts()
        used = [axis for axis in self.axes if axis.numeric and axis.column in expression.names()]
        batch = {axis.column: collapsed(self.column(axis, places[axis.column]), texts) for axis in used}
        result = np.zeros(len(next(iter(places.values()))), dtype=bool)
        for group in run(expression.evaluate, batch, np.arange(len(result))):
            if group.refusal is not None:
                raise group.refusal
            value = group.result
            result[group.index] = value.values.astype(bool) if isinstance(value, Lanes) else bool(value)
        return result


def _table(axis: Axis) -> NDArray[Any]:
    if axis.numeric and all(abs(value) < 1 << 63 for value in axis.values):
        return np.array(axis.values)
    return np.array(axis.values, dtype=object)
