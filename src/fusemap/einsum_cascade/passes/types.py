"""The answers of the pass analysis: how often every fiber must be traversed, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.einsum_cascade.types import ShapeName, TensorName

Method: TypeAlias = Literal["static", "instance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCount:
    """A number of passes: `constant` plus, where an iterative rank repeats them, a multiple of its steps.

    >>> str(PassCount(constant=1, steps=1, shape=ShapeName("I"))), str(PassCount(constant=3))
    ('I + 1', '3')
    """

    constant: int
    steps: int = 0
    shape: ShapeName | None = None

    def __str__(self) -> str:
        if not self.steps or self.shape is None:
            return str(self.constant)
        product = self.shape if self.steps == 1 else f"{self.steps}*{self.shape}"
        sign = "+" if self.constant > 0 else "-"
        return f"{product} {sign} {abs(self.constant)}" if self.constant else str(product)

    def at(self, sizes: Mapping[ShapeName, int]) -> int | None:
        """The number itself under sizes; None where the size it depends on is not given."""
        if not self.steps or self.shape is None:
            return self.constant
        return self.constant + self.steps * sizes[self.shape] if self.shape in sizes else None

    def to_json(self) -> int | str:
        """An integer, or the formula where it depends on a size."""
        return self.constant if not self.steps else str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """Where a pass ends: no point of `before` in the next pass can run until all of the fiber was visited.

    `visited_by` are the Einsums of the pass that ends here. A barrier is `data` where the next pass reads
    coordinates that only data tell (a gather): any of the fiber may be asked for.
    """

    before: tuple[TensorName, ...]
    visited_by: tuple[TensorName, ...]
    kind: Literal["order", "data"] = "order"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankPasses:
    """How often the fibers of `tensor` along `rank` must be traversed, whatever the mapping.

    `passes` is proven (a lower bound for every mapping), `upper` is what a schedule achieves that keeps
    `lookahead` + 1 coordinates and values that are not indexed by the rank; None where no schedule of
    monotone sweeps was found. `direct` is the count if every derived tensor is stored. `assignment` tells
    the pass of every Einsum whose own touches cover the fiber. `when` lists relations between shapes that
    the count needs (else it is lower), `least` the smallest extent for which a static answer holds.
    """

    tensor: TensorName
    rank: ShapeName
    passes: PassCount
    upper: PassCount | None
    direct: PassCount
    assignment: tuple[tuple[TensorName, int], ...] = ()
    barriers: tuple[Barrier, ...] = ()
    lookahead: str = "0"
    method: Method = "static"
    when: tuple[str, ...] = ()
    note: str = ""

    @property
    def exact(self) -> bool:
        """Do the proven lower bound and the schedule agree?"""
        return self.upper == self.passes
