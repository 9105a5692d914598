"""Figures of a study drawn with matplotlib, 7 inches wide, for print, grey and colour-blind readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fusemap.validation.figures import AnyFigure, FigureData, Point, short_length
from fusemap.validation.figures_scatter import ScatterData, ScatterPoint

WIDTH_IN = 7.0
COLUMNS = 2
# Okabe and Ito's palette with a hatch each, so that neighbours differ in grey too.
STYLES: tuple[tuple[str, str], ...] = (
    ("#DDDDDD", ""),
    ("#E69F00", "////"),
    ("#56B4E9", "...."),
    ("#009E73", "\\\\\\\\"),
    ("#0072B2", ""),
    ("#F0E442", ""),
    ("#CC79A7", "----"),
    ("#D55E00", "++++"),
)
EDGE: Mapping[str, Any] = {"edgecolor": "black", "linewidth": 0.4}
# Lines of the same palette, with a dash each.
LINES: tuple[Mapping[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-", "linewidth": 1.2},
    {"color": "#D55E00", "linestyle": "--", "linewidth": 1.2},
    {"color": "#009E73", "linestyle": "-.", "linewidth": 1.2},
    {"color": "black", "linestyle": ":", "linewidth": 1.4},
)
_RC: Any = {
    "font.family": "STIXGeneral",  # as the text of a paper; its subsets are made faster than DejaVu's
    "font.size": 8.5,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.size": 0,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "hatch.linewidth": 0.45,
    "grid.linewidth": 0.4,
    "grid.color": "#CCCCCC",
    "pdf.fonttype": 42,  # text stays text, as publishers ask
}
PUBLISHED: Mapping[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 2.6,
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.6,
}


def style() -> AbstractContextManager[None]:
    """The settings of matplotlib under which figures are made and saved; what was set before returns."""
    return matplotlib.rc_context(_RC)


def draw(data: AnyFigure, labels: Mapping[str, str]) -> Figure:
    """The figure: grouped bars per model, stacked parts per configuration, or a line per model; published dots.

    `labels` gives the configurations' names, in the order of the bars.
    """
    if isinstance(data, ScatterData):
        with style():
            return _lines(data)
    shown = [c for c in labels if any(p.configuration == c for p in data.points)]
    with style():
        if any(p.part for p in data.points):
            return _stacks(data, shown, labels)
        return _groups(data, shown, labels)


def _groups(data: FigureData, shown: Sequence[str], labels: Mapping[str, str]) -> Figure:
    """A panel per model; a group of bars per length, a bar per configuration."""
    models = list(dict.fromkeys(p.model for p in data.points))
    figure, panels = _panels(data, models)
    for axes, model in zip(panels, models, strict=True):
        _group_panel(axes, [p for p in data.points if p.model == model], shown, list(labels))
    _legend(figure, data, [_patch(labels[c], list(labels).index(c)) for c in shown])
    return figure


def _group_panel(axes: Axes, points: Sequence[Point], shown: Sequence[str], styles: Sequence[str]) -> None:
    lengths = sorted({p.seq_len for p in points})
    width = 0.84 / len(shown)
    for index, configuration in enumerate(shown):
        mine = [p for p in points if p.configuration == configuration]
        places = [lengths.index(p.seq_len) + (index - (len(shown) - 1) / 2) * width for p in mine]
        _bars(axes, places, [(0.0, p.computed) for p in mine], width, styles.index(configuration))
        _dots(axes, places, [p.published for p in mine])
    _length_ticks(axes, lengths)


def _stacks(data: FigureData, shown: Sequence[str], labels: Mapping[str, str]) -> Figure:
    """A panel per configuration; a stack of parts per length, in the order of the last configuration."""
    order = list(dict.fromkeys(p.part for c in reversed(shown) for p in data.points if p.configuration == c))
    figure, panels = _panels(data, [labels[c] for c in shown])
    for axes, configuration in zip(panels, shown, strict=True):
        _stack_panel(axes, [p for p in data.points if p.configuration == configuration], order)
    _legend(figure, data, [_patch(part, index + 1) for index, part in enumerate(order)])
    return figure


def _stack_panel(axes: Axes, points: Sequence[Point], order: Sequence[str]) -> None:
    lengths = sorted({p.seq_len for p in points})
    below, below_published = dict.fromkeys(lengths, 0.0), dict.fromkeys(lengths, 0.0)
    for index, part in enumerate(order):
        mine = [p for p in points if p.part == part]
        places = [float(lengths.index(p.seq_len)) for p in mine]
        _bars(axes, places, [(below[p.seq_len], below[p.seq_len] + p.computed) for p in mine], 0.8, index + 1)
        _dots(axes, places, [p.published and below_published[p.seq_len] + p.published for p in mine])
        for p in mine:
            below[p.seq_len] += p.computed
            below_published[p.seq_len] += p.published or 0.0
    _length_ticks(axes, lengths)


def _lines(data: ScatterData) -> Figure:
    """One panel, both axes logarithmic; a line per model, each point labelled once with what sizes its machine."""
    figure = Figure(figsize=(WIDTH_IN, 3.0))
    figure.subplots_adjust(left=0.6 / WIDTH_IN, right=1 - 0.1 / WIDTH_IN, bottom=0.46 / 3.0, top=1 - 0.36 / 3.0)
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel=data.against_axis, ylabel=data.axis)
    axes.tick_params(which="both", length=2.5, width=0.6)
    axes.grid(which="major")
    handles = []
    models = list(dict.fromkeys(p.model for p in data.points))
    for index, model in enumerate(models):
        mine = [p for p in data.points if p.model == model]
        colour = LINES[index % len(LINES)]
        line = axes.plot(*_scaled(data, [p.computed for p in mine]), label=model, zorder=2, **colour)
        axes.plot(*_scaled(data, [p.published for p in mine if p.published]), zorder=3, **PUBLISHED)
        handles += line
    _sizes(axes, data)
    _legend(figure, data, handles)
    return figure


def _scaled(data: ScatterData, pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """x and y of the points; areas in mm^2."""
    scale = 1e-6 if data.against.endswith("_um2") else 1.0
    return [x * scale for x, _ in pairs], [y for _, y in pairs]


def _sizes(axes: Axes, data: ScatterData) -> None:
    """The parameter's value above the uppermost point of each machine size."""
    highest: dict[int, ScatterPoint] = {}
    for point in data.points:
        known = highest.get(point.value)
        if known is None or point.computed[1] > known.computed[1]:
            highest[point.value] = point
    for value, point in highest.items():
        (x,), (y,) = _scaled(data, [point.computed])
        text = f"{data.parameter} = {value}"
        axes.annotate(text, (x, y), xytext=(0, 5), textcoords="offset points", ha="center", va="bottom", size=8)
    axes.margins(x=0.08, y=0.14)


