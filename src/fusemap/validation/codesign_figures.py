"""Three figures: machines at equal area, keys and values that are read again, and the cost of an exponential."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fusemap.validation.codesign_tables import Entry, front_of
from fusemap.validation.exp_sensitivity import Swept
from fusemap.validation.figures import short_length
from fusemap.validation.figures_draw import style
from fusemap.validation.rereads import Reread, curve

BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#777777"
ORDERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("uniform", "FuseMax: blocks of equal size", {"color": BLUE, "linestyle": "-", "linewidth": 1.2}),
    ("ragged", "ragged: as many queries as fit", {"color": RED, "linestyle": "--", "linewidth": 1.4}),
    ("turning", "ragged, turning back at each end", {"color": GREEN, "linestyle": "-.", "linewidth": 1.4}),
    ("keys", "keys stay, states of queries pass", {"color": GREY, "linestyle": ":", "linewidth": 1.2}),
)


ROOMS = tuple(round(2 ** (20 + i / 8)) for i in range(49))  # 1 to 64 MiB
PANELS = tuple(f"{model}@{length}" for model in ("BERT", "XLM") for length in ("16K", "64K", "256K", "1M"))


def fingerprint(values: Iterable[object]) -> str:
    """A digest of what a figure shows, numbers to 6 digits, which its file carries."""
    shown = [f"{v:.6g}" if isinstance(v, float) else str(v) for v in values]
    return hashlib.sha256(" ".join(shown).encode()).hexdigest()[:16]


def front_values(entries: Sequence[Entry]) -> list[object]:
    """What the figure of the machines shows."""
    return [v for e in entries for v in (e.site, *e.triple)]


def rereads_values(panels: Sequence[Sequence[Reread]]) -> list[object]:
    """What the figure of the traffic shows."""
    return [
        v for rows in panels for r in rows for v in (r.workload, r.room_bytes, *(getattr(r, n) for n, *_ in ORDERS))
    ]


def exp_values(rows: Sequence[Swept]) -> list[object]:
    """What the figure of the exponential shows."""
    return [v for r in rows if "speed-up" in r.claim for v in (r.claim, r.cycles, r.mean, *(x for _, x in r.by_length))]


def pictures(entries: Sequence[Entry], swept: Sequence[Swept]) -> dict[str, tuple[Figure, list[object]]]:
    """The documentation's three figures by file name, each with what it shows: `render` makes its bytes."""
    panels = [tuple(curve(reference, ROOMS)) for reference in PANELS]
    return {
        "codesign-front.png": (draw_front(entries), front_values(entries)),
        "rereads.png": (draw_rereads(panels), rereads_values(panels)),
        "exp-sensitivity.png": (draw_exp(swept), exp_values(swept)),
    }


def render(figure: Figure, shown: Iterable[object]) -> bytes:
    """A PNG file with the fingerprint of what it shows; equal figures give equal bytes."""
    content = io.BytesIO()
    with style():
        metadata = {"Software": None, "Description": fingerprint(shown)}
        figure.savefig(content, format="png", dpi=200, metadata=metadata)
    return content.getvalue()


def draw_front(entries: Sequence[Entry]) -> Figure:
    """Latency over area of every machine, those that no other one beats, and the baseline; right: the corner."""
    with style():
        figure = Figure(figsize=(7.0, 2.7))
        wide, near = figure.subplots(1, 2, width_ratios=(3, 2))
        figure.subplots_adjust(left=0.08, right=0.985, bottom=0.16, top=0.86, wspace=0.24)
        front = front_of(entries)
        for axes in (wide, near):
            _scatter(axes, entries, front)
        wide.set_yscale("log")
        wide.yaxis.set_major_locator(FixedLocator([1, 2, 4, 8, 16, 32]))
        wide.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        wide.yaxis.set_minor_locator(NullLocator())
        wide.set_ylabel("latency / FuseMax's")
        near.set_xlim(0.9918, 1.0009)
        near.set_ylim(0.945, 1.115)
        for axes in (wide, near):
            axes.set_xlabel("area / FuseMax's")
        near.set_title("65,536 elements", fontsize=8.5)
        handles, labels = wide.get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper left", ncols=4, bbox_to_anchor=(0.06, 1.0), handletextpad=0.2)
        _label(near, entries)
        return figure


def _scatter(axes: Axes, entries: Sequence[Entry], front: Sequence[Entry]) -> None:
    axes.grid(axis="both")
    rest = [e for e in entries if e not in front]
    axes.scatter(*_xy(rest), s=7, facecolors="none", edgecolors=GREY, linewidths=0.5, label="machine")
    axes.scatter(*_xy(front), s=9, color=BLUE, label="not beaten")
    better = [e for e in entries if e.within]
    axes.scatter(*_xy(better), s=26, facecolors="none", edgecolors=RED, linewidths=0.9, label="nothing worse")
    axes.scatter([1], [1], s=36, marker="x", color="black", linewidths=1.2, label="FuseMax")


