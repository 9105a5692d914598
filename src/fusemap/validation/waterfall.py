"""A schedule as a waterfall: resources in rows, cycles to the right, one colour per iteration."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.mappers.interleave import Interleaving
from fusemap.mappers.modulo import Schedule
from fusemap.mappers.tasks import Transfer
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.actions import moved_words

WIDTH_IN = 7.0
ROW_IN, LANE_IN, GAP_IN, NAMES_IN = 0.26, 0.14, 0.12, 0.42
LEFT, ACROSS = 0.1, 0.865  # of the figure's width: names of the rows, and the cycles
MOST_PERIODS = 12
# Okabe and Ito's palette with the colour of text on it.
COLOURS: tuple[tuple[str, str], ...] = (
    ("#E69F00", "black"),
    ("#56B4E9", "black"),
    ("#D55E00", "white"),
    ("#009E73", "white"),
    ("#F0E442", "black"),
    ("#0072B2", "white"),
    ("#CC79A7", "black"),
    ("#BBBBBB", "black"),
)
SHADES = ("#FFFFFF", "#D9D9D9", "#BFBFBF", "#EEEEEE")  # of unit steps, which belong to several iterations
RC: Any = {"font.family": "STIXGeneral", "font.size": 8.5, "pdf.fonttype": 42, "svg.hashsalt": "fusemap"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Task `name` of an iteration on a row, in cycles; `lane` tells apart bars of a row that overlap."""

    row: str
    name: str
    iteration: int
    start: Fraction
    end: Fraction
    lane: int = 0


def transfers(problem: Problem, mapping: Mapping, machine: Machine) -> tuple[Transfer, ...]:
    """The words that each Einsum moves between the outermost memory and the chip."""
    outermost = machine.memories[0].name
    found = []
    for space in problem.spaces:
        for moved in moved_words(space, mapping.nest(space.name), machine, PRINCIPLED):
            if moved.count.memory == outermost:
                tensor = moved.count.operand.tensor
                for words, written in ((moved.read_words, False), (moved.written_words, True)):
                    if words:
                        found.append(Transfer(einsum=space.name, tensor=tensor, words=words, written=written))
    return tuple(found)


def waterfall_bars(schedule: Schedule, periods: int = 3) -> tuple[Bar, ...]:
    """The bars of so many periods once the pipeline is full, cut at both ends; 0 is the first period's begin.

    A result on its way between arrays is a bar of the row `drain`.
    """
    if not 1 <= periods <= MOST_PERIODS:
        raise input_error(f"a waterfall shows 1 to {MOST_PERIODS} periods, not {periods}")
    ticks, start = schedule.graph.ticks_per_cycle, schedule.start
    spans = [(t.resource, t.name, start[t.name], t.duration) for t in schedule.graph.tasks if t.duration]
    drains = {d.producer: d for d in schedule.graph.dependences if d.delay}
    spans += [("drain", n, start[n] + d.latency - d.delay, d.delay) for n, d in drains.items()]
    first, last = schedule.stages * schedule.interval, (schedule.stages + periods) * schedule.interval
    bars = []
    for row, name, at, duration in spans:
        for iteration in range(2 * schedule.stages + periods + 2):
            begin = max(first, at + iteration * schedule.interval)
            end = min(last, at + iteration * schedule.interval + duration)
            if begin < end:
                cycles = (Fraction(begin - first, ticks), Fraction(end - first, ticks))
                bars.append(Bar(row=row, name=name, iteration=iteration, start=cycles[0], end=cycles[1]))
    return _in_lanes(bars)


def _in_lanes(bars: Iterable[Bar]) -> tuple[Bar, ...]:
    """Each bar in the first lane of its row that is free."""
    placed: list[Bar] = []
    free: dict[tuple[str, int], Fraction] = {}
    for bar in sorted(bars, key=lambda b: (b.start, b.end)):
        lane = 0
        while free.get((bar.row, lane), Fraction(0)) > bar.start:
            lane += 1
        free[bar.row, lane] = bar.end
        placed.append(Bar(row=bar.row, name=bar.name, iteration=bar.iteration, start=bar.start, end=bar.end, lane=lane))
    return tuple(placed)


