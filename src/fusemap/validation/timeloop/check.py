"""The cross-check with Timeloop: every case run, or read from a recording; every difference with its cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.validation.timeloop.cases import Case, cases
from fusemap.validation.timeloop.compare import compare
from fusemap.validation.timeloop.peer import Answers, Tool, run_tool
from fusemap.validation.timeloop.quantities import CAUSES, Quantity
from fusemap.validation.timeloop.recording import read_recording


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedCase:
    """One case: its quantities, or why Timeloop refused it."""

    name: str
    einsum: str
    quantities: tuple[Quantity, ...]
    error: str = ""

    @property
    def explained(self) -> bool:
        """True where every quantity is equal or has its causes."""
        return not self.error and all(q.explained for q in self.quantities)

    @property
    def causes(self) -> Mapping[str, int]:
        """How many quantities each cause changes."""
        found = [cause for q in self.quantities for cause, _ in q.causes]
        return {cause: found.count(cause) for cause in CAUSES if cause in found}

    def to_json(self) -> dict[str, object]:
        """The case as values of JSON: all quantities that are not equal, and how many are."""
        return {
            "case": self.name,
            "einsum": self.einsum,
            "quantities": len(self.quantities),
            "equal": sum(q.equal for q in self.quantities),
            "explained": self.explained,
            "causes": dict(self.causes),
            "different": [q.to_json() for q in self.quantities if not q.equal],
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeloopCheck:
    """All cases; `recording` is the file that the runs were read from, "" where they were made now."""

    versions: Mapping[str, str]
    recording: str
    cases: tuple[ComparedCase, ...]

    @property
    def agrees(self) -> bool:
        """True where nothing differs without a cause."""
        return all(case.explained for case in self.cases)

    def to_json(self) -> dict[str, object]:
        """The comparison as values of JSON."""
        return {
            "agrees": self.agrees,
            "versions": dict(self.versions),
            "recording": self.recording or None,
            "causes": dict(CAUSES),
            "cases": [case.to_json() for case in self.cases],
        }


def chosen_cases(names: Sequence[str] = ()) -> tuple[Case, ...]:
    """The cases whose name has one of the given texts in it, all without one; InputError where none has."""
    found = cases()
    for name in names:
        if not any(name in case.name for case in found):
            hint = did_you_mean(name, [case.name for case in found], noun="cases")
            raise input_error(f"no case has {name!r} in its name", hint=hint)
    return tuple(case for case in found if not names or any(name in case.name for name in names))


def check_timeloop(
    tool: Tool | None = None, *, recording: str = "", names: Sequence[str] = ()
) -> tuple[TimeloopCheck, Answers]:
    """Compare with the tool where one is given, else with the recording given or the package's.

    InputError: no such case, the tool cannot be run, or the recording is of other input.
    """
    chosen = chosen_cases(names)
    if tool is None:
        answers, shown = read_recording(chosen, recording)
    else:
        answers, shown = run_tool(tool, chosen), ""
    compared = tuple(_compared(case, answers) for case in chosen)
    return TimeloopCheck(versions=answers.versions, recording=shown, cases=compared), answers


def _compared(case: Case, answers: Answers) -> ComparedCase:
    stats = answers.stats.get(case.name)
    if stats is None:
        error = answers.errors.get(case.name, "no answer")
        return ComparedCase(name=case.name, einsum=case.space.name, quantities=(), error=error)
    return ComparedCase(
        name=case.name,
        einsum=case.space.name,
        quantities=compare(case, case.specification(), stats),
    )
