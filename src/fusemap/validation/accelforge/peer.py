"""AccelForge in another interpreter: which one, what is asked, what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fusemap.validation.elsewhere import Elsewhere

VARIABLE = "FUSEMAP_ACCELFORGE_PYTHON"
HOW_TO_GET = (
    "AccelForge needs Python 3.12 or later in an environment of its own: "
    "`python3.12 -m venv forge && forge/bin/pip install accelforge==1.0.467`, "
    f"then --python forge/bin/python or {VARIABLE}"
)
_ELSEWHERE = Elsewhere(
    tool="AccelForge",
    package="fusemap.validation.accelforge",
    script="driver.py",
    mark="fusemap-accelforge:",
    how_to_get=HOW_TO_GET,
)


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
    return _ELSEWHERE.executable(option, VARIABLE)


def run_peer(python: str, jobs: Sequence[Job], *, parallel: bool = False, timeout_s: float | None = None) -> Peer:
    """Run the jobs in that interpreter, one after another in one process.

    InputError: it has no AccelForge, or it ends without an answer; its last lines are shown.
    """
    request = {"parallel": parallel, "jobs": [job.to_json() for job in jobs]}
    found = _ELSEWHERE.ask(python, request, timeout_s=timeout_s)
    return Peer(python=found["python"], versions=found["versions"], jobs={job["name"]: job for job in found["jobs"]})
