"""Which points no other point beats: exact, by sorting, in any number of objectives.

A point beats another one when it is at most as large in every objective and smaller in one. Points that are equal in
all objectives do not beat each other, so that ties are all kept. In two and three objectives the work is that of a
sort; in more it grows with points times front.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Values: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
Index: TypeAlias = NDArray[np.int64]

_PIVOTS, _SAMPLE = 16, 512
_CHUNK, _SLICE = 1024, 256
_LEAST_PENDING = 1 << 16


def non_dominated(values: Values) -> Mask:
    """Which rows no other row beats; every column is to be small, and all values are finite.

    >>> non_dominated(np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0], [1.0, 3.0]])).tolist()
    [True, True, False, True]
    """
    if not np.isfinite(values).all():
        raise ValueError("a point without a finite value of every objective is on no front")
    if not len(values):
        return np.zeros(0, dtype=bool)
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    first = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    kept = _of_distinct(ordered[first])
    mask = np.empty(len(values), dtype=bool)
    mask[order] = kept[np.cumsum(first) - 1]
    return mask


def _of_distinct(rows: Values) -> Mask:
    """Which of distinct rows in lexicographic order no other one beats: only an earlier row can."""
    if rows.shape[1] == 1:
        return np.asarray(np.arange(len(rows)) == 0)
    if rows.shape[1] == 2:
        least_before = np.concatenate([[np.inf], np.minimum.accumulate(rows[:-1, 1])])
        return np.asarray(rows[:, 1] < least_before)
    left = _not_beaten_by_pivots(rows)
    kept = np.zeros(len(rows), dtype=bool)
    some = rows[left]
    kept[left] = _staircase(some) if rows.shape[1] == 3 else _in_chunks(some)
    return kept


def _not_beaten_by_pivots(rows: Values) -> Index:
    """The places of rows that a few good ones do not beat: most of a large set goes here, in a few passes."""
    if len(rows) <= _SAMPLE:
        return np.arange(len(rows))
    low, high = rows.min(axis=0), rows.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    total = ((rows - low) / span).sum(axis=1)
    sample = np.concatenate([np.arange(0, len(rows), len(rows) // _SAMPLE), np.argpartition(total, _PIVOTS)[:_PIVOTS]])
    volume = np.prod((high - rows[sample]) / span, axis=1)
    left = np.arange(len(rows))
    for pivot in rows[sample[np.argsort(-volume, kind="stable")[:_PIVOTS]]]:
        beaten = (rows[left] >= pivot).all(axis=1) & (rows[left] > pivot).any(axis=1)
        left = left[~beaten]
    return left


def _staircase(rows: Values) -> Mask:
    """Three objectives: rows come with growing x; of the rows so far the least z at every y is kept as stairs."""
    kept = np.zeros(len(rows), dtype=bool)
    ys: list[float] = []
    zs: list[float] = []
    for i, (y, z) in enumerate(zip(rows[:, 1].tolist(), rows[:, 2].tolist(), strict=True)):
        place = bisect_right(ys, y)
        if place and zs[place - 1] <= z:
            continue  # an earlier row has no larger x and y either, and differs
        kept[i] = True
        start = place - 1 if place and ys[place - 1] == y else place
        end = place
        while end < len(zs) and zs[end] >= z:
            end += 1
        ys[start:end], zs[start:end] = [y], [z]
    return kept


def _in_chunks(rows: Values) -> Mask:
    """Any number of objectives: by growing sum, so that whoever beats a row comes before it."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    total = ((rows - low) / np.where(high > low, high - low, 1.0)).sum(axis=1)
    order = np.argsort(total, kind="stable")  # of equal sums the lexicographically smaller first
    front = rows[:0]
    kept = np.zeros(len(rows), dtype=bool)
    for start in range(0, len(rows), _CHUNK):
        places = order[start : start + _CHUNK]
        for at in range(0, len(front), _SLICE):
            places = places[~_beaten(rows[places], front[at : at + _SLICE])]
        places = places[~_beaten(rows[places], rows[places])]
        kept[places] = True
        front = np.concatenate([front, rows[places]])
    return kept


def _beaten(rows: Values, by: Values) -> Mask:
    """Which rows some row of `by` beats."""
    at_most = np.ones((len(rows), len(by)), dtype=bool)
    less = np.zeros((len(rows), len(by)), dtype=bool)
    for column, other in zip(rows.T, by.T, strict=True):
        at_most &= other[None, :] <= column[:, None]
        less |= other[None, :] < column[:, None]
    return np.asarray((at_most & less).any(axis=1))


@dataclass(slots=True, kw_only=True)
class Running:
    """The front of points that come in blocks; it holds no more than three times the front, or one block."""

    objectives: int
    seen: int = 0
    _values: list[Values] = field(default_factory=list)
    _points: list[Index] = field(default_factory=list)
    _held: int = 0
    _limit: int = _LEAST_PENDING

    def add(self, values: Values, points: Index) -> None:
        """Take in some points, each with its number."""
        self.seen += len(points)
        self._values.append(values)
        self._points.append(points)
        self._held += len(points)
        if self._held > self._limit:
            found, _ = self.front()
            self._limit = max(_LEAST_PENDING, 3 * len(found))

    def front(self) -> tuple[Values, Index]:
        """The values and numbers of the points that no point so far beats, in the order in which they came."""
        values = np.concatenate([np.zeros((0, self.objectives)), *self._values])
        points = np.concatenate([np.zeros(0, dtype=np.int64), *self._points])
        mask = non_dominated(values)
        values, points = values[mask], points[mask]
        self._values, self._points, self._held = [values], [points], len(points)
        return values, points
