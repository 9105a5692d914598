"""`validate functional`: two ways to execute a cascade agree, and a planted fault is seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Outcome

from fusemap.cli import validate_functional
from fusemap.einsum_cascade import format_cascade, load, names, parse
from fusemap.einsum_cascade.emit.numpy_text import numpy_source
from fusemap.validation.functional import Executed, Functional, check_functional, compare_forms, compare_numpy


def test_the_library_agrees_and_what_is_not_exported_says_why() -> None:
    found = check_functional(seed=5)
    assert found.agrees
    exported = {row.cascade: row for row in found.rows if row.against == "NumPy"}
    assert set(exported) == set(names())
    assert all("reads or selects at coordinates" in row.absent for row in exported.values() if row.error is None)
    assert ("attention-3pass", "attention-1pass") in {(row.cascade, row.against) for row in found.rows}


def test_a_forgotten_correction_is_seen() -> None:
    text = format_cascade(load("attention-1pass"))
    wrong = text.replace("= RNV[f,m1,p]*PRM[m1,p]", "= RNV[f,m1,p]")
    assert wrong != text
    row = compare_forms(load("attention-3pass"), parse(wrong))
    assert not row.agrees and row.error is not None and row.error > 1e-3


def test_a_wrong_function_is_seen() -> None:
    softmax = load("softmax")
    text = numpy_source(softmax)
    assert compare_numpy(softmax, text=text).agrees
    assert not compare_numpy(softmax, text=text.replace("np.exp(", "np.exp2(")).agrees


@pytest.mark.parametrize("error, code", [(1e-12, 0), (1e-3, 1)])
def test_the_exit_code_is_the_answer(
    fusemap: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, error: float, code: int
) -> None:
    rows = (
        Executed(cascade="softmax", against="softmax-online", sizes=(("K", 4),), error=error),
        Executed(cascade="softmax", against="NumPy", sizes=(("K", 4),), error=0.0),
    )
    monkeypatch.setattr(validate_functional, "check_functional", lambda seed: Functional(rows))
    page = fusemap("validate", "functional")
    assert page.code == code
    assert ("2 executions agree to 1e-10" if code == 0 else "1 differ") in page.out
    document = fusemap("validate", "functional", "--json").json()
    assert document["agrees"] is (code == 0)
    assert document["functional"]["rows"][0]["max_relative_error"] == error
