"""`fusemap.regress`: the cases of a baseline evaluated again, and what moved since they were recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike

from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error
from fusemap.validation.regress_cases import Found, evaluate_cases
from fusemap.validation.regress_compare import DEFAULT, CaseResult, Comparison, Tolerances, compare
from fusemap.validation.regress_file import Baseline, load_baseline
from fusemap.validation.regress_inputs import Case
from fusemap.validation.regress_model import ToleranceModel
from fusemap.validation.regress_snapshot import Refused, Snapshot
from fusemap.validation.regress_text import Record

FIRST = "first recording"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """All cases of a baseline as they were recorded and as they are now.

    `version` computed the record and `now` computes; `inputs` has what cases name that changed since.
    """

    baseline: str
    cases: tuple[CaseResult, ...]
    version: str
    now: str
    reason: str
    inputs: tuple[str, ...]

    def having(self, *statuses: str) -> tuple[CaseResult, ...]:
        """The cases of some statuses: `equal`, `moved`, `new` (not recorded), `missing` (recorded, not asked for)."""
        return tuple(case for case in self.cases if case.status in statuses)

    @property
    def agrees(self) -> bool:
        """True when every case is recorded and none moved."""
        return len(self.having("equal")) == len(self.cases)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/regress/1`; cases that are as recorded have no changes."""
        return {
            "schema": "fusemap/regress/1",
            "baseline": self.baseline,
            "agrees": self.agrees,
            "recorded_version": self.version,
            "version": self.now,
            "reason": self.reason,
            "counts": {status: len(self.having(status)) for status in ("equal", "moved", "new", "missing")},
            "inputs": list(self.inputs),
            "cases": [case.to_json() for case in self.cases],
        }


def regress(baseline: str | PathLike[str], *, tolerance: float | None = None) -> Regression:
    """Evaluate the cases of a baseline (a YAML file) again, and compare with what is recorded in it.

    A metric moved when it differs by more than its tolerance in the file, else by `tolerance` of what is recorded
    (default: that of the file, else 1e-6). A case that does not fit any more has moved. InputError: the file or
    something that a case names is wrong, or nothing is recorded yet.
    """
    loaded = load_baseline(baseline)
    if loaded.record is None:
        hint = f"fusemap regress record {loaded.file}"
        raise InputError((loaded.document.diagnostic((), "nothing is recorded in this baseline yet", hint=hint),))
    return held(loaded, evaluate_cases(cases_of(loaded)), tolerance=tolerance)


def cases_of(baseline: Baseline) -> tuple[Case, ...]:
    """The cases that a baseline asks for; InputError where it asks for none."""
    if baseline.cases is None:
        message = 'it has no "cases": its numbers come from tests, with the fixture energy_regression'
        raise InputError((baseline.document.diagnostic((), message, hint="check it with pytest, or add cases"),))
    return baseline.cases


def held(baseline: Baseline, found: Found, *, tolerance: float | None = None) -> Regression:
    """A baseline's record held against what its cases come to now."""
    recorded = baseline.record.results if baseline.record else {}
    tolerances = tolerances_of(baseline, tolerance, [*recorded.values(), *found.results.values()])
    changed = changed_inputs(baseline.record.inputs if baseline.record else {}, found.digests)
    asked = {case.name: case for case in baseline.cases or ()}
    results = []
    for name, result in found.results.items():
        inputs = tuple(i for i in asked[name].inputs if i in changed) if name in asked else ()
        outcome = Comparison(status="new") if name not in recorded else compare(recorded[name], result, tolerances)
        results.append(placed(baseline, name, outcome, inputs))
    results += [
        placed(baseline, name, Comparison(status="missing"), ()) for name in recorded if name not in found.results
    ]
    return Regression(
        baseline=baseline.file,
        cases=tuple(results),
        version=baseline.record.version if baseline.record else "",
        now=version(),
        reason=baseline.record.reason if baseline.record else "",
        inputs=changed,
    )


