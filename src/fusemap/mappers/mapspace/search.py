"""Best-first search over all sequences of segments: exhaustive, with bounds that leave out what cannot win.

A sequence's latency and energy are the sums of its segments'. A segment that has not been looked at enters with
a lower bound; the least sum is taken from a queue, and only when it rests on a bound the segment is explored.
When a complete sequence comes out of the queue no other can be better (A*: the bounds never exceed the costs).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.mapspace.bounds import Bounds
from fusemap.mappers.mapspace.flow import flow_of
from fusemap.mappers.mapspace.front import TIE, Front, Objective, Point, Setting, Tally, explore
from fusemap.mappers.mapspace.grid import Floats
from fusemap.mappers.mapspace.options import Prices
from fusemap.mappers.mapspace.plan import Plan, plans, segments
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.mapspace.traffic import least_traffic_bytes
from fusemap.mappers.types import Problem


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
class Search:
    """A search that has not begun, or what it knows of the segments so far; `to_go` bounds what is left from each."""

    problem: Problem
    setting: Setting
    bounds: Bounds
    objective: Objective
    tally: Tally
    fronts: dict[Segment, Front] = field(default_factory=dict)
    closer: dict[Segment, tuple[float, float]] = field(default_factory=dict)
    ways: dict[Segment, list[tuple[tuple[float, float], Plan]]] = field(default_factory=dict)
    downsets: tuple[Segment, ...] = ()
    after: Mapping[Segment, tuple[Segment, ...]] = field(default_factory=dict)
    to_go: dict[Segment, tuple[float, float]] = field(default_factory=dict)

    @property
    def promise(self) -> tuple[float, float]:
        """The `value` that no mapping goes below, and what decides between equals."""
        return value(self.objective, *self.to_go[self.downsets[0]])


def value(objective: Objective, latency_s: float, energy_pj: float) -> tuple[float, float]:
    """What is minimised, and what decides between equals."""
    if objective == "latency":
        return latency_s, energy_pj
    if objective == "energy":
        return energy_pj, latency_s
    return latency_s * energy_pj, latency_s


def prepared(
    cascade: Cascade,
    problem: Problem,
    machine: Machine,
    prices: Prices,
    *,
    objective: Objective = "latency",
    space: Mapspace = EVERYTHING,
    stop: Callable[[], bool] = lambda: False,
) -> Search:
    """The search of a problem's mappings with bounds for all segments, before any is explored."""
    flow = flow_of(cascade, problem)
    setting = Setting(flow=flow, machine=machine, prices=prices, space=space, stop=stop)
    bounds = Bounds(problem=problem, setting=setting)
    state = Search(problem=problem, setting=setting, bounds=bounds, objective=objective, tally=Tally())
    state.downsets, state.after = segments(flow)
    state.to_go = _bounds_to_go(state, state.downsets, state.after)
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """Segments that are settled up to a set of Einsums, and the next one if it has only a bound."""

    at: Segment
    points: tuple[Point, ...]
    lazy: Segment | None = None

    @property
    def cost(self) -> tuple[float, float]:
        return sum(p.latency_s for p in self.points), sum(p.energy_pj for p in self.points)


@dataclass(slots=True, kw_only=True)
class _Run:
    """The queue of a search, what came out of it complete, and what is known to be beaten where."""

    state: Search
    known: Sequence[tuple[float, float]] = ()
    queue: list[tuple[tuple[float, float], int, _Entry]] = field(default_factory=list)
    done: list[Chain] = field(default_factory=list)
    settled: dict[Segment, list[tuple[float, float]]] = field(default_factory=dict)
    bound: float = math.inf
    tickets: int = 0

    def push(self, entry: _Entry) -> None:
        """Queue an entry under the least value that a sequence which begins with it can have."""
        (latency, energy), where, state = entry.cost, entry.at, self.state
        if entry.lazy is not None:
            more = state.closer.get(entry.lazy) or state.bounds.of_segment(entry.lazy)
            latency, energy, where = latency + more[0], energy + more[1], where | entry.lazy
        to_go = state.to_go[where]
        latency, energy = latency + to_go[0], energy + to_go[1]
        if math.isfinite(latency) and not (state.objective == "pareto" and self._is_known(latency, energy)):
            self.tickets += 1
            key = value(state.objective, latency, energy)
            heapq.heappush(self.queue, (key, self.tickets, entry))

    def step(self, limit: float) -> bool:
        """Take the most promising entry and follow it; False when no other can be better than what is done."""
        key, _, entry = heapq.heappop(self.queue)
        self.bound = key[0]
        if key[0] >= limit * (1 - TIE):
            return False
        if entry.lazy is not None:
            self._look_at(entry, entry.lazy)
        elif not self._is_beaten(entry):
            self.settled.setdefault(entry.at, []).append(entry.cost)
            if entry.at == self.state.downsets[-1]:
                self.done.append(Chain(points=entry.points))
                return self.state.objective == "pareto"
            for later in self.state.after[entry.at]:
                self.push(_Entry(at=entry.at, points=entry.points, lazy=later - entry.at))
        return True

    def _look_at(self, entry: _Entry, lazy: Segment) -> None:
        """Bound a segment more closely; the second time, explore it."""
        if lazy not in self.state.closer and lazy not in self.state.fronts:
            self.state.closer[lazy] = _closer(self.state, lazy)
            self.push(entry)
            return
        for point in _front(self.state, lazy).points:
            self.push(_Entry(at=entry.at | lazy, points=(*entry.points, point)))

    def _is_beaten(self, entry: _Entry) -> bool:
        """Is another way to the same point in time nowhere worse?"""
        return any(a <= entry.cost[0] and b <= entry.cost[1] for a, b in self.settled.get(entry.at, ()))

    def _is_known(self, latency_s: float, energy_pj: float) -> bool:
        """Is a complete mapping known that is nowhere worse than these bounds?"""
        known = [*self.known, *((d.latency_s, d.energy_pj) for d in self.done)]
        return any(a <= latency_s and b <= energy_pj for a, b in known)


