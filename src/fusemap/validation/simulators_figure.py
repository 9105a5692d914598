"""The three fidelities as a picture: how a run nears the formula, and what stage by stage costs beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.sim.cycle_times import Order
from fusemap.validation.simulators import Agreement, GridModel, SizesModel, agreement, load_grid
from fusemap.validation.waterfall import RC, figure_bytes

WIDTH_IN, HEIGHT_IN = 7.0, 3.1
BINDING, ARCH = "fusemax-binding", "fusemax-arch"
SIDES = (4, 8, 16)
HEADS = (1, 2, 4, 8)
COLOURS = {4: "#0072B2", 8: "#D55E00", 16: "#009E73"}  # Okabe and Ito
PARTS = (
    ("the published formula", "#BBBBBB"),
    ("RM climbs back up the rows: R", "#E69F00"),
    ("RNV waits for SLNV: R + 1 - F", "#56B4E9"),
)
_RC: Any = {**RC, "hatch.linewidth": 0.45}


def render_fidelities(suffix: str) -> bytes:
    """The picture as the content of a `png`, `pdf` or `svg` file; runs its own configurations (half a minute)."""
    grid = load_grid()
    near = {side: [_row(grid, BINDING, "interleaved", side, side, heads) for heads in HEADS] for side in SIDES}
    far = [_row(grid, ARCH, "stages", side, 8, 1) for side in (2, 4, 8, 16, 32)]
    return figure_bytes(lambda: draw_fidelities(near, far), suffix, "the cross-check of the simulators")


def _row(grid: GridModel, dataflow: str, order: Order, side: int, f: int, heads: int) -> Agreement:
    sizes = SizesModel(rows=side, columns=side, E=f, F=f, chunks=4, tiles=2, heads=heads)
    return agreement(grid, dataflow, order, sizes)


def draw_fidelities(near: dict[int, list[Agreement]], far: Sequence[Agreement]) -> Figure:
    """Left: cycles / formula against the length of the run. Right: cycles per iteration of +Architecture, executed."""
    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN))
        left, right = figure.subplots(1, 2)
        _near(left, near)
        _far(right, far)
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.155, top=0.9, wspace=0.25)
        return figure


def _near(axes: Axes, near: dict[int, list[Agreement]]) -> None:
    axes.axhline(1, color="black", linewidth=0.8)
    for side, rows in near.items():
        iterations = [row.iterations for row in rows]
        ratio = [row.cycle / row.formula for row in rows]
        tile = [row.tile_filled / row.formula for row in rows]
        colour = COLOURS[side]
        axes.plot(iterations, ratio, "o-", color=colour, markersize=4, linewidth=1, label=f"{side} x {side}")
        axes.plot(iterations, tile, "x", color=colour, markersize=5)
    axes.plot([], [], "o-", color="black", markersize=4, linewidth=1, label="cycle level")
    axes.plot([], [], "x", color="black", markersize=5, label="tile level, with start and ways")
    axes.set_xscale("log", base=2)
    axes.set_xticks(iterations, [str(n) for n in iterations])
    axes.minorticks_off()
    axes.set_ylim(0.98, None)
    axes.set_xlabel("iterations (chunks x tiles x heads), E = F = rows")
    axes.set_ylabel("cycles / formula")
    axes.set_title("+Binding nears its formula", fontsize=9)
    axes.text(iterations[-1], 1.003, "tile level without effects", ha="right", va="bottom", fontsize=7.5)
    axes.legend(frameon=False, fontsize=7.5)


def _far(axes: Axes, far: Sequence[Agreement]) -> None:
    for at, row in enumerate(far):
        formula = float(row.per_iteration)
        parts = (formula, row.rows, max(0, row.rows + 1 - row.F))
        bottom = 0.0
        for (_, colour), part in zip(PARTS, parts, strict=True):
            axes.bar(at, part, bottom=bottom, color=colour, edgecolor="black", linewidth=0.3, width=0.6)
            bottom += part
        axes.plot([at - 0.36, at + 0.36], [row.steady, row.steady], color="black", linewidth=1.6)
        axes.text(at, row.steady + 2, f"{row.steady:g}", ha="center", va="bottom", fontsize=7.5)
    handles = [axes.bar(0, 0, color=colour, edgecolor="black", linewidth=0.3) for _, colour in PARTS]
    (executed,) = axes.plot([], [], color="black", linewidth=1.6)
    names = [*(name for name, _ in PARTS), "executed, cycle level"]
    axes.legend([*handles, executed], names, frameon=False, fontsize=7.5, loc="upper left")
    axes.set_xticks(range(len(far)), [f"{row.rows}" for row in far])
    axes.set_ylim(0, 1.15 * max(row.steady for row in far))
    axes.set_xlabel("rows R = columns, E = F = 8")
    axes.set_ylabel("cycles per chunk and tile")
    axes.set_title("+Architecture waits longer than published", fontsize=9)
