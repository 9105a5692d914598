"""A search that may not end: the best of what was explored, and exploring in a random order."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence

from fusemap.mappers.mapspace.front import Front, Objective, Point, explore
from fusemap.mappers.mapspace.plan import Plan, plans
from fusemap.mappers.mapspace.search import Chain, Found, Search, Segment, value


def unsearched(state: Search) -> Found:
    """What is known of a search that was not begun: a bound."""
    return _found(state, (), math.inf if not state.downsets else state.promise[0])


def composed(state: Search) -> tuple[Chain, ...]:
    """The best sequences of segments that were explored so far; Einsums of which none was are run one by one.

    Empty where something that has to run fits in no way that was tried.
    """
    chains = _chains(state)
    if not chains:
        alone = dataclasses.replace(state.setting, stop=lambda: False)
        blocks = {later - at for at in state.downsets for later in state.after[at]}
        smallest = [b for b in blocks if not any(other < b for other in blocks)]
        for segment in smallest:
            if not state.fronts.get(segment, Front(objective=_kept(state.objective))).points:
                front = Front(objective=_kept(state.objective))
                for plan in _first(state, segment):
                    explore(plan, alone, front, state.tally)
                state.fronts[segment] = front
        chains = _chains(state)
    return chains


def sampled(state: Search, seed: int) -> Found:
    """Explore the plans of all segments in a random order, those that fuse most first, until `stop`.

    A heuristic: what it finds is legal, and how far it can be from the best follows from the search's bound.
    """
    order = random.Random(seed)
    segments = sorted({later - at for at in state.downsets for later in state.after[at]}, key=lambda s: (-len(s), *s))
    ways: list[tuple[int, float, Segment, Plan]] = []
    for segment in segments:
        found = list(plans(state.setting.flow, state.problem, segment, state.setting.space))
        order.shuffle(found)
        ways += [(turn, order.random(), segment, plan) for turn, plan in enumerate(found)]
    for _, _, segment, plan in sorted(ways, key=lambda w: (w[0], -len(w[2]), w[1])):
        if state.setting.stop():
            break
        front = state.fronts.setdefault(segment, Front(objective=_kept(state.objective)))
        explore(plan, state.setting, front, state.tally)
        state.setting.memo.clear()
        state.setting.costs.clear()
    return _found(state, composed(state), state.promise[0])


def _found(state: Search, best: tuple[Chain, ...], bound: float) -> Found:
    return Found(
        objective=state.objective,
        best=best,
        proven=False,
        bound=bound,
        tally=state.tally,
        segments=sum(len(after) for after in state.after.values()),
        explored=len(state.fronts),
    )


def _kept(objective: Objective) -> Objective:
    return "pareto" if objective in ("edp", "pareto") else objective


def _first(state: Search, segment: Segment) -> Sequence[Plan]:
    """The plan of a segment with the best bound; all of them where it is one of a few."""
    ways = list(plans(state.setting.flow, state.problem, segment, state.setting.space))
    return sorted(ways, key=lambda plan: value(state.objective, *state.bounds.of_plan(plan)))[:4]


def _chains(state: Search) -> tuple[Chain, ...]:
    """The best ways through all segments with a front, point in time after point in time."""
    partial: dict[Segment, list[tuple[float, float, tuple[Point, ...]]]] = {frozenset(): [(0.0, 0.0, ())]}
    for at in state.downsets:
        for later in state.after[at] if at in partial else ():
            front = state.fronts.get(later - at)
            grown = [
                (latency + p.latency_s, energy + p.energy_pj, (*points, p))
                for latency, energy, points in partial[at]
                for p in (front.points if front is not None else ())
            ]
            if grown:
                partial[later] = _undominated([*partial.get(later, ()), *grown])
    ends = partial.get(state.downsets[-1], []) if state.downsets[-1] else []
    ranked = sorted(ends, key=lambda end: value(state.objective, end[0], end[1]))
    return tuple(Chain(points=points) for _, _, points in (ranked if state.objective == "pareto" else ranked[:1]))


def _undominated(
    ways: Sequence[tuple[float, float, tuple[Point, ...]]], most: int = 64
) -> list[tuple[float, float, tuple[Point, ...]]]:
    """The ways that no other beats in latency and energy (the fastest of them, where there are too many)."""
    kept: list[tuple[float, float, tuple[Point, ...]]] = []
    for way in sorted(ways, key=lambda w: w[:2]):
        if not kept or way[1] < kept[-1][1]:
            kept.append(way)
    step = max(1, math.ceil(len(kept) / most))
    return kept if step == 1 else [*kept[::step], kept[-1]]
