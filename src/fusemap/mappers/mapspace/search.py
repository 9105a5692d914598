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
class Search:
    """A search that has not begun, or what it knows of the segments so far; `to_go` bounds what is left from each."""

    problem: Problem
    setting: Setting
    objective: Objective
    tally: Tally
    fronts: dict[Segment, Front] = field(default_factory=dict)
    downsets: tuple[Segment, ...] = ()
    after: Mapping[Segment, tuple[Segment, ...]] = field(default_factory=dict)
    to_go: dict[Segment, tuple[float, float]] = field(default_factory=dict)
    bounds: dict[Segment, tuple[float, float]] = field(default_factory=dict)
    compute: dict[tuple[str, frozenset[str]], tuple[tuple[float, ...], float]] = field(default_factory=dict)

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
    state = Search(problem=problem, setting=setting, objective=objective, tally=Tally())
    state.downsets, state.after = segments(flow)
    state.to_go = _bounds_to_go(state, state.downsets, state.after)
    return state


def search(state: Search, *, limit: tuple[float, float] = (math.inf, math.inf)) -> Found:
    """The best mapping of a problem in the space of `plans`: proven, unless `stop` ends the search before.

    Only mappings whose `value` is below `limit` are of interest; where there is none, the result has none.
    """
    setting, objective = state.setting, state.objective
    downsets, after, rest = state.downsets, state.after, state.to_go
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


def _front(state: Search, segment: Segment) -> Front:
    """The best points of a segment, explored once."""
    if segment not in state.fronts:
        keep: Objective = "pareto" if state.objective in ("edp", "pareto") else state.objective
        front = Front(objective=keep)
        for plan in plans(state.setting.flow, state.problem, segment, state.setting.space):
            explore(plan, state.setting, front, state.tally)
        state.fronts[segment] = front
        state.setting.memo.clear()  # plans of other segments have other loops
        state.setting.costs.clear()
    return state.fronts[segment]


def _bounds_to_go(
    state: Search, downsets: tuple[Segment, ...], after: Mapping[Segment, tuple[Segment, ...]]
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


def _bound(state: Search, segment: Segment) -> tuple[float, float]:
    """Latency and energy that no mapping of the segment goes below.

    Every tensor that enters or leaves is moved at least once; every point is computed, on at most all lanes. What
    one Einsum makes for another is written to a memory, and each of its words is read there by each reader.
    """
    if segment not in state.bounds:
        machine, flow = state.setting.machine, state.setting.flow
        spaces = [state.problem.space(name) for name in segment]
        entering, leaving = _compulsory_words(state.problem, flow, spaces, segment)
        memory = machine.memories[0]
        memory_s = (entering + leaving) * machine.word_bytes / float(memory.bandwidth_bytes_per_s or math.inf)
        cycles, energy = _least_compute(state, spaces, segment)
        state.bounds[segment] = (
            max(memory_s, cycles / float(machine.clock_hz)),
            energy
            + state.setting.prices.outer_pj(entering, leaving)
            + state.setting.prices.inner_pj(*_inside_words(spaces)),
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


def _inside_words(spaces: list[EinsumSpace]) -> tuple[int, int]:
    """Words that the Einsums read of what others among them make, and that they write for them."""
    made = {s.output.tensor for s in spaces}
    reads: dict[tuple[str, str], int] = {}
    writes: dict[str, int] = {}
    for space in spaces:
        extents = dict(space.ranks)
        for operand in space.operands:
            size = math.prod(extents[r] for r in operand.ranks)
            if not operand.is_output and operand.tensor in made:
                key = (space.name, operand.tensor)
                reads[key] = min(size, reads.get(key, size))
    for space in spaces:
        if any(tensor == space.output.tensor for _, tensor in reads):
            writes[space.name] = math.prod(dict(space.ranks)[r] for r in space.output.ranks)
    return sum(reads.values()), sum(writes.values())


def _least_compute(state: Search, spaces: list[EinsumSpace], segment: Segment) -> tuple[float, float]:
    """Cycles of the busiest array and pJ of all points, each Einsum on its best array with all lanes.

    A rank that a recurrence of the segment steps through is spread over no lanes.
    """
    stepped = state.setting.flow.stepped(segment)
    arrays = len(state.setting.machine.arrays)
    found = [_alone(state, space, stepped) for space in spaces]
    cycles, energy = np.array([c for c, _ in found]), sum(e for _, e in found)
    least = float(cycles.min(axis=1).max())
    for x in np.linspace(0, 1, 21) if arrays > 1 else [1.0]:
        weights = np.array([x, 1 - x, *([0.0] * (arrays - 2))])[:arrays]
        with np.errstate(invalid="ignore"):
            weighted = np.where(np.isinf(cycles), math.inf, cycles * weights)
        least = max(least, float(weighted.min(axis=1).sum()))
    return least, energy


def _alone(state: Search, space: EinsumSpace, stepped: frozenset[str]) -> tuple[tuple[float, ...], float]:
    """Least cycles of an Einsum on every array (inf where it cannot run), and its least pJ."""
    key = (space.name, stepped)
    if key not in state.compute:
        able, cycles = [], []
        free = math.prod(n for r, n in space.ranks if r not in space.sequential and r not in stepped)
        for array in state.setting.machine.arrays:
            units = find_units(array, space.operators)
            cycles.append(math.inf)
            if units is not None:
                cycles[-1] = sum(u.cycles for u in units) * space.points / min(array.pes, free)
                able.append(state.setting.prices.least_pj(space, array.name))
        state.compute[key] = (tuple(cycles), min(able, default=0.0))
    return state.compute[key]