def search(state: Search, *, limit: float = math.inf, known: Sequence[tuple[float, float]] = ()) -> Found:
    """The best mapping of a problem in the space of `plans`: proven, unless `stop` ends the search before.

    Only mappings whose `value` begins below `limit` are of interest; where there is none, the result has none. For
    a Pareto set, those that a `known` (latency, energy) is nowhere worse than are of none.
    """
    run = _Run(state=state, known=known)
    run.push(_Entry(at=frozenset(), points=()))
    run.bound = run.queue[0][0][0] if run.queue else math.inf  # also where `stop` lets no step be taken
    while run.queue and not state.setting.stop():
        if not run.step(limit):
            break
    objective = state.objective
    return Found(
        objective=objective,
        best=tuple(sorted(run.done, key=lambda d: value(objective, d.latency_s, d.energy_pj))),
        proven=not state.setting.stop(),
        bound=run.bound,
        tally=state.tally,
        segments=sum(len(later) for later in state.after.values()),
        explored=len(state.fronts),
    )


def _closer(state: Search, segment: Segment) -> tuple[float, float]:
    """A closer bound of a segment: the least traffic of its plans with tiles that fit."""
    machine = state.setting.machine
    rate = float(machine.memories[0].bandwidth_bytes_per_s or math.inf)
    latency, energy = state.bounds.of_segment(segment)
    least, memo = math.inf, dict[Hashable, Floats]()
    for (bound, _), plan in sorted(_ways(state, segment), key=lambda w: w[0][0]):
        if bound >= least:
            break
        least = min(least, max(bound, least_traffic_bytes(plan, state.setting, memo, state.tally) / rate))
    return max(latency, least), energy


def _ways(state: Search, segment: Segment) -> list[tuple[tuple[float, float], Plan]]:
    """The plans of a segment with their bounds."""
    if segment not in state.ways:
        found = plans(state.setting.flow, state.problem, segment, state.setting.space)
        state.ways[segment] = [(state.bounds.of_plan(plan), plan) for plan in found]
    return state.ways[segment]


def _front(state: Search, segment: Segment) -> Front:
    """The best points of a segment, explored once."""
    if segment not in state.fronts:
        keep: Objective = "pareto" if state.objective in ("edp", "pareto") else state.objective
        front = Front(objective=keep)
        for least, plan in sorted(_ways(state, segment), key=lambda w: _rank(keep, *w[0])):
            if state.setting.stop():
                break
            if front.admits(*least):
                explore(plan, state.setting, front, state.tally)
            else:
                state.tally.skipped += 1
        state.fronts[segment] = front
        state.ways.pop(segment, None)
        state.setting.memo.clear()  # plans of other segments have other loops
        state.setting.costs.clear()
    return state.fronts[segment]


def _rank(objective: Objective, latency_s: float, energy_pj: float) -> tuple[float, float]:
    return value("edp" if objective == "pareto" else objective, latency_s, energy_pj)


def _bounds_to_go(
    state: Search, downsets: tuple[Segment, ...], after: Mapping[Segment, tuple[Segment, ...]]
) -> dict[Segment, tuple[float, float]]:
    """Least latency and least energy from each point in time to the end, over the bounds of segments."""
    found: dict[Segment, tuple[float, float]] = {downsets[-1]: (0.0, 0.0)}
    for at in reversed(downsets[:-1]):
        ways = [(state.bounds.of_segment(later - at), found[later]) for later in after[at]]
        found[at] = (
            min((b[0] + to_go[0] for b, to_go in ways), default=math.inf),
            min((b[1] + to_go[1] for b, to_go in ways), default=math.inf),
        )
    return found


def again(state: Search, chain: Chain) -> Chain | None:
    """The best mapping of another problem of the same cascade with the plans of a chain; None if one has no place."""
    points = []
    for point in chain.points:
        front = Front(objective=state.objective)
        explore(_resized(point.plan, state.problem), state.setting, front, state.tally)
        if not front.points:
            return None
        points.append(min(front.points, key=lambda p: value(state.objective, p.latency_s, p.energy_pj)))
    return Chain(points=tuple(points))


def _resized(plan: Plan, problem: Problem) -> Plan:
    """The plan with the extents of another problem."""
    extents = {r: n for s in problem.spaces for r, n in s.ranks}
    parts = tuple(
        replace(part, spaces=tuple(replace(s, ranks=tuple((r, extents[r]) for r, _ in s.ranks)) for s in part.spaces))
        for part in plan.parts
    )
    return replace(plan, parts=parts)
