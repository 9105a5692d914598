"""Sensitivities: what a result becomes when one parameter goes from its lowest to its highest value.

All numbers are rows of the store: those that equal the base point in every other parameter. Nothing is interpolated,
and a parameter whose other values are not in the store has no bar.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fusemap.diagnostics import input_error
from fusemap.validation.store_filter import Filter, parse_filter
from fusemap.validation.store_layout import Layout, layout_of, quoted
from fusemap.validation.store_rows import Block, Tally, blocks
from fusemap.validation.store_units import shown, words_of
from fusemap.validation.sweep_store import reading

BASES = ("middle", "best")
MOST_LOST = 6  # values that are named, of those without a result


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Parameter `axis`: (value, result) at its lowest and highest value, and all others in between, in order.

    `without` are values whose row has no result, with what became of it.
    """

    axis: str
    base: Any
    points: tuple[tuple[Any, float], ...]
    without: tuple[tuple[Any, str], ...] = ()

    @property
    def results(self) -> tuple[float, float]:
        """The least and the greatest result."""
        found = [result for _, result in self.points]
        return min(found), max(found)

    @property
    def swing(self) -> float:
        """The greatest result over the least, as a logarithm where that is possible."""
        least, most = self.results
        return math.log(most / least) if least > 0 else most - least

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        points = [{"value": value, "result": result} for value, result in self.points]
        without = [{"value": value, "status": status} for value, status in self.without]
        return {"parameter": self.axis, "base": self.base, "points": points, "without": without}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tornado:
    """The bars about a base point, the longest first; `still` are parameters that change nothing or have one value."""

    result: str
    point: int
    base: float
    at: Mapping[str, Any]
    chosen: str
    bars: tuple[Bar, ...]
    unmoved: tuple[str, ...]
    fixed: tuple[str, ...]
    layout: Layout = field(repr=False)

    def title(self) -> str:
        """What is shown."""
        return f"{words_of(self.result)} when one parameter goes from low to high, the others as at the base"

    def notes(self) -> list[str]:
        """The base point, parameters without a bar, and where the numbers are from."""
        moved = [*(bar.axis for bar in self.bars), *self.unmoved]
        base = ", ".join(f"{words_of(axis)} {shown(axis, self.at[axis])}" for axis in moved)
        lines = [f"base: point {self.point} ({self.chosen}), {shown(self.result, self.base)} at {base}"]
        if self.unmoved:
            lines.append(f"no effect there: {', '.join(words_of(axis) for axis in self.unmoved)}")
        if self.fixed:
            lines.append(f"no other value there: {', '.join(words_of(axis) for axis in self.fixed)}")
        for bar in self.bars:
            for status in dict.fromkeys(status for _, status in bar.without):
                lost = list(dict.fromkeys(shown(bar.axis, value) for value, why in bar.without if why == status))
                rest = f" and {len(lost) - MOST_LOST} more" if len(lost) > MOST_LOST else ""
                lines.append(f"{status}: {words_of(bar.axis)} {', '.join(lost[:MOST_LOST])}{rest}")
        return [*lines, "points of the store alone, nothing interpolated"]

    def shown(self) -> Iterator[object]:
        """What the picture shows, for its fingerprint."""
        yield from (self.title(), *self.notes())
        for bar in self.bars:
            yield from (bar.axis, *(v for point in bar.points for v in point))

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        base = {"point": self.point, "chosen": self.chosen, "result": self.base, "parameters": dict(self.at)}
        about = {"store": self.layout.path, "result": self.result, "base": base}
        return {
            **about,
            "bars": [bar.to_json() for bar in self.bars],
            "no_effect": list(self.unmoved),
            "one_value": list(self.fixed),
        }


