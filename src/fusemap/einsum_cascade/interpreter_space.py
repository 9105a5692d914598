"""The points at which an Einsum is evaluated: ranges of its variables, coordinates, conditions.

Every array here has one axis per variable of the space, of length 1 where it does not depend on it.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.einsum_cascade.linear import value
from fusemap.einsum_cascade.types import Affine, Chain, FloorDiv, Lookup, RankExpr, ShapeName, VarName

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_RELATIONS: Mapping[str, Any] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """A box of points: axis i is `variables[i]`, which runs over `ranges[i]` (half open).

    `looked_up` has the coordinates that data decides, for the indices of one access.
    """

    variables: tuple[VarName, ...]
    ranges: tuple[tuple[int, int], ...]
    shapes: Mapping[ShapeName, int]
    looked_up: Mapping[Lookup, Integers] = field(default_factory=dict)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of coordinates along each axis."""
        return tuple(stop - start for start, stop in self.ranges)

    def axis(self, var: VarName) -> int:
        """The axis of `var`."""
        return self.variables.index(var)

    def range(self, var: VarName) -> tuple[int, int]:
        """The half-open range of `var`."""
        return self.ranges[self.axis(var)]

    def narrowed(self, axis: int, start: int, stop: int) -> Space:
        """The part of the box with axis `axis` over [start, stop)."""
        return replace(self, ranges=(*self.ranges[:axis], (start, stop), *self.ranges[axis + 1 :]))

    def halves(self, axis: int) -> tuple[Space, Space]:
        """The box in two parts along an axis."""
        start, stop = self.ranges[axis]
        middle = (start + stop) // 2
        return self.narrowed(axis, start, middle), self.narrowed(axis, middle, stop)

    def place(self, point: Sequence[int]) -> str:
        """A point, given by its offsets along the axes, in words."""
        starts = zip(self.variables, self.ranges, point, strict=True)
        return ", ".join(f"{v}={start + i}" for v, (start, _), i in starts) or "its only point"

    def coordinates(self, var: VarName) -> Integers:
        """The coordinates of `var` along its axis."""
        lengths = [1] * len(self.variables)
        lengths[self.axis(var)] = -1
        return np.arange(*self.range(var), dtype=np.int64).reshape(lengths)


def rank_values(expr: RankExpr, space: Space) -> Integers:
    """The value of a rank expression at every point."""
    if isinstance(expr, Lookup):
        return space.looked_up[expr]
    if isinstance(expr, Affine):
        coefficients, offset = value(expr, space.shapes)
        total = np.full((1,) * len(space.variables), offset, dtype=np.int64)
        for var, factor in coefficients.items():
            total = total + factor * space.coordinates(var)
        return total
    divisor = space.shapes[expr.shape]
    coordinates = space.coordinates(expr.var)
    return coordinates // divisor if isinstance(expr, FloorDiv) else coordinates % divisor


def chain_holds(chain: Chain, space: Space) -> Booleans:
    """Where a chained comparison holds."""
    values = [rank_values(operand, space) for operand in chain.operands]
    holds = np.ones((1,) * len(space.variables), dtype=bool)
    for left, relation, right in zip(values, chain.relations, values[1:], strict=False):
        holds = holds & _RELATIONS[relation](left, right)
    return holds


def all_hold(chains: tuple[Chain, ...], space: Space) -> Booleans | None:
    """Where every chain holds; None stands for everywhere."""
    if not chains:
        return None
    holds = chain_holds(chains[0], space)
    for chain in chains[1:]:
        holds = holds & chain_holds(chain, space)
    return None if holds.all() else holds
