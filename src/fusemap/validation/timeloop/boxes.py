"""Boxes of coordinates, and what of a new box Timeloop takes a tile not to have yet.

The rule is that of its sets of points (NVlabs/timeloop, commit 4cf6d4c, src/workload/shape-models/operation-space.cpp):
what a tile held before is kept while the tile stands still or moves on by the same steps; when it moves by
another step, all of the new box is taken as new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

Box: TypeAlias = tuple[tuple[int, int], ...]  # half-open ranges, one per position


@dataclass(frozen=True, slots=True)
class New:
    """A box without the part `held` of it."""

    box: Box
    held: Box | None = None

    @property
    def words(self) -> int:
        """Points of the box that are not held.

        >>> New(((0, 4), (0, 2)), ((0, 3), (0, 2))).words
        2
        """
        return volume(self.box) - (0 if self.held is None else volume(self.held))


@dataclass(slots=True)
class Tile:
    """What a tile held last, and by what it had moved."""

    box: Box | None = None
    move: tuple[int, ...] | None = None

    def step(self, box: Box) -> New:
        """What of `box` is new; the tile holds `box` from now on.

        >>> tile = Tile()
        >>> [tile.step(((low, low + 4),)).words for low in (0, 1, 2, 0, 1)]
        [4, 1, 1, 4, 1]
        """
        last, self.box = self.box, box
        if last is None:
            return New(box)
        move = tuple(a - b for (a, _), (b, _) in zip(box, last, strict=True))
        if any(move) and self.move is not None and move != self.move:
            self.move = None
            return New(box)
        if any(move):
            self.move = move
        common = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(box, last, strict=True))
        return New(box, common) if all(low < high for low, high in common) else New(box)


def volume(box: Box) -> int:
    """The number of points in a box.

    >>> volume(((0, 2), (3, 6)))
    6
    """
    return math.prod(high - low for low, high in box)
