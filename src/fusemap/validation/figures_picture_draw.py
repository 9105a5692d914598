"""The picture of a study, drawn: speed-up over length, energy by component, use of the resources."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.validation.figures import short_length
from fusemap.validation.figures_draw import EDGE, STYLES, WIDTH_IN, style
from fusemap.validation.figures_picture import Panel, PictureData
from fusemap.validation.reasons import percent

MARKERS = ("s", "^", "o", "D")
COLOURS = ("#777777", "#E69F00", "#0072B2", "#009E73")
PARTS = (STYLES[4], STYLES[6], STYLES[5], STYLES[7], STYLES[0])
RIGHT = 1.75  # where the last column of text ends, in units of the bars
MATTERS = 0.005  # a smaller share is not drawn


def draw_picture(data: PictureData) -> Figure:
    """Three panels: how much faster, how much energy, and why."""
    with style():
        figure = Figure(figsize=(WIDTH_IN, 2.7))
        panels = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1.0, 0.8, 1.05), "wspace": 0.34})
        figure.subplots_adjust(left=0.05, right=0.985, bottom=0.145, top=0.91)
        _speed_up(panels[0], data)
        _energy(panels[1], data)
        _uses(panels[2], data)
        return figure


def _speed_up(axes: Axes, data: PictureData) -> None:
    """Mean over the models as a line, their range as a band, the sensitivity dashed."""
    places = list(range(len(data.lengths)))
    for index, panel in enumerate(data.panels):
        colour = COLOURS[index % len(COLOURS)]
        means = [s.mean for s in panel.speed_up]
        axes.fill_between(
            places,
            [s.least for s in panel.speed_up],
            [s.largest for s in panel.speed_up],
            color=colour,
            alpha=0.18,
            linewidth=0,
        )
        axes.plot(places, means, color=colour, marker=MARKERS[index % len(MARKERS)], markersize=3.5, linewidth=1.2)
        _name_line(axes, f"{panel.name} {_times(means)}", means[0], above=index > 0)
        if panel.sensitive:
            other = [s.mean for s in panel.sensitive]
            axes.plot(places, other, color=colour, linestyle="--", linewidth=1.2)
            _name_line(axes, f"{data.sensitivity} {_times(other)}", other[0], above=False)
    _name_band(axes, data)
    axes.set_yscale("log", base=2)
    axes.set_ylim(0.4, 18)
    ticks = [0.5, 1, 2, 4, 8, 16]
    axes.set_yticks(ticks, [f"{t:g}x" for t in ticks])
    axes.set_xticks(places, [short_length(n) for n in data.lengths])
    axes.set_title(f"speed-up over {data.panels[0].name}", loc="left")
    axes.set_xlabel("sequence length (tokens)")
    axes.grid(axis="y")


def _name_line(axes: Axes, text: str, height: float, *, above: bool) -> None:
    offset, side = ((0, 5), "bottom") if above else ((0, -4), "top")
    axes.annotate(text, (0, height), offset, textcoords="offset points", ha="left", va=side)


def _name_band(axes: Axes, data: PictureData) -> None:
    """Say what the widest band is, below its end."""
    lowest = max((p.speed_up[-1] for p in data.panels), key=lambda s: s.largest / s.least).least
    place = (len(data.lengths) - 1, lowest)
    axes.annotate("range over the models", place, (0, -3), textcoords="offset points", ha="right", va="top")


def _times(means: list[float]) -> str:
    return f"{sum(means) / len(means):.3g}x"


def _energy(axes: Axes, data: PictureData) -> None:
    """Stacked parts of the energy against the baseline's; a diamond where it is with the slips corrected."""
    diamond: dict[str, Any] = {"marker": "D", "color": "black", "markersize": 3.5, "linestyle": "none"}
    drawn = {part for panel in data.panels for part, share in panel.energy if share >= MATTERS}
    for index, panel in enumerate(data.panels):
        bottom = 0.0
        for at, (part, share) in enumerate(panel.energy):
            colour, hatch = PARTS[at % len(PARTS)]
            label = part if index == 0 and part in drawn else None
            axes.bar(index, share, 0.6, bottom=bottom, color=colour, hatch=hatch, label=label, **EDGE)
            bottom += share
        axes.annotate(f"{bottom:.2f}", (index, bottom), (0, 3), textcoords="offset points", ha="center")
        axes.plot([index + 0.4], [panel.corrected_energy], **diamond)
    axes.plot([], [], label="total, slips corrected", **diamond)
    axes.set_xticks(range(len(data.panels)), [p.name for p in data.panels])
    axes.set_ylim(0, 1.15 + 0.15 * (len(drawn) + 1))  # the legend stands above the bars, a line per entry
    axes.set_yticks([0, 0.5, 1.0])
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper left", borderaxespad=0, handlelength=1.4, labelspacing=0.25)
    axes.set_title(f"energy / energy of {data.panels[0].name}", loc="left")


def _uses(axes: Axes, data: PictureData) -> None:
    """A bar per resource and configuration: how much is in use, and how often it sets the pace."""
    ticks: list[float] = []
    count = len(data.panels[0].uses)
    for index, panel in enumerate(data.panels):
        top = index * (count + 1.0)
        ticks += [top + line for line in range(count)]
        _use_bars(axes, panel, top, COLOURS[index % len(COLOURS)])
    axes.set_yticks(ticks, [use.resource for panel in data.panels for use in panel.uses])
    axes.set_ylim(ticks[-1] + 0.6, -1.3)
    axes.set_xlim(0, RIGHT)
    axes.set_xticks([0, 0.5, 1.0], ["0", "50 %", "100 %"])
    axes.spines["bottom"].set_bounds(0, 1.0)
    axes.tick_params(left=False, pad=2)
    axes.set_title("why: in use", loc="left")
    axes.set_title("sets the pace", loc="right")


def _use_bars(axes: Axes, panel: Panel, top: float, colour: str) -> None:
    axes.text(0, top - 0.8, panel.name, weight="bold", va="center")
    for line, use in enumerate(panel.uses):
        limits = use.bounds > MATTERS
        axes.barh(top + line, use.in_use, 0.78, color=colour, alpha=1.0 if limits else 0.4, **EDGE)
        axes.text(use.in_use + 0.03, top + line, percent(use.in_use), va="center")
        if limits:
            axes.text(RIGHT, top + line, percent(use.bounds), va="center", ha="right")
