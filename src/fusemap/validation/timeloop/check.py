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


def chosen_cases(names: Sequence[str] = (), given: Sequence[Case] | None = None) -> tuple[Case, ...]:
    """The cases (given, or the package's) of these names, or with these texts in their names; all without one.

    InputError where there is none for a name.
    """
    found = tuple(cases() if given is None else given)
    wanted = {case.name for name in names for case in _called(name, found)}
    return tuple(case for case in found if not names or case.name in wanted)


def _called(name: str, found: Sequence[Case]) -> Sequence[Case]:
    """The case of that name, else those that have it in theirs."""
    called = [case for case in found if case.name == name] or [case for case in found if name in case.name]
    if not called:
        hint = did_you_mean(name, [case.name for case in found], noun="cases")
        raise input_error(f"no case has {name!r} in its name", hint=hint)
    return called


def check_timeloop(
    tool: Tool | None = None, *, recording: str = "", chosen: Sequence[Case] | None = None
) -> tuple[TimeloopCheck, Answers]:
    """Compare cases (default: all of the package) with the tool, without one with the recording given or the package's.

    InputError: the tool cannot be run, or the recording is of other input; DoesNotFit: Timeloop's format has no words
    for a case.
    """
    chosen = cases() if chosen is None else chosen
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
