"""The trade-off between passes, time, traffic and work as a picture: a row for each cascade, a panel for each cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fusemap.validation.derive_gains import Gain, Gains, Mapped
from fusemap.validation.plots_page import COLUMN_IN, PAGE_IN, Grid, page, rendered

# Okabe and Ito's palette by the number of passes, with a hatch each for readers without colours
PASSES: tuple[tuple[str, str], ...] = (
    ("#0072B2", ""),
    ("#E69F00", "////"),
    ("#D55E00", "...."),
    ("#CC79A7", "xxxx"),
)
ROW_IN, NAMES_IN = 0.17, 1.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A panel: its name, its unit and prefixes, and the value of a mapping in that unit (None: not known)."""

    name: str
    unit: str
    base: int
    value: Callable[[Mapped], float | None]


COSTS = (
    Cost(name="latency", unit="s", base=1000, value=lambda m: m.latency_s),
    Cost(name="off-chip traffic", unit="B", base=1024, value=lambda m: m.traffic_bytes),
    Cost(name="energy", unit="J", base=1000, value=lambda m: None if m.energy_pj is None else m.energy_pj * 1e-12),
    Cost(name="operations", unit="", base=1000, value=lambda m: float(m.operations)),
    Cost(name="buffer in use", unit="B", base=1024, value=lambda m: m.buffer_bytes),
)


def render_gains(of: Gains, suffix: str, *, width: float = PAGE_IN) -> bytes:
    """The picture as the content of a `png`, `pdf` or `svg` file; equal gains give equal bytes."""
    shown = [v for r in of.rows if r.mapped for c in COSTS for v in (r.name, c.name, c.value(r.mapped))]
    return rendered(lambda: draw_gains(of, width=width), suffix, [of.arch, of.workload, *shown])


def draw_gains(of: Gains, *, width: float = PAGE_IN) -> Figure:
    """The figure: 7 inches wide with all panels side by side, 3.5 inches with two."""
    rows = [row for row in of.rows if row.mapped is not None]
    costs = [cost for cost in COSTS if all(cost.value(r.mapped) is not None for r in rows if r.mapped)][:4]
    across = len(costs) if width > COLUMN_IN else 2
    down = -(-len(costs) // across)
    grid = Grid(
        height=ROW_IN * len(rows), rows=down, columns=across, left=NAMES_IN, top=0.2, gap=0.24, between=0.46, right=0.13
    )
    title = f"{rows[0].name} and what is derived from it over {of.rank}: {of.arch}, {of.workload}"
    figure, panels = page(width, title, _notes(rows), grid)
    for number, (axes, cost) in enumerate(zip(panels, costs, strict=True)):
        _panel(axes, rows, cost)
        if number % across == 0:
            axes.set_yticks(range(len(rows)), [_name(row, rows[0].name) for row in rows])
            axes.tick_params(axis="y", length=0)
    _legend(figure, panels[0], rows)
    return figure


def _panel(axes: Axes, rows: Sequence[Gain], cost: Cost) -> None:
    values = [float(cost.value(row.mapped) or 0.0) for row in rows if row.mapped is not None]
    factor, unit = prefixed(max(values), cost)
    for y, (row, value) in enumerate(zip(rows, values, strict=True)):
        colour, hatch = PASSES[min(row.passes, len(PASSES)) - 1]
        axes.barh(y, value * factor, height=0.72, color=colour, hatch=hatch, edgecolor="black", linewidth=0.4)
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}
        axes.text(
            0.02, y, _number(value * factor), va="center", size=7, transform=axes.get_yaxis_transform(), bbox=clear
        )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, max(values) * factor * 1.04)
    axes.set_yticks([])
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel(f"{cost.name}{f' [{unit}]' if unit else ''}", labelpad=2)


def prefixed(largest: float, cost: Cost) -> tuple[float, str]:
    """The factor and unit in which the largest value has one to three digits before the point.

    >>> prefixed(0.4585, COSTS[0]), prefixed(6.4e9, COSTS[1])
    ((1000.0, 'ms'), (9.313225746154785e-10, 'GiB'))
    """
    names = (
        ("n", "u", "m", "", "k", "M", "G", "T", "P", "E") if cost.base == 1000 else ("", "Ki", "Mi", "Gi", "Ti", "Pi")
    )
    first = -3 if cost.base == 1000 else 0
    power = first
    while power < first + len(names) - 1 and largest >= float(cost.base) ** (power + 1):
        power += 1
    if not cost.unit:
        return 10.0 ** (-3 * power), f"$\\mathdefault{{10^{{{3 * power}}}}}$" if power else ""
    return float(cost.base) ** -power, f"{names[power - first]}{cost.unit}"


def _number(value: float) -> str:
    """Three digits that matter.

    >>> _number(458.47), _number(6.0), _number(0.1234)
    ('458', '6.00', '0.123')
    """
    return f"{value:#.3g}".rstrip(".") if value < 999.5 else f"{value:,.0f}"


def _name(row: Gain, original: str) -> str:
    return "as written" if row.name == original else row.name.removeprefix(f"{original}-")


def _notes(rows: Sequence[Gain]) -> list[str]:
    """What the chunks are, and which rows are not proven."""
    chunks = {f"{part} = {size:,}" for row in rows if row.mapped for part, size in row.mapped.chunks[-1:]}
    open_ = [_name(row, rows[0].name) for row in rows if row.mapped and not row.mapped.proven]
    notes = ["Each with the mapping of least latency."]
    notes += [f"Chunks: {', '.join(sorted(chunks))}."] if chunks else []
    notes += [f"Not proven to be the least: {', '.join(open_)}."] if open_ else []
    return [" ".join(notes)]


def _legend(figure: Figure, axes: Axes, rows: Sequence[Gain]) -> None:
    """Colours of the numbers of passes, above the panels."""
    numbers = sorted({row.passes for row in rows})
    styles = [PASSES[min(n, len(PASSES)) - 1] for n in numbers]
    handles = [Patch(facecolor=c, hatch=h, edgecolor="black", linewidth=0.4) for c, h in styles]
    names = [f"{n} pass{'' if n == 1 else 'es'}" for n in numbers]
    inches = figure.get_size_inches()
    place = (0.06 / inches[0], axes.get_position().y1 + 0.05 / inches[1])
    small: Any = {"handlelength": 1.3, "handleheight": 0.8, "columnspacing": 1.0, "handletextpad": 0.4, "borderpad": 0}
    figure.legend(handles, names, loc="lower left", bbox_to_anchor=place, ncols=len(names), borderaxespad=0, **small)
