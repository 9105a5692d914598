"""The configurations of the FuseMax study, held against the numbers in tests/baselines/published.yaml."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fusemap.sim import evaluate
from fusemap.validation.regress import Regression, regress
from fusemap.validation.regress_file import load_baseline
from fusemap.validation.regress_snapshot import Snapshot
from fusemap.validation.study import load_study

BASELINE = Path(__file__).parent / "baselines" / "published.yaml"
SECONDS = 3.0


def page(found: Regression) -> str:
    from fusemap.cli.regress_words import text

    return text(found)


def test_no_number_of_the_study_moved() -> None:
    start = time.process_time()
    found = regress(BASELINE)
    assert found.agrees, page(found)
    assert time.process_time() - start < SECONDS


def test_every_configuration_and_model_is_held() -> None:
    model = load_study("fusemax").model
    baseline = load_baseline(BASELINE)
    cases = baseline.cases or ()
    asked = {(case.cascade, case.arch, case.dataflow, case.workload.partition("@")[0]) for case in cases}
    assert asked == {
        (c.cascade, c.arch, c.dataflow, name) for c in model.configurations.values() for name in model.models
    }
    assert {case.workload.partition("@")[2] for case in cases} <= set(model.lengths)
    assert baseline.record is not None and len(baseline.record.results) == len(cases) == 60
    assert all(isinstance(found, Snapshot) for found in baseline.record.results.values())


def test_a_planted_change_of_the_model_is_found_with_its_component(monkeypatch: pytest.MonkeyPatch) -> None:
    """One read of a buffer in ten million more, far below what the total shows."""
    original = evaluate.memory_rows

    def planted(*given: Any) -> Iterator[Any]:
        for row in original(*given):
            more = 1 + 1e-7 if (row.component, row.action) == ("global_buffer", "read") else 1
            yield dataclasses.replace(row, count=row.count * more)

    monkeypatch.setattr(evaluate, "memory_rows", planted)
    found = regress(BASELINE)
    assert len(found.having("moved")) == len(found.cases)
    causes = [cause for case in found.cases for cause in case.causes]
    assert {cause.component for cause in causes} == {"global_buffer"}
    assert {factor.name for cause in causes for factor in cause.factors} == {"count"}
    assert "global_buffer" in page(found)
