"""Best-first search over all sequences of segments: exhaustive, with bounds that leave out what cannot win.

A sequence's latency and energy are the sums of its segments'. A segment that has not been looked at enters with
a lower bound; the least sum is taken from a queue, and only when it rests on a bound the segment is explored.
When a complete sequence comes out of the queue no other can be better (A*: the bounds never exceed the costs).
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.mapspace.flow import Flow, consumers, flow_of
from fusemap.mappers.mapspace.front import Front, Objective, Point, Setting, Tally, explore
from fusemap.mappers.mapspace.options import Prices
from fusemap.mappers.mapspace.plan import plans, segments
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.types import EinsumSpace, Problem
from fusemap.mappers.units import find_units


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Segments one after another, with their sums."""

    points: tuple[Point, ...]

    @property
    def latency_s(self) -> float:
        """Sum over the segments."""
        return sum(p.latency_s for p in self.points)

    @property
    def energy_pj(self) -> float:
        """Sum over the segments."""
        return sum(p.energy_pj for p in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found: the best sequences (several for a Pareto set), and whether nothing better can exist.

    `bound` is a value of the objective that no mapping in the space goes below.
    """

    objective: Objective
    best: tuple[Chain, ...]
    proven: bool
    bound: float
    tally: Tally
    segments: int
    explored: int


Segment = frozenset[str]


@dataclass(slots=True, kw_only=True)
class _State:
    """What is known of the segments so far."""

    problem: Problem
    setting: Setting
    objective: Objective
    tally: Tally
    fronts: dict[Segment, Front] = field(default_factory=dict)
    bounds: dict[Segment, tuple[float, float]] = field(default_factory=dict)


def value(objective: Objective, latency_s: float, energy_pj: float) -> tuple[float, float]:
    """What is minimised, and what decides between equals."""
    if objective == "latency":
        return latency_s, energy_pj
    if objective == "energy":
        return energy_pj, latency_s
    return latency_s * energy_pj, latency_s


def search(
    cascade: Cascade,
    problem: Problem,
    machine: Machine,
    prices: Prices,
    *,
    objective: Objective = "latency",
    space: Mapspace = EVERYTHING,
    stop: Callable[[], bool] = lambda: False,
    limit: tuple[float, float] = (math.inf, math.inf),
) -> Found:
    """The best mapping of a problem in the space of `plans`: proven, unless `stop` ends the search before.

    Only mappings whose `value` is below `limit` are of interest; where there is none, the result has none.
    """
    flow = flow_of(cascade, problem)
    setting = Setting(flow=flow, machine=machine, prices=prices, space=space, stop=stop)
    state = _State(problem=problem, setting=setting, objective=objective, tally=Tally())
    downsets, after = segments(flow)
    rest = _bounds_to_go(state, downsets, after)
    last = downsets[-1]
    ticket = itertools.count()
    queue: list[tuple[tuple[float, float], int, Segment, tuple[Point, ...], Segment | None]] = []
    done: list[Chain] = []
    settled: dict[Segment, list[tuple[float, float]]] = {}

    def push(at: Segment, points: tuple[Point, ...], lazy: Segment | None) -> None:
        latency = sum(p.latency_s for p in points)
        energy = sum(p.energy_pj for p in points)
        where = at
        if lazy is not None:
            more = _bound(state, lazy)
            latency, energy, where = latency + more[0], energy + more[1], at | lazy
        to_go = rest[where]
        if math.isinf(to_go[0]):
            return
        key = value(objective, latency + to_go[0], energy + to_go[1])
        heapq.heappush(queue, (key, next(ticket), at, points, lazy))

    push(frozenset(), (), None)
    bound = queue[0][0][0] if queue else math.inf
    while queue and not setting.stop():
        key, _, at, points, lazy = heapq.heappop(queue)
        bound = key[0]
        if key >= limit:
            break
        if objective != "pareto" and done and key >= value(objective, done[0].latency_s, done[0].energy_pj):
            break
        cost = (sum(p.latency_s for p in points), sum(p.energy_pj for p in points))
        if lazy is not None:
            for point in _front(state, lazy).points:
                push(at | lazy, (*points, point), None)
            continue
        if _beaten(settled.setdefault(at, []), cost):
            continue
        settled[at].append(cost)
        if at == last:
            done.append(Chain(points=points))
            if objective != "pareto":
                break
            continue
        if objective == "pareto" and _beaten([(d.latency_s, d.energy_pj) for d in done], cost):
            continue
        for later in after[at]:
            push(at, points, later - at)
    proven = not setting.stop()
    return Found(
        objective=objective,
        best=tuple(sorted(done, key=lambda d: value(objective, d.latency_s, d.energy_pj))),
        proven=proven,
        bound=bound,
        tally=state.tally,
        segments=sum(len(a) for a in after.values()),
        explored=len(state.fronts),
    )


def _beaten(known: list[tuple[float, float]], cost: tuple[float, float]) -> bool:
    return any(a <= cost[0] and b <= cost[1] for a, b in known)


def _front(state: _State, segment: Segment) -> Front:
    """The best points of a segment, explored once."""
    if segment not in state.fronts:
        keep: Objective = "pareto" if state.objective in ("edp", "pareto") else state.objective
        front = Front(objective=keep)
        for plan in plans(state.setting.flow, state.problem, segment, state.setting.space):
            explore(plan, state.setting, front, state.tally)
        state.fronts[segment] = front
    return state.fronts[segment]


def _bounds_to_go(
    state: _State, downsets: tuple[Segment, ...], after: Mapping[Segment, tuple[Segment, ...]]
) -> dict[Segment, tuple[float, float]]:
    """Least latency and least energy from each point in time to the end, over the bounds of segments."""
    found: dict[Segment, tuple[float, float]] = {downsets[-1]: (0.0, 0.0)}
    for at in reversed(downsets[:-1]):
        ways = [(_bound(state, later - at), found[later]) for later in after[at]]
        found[at] = (
            min((b[0] + to_go[0] for b, to_go in ways), default=math.inf),
            min((b[1] + to_go[1] for b, to_go in ways), default=math.inf),
        )
    return found


def _bound(state: _State, segment: Segment) -> tuple[float, float]:
    """Latency and energy that no mapping of the segment goes below.

    Every tensor that enters or leaves is moved at least once; every point is computed, on at most all lanes.
    """
    if segment not in state.bounds:
        machine, flow = state.setting.machine, state.setting.flow
        spaces = [state.problem.space(name) for name in segment]
        entering, leaving = _compulsory_words(state.problem, flow, spaces, segment)
        memory = machine.memories[0]
        memory_s = (entering + leaving) * machine.word_bytes / float(memory.bandwidth_bytes_per_s or math.inf)
        cycles, energy = _least_compute(spaces, state.setting)
        state.bounds[segment] = (
            max(memory_s, cycles / float(machine.clock_hz)),
            energy + state.setting.prices.outer_pj(entering, leaving),
        )
    return state.bounds[segment]


def _compulsory_words(problem: Problem, flow: Flow, spaces: list[EinsumSpace], segment: Segment) -> tuple[int, int]:
    """Words that enter from and leave to the outer memory at least: every element of such a tensor once."""
    made = {s.output.tensor for s in spaces}
    leaves = {e.tensor for e in flow.edges if e.producer in segment and e.consumer in consumers(flow, segment)}
    words: dict[tuple[str, bool], int] = {}
    for space in spaces:
        extents = dict(space.ranks)
        for operand in space.operands:
            size = math.prod(extents[r] for r in operand.ranks)
            enters = not operand.is_output and operand.tensor not in made
            leaving = operand.is_output and (operand.tensor in problem.external or operand.tensor in leaves)
            if enters or leaving:
                key = (operand.tensor, operand.is_output)
                words[key] = min(size, words.get(key, size))
    return sum(n for (_, out), n in words.items() if not out), sum(n for (_, out), n in words.items() if out)


def _least_compute(spaces: list[EinsumSpace], setting: Setting) -> tuple[float, float]:
    """Cycles of the busiest array and pJ of all points, each Einsum on its best array with all lanes."""
    arrays = setting.machine.arrays
    cycles = np.full((len(spaces), len(arrays)), math.inf)
    energy = 0.0
    for i, space in enumerate(spaces):
        able = []
        for j, array in enumerate(arrays):
            units = find_units(array, space.operators)
            if units is not None:
                free = math.prod(n for r, n in space.ranks if r not in space.sequential)
                cycles[i, j] = sum(u.cycles for u in units) * space.points / min(array.pes, free)
                able.append(setting.prices.least_pj(space, array.name))
        energy += min(able, default=0.0)
    least = float(cycles.min(axis=1).max())
    if len(arrays) > 1:
        for x in np.linspace(0, 1, 21):
            weights = np.array([x, 1 - x, *([0.0] * (len(arrays) - 2))])
            with np.errstate(invalid="ignore"):
                weighted = np.where(np.isinf(cycles), math.inf, cycles * weights)
            least = max(least, float(weighted.min(axis=1).sum()))
    else:
        least = max(least, float(cycles.sum()))
    return least, energy
