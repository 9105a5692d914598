"""What the fixture `energy_regression` does: baselines read once, results compared or written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from fusemap.cli.files import write_whole
from fusemap.cli.regress_words import details
from fusemap.diagnostics import InputError, input_error
from fusemap.sim.report import Timing
from fusemap.validation.regress import FIRST, placed, tolerances_of, version
from fusemap.validation.regress_compare import CaseResult, Comparison, compare
from fusemap.validation.regress_file import Baseline, baseline_text, empty_baseline, load_baseline, parse_baseline
from fusemap.validation.regress_model import NAME_LENGTH
from fusemap.validation.regress_snapshot import Snapshot, snapshot
from fusemap.validation.regress_text import Record

HEAD = """\
# Numbers that the tests beside this file hold their reports against (the fixture energy_regression of fusemap).
# Where they move on purpose: pytest --energy-regression-record --energy-regression-reason "what moved them"
"""
_RECORD = "pytest --energy-regression-record"


@dataclass(slots=True, kw_only=True)
class Baselines:
    """The baselines of a run of tests; `users` says which test has which case of which file."""

    record: bool = False
    reason: str | None = None
    read: dict[str, Baseline] = field(default_factory=dict)
    users: dict[tuple[str, str], str] = field(default_factory=dict)

    def check(self, report: object, name: str, *, path: str, test: str, tolerance: float | None) -> str:
        """What is wrong with a report under a case's name, or "".

        When recording, what is wrong is written instead; a recorded number that moved needs a reason.
        """
        try:
            timing = self._required(report, name, path, test)
            return self._checked(snapshot(timing), name, path, tolerance)
        except InputError as error:
            return str(error)

    def _checked(self, found: Snapshot, name: str, path: str, tolerance: float | None) -> str:
        baseline = self._baseline(path)
        recorded = baseline.record.results if baseline.record else {}
        tolerances = tolerances_of(baseline, tolerance, [*recorded.values(), found])
        outcome = compare(recorded[name], found, tolerances) if name in recorded else Comparison(status="new")
        if outcome.status == "equal":
            return ""
        result = placed(baseline, name, outcome, ())
        if not self.record:
            return _page(result, path, baseline)
        if outcome.status == "moved" and not self.reason:
            return f'{_page(result, path, baseline)}\n\nsay why: {_RECORD} --energy-regression-reason "..."'
        self._write(baseline, name, found)
        return ""

    def _required(self, report: object, name: str, path: str, test: str) -> Timing:
        """The report; InputError for what is no report, and for a name that another test has."""
        if not isinstance(report, Timing):
            raise input_error(
                f"energy_regression holds what fm.evaluate or fm.timing gives, not {type(report).__name__}"
            )
        if not 0 < len(name) <= NAME_LENGTH or not name.isprintable():
            raise input_error(f"the name of a case has 1 to {NAME_LENGTH} printable characters, unlike {name[:99]!a}")
        user = self.users.setdefault((path, name), test)
        if user != test:
            raise input_error(f'{user} has a case "{name}" too', hint="give each a name of its own")
        return report

    def _baseline(self, path: str) -> Baseline:
        if path not in self.read:
            loaded = load_baseline(path) if Path(path).exists() else empty_baseline(path, HEAD)
            if loaded.cases is not None:
                message = "a baseline of tests has no cases of its own"
                raise loaded.document.error(
                    ("cases",), message, hint="keep them in a file for fusemap regress", key=True
                )
            self.read[path] = loaded
        return self.read[path]

    def _write(self, baseline: Baseline, name: str, found: Snapshot) -> None:
        """Write the baseline with one result more, sorted by name: the order of tests is nobody's choice."""
        before = baseline.record or Record(version="", reason=FIRST, results={})
        results = dict(sorted({**before.results, name: found}.items()))
        reason = " ".join(self.reason.split()) if self.reason else before.reason
        text = baseline_text(baseline, replace(before, version=version(), reason=reason, results=results))
        write_whole(baseline.file, text.encode())
        self.read[baseline.file] = parse_baseline(text, file=baseline.file)


def _page(result: CaseResult, path: str, baseline: Baseline) -> str:
    if result.status == "new":
        where = "is not in" if baseline.record else "cannot be held against"
        return f'case "{result.name}" {where} {path}, which has to be recorded: {_RECORD}'
    return "\n".join(details(result))
