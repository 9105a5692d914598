"""What stands around a drawn cascade: colours and names of its passes, barriers between them, the legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from fusemap.validation.graph import CascadeGraph
from fusemap.validation.graph_canvas import FONTS, Band, Canvas, text_width
from fusemap.validation.graph_dot import BARRIER, INPUT, NO_PASS, colour_of

INK = "#333333"
MARGIN_IN, LINE_IN, BAND_IN, NARROWEST_IN = 0.08, 0.17, 0.5, 3.2
SAMPLE_IN, SKIP_IN = 0.22, 0.16  # of the legend
DOTTED, DASHED = (0, (1.2, 1.2)), (0, (4, 2.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of the legend: a box of a colour, or a line."""

    text: str
    colour: str
    line: Any = None


def draw_passes(axes: Axes, placed: Canvas, bands: Mapping[int, Band]) -> None:
    """The passes' names beside their columns, and a line where a barrier ends one; other barriers as edges."""
    right = placed.direction == "right"
    for number, band in bands.items():
        x, y = placed.at(((band.start + band.end) / 2, 0.0))
        place = (x, y + 0.16) if right else (MARGIN_IN, y)
        sides = ("center", "bottom") if right else ("left", "center")
        axes.text(*place, f"pass {number}", fontproperties=FONTS["text"], ha=sides[0], va=sides[1])
    number_of = {n.name: n.number for n in placed.graph.nodes}
    lined = {number: band.gap for number, band in list(bands.items())[1:]}
    drawn = {number_of[b.before] for b in placed.graph.barriers}
    for number, along in lined.items():
        if number in drawn:
            ends = [placed.at((along, across)) for across in (-0.12, placed.layout.across + 0.12)]
            _dashes(axes, ends)
    for barrier in placed.graph.barriers:
        if number_of[barrier.before] not in lined:
            for name in barrier.visited_by:
                _dashes(axes, [placed.at(placed.layout.place[n]) for n in (name, barrier.before)])


def _dashes(axes: Axes, ends: Sequence[tuple[float, float]]) -> None:
    x, y = zip(*ends, strict=True)
    axes.add_line(Line2D(x, y, color=BARRIER, linewidth=1.1, linestyle=DASHED, zorder=1))


# --- legend ---------------------------------------------------------------------------------------


def legend_rows(graph: CascadeGraph, headed: bool, width: float) -> list[list[Entry]]:
    """What the drawing uses and does not say itself, in rows of at most `width`."""
    passes = [] if headed else [Entry(text=f"pass {n}", colour=colour_of(n)) for n in graph.numbers]
    inputs = [Entry(text="input", colour=INPUT)] if any(n.kind == "input" for n in graph.nodes) else []
    entries = [*passes, *inputs]
    if graph.numbers and any(n.kind == "einsum" and n.number is None for n in graph.nodes):
        entries.append(Entry(text="in no pass", colour=NO_PASS))
    if any(e.carried for e in graph.edges):
        entries.append(Entry(text="read of an earlier step", colour=INK, line=DOTTED))
    if graph.barriers:
        entries.append(Entry(text="barrier: waits for the whole fiber", colour=BARRIER, line=DASHED))
    rows: list[list[Entry]] = [[]]
    for entry in entries:
        if rows[-1] and row_width([*rows[-1], entry]) > width:
            rows.append([])
        rows[-1].append(entry)
    return rows


def row_width(row: Sequence[Entry]) -> float:
    """The width of a row of the legend in inches."""
    return sum(SAMPLE_IN + 0.06 + text_width(e.text, "text") for e in row) + SKIP_IN * (len(row) - 1)


def draw_legend(axes: Axes, rows: Sequence[Sequence[Entry]], width: float) -> None:
    """The rows, each in the middle, at the lower border."""
    for i, row in enumerate(reversed(rows)):
        x, y = (width - row_width(row)) / 2, MARGIN_IN + LINE_IN * (i + 0.5)
        for entry in row:
            _sample(axes, entry, x, y)
            x += SAMPLE_IN + 0.06
            axes.text(x, y, entry.text, fontproperties=FONTS["text"], ha="left", va="center_baseline")
            x += text_width(entry.text, "text") + SKIP_IN


def _sample(axes: Axes, entry: Entry, x: float, y: float) -> None:
    if entry.line is None:
        box = Rectangle((x, y - 0.04), SAMPLE_IN, 0.1, facecolor=entry.colour, edgecolor="black", linewidth=0.6)
        axes.add_patch(box)
    else:
        line = Line2D([x, x + SAMPLE_IN], [y, y], color=entry.colour, linewidth=1.0, linestyle=entry.line)
        axes.add_line(line)