def placed(baseline: Baseline, name: str, outcome: Comparison, inputs: tuple[str, ...]) -> CaseResult:
    """A case's comparison with its place: where the first number that moved is recorded."""
    keys = _keys(outcome.changes[0].metric) if outcome.changes else ()
    file, line, column = baseline.place(name, *keys)
    return CaseResult(
        name=name,
        status=outcome.status,
        file=file,
        line=line,
        column=column,
        changes=outcome.changes,
        differences=outcome.differences,
        causes=outcome.causes,
        inputs=inputs,
        reason=outcome.reason,
    )


def _keys(metric: str) -> tuple[str, ...]:
    """Where a metric stands below its case."""
    family, point, part = metric.partition(".")
    if not point:
        return (metric,)
    return ("utilization" if family == "utilization" else "energy_by_component_pj", part)


def changed_inputs(recorded: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What cases name whose content is another than when it was recorded."""
    return tuple(name for name, digest in now.items() if recorded.get(name, digest) != digest)


def tolerances_of(
    baseline: Baseline, tolerance: float | None, results: Sequence[Snapshot | Refused] = ()
) -> Tolerances:
    """The tolerances of a baseline; InputError for a metric that none of the results has.

    `tolerance` is the relative one of metrics that the file does not name.
    """
    check_tolerance(tolerance)
    given = {
        name: value if isinstance(value, ToleranceModel) else ToleranceModel(relative=value)
        for name, value in baseline.model.tolerances.items()
    }
    metrics = {name for result in results if isinstance(result, Snapshot) for name, _ in result.metrics}
    valid = sorted({DEFAULT, *metrics, *(name.partition(".")[0] for name in metrics)})
    wrong: list[Diagnostic] = []
    for name in given:
        if metrics and name not in valid:
            hint = did_you_mean(name, valid, noun="metrics")
            path = ("tolerances", name)
            wrong.append(baseline.document.diagnostic(path, f'no case has a metric "{name}"', hint=hint, key=True))
    if wrong:
        raise InputError(tuple(wrong))
    default = given.pop(DEFAULT, Tolerances().default)
    if tolerance is not None:
        default = ToleranceModel(relative=tolerance)
    return Tolerances(own=tuple(given.items()), default=default)


def check_tolerance(tolerance: float | None) -> None:
    """InputError for a relative tolerance that is no finite number from 0."""
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise input_error(f"tolerance {tolerance}: expected a number from 0, such as 1e-6")


def version() -> str:
    """The version of fusemap that computes."""
    from importlib.metadata import version as version_of

    return version_of("fusemap")


def recorded_anew(baseline: Baseline, found: Found, compared: Regression, reason: str | None) -> Record | None:
    """The record that takes a baseline to what is found; None where it is that already.

    Cases within their tolerance keep the numbers that they have, so that the difference in a review is what `check`
    reports. The reason stands for the last time that numbers moved: InputError where they do and none is given. It
    replaces the one before, which stays in the version history of the file; a list here would grow for ever, and two
    branches that add to it would conflict.
    """
    before = baseline.record
    moved = compared.having("moved")
    if before is None:
        return Record(version=version(), reason=reason or FIRST, results=found.results, inputs=found.digests)
    if moved and not reason:
        shown = ", ".join(case.name for case in moved[:3]) + (f" and {len(moved) - 3} more" if len(moved) > 3 else "")
        hint = '--reason "DRAM priced as HBM3", for example; fusemap regress check shows what moved'
        raise input_error(f"{len(moved)} of {len(compared.cases)} cases moved ({shown}): say why", hint=hint)
    kept = {case.name for case in compared.having("equal")}
    results = {name: before.results[name] if name in kept else result for name, result in found.results.items()}
    if compared.agrees:
        same = dict(before.inputs) == dict(found.digests)
        return None if same else replace(before, inputs=found.digests)
    return Record(version=version(), reason=reason or before.reason, results=results, inputs=found.digests)
