"""Axes with units: linear or logarithmic, round ticks, labels from the table of units; and colours for numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from fusemap.validation.store_units import Scale, axis_label, scale_of, unit_of

Numbers: TypeAlias = NDArray[np.float64]
LOG_FROM = 8.0  # times as large as the least: from there an axis is logarithmic
_STEPS = (((1, 2, 3, 4, 5, 6, 7, 8, 9), 1), ((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3))


def is_log(values: Numbers) -> bool:
    """Whether positive values span so much that they are shown on a logarithmic axis."""
    return bool(len(values) and values.min() > 0 and values.max() >= LOG_FROM * values.min())


def set_axis(
    axes: Axes, which: Literal["x", "y"], column: str, values: Numbers, *, scale: Scale | None = None, most: int = 6
) -> Scale:
    """Limits, ticks and label of an axis for some values of a column; the scale in which to draw them."""
    scale = scale or scale_of(column, (values.min(), values.max()))
    axis: Axis = getattr(axes, f"{which}axis")
    low, high = float(values.min() * scale.factor), float(values.max() * scale.factor)
    limits: Any = getattr(axes, f"set_{which}lim")
    if is_log(values):
        getattr(axes, f"set_{which}scale")("log")
        margin = (high / low) ** 0.05
        limits(low / margin, high * margin)
        set_ticks(axis, log_ticks(low / margin, high * margin, base_of(column, low, high), most), scale)
    else:
        margin = 0.06 * (high - low) or 0.5 * abs(high) or 0.5
        limits(low - margin, high + margin)
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: scale.tick(value)))
    axis.set_minor_locator(NullLocator())
    getattr(axes, f"set_{which}label")(axis_label(column, scale), labelpad=2)
    return scale


def set_ticks(axis: Axis, ticks: Sequence[float], scale: Scale) -> None:
    """Ticks at some values, written as numbers."""
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: scale.tick(value)))


def log_ticks(low: float, high: float, base: int, most: int) -> list[float]:
    """Round values between two positive ones: powers of 2, or few times powers of 10; at most `most` of them.

    >>> log_ticks(0.8, 700, 10, 6), log_ticks(1, 4096, 2, 5)
    ([1.0, 3.0, 10.0, 30.0, 100.0, 300.0], [1.0, 8.0, 64.0, 512.0, 4096.0])
    """
    if base == 2:
        first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
        stride = next(n for n in range(1, 99) if (last - first) // n + 1 <= most)
        return [2.0**n for n in range(first, last + 1, stride)]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for steps, stride in (
        ((1, 2, 3, 4, 5, 6, 7, 8, 9), 1),
        ((1, 2, 5), 1),
        ((1, 3), 1),
        ((1,), 1),
        ((1,), 2),
        ((1,), 3),
    ):
        found = [s * 10.0**e for e in decades if e % stride == 0 for s in steps if low <= s * 10.0**e <= high]
        if len(found) <= most:
            break
    return found


def base_of(column: str, low: float, high: float) -> int:
    """Whether ticks are powers of 2 or of 10: as the unit's, and of plain numbers as their limits.

    >>> base_of("pe", 32.0, 512.0), base_of("pe", 10.0, 1000.0), base_of("latency_s", 1.0, 64.0)
    (2, 10, 10)
    """
    binary = all(value > 0 and math.log2(value).is_integer() for value in (low, high))
    return 2 if binary and not unit_of(column).symbol else unit_of(column).round_base


def norm_of(values: Numbers) -> Normalize:
    """How values become colours."""
    low, high = float(values.min()), float(values.max())
    if is_log(values):
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + (abs(low) or 1.0))


def colour_bar(figure: Figure, top: Axes, bottom: Axes, colours: ScalarMappable, column: str, scale: Scale) -> None:
    """A colour bar to the right of some panels, from the last of the first row to the last, with column and unit."""
    box, above = bottom.get_position(), top.get_position()
    width = figure.get_size_inches()[0]
    place = figure.add_axes((above.x1 + 0.1 / width, box.y0, 0.1 / width, above.y1 - box.y0))
    bar = figure.colorbar(colours, cax=place)
    axis = bar.ax.yaxis
    if isinstance(colours.norm, LogNorm):
        low, high = float(colours.norm.vmin or 1), float(colours.norm.vmax or 1)
        set_ticks(axis, log_ticks(low, high, base_of(column, low, high), 6), scale)
    else:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: scale.tick(value)))
    axis.set_minor_locator(NullLocator())
    place.spines[:].set_linewidth(0.4)
    bar.set_label(axis_label(column, scale), labelpad=2)
