"""A figure of decoding: time per token against the batch, and a roofline of attention and linear layers."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine
from fusemap.archspec.workloads import load_workload
from fusemap.validation.figures_draw import style
from fusemap.validation.inference import Inference, inference

BATCHES = (1, 4, 16, 64, 256, 1024)
LENGTHS = ("1K", "8K", "64K")
MODEL = "Llama-3-8B"
# Name in the roofline, workload, sizes, layer.
POINTS: tuple[tuple[str, str, tuple[tuple[str, int], ...], str], ...] = (
    ("MHA (32 key-value heads)", "Llama-3-8B-decode@4K", (("HK", 32),), "attention"),
    ("GQA (8 key-value heads)", "Llama-3-8B-decode@4K", (), "attention"),
    ("MLA (one latent)", "DeepSeek-V3-decode@4K", (), "attention"),
    *(("feed-forward, batch of", "Llama-3-8B-decode@4K", (("B", b),), "gate and up") for b in (1, 16, 64, 256, 1024)),
    ("prefill, attention", "Llama-3-8B@4K", (), "attention"),
    ("prefill, feed-forward", "Llama-3-8B@4K", (), "gate and up"),
)
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#777777", "#CC79A7", "#000000")
_MARKS = ("o", "s", "^", "D", "v", "o")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A decoding step: its latency, and the times that weights, cache and products alone would take; seconds."""

    length: str
    batch: int
    latency_s: float
    weights_s: float
    cache_s: float
    products_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflinePoint:
    """A layer: operations per byte that it moves, and per second."""

    name: str
    batch: int
    flops_per_byte: float
    flops_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeData:
    """What the figure shows; `peak_flops_per_s` are two operations a cycle and element of the largest array."""

    arch: str
    peak_flops_per_s: float
    bandwidth_bytes_per_s: float
    steps: tuple[Step, ...]
    points: tuple[RooflinePoint, ...]

    @property
    def ridge_flops_per_byte(self) -> float:
        """The intensity at which products take as long as memory."""
        return self.peak_flops_per_s / self.bandwidth_bytes_per_s

    @property
    def fingerprint(self) -> str:
        """The numbers to 6 digits as JSON, which a stored picture holds."""
        steps = [[s.length, s.batch, float(f"{s.latency_s:.6g}")] for s in self.steps]
        points = [
            [p.name, p.batch, float(f"{p.flops_per_byte:.6g}"), float(f"{p.flops_per_s:.6g}")] for p in self.points
        ]
        return json.dumps({"arch": self.arch, "steps": steps, "points": points})


def decode_data(
    arch: str = "fusemax-cloud",
    *,
    lengths: Sequence[str] = LENGTHS,
    batches: Sequence[int] = BATCHES,
    points: Sequence[tuple[str, str, tuple[tuple[str, int], ...], str]] = POINTS,
) -> DecodeData:
    """The figure's numbers on a machine whose outer memory has a bandwidth, each from the fastest mapping found."""
    machine = load_arch(arch)
    return DecodeData(
        arch=machine.name,
        peak_flops_per_s=peak_flops_per_s(machine),
        bandwidth_bytes_per_s=float(machine.memories[0].bandwidth_bytes_per_s or 0),
        steps=tuple(_step(machine, length, batch) for length in lengths for batch in batches),
        points=tuple(_point(machine, *point) for point in points),
    )


def peak_flops_per_s(machine: Machine) -> float:
    """Two operations per multiply-accumulate of the largest array, every cycle.

    >>> f"{peak_flops_per_s(load_arch('fusemax-cloud')) / 1e12:.1f} T"
    '123.2 T'
    """
    array = max(machine.arrays, key=lambda a: a.pes)
    return float(2 * array.pes * machine.clock_hz / array.operator("mul", "sum").cycles)


def _step(machine: Machine, length: str, batch: int) -> Step:
    found = inference(load_workload(f"{MODEL}-decode@{length}"), machine, sizes={"B": batch})
    bandwidth = float(machine.memories[0].bandwidth_bytes_per_s or 0)
    weights = sum(r.times * r.parameters for r in found.rows) * machine.word_bytes
    return Step(
        length=length,
        batch=batch,
        latency_s=found.total.latency_s,
        weights_s=weights / bandwidth,
        cache_s=found.cache_bytes / bandwidth,
        products_s=2 * found.total.macs / peak_flops_per_s(machine),
    )


def _point(machine: Machine, name: str, workload: str, sizes: tuple[tuple[str, int], ...], layer: str) -> RooflinePoint:
    found: Inference = inference(load_workload(workload), machine, sizes=dict(sizes), only=layer)
    (row,) = found.rows
    return RooflinePoint(
        name=name,
        batch=found.sequences,
        flops_per_byte=row.flops_per_byte,
        flops_per_s=2 * row.macs / row.latency_s,
    )


