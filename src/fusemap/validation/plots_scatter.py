"""Any two numbers of a store against each other, a third one as colour, or a name as colour and mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fusemap.diagnostics import input_error
from fusemap.validation.figures_draw import style
from fusemap.validation.plots_axes import Numbers, colour_bar, norm_of, set_axis
from fusemap.validation.plots_cloud import MOST_DOTS, draw_cloud, draw_coloured, legend
from fusemap.validation.plots_page import COLOUR_MAP, COLUMN_IN, Grid, page, rendered, series
from fusemap.validation.store_filter import parse_filter
from fusemap.validation.store_layout import Layout, layout_of
from fusemap.validation.store_rows import Counts, Tally, blocks
from fusemap.validation.store_units import better, scale_of, words_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """The values of columns `x`, `y` and perhaps a number `z`, a row per row of the store; or `names` of a text `z`."""

    x: str
    y: str
    z: str | None
    values: Numbers = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    counts: Counts
    layout: Layout

    def title(self) -> str:
        """What is shown."""
        coloured = f", by {words_of(self.z)}" if self.z else ""
        return f"{len(self.values):,} designs: {words_of(self.y)} against {words_of(self.x)}{coloured}"

    def shown(self) -> Iterator[object]:
        """What the picture shows, for its fingerprint."""
        yield from (self.title(), self.counts.note(), *self.names, self.values.astype(np.float32).tobytes().hex())

    def to_json(self) -> dict[str, object]:
        """As a JSON object: the range of each column."""
        columns = [self.x, self.y, *([self.z] if self.z and not self.names else [])]
        ranges = {c: [float(v.min()), float(v.max())] for c, v in zip(columns, self.values.T, strict=True)}
        about = {"store": self.layout.path, "x": self.x, "y": self.y, "z": self.z}
        return {**about, "counts": self.counts.to_json(), "names": sorted(set(self.names)), "ranges": ranges}


def scatter(store: str, *, x: str, y: str, z: str | None = None, where: Sequence[str] = ()) -> Scatter:
    """The rows of a store that have all of the columns; InputError for a column that is not there, or no row."""
    layout = layout_of(store)
    columns = [layout.numeric(x, what="--x"), layout.numeric(y, what="--y")]
    third = layout.column(z, what="--z") if z else None
    texts = [third] if third and layout.kinds[third] == "TEXT" else []
    columns += [third] if third and not texts else []
    tally = Tally(layout=layout, where=parse_filter(where, layout))
    parts, names = [], []
    for block in blocks(tally, columns, texts):
        parts.append(block.matrix(columns))
        names += [str(name) for text in texts for name in block.texts[text]]
    values = np.concatenate([np.zeros((0, len(columns))), *parts])
    if not len(values):
        raise input_error("nothing to draw: no row has a value of every column", hint=tally.counts().note())
    return Scatter(
        x=columns[0], y=columns[1], z=third, values=values, names=tuple(names), counts=tally.counts(), layout=layout
    )


def render_scatter(found: Scatter, suffix: str, *, width: float = COLUMN_IN) -> bytes:
    """The picture as the content of a `png`, `pdf` or `svg` file; equal rows give equal bytes."""
    return rendered(lambda: draw_scatter(found, width), suffix, found.shown())


def draw_scatter(found: Scatter, width: float = COLUMN_IN) -> Figure:
    """One panel, with a colour bar or a legend for the third column."""
    with style():
        names = sorted(set(found.names))
        across = 1 if max(map(len, names), default=0) > 24 and width < 5 else 2 if width < 5 else 4
        coloured = found.z is not None and not names
        top = 0.06 + 0.17 * -(-len(names) // across)
        grid = Grid(height=2.1 if width < 5 else 3.0, top=top, right=0.84 if coloured else 0.1)
        figure, (axes,) = page(width, found.title(), _notes(found, coloured), grid)
        x = set_axis(axes, "x", found.x, found.values[:, 0]).factor * found.values[:, 0]
        y = set_axis(axes, "y", found.y, found.values[:, 1]).factor * found.values[:, 1]
        axes.grid(axis="both")
        if found.z is None:
            draw_cloud(axes, x, y, series(0)[0])
        elif names:
            _by_name(axes, found, names, x, y)
            legend(axes, across, [_handle(name, number) for number, name in enumerate(names)])
        else:
            scale = scale_of(found.z, (found.values[:, 2].min(), found.values[:, 2].max()))
            z = found.values[:, 2] * scale.factor
            colours = ScalarMappable(norm_of(z), colormaps[COLOUR_MAP])
            draw_coloured(axes, x, y, z, colours, least=better(found.z) == "min")
            colour_bar(figure, axes, axes, colours, found.z, scale)
        return figure


def _notes(found: Scatter, coloured: bool) -> list[str]:
    """What was left out, and what a colour is where several rows share a place."""
    which = f"where points lie together, the {'least' if better(found.z or '') == 'min' else 'greatest'} is on top"
    return [found.counts.note(), *([which] if coloured else [])]


def _by_name(axes: Axes, found: Scatter, names: Sequence[str], x: Numbers, y: Numbers) -> None:
    """A colour and mark per name."""
    which = np.array(found.names)
    for number, name in enumerate(names):
        colour, mark, _ = series(number)
        mine = which == name
        if len(x) > MOST_DOTS:
            draw_cloud(axes, x[mine], y[mine], colour, zorder=2)
        else:
            dots: Any = {"s": 10, "marker": mark, "linewidths": 0.5, "facecolors": "none", "edgecolors": colour}
            axes.scatter(x[mine], y[mine], zorder=2, **dots)


def _handle(name: str, number: int) -> Line2D:
    colour, mark, _ = series(number)
    return Line2D([], [], color=colour, marker=mark, linestyle="none", markersize=4, markerfacecolor="none", label=name)
