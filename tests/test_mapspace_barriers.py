"""No plan shares a loop across a barrier: the passes of the analysis against the groups of the search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from functools import cache

import pytest
from mapspace_cases import small_sizes, workload

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import catalog
from fusemap.einsum_cascade.passes.analyze import PassAnalysis, analyze
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.mappers.mapspace import plan as planning
from fusemap.mappers.mapspace.flow import Flow, flow_of
from fusemap.mappers.mapspace.plan import Plan, plans, segments
from fusemap.mappers.mapspace.space import Mapspace
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import Problem

SIZES = {"M": 8, "P": 4, "N": 4, "K": 4, "D": 4, "T": 4, "C": 4}
LOOPS = Mapspace(recompute=0)
MOST_SEGMENTS, MOST_PLANS = 120, 200


@cache
def analysed(name: str) -> PassAnalysis:
    return analyze(catalog.load(name))


def sized(name: str) -> Problem | None:
    """The cascade at small sizes; None where it cannot be mapped."""
    cascade = catalog.load(name)
    for cut in (2, 1):
        try:
            return make_problem(cascade, workload(cascade, small_sizes(cascade, SIZES, cut)), {})
        except InputError:
            continue
    return None


def sweeps(plan: Plan, touching: Collection[str], variables: Collection[str]) -> int:
    """How often a plan goes through a fiber: loops over its variables that contain Einsums which touch it.

    A loop that all share is one. Where no loop runs over it, every Einsum goes through all of it on its own; so does
    one that steps through the fiber with another variable (backwards, or as a query).
    """
    ranks = {s.name: {r for r, n in s.ranks if n > 1} & {*variables} for s in plan.spaces}
    found = others = 0
    for part in plan.parts:
        here = [s.name for s in part.spaces if s.name.partition("@")[0] in touching and ranks[s.name]]
        found += min(len(here), 1) if part.looped and plan.chunk in variables else len(here)
        others += sum(s.name in touching and not ranks[s.name] for s in part.spaces)
    return others + (min(found, 1) if {*plan.outer} & {*variables} else found)


def fewest(ways: Sequence[tuple[frozenset[str], Plan]], flow: Flow, touching: Collection[str], over: set[str]) -> float:
    """The least number of sweeps of all sequences of segments."""
    least: dict[frozenset[str], float] = {}
    for members, plan in ways:
        least[members] = min(least.get(members, math.inf), sweeps(plan, touching, over))
    downsets, after = segments(flow)
    to_go = {downsets[-1]: 0.0}
    for at in reversed(downsets[:-1]):
        to_go[at] = min((least.get(later - at, math.inf) + to_go[later] for later in after[at]), default=math.inf)
    return to_go[downsets[0]]


def crossed(name: str, problem: Problem, ways: Sequence[tuple[frozenset[str], Plan]]) -> list[str]:
    """Fibers that some mapping goes through less often than the analysis proves that each has to."""
    cascade = catalog.load(name)
    flow, extents = flow_of(cascade, problem), dict(problem.sizes)
    digits = {(of.tensor, of.rank): [d for d in of.digits if extents[str(d.shape)] > 1] for of in owned_ranks(cascade)}
    found = []
    for row in analysed(name).passes:
        variables = {str(d.shape).lower() for d in digits[row.tensor, row.rank]}
        if row.passes.steps or row.when or row.method != "static" or row.passes.constant < 2 or not variables:
            continue
        touching = {str(e) for e, _ in row.assignment} & {*flow.einsums}
        least = fewest(ways, flow, touching, variables)
        if least < row.passes.constant:
            found.append(f"{least} sweeps of {row.tensor} over {row.rank}, {row.passes} are needed")
    return found


def all_plans(name: str, problem: Problem) -> list[tuple[frozenset[str], Plan]]:
    """One plan for every choice of loops of every segment (or, of many segments, the longest)."""
    flow = flow_of(catalog.load(name), problem)
    downsets, after = segments(flow)
    sets = dict.fromkeys(later - at for at in downsets for later in after[at])
    longest = sorted(sets, key=lambda s: (-len(s), sorted(s)))[:MOST_SEGMENTS]
    found: dict[object, tuple[frozenset[str], Plan]] = {}
    for members in longest:
        for plan in itertools.islice(plans(flow, problem, members, LOOPS), MOST_PLANS):
            parts = tuple((p.looped, tuple(s.name for s in p.spaces)) for p in plan.parts)
            found.setdefault((members, plan.outer, plan.chunk, parts), (members, plan))
    return list(found.values())


MAPPED = [name for name in catalog.names() if not name.startswith(("graph", "moh", "dma", "acmil-stkim"))]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", MAPPED)
def test_no_loop_is_shared_across_a_barrier(name: str) -> None:
    problem = sized(name)
    if problem is None:
        pytest.skip("not mapped at these sizes")
    ways = all_plans(name, problem)
    assert ways
    assert crossed(name, problem, ways) == []


def test_a_loop_across_a_barrier_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted fault: no Einsum waits for a reduction."""
    monkeypatch.setattr(planning, "epochs", lambda flow, members, rank: dict.fromkeys(members, 0))
    for name in ("softmax", "attention-3pass", "layernorm"):
        problem = sized(name)
        assert problem is not None
        assert crossed(name, problem, all_plans(name, problem))


def test_barriers_are_looked_for() -> None:
    """The analysis finds barriers in most of the library, so that the test above says something."""
    several = [name for name in ("softmax", "attention-3pass", "attention-2pass", "layernorm", "variance")]
    assert all(any(row.barriers for row in analysed(name).passes) for name in several)
