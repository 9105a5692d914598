"""Recordings of real runs of Timeloop: results by case, with the digest of what was run and the versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from fusemap.diagnostics import Diagnostic, InputError, input_error
from fusemap.validation.timeloop.cases import Case
from fusemap.validation.timeloop.peer import Answers
from fusemap.validation.timeloop.stats import stats_from_json
from fusemap.validation.timeloop.text import MODEL_FILES, files

FORMAT = "fusemap/timeloop-recording/1"
RECORDED = "4cf6d4c.json"
_AGAIN = "record them anew: fusemap validate timeloop --executable PATH --python PATH --record FILE"


def digest(case: Case) -> str:
    """What identifies a run's input: the exported files without their comments, and the environment."""
    written = files(case.specification())
    lines = [line for name in MODEL_FILES for line in written[name].splitlines() if not line.startswith("#")]
    lines += [f"{name}={value}" for name, value in case.environment]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def recording_text(cases: Sequence[Case], answers: Answers) -> str:
    """The file's text, a line per case."""
    runs = {
        case.name: {"input": digest(case), **answers.stats[case.name].to_json()}
        for case in cases
        if case.name in answers.stats
    }
    head = {"format": FORMAT, "versions": dict(answers.versions)}
    body = ",\n".join(f"  {json.dumps(name)}: {json.dumps(run, separators=(',', ':'))}" for name, run in runs.items())
    return f'{json.dumps(head, indent=1)[:-2]},\n "runs": {{\n{body}\n }}\n}}\n'


def read_recording(cases: Sequence[Case], path: str = "") -> tuple[Answers, str]:
    """Results for the cases from a file, by default from the package's; InputError where they are of other input."""
    text, shown = _text(path)
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise KeyError("format")
        runs: Mapping[str, dict[str, object]] = document["runs"]
        stats = {name: stats_from_json(run) for name, run in runs.items()}
        inputs = {name: run["input"] for name, run in runs.items()}
        versions = {str(k): str(v) for k, v in document["versions"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise input_error(f"{shown} is no recording of Timeloop", hint=f"its format is {FORMAT}; {_AGAIN}") from None
    wrong = []
    for case in cases:
        if case.name not in stats:
            wrong.append(Diagnostic(message=f"{shown} has no run of {case.name}", hint=_AGAIN))
        elif inputs[case.name] != digest(case):
            wrong.append(Diagnostic(message=f"{shown}: {case.name} was run with other files than now", hint=_AGAIN))
    if wrong:
        raise InputError(tuple(wrong))
    return Answers(versions=versions, stats={case.name: stats[case.name] for case in cases}), shown


def _text(path: str) -> tuple[str, str]:
    if path:
        return Path(path).read_text(encoding="utf-8"), path
    folder = resources.files("fusemap.validation").joinpath("recordings", "timeloop")
    return folder.joinpath(RECORDED).read_text(encoding="utf-8"), f"recordings/timeloop/{RECORDED}"
