"""Off-chip traffic of a store's rows over the room on chip, above what no mapping of their cascade goes below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.catalog import load
from fusemap.validation.plots_axes import Numbers
from fusemap.validation.store_filter import parse_filter
from fusemap.validation.store_layout import Layout, layout_of
from fusemap.validation.store_machines import Sections, rooms, sections
from fusemap.validation.store_rows import Counts, Tally, blocks
from fusemap.validation.store_units import shown
from fusemap.validation.traffic_bound import TrafficBound, workload_bound
from fusemap.validation.traffic_figure import completed

TRAFFIC = "traffic_bytes"
MOST_SIZES = 200
_BELOW = 1 - 1e-9  # of the bound: rounding of sums of words


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a dataflow moves for a cascade: (bytes on chip, least traffic of the rows with that room), in order."""

    cascade: str
    dataflow: str
    points: Numbers = field(repr=False)
    rows: int
    below: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The traffic of a store's rows at one size of the workload, and the pass bound of each cascade."""

    workload: str
    bounds: Mapping[str, TrafficBound]
    moved: tuple[Moved, ...]
    counts: Counts
    layout: Layout

    @property
    def below(self) -> int:
        """Rows below the bound of their cascade: none, unless their accounting leaves words out."""
        return sum(m.below for m in self.moved)

    def title(self) -> str:
        """What is shown."""
        return f"least off-chip traffic, {self.workload}"

    def notes(self) -> list[str]:
        """What the bound says of the rows, and which ones are left out."""
        rows = sum(m.rows for m in self.moved)
        held = f"{self.below:,} of {rows:,} rows lie BELOW it" if self.below else f"none of {rows:,} rows is below it"
        bound = f"thick: the bound proven from the passes, for all mappings; {held}"
        return [bound, "thin: the least of the rows with at most so much room", self.counts.note()]

    def curve(self, cascade: str, around: Numbers) -> Numbers:
        """(room, bound) of a cascade over some rooms, dense enough to draw."""
        dense = np.unique(np.concatenate([np.geomspace(around.min() / 1.3, around.max() * 1.3, 200), around]))
        return np.array([[room, self.bounds[cascade].bytes(int(room))] for room in dense])

    def shown(self) -> Iterator[object]:
        """What the picture shows, for its fingerprint."""
        yield from (self.title(), *self.notes())
        for moved in self.moved:
            yield from (moved.cascade, moved.dataflow, *moved.points.ravel().tolist())
            yield from (float(self.bounds[moved.cascade].bytes(int(room))) for room in moved.points[:, 0])

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "store": self.layout.path,
            "workload": self.workload,
            "counts": self.counts.to_json(),
            "bounds": [bound.to_json() for bound in self.bounds.values()],
            "dataflows": [self._series(moved) for moved in self.moved],
        }

    def _series(self, moved: Moved) -> dict[str, object]:
        bound = self.bounds[moved.cascade]
        points = [
            {"on_chip_bytes": int(room), "traffic_bytes": traffic, "bound_bytes": bound.bytes(int(room))}
            for room, traffic in moved.points.tolist()
        ]
        about = {"cascade": moved.cascade, "dataflow": moved.dataflow, "rows": moved.rows, "below": moved.below}
        return {**about, "points": points}


def traffic(store: str, *, where: Sequence[str] = ()) -> Traffic:
    """The traffic of a store's rows and the bounds of their cascades; InputError unless they are of one size.

    Names that were files of the sweep are seen from the current directory.
    """
    layout = layout_of(store)
    tally = Tally(layout=layout, where=parse_filter(where, layout))
    alike, numbers = _read(layout, tally)
    if not alike:
        raise input_error("nothing to draw: no row has traffic", hint=tally.counts().note())
    found = sections(layout, dict.fromkeys(_at(layout, key, "arch") for key in alike))
    of_machine = [layout.axes.index(axis) for axis in ("arch", *found.of_machine)]
    room = rooms(found, list(dict.fromkeys(tuple(key[i] for i in of_machine) for key in alike)))
    workload, bounds = _bounds(layout, found, alike)
    series: dict[tuple[str, str], list[tuple[int, float, int]]] = {}
    for key, (least, rows) in numbers.items():
        size = room[tuple(key[i] for i in of_machine)]
        series.setdefault((_at(layout, key, "cascade"), key[-1]), []).append((size, least, rows))
    return Traffic(
        workload=workload,
        bounds=bounds,
        moved=tuple(_moved(bounds[c], c, d, series[c, d]) for c, d in sorted(series)),
        counts=tally.counts(),
        layout=layout,
    )


