"""What attention with three passes does with its scores: least traffic when they are held, spilled or recomputed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from fusemap.archspec.archs import parse_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import parse_workload
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.sim.best import find_best
from fusemap.validation.traffic_bound import workload_bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CASCADE = "attention-3pass"
LENGTHS = tuple(1 << n for n in range(10, 21))
BUFFERS = (256 << 10, 2 << 20, 16 << 20)
SPACES = {
    "hold": Mapspace(spill=False, recompute=0),
    "spill": Mapspace(hold=False, recompute=0),
    "recompute": Mapspace(hold=False, spill=False),
    "best": EVERYTHING,
}
_SCORES = ("QK", "SN", "A")
_MACHINE = """extends: fusemax-cloud
source: fusemax-cloud with a slow memory, so that the least time is the least traffic
memories:
  dram: {{bandwidth: 1 MiB/s}}
  global_buffer: {{capacity: {capacity} B}}
"""
_WORKLOAD = "source: one head of 64 features\nranks: {{B: 1, H: 1, E: 64, F: 64, M: {0}, P: {0}}}\nbatch: [B, H]\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class BarrierRow:
    """The least traffic of one head in a space of mappings, and what becomes of its scores.

    `fates` names, for QK, SN and A in turn where something becomes of them: held, spilled, recomputed.
    """

    length: int
    buffer_bytes: int
    space: str
    traffic_bytes: float
    bound_bytes: float
    fates: tuple[tuple[str, str], ...]

    @property
    def through_memory(self) -> bool:
        """Do scores pass through the outer memory?"""
        return any(fate == "spilled" for _, fate in self.fates)


def barrier_machine(buffer_bytes: int) -> Machine:
    """FuseMax's arrays with a buffer of any size, and a memory so slow that time is traffic."""
    return parse_arch(_MACHINE.format(capacity=buffer_bytes), file="barriers.yaml")


def barrier_workload(length: int) -> Workload:
    """One head with 64 features and so many keys and queries."""
    return parse_workload(_WORKLOAD.format(length), file=f"head@{length}.yaml")


@lru_cache(maxsize=256)
def barrier_row(length: int, buffer_bytes: int, space: str) -> BarrierRow:
    """The least traffic for one length, buffer and space (a key of `SPACES`)."""
    cascade, machine, workload = load(CASCADE), barrier_machine(buffer_bytes), barrier_workload(length)
    found = find_best(cascade, machine, workload, space=SPACES[space], dataflows=False)
    mapping = found.best.mapping
    fates = []
    for tensor in _SCORES:
        writer = mapping.nest(tensor).levels[0]
        copies = any(nest.einsum.startswith(f"{tensor}@") for nest in mapping.einsums)
        held = any(tensor in fusion.held for fusion in mapping.fusion)
        spilled = tensor in (getattr(writer, "keep", None) or ())
        fate = "spilled" if spilled else "recomputed" if copies else "held" if held else ""
        fates += [(tensor, fate)] if fate else []
    bound = workload_bound(cascade, workload, word_bytes=machine.word_bytes).bytes(buffer_bytes)
    return BarrierRow(
        length=length,
        buffer_bytes=buffer_bytes,
        space=space,
        traffic_bytes=found.best.report.traffic_bytes,
        bound_bytes=bound,
        fates=tuple(fates),
    )


def barrier_rows(lengths: Sequence[int] = LENGTHS, buffers: Sequence[int] = BUFFERS) -> tuple[BarrierRow, ...]:
    """Every space at every length and buffer."""
    return tuple(barrier_row(n, size, space) for size in buffers for space in SPACES for n in lengths)


_LOOK = {
    "hold": ("hold the scores on chip", "#0072B2", "o"),
    "spill": ("spill them to memory", "#D55E00", "s"),
    "recompute": ("compute them again", "#009E73", "^"),
}


def render_barriers(rows: Sequence[BarrierRow]) -> bytes:
    """A PNG at the width of a column: traffic over length, one panel for each buffer."""
    from matplotlib.figure import Figure  # only where a picture is drawn

    buffers = sorted({row.buffer_bytes for row in rows})
    figure = Figure(figsize=(3.5, 1.5 * len(buffers) + 0.75), dpi=300)
    panels = figure.subplots(len(buffers), 1, sharex=True, squeeze=False)[:, 0]
    for axes, size in zip(panels, buffers, strict=True):
        _panel(axes, [row for row in rows if row.buffer_bytes == size])
        axes.set_title(f"buffer of {_bytes(size)}", fontsize=8, loc="left", pad=2)
    ticks = sorted({row.length for row in rows})[::2]
    panels[-1].set_xticks(ticks, [f"{n >> 20}M" if n >> 20 else f"{n >> 10}K" for n in ticks])
    panels[-1].set_xlabel("keys and queries", fontsize=8)
    panels[len(panels) // 2].set_ylabel("least traffic of one head [GB]", fontsize=8)
    panels[0].plot([], [], "s", color="#666666", markerfacecolor="white", markersize=4, label="hollow: to memory")
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=2, fontsize=7.5, frameon=False)
    figure.subplots_adjust(left=0.165, right=0.975, bottom=0.085, top=0.86, hspace=0.22)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _panel(axes: Axes, rows: Sequence[BarrierRow]) -> None:
    """The lines of one buffer; a marker is hollow where scores pass through the outer memory."""
    for space, (name, colour, marker) in _LOOK.items():
        line = [row for row in rows if row.space == space]
        gigabytes = [row.traffic_bytes / 1e9 for row in line]
        axes.plot([row.length for row in line], gigabytes, color=colour, linewidth=1)
        axes.plot([], [], marker, color=colour, linestyle="-", linewidth=1, markersize=4, label=name)
        for row, y in zip(line, gigabytes, strict=True):
            face = "white" if row.through_memory else colour
            axes.plot([row.length], [y], marker, color=colour, markerfacecolor=face, markersize=4)
    best = [row for row in rows if row.space == "best"]
    x = [row.length for row in best]
    axes.plot(x, [row.traffic_bytes / 1e9 for row in best], "k--", linewidth=1.1, label="best of all")
    axes.plot(x, [row.bound_bytes / 1e9 for row in best], ":", color="#666666", linewidth=1.2, label="pass bound")
    axes.set(xscale="log", yscale="log")
    axes.grid(True, color="#DDDDDD", linewidth=0.4)
    axes.tick_params(labelsize=7.5)
    axes.minorticks_off()


def _bytes(size: int) -> str:
    return f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"
