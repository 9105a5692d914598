"""`validate all`: every check of the group is run, and one that differs makes the answer no."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Outcome

from fusemap.cli import validate, validate_all

CHECKS = {
    "check_functional": "functional",
    "check_simulators": "simulators",
    "check_published": "published",
    "check_cuda": "cuda",
    "compare": "components",
    "check_accelforge": "accelforge",
    "check_timeloop": "timeloop",
}


@dataclass(frozen=True)
class Answer:
    """A check's result."""

    agrees: bool

    def to_json(self) -> dict[str, object]:
        return {"agrees": self.agrees}


@pytest.mark.parametrize("differing", [None, *CHECKS.values()])
def test_one_difference_is_the_answer(
    fusemap: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, differing: str | None
) -> None:
    for function, name in CHECKS.items():
        answer: Any = Answer(name != differing)
        found = (answer, {}) if name == "timeloop" else answer
        monkeypatch.setattr(validate_all, function, lambda found=found: found)
        monkeypatch.setattr(validate_all, f"{name}_page", lambda _, name=name: [f"page of {name}"])
    page, document = fusemap("validate", "all"), fusemap("validate", "all", "--json")
    assert page.code == document.code == (0 if differing is None else 1)
    assert all(f"page of {name}" in page.out for name in CHECKS.values())
    assert [line.split() for line in page.out.splitlines()[-len(CHECKS) :]] == [
        [name, "differs" if name == differing else "agrees"] for name in CHECKS.values()
    ]
    assert document.json()["agrees"] is (differing is None)


def test_every_check_of_the_group_is_run() -> None:
    assert {*CHECKS.values(), "all"} == set(validate.command.commands)


@pytest.mark.slow
def test_all_checks_agree(fusemap: Callable[..., Outcome]) -> None:
    found = fusemap("validate", "all", "--json")
    assert found.code == 0 and found.json()["agrees"]
