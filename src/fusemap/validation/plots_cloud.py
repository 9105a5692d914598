"""All points of a store behind those that matter: dots, or where there are very many, the cells that they cover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap

from fusemap.validation.plots_axes import Numbers

MOST_DOTS = 3000
_CELLS_PER_IN = 60


def draw_cloud(axes: Axes, x: Numbers, y: Numbers, colour: str, *, zorder: float = 1) -> None:
    """Points in one colour, on axes whose scales and limits are set.

    More than 3,000 points are drawn as a picture of the cells that have any, so that a million points make no larger
    file and no other impression than their outline.
    """
    if len(x) <= MOST_DOTS:
        axes.scatter(x, y, s=3.5, color=colour, linewidths=0, zorder=zorder)
        return
    edges = [_edges(axes, which) for which in ("x", "y")]
    counts, _, _ = np.histogram2d(x, y, bins=edges)
    filled = np.ma.masked_equal(counts.T > 0, False)
    axes.pcolormesh(*edges, filled, cmap=ListedColormap([colour]), rasterized=True, zorder=zorder, linewidth=0)


def _edges(axes: Axes, which: str) -> Numbers:
    """The edges of cells of equal size on the page."""
    low, high = getattr(axes, f"get_{which}lim")()
    figure: Any = axes.get_figure()
    inches = figure.get_size_inches()["xy".index(which)] * getattr(
        axes.get_position(), "width" if which == "x" else "height"
    )
    count = max(8, int(inches * _CELLS_PER_IN))
    if getattr(axes, f"get_{which}scale")() == "log":
        return np.geomspace(low, high, count + 1)
    return np.linspace(low, high, count + 1)


def legend(axes: Axes, columns: int, handles: Sequence[Any] | None = None) -> None:
    """A legend above a panel, without a frame."""
    place: Any = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderaxespad": 0.1, "handlelength": 1.9}
    if handles is not None:
        place["handles"] = handles
    axes.legend(ncols=columns, columnspacing=1.2, handletextpad=0.5, labelspacing=0.25, **place)


def draw_coloured(axes: Axes, x: Numbers, y: Numbers, z: Numbers, colours: ScalarMappable, *, least: bool) -> None:
    """Points coloured by a number; of very many, the least (or greatest) of each cell of the page.

    Of points at one place the one with the least (or greatest) number is on top.
    """
    order = np.argsort(-z if least else z, kind="stable")
    if len(x) <= MOST_DOTS:
        dots: Any = {"s": 10, "edgecolors": "#333333", "linewidths": 0.2, "zorder": 2}
        axes.scatter(x[order], y[order], c=colours.to_rgba(z[order]), **dots)
        return
    edges = [_edges(axes, which) for which in ("x", "y")]
    places = [np.clip(np.searchsorted(e, v) - 1, 0, len(e) - 2) for e, v in zip(edges, (x, y), strict=True)]
    cells = np.full((len(edges[1]) - 1, len(edges[0]) - 1), np.nan)
    cells[places[1][order], places[0][order]] = z[order]  # the last one stays
    drawn: Any = {"cmap": colours.get_cmap(), "norm": colours.norm, "rasterized": True, "zorder": 2, "linewidth": 0}
    axes.pcolormesh(*edges, np.ma.masked_invalid(cells), **drawn)
