"""What moved between a recorded and a found result: metrics beyond their tolerance, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.validation.regress_causes import Cause, causes
from fusemap.validation.regress_model import ToleranceModel
from fusemap.validation.regress_snapshot import TEXTS, Refused, Snapshot

Status: TypeAlias = Literal["equal", "moved", "new", "missing"]
DEFAULT_RELATIVE = 1e-6
DEFAULT = "default"
_USUAL = ToleranceModel(relative=DEFAULT_RELATIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """How far metrics may be from what is recorded: by metric, by its family (`energy_pj` of `energy_pj.dram`)."""

    own: tuple[tuple[str, ToleranceModel], ...] = ()
    default: ToleranceModel = _USUAL

    def of(self, metric: str) -> ToleranceModel:
        """The tolerance of a metric.

        >>> found = Tolerances(own=(("energy_pj", ToleranceModel(absolute=10)),))
        >>> found.of("energy_pj.dram").absolute, found.of("latency_s").relative
        (10.0, 1e-06)
        """
        own = dict(self.own)
        return own.get(metric) or own.get(metric.partition(".")[0]) or self.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A metric that moved; None is one that the result does not have."""

    metric: str
    recorded: float | None
    found: float | None
    tolerance: ToleranceModel

    @property
    def absolute(self) -> float:
        """found - recorded, in the metric's unit."""
        return (self.found or 0.0) - (self.recorded or 0.0)

    @property
    def relative(self) -> float | None:
        """(found - recorded) / recorded; None where nothing, or 0, is recorded."""
        return self.absolute / self.recorded if self.recorded and self.found is not None else None

    def to_json(self) -> dict[str, object]:
        """The change as a JSON object."""
        return {
            "metric": self.metric,
            "recorded": self.recorded,
            "found": self.found,
            "absolute": self.absolute,
            "relative": self.relative,
            "tolerance": self.tolerance.model_dump(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """A case held against its record, which stands at a place of a file.

    `changes` has the metrics that moved, `differences` names and limits that are others now (name, recorded, found),
    `inputs` what the case names that changed since; `reason` says what kept a case from having numbers.
    """

    name: str
    status: Status
    file: str
    line: int
    column: int
    changes: tuple[Change, ...] = ()
    differences: tuple[tuple[str, str, str], ...] = ()
    causes: tuple[Cause, ...] = ()
    inputs: tuple[str, ...] = ()
    reason: str = ""

    def to_json(self) -> dict[str, object]:
        """The case as a JSON object."""
        return {
            "case": self.name,
            "status": self.status,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "reason": self.reason,
            "changes": [change.to_json() for change in self.changes],
            "differences": [{"name": n, "recorded": r, "found": f} for n, r, f in self.differences],
            "causes": [cause.to_json() for cause in self.causes],
            "inputs": list(self.inputs),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What `compare` finds for a case, before its place is known."""

    status: Status
    changes: tuple[Change, ...] = ()
    differences: tuple[tuple[str, str, str], ...] = ()
    causes: tuple[Cause, ...] = ()
    reason: str = ""


def compare(recorded: Snapshot | Refused, found: Snapshot | Refused, tolerances: Tolerances) -> Comparison:
    """Whether a result moved, by how much and why; one that nothing fits any more, or again, has moved."""
    if isinstance(found, Refused):
        if isinstance(recorded, Refused):
            return Comparison(status="equal")
        return Comparison(status="moved", reason=f"does not fit any more: {found.reason}")
    if isinstance(recorded, Refused):
        return Comparison(status="moved", reason=f"fits now; recorded was that it does not: {recorded.reason}")
    changes = moved(recorded, found, tolerances)
    if not changes:
        return Comparison(status="equal")
    return Comparison(
        status="moved",
        changes=changes,
        differences=tuple(_differences(recorded, found)),
        causes=causes(recorded, found),
    )


def moved(recorded: Snapshot, found: Snapshot, tolerances: Tolerances) -> tuple[Change, ...]:
    """The metrics beyond their tolerance, in their order."""
    before, after = dict(recorded.metrics), dict(found.metrics)
    changes = [
        Change(metric=name, recorded=before.get(name), found=after.get(name), tolerance=tolerances.of(name))
        for name in {**before, **after}
    ]
    return tuple(change for change in changes if not within(change))


def within(change: Change) -> bool:
    """Whether a metric is as recorded: |found - recorded| <= max(absolute, relative * |recorded|).

    A part that is absent (a component, an array) counts as 0, another metric must not come or go.

    >>> tolerance = ToleranceModel(relative=0.01)
    >>> [within(Change(metric="x", recorded=100, found=f, tolerance=tolerance)) for f in (101, 101.1, None)]
    [True, False, False]
    """
    if None in (change.recorded, change.found) and "." not in change.metric:
        return False
    limit = max(change.tolerance.absolute, change.tolerance.relative * abs(change.recorded or 0.0))
    return abs(change.absolute) <= limit  # so that NaN is never as recorded


def _differences(recorded: Snapshot, found: Snapshot) -> Iterable[tuple[str, str, str]]:
    """The names, limits and tiles that are others now."""
    for name in TEXTS:
        if recorded.text(name) != found.text(name):
            yield name, recorded.text(name), found.text(name)
    before, after = dict(recorded.tiles), dict(found.tiles)
    for tile in {**before, **after}:
        if before.get(tile) != after.get(tile):
            yield f"tile {tile}", _tile(before.get(tile)), _tile(after.get(tile))


def _tile(value: float | str | None) -> str:
    return "none" if value is None else str(value)
