"""Fronts as a picture: two objectives as steps, a third one as colour with a panel per group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fusemap.diagnostics import input_error
from fusemap.validation.figures_draw import style
from fusemap.validation.pareto import Front, Objective, Pareto
from fusemap.validation.plots_axes import Numbers, colour_bar, norm_of, set_axis
from fusemap.validation.plots_cloud import draw_cloud, legend
from fusemap.validation.plots_page import CLOUD, COLOUR_MAP, COLUMN_IN, Grid, page, rendered, series
from fusemap.validation.store_filter import parse_filter
from fusemap.validation.store_layout import Layout
from fusemap.validation.store_rows import Tally, blocks
from fusemap.validation.store_units import Scale, better, listed, scale_of, words_of

MOST_PANELS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontPlot:
    """Fronts in two or three objectives and the values of all rows that were candidates, a row each."""

    found: Pareto
    cloud: Numbers = field(repr=False)

    def shown(self) -> Iterator[object]:
        """What the picture shows, for its fingerprint."""
        yield from (len(self.cloud), *map(str, self.found.objectives), self.found.counts.note())
        for front in self.found.fronts:
            yield from (front.name, *values_of(front, self.found).ravel().tolist())

    def to_json(self) -> dict[str, object]:
        """As a JSON object: the fronts; of the other rows their number."""
        return self.found.to_json()


def axes_of(layout: Layout, axes: Mapping[str, str], maximize: Sequence[str]) -> tuple[Objective, ...]:
    """Objectives by axis (`--x`: latency), in that order; of utilization and of `maximize` more is better."""
    greatest = [layout.numeric(name, what="--maximize") for name in maximize]
    columns = [layout.numeric(name, what=axis) for axis, name in axes.items()]
    strange = next((column for column in greatest if column not in columns), None)
    if strange is not None:
        raise input_error(f"--maximize {strange}: no axis shows it")
    return tuple(Objective(column=c, sense="max" if c in greatest else better(c)) for c in columns)


def front_of(found: Pareto) -> FrontPlot:
    """The picture of some fronts; InputError unless there are two or three objectives and a row that has them."""
    if len(found.objectives) not in (2, 3):
        raise input_error(
            f"a picture shows 2 or 3 objectives, not {len(found.objectives)}",
            hint="the table and --json show any number",
        )
    if not found.fronts:
        raise input_error("nothing to draw: no row has a value of every objective", hint=_why(found))
    if len(found.objectives) == 3 and len(found.fronts) > MOST_PANELS:
        raise input_error(
            f"{len(found.fronts)} panels: a picture has at most {MOST_PANELS}", hint="narrow with --where"
        )
    tally = Tally(layout=found.layout, where=parse_filter(found.where, found.layout))
    parts = [block.matrix(found.columns) for block in blocks(tally, found.columns)]
    return FrontPlot(found=found, cloud=np.concatenate(parts))


def _why(found: Pareto) -> str:
    return "; ".join(found.counts.sentences()[:2])


def values_of(front: Front, found: Pareto) -> Numbers:
    """The objectives of a front's rows, a row each."""
    return np.array([[row[c] for c in found.columns] for row in front.rows], dtype=np.float64)


def render_front(plot: FrontPlot, suffix: str, *, width: float = COLUMN_IN) -> bytes:
    """The picture as the content of a `png`, `pdf` or `svg` file; equal rows give equal bytes."""
    return rendered(lambda: draw_front(plot, width), suffix, plot.shown())


def draw_front(plot: FrontPlot, width: float = COLUMN_IN) -> Figure:
    """One panel with a line per group, or for three objectives a panel per group."""
    with style():
        return _steps(plot, width) if len(plot.found.objectives) == 2 else _coloured(plot, width)


def title_of(found: Pareto) -> str:
    """How many rows are on the fronts, and in what they are not beaten."""
    kept = sum(len(front.rows) for front in found.fronts)
    goals = [words_of(o.column) + (" (more is better)" if o.sense == "max" else "") for o in found.objectives]
    among = f" within their {listed([words_of(column) for column in found.by])}" if found.by else ""
    return f"{kept:,} of {found.counts.used:,} designs are not beaten{among} in {listed(goals)}"


# --- two objectives -------------------------------------------------------------------------------------


