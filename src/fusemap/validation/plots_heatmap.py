"""A result over two parameters: in each cell the best (or the mean) over all other parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fusemap.diagnostics import input_error
from fusemap.validation.figures_draw import style
from fusemap.validation.plots_axes import Numbers, colour_bar, norm_of
from fusemap.validation.plots_page import COLOUR_MAP, COLUMN_IN, MISSING, Grid, page, rendered
from fusemap.validation.store_filter import parse_filter
from fusemap.validation.store_layout import Layout, layout_of
from fusemap.validation.store_rows import Counts, Tally, blocks
from fusemap.validation.store_units import Scale, axis_label, better, scale_of, words_of

Take: TypeAlias = Literal["least", "greatest", "mean"]
TAKES: tuple[Take, ...] = ("least", "greatest", "mean")
MOST_CELLS = 64  # on a side
Key: TypeAlias = tuple[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Column `z` over the values `xs` of `x` and `ys` of `y`, a row per y; not a number where no row has a value.

    `rows` counts the rows of each cell, those without a value too; `over` are the other parameters and how many
    values each has.
    """

    x: str
    y: str
    z: str
    xs: tuple[Any, ...]
    ys: tuple[Any, ...]
    values: Numbers = field(repr=False)
    rows: Numbers = field(repr=False)
    take: Take
    over: tuple[tuple[str, int], ...]
    counts: Counts
    layout: Layout

    def title(self) -> str:
        """What a cell shows."""
        others = ", ".join(f"{words_of(axis)} ({count})" for axis, count in self.over)
        taken = "" if not self.over else f"{self.take} "
        return f"{taken}{words_of(self.z)}" + (f" over all values of {others}" if others else "")

    def shown(self) -> Iterator[object]:
        """What the picture shows, for its fingerprint."""
        yield from (self.title(), self.counts.note(), *self.xs, *self.ys, *self.values.ravel().tolist())

    def to_json(self) -> dict[str, object]:
        """As a JSON object; a cell without a value is null."""
        cells = [
            {self.x: x, self.y: y, self.z: None if np.isnan(value) else float(value), "rows": int(count)}
            for y, line, counts in zip(self.ys, self.values, self.rows, strict=True)
            for x, value, count in zip(self.xs, line, counts, strict=True)
        ]
        about = {"store": self.layout.path, "x": self.x, "y": self.y, "z": self.z, "take": self.take}
        return {**about, "over": dict(self.over), "counts": self.counts.to_json(), "cells": cells}


def heat_map(store: str, *, x: str, y: str, z: str, where: Sequence[str] = (), take: Take | None = None) -> HeatMap:
    """The map of a store; `take` is by default the better way of `z`. InputError for columns that are not there."""
    layout = layout_of(store)
    across, up = layout.column(x, what="--x"), layout.column(y, what="--y")
    result = layout.numeric(z, what="--z")
    if across == up:
        raise input_error(f"--x and --y are both {across}")
    take = take or ("least" if better(result) == "min" else "greatest")
    where = tuple(where)
    cells, different = _rows(layout, where, across, up)
    tally = Tally(layout=layout, where=parse_filter(where, layout))
    found = _taken(tally, across, up, result, take)
    xs, ys = (_sides(cells, side, name) for side, name in enumerate((across, up)))
    values = np.array([[found.get((i, j), np.nan) for i in xs] for j in ys], dtype=np.float64)
    rows = np.array([[cells.get((i, j), 0) for i in xs] for j in ys], dtype=np.float64)
    if np.isnan(values).all():
        note = Tally.counts(tally).note()
        raise input_error(f"nothing to draw: no row has a value of {result}", hint=note)
    over = tuple((axis, n) for axis, n in different.items() if n > 1 and axis not in (across, up))
    return HeatMap(
        x=across, y=up, z=result, xs=xs, ys=ys, values=values, rows=rows, take=take, over=over,
        counts=tally.counts(), layout=layout,
    )  # fmt: skip


def _rows(layout: Layout, where: Sequence[str], x: str, y: str) -> tuple[Counter[Key], dict[str, int]]:
    """How many rows every cell has, and how many values every axis has."""
    cells: Counter[Key] = Counter()
    values: dict[str, set[Any]] = {axis: set() for axis in layout.axes}
    tally = Tally(layout=layout, where=parse_filter(where, layout))
    for block in blocks(tally, (), tuple(dict.fromkeys((x, y, *layout.axes)))):
        cells.update(zip(block.texts[x], block.texts[y], strict=True))
        for axis, found in values.items():
            found.update(block.texts[axis])
    return cells, {axis: len(found) for axis, found in values.items()}


def _taken(tally: Tally, x: str, y: str, z: str, take: Take) -> dict[Key, float]:
    """The value of every cell."""
    totals: dict[Key, float] = {}
    counts: Counter[Key] = Counter()
    pick: Any = {"least": min, "greatest": max, "mean": lambda a, b: a + b}[take]
    for block in blocks(tally, (z,), (x, y)):
        keys = zip(block.texts[x], block.texts[y], strict=True)
        for key, value in zip(keys, block.numbers[z].tolist(), strict=True):
            totals[key] = pick(totals[key], value) if key in totals else value
            counts[key] += 1
    return {key: total / counts[key] for key, total in totals.items()} if take == "mean" else totals


