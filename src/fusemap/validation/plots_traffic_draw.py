"""Traffic over room on chip as a picture: a line for each cascade's bound, marks for what dataflows move."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.validation.figures_draw import style
from fusemap.validation.plots_axes import set_axis
from fusemap.validation.plots_page import COLUMN_IN, SERIES, Grid, page, rendered, series
from fusemap.validation.plots_traffic import Traffic
from fusemap.validation.store_units import Scale

ROOM = "on-chip room_bytes"  # a name as columns have them, for the table of units
MOST_MARKS = 60  # of a series, beyond which marks hide each other


def render_traffic(found: Traffic, suffix: str, *, width: float = COLUMN_IN) -> bytes:
    """The picture as the content of a `png`, `pdf` or `svg` file; equal rows give equal bytes."""
    return rendered(lambda: draw_traffic(found, width), suffix, found.shown())


def draw_traffic(found: Traffic, width: float = COLUMN_IN) -> Figure:
    """One panel; a mark has the colour of the line that it cannot be below."""
    with style():
        lines = max(len(found.bounds), len(found.moved)) + 1
        grid = Grid(height=2.2 if width < 5 else 3.0, top=0.06 + 0.165 * lines)
        figure, (axes,) = page(width, found.title(), found.notes(), grid)
        rooms = np.concatenate([m.points[:, 0] for m in found.moved])
        curves = {c: found.curve(c, np.unique(rooms)) for c in found.bounds}
        values = [*(m.points[:, 1] for m in found.moved), *(curve[:, 1] for curve in curves.values())]
        x = set_axis(axes, "x", ROOM, rooms, most=7)
        y = set_axis(axes, "y", "traffic_bytes", np.concatenate(values))
        axes.set_xlabel(f"room on chip: buffers and registers ({x.unit})", labelpad=2)
        axes.grid(axis="both")
        for number, (cascade, curve) in enumerate(curves.items()):
            colour, _, dash = series(number)
            drawn: Any = {"color": colour, "linestyle": dash, "linewidth": 1.5, "zorder": 3}
            axes.plot(curve[:, 0] * x.factor, curve[:, 1] * y.factor, label=cascade, **drawn)
        _marks(axes, found, x, y)
        _legends(figure, axes, found)
        return figure


def _marks(axes: Axes, found: Traffic, x: Scale, y: Scale) -> None:
    """The least traffic of each dataflow at each room, and as steps that with at most so much room."""
    colours = {cascade: series(number)[0] for number, cascade in enumerate(found.bounds)}
    for number, moved in enumerate(found.moved):
        colour, mark = colours[moved.cascade], SERIES[number % len(SERIES)][1]
        rooms, least = moved.points[:, 0] * x.factor, moved.points[:, 1] * y.factor
        size = 3.8 if len(rooms) <= MOST_MARKS else 2.2
        drawn: Any = {
            "marker": mark,
            "markersize": size,
            "markerfacecolor": "white",
            "markeredgewidth": 0.7,
            "zorder": 4,
        }
        axes.plot(rooms, least, linestyle="none", color=colour, label=moved.dataflow, **drawn)
        axes.plot(rooms, np.minimum.accumulate(least), drawstyle="steps-post", color=colour, linewidth=0.7, zorder=3.5)


def _legends(figure: Figure, axes: Axes, found: Traffic) -> None:
    """Lines to the left, marks to the right, above the panel."""
    handles, _ = axes.get_legend_handles_labels()
    own = len(found.bounds)
    top = axes.get_position().y1 + 0.03 / figure.get_size_inches()[1]
    place: Any = {"loc": "lower left", "borderaxespad": 0, "labelspacing": 0.2, "alignment": "left"}
    place |= {"title_fontsize": 8.5, "borderpad": 0, "handlelength": 1.8}
    for part, title, left in ((handles[:own], "no mapping moves less", 0.05), (handles[own:], "moved by", 0.52)):
        figure.legend(handles=part, title=title, bbox_to_anchor=(left, top), **place)