def tornado(store: str, *, y: str, base: str = "middle", where: Sequence[str] = ()) -> Tornado:
    """How result `y` of a store changes about a base point: a point's number, `best`, or `middle`.

    `middle` is the row with a result whose numbers are closest to the middle of their values. InputError for a
    column or point that is not there, or where no row has a result.
    """
    layout = layout_of(store)
    result = layout.numeric(y, what="--y")
    condition = parse_filter(where, layout)
    values = _values(layout)
    point = _base(layout, condition, result, values, base)
    with reading(layout.path) as connection:
        row = connection.execute("SELECT * FROM results WHERE point = ?", (point,)).fetchone()
    at = dict(zip(layout.kinds, row, strict=True)) if row else {}
    if at.get(result) is None:
        what = f"{at['status']}, it has no {result}" if at else "it is not in the store"
        raise input_error(f"--base {point}: {what}", hint="--base best, or a point that `fusemap pareto` lists")
    chosen = base if base in BASES else "as asked"
    bars = _bars(layout, condition, result, at)
    moved = [bar for bar in bars if len({r for _, r in bar.points}) > 1]
    several = {bar.axis for bar in bars if len(bar.points) > 1}
    return Tornado(
        result=result,
        point=point,
        base=at[result],
        at={axis: at[axis] for axis in layout.axes},
        chosen=chosen,
        bars=tuple(sorted(moved, key=lambda bar: (-bar.swing, bar.axis))),
        unmoved=tuple(bar.axis for bar in bars if bar not in moved and bar.axis in several),
        fixed=tuple(a for a in layout.axes if len(values[a]) > 1 and a not in several),
        layout=layout,
    )


def _values(layout: Layout) -> dict[str, list[Any]]:
    """The values of every axis, in order."""
    with reading(layout.path) as connection:
        return {
            axis: [row[0] for row in connection.execute(f"SELECT DISTINCT {quoted(axis)} FROM results ORDER BY 1")]
            for axis in layout.axes
        }


def _base(layout: Layout, where: Filter, result: str, values: Mapping[str, list[Any]], base: str) -> int:
    """The number of the base point."""
    if base.isdigit():
        return int(base)
    if base not in BASES:
        raise input_error(f"--base {base}: expected a point's number, middle or best")
    from fusemap.validation.store_units import better

    numeric = [a for a in layout.axes if layout.kinds[a] != "TEXT" and len(values[a]) > 1]
    tally = Tally(layout=layout, where=where)
    least: tuple[float, int] | None = None
    for block in blocks(tally, (result, *numeric)):
        if not len(block.points):
            continue
        sign = 1 if better(result) == "min" else -1
        cost = block.numbers[result] * sign if base == "best" else _from_middle(block, numeric, values)
        place = int(np.argmin(cost))
        if least is None or cost[place] < least[0]:
            least = (float(cost[place]), int(block.points[place]))
    if least is None:
        raise input_error(f"nothing to draw: no row has a value of {result}", hint=tally.counts().note())
    return least[1]


def _from_middle(block: Block, numeric: Sequence[str], values: Mapping[str, list[Any]]) -> Any:
    """How far the places of a row's numbers among all values are from the middle ones, added up."""
    total = np.zeros(len(block.points))
    for axis in numeric:
        places = np.searchsorted(np.array(values[axis]), block.numbers[axis])
        total += abs(places - (len(values[axis]) - 1) // 2) / len(values[axis])
    return total


def _bars(layout: Layout, where: Filter, result: str, at: Mapping[str, Any]) -> list[Bar]:
    """For every axis the rows that differ from the base in it alone."""
    found: dict[str, list[tuple[Any, float]]] = {axis: [(at[axis], at[result])] for axis in layout.axes}
    without: dict[str, list[tuple[Any, str]]] = {axis: [] for axis in layout.axes}
    asked = tuple(dict.fromkeys((*layout.axes, result, "status")))
    for block in blocks(Tally(layout=layout, where=where), (), asked):
        differs = np.stack([_differs(block.texts[axis], at[axis]) for axis in layout.axes])
        for place in np.flatnonzero(differs.sum(axis=0) == 1).tolist():
            axis = layout.axes[int(np.flatnonzero(differs[:, place])[0])]
            value, number = block.texts[axis][place], block.texts[result][place]
            if number is None:
                without[axis].append((value, block.texts["status"][place]))
            else:
                found[axis].append((value, number))
    return [
        Bar(axis=axis, base=at[axis], points=tuple(sorted(found[axis])), without=tuple(sorted(without[axis])))
        for axis in layout.axes
        if len(found[axis]) > 1 or without[axis]
    ]


def _differs(column: Sequence[Any], value: Any) -> Any:
    return np.fromiter((other != value for other in column), dtype=bool, count=len(column))