def _sides(cells: Counter[Key], side: int, name: str) -> tuple[Any, ...]:
    """The values of an axis of the map, in order."""
    found = {key[side] for key in cells if key[side] is not None}
    if len(found) > MOST_CELLS:
        message = f"{name} has {len(found):,} values: a heat map has at most {MOST_CELLS} a side"
        raise input_error(message, hint="--where leaves some out; `plot scatter` shows any number")
    return tuple(sorted(found))


# --- drawing --------------------------------------------------------------------------------------------


def render_heat_map(found: HeatMap, suffix: str, *, width: float = COLUMN_IN) -> bytes:
    """The map as the content of a `png`, `pdf` or `svg` file; equal rows give equal bytes."""
    return rendered(lambda: draw_heat_map(found, width), suffix, found.shown())


def draw_heat_map(found: HeatMap, width: float = COLUMN_IN) -> Figure:
    """The map with a colour bar; values are written into cells that are large enough."""
    with style():
        x, y = (scale_of(c, _finite(v)) for c, v in ((found.x, found.xs), (found.y, found.ys)))
        labels = [_label(x, value) for value in found.xs], [_label(y, value) for value in found.ys]
        left = min(0.34 + 0.065 * max(map(len, labels[1])), 0.45 * width)
        cell = (width - left - 0.84) / len(found.xs)
        named = 0.068 * max(len(axis_label(found.y, y)), len(words_of(found.z)) + 5)  # beside the map
        height = max(named, min(0.24 if width < 5 else 0.3, cell) * len(found.ys))
        turned = 0.07 * max(map(len, labels[0])) > 0.95 * cell * _every(len(found.xs), cell)
        bottom = 0.4 + (0.06 * max(map(len, labels[0])) if turned else 0)
        empty = np.isnan(found.values)
        grid = Grid(height=height, left=left, right=0.84, bottom=bottom, top=0.24 if empty.any() else 0.06)
        figure, (axes,) = page(width, found.title(), [found.counts.note()], grid)
        scale = scale_of(found.z, (np.nanmin(found.values), np.nanmax(found.values)))
        values = found.values * scale.factor
        colours = ScalarMappable(norm_of(values[~empty]), colormaps[COLOUR_MAP])
        _cells(axes, found, values, colours)
        _numbers(axes, values, colours, scale, min(cell, 9.0), height / len(found.ys))
        _sides_of(axes, found, labels, (x, y), cell, turned)
        colour_bar(figure, axes, axes, colours, found.z, scale)
        return figure


def _finite(values: Sequence[Any]) -> list[float]:
    return [float(v) for v in values if isinstance(v, int | float)] or [1.0]


def _label(scale: Scale, value: object) -> str:
    return scale.text(value) if isinstance(value, int | float) else str(value)


def _every(count: int, cell: float) -> int:
    """Of how many columns one is labelled."""
    return 1 if cell >= 0.17 else 2 if cell >= 0.09 else max(2, count // 8)


def _cells(axes: Axes, found: HeatMap, values: Numbers, colours: ScalarMappable) -> None:
    """A coloured cell per value; grey where nothing has one, hatched where no row is there."""
    colours_of = colours.to_rgba(np.nan_to_num(values, nan=1.0))
    colours_of[np.isnan(values)] = colormaps["Greys"](0.08)
    axes.imshow(colours_of, origin="lower", aspect="auto", interpolation="none")
    handles = []
    without = [tuple(p) for p in np.argwhere(np.isnan(values) & (found.rows > 0))]
    absent = [tuple(p) for p in np.argwhere(np.isnan(values) & (found.rows == 0))]
    for places, hatch, text in ((without, "", "no value"), (absent, "////", "not swept")):
        drawn: Any = {"facecolor": MISSING, "edgecolor": "#AAAAAA", "linewidth": 0, "hatch": hatch}
        for row, column in places:
            axes.add_patch(_square(column, row, drawn))
        handles += [Patch(label=text, **drawn | {"linewidth": 0.4})] if places else []
    if handles:
        axes.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.2, borderaxespad=0.1
        )
    axes.spines[:].set_visible(False)


def _square(column: float, row: float, drawn: dict[str, Any]) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.5, row - 0.5), 1, 1, **drawn)


def _numbers(axes: Axes, values: Numbers, colours: ScalarMappable, scale: Scale, width: float, height: float) -> None:
    """The values in the cells, black on light and white on dark ones, where they fit."""
    plain = Scale(factor=1.0, unit=scale.unit)
    texts = {(j, i): plain.tick(float(f"{v:.3g}")) for (j, i), v in np.ndenumerate(values) if not np.isnan(v)}
    if max(map(len, texts.values())) * 0.062 > width or height < 0.15:
        return
    for (row, column), text in texts.items():
        red, green, blue, _ = colours.to_rgba(values[row, column])
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        axes.text(column, row, text, ha="center", va="center", size=7.5, color="white" if dark else "black")


def _sides_of(
    axes: Axes,
    found: HeatMap,
    labels: tuple[list[str], list[str]],
    scales: tuple[Scale, Scale],
    cell: float,
    turned: bool,
) -> None:
    """The parameters' values as ticks, their names and units as labels."""
    every = _every(len(found.xs), cell)
    places = range(0, len(found.xs), every)
    axes.set_xticks(places, [labels[0][i] for i in places], rotation=90 if turned else 0)
    every = max(1, len(found.ys) // 16)
    places = range(0, len(found.ys), every)
    axes.set_yticks(places, [labels[1][i] for i in places])
    axes.tick_params(length=0)
    for which, column, scale in (("x", found.x, scales[0]), ("y", found.y, scales[1])):
        getattr(axes, f"set_{which}label")(axis_label(column, scale), labelpad=2)