def draw_waterfall(schedule: Schedule, pattern: Interleaving | None = None, *, periods: int = 3) -> Figure:
    """The figure: the tiles of `periods` periods, below them the unit steps of one period if a pattern is given."""
    with matplotlib.rc_context(RC):
        bars = waterfall_bars(schedule, periods)
        rows = [*schedule.graph.resources, *(["drain"] if any(b.row == "drain" for b in bars) else [])]
        lanes = {row: 1 + max((b.lane for b in bars if b.row == row), default=0) for row in rows}
        height = sum(NAMES_IN + GAP_IN + (ROW_IN if n == 1 else n * LANE_IN) for n in lanes.values())
        zoom = 1.15 if pattern is not None else 0.0
        total = height + zoom + 1.35
        figure = Figure(figsize=(WIDTH_IN, total))
        axes = figure.add_axes((LEFT, (1.0 + zoom) / total, ACROSS, height / total))
        _tiles(axes, schedule, bars, lanes, height, periods)
        _legend(figure, bars, (0.57 + zoom) / total)
        figure.text(0.012, 1 - 0.08 / total, _title(schedule), va="top", fontsize=9)
        if pattern is not None:
            _unit_steps(figure, pattern, zoom, total)
        return figure


def render_waterfall(
    schedule: Schedule, suffix: str, pattern: Interleaving | None = None, *, periods: int = 3
) -> bytes:
    """The figure as the content of an `svg`, `png` (200 dots per inch) or `pdf` file; equal input, equal bytes."""
    return figure_bytes(lambda: draw_waterfall(schedule, pattern, periods=periods), suffix, "a waterfall")


def figure_bytes(draw: Callable[[], Figure], suffix: str, what: str) -> bytes:
    """A figure as the content of a file, without date and program; InputError for a suffix that is none of three."""
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    if suffix not in metadata:
        raise input_error(f'{what} is a file of type {", ".join(metadata)}, not "{suffix}"')
    buffer = io.BytesIO()
    with matplotlib.rc_context(RC):
        draw().savefig(buffer, format=suffix, dpi=200, metadata=metadata[suffix])
    return buffer.getvalue()


def _title(schedule: Schedule) -> str:
    interval = _number(schedule.interval_cycles)
    least = Fraction(schedule.proven, schedule.graph.ticks_per_cycle)
    proof = "proven least" if schedule.gap == 0 else f"at least {_number(least)} needed"
    return f"{schedule.graph.name}: one iteration every {interval} cycles ({proof})"


def _number(cycles: Fraction) -> str:
    return f"{cycles.numerator:,}" if cycles.denominator == 1 else f"{float(cycles):,.2f}"


# --- tiles ------------------------------------------------------------------------------------------


