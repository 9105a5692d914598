"""What the search says that no mapping goes below, against all mappings that it finds good, plan by plan."""

from __future__ import annotations

import pytest
from mapspace_cases import workload
from mapspace_random import puzzle

from fusemap.mappers.mapspace.front import Front, explore
from fusemap.mappers.mapspace.plan import plans
from fusemap.mappers.mapspace.search import prepared
from fusemap.mappers.space import make_problem
from fusemap.sim.mapcost import prices


def above(seed: int) -> int:
    """Points that are not below the bounds of their plan and segment; the others raise."""
    given = puzzle(seed)
    problem = make_problem(given.cascade, workload(given.cascade, given.sizes), {})
    machine = given.tiny.machine
    state = prepared(given.cascade, problem, machine, prices(machine), objective="pareto", space=given.space)
    found = 0
    for segment in {later - at for at in state.downsets for later in state.after[at]}:
        for plan in plans(state.setting.flow, problem, segment, given.space):
            front = Front(objective="pareto")
            explore(plan, state.setting, front, state.tally)
            for least in (state.bounds.of_segment(segment), state.bounds.of_plan(plan)):
                for point in front.points:
                    assert point.latency_s >= least[0] * (1 - 1e-9), (given.text, plan)
                    assert point.energy_pj >= least[1] * (1 - 1e-9), (given.text, plan)
                    found += 1
        state.setting.memo.clear()
        state.setting.costs.clear()
    return found


@pytest.mark.parametrize("tens", range(4))
def test_no_plan_is_below_its_bounds(tens: int) -> None:
    assert sum(above(seed) for seed in range(10 * tens, 10 * tens + 10)) > 100


@pytest.mark.slow
@pytest.mark.parametrize("tens", range(4, 40))
def test_no_plan_of_hundreds_is_below_its_bounds(tens: int) -> None:
    assert sum(above(seed) for seed in range(10 * tens, 10 * tens + 10)) > 50
