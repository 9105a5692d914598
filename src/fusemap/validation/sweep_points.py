"""The numbers of many points of a sweep: those that differ in numbers alone are evaluated at once.

There is one model. Points are grouped by their names (cascade, dataflow, arch, workload); the numbers of a group are
lanes (`fusemap.archspec.lanes`) on which `evaluate_case` runs as it runs on plain ones. Where its decisions fall
differently the group is split, and what needs plain numbers (a search, a dataflow that is left open) goes one by one.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.archspec.batches import Group, Index, collapsed, run
from fusemap.archspec.divergence import Texts
from fusemap.archspec.document import Path
from fusemap.archspec.lanes import Lanes
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.sim.choose import evaluate_case, time_case
from fusemap.sim.report import Report, Timing
from fusemap.validation.accounting import accounting
from fusemap.validation.sweep_spec import BEST, TEXTS, Sweep

OK, UNPRICED, UNFIT, FAILED = "ok", "unpriced", "does not fit", "failed"
NUMBERS = ("latency_s", "energy_pj", "area_um2", "traffic_bytes")
Column: TypeAlias = list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one evaluation says: its timing, energy and area where they are known, and why they are not."""

    timing: Timing
    energy_pj: Any = None
    area_um2: Any = None
    unpriced: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Points with the values of all result columns, in the order of `index`; `plain` went one by one."""

    index: Index
    columns: dict[str, Column]
    plain: int = 0


def result_columns(sweep: Sweep) -> tuple[str, ...]:
    """The names of the columns that an evaluation fills in."""
    return ("mapped_by", "status", "reason", *NUMBERS, "bottleneck", *(f"utilization.{a}" for a in sweep.arrays))


def evaluate_points(sweep: Sweep, index: Index, *, limit_s: float = float("inf")) -> Results:
    """The results of some points; once `limit_s` has gone by, of as many as there are by then."""
    start = time.perf_counter()
    columns: dict[str, Column] = {name: [] for name in result_columns(sweep)}
    done: list[Index] = []
    plain = 0
    for group in _groups(sweep, index):
        done.append(group.index)
        plain += len(group.index) if group.plain else 0
        for name, values in _filled(group, sweep).items():
            columns[name] += values
        if time.perf_counter() - start > limit_s:
            break
    return Results(index=np.concatenate(done) if done else index[:0], columns=columns, plain=plain)


def _groups(sweep: Sweep, index: Index) -> Iterator[Group]:
    """Groups of points that were evaluated together."""
    places = sweep.space.places(index)
    axes = {axis.column: axis for axis in sweep.space.axes}
    names = np.stack([places[column] for column in TEXTS])
    for combination in np.unique(names, axis=1).T:
        members = np.flatnonzero((names == combination[:, None]).all(axis=0))
        chosen = {column: axes[column].values[int(p)] for column, p in zip(TEXTS, combination, strict=True)}
        texts = Texts()
        batch = {
            axis.column: collapsed(sweep.space.column(axis, places[axis.column][members]), texts)
            for axis in sweep.space.axes
            if axis.numeric
        }
        question = _Question(sweep=sweep, names=chosen)
        yield from run(question.answer, batch, index[members])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What is asked of the model for points of the same names."""

    sweep: Sweep
    names: Mapping[str, str]

    def answer(self, numbers: Mapping[str, Any]) -> Answer:
        """The answer for one number, or lanes, of each numeric column."""
        sweep, sources = self.sweep, self.sweep.sources
        sections: dict[str, dict[str, Any]] = {"parameters": {}, "machine": {}, "sizes": {}, "length": {}}
        for axis in sweep.space.axes:
            if axis.numeric:
                sections[axis.section][axis.key] = numbers[axis.column]
        machine = sources.archs[self.names["arch"]].machine(
            sections["parameters"], {_path(key): value for key, value in sections["machine"].items()}
        )
        workload, length = sources.workloads[self.names["workload"]]
        dataflow = None if self.names["dataflow"] == BEST else sources.dataflows[self.names["dataflow"]]
        case = (
            sources.cascades[self.names["cascade"]],
            machine,
            workload.at(sections["length"].get("length", length)),
            dataflow,
        )
        asked: Any = {"accounting": lambda name: accounting(sweep.accounting, name), "sizes": sections["sizes"]}
        if not sweep.energy:
            return Answer(timing=time_case(*case, **asked))
        try:
            report = evaluate_case(*case, **asked).report
        except InputError as refusal:
            return self._unpriced(case, asked, refusal)
        return Answer(timing=_timing(report), energy_pj=report.energy_pj, area_um2=report.area_um2)

    def _unpriced(self, case: tuple[Any, ...], asked: Any, refusal: InputError) -> Answer:
        """Time and traffic alone, where nothing but prices is missing; else the refusal."""
        try:
            timing = time_case(*case, **asked)
        except (InputError, DoesNotFit):
            raise refusal from None
        return Answer(timing=timing, unpriced=reason_of(refusal))


