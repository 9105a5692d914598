"""Quantities over time as steps below a timeline: bytes with binary prefixes, other units with decimal ones."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fusemap.sim.timeline import Counter, Timeline
from fusemap.sim.timeline_window import extent

COLOUR = "#0072B2"
MOST_SAMPLES = 4000
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ("", "k", "M", "G", "T", "P")


def scale(largest: float, unit: str) -> tuple[float, str]:
    """What a value is divided by, and the unit of the quotient: bytes by powers of 1,024, rates by powers of 1,000.

    >>> scale(3 * 2**20, "bytes"), scale(4e11, "B/s"), scale(425.5, "B/cycle")
    ((1048576.0, 'MiB'), (1000000000.0, 'GB/s'), (1.0, 'B/cycle'))
    """
    power = 0
    if unit in ("B", "bytes"):
        while largest >= 1024 ** (power + 1) and power < len(_BINARY) - 1:
            power += 1
        return float(1024**power), _BINARY[power]
    if unit.endswith("/s"):
        while largest >= 1000 ** (power + 1) and power < len(_DECIMAL) - 1:
            power += 1
    return float(1000**power), _DECIMAL[power] + unit


def draw_counter(axes: Axes, timeline: Timeline, counter: Counter) -> None:
    """The steps from the counter's first sample to the end of the timeline, its name and unit above."""
    first, last = (timeline.cycles(tick) for tick in extent(timeline))
    largest = max((value for _, value in counter.samples), default=0.0)
    divisor, unit = scale(largest, counter.unit)
    samples = [(timeline.cycles(tick), value / divisor) for tick, value in counter.samples]
    samples = _thinned(samples, first, last)
    if samples:
        times = [time for time, _ in samples] + [last]
        values = [value for _, value in samples] + [samples[-1][1]]
        axes.fill_between(times, values, step="post", facecolor=COLOUR, alpha=0.22, linewidth=0)
        axes.step(times, values, where="post", color=COLOUR, linewidth=0.8)
    axes.set_xlim(first, last)
    axes.set_ylim(0, 1.12 * largest / divisor or 1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 4, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.tick_params(axis="y", labelsize=7.5, length=2, pad=2)
    axes.text(0, 1.04, f"{counter.name} ({unit})", transform=axes.transAxes, va="bottom", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _thinned(samples: Sequence[tuple[float, float]], first: float, last: float) -> list[tuple[float, float]]:
    """Of many samples the first, least, greatest and last of each of a thousand columns: what the eye can see."""
    if len(samples) <= MOST_SAMPLES:
        return list(samples)
    columns: dict[int, list[tuple[float, float]]] = {}
    for sample in samples:
        columns.setdefault(int((sample[0] - first) / (last - first) * (MOST_SAMPLES // 4)), []).append(sample)
    kept: list[tuple[float, float]] = []
    for _, column in sorted(columns.items()):
        low, high = min(column, key=lambda s: s[1]), max(column, key=lambda s: s[1])
        kept += dict.fromkeys(sorted({column[0], low, high, column[-1]}, key=lambda s: (s[0], column.index(s))))
    return kept
