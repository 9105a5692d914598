"""The published values as data: every one with unit, tolerance, citation and where it is shown."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from fusemap.validation.published import Comparison, Published, load_published
from fusemap.validation.study import Study, load_study, study_names

TOTALS = {"traffic_bytes": "B", "latency_s": "s", "energy_pj": "pJ"}
ATTENTION = {**TOTALS, "util_2d": "1", "util_1d": "1"}
AREAS = {"area_um2": "um^2", "array_2d_area_um2": "um^2", "memory_s": "s", "array_2d_s": "s", "array_1d_s": "s"}
PARETO = {"traffic_bytes": "B", "latency_s": "s", **AREAS}
UNITS = {**ATTENTION, **PARETO}
ROUNDING = 1e-9  # the tables hold all digits


@pytest.fixture(scope="module", params=study_names())
def study(request: pytest.FixtureRequest) -> Study:
    return load_study(request.param)


@pytest.fixture(scope="module")
def values(study: Study) -> tuple[Published, ...]:
    return load_published(study)


def configurations(study: Study) -> dict[str, list[str]]:
    """The names of what is configured, by table."""
    model = study.model
    assert model.linear is not None and model.pareto is not None
    machines = [f"{name}={value}" for name, values in model.pareto.points.items() for value in values]
    return {
        model.experiment: list(model.configurations),
        "linear": list(model.linear.configurations),
        "pareto": machines,
    }


def faults(value: Published, study: Study) -> list[str]:
    """What is missing or inconsistent in a published value."""
    model = study.model
    lengths = {int(n[:-1]) * {"K": 1 << 10, "M": 1 << 20}[n[-1]] for n in model.lengths}
    checks = {
        "unit": value.unit == UNITS.get(value.quantity, "1"),
        "tolerance": 0 < value.tolerance < 0.05,
        "citation": value.citation in ("paper", "artifact"),
        "shown in": value.shown_in.startswith(("Figure ", "table", "Section ", "abstract")),
        "value": value.value > 0,
        "note": bool(value.note) == (value.tolerance > ROUNDING),
        "study": value.study in (*configurations(study), "claims"),
    }
    if value.study in configurations(study):
        checks["configuration"] = value.configuration in configurations(study)[value.study]
        checks["workload"] = value.model in model.models and value.seq_len in lengths
    else:
        checks["claim"] = value.quantity in [c.claim for c in model.claims]
    return [name for name, passed in checks.items() if not passed]


def test_every_value_has_unit_tolerance_citation_and_place(study: Study, values: tuple[Published, ...]) -> None:
    assert {value: found for value in values if (found := faults(value, study))} == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"unit": ""}, "unit"),
        ({"unit": "J"}, "unit"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"citation": ""}, "citation"),
        ({"shown_in": ""}, "shown in"),
        ({"tolerance": 1e-3}, "note"),
        ({"configuration": "flatt"}, "configuration"),
        ({"seq_len": 1000}, "workload"),
        ({"study": "claims"}, "claim"),
    ],
)
def test_a_planted_fault_is_found(
    change: dict[str, object], fault: str, study: Study, values: tuple[Published, ...]
) -> None:
    assert faults(dataclasses.replace(values[0], **change), study) == [fault]


def test_no_value_is_there_twice(values: tuple[Published, ...]) -> None:
    keys = Counter((v.study, v.configuration, v.model, v.seq_len, v.quantity) for v in values)
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_row_and_every_claim_is_there(study: Study, values: tuple[Published, ...]) -> None:
    expected = {study.model.experiment: (ATTENTION, 120, 936), "linear": (TOTALS, 48, 144), "pareto": (PARETO, 24, 168)}
    for table, (units, rows, count) in expected.items():
        found: dict[tuple[str, str, int], set[str]] = {}
        for v in values:
            if v.study == table:
                found.setdefault((v.configuration, v.model, v.seq_len), set()).add(v.quantity)
        assert len(found) == rows and {c for c, _, _ in found} == set(configurations(study)[table])
        assert all(quantities >= set(units) for quantities in found.values())
        assert sum(map(len, found.values())) == count
    assert {v.quantity for v in values if not v.configuration} == {c.claim for c in study.model.claims}


def test_a_comparison_agrees_up_to_its_tolerance(values: tuple[Published, ...]) -> None:
    for value in values[::50]:
        at = [value.value * (1 + factor * value.tolerance) for factor in (0.0, 0.9, -0.9, 1.1, -1.1)]
        agreed = [Comparison(published=value, computed=computed).agrees for computed in at]
        assert agreed == [True, True, True, False, False]
