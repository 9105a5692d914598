"""What the sliders of a notebook show, as numbers and as pictures, without any front-end."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.einsum_cascade.analysis import Analysis, analyze_cascade
from fusemap.einsum_cascade.analysis_sizes import at_sizes, workload_sizes
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.types import ShapeName
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.choose import evaluate_case
from fusemap.validation.figures import short_length
from fusemap.validation.figures_draw import EDGE, STYLES, style

MODEL = "BERT"
DESIGNS = (  # name, cascade, machine, dataflow
    ("FLAT", "attention-3pass", "flat-cloud", "flat"),
    ("FuseMax", "attention-1pass", "fusemax-cloud", "fusemax-binding"),
)
COLOURS = (STYLES[1], STYLES[4])
CHUNKS = tuple(2**n for n in range(4, 13))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A design at a sequence length with `pe` x `pe` elements."""

    design: str
    latency_s: float
    energy_j: float
    bottleneck: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """FuseMax's cascade with chunks of `keys`: its passes over all keys and over a chunk, and what these cost.

    `live` elements are held at once for a query; `extra` operations are those above one chunk for all keys, relatively.
    """

    keys: int
    passes: int
    passes_of_chunk: int
    live: int
    extra: float


@cache
def costs(length: int, pe: int) -> tuple[Cost, ...]:
    """FLAT and FuseMax on arrays of `pe` x `pe`, each as its study maps it."""
    return tuple(_cost(*design, length, pe) for design in DESIGNS)


def _cost(name: str, cascade: str, arch: str, dataflow: str, length: int, pe: int) -> Cost:
    report = evaluate_case(
        load(cascade),
        load_arch(arch, parameters={"pe": pe}),
        load_workload(f"{MODEL}@{length}"),
        load_dataflow(dataflow),
        accounting=lambda dataflow: PRINCIPLED,
    ).report
    return Cost(design=name, latency_s=report.latency_s, energy_j=report.energy_pj / 1e12, bottleneck=report.bottleneck)


@cache
def chunks(length: int) -> tuple[Chunk, ...]:
    """Every chunk of a power of two that a sequence has."""
    found = _analysis()
    sizes = {**workload_sizes(found.cascade, load_workload(f"{MODEL}@{length}").sizes, MODEL), "M": length}
    rows = [_at(found, {**sizes, "M0": keys, "M1": length // keys}) for keys in CHUNKS if keys <= length]
    least = _at(found, {**sizes, "M0": length, "M1": 1})[2]
    first, inner = (int(found.label[ShapeName(rank)].at({}) or 1) for rank in ("M", "M0"))
    return tuple(
        Chunk(keys=keys, passes=first, passes_of_chunk=inner, live=live, extra=operations / least - 1)
        for keys, live, operations in rows
    )


@cache
def _analysis() -> Analysis:
    return analyze_cascade(load("attention-1pass"))


def _at(found: Analysis, sizes: dict[str, int]) -> tuple[int, int, int]:
    """Chunk, live elements, operations at some sizes."""
    operations = sum(int(at_sizes(o.count, sizes)) for o in found.operations if o.count is not None)
    return sizes["M0"], int(at_sizes(found.joint.count, sizes)), operations


def render_costs(length: int, pe: int) -> bytes:
    """Latency and energy of FLAT and FuseMax as a PNG."""
    return _png(lambda: draw_costs(costs(length, pe), length, pe))


def render_chunks(length: int, keys: int) -> bytes:
    """Live elements and extra operations over the chunk, one of them marked, as a PNG."""
    return _png(lambda: draw_chunks(chunks(length), length, keys))


def draw_costs(shown: Sequence[Cost], length: int, pe: int) -> Figure:
    """Two panels of bars, each bar with its number and what limits it."""
    figure = Figure(figsize=(6.4, 1.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bars(left, shown, [c.latency_s for c in shown], "latency", "s", [c.bottleneck for c in shown])
    _bars(right, shown, [c.energy_j for c in shown], "energy", "J", ["" for _ in shown])
    figure.suptitle(f"attention of {MODEL} at {short_length(length)} tokens, {pe} x {pe} elements", fontsize=9)
    return figure


def _bars(axes: Axes, shown: Sequence[Cost], values: Sequence[float], what: str, unit: str, notes: list[str]) -> None:
    for place, (value, (colour, hatch), note) in enumerate(zip(values, COLOURS, notes, strict=True)):
        axes.barh(place, value, color=colour, hatch=hatch, height=0.6, **EDGE)
        number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        text = f" {number} {unit}" + (f"\n limited by {note}" if note else "")
        axes.text(value, place, text, va="center", ha="left", fontsize=8)
    axes.set_yticks(range(len(shown)), [c.design for c in shown])
    axes.set_xlim(0, 1.65 * max(values))
    axes.invert_yaxis()
    axes.set_xlabel(f"{what} ({unit})")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:,g}")


def draw_chunks(shown: Sequence[Chunk], length: int, keys: int) -> Figure:
    """Two panels over the chunk; the chosen one is filled."""
    figure = Figure(figsize=(6.4, 2.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    chosen = next((c for c in shown if c.keys == keys), shown[-1])
    _curve(
        left, shown, [float(c.live) for c in shown], chosen, "elements live at once for a query", f"{chosen.live:,}", -1
    )
    extra = [100 * c.extra for c in shown]
    _curve(right, shown, extra, chosen, "operations added by chunks (%)", f"{100 * chosen.extra:.2g} %", 1)
    left.set_yscale("log", base=2)
    left.yaxis.set_major_formatter(lambda value, place: f"{value:,.0f}")
    times = "1 pass" if chosen.passes == 1 else f"{chosen.passes} passes"
    head = f"{short_length(length)} keys in chunks of {chosen.keys}"
    figure.suptitle(f"{head}: {times} over all, {chosen.passes_of_chunk} over a chunk", fontsize=9)
    return figure


def _curve(
    axes: Axes, shown: Sequence[Chunk], values: list[float], chosen: Chunk, what: str, text: str, side: int
) -> None:
    places = [c.keys for c in shown]
    axes.plot(places, values, color="#0072B2", marker="o", markerfacecolor="white", markersize=4, linewidth=1.2)
    value = values[places.index(chosen.keys)]
    axes.plot([chosen.keys], [value], color="#D55E00", marker="o", markersize=7, linestyle="none")
    beside: Any = {"textcoords": "offset points", "ha": "left" if side > 0 else "right"}
    axes.annotate(text, (chosen.keys, value), (6 * side, 7), **beside)
    axes.set_xscale("log", base=2)
    axes.set_xticks(places[::2], [f"{p}" for p in places[::2]])
    axes.set_xlim(places[0] / 2.2, places[-1] * 2.2)
    axes.margins(y=0.2)
    axes.set_xlabel("keys in a chunk")
    axes.set_title(what, fontsize=9)


def _png(draw: Callable[[], Figure]) -> bytes:
    content = io.BytesIO()
    with style():
        draw().savefig(content, format="png", dpi=200, metadata={"Software": None})
    return content.getvalue()
