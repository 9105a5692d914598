"""Choices of a dataflow: their space, and a search that is held against evaluating every point."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataflow_cases import attention, dataflow, other_machine, with_buffer

from fusemap.archspec import load_arch, load_workload
from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade import catalog
from fusemap.mappers import choices_nests
from fusemap.mappers.choices import assignment, choice_space
from fusemap.mappers.choices_grid import Grid, distinct_rows
from fusemap.mappers.dataflow import Dataflow, load_dataflow
from fusemap.sim import choose_choices
from fusemap.sim.choose_choices import ChoiceTable, Objective, choice_table, search_dataflow

FEWER = "choices: {Q_onchip: [0], V_onchip: [1], AV_onchip: [0, 1], A_onchip: [QK_onchip]"
QUERIES = "choices: {P1: {divisors_of: P / P0}}"
SMALL = {
    "spills": ("flat", "attention-3pass", FEWER + "}", attention(4, 4, 8, 4), 64),
    "is too small": ("flat", "attention-3pass", FEWER + ", spilled: [0 * overbooked]}", attention(4, 8, 8, 4), 160),
    "features differ": ("flat", "attention-3pass", FEWER + ", K_onchip: [1]}", attention(8, 2, 12, 6), 256),
    "binding": ("fusemax-binding", "attention-1pass", QUERIES, attention(4, 4, 16, 64), 512),
    "shapes": ("fusemax-arch", "attention-1pass", "choices: {M0: [1, 2, 4]}", attention(4, 4, 16, 32), 4096),
}


def small(case: str, folder: Path) -> tuple[str, Machine, Workload, Dataflow]:
    name, cascade, choices, workload, capacity_bytes = SMALL[case]
    path = folder / "mine.yaml"
    path.write_text(f"extends: {name}\n{choices}\n")
    base = "flat-cloud" if name == "flat" else "fusemax-cloud"
    machine = with_buffer(other_machine(base, rows=4, columns=4, lanes=4), capacity_bytes)
    return cascade, machine, workload, load_dataflow(str(path))


def tables(case: str, folder: Path) -> tuple[ChoiceTable, ChoiceTable]:
    """All points, searched and evaluated one by one."""
    cascade, machine, workload, found = small(case, folder)
    searched, each = (choice_table(catalog.load(cascade), machine, workload, found, method=m) for m in ("auto", "each"))
    return searched, each


def differences(searched: ChoiceTable, each: ChoiceTable) -> list[str]:
    """Everything in which a search differs from evaluating every point."""
    found = [] if (searched.costs.legal == each.costs.legal).all() else ["legal"]
    legal = each.costs.legal
    assert searched.costs.energy_pj is not None and each.costs.energy_pj is not None
    for name in ("latency_s", "traffic_bytes", "energy_pj"):
        ours, theirs = getattr(searched.costs, name)[legal], getattr(each.costs, name)[legal]
        if not np.allclose(ours, theirs, rtol=1e-12, atol=0):
            found.append(name)
    return found


@pytest.mark.parametrize("case", SMALL)
def test_the_search_finds_what_evaluating_every_point_finds(case: str, tmp_path: Path) -> None:
    searched, each = tables(case, tmp_path)
    assert searched.evaluated == searched.space.count == len(list(searched.space.points()))
    assert differences(searched, each) == []
    objectives: tuple[Objective, ...] = ("latency", "traffic", "energy", "edp")
    for objective in objectives:
        values = each.objective(objective)
        (ours,) = (searched.objective(objective)[searched.grid.index(searched.best(objective).point)],)
        assert ours == pytest.approx(values.min(), rel=1e-12)
        assert searched.ties(objective).tolist() == each.ties(objective).tolist()


def test_the_cases_reach_both_ways_and_both_answers(tmp_path: Path) -> None:
    for case in SMALL:
        cascade, machine, workload, found = small(case, tmp_path)
        try:
            table = choice_table(catalog.load(cascade), machine, workload, found, method="arrays")
        except InputError:
            assert case == "shapes"
            continue
        assert table.feasible > 0, case
        assert (table.feasible < table.evaluated) == (case in ("is too small", "binding")), case
        spilled = table.grid.name("spilled").max() if case == "spills" else 1
        assert 0 < spilled <= 1


def test_a_search_that_loses_nests_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def merged(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return distinct_rows(columns[:-1])

    monkeypatch.setattr(choices_nests, "distinct_rows", merged)
    assert differences(*tables("spills", tmp_path)) != []


def test_a_search_that_forgets_the_spill_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = choices_nests.variants

    def unspilled(*arguments: Any) -> choices_nests.Variants:
        return dataclasses.replace(real(*arguments), spilled=np.zeros(1))

    monkeypatch.setattr(choose_choices, "variants", unspilled)
    assert differences(*tables("spills", tmp_path)) != []


def test_nothing_dominates_what_is_on_the_front_and_the_front_dominates_the_rest(tmp_path: Path) -> None:
    table, _ = tables("spills", tmp_path)
    front = {table.grid.index(c.point) for c in table.pareto()}
    assert all(table.dominating(i).size == 0 for i in front)
    assert table.costs.energy_pj is not None
    costs = np.stack([table.costs.latency_s, table.costs.traffic_bytes, table.costs.energy_pj], axis=1)
    for i in np.flatnonzero(table.costs.legal):
        assert any((costs[j] <= costs[i] * (1 + 1e-9)).all() for j in front)


# --- the space --------------------------------------------------------------------------------------


def test_the_size_of_the_space_is_known_before_the_search() -> None:
    space = choice_space(dataflow("flat"), load_workload("BERT@4K"), load_arch("flat-cloud"))
    assert space.count == 2**6 * 3 * 3 * (1 + 13) == 8064
    assert space.sizes().startswith("8,064 = 2 Q_onchip x ") and space.sizes().endswith("14 fusion_granularity")
    assert choice_space(dataflow("unfused"), load_workload("BERT@4K"), load_arch("unfused-cloud")).count == 1


def test_settings_lead_to_their_point_and_back() -> None:
    space = choice_space(dataflow("flat"), load_workload("BERT@1K"), load_arch("flat-edge"))
    for point in list(space.points())[::97]:
        assert space.settings(assignment(space, space.settings(point))) == space.settings(point)
    with pytest.raises(InputError, match="no point of the choices of dataflow flat has P1 = 3"):
        assignment(space, {"P1": 3})


def test_a_grid_computes_what_each_point_computes() -> None:
    space = choice_space(dataflow("flat"), load_workload("XLM@3000"), load_arch("flat-cloud"))
    grid = Grid(space)
    for index in range(0, space.count, 211):
        names = space.names(grid.point(index))
        for name in ("spilled", "PR", "PT", "asked_words", "softmax_spilled", "MC"):
            values = grid.name(name)
            assert names[name] == values[index if values.size > 1 else 0], (index, name)


def test_a_dataflow_without_choices_is_one_point() -> None:
    found = search_dataflow(
        catalog.load("attention-3pass"), load_arch("unfused-cloud"), load_workload("T5@1K"), dataflow("unfused")
    )
    assert (found.space_size, found.ties, len(found.pareto)) == (1, 1, 1)


def test_what_does_not_fit_says_what_it_needs(tmp_path: Path) -> None:
    table, _ = tables("is too small", tmp_path)
    index = int(np.flatnonzero(~table.costs.legal)[0])
    (violation,) = table.refusal(index)
    assert violation.need > violation.limit == 160 and violation.unit == "B"
    assert table.refusal(int(np.flatnonzero(table.costs.legal)[0])) == ()
    cascade, machine, workload, found = small("is too small", tmp_path)
    with pytest.raises(DoesNotFit, match="no point of the choices of dataflow mine"):
        search_dataflow(catalog.load(cascade), with_buffer(machine, 2), workload, found)


# --- faults -----------------------------------------------------------------------------------------

WRONG = {
    "{PS: [1, 2]}": ["3:11: error: dataflow mine has no name PS", "did you mean"],
    "{P1: []}": ["3:11: error: choice P1 has no option"],
    "{one: [{P1: 1}, {spilled: 0}]}": ["error: the options of choice one do not all set the same names"],
    "{one: [{Q_onchip: 1}]}": ["another choice sets Q_onchip too"],
    "{MR: {divisors_of: Q_onchip}}": ['unknown name "Q_onchip"', "candidates cannot depend on another choice"],
    "{spilled: [nothing]}": ['unknown name "nothing"'],
    "{P1: {divisors: P}}": ["divisors_of"],
    "{fusion_granularity: [{P1: {divisors_of: P / 3}, row_granularity: 1}]}": ["expected a positive integer"],
}


@pytest.mark.parametrize("choices", WRONG)
def test_faults_are_located(choices: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: flat\n\nchoices: {choices}\n")
    with pytest.raises(InputError) as caught:
        search_dataflow(
            catalog.load("attention-3pass"), load_arch("flat-edge"), load_workload("BERT@512"), load_dataflow(str(path))
        )
    text = str(caught.value)
    assert "mine.yaml:3:" in text
    for part in WRONG[choices]:
        assert part in text


def test_too_many_points_and_missing_prices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: flat\nchoices: {PR: {divisors_of: P}, MC: {divisors_of: M}, MR: {divisors_of: M}}\n")
    cascade, workload = catalog.load("attention-3pass"), load_workload("BERT@4K")
    with pytest.raises(InputError, match="too many points to evaluate: 17,716,608 = "):
        search_dataflow(cascade, load_arch("flat-cloud"), workload, load_dataflow(str(path)))
    with pytest.raises(InputError, match="machine flat-edge lacks prices, so no edp"):
        search_dataflow(cascade, load_arch("flat-edge"), workload, dataflow("flat"), "edp")
