"""Names in the bars of a timeline's picture where they fit, and above its rows where they do not."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from fusemap.validation.timeline_bars import Row, Stretch, stretches
from fusemap.validation.waterfall import LANE_IN, NAMES_IN, RC, ROW_IN, side_by_side

SPACE_IN, DRAINS_IN = 0.07, 1.1  # above a row without words; the most that a row of drains takes
UPRIGHT_IN = 0.5  # of a row with upright names, bars up to this width have no others


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From cycles to inches; `short` if every span has a bar."""

    first: float
    last: float
    across: float
    short: bool

    def inches(self, cycles: float) -> float:
        """So many cycles in inches."""
        return cycles * self.across / (self.last - self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A row with the words above it; `deep` is the height of a lane in inches, names in narrow bars may be upright."""

    row: Row
    deep: float
    words: tuple[Stretch, ...]
    upright: bool

    @property
    def above(self) -> float:
        """The height of the words, in inches."""
        return NAMES_IN if self.words else SPACE_IN

    @property
    def height(self) -> float:
        """The height of the row and its words, in inches."""
        return self.above + self.deep * len(self.row.lanes)


@functools.lru_cache(maxsize=4096)
def text_inches(text: str) -> float:
    """How wide a text is in the pictures' font, at 8.5 points."""
    font = FontProperties(family=RC["font.family"], size=8.5)
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def fit(name: str, width: float, height: float, upright: bool = False) -> tuple[float, int] | None:
    """The size and angle at which a name fits into a bar of so many inches; a narrow bar of an upright row has one."""
    if not upright or width > UPRIGHT_IN:
        for size in (8.5, 7.0):
            if width > size / 8.5 * text_inches(name) + 0.05 and height >= size / 72 * 1.05:
                return size, 0
    if width >= 0.085 and height > 6 / 8.5 * text_inches(name) + 0.05:
        return 6.0, 90
    return None


def with_words(rows: Sequence[Row], scale: Scale) -> tuple[list[Drawn], list[str]]:
    """The rows with the words above them; the names for which there is no room."""
    rows_drawn: list[Drawn] = []
    omitted: list[str] = []
    for row in rows:
        deep = _depth(row, scale)
        bars = [bar for lane in row.lanes for bar in lane if bar.kind != "stall"]
        fits = [(bar, fit(bar.name, scale.inches(bar.width), deep)) for bar in bars]
        upright = any(found and found[1] for _, found in fits)
        inside = {bar.name for bar, found in fits if found}
        words = list(stretches([b for b in bars if b.name not in inside], (scale.first + scale.last) / 2))
        while sum(_width(word) for word in words) > scale.across:
            least = min(words, key=lambda word: (word.count > 1, word.end - word.start))
            words.remove(least)
            omitted += least.names
        rows_drawn.append(Drawn(row=row, deep=deep, words=tuple(words), upright=upright))
    return rows_drawn, list(dict.fromkeys(omitted))


def _depth(row: Row, scale: Scale) -> float:
    """The height of a lane: room for upright names where every cycle has a bar."""
    if row.drains:
        return min(LANE_IN, DRAINS_IN / len(row.lanes))
    bars = [b for b in row.lanes[0] if b.kind != "stall" and not fit(b.name, scale.inches(b.width), ROW_IN)]
    if not scale.short or not bars:
        return ROW_IN
    return min(0.6, max(ROW_IN, 6 / 8.5 * max(text_inches(b.name) for b in bars) + 0.06))


def _said(word: Stretch) -> str:
    return " / ".join(word.names)


def _width(word: Stretch) -> float:
    return 7.5 / 8.5 * text_inches(_said(word)) + 0.1


def draw_words(axes: Axes, words: Sequence[Stretch], top: float, scale: Scale) -> None:
    """Names side by side above a row, each tied to its bar by a line, or to the ends of its stretch by a bracket."""
    per_inch = 1 / scale.inches(1)
    ordered = sorted(words, key=lambda word: word.start + word.end)
    centres = [(word.start + word.end) / 2 for word in ordered]
    widths = [_width(word) * per_inch for word in ordered]
    line: Any = {"color": "black", "linewidth": 0.5, "zorder": 5, "clip_on": False}
    for word, centre, x in zip(ordered, centres, _inside(side_by_side(centres, widths), widths, scale), strict=True):
        y = top - 0.2
        if word.count > 1 and scale.inches(word.end - word.start) > 0.1:
            axes.plot(
                [word.start, word.start, word.end, word.end], [top - 0.02, top - 0.07, top - 0.07, top - 0.02], **line
            )
            axes.plot([centre, x], [top - 0.07, y], **line)
        else:
            axes.plot([centre, x], [top, y], **line)
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.text(
            x, y - 0.01, _said(word), ha="center", va="bottom", fontsize=7.5, zorder=6, bbox=clear, parse_math=False
        )


def _inside(places: Sequence[float], widths: Sequence[float], scale: Scale) -> list[float]:
    """The places moved as little as keeps them within the axes, in order and apart."""
    found = list(places)
    edge = scale.first
    for i, width in enumerate(widths):
        found[i] = max(found[i], edge + width / 2)
        edge = found[i] + width / 2
    edge = scale.last
    for i in reversed(range(len(found))):
        found[i] = min(found[i], edge - widths[i] / 2)
        edge = found[i] - widths[i] / 2
    return found
