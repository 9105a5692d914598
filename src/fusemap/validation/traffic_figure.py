"""Traffic over on-chip room: the bounds of cascades as lines, what dataflows move at buffers of any size as points."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, InputError, did_you_mean, input_error
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.choose import time_case
from fusemap.validation.figures import short_length
from fusemap.validation.figures_draw import style
from fusemap.validation.traffic_bound import on_chip_bytes, workload_bound

PES_A_SIDE = 32  # small arrays, whose registers are little beside the buffer
BUFFERS = tuple(1 << n for n in range(13, 27))  # 8 KiB to 64 MiB
CHUNK = 256  # of a partitioned rank whose parts are left open
# dataflow, its cascade, the machine it was published for
MEASURED = (
    ("unfused", "attention-3pass", "unfused-cloud"),
    ("flat", "attention-3pass", "flat-cloud"),
    ("fusemax-cascade", "attention-1pass", "flat-cloud"),
    ("fusemax-binding", "attention-1pass", "fusemax-cloud"),
)
CASCADES = ("attention-3pass", "attention-2pass", "attention-1pass")
LINES = (("#D55E00", "-"), ("#0072B2", "--"), ("#009E73", "-."), ("#CC79A7", ":"))
_LEGEND: Any = {
    "loc": "upper left",
    "alignment": "left",
    "labelspacing": 0.2,
    "borderpad": 0,
    "borderaxespad": 0,
    "title_fontsize": 8.5,
}
MARKS = (("#777777", "s"), ("#E69F00", "^"), ("#56B4E9", "o"), ("#000000", "x"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """(on-chip bytes, traffic bytes) of a cascade's bound, or of a dataflow where it fits."""

    name: str
    cascade: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundData:
    """What the figure shows."""

    workload: str
    sizes: tuple[str, ...]
    bounds: tuple[Series, ...]
    measured: tuple[Series, ...]

    @property
    def fingerprint(self) -> str:
        """A digest of the numbers to 9 digits, which tells whether a stored picture shows these."""
        shown = [f"{s.name} {x} {y:.9g}" for s in (*self.bounds, *self.measured) for x, y in s.points]
        return hashlib.sha256(" ".join((*self.sizes, *shown)).encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, object]:
        """The series as a JSON object."""
        return {
            "workload": self.workload,
            "bounds": [_series_json(s) for s in self.bounds],
            "dataflows": [_series_json(s) for s in self.measured],
        }


