"""Running timeloop-model: through the v4 front end of a Python that has it, or the executable alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusemap.validation.elsewhere import Elsewhere
from fusemap.validation.timeloop.cases import Case
from fusemap.validation.timeloop.direct import direct_input
from fusemap.validation.timeloop.driver import MARK
from fusemap.validation.timeloop.stats import Stats, parse_stats
from fusemap.validation.timeloop.text import MODEL_FILES, files

EXECUTABLE, PYTHON = "FUSEMAP_TIMELOOP_MODEL", "FUSEMAP_TIMELOOP_PYTHON"
HOW_TO_GET = (
    "Timeloop is on no package index: timeloop-model is built from the public repository NVlabs/timeloop, "
    "its v4 front end is Accelergy-Project/timeloopfe, also in Accelergy-Project/timeloop-python. "
    f"Then --executable PATH or {EXECUTABLE}, and for the front end --python PATH or {PYTHON}"
)
_ELSEWHERE = Elsewhere(
    tool="Timeloop",
    package="fusemap.validation.timeloop",
    script="driver.py",
    mark=MARK,
    how_to_get=HOW_TO_GET,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Which timeloop-model, and the interpreter whose front end prepares its input ("": none)."""

    executable: str = ""
    python: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Results of a run by the cases' names; `errors` are cases that Timeloop refused."""

    versions: Mapping[str, str]
    stats: Mapping[str, Stats]
    errors: Mapping[str, str] = field(default_factory=dict)


def named_tool(executable: str | None, python: str | None) -> Tool | None:
    """What the options or the environment name, None where they name nothing; InputError where it is not there."""
    found = (
        _ELSEWHERE.executable(executable, EXECUTABLE, "--executable"),
        _ELSEWHERE.executable(python, PYTHON),
    )
    return Tool(executable=found[0] or "", python=found[1] or "") if any(found) else None


def run_tool(tool: Tool, cases: Sequence[Case]) -> Answers:
    """Run every case; InputError where the tool cannot be run at all."""
    jobs = []
    for case in cases:
        spec = case.specification()
        written = {name: text for name, text in files(spec).items() if name in MODEL_FILES}
        content = {"files": written} if tool.python else {"direct": direct_input(spec)}
        jobs.append({"name": case.name, "environment": dict(case.environment), **content})
    document = _ELSEWHERE.ask(tool.python or sys.executable, {"executable": tool.executable, "jobs": jobs})
    answers = document["jobs"]
    return Answers(
        versions={"front end": document["front_end"] or "none", **document["versions"]},
        stats={name: parse_stats(answer["stats"]) for name, answer in answers.items() if "stats" in answer},
        errors={name: answer["error"] for name, answer in answers.items() if "error" in answer},
    )