def _path(key: str) -> Path:
    """Where a number of a machine stands in its file."""
    owner, _, what = key.rpartition(".")
    if not owner:
        return (key,)
    return ("memories", owner, what) if what in ("capacity", "bandwidth", "width") else ("arrays", owner, "dims", what)


def _timing(report: Report) -> Timing:
    """The report without its rows, which are added up by now."""
    fields = {field.name: getattr(report, field.name) for field in dataclasses.fields(Timing)}
    return Timing(**fields | {"tiles": (), "notes": ()})


def reason_of(refusal: InputError | DoesNotFit) -> str:
    """Why a point has no result, on one line.

    >>> from fusemap.diagnostics import Violation
    >>> need = Violation(what="global_buffer", need=40, limit=32, unit="MiB")
    >>> reason_of(DoesNotFit("softmax", (need,)))
    'global_buffer: needs 40 MiB, limit 32 MiB'
    """
    if isinstance(refusal, DoesNotFit):
        return "; ".join(map(str, refusal.violations))
    hints = [f"{d.message} ({d.hint.splitlines()[0]})" if d.hint else d.message for d in refusal.diagnostics]
    return "; ".join(hints)


def _filled(group: Group, sweep: Sweep) -> dict[str, Column]:
    """The result columns of a group."""
    lanes = len(group.index)
    empty: Column = [None] * lanes
    columns = dict.fromkeys(result_columns(sweep), empty)
    if group.refusal is not None:
        status = UNFIT if isinstance(group.refusal, DoesNotFit) else FAILED
        reason = reason_of(group.refusal)
        return columns | {"status": [status] * lanes, "reason": [group.text(reason, i) for i in range(lanes)]}
    answer: Answer = group.result
    timing = answer.timing
    columns |= {
        "mapped_by": [timing.dataflow] * lanes,
        "status": [UNPRICED if answer.unpriced else OK] * lanes,
        "latency_s": _floats(timing.latency_s, lanes),
        "traffic_bytes": _floats(timing.traffic_bytes, lanes),
        "bottleneck": _bottlenecks(timing, lanes),
    }
    columns |= {f"utilization.{name}": _floats(value, lanes) for name, value in timing.utilization.items()}
    if answer.unpriced:
        columns["reason"] = [group.text(answer.unpriced, i) for i in range(lanes)]
    elif sweep.energy:
        columns |= {name: _floats(getattr(answer, name), lanes) for name in ("energy_pj", "area_um2")}
    return columns


def _floats(value: Any, lanes: int) -> Column:
    """A number of every lane as a float."""
    if not isinstance(value, Lanes):
        return [float(value)] * lanes
    found: Column = [float(v) for v in value.values.tolist()] if value.whole else value.values.tolist()
    return found


def _bottlenecks(timing: Timing, lanes: int) -> Column:
    """The bottleneck of every lane, which is a decision of its own."""
    found: NDArray[Any] = np.empty(lanes, dtype=object)
    light = dataclasses.replace(timing, einsums=())
    for group in run(lambda t: t.bottleneck, light, np.arange(lanes)):
        found[group.index] = group.result
    answer: Column = found.tolist()
    return answer
