"""A timeline as a picture after FuseMax's Figures 4 and 5: a row per resource, a colour per iteration, counters."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fusemap.diagnostics import input_error
from fusemap.sim.timeline import Timeline
from fusemap.sim.timeline_window import extent
from fusemap.validation.timeline_bars import Row, TimelineBar, is_short, timeline_rows
from fusemap.validation.timeline_counters import draw_counter
from fusemap.validation.timeline_words import SPACE_IN, Drawn, Scale, draw_words, fit, text_inches, with_words
from fusemap.validation.waterfall import COLOURS, RC, WIDTH_IN, figure_bytes

ITERATIONS = COLOURS[:-1]  # the last one is grey, as stalls are
HATCHES = ("//////", "\\\\\\\\\\\\", "xxxxx", "......", "------", "||||||")
TITLE_IN, COUNTER_IN, COUNTER_NAME_IN, AXIS_IN, LEGEND_IN, RIGHT_IN = 0.3, 0.5, 0.24, 0.42, 0.24, 0.25
_RC: Any = {**RC, "hatch.linewidth": 0.45, "text.parse_math": False}
_STALL: Any = {"facecolor": "#EFEFEF", "edgecolor": "#707070", "linewidth": 0.3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """A line of a legend."""

    title: str
    handles: tuple[Patch, ...]
    names: tuple[str, ...]


def render_timeline(timeline: Timeline, suffix: str) -> bytes:
    """The picture as the content of a `png` (200 dots per inch), `pdf` or `svg` file; equal input, equal bytes."""
    return figure_bytes(lambda: draw_timeline(timeline), suffix, "a picture of a timeline")


def draw_timeline(timeline: Timeline) -> Figure:
    """The picture, 7 inches wide. InputError for one without length, or of more than 4,000 bars."""
    first, last = (timeline.cycles(tick) for tick in extent(timeline))
    if not first < last:
        raise input_error(f"the timeline {timeline.name} is empty: it ends at cycle {_number(last)}, where it begins")
    rows = timeline_rows(timeline)
    left = min(1.6, max([0.7, *(text_inches(row.name) + 0.16 for row in rows)]))
    scale = Scale(first=first, last=last, across=WIDTH_IN - left - RIGHT_IN, short=is_short(timeline))
    drawn, omitted = with_words(rows, scale)
    with matplotlib.rc_context(_RC):
        tall = sum(d.height for d in drawn) + SPACE_IN
        legends = _legends(rows)
        panels = len(timeline.counters) * (COUNTER_NAME_IN + COUNTER_IN)
        total = TITLE_IN + tall + panels + AXIS_IN + LEGEND_IN * len(legends) + 0.06
        figure = Figure(figsize=(WIDTH_IN, total))

        def place(top: float, height: float) -> Axes:
            box = (left / WIDTH_IN, 1 - (top + height) / total, scale.across / WIDTH_IN, height / total)
            return figure.add_axes(box)

        figure.text(0.012, 1 - 0.07 / total, _title(timeline, first, last), va="top", fontsize=9)
        every = [place(TITLE_IN, tall)]
        _draw_rows(every[0], drawn, scale, tall)
        for n, counter in enumerate(timeline.counters):
            top = TITLE_IN + tall + n * (COUNTER_NAME_IN + COUNTER_IN) + COUNTER_NAME_IN
            every.append(place(top, COUNTER_IN))
            draw_counter(every[-1], timeline, counter)
        _share_axis(every, scale, omitted)
        for n, line in enumerate(legends):
            _draw_legend(figure, line, (0.05 + LEGEND_IN * (len(legends) - n)) / total)
        return figure


def _title(timeline: Timeline, first: float, last: float) -> str:
    return f"{timeline.name}: cycles {_number(first)} to {_number(last)}"


def _number(cycles: float) -> str:
    return f"{cycles:,.3f}".rstrip("0").rstrip(".")


# --- rows -------------------------------------------------------------------------------------------


def _draw_rows(axes: Axes, drawn: Sequence[Drawn], scale: Scale, tall: float) -> None:
    axes.set_xlim(scale.first, scale.last)
    axes.set_ylim(tall, 0)
    causes = _causes([d.row for d in drawn])
    top = 0.0
    for d in drawn:
        top += d.above
        draw_words(axes, d.words, top, scale)
        for n, lane in enumerate(d.row.lanes):
            _draw_lane(axes, lane, (top + n * d.deep, d.deep), scale, causes)
            _draw_names(axes, lane, (top + n * d.deep, d.deep), scale, d.upright)
        middle = top + d.deep * len(d.row.lanes) / 2
        size = 8.5 if len(d.row.name) < 21 else 7
        name = d.row.name if len(d.row.name) < 28 else d.row.name[:26] + "..."
        axes.text(-0.008, middle, name, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=size)
        top += d.deep * len(d.row.lanes)
    axes.set_yticks([])


def _draw_lane(
    axes: Axes, bars: Sequence[TimelineBar], at: tuple[float, float], scale: Scale, causes: Sequence[str]
) -> None:
    work = [bar for bar in bars if bar.kind != "stall"]
    colours = [ITERATIONS[bar.iteration % len(ITERATIONS)] for bar in work]
    widths = [0.3 if scale.inches(bar.width) > 0.03 else 0.0 for bar in work]
    if work:
        ranges = [(bar.start, bar.width) for bar in work]
        axes.broken_barh(ranges, at, facecolors=[c for c, _ in colours], edgecolors="black", linewidths=widths)
    for cause, stalled in itertools.groupby(
        sorted((bar for bar in bars if bar.kind == "stall"), key=lambda b: b.cause), key=lambda b: b.cause
    ):
        ranges = [(bar.start, bar.width) for bar in stalled]
        axes.broken_barh(ranges, at, hatch=_hatch(cause, causes), **_STALL)


def _draw_names(axes: Axes, bars: Sequence[TimelineBar], at: tuple[float, float], scale: Scale, upright: bool) -> None:
    for bar in bars:
        found = fit(bar.name, scale.inches(bar.width), at[1], upright) if bar.kind != "stall" else None
        if found:
            size, angle = found
            _, ink = ITERATIONS[bar.iteration % len(ITERATIONS)]
            x, y = bar.start + bar.width / 2, at[0] + at[1] / 2
            where: Any = {"rotation": angle, "ha": "center", "va": "center" if angle else "center_baseline"}
            axes.text(x, y, bar.name, color=ink, fontsize=size, clip_on=True, **where)


# --- axis and legends -------------------------------------------------------------------------------


def _share_axis(every: Sequence[Axes], scale: Scale, omitted: Sequence[str]) -> None:
    """Ticks and their names at the bottom, faint lines at them through all."""
    for axes in every:
        axes.xaxis.set_major_locator(
            MaxNLocator(nbins=10, integer=scale.last - scale.first > 8, steps=[1, 2, 2.5, 5, 10])
        )
        axes.xaxis.set_major_formatter(lambda value, _: _number(value))
        axes.tick_params(axis="x", labelbottom=axes is every[-1], length=2, pad=2, labelsize=8)
        axes.grid(axis="x", color="#D0D0D0", linewidth=0.4)
        axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        every[0].spines[side].set_visible(False)
    more = f" and {len(omitted) - 4} more" if len(omitted) > 4 else ""
    note = f"; no room for the names {', '.join(omitted[:4])}{more}" if omitted else ""
    every[-1].set_xlabel(f"cycles{note}", labelpad=1)


def _causes(rows: Sequence[Row]) -> list[str]:
    bars = (bar for row in rows for lane in row.lanes for bar in lane)
    return list(dict.fromkeys(bar.cause for bar in bars if bar.kind == "stall"))


def _hatch(cause: str, causes: Sequence[str]) -> str:
    return HATCHES[min(causes.index(cause), len(HATCHES) - 1)]


def _legends(rows: Sequence[Row]) -> list[Legend]:
    """The lines of a legend of iterations and of one of what is waited for, each if there is any."""
    found: list[Legend] = []
    bars = [bar for row in rows for lane in row.lanes for bar in lane]
    shown = sorted({bar.iteration for bar in bars if bar.kind != "stall"})
    firsts: dict[int, int] = {}
    for number in shown:
        firsts.setdefault(number % len(ITERATIONS), number)
    handles = [Patch(facecolor=ITERATIONS[i][0], edgecolor="black", linewidth=0.3) for i in firsts]
    names = [f"{n:,} + {len(ITERATIONS)}n" if n + len(ITERATIONS) in shown else f"{n:,}" for n in firsts.values()]
    found += _lines("iteration", handles, names)
    causes = _causes(rows)
    named = causes if len(causes) <= len(HATCHES) else [*causes[: len(HATCHES) - 1], "others"]
    handles = [Patch(hatch=hatch, **_STALL) for hatch in HATCHES[: len(named)]]
    return found + _lines("waits for", handles, [_short(name) for name in named])


def _short(cause: str) -> str:
    """A cause as a legend takes it: not too long, and no underscore in front, which would hide it."""
    return textwrap.shorten(cause.lstrip("_"), 60) or "something"


def _lines(title: str, handles: Sequence[Patch], names: Sequence[str]) -> list[Legend]:
    """Entries in as many lines as they need; the title stands first in the first one."""
    found: list[Legend] = []
    left = 0.0
    for handle, name in zip(handles, names, strict=True):
        width = text_inches(name) + 0.37
        if left < width:
            found.append(Legend(title="" if found else title, handles=(), names=()))
            left = WIDTH_IN - 0.2 - text_inches(title) - 0.37
        left -= width
        found[-1] = replace(found[-1], handles=(*found[-1].handles, handle), names=(*found[-1].names, name))
    return found


def _draw_legend(figure: Figure, line: Legend, y: float) -> None:
    """The title is an entry without a patch."""
    blank = [Patch(facecolor="none", edgecolor="none")] if line.title else []
    figure.legend(
        [*blank, *line.handles],
        [line.title, *line.names] if line.title else list(line.names),
        loc="upper center",
        bbox_to_anchor=(0.5, y),
        ncols=len(line.names) + 1,
        frameon=False,
        handlelength=1.5,
        columnspacing=1.1,
        handletextpad=0.4,
        borderpad=0,
        borderaxespad=0,
    )