def _panels(data: FigureData, titles: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel per title, the axes labelled; margins are in inches."""
    lines = -(-len(titles) // COLUMNS)
    height = 0.75 + 1.4 * lines
    figure = Figure(figsize=(WIDTH_IN, height))
    axes = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.56 / WIDTH_IN,
        right=1 - 0.06 / WIDTH_IN,
        bottom=0.42 / height,
        top=1 - 0.42 / height,
        wspace=0.06,
        hspace=0.22,
    )
    for panel in axes.flat[len(titles) :]:
        panel.set_visible(False)
    panels = list(axes.flat[: len(titles)])
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title, pad=3)
    figure.text(0.5, 0.08 / height, "sequence length (tokens)", ha="center", size=9)
    figure.text(0.04 / WIDTH_IN, 0.5, data.axis, va="center", rotation=90, size=9)
    top = max((max(p.computed, p.published or 0.0) for p in data.points if not p.part), default=1.0)
    panels[0].set_ylim(0, top * 1.06)
    return figure, panels


def _bars(axes: Axes, places: Sequence[float], spans: Sequence[tuple[float, float]], width: float, style: int) -> None:
    """Bars from the first to the second value of each span; one collection, which draws faster than bars."""
    half = width / 2
    corners = [
        [(x - half, low), (x - half, high), (x + half, high), (x + half, low)]
        for x, (low, high) in zip(places, spans, strict=True)
    ]
    colour, hatch = STYLES[style % len(STYLES)]
    axes.add_collection(PolyCollection(corners, facecolor=colour, hatch=hatch, zorder=2, **EDGE), autolim=False)


def _dots(axes: Axes, places: Sequence[float], values: Sequence[float | None]) -> None:
    pairs = [(x, y) for x, y in zip(places, values, strict=True) if y is not None]
    if pairs:
        axes.plot([x for x, _ in pairs], [y for _, y in pairs], zorder=3, clip_on=False, **PUBLISHED)


def _length_ticks(axes: Axes, lengths: Sequence[int]) -> None:
    axes.set_xticks(range(len(lengths)), [short_length(n) for n in lengths])
    axes.set_xlim(-0.55, len(lengths) - 0.45)
    axes.grid(axis="y")


def _patch(label: str, style: int) -> Patch:
    colour, hatch = STYLES[style % len(STYLES)]
    return Patch(facecolor=colour, hatch=hatch, label=label, **EDGE)


def _legend(figure: Figure, data: AnyFigure, handles: Sequence[Patch | Line2D]) -> None:
    dots = Line2D([], [], label=f"published (differs by {agreement(data.largest_difference)})", **PUBLISHED)
    figure.legend(
        handles=[*handles, dots],
        loc="upper center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=len(handles) + 1,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def save(figure: Figure, directory: str | Path, name: str, *, note: str = "") -> tuple[Path, Path]:
    """Write NAME.png (200 dots per inch, `note` in its metadata) and NAME.pdf; equal figures give equal bytes."""
    png, pdf = Path(directory, f"{name}.png"), Path(directory, f"{name}.pdf")
    with style():
        figure.savefig(png, dpi=200, metadata={"Software": None, **({"Description": note} if note else {})})
        figure.savefig(pdf, metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return png, pdf


def agreement(difference: float) -> str:
    """A largest relative difference for a legend.

    >>> agreement(3e-16), agreement(0.00292), agreement(0.41)
    ('< 1e-9', '≤ 0.3 %', '≤ 41 %')
    """
    if difference < 1e-9:
        return "< 1e-9"
    return f"≤ {difference * 100:.1g} %" if difference < 0.1 else f"≤ {difference * 100:.0f} %"