def _steps(plot: FrontPlot, width: float) -> Figure:
    """Each front as the boundary of what is beaten, its points on it."""
    found = plot.found
    names = [front.name for front in found.fronts if front.group]
    across = 1 if max(map(len, names), default=0) > 24 and width < 5 else 2 if width < 5 else 4
    lines = -(-len(names) // across)
    grid = Grid(height=2.1 if width < 5 else 3.0, top=0.06 + 0.17 * lines)
    figure, (axes,) = page(width, title_of(found), [found.counts.note()], grid)
    x = set_axis(axes, "x", found.columns[0], plot.cloud[:, 0])
    y = set_axis(axes, "y", found.columns[1], plot.cloud[:, 1])
    factors = [x.factor, y.factor]
    axes.grid(axis="both")
    draw_cloud(axes, plot.cloud[:, 0] * factors[0], plot.cloud[:, 1] * factors[1], CLOUD)
    for number, front in enumerate(found.fronts):
        _boundary(axes, values_of(front, found) * factors, found.objectives, number, front.name)
    if names:
        legend(axes, across)
    return figure


def _boundary(axes: Axes, values: Numbers, objectives: tuple[Objective, ...], number: int, name: str) -> None:
    """A front in the order of x: between two points the one that may be had with no worse x counts."""
    colour, mark, dash = series(number)
    points = np.unique(values, axis=0)
    points = points if objectives[1].sign * objectives[0].sign > 0 else points[np.lexsort((points[:, 1], points[:, 0]))]
    drawn: Any = {"color": colour, "linestyle": dash, "linewidth": 1.2, "marker": mark, "markersize": 3.4}
    where = "post" if objectives[0].sense == "min" else "pre"
    axes.plot(points[:, 0], points[:, 1], drawstyle=f"steps-{where}", label=name or "not beaten", zorder=3, **drawn)


# --- three objectives -----------------------------------------------------------------------------------


def _coloured(plot: FrontPlot, width: float) -> Figure:
    """The third objective as colour, the same in all panels; large points are better in it."""
    found = plot.found
    across = 1 if width < 5 else {1: 1, 2: 2, 4: 2}.get(len(found.fronts), 3)
    rows = -(-len(found.fronts) // across)
    named = any(front.group for front in found.fronts)
    top, between = (0.22, 0.3) if named else (0.06, 0.2)
    grid = Grid(height=1.9, rows=rows, columns=across, right=0.84, top=top, gap=0.2, between=between)
    figure, panels = page(width, title_of(found), [found.counts.note()], grid)
    shown = np.concatenate([values_of(front, found) for front in found.fronts])
    scale = scale_of(found.columns[2], (shown[:, 2].min(), shown[:, 2].max()))
    colours = ScalarMappable(norm_of(shown[:, 2] * scale.factor), colormaps[COLOUR_MAP])
    for number, axes in enumerate(panels):
        if number >= len(found.fronts):
            axes.set_axis_off()
            continue
        _panel(axes, plot, found.fronts[number], colours, scale)
        axes.set_title(found.fronts[number].name, size=8.5, pad=3)
        _outer_labels(axes, number, across, len(found.fronts))
    colour_bar(figure, panels[across - 1], panels[-1], colours, found.columns[2], scale)
    return figure


def _panel(axes: Axes, plot: FrontPlot, front: Front, colours: ScalarMappable, scale: Scale) -> None:
    """A front, the best in the third objective on top, over all points."""
    columns = plot.found.columns
    x = set_axis(axes, "x", columns[0], plot.cloud[:, 0]).factor
    y = set_axis(axes, "y", columns[1], plot.cloud[:, 1]).factor
    axes.grid(axis="both")
    draw_cloud(axes, plot.cloud[:, 0] * x, plot.cloud[:, 1] * y, "#DDDDDD")
    values = values_of(front, plot.found)
    values = values[np.argsort(-plot.found.objectives[2].sign * values[:, 2], kind="stable")]
    dots: Any = {"s": 16, "edgecolors": "black", "linewidths": 0.35, "zorder": 3}
    axes.scatter(values[:, 0] * x, values[:, 1] * y, c=colours.to_rgba(values[:, 2] * scale.factor), **dots)


def _outer_labels(axes: Axes, number: int, across: int, count: int) -> None:
    """Labels of axes on the outer panels alone."""
    if number % across:
        axes.set_ylabel("")
        axes.tick_params(labelleft=False)
    if number + across < count:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)
