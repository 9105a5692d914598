"""Pictures of results for notebooks: the drawings of the commands, as PNG that a cell shows.

Each function takes a result of the package or the path of a sweep's store. Nothing is imported before it is drawn.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fusemap.mappers.interleave import Interleaving
    from fusemap.mappers.modulo import Schedule
    from fusemap.sim.simulation import Simulation
    from fusemap.sim.timeline import Timeline
    from fusemap.validation.cuda_check import CudaCheck
    from fusemap.validation.pareto import Pareto
    from fusemap.validation.reproduction import Reproduction

DOTS_PER_INCH, ON_SCREEN = 200, 110  # pictures are twice as fine as a page shows them


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG of 200 dots per inch that a notebook shows at its size on paper."""

    png: bytes = field(repr=False)

    @property
    def pixels(self) -> tuple[int, int]:
        """Width and height, from the header of the file."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    def save(self, path: str | PathLike[str]) -> None:
        """Write the PNG."""
        Path(path).write_bytes(self.png)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return self.png, {"width": self.pixels[0] * ON_SCREEN // DOTS_PER_INCH}


def claims(found: Reproduction) -> Picture:
    """A study in one picture: how much faster, how much energy, and why; InputError where it has none."""
    from fusemap.diagnostics import input_error
    from fusemap.validation.figures_picture import picture_data
    from fusemap.validation.figures_picture_draw import draw_picture
    from fusemap.validation.reproduce import load_bench

    data = picture_data(load_bench(found.study), found)
    if data is None:
        raise input_error(f"no picture of {found.study.name}: it has none, or a row is missing")
    return _styled(draw_picture(data))


def figure(found: Reproduction, name: str) -> Picture:
    """A figure of a reproduced study by its number in the paper, computed as bars and published as dots."""
    from fusemap.validation.figures import choose_figures, study_figure
    from fusemap.validation.figures_draw import draw

    choose_figures(found.study, name)  # says which figures there are
    labels = {c: m.label for c, m in found.study.model.configurations.items()}
    return _styled(draw(study_figure(found, name), labels))


def front(found: Pareto) -> Picture:
    """Fronts in two or three objectives, above all rows that were candidates."""
    from fusemap.validation.plots_front import front_of, render_front
    from fusemap.validation.plots_page import WIDTHS

    return Picture(render_front(front_of(found), "png", width=WIDTHS["page"]))


def heatmap(store: str | PathLike[str], *, x: str, y: str, z: str = "latency", where: Sequence[str] = ()) -> Picture:
    """The best value of `z` over two axes of a sweep."""
    from fusemap.validation.plots_heatmap import heat_map, render_heat_map

    return Picture(render_heat_map(heat_map(fspath(store), x=x, y=y, z=z, where=where), "png"))


def tornado(
    store: str | PathLike[str], *, y: str = "latency", base: str = "best", where: Sequence[str] = ()
) -> Picture:
    """What one parameter of a sweep at a time changes, from a base point."""
    from fusemap.validation.plots_tornado import tornado as bars
    from fusemap.validation.plots_tornado_draw import render_tornado

    return Picture(render_tornado(bars(fspath(store), y=y, base=base, where=where), "png"))


def timeline(found: Simulation | Timeline, first: float | None = None, last: float | None = None) -> Picture:
    """Who worked on what between two cycles: the longest phase of a simulation, or a timeline of the cycle level.

    Without cycles all that was recorded. InputError where that is nothing.
    """
    from fusemap.diagnostics import input_error
    from fusemap.sim.simulation import Simulation
    from fusemap.sim.timeline_window import extent, window
    from fusemap.validation.timeline_figure import render_timeline

    recorded = found.longest.timeline if isinstance(found, Simulation) else found
    if recorded is None or not recorded.spans:
        raise input_error("the simulation recorded nothing", hint="simulate with record=8")
    ends = zip(extent(recorded), (first, last), strict=True)
    start, end = (tick if cycle is None else round(cycle * recorded.ticks_per_cycle) for tick, cycle in ends)
    return Picture(render_timeline(window(recorded, start, end), "png"))


def waterfall(found: Schedule, pattern: Interleaving | None = None) -> Picture:
    """Periods of a binding: who works on which iteration when."""
    from fusemap.validation.waterfall import render_waterfall

    return Picture(render_waterfall(found, "png", pattern))


def kernels(found: CudaCheck) -> Picture:
    """The CUDA cross-check: how often K is loaded against the passes, and the bytes of each kernel."""
    from fusemap.validation.cuda_figure import render_kernels

    return Picture(render_kernels(found, "png"))


def _styled(drawn: Figure) -> Picture:
    """A figure of a study, in the style that it was drawn in."""
    from fusemap.validation.figures_draw import style

    content = io.BytesIO()
    with style():
        drawn.savefig(content, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return Picture(content.getvalue())