def _tiles(
    axes: Axes, schedule: Schedule, bars: Sequence[Bar], lanes: dict[str, int], height: float, periods: int
) -> None:
    interval = float(schedule.interval_cycles)
    axes.set_xlim(0, periods * interval)
    axes.set_ylim(height, 0)
    top = 0.0
    for row, count in lanes.items():
        top += NAMES_IN
        depth = ROW_IN if count == 1 else LANE_IN
        mine = [b for b in bars if b.row == row]
        for bar in mine:
            _bar(axes, bar, top + bar.lane * depth, depth)
        _names(axes, mine, top, interval, depth if count == 1 else 0.0)
        middle = top + count * depth / 2
        axes.text(-0.008, middle, row, transform=axes.get_yaxis_transform(), ha="right", va="center")
        top += count * depth + GAP_IN
    for n in range(1, periods):
        axes.axvline(n * interval, color="black", linewidth=0.9, linestyle=(0, (4, 2)), zorder=0)
    axes.set_yticks([])
    ticks = [n * interval for n in range(periods + 1)]
    axes.set_xticks(ticks, [_number(schedule.interval_cycles * n) for n in range(periods + 1)])
    axes.set_xlabel("cycles; dashed: one initiation interval", labelpad=1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _bar(axes: Axes, bar: Bar, top: float, depth: float) -> None:
    colour, _ = COLOURS[bar.iteration % len(COLOURS)]
    left, width = float(bar.start), float(bar.end - bar.start)
    axes.add_patch(Rectangle((left, top), width, depth, facecolor=colour, edgecolor="black", linewidth=0.3))


def _fits(axes: Axes, bar: Bar, text: str) -> bool:
    per_cycle = ACROSS * WIDTH_IN / (axes.get_xlim()[1] - axes.get_xlim()[0])
    return float(bar.end - bar.start) * per_cycle > 0.075 * len(text) + 0.04


def _names(axes: Axes, bars: Sequence[Bar], top: float, interval: float, depth: float) -> None:
    """Names in the bars that are wide enough; those of narrow ones above, once, in the second period."""
    narrow = []
    named: set[str] = set()
    for bar in sorted(bars, key=lambda b: b.start):
        if _fits(axes, bar, bar.name):
            size = ROW_IN if depth else LANE_IN
            y = top + bar.lane * (depth or LANE_IN) + size / 2
            ink = COLOURS[bar.iteration % len(COLOURS)][1]
            fontsize = 8.5 if depth else 7
            axes.text(
                float(bar.start + bar.end) / 2, y, bar.name, ha="center", va="center", color=ink, fontsize=fontsize
            )
        elif interval <= float(bar.start) < 2 * interval and bar.name not in named:
            named.add(bar.name)
            narrow.append(bar)
    _names_above(axes, narrow, top)


def _names_above(axes: Axes, bars: Sequence[Bar], top: float) -> None:
    """Names side by side above the row, each tied to its bar by a line."""
    per_inch = (axes.get_xlim()[1] - axes.get_xlim()[0]) / (ACROSS * WIDTH_IN)
    widths = [(0.068 * len(bar.name) + 0.07) * per_inch for bar in bars]
    centres = [float(bar.start + bar.end) / 2 for bar in bars]
    for i, x in enumerate(side_by_side(centres, widths)):
        y = top - 0.2
        axes.plot([centres[i], x], [top, y], color="black", linewidth=0.4, zorder=5)
        clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.text(x, y - 0.01, bars[i].name, ha="center", va="bottom", fontsize=7.5, zorder=6, bbox=clear)


def side_by_side(centres: Sequence[float], widths: Sequence[float]) -> list[float]:
    """Positions in order that do not overlap and lie close to the centres: groups that touch are centred together."""
    groups: list[tuple[list[int], float, float]] = []
    for i, centre in enumerate(centres):
        members, left, width = [i], centre - widths[i] / 2, widths[i]
        while groups and groups[-1][1] + groups[-1][2] > left:
            before = groups.pop()
            members, width = before[0] + members, before[2] + width
            left = sum(centres[m] for m in members) / len(members) - width / 2
        groups.append((members, left, width))
    found = [0.0] * len(centres)
    for members, left, _ in groups:
        for m in members:
            found[m] = left + widths[m] / 2
            left += widths[m]
    return found


def _legend(figure: Figure, bars: Sequence[Bar], y: float) -> None:
    shown = sorted({bar.iteration for bar in bars})
    handles = [Patch(facecolor=COLOURS[i % len(COLOURS)][0], edgecolor="black", linewidth=0.3) for i in shown]
    names = [f"{i - shown[0] + 1}" for i in shown]
    figure.legend(
        handles,
        names,
        loc="upper center",
        bbox_to_anchor=(0.5, y),
        ncols=len(shown) + 1,
        frameon=False,
        title="iteration",
        title_fontsize=8.5,
        handlelength=1.2,
        columnspacing=1.2,
        handletextpad=0.4,
    )


# --- unit steps -------------------------------------------------------------------------------------


def _unit_steps(figure: Figure, pattern: Interleaving, zoom: float, total: float, shown: int = 16) -> None:
    """The first cycles of the pattern, one cell a cycle."""
    axes = figure.add_axes((LEFT, 0.36 / total, ACROSS, (zoom - 0.62) / total))
    count = min(shown, pattern.period)
    axes.set_xlim(0, count)
    axes.set_ylim(len(pattern.slots), 0)
    for y, (resource, slots) in enumerate(pattern.slots):
        names = list(dict.fromkeys(slots[:count]))
        for x, name in enumerate(slots[:count]):
            colour = SHADES[names.index(name) % len(SHADES)]
            axes.add_patch(Rectangle((x, y + 0.08), 1, 0.84, facecolor=colour, edgecolor="black", linewidth=0.3))
            axes.text(x + 0.5, y + 0.5, name or "", ha="center", va="center", fontsize=7)
        axes.text(-0.008, y + 0.5, resource, transform=axes.get_yaxis_transform(), ha="right", va="center")
    axes.set_yticks([])
    axes.set_xticks(range(count + 1), [str(n) for n in range(count + 1)], fontsize=7.5)
    axes.set_xlabel(
        f"cycles of the period of {pattern.period}, unit steps; {pattern.waiting} words per lane wait", labelpad=1
    )
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
