"""hwcomponents in another interpreter: which one, what is asked, what comes back, and recordings of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from fusemap.diagnostics import input_error
from fusemap.validation.elsewhere import Elsewhere

VARIABLE = "FUSEMAP_HWCOMPONENTS_PYTHON"
HOW_TO_GET = (
    "hwcomponents needs Python 3.12 or later in an environment of its own, and its CACTI glibc 2.38 or a rebuild: "
    "`python3.12 -m venv hw && hw/bin/pip install hwcomponents hwcomponents-cacti hwcomponents-library "
    f"hwcomponents-neurosim`, then --python hw/bin/python or {VARIABLE}"
)
_ELSEWHERE = Elsewhere(
    tool="hwcomponents",
    package="fusemap.validation.hwcomponents",
    script="script.py",
    mark="fusemap-hwcomponents:",
    how_to_get=HOW_TO_GET,
)
_SCHEMA = "fusemap/hwcomponents-recording/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A model by its class, its attributes, the technology (nm; None: it has none) and the actions to price."""

    model: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    technology_nm: float | None = None
    actions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The question as the script reads it."""
        return {
            "model": self.model,
            "attributes": dict(self.attributes),
            "technology_nm": self.technology_nm,
            "actions": {key: dict(call) for key, call in self.actions.items()},
        }

    @property
    def key(self) -> str:
        """What tells questions apart."""
        return json.dumps(self.to_json(), sort_keys=True)

    def __str__(self) -> str:
        given = ", ".join(f"{key}={value}" for key, value in self.attributes.items())
        return f"{self.model.rpartition('.')[2]}({given})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model says: pJ, um^2, the nodes (nm) that its numbers are of, and what was scaled by which factor."""

    energy_pj: Mapping[str, float]
    area_um2: float
    technology_nm: float | None
    native_nm: tuple[float, ...]
    scalings: tuple[Mapping[str, Any], ...] = ()
    error: str = ""

    @property
    def scaled(self) -> bool:
        """Whether the numbers are of another technology than the one asked for."""
        return bool(self.native_nm) and self.technology_nm is not None and self.native_nm != (self.technology_nm,)

    def factor(self, what: str) -> float:
        """The product of the factors that the change of technology has on `energy` or `area`.

        For a model of several parts it is that of each part; the first part's is given.
        """
        found = [scaling for scaling in self.scalings if scaling["attribute"] == "tech_node"]
        return float(found[0][what]) if found else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The answers of one run, by the questions' keys, with everything's version."""

    versions: Mapping[str, str]
    python: str
    libc: str
    platform: str
    answers: Mapping[str, Answer]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    def answer(self, question: Question) -> Answer:
        """The answer to a question; InputError where it was not asked, or the model refused."""
        found = self.answers.get(question.key)
        if found is None:
            raise input_error(f"the recording has no {question}", hint="record again: --python PYTHON --record FILE")
        if found.error:
            raise input_error(f"hwcomponents refuses {question}: {found.error}", hint=_rebuild(found.error))
        return found

    @property
    def name(self) -> str:
        """The packages and what ran them, for a source."""
        packages = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{packages}; Python {self.python}, {self.libc}, {self.platform}"


def named_python(option: str | None) -> str | None:
    """The interpreter that the option or the environment names, or None; InputError where it is not there."""
    return _ELSEWHERE.executable(option, VARIABLE)


def ask(python: str, questions: Sequence[Question], *, timeout_s: float = 1800) -> Peer:
    """Ask the models in that interpreter. InputError: it has no hwcomponents, or ends without an answer."""
    asked = list({question.key: question for question in questions}.values())
    request = {"questions": [question.to_json() for question in asked]}
    found = _ELSEWHERE.ask(python, request, timeout_s=timeout_s)
    if "missing" in found:
        message = f"{python} (Python {found['python']}) has no hwcomponents: {found['missing']}"
        raise input_error(message, hint=HOW_TO_GET)
    answers = found.pop("answers")
    pairs = [{"question": q.to_json(), "answer": a} for q, a in zip(asked, answers, strict=True)]
    return _peer({"schema": _SCHEMA, **found, "runs": pairs})


def read_recording(path: str | os.PathLike[str]) -> Peer:
    """A recording of an earlier run; InputError for a file that is none."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise input_error(f"{path}: not a recording: {error}") from None
    if not isinstance(raw, dict) or raw.get("schema") != _SCHEMA:
        raise input_error(f"{path}: not a recording: expected a document of {_SCHEMA}")
    try:
        return _peer(raw)
    except (KeyError, TypeError, AttributeError) as error:
        raise input_error(f"{path}: not a whole recording: {type(error).__name__} {error}") from None


def recording_text(peer: Peer) -> str:
    """The recording of a run."""
    return json.dumps(peer.raw, indent=1) + "\n"


def packaged() -> Peer:
    """The recording that the package has."""
    place = resources.files("fusemap.validation.hwcomponents").joinpath("recording.json")
    return _peer(json.loads(place.read_text(encoding="utf-8")))


def _peer(raw: Mapping[str, Any]) -> Peer:
    answers = {}
    for run in raw["runs"]:
        answer = run["answer"]
        answers[Question(**run["question"]).key] = Answer(
            energy_pj=answer.get("energy_pj", {}),
            area_um2=answer.get("area_um2", 0.0),
            technology_nm=answer.get("technology_nm"),
            native_nm=tuple(answer.get("native_nm", ())),
            scalings=tuple(answer.get("scalings", ())),
            error=answer.get("error", ""),
        )
    names = ("versions", "python", "libc", "platform")
    return Peer(**{name: raw[name] for name in names}, answers=answers, raw=raw)


def _rebuild(error: str) -> str:
    if "GLIBC" in error or "CACTI failed" in error:
        return "the CACTI of hwcomponents_cacti needs glibc 2.38 or later, or to be built on this machine"
    return ""