def bound_data(
    cascades: Sequence[Cascade], workload: Workload, sizes: Mapping[str, int], *, compare: bool = True
) -> BoundData:
    """Bounds of cascades over on-chip bytes; with `compare` also what the built-in attention dataflows move.

    Those run on machines of 32 x 32 processing elements with buffers from 8 KiB to 64 MiB, and stand at all that
    such a machine holds on chip, registers included. InputError for sizes that are missing or unknown.
    """
    _check_names(cascades, workload, sizes)
    rooms = sorted({b * k // 4 for b in (1 << n for n in range(12, 27)) for k in (4, 5, 6, 7)})
    bounds = []
    for cascade in cascades:
        bound = workload_bound(cascade, workload, sizes=completed(cascade, workload, sizes))
        points = tuple((room, float(bound.bytes(room))) for room in rooms)
        bounds.append(Series(name=cascade.name, cascade=cascade.name, points=points))
    return BoundData(
        workload=workload.name,
        sizes=_shown({**workload.sizes, **sizes}, cascades),
        bounds=tuple(bounds),
        measured=tuple(_measured(workload, sizes, *case) for case in MEASURED) if compare else (),
    )


def _check_names(cascades: Sequence[Cascade], workload: Workload, sizes: Mapping[str, int]) -> None:
    """InputError for sizes that neither the cascades nor the workload have."""
    valid = [*dict.fromkeys((*(str(s) for c in cascades for s in known_shapes(c)), *workload.sizes))]
    wrong = [name for name in sizes if name not in valid]
    if wrong:
        hint = did_you_mean(wrong[0], valid, noun="names")
        raise input_error(f"no rank is named {wrong[0]}, but a size is given for it", hint=hint)


def _shown(sizes: Mapping[str, int], cascades: Sequence[Cascade]) -> tuple[str, ...]:
    """Keys and queries where the cascades have both, else every size that they all have."""
    common = set.intersection(*({str(s) for s in known_shapes(c)} for c in cascades))
    if {"M", "P"} <= common & set(sizes):
        return f"{short_length(sizes['M'])} keys", f"{short_length(sizes['P'])} queries"
    return tuple(f"{name} = {short_length(size)}" for name, size in sizes.items() if name in common)


def completed(cascade: Cascade, workload: Workload, sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes, and chunks of at most 256 for partitioned ranks whose parts are left open."""
    given = dict(sizes)
    known = {**workload.sizes, **given}
    for shape in cascade.shapes:
        inner = shape.factors[-1] if len(shape.factors) == 2 else None
        if inner is not None and shape.name in known and not set(shape.factors) & set(known):
            given[inner] = gcd(known[shape.name], CHUNK)
    return given


def _measured(workload: Workload, sizes: Mapping[str, int], dataflow: str, cascade: str, arch: str) -> Series:
    """What a dataflow moves, at every buffer in which it is legal."""
    loaded, machine = load(cascade), load_arch(arch, parameters={"pe": PES_A_SIDE})
    used = {n: s for n, s in sizes.items() if n in workload.sizes or n in known_shapes(loaded)}
    points = []
    for capacity in BUFFERS:
        sized = with_buffer(machine, capacity)
        try:
            found = time_case(loaded, sized, workload, load_dataflow(dataflow), sizes=used)
        except (DoesNotFit, InputError):
            continue
        points.append((on_chip_bytes(sized) or 0, found.traffic_bytes))
    return Series(name=dataflow, cascade=cascade, points=tuple(points))


def with_buffer(machine: Machine, capacity_bytes: int) -> Machine:
    """The machine with another size of its innermost memory; its energy and area are not known then."""
    *outer, buffer = machine.memories
    return dataclasses.replace(machine, memories=(*outer, dataclasses.replace(buffer, capacity_bytes=capacity_bytes)))


def render_bound(data: BoundData, suffix: str) -> bytes:
    """The figure as the bytes of a png, pdf or svg file; equal data give equal bytes."""
    stamp: dict[str, dict[str, str | None]] = {
        "png": {"Software": None, "Description": data.fingerprint},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
        "svg": {"Date": None, "Creator": None},
    }
    with style():
        figure = draw_bound(data)
        content = io.BytesIO()
        figure.savefig(content, format=suffix, dpi=200, metadata=stamp[suffix])
    return content.getvalue()


def draw_bound(data: BoundData) -> Figure:
    """One panel, 3.4 inches wide: a column of a paper."""
    with style():
        height = 2.2 + 0.16 * max(len(data.bounds), len(data.measured)) + 0.34
        figure = Figure(figsize=(3.4, height))
        axes = figure.subplots()
        top = 1 - (height - 2.2) / height
        figure.subplots_adjust(left=0.19, right=0.97, bottom=0.42 / height, top=top - 0.05 / height)
        for (colour, dashes), series in zip(_cycled(LINES, len(data.bounds)), data.bounds, strict=True):
            axes.plot(*_xy(series), color=colour, linestyle=dashes, linewidth=1.5, label=series.name, zorder=3)
        for (colour, marker), series in zip(_cycled(MARKS, len(data.measured)), data.measured, strict=True):
            face = "none" if marker == "o" else colour
            axes.plot(
                *_xy(series),
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=0.6,
                label=series.name,
                markerfacecolor=face,
            )
        _scales(axes, data)
        own = len(data.bounds)
        handles, _ = axes.get_legend_handles_labels()
        for part, title, left in ((handles[:own], "no mapping moves less", 0.14), (handles[own:], "moved by", 0.6)):
            if part:
                figure.legend(handles=part, title=title, bbox_to_anchor=(left, 1 - 0.23 / height), **_LEGEND)
        figure.text(0.02, 1 - 0.11 / height, _title(data), size=8.5, va="center")
        return figure


def _title(data: BoundData) -> str:
    model = data.workload.partition(" with ")[0].partition("@")[0]
    return f"least off-chip traffic: {', '.join((model, *data.sizes))}"


def _scales(axes: Axes, data: BoundData) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    values = [y for s in (*data.bounds, *data.measured) for _, y in s.points]
    axes.set_ylim(min(values) * 0.88, max(values) * 1.15)
    axes.set_xlim(1 << 12, 1 << 27)
    axes.set_xticks([1 << n for n in range(12, 27, 2)], [_bytes(1 << n) for n in range(12, 27, 2)])
    axes.xaxis.set_minor_locator(NullLocator())
    steps = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0)
    wide = max(values) > 20 * min(values)
    ticks = [s * 10.0**e for e in range(15) for s in ((1.0,) if wide else steps)]
    axes.set_yticks([t for t in ticks if min(values) * 0.88 <= t <= max(values) * 1.15])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y / 1e9:,.12g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("on-chip room: buffer and registers (bytes)")
    axes.set_ylabel("off-chip traffic (GB)")
    axes.grid(axis="both")


def _bytes(count: int) -> str:
    for unit, size in (("M", 1 << 20), ("K", 1 << 10)):
        if count >= size:
            return f"{count // size}{unit}i"
    return str(count)


def _xy(series: Series) -> tuple[list[int], list[float]]:
    return [x for x, _ in series.points], [y for _, y in series.points]


def _cycled(items: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    return [items[n % len(items)] for n in range(count)]


def _series_json(series: Series) -> dict[str, object]:
    points = [{"on_chip_bytes": x, "traffic_bytes": y} for x, y in series.points]
    return {"name": series.name, "cascade": series.cascade, "points": points}