def render_decode(data: DecodeData, suffix: str = "png") -> bytes:
    """The figure as the bytes of a png or svg file, with the numbers in its description; equal data, equal bytes."""
    stamp: dict[str, dict[str, str | None]] = {
        "png": {"Software": None, "Description": data.fingerprint},
        "svg": {"Date": None, "Creator": None, "Description": data.fingerprint},
    }
    with style():
        content = io.BytesIO()
        draw_decode(data).savefig(content, format=suffix, dpi=200, metadata=stamp[suffix])
    return content.getvalue()


def draw_decode(data: DecodeData) -> Figure:
    """Two panels, 7 inches wide: both columns of a paper."""
    with style():
        figure = Figure(figsize=(7.0, 3.1))
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.08, right=0.985, bottom=0.15, top=0.9, wspace=0.24)
        _draw_steps(left, data)
        _draw_roofline(right, data)
        return figure


def _draw_steps(axes: Axes, data: DecodeData) -> None:
    """Time per token against the batch: measured marks, and lines of what it is made of."""
    for length, colour, mark in zip(dict.fromkeys(s.length for s in data.steps), _COLOURS, _MARKS, strict=False):
        steps = [s for s in data.steps if s.length == length]
        batches = [s.batch for s in steps]
        axes.plot(
            batches,
            [s.latency_s / s.batch for s in steps],
            color=colour,
            marker=mark,
            markersize=4,
            linewidth=0.8,
            label=f"latency, {length} cached",
            zorder=3,
        )
        axes.plot(batches, [s.cache_s / s.batch for s in steps], color=colour, linestyle=":", linewidth=1.2)
        axes.plot(batches, [s.products_s / s.batch for s in steps], color=colour, linestyle="--", linewidth=0.8)
    first = [s for s in data.steps if s.length == data.steps[0].length]
    axes.plot([s.batch for s in first], [s.weights_s / s.batch for s in first], color="#777777", linewidth=0.8)
    for label, dashes, colour in (
        ("memory: weights", "-", "#777777"),
        ("memory: cache", ":", "#000000"),
        ("products at peak", "--", "#000000"),
    ):
        axes.plot([], [], color=colour, linestyle=dashes, linewidth=0.9, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([s.batch for s in first], [str(s.batch) for s in first])
    axes.minorticks_off()
    axes.set_xlabel("sequences that decode together (batch)")
    axes.set_ylabel("time per token (s)")
    axes.set_title(f"{MODEL}, decoding on {data.arch}", fontsize=8.5, loc="left")
    axes.grid(axis="both")
    axes.set_ylim(bottom=min(s.weights_s / s.batch for s in data.steps) / 20)  # room for the legend
    axes.legend(fontsize=6.5, loc="lower left", ncols=2, frameon=True, framealpha=0.9, labelspacing=0.25)


def _draw_roofline(axes: Axes, data: DecodeData) -> None:
    """Operations per second against operations per byte, under the roof of memory and array."""
    ridge = data.ridge_flops_per_byte
    xs = [0.5, ridge, 8192]
    axes.plot(
        xs, [min(data.peak_flops_per_s, x * data.bandwidth_bytes_per_s) for x in xs], color="#000000", linewidth=1
    )
    axes.axvline(ridge, color="#777777", linewidth=0.6, linestyle="--")
    for name, colour, mark in zip(dict.fromkeys(p.name for p in data.points), _COLOURS, _MARKS, strict=False):
        own = [p for p in data.points if p.name == name]
        axes.plot(
            [p.flops_per_byte for p in own],
            [p.flops_per_s for p in own],
            color=colour,
            marker=mark,
            markersize=7 if "feed-forward" in name else 4.5,
            markerfacecolor="none" if "feed-forward" in name else colour,
            linewidth=0,
            label=f"{name} {', '.join(str(p.batch) for p in own)}" if len(own) > 1 else name,
            zorder=3,
        )
    above = data.peak_flops_per_s * 1.25
    axes.text(ridge / 1.25, above, "memory limits", ha="right", fontsize=7)
    axes.text(ridge * 1.25, above, "arrays limit", ha="left", fontsize=7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(xs[0], xs[-1])
    axes.set_ylim(data.bandwidth_bytes_per_s * xs[0], data.peak_flops_per_s * 1.9)
    axes.minorticks_off()
    axes.set_xlabel("operations per byte moved off chip (FLOP/B)")
    axes.set_ylabel("operations per second (FLOP/s)")
    axes.set_title("decoding (batch 64 unless said) and prefill, 4K", fontsize=8.5, loc="left")
    axes.grid(axis="both")
    axes.legend(fontsize=6.5, loc="lower right", frameon=True, framealpha=0.9, labelspacing=0.25)
