"""AccelForge in another interpreter: which one, what is asked, what comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from fusemap.diagnostics import input_error

VARIABLE = "FUSEMAP_ACCELFORGE_PYTHON"
HOW_TO_GET = (
    "AccelForge needs Python 3.12 or later in an environment of its own: "
    "`python3.12 -m venv forge && forge/bin/pip install accelforge==1.0.467`, "
    f"then --python forge/bin/python or {VARIABLE}"
)
_MARK = "fusemap-accelforge:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Texts for AccelForge: a `mapping` to evaluate, or a `search` by ENERGY or LATENCY; neither: only load."""

    name: str
    arch: str
    workload: str
    mapping: str | None = None
    search: str | None = None
    mapper: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """The job as the driver reads it."""
        names = ("name", "arch", "workload", "mapping", "search", "mapper")
        return {name: value for name in names if (value := getattr(self, name))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Answers of one run: Python and package versions, and a document for each job by its name."""

    python: str
    versions: Mapping[str, str]
    jobs: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """Tool and version, as tables and messages name it."""
        return f"AccelForge {self.versions.get('accelforge', '?')}"


def named_python(option: str | None) -> str | None:
    """The interpreter that the option or the environment names, or None; InputError where it is not there."""
    given = option or os.environ.get(VARIABLE)
    if not given:
        return None
    found = shutil.which(given)
    if found is None:
        origin = "--python" if option else VARIABLE
        raise input_error(f"{origin}: no executable {given}", hint=HOW_TO_GET)
    return found


def run_peer(python: str, jobs: Sequence[Job], *, parallel: bool = False, timeout_s: float | None = None) -> Peer:
    """Run the jobs in that interpreter, one after another in one process.

    InputError: it has no AccelForge, or it ends without an answer; its last lines are shown.
    """
    request = json.dumps({"parallel": parallel, "jobs": [job.to_json() for job in jobs]})
    driver = resources.files("fusemap.validation.accelforge").joinpath("driver.py").read_text(encoding="utf-8")
    try:
        ended = subprocess.run(
            [python, "-c", driver], input=request, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise input_error(f"{python}: AccelForge did not end within {timeout_s:g} s") from None
    answers = [line for line in ended.stdout.splitlines() if line.startswith(_MARK)]
    if ended.returncode or not answers:
        last = ended.stderr.strip().splitlines()[-1:] or [f"exit code {ended.returncode}, no answer"]
        raise input_error(f"{python} cannot run AccelForge: {last[0]}", hint=HOW_TO_GET)
    found = json.loads(answers[-1].removeprefix(_MARK))
    return Peer(python=found["python"], versions=found["versions"], jobs={job["name"]: job for job in found["jobs"]})
