"""`fusemap.pareto`: the points of a store that no other one beats, read as a stream of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.notebook import table_html
from fusemap.validation.pareto_front import Running
from fusemap.validation.store_filter import parse_filter
from fusemap.validation.store_layout import Layout, layout_of
from fusemap.validation.store_rows import BLOCK, Block, Counts, Tally, blocks, rows_at
from fusemap.validation.store_units import Sense, shown, words_of

MOST_GROUPS = 1000
DEFAULT = ("latency_s", "energy_pj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A column that is to be small (`min`) or large (`max`)."""

    column: str
    sense: Sense

    @property
    def sign(self) -> float:
        """What makes the column one that is to be small."""
        return 1.0 if self.sense == "min" else -1.0

    def __str__(self) -> str:
        return f"{'least' if self.sense == 'min' else 'greatest'} {words_of(self.column)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The rows of a group that no row of it beats, best in the first objective first; of `candidates` rows."""

    group: tuple[tuple[str, Any], ...]
    candidates: int
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)

    @property
    def name(self) -> str:
        """The group in words; empty for all rows."""
        return ", ".join(v if isinstance(v, str) else f"{words_of(c)} {shown(c, v)}" for c, v in self.group)

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {"group": dict(self.group), "candidates": self.candidates, "points": [dict(row) for row in self.rows]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pareto:
    """Fronts of a store, one per group, and what became of the rows that are on none."""

    layout: Layout
    objectives: tuple[Objective, ...]
    where: tuple[str, ...]
    by: tuple[str, ...]
    counts: Counts
    fronts: tuple[Front, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The objectives' columns."""
        return tuple(objective.column for objective in self.objectives)

    @property
    def ties(self) -> int:
        """How many rows have the same values of all objectives as an earlier one of their front."""
        fronts = [{tuple(row[c] for c in self.columns) for row in front.rows} for front in self.fronts]
        return sum(len(f.rows) - len(different) for f, different in zip(self.fronts, fronts, strict=True))

    def _repr_html_(self) -> str:
        """What a notebook shows: the first rows of each front, with the axes that differ."""
        return "".join(self._table(front) for front in self.fronts)

    def _table(self, front: Front, most: int = 8) -> str:
        varied = [a for a in self.layout.axes if len({row[a] for row in front.rows}) > 1]
        columns = [*self.columns, *(a for a in varied if a not in self.columns)]
        caption = f"{front.name or self.layout.name}: {len(front.rows):,} of {front.candidates:,} rows"
        rows = [[shown(c, row[c]) for c in columns] for row in front.rows[:most]]
        return table_html(caption, [words_of(c) for c in columns], rows)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/pareto/1`."""
        return {
            "schema": "fusemap/pareto/1",
            "store": self.layout.path,
            "sweep": self.layout.name,
            "digest": self.layout.digest,
            "version": self.layout.version,
            "objectives": [{"column": o.column, "sense": o.sense} for o in self.objectives],
            "where": list(self.where),
            "by": list(self.by),
            "counts": self.counts.to_json(),
            "ties": self.ties,
            "fronts": [front.to_json() for front in self.fronts],
        }


def pareto(
    store: str | PathLike[str],
    *,
    minimize: Sequence[str] = (),
    maximize: Sequence[str] = (),
    where: str | Sequence[str] = (),
    by: Sequence[str] = (),
    block: int = BLOCK,
) -> Pareto:
    """The points of a sweep's store that no other one beats: as good in every objective and better in one.

    Objectives are columns of numbers, with or without their unit (`area`); without any, latency and energy. Points
    that are equal in all of them are all kept. `where` are conditions such as `pe >= 64 and cascade == softmax`; `by`
    are columns for whose values there is a front each. InputError: the file is no store, a column or name is not
    there. No more than some numbers of each row are held at once.
    """
    layout = layout_of(store)
    return fronts_of(layout, objectives_of(layout, minimize, maximize), where=where, by=by, block=block)


def fronts_of(
    layout: Layout,
    objectives: Sequence[Objective],
    *,
    where: str | Sequence[str] = (),
    by: Sequence[str] = (),
    block: int = BLOCK,
) -> Pareto:
    """As `pareto`, of objectives in any order."""
    groups = tuple(layout.column(name, what="--by") for name in by)
    texts = (where,) if isinstance(where, str) else tuple(where)
    tally = Tally(layout=layout, where=parse_filter(texts, layout))
    fronts = running_fronts(blocks(tally, [o.column for o in objectives], groups, size=block), objectives, groups)
    return Pareto(
        layout=layout,
        objectives=tuple(objectives),
        where=texts,
        by=groups,
        counts=tally.counts(),
        fronts=tuple(_front(layout, objectives, groups, key, fronts[key]) for key in sorted(fronts, key=_by_kind)),
    )


def objectives_of(layout: Layout, minimize: Sequence[str], maximize: Sequence[str] = ()) -> tuple[Objective, ...]:
    """Objectives from columns' names; InputError for one that is not there, has no numbers or is named twice."""
    given = minimize if minimize or maximize else DEFAULT
    found = [Objective(column=layout.numeric(name, what="--minimize"), sense="min") for name in given]
    found += [Objective(column=layout.numeric(name, what="--maximize"), sense="max") for name in maximize]
    columns = [objective.column for objective in found]
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise input_error(f"{twice} is an objective twice")
    return tuple(found)


def running_fronts(
    rows: Iterable[Block], objectives: Sequence[Objective], groups: Sequence[str]
) -> dict[tuple[Any, ...], Running]:
    """The front of each group of the rows of some blocks."""
    signs = np.array([o.sign for o in objectives])
    found: dict[tuple[Any, ...], Running] = {}
    for block in rows:
        values = block.matrix([o.column for o in objectives]) * signs
        for key, places in _grouped(block, groups):
            if key not in found and len(found) == MOST_GROUPS:
                raise input_error(f"--by {', '.join(groups)}: more than {MOST_GROUPS:,} groups")
            running = found.setdefault(key, Running(objectives=len(objectives)))
            running.add(values[places], block.points[places])
    return found


def _grouped(block: Block, groups: Sequence[str]) -> list[tuple[tuple[Any, ...], Any]]:
    """The groups of a block and the places of their rows."""
    if not groups or not len(block.points):
        return [((), np.arange(len(block.points)))] if len(block.points) else []
    codes: dict[tuple[Any, ...], int] = {}
    keys = zip(*(block.texts[group] for group in groups), strict=True)
    which = np.fromiter((codes.setdefault(key, len(codes)) for key in keys), dtype=np.int64, count=len(block.points))
    return [(key, np.flatnonzero(which == code)) for key, code in codes.items()]


def _by_kind(key: tuple[Any, ...]) -> list[tuple[bool, bool, Any]]:
    """An order of groups whose values are texts, numbers or missing."""
    return [(value is None, isinstance(value, str), value) for value in key]


def _front(
    layout: Layout, objectives: Sequence[Objective], groups: Sequence[str], key: tuple[Any, ...], running: Running
) -> Front:
    values, points = running.front()
    order = np.lexsort((points, *values.T[::-1]))
    names = [*layout.kinds]
    rows = [dict(zip(names, row, strict=True)) for row in rows_at(layout, points[order].tolist())]
    return Front(group=tuple(zip(groups, key, strict=True)), candidates=running.seen, rows=tuple(rows))
