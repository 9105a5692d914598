"""A tornado: a bar per parameter, from the result at its lowest to that at its highest value."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fusemap.diagnostics import input_error
from fusemap.validation.figures_draw import style
from fusemap.validation.plots_axes import set_axis
from fusemap.validation.plots_page import COLUMN_IN, NOTE_SIZE, Grid, page, rendered
from fusemap.validation.plots_tornado import Bar, Tornado
from fusemap.validation.store_units import Scale, scale_of, words_of

LOW, HIGH, NAMES = "#56B4E9", "#E69F00", "#999999"
BAR_IN = 0.3


def render_tornado(found: Tornado, suffix: str, *, width: float = COLUMN_IN) -> bytes:
    """The picture as the content of a `png`, `pdf` or `svg` file; equal rows give equal bytes."""
    return rendered(lambda: draw_tornado(found, width), suffix, found.shown())


def draw_tornado(found: Tornado, width: float = COLUMN_IN) -> Figure:
    """The bars, the longest on top, with the parameters' values at their ends and the base as a line."""
    if not found.bars:
        raise input_error(f"nothing to draw: no parameter changes {found.result} there", hint="; ".join(found.notes()))
    with style():
        left = 0.15 + 0.066 * max(len(words_of(bar.axis)) for bar in found.bars)
        grid = Grid(height=BAR_IN * len(found.bars) + 0.12, left=min(left, 0.42 * width), right=0.12, top=0.24)
        figure, (axes,) = page(width, found.title(), found.notes(), grid)
        results = np.array([found.base, *(r for bar in found.bars for r in bar.results)])
        scale = set_axis(axes, "x", found.result, results, most=max(3, int((width - grid.left) * 1.5)))
        _room_for_texts(axes, found, scale, width - grid.left - grid.right)
        for row, bar in enumerate(found.bars):
            _bar(axes, bar, len(found.bars) - 1 - row, found.base * scale.factor, scale)
        axes.axvline(found.base * scale.factor, color="black", linewidth=0.8, zorder=4)
        axes.set_yticks(range(len(found.bars)), [words_of(bar.axis) for bar in reversed(found.bars)])
        axes.set_ylim(-0.6, len(found.bars) - 0.4)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        _legend(axes, found)
        return figure


def _room_for_texts(axes: Axes, found: Tornado, scale: Scale, inches: float) -> None:
    """Limits wide enough for the texts outside the ends of the bars."""
    low, high = axes.get_xlim()
    log = axes.get_xscale() == "log"
    ends = [np.array(bar.results) * scale.factor for bar in found.bars]
    length = max(len(text) for bar in found.bars for text in _ends(bar))
    share = min(0.3, (0.055 * length + 0.06) / inches)
    least, most = min(e[0] for e in ends), max(e[1] for e in ends)
    if log:
        span = np.log(most / least) / (1 - 2 * share)
        axes.set_xlim(min(low, least / np.exp(share * span)), max(high, most * np.exp(share * span)))
    else:
        span = (most - least) / (1 - 2 * share)
        axes.set_xlim(min(low, least - share * span), max(high, most + share * span))


def _ends(bar: Bar) -> tuple[str, str]:
    """The parameter's values at the least and at the greatest result, the latter with their unit."""
    scale = scale_of(bar.axis, [v for v, _ in bar.points if isinstance(v, int | float)])
    texts = []
    for wanted in bar.results:
        at = [scale.text(v) if isinstance(v, int | float) else str(v) for v, r in bar.points if r == wanted]
        texts.append(at[0] if len(at) == 1 else f"{at[0]} to {at[-1]}")
    unit = "" if isinstance(bar.base, str) else f"{'' if scale.prefixes else ' '}{scale.unit}".rstrip()
    return texts[0], f"{texts[1]}{unit}"


def _bar(axes: Axes, bar: Bar, row: int, base: float, scale: Scale) -> None:
    """From the base to the result at the lowest value, and to that at the highest; a thin line to what is beyond."""
    first, last = (bar.points[i][1] * scale.factor for i in (0, -1))
    least, most = (result * scale.factor for result in bar.results)
    names = isinstance(bar.base, str)
    axes.hlines(row, least, most, color="#555555", linewidth=1.0, zorder=2)
    for end, colour in ((first, NAMES if names else LOW), (last, NAMES if names else HIGH)):
        drawn: Any = {"height": 0.5, "color": colour, "edgecolor": "black", "linewidth": 0.4, "zorder": 3}
        axes.barh([row], [end - base], left=[base], **drawn)
    for x, text, side in zip((least, most), _ends(bar), ("right", "left"), strict=True):
        offset = (-3, 0) if side == "right" else (3, 0)
        place: Any = {"textcoords": "offset points", "ha": side, "va": "center", "size": NOTE_SIZE}
        axes.annotate(text, (x, row), offset, **place)


def _legend(axes: Axes, found: Tornado) -> None:
    """Which colour is which end."""
    edge: Any = {"edgecolor": "black", "linewidth": 0.4}
    numbers = any(not isinstance(bar.base, str) for bar in found.bars)
    handles = [Patch(facecolor=LOW, label="lowest", **edge), Patch(facecolor=HIGH, label="highest", **edge)]
    handles = handles if numbers else []
    if any(isinstance(bar.base, str) for bar in found.bars):
        handles.append(Patch(facecolor=NAMES, label="other name", **edge))
    place: Any = {"loc": "lower right", "bbox_to_anchor": (1.02, 1.0), "borderaxespad": 0.1, "columnspacing": 1.0}
    axes.legend(handles=handles, ncols=3, handlelength=1.2, handletextpad=0.5, **place)
