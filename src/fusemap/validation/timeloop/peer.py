"""Running timeloop-model: through the v4 front end of a Python that has it, or the executable alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from fusemap.diagnostics import input_error
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
    given = (executable or os.environ.get(EXECUTABLE), python or os.environ.get(PYTHON))
    if not any(given):
        return None
    found = []
    for path, option, variable, asked in zip(
        given, ("--executable", "--python"), (EXECUTABLE, PYTHON), (executable, python), strict=True
    ):
        if path and shutil.which(path) is None:
            raise input_error(f"{option if asked else variable}: no executable {path}", hint=HOW_TO_GET)
        found.append(shutil.which(path) or "" if path else "")
    return Tool(executable=found[0], python=found[1])


def run_tool(tool: Tool, cases: Sequence[Case]) -> Answers:
    """Run every case; InputError where the tool cannot be run at all."""
    jobs = []
    for case in cases:
        spec = case.specification()
        written = {name: text for name, text in files(spec).items() if name in MODEL_FILES}
        content = {"files": written} if tool.python else {"direct": direct_input(spec)}
        jobs.append({"name": case.name, "environment": dict(case.environment), **content})
    driver = resources.files("fusemap.validation.timeloop").joinpath("driver.py").read_text(encoding="utf-8")
    python = tool.python or sys.executable
    request = json.dumps({"executable": tool.executable, "jobs": jobs})
    ended = subprocess.run([python, "-c", driver], input=request, capture_output=True, text=True, check=False)
    lines = [line for line in ended.stdout.splitlines() if line.startswith(MARK)]
    if ended.returncode or not lines:
        last = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}, no answer"]
        raise input_error(f"{python} cannot run Timeloop: {last[0]}", hint=HOW_TO_GET)
    document = json.loads(lines[-1].removeprefix(MARK))
    answers = document["jobs"]
    return Answers(
        versions={"front end": document["front_end"] or "none", **document["versions"]},
        stats={name: parse_stats(answer["stats"]) for name, answer in answers.items() if "stats" in answer},
        errors={name: answer["error"] for name, answer in answers.items() if "error" in answer},
    )