def _read(layout: Layout, tally: Tally) -> tuple[list[tuple[Any, ...]], dict[tuple[Any, ...], tuple[float, int]]]:
    """The different designs (all axes and the dataflow), and of each its least traffic and how many rows it has."""
    found: dict[tuple[Any, ...], tuple[float, int]] = {}
    columns = (*layout.axes, "mapped_by")
    for block in blocks(tally, (TRAFFIC,), columns):
        keys = zip(*(block.texts[c] for c in columns), strict=True)
        for key, value in zip(keys, block.numbers[TRAFFIC].tolist(), strict=True):
            least, rows = found.get(key, (value, 0))
            found[key] = (min(least, value), rows + 1)
    return list(found), found


def _at(layout: Layout, key: tuple[Any, ...], axis: str) -> Any:
    return key[layout.axes.index(axis)]


def _bounds(layout: Layout, found: Sections, keys: Sequence[tuple[Any, ...]]) -> tuple[str, dict[str, TrafficBound]]:
    """The one workload of the rows in words, and the bound of each cascade at its sizes."""
    _require_one(layout, keys, ("workload", "length"))
    sizes = [layout.axes.index(axis) for axis in found.sizes]
    word = next((layout.axes.index(c) for c, _ in found.machine if c == "word_bytes"), None)
    cases = {
        (_at(layout, k, "cascade"), _at(layout, k, "arch"), tuple(k[i] for i in sizes), k[word] if word else None)
        for k in keys
    }
    if len(cases) > MOST_SIZES:
        raise input_error(f"the rows have {len(cases):,} sizes: a bound is of one", hint=_hint(found.sizes))
    name = str(_at(layout, keys[0], "workload"))
    if "length" in layout.axes:
        name = f"{name}@{_at(layout, keys[0], 'length')}"
    workload = load_workload(name)
    bounds: dict[str, TrafficBound] = {}
    for cascade, arch, given, bytes_ in sorted(cases, key=str):
        loaded = load(cascade)
        size = completed(loaded, workload, dict(zip(found.sizes, given, strict=True)))
        word_bytes = bytes_ or load_arch(arch).word_bytes
        bound = workload_bound(loaded, workload, sizes=size, word_bytes=int(word_bytes))
        if bounds.setdefault(cascade, bound) != bound:
            columns = [*found.sizes, *(["word_bytes"] if word else ["arch"])]
            message = f"{cascade} has another bound at other values of {', '.join(columns)}: a picture is of one"
            raise input_error(message, hint=_hint(columns))
    shown_sizes = [f"{axis} {shown(axis, keys[0][layout.axes.index(axis)])}" for axis in found.sizes]
    alike = [text for axis, text in zip(found.sizes, shown_sizes, strict=True) if _one(layout, keys, axis)]
    return ", ".join([name, *alike]), bounds


def _one(layout: Layout, keys: Sequence[tuple[Any, ...]], axis: str) -> bool:
    return len({_at(layout, key, axis) for key in keys}) == 1


def _require_one(layout: Layout, keys: Sequence[tuple[Any, ...]], axes: Sequence[str]) -> None:
    for axis in axes:
        values = sorted({_at(layout, key, axis) for key in keys}) if axis in layout.axes else []
        if len(values) > 1:
            listed = ", ".join(str(value) for value in values[:6]) + (", ..." if len(values) > 6 else "")
            message = f"the rows have {len(values)} values of {axis} ({listed}): a bound is of one"
            raise input_error(message, hint=f"such as --where '{axis} == {values[-1]}'")


def _hint(columns: Sequence[str]) -> str:
    return "--where with one value of " + ", ".join(columns) if columns else ""


def _moved(bound: TrafficBound, cascade: str, dataflow: str, points: Sequence[tuple[int, float, int]]) -> Moved:
    least: dict[int, float] = {}
    for room, value, _ in points:
        least[room] = min(value, least.get(room, value))
    return Moved(
        cascade=cascade,
        dataflow=dataflow,
        points=np.array(sorted(least.items()), dtype=np.float64),
        rows=sum(rows for _, _, rows in points),
        below=sum(rows for room, value, rows in points if value < _BELOW * bound.bytes(room)),
    )
