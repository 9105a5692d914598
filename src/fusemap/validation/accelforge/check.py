"""The whole cross-check: run AccelForge where an interpreter is named, else read what it answered before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from fusemap.diagnostics import input_error
from fusemap.validation.accelforge.cases import NestCase, nest_case, nest_cases
from fusemap.validation.accelforge.claims import SHARED, Claim, claim_jobs, claims
from fusemap.validation.accelforge.compare import CAUSES, Compared, compare_nest
from fusemap.validation.accelforge.minimal import Minimal, minimal_case
from fusemap.validation.accelforge.peer import Job, Peer, run_peer
from fusemap.validation.accelforge.searches import MINIMAL, SEARCHES, Searched, compare_search

FORMAT = "fusemap/accelforge-recording/1"
RECORDED = "1.0.467.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccelForgeCheck:
    """All comparisons with one version; `recording` is the file that the answers were read from, if they were."""

    python: str
    versions: Mapping[str, str]
    recording: str
    nests: int
    counts: tuple[Compared, ...]
    searches: tuple[Searched, ...]
    minimal: Minimal
    claims: tuple[Claim, ...]
    errors: tuple[tuple[str, str], ...]

    @property
    def peer(self) -> str:
        """Tool and version."""
        return f"AccelForge {self.versions.get('accelforge', '?')}"

    @property
    def agrees(self) -> bool:
        """True where nothing differs without its cause, and every statement about AccelForge holds."""
        searches = all(row.agrees for row in self.searches) and self.minimal.agrees
        counts = not self.errors and all(row.agrees for row in self.counts)
        return counts and searches and all(claim.holds for claim in self.claims)

    def to_json(self) -> dict[str, object]:
        """The comparison as values of JSON."""
        return {
            "agrees": self.agrees,
            "peer": {"python": self.python, **self.versions},
            "recording": self.recording or None,
            "nests": self.nests,
            "causes": dict(CAUSES),
            "counts": [row.to_json() for row in self.counts],
            "searches": [row.to_json() for row in self.searches],
            "minimal": self.minimal.to_json(),
            "claims": [claim.to_json() for claim in self.claims],
            "errors": [{"case": case, "error": error} for case, error in self.errors],
        }


def check_accelforge(python: str | None = None, *, record: str | None = None, recording: str = "") -> AccelForgeCheck:
    """Compare with AccelForge in the interpreter `python`, else with the package's recording or the one given.

    `record`: write what it answered to this file. InputError: the interpreter has no AccelForge, the recording cannot
    be read, or it answers other files than are exported now.
    """
    if python is None:
        return _compared(*read_recording(recording))
    cases = nest_cases()
    peer = run_peer(python, jobs_of(cases))
    if record is not None:
        write_recording(record, cases, peer)
    return _compared(cases, peer, "")


def jobs_of(cases: Sequence[NestCase]) -> list[Job]:
    """Everything that is asked, in order."""
    return [*(case.job() for case in cases), *(case.job() for case in SEARCHES), *claim_jobs()]


def _compared(cases: Sequence[NestCase], peer: Peer, recording: str) -> AccelForgeCheck:
    errors = [
        (name, str(answer["error"])) for name, answer in peer.jobs.items() if "error" in answer and name != SHARED
    ]
    failed = {name for name, _ in errors}
    needed = {MINIMAL.name, *(job.name for job in claim_jobs())}  # that SHARED is refused is an answer
    for name in sorted(failed & needed):
        raise input_error(f"{peer.name} refused {name}: {dict(errors)[name]}")
    counts = [row for case in cases if case.name not in failed for row in compare_nest(case, peer.jobs[case.name])]
    return AccelForgeCheck(
        python=peer.python,
        versions=peer.versions,
        recording=recording,
        nests=len(cases),
        counts=tuple(counts),
        searches=tuple(compare_search(c, peer.jobs[c.name]) for c in SEARCHES if c.name not in failed),
        minimal=minimal_case(peer.jobs[MINIMAL.name]),
        claims=claims(peer.jobs),
        errors=tuple(errors),
    )


# --- recordings -----------------------------------------------------------------------------------


def digest(job: Job) -> str:
    """What tells whether a recorded answer is that to this job.

    >>> digest(Job(name="a", arch="", workload="")) == digest(Job(name="b", arch="", workload=""))
    True
    """
    asked = {key: value for key, value in job.to_json().items() if key != "name"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def recording_text(cases: Sequence[NestCase], peer: Peer) -> str:
    """Cases and answers as one JSON document, an answer a line."""
    digests = {job.name: digest(job) for job in jobs_of(cases)}
    head = {"format": FORMAT, "python": peer.python, "versions": dict(peer.versions)}
    lines = [f'"{key}": {json.dumps(value)},' for key, value in head.items()]
    nests = ",\n".join(json.dumps(case.to_json()) for case in cases)
    answers = ",\n".join(
        json.dumps({"name": name, "sha256": digests[name], **_brief(answer)}) for name, answer in peer.jobs.items()
    )
    return "\n".join(["{", *lines, f'"nests": [\n{nests}\n],', f'"answers": [\n{answers}\n]', "}"]) + "\n"


def _brief(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer without its name, and without counts of nothing."""
    brief = {key: value for key, value in answer.items() if key not in ("name", "reserved")}
    if "actions" in brief:
        brief["actions"] = [item for item in brief["actions"] if item[-1]]
    return brief


def write_recording(file: str, cases: Sequence[NestCase], peer: Peer) -> None:
    """Write cases and answers to a file."""
    Path(file).write_text(recording_text(cases, peer), encoding="utf-8")


def read_recording(file: str = "") -> tuple[list[NestCase], Peer, str]:
    """Cases and answers of a recording (the package's where no file is given).

    InputError: it is no recording, or one of its answers is not to what is exported now.
    """
    if file:
        name, text = file, Path(file).read_text(encoding="utf-8")
    else:
        folder = resources.files("fusemap.validation").joinpath("recordings", "accelforge")
        name, text = RECORDED, folder.joinpath(RECORDED).read_text(encoding="utf-8")
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise KeyError("format")
        cases = [nest_case(item) for item in document["nests"]]
        answers = {item["name"]: item for item in document["answers"]}
        peer = Peer(python=document["python"], versions=document["versions"], jobs=answers)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise input_error(f"{name} is no recording of AccelForge: {error}") from None
    _require_same(name, jobs_of(cases), answers)
    return cases, peer, name


def _require_same(name: str, jobs: Sequence[Job], answers: Mapping[str, Mapping[str, Any]]) -> None:
    hint = "`fusemap validate accelforge --python PATH --record FILE` makes a new one"
    wrong = [job.name for job in jobs if answers.get(job.name, {}).get("sha256") != digest(job)]
    if wrong:
        message = f"{name}: {len(wrong)} answers are not to what is exported now, the first is {wrong[0]}"
        raise input_error(message, hint=hint)