def _label(axes: Axes, entries: Sequence[Entry]) -> None:
    """Lanes of the machines in the corner, where their latencies fall."""
    for lanes, y in ((256, 0.985), (128, 0.985), (64, 1.06)):
        areas = [e.ratios.area for e in entries if dict(e.site.parameters)["lanes"] == lanes and e.within]
        x = min(areas, default=0.9938 if lanes == 64 else 0)
        axes.text(min(x, 0.9995), y, f"{lanes} lanes", ha="center", size=8)


def _xy(entries: Sequence[Entry]) -> tuple[list[float], list[float]]:
    return [e.ratios.area for e in entries], [e.ratios.latency for e in entries]


def draw_rereads(panels: Sequence[Sequence[Reread]]) -> Figure:
    """Traffic over room on chip, a panel for each workload, in rows of four; the floor is what the passes need."""
    with style():
        rows = math.ceil(len(panels) / 4)
        height = 0.85 + 1.75 * rows
        figure = Figure(figsize=(7.0, height))
        grid = figure.subplots(rows, 4, sharex=True, squeeze=False)
        top = 1 - 0.62 / height
        figure.subplots_adjust(left=0.075, right=0.99, bottom=0.115, top=top, wspace=0.27, hspace=0.28)
        for axes, series in zip(grid.flat, panels, strict=False):
            _panel(axes, series)
        for axes in grid[-1]:
            axes.set_xlabel("buffer (MiB)")
        for line in grid:
            line[0].set_ylabel("traffic / compulsory")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper left", ncols=3, bbox_to_anchor=(0.05, 1.0), columnspacing=1.2)
        return figure


def _panel(axes: Axes, series: Sequence[Reread]) -> None:
    rooms = [r.room_bytes / 2**20 for r in series]
    for name, label, line in ORDERS:
        axes.plot(rooms, [getattr(r, name) for r in series], label=label, **line)
    axes.axhline(1, color="black", linewidth=1.6, label="bound of one pass: compulsory")
    axes.axvline(16, color=GREY, linewidth=0.5)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
    axes.xaxis.set_minor_locator(NullLocator())
    top = max(v for r in series for v in (r.uniform, r.keys) if math.isfinite(v))
    axes.set_ylim(0.85, top * 1.2)
    axes.yaxis.set_major_locator(FixedLocator([t for t in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) if t < top * 1.2]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(series[0].workload, fontsize=8.5, pad=2)
    axes.grid(axis="both")


def draw_exp(rows: Sequence[Swept]) -> Figure:
    """Mean speed-up over cycles of an exponential: attention, and end to end, with the means at each length."""
    with style():
        figure = Figure(figsize=(7.0, 2.5))
        panels = figure.subplots(1, 2, sharey=True)
        figure.subplots_adjust(left=0.075, right=0.92, bottom=0.17, top=0.9, wspace=0.3)
        for axes, whole in zip(panels, (False, True), strict=True):
            _speed_ups(axes, [r for r in rows if r.end_to_end == whole and "speed-up" in r.claim])
            axes.set_title("end to end" if whole else "attention", fontsize=8.5, pad=3)
            axes.set_xlabel("cycles of subtract and exp on FLAT's 1D array")
        panels[0].set_ylabel("mean speed-up over FLAT")
        return figure


def _speed_ups(axes: Axes, rows: Sequence[Swept]) -> None:
    cycles = [r.cycles for r in rows]
    for i, (length, _) in enumerate(rows[0].by_length):
        values = [dict(r.by_length)[length] for r in rows]
        if i in (0, len(rows[0].by_length) - 1):
            axes.text(cycles[-1] + 0.2, values[-1], short_length(length), va="center", size=7.5)
        axes.plot(cycles, values, color=GREY, linewidth=0.7)
    axes.plot(cycles, [r.mean for r in rows], color=BLUE, linewidth=1.6)
    means = {r.cycles: r.mean for r in rows}
    named = [(1, "FLAT's unit"), (2, "not pipelined"), (7, "FuseMax's chain")]
    shown = [(n, text) for n, text in named if n in means]
    axes.plot([n for n, _ in shown], [means[n] for n, _ in shown], "o", markersize=3.5, color=BLUE)
    lines = "\n".join(f"{n}: {text}, {means[n]:.2f}" for n, text in shown)
    axes.text(0.03, 0.97, f"mean at\n{lines}", transform=axes.transAxes, va="top", size=7.5, linespacing=1.3)
    axes.set_xticks(cycles)
    axes.set_ylim(0, None)
    axes.grid(axis="both")
