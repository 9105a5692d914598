"""Numbers of a store's rows, a block at a time, and what became of the rows that have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.store_filter import Filter
from fusemap.validation.store_layout import Layout, quoted
from fusemap.validation.store_units import words_of
from fusemap.validation.sweep_store import reading

BLOCK = 1 << 12  # rows that are read together: so few stay in the cache of the processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Rows of one status that lack a number that was asked for, and the reason that the first of them names."""

    status: str
    lacks: str
    rows: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.rows:,} rows have no {words_of(self.lacks)}: {self.status}"

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {"status": self.status, "lacks": self.lacks, "rows": self.rows, "first_reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Where the rows of a store went: `points` of the sweep, `rows` of them there, of which `used` have all numbers.

    rows = used + excluded by the filter + unknown to it (a number that it names is missing) + missing ones.
    """

    points: int
    rows: int
    used: int
    excluded: int
    unknown: int
    missing: tuple[Missing, ...]

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        plain = {name: getattr(self, name) for name in ("points", "rows", "used", "excluded", "unknown")}
        return {**plain, "missing": [m.to_json() for m in self.missing]}

    def sentences(self) -> list[str]:
        """What is not among the rows that were used, and why, with a reason for each kind."""
        return [*self._others(), *(f"{m}{f' ({m.reason})' if m.reason else ''}" for m in self.missing)]

    def note(self) -> str:
        """The same on one line, for a picture; empty where all rows were used."""
        return "; ".join([*self._others(), *map(str, self.missing)])

    def _others(self) -> list[str]:
        found = []
        if self.rows < self.points:
            found.append(f"{self.points - self.rows:,} of {self.points:,} points are not in the store")
        if self.excluded:
            found.append(f"{self.excluded:,} rows are left out by --where")
        if self.unknown:
            found.append(f"{self.unknown:,} rows lack a number that --where names")
        return found


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts that grow while rows are read; `counts` is what they come to."""

    layout: Layout
    where: Filter
    seen: int = 0
    used: int = 0
    rejected: int = 0
    unknown: int = 0
    lacking: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], int] = field(default_factory=dict)

    def counts(self) -> Counts:
        """The counts, with one reason for each kind of missing rows."""
        with reading(self.layout.path) as connection:
            rows = connection.execute("SELECT count(*) FROM results").fetchone()[0]
            reasons = {
                key: connection.execute("SELECT reason FROM results WHERE point = ?", (point,)).fetchone()[0] or ""
                for key, point in self.first.items()
            }
        missing = [
            Missing(status=status, lacks=lacks, rows=count, reason=reasons[status, lacks])
            for (status, lacks), count in sorted(self.lacking.items())
        ]
        return Counts(
            points=self.layout.points,
            rows=rows,
            used=self.used,
            excluded=rows - self.seen + self.rejected,
            unknown=self.unknown,
            missing=tuple(missing),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some rows: their points, the columns of numbers that were asked for, all finite, and the texts beside them."""

    points: NDArray[np.int64]
    numbers: Mapping[str, NDArray[Any]]
    texts: Mapping[str, Sequence[Any]]

    def matrix(self, columns: Sequence[str]) -> NDArray[np.float64]:
        """Some columns side by side, a row per point."""
        return np.stack([self.numbers[c].astype(np.float64) for c in columns], axis=1)


def blocks(tally: Tally, numbers: Sequence[str], texts: Sequence[str] = (), *, size: int = BLOCK) -> Iterator[Block]:
    """The rows that the filter leaves and that have all of `numbers`, by growing point; the others are counted.

    Of a row no more is read than these columns. `texts` may also be columns of numbers, which stay as they are.
    """
    kinds = tally.layout.kinds
    needed = list(dict.fromkeys((*numbers, *tally.where.names())))
    clause, parameters = tally.where.sql()
    names = ["point", "status", *needed, *texts]
    query = f"SELECT {', '.join(map(quoted, names))} FROM results{clause} ORDER BY point"
    with reading(tally.layout.path) as connection:
        cursor = connection.execute(query, parameters)
        while rows := cursor.fetchmany(size):
            columns = list(zip(*rows, strict=True))
            found = {name: _array(columns[2 + i], kinds[name]) for i, name in enumerate(needed)}
            beside = {name: columns[2 + len(needed) + i] for i, name in enumerate(texts)}
            yield _chosen(tally, np.array(columns[0], dtype=np.int64), columns[1], found, beside, numbers)


def _array(column: Sequence[Any], kind: str) -> NDArray[Any]:
    """A column of numbers; what is missing is not a number."""
    if kind == "INTEGER" and None not in column:
        return np.array(column, dtype=np.int64)
    return np.array(column, dtype=np.float64)


def _chosen(
    tally: Tally,
    points: NDArray[np.int64],
    statuses: Sequence[str],
    columns: Mapping[str, NDArray[Any]],
    beside: Mapping[str, Sequence[Any]],
    numbers: Sequence[str],
) -> Block:
    """The rows of a block that are used; the tally counts all of them."""
    known = np.ones(len(points), dtype=bool)
    for name in tally.where.names():
        known &= np.isfinite(columns[name])
    there = np.flatnonzero(known)
    asked = there[tally.where.holds({name: column[there] for name, column in columns.items()}, len(there))]
    whole = np.ones(len(asked), dtype=bool)
    for name in numbers:
        lacks = whole & ~np.isfinite(columns[name][asked])
        for place in asked[lacks].tolist():
            key = (statuses[place], name)
            tally.lacking[key] += 1
            tally.first.setdefault(key, int(points[place]))
        whole &= ~lacks
    used = asked[whole]
    tally.seen += len(points)
    tally.unknown += len(points) - len(there)
    tally.rejected += len(there) - len(asked)
    tally.used += len(used)
    return Block(
        points=points[used],
        numbers={name: columns[name][used] for name in numbers},
        texts={name: _picked(column, used) for name, column in beside.items()},
    )


def _picked(column: Sequence[Any], places: NDArray[Any]) -> Sequence[Any]:
    return column if len(places) == len(column) else [column[i] for i in places.tolist()]


def rows_at(layout: Layout, points: Sequence[int], *, size: int = 500) -> Iterator[tuple[Any, ...]]:
    """The whole rows of some points, in their order."""
    with reading(layout.path) as connection:
        for start in range(0, len(points), size):
            part = points[start : start + size]
            marks = ", ".join("?" * len(part))
            found = {row[0]: row for row in connection.execute(f"SELECT * FROM results WHERE point IN ({marks})", part)}
            yield from (found[point] for point in part)
