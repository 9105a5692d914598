"""The picture of a study, drawn: speed-up over length, energy by component, use of the resources."""

from __future__ import annotations

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.validation.figures import short_length
from fusemap.validation.figures_draw import EDGE, RC, STYLES, WIDTH_IN
from fusemap.validation.figures_picture import Panel, PictureData
from fusemap.validation.reasons import percent

MARKERS = ("s", "^", "o", "D")
COLOURS = ("#777777", "#E69F00", "#0072B2", "#009E73")
PARTS = (STYLES[4], STYLES[5], STYLES[7], STYLES[0])


def draw_picture(data: PictureData) -> Figure:
    """Three panels: how much faster, how much energy, and why."""
    with matplotlib.rc_context(dict(RC)):
        figure = Figure(figsize=(WIDTH_IN, 2.75))
        grid = {"width_ratios": (1.0, 0.95, 1.15), "wspace": 0.34}
        panels = figure.subplots(1, 3, gridspec_kw=grid)
        figure.subplots_adjust(left=0.055, right=0.995, bottom=0.135, top=0.9)
        _speed_up(panels[0], data)
        _energy(panels[1], data)
        _uses(panels[2], data)
        return figure


def _speed_up(axes: Axes, data: PictureData) -> None:
    """Mean over the models as a line, their range as a band, the sensitivity dashed."""
    places = range(len(data.lengths))
    baseline = data.panels[0].name
    for index, panel in enumerate(data.panels):
        colour = COLOURS[index % len(COLOURS)]
        means = [s.mean for s in panel.speed_up]
        axes.plot(places, means, color=colour, marker=MARKERS[index % len(MARKERS)], markersize=3.5, linewidth=1.2)
        low, high = [s.least for s in panel.speed_up], [s.largest for s in panel.speed_up]
        axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.annotate(
            _label(panel.name, means), (places[-1], means[-1]), (0, 5), textcoords="offset points", ha="right"
        )
        if panel.sensitive:
            other = [s.mean for s in panel.sensitive]
            axes.plot(places, other, color=colour, linestyle="--", linewidth=1.0)
    axes.set_xticks(list(places), [short_length(n) for n in data.lengths])
    axes.set_ylim(0, 1.12 * max(s.largest for p in data.panels for s in p.speed_up))
    axes.set_title(f"speed-up over {baseline}", loc="left")
    axes.set_xlabel("sequence length (tokens)")
    axes.grid(axis="y")


def _label(name: str, means: list[float]) -> str:
    return f"{name} {sum(means) / len(means):.2g}x"


def _energy(axes: Axes, data: PictureData) -> None:
    """Stacked parts of the energy against the baseline's; a diamond where it is with the slips corrected."""
    for index, panel in enumerate(data.panels):
        bottom = 0.0
        for (part, share), (colour, hatch) in zip(panel.energy, PARTS, strict=False):
            label = part if index == 0 else None
            axes.bar(index, share, 0.62, bottom=bottom, color=colour, hatch=hatch, label=label, **EDGE)
            bottom += share
        axes.annotate(f"{bottom:.2f}", (index, bottom), (0, 3), textcoords="offset points", ha="center")
        axes.plot([index + 0.4], [panel.corrected_energy], marker="D", color="black", markersize=3.5, linestyle="none")
    axes.plot([], [], marker="D", color="black", markersize=3.5, linestyle="none", label="slips corrected")
    axes.set_xticks(range(len(data.panels)), [p.name for p in data.panels])
    axes.set_ylim(0, 1.75)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.legend(loc="upper left", borderaxespad=0, handlelength=1.4, labelspacing=0.25)
    axes.set_title(f"energy over {data.panels[0].name}'s", loc="left")


def _uses(axes: Axes, data: PictureData) -> None:
    """A bar per resource and configuration: how much is in use, and how often it sets the pace."""
    count = len(data.panels[0].uses)
    for index, panel in enumerate(data.panels):
        _use_bars(axes, panel, index * (count + 0.9), COLOURS[index % len(COLOURS)])
    axes.set_xlim(0, 1.75)
    axes.set_xticks([0, 0.5, 1.0], ["0", "50 %", "100 %"])
    axes.invert_yaxis()
    axes.tick_params(left=False, labelleft=False)
    axes.spines["left"].set_visible(False)
    axes.set_title("why: in use, and share of time it limits", loc="left")


def _use_bars(axes: Axes, panel: Panel, top: float, colour: str) -> None:
    axes.text(0, top - 0.75, panel.name, weight="bold", va="center")
    for line, use in enumerate(panel.uses):
        axes.barh(top + line, use.in_use, 0.78, color=colour, alpha=1.0 if use.bounds > 0.005 else 0.45, **EDGE)
        limit = f", limits {percent(use.bounds)}" if use.bounds > 0.005 else ""
        axes.text(use.in_use + 0.03, top + line, f"{use.resource} {percent(use.in_use)}{limit}", va="center")
