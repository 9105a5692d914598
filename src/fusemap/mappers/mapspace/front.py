"""The best points of one plan: tiles that fit, arrays balanced, no point kept that another one beats."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fusemap.archspec.types import Machine
from fusemap.mappers.mapspace.fit import need_words, roles_of
from fusemap.mappers.mapspace.flow import Flow
from fusemap.mappers.mapspace.grid import Floats, Grid, blocks, orders
from fusemap.mappers.mapspace.options import Choices, Option, Prices, Recipe, Role, choices
from fusemap.mappers.mapspace.plan import Plan
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.search import OperandCost
from fusemap.mappers.types import EinsumSpace

Objective: TypeAlias = Literal["latency", "energy", "edp", "pareto"]
Bools: TypeAlias = npt.NDArray[np.bool_]
BLOCK = 1 << 14  # tile sizes that are priced at once
TIE = 1e-12
_MIXES = np.linspace(0, 1, 11)[1:-1]  # weights of the two busiest arrays in a lower bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One mapping of a segment: its costs, and all that is needed to write its nests down."""

    latency_s: float
    energy_pj: float
    traffic_bytes: float
    need_words: float
    plan: Plan = field(repr=False)
    order: tuple[str, ...]
    tiles: tuple[tuple[str, int], ...]
    recipes: tuple[tuple[str, Recipe], ...]
    streamed: tuple[tuple[str, frozenset[str]], ...]
    pipelined: bool


@dataclass(slots=True, kw_only=True)
class Tally:
    """Tile sizes of plans that a search has looked at: priced one by one, left out because of a bound, too big.

    `skipped` are plans left out before any tile size of theirs was looked at.
    """

    priced: int = 0
    pruned: int = 0
    skipped: int = 0
    unfit: int = 0
    least_need_words: float = math.inf


@dataclass(slots=True, kw_only=True)
class Front:
    """Points of which none beats another; for one objective only the best."""

    objective: Objective
    points: list[Point] = field(default_factory=list)

    def admits(self, latency_s: float, energy_pj: float) -> bool:
        """Could a point with at least these costs be better than all that are known?"""
        return not any(self.beats(p, latency_s, energy_pj) for p in self.points)

    def most_s(self) -> float:
        """The latency above which a point is of no interest."""
        return min((p.latency_s for p in self.points), default=math.inf) if self.objective == "latency" else math.inf

    def beats(self, point: Point, latency_s: float, energy_pj: float) -> bool:
        """Is the point at least as good for the objective (up to rounding)?"""
        slack = 1 + TIE
        if self.objective == "latency":
            first = point.latency_s <= latency_s * slack
            return first and (point.latency_s < latency_s / slack or point.energy_pj <= energy_pj * slack)
        if self.objective == "energy":
            first = point.energy_pj <= energy_pj * slack
            return first and (point.energy_pj < energy_pj / slack or point.latency_s <= latency_s * slack)
        return point.latency_s <= latency_s * slack and point.energy_pj <= energy_pj * slack

    def add(self, point: Point) -> None:
        """Take the point in, and leave out those that it beats."""
        if self.admits(point.latency_s, point.energy_pj):
            self.points = [p for p in self.points if not self.beats(point, p.latency_s, p.energy_pj)]
            self.points.append(point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """All that stays the same while plans are compared."""

    flow: Flow
    machine: Machine
    prices: Prices
    space: Mapspace = EVERYTHING
    stop: Callable[[], bool] = lambda: False
    # what plans of one segment have in common: choices, and costs of operands by Einsum
    memo: dict[Hashable, Choices] = field(default_factory=dict, repr=False)
    costs: dict[Hashable, dict[Hashable, OperandCost]] = field(default_factory=dict, repr=False)

    @property
    def capacity_words(self) -> float:
        """Words that the buffer holds."""
        capacity = self.machine.memories[1].capacity_bytes
        return math.inf if capacity is None else capacity / self.machine.word_bytes / self.space.buffers


def explore(plan: Plan, setting: Setting, front: Front, tally: Tally) -> None:
    """Add the best points of a plan to a front: every order of its loops and every tile size."""
    roles = roles_of(plan, setting.flow)
    for order in orders(plan):
        for number, grid in enumerate(blocks(plan, setting.machine, BLOCK, setting.space)):
            chosen = {s.name: _choices(s, roles[s.name], order, plan, number, grid, setting) for s in plan.spaces}
            if front.admits(*_least(chosen, setting)):
                streams = {name: c.streams for name, c in chosen.items()}
                need = need_words(plan, order, roles, streams, grid, setting.flow)
                _explore(plan, order, grid, chosen, need, setting, front, tally)
            else:
                tally.pruned += grid.points
            if setting.stop():
                return


def _least(chosen: Mapping[str, Choices], setting: Setting) -> tuple[float, float]:
    """Latency and energy that no tile size of a plan goes below: sums of what its Einsums take at least."""
    traffic = sum(c.least.traffic_bytes for c in chosen.values())
    memory_s = traffic / float(setting.machine.memories[0].bandwidth_bytes_per_s or math.inf)
    fastest = [min(cycles for _, cycles in c.least.cycles) for c in chosen.values()]
    cycles = max(max(fastest), sum(fastest) / len(setting.machine.arrays))
    energy = sum(c.least.energy_pj for c in chosen.values())
    return max(memory_s, cycles / float(setting.machine.clock_hz)), energy


def _choices(
    space: EinsumSpace,
    roles: tuple[Role, ...],
    order: tuple[str, ...],
    plan: Plan,
    number: int,
    grid: Grid,
    setting: Setting,
) -> Choices:
    """The choices of an Einsum, remembered: most plans of a segment differ in what a few Einsums do."""
    tensors = tuple(o.tensor for o in space.operands)
    key = (space.name, tensors, roles, order, plan.chunk, plan.common, plan.single, number)
    if key not in setting.memo:
        on = setting.space.array_of(space.name)
        costs = setting.costs.setdefault((*key[:1], order, plan.chunk, plan.common, plan.single, number), {})
        machine, prices = setting.machine, setting.prices
        setting.memo[key] = choices(space, roles, order, plan.chunk, grid, machine, prices, costs, on)
    return setting.memo[key]


def _explore(
    plan: Plan,
    order: tuple[str, ...],
    grid: Grid,
    chosen: Mapping[str, Choices],
    need: Floats,
    setting: Setting,
    front: Front,
    tally: Tally,
) -> None:
    fits = need <= setting.capacity_words * (1 + TIE)
    tally.unfit += int((~fits).sum())
    tally.least_need_words = min(tally.least_need_words, float(need.min()))
    if not fits.any():
        return
    traffic = sum((c.traffic_bytes for c in chosen.values()), np.zeros(grid.points))
    memory_s = traffic / float(setting.machine.memories[0].bandwidth_bytes_per_s or math.inf)
    overlapped = _iterations(plan, grid) >= len(plan.spaces)
    least_s = np.maximum(memory_s, _least_cycles(chosen, overlapped) / float(setting.machine.clock_hz))
    least_pj = sum((np.min([o.energy_pj for o in c.options], axis=0) for c in chosen.values()), np.zeros(grid.points))
    for i in _by_promise(front.objective, least_s, least_pj, fits):
        if not front.admits(least_s[i], least_pj[i]):
            tally.pruned += 1
            continue
        if setting.stop():
            return
        tally.priced += 1
        clock = float(setting.machine.clock_hz)
        most = front.most_s() * clock
        for cycles, energy, picked in balanced(chosen, int(i), bool(overlapped[i]), front.objective, most):
            front.add(
                Point(
                    latency_s=max(float(memory_s[i]), cycles / clock),
                    energy_pj=energy,
                    traffic_bytes=float(traffic[i]),
                    need_words=float(need[i]),
                    plan=plan,
                    order=order,
                    tiles=tuple(grid.at(int(i)).items()),
                    recipes=tuple(picked.items()),
                    streamed=tuple((n, frozenset(t for t, w in c.streams.items() if w[i])) for n, c in chosen.items()),
                    pipelined=bool(overlapped[i]),
                )
            )


def _by_promise(objective: Objective, least_s: Floats, least_pj: Floats, fits: Bools) -> Sequence[int]:
    """The points that fit, those with the best bound first."""
    if objective == "latency":
        order = np.lexsort((least_pj, least_s))
    elif objective == "energy":
        order = np.lexsort((least_s, least_pj))
    else:
        order = np.argsort(least_s * least_pj, kind="stable")
    return [int(i) for i in order if fits[i]]


def _iterations(plan: Plan, grid: Grid) -> Floats:
    """Iterations between which Einsums can overlap: of the outer loops, and of the chunks if one group has them."""
    found = np.ones(grid.points)
    for rank in plan.outer:
        found = found * grid.steps(rank)
    if plan.chunk and sum(part.looped for part in plan.parts) == 1:
        found = found * grid.steps(plan.chunk)
    return found


def _least_cycles(chosen: Mapping[str, Choices], overlapped: Bools) -> Floats:
    """No assignment takes fewer cycles: each Einsum's fastest array, and weighted sums over the arrays.

    With weights that add up to 1, max over arrays of load >= sum of weight * load >= sum over Einsums of
    min over arrays of weight * cycles.
    """
    arrays = list(dict.fromkeys(o.recipe.array for c in chosen.values() for o in c.options))
    fastest = {
        (n, a): np.min([o.cycles for o in c.options if o.recipe.array == a], axis=0)
        for n, c in chosen.items()
        for a in arrays
        if any(o.recipe.array == a for o in c.options)
    }
    alone = {n: np.min([v for (m, _), v in fastest.items() if m == n], axis=0) for n in chosen}
    together = np.max(list(alone.values()), axis=0)
    for weights in _weights(arrays):
        bound = sum(
            (np.min([weights[a] * v for (m, a), v in fastest.items() if m == n], axis=0) for n in chosen),
            np.zeros(len(overlapped)),
        )
        together = np.maximum(together, bound)
    return np.where(overlapped, together, sum(alone.values(), np.zeros(len(overlapped))))


def _weights(arrays: Sequence[str]) -> list[dict[str, float]]:
    found = [{a: 1 / len(arrays) for a in arrays}]
    for i, a in enumerate(arrays):
        for b in arrays[i + 1 :]:
            found += [{c: float(x) if c == a else float(1 - x) if c == b else 0.0 for c in arrays} for x in _MIXES]
    return found


Balanced: TypeAlias = tuple[float, float, dict[str, Recipe]]


def balanced(
    chosen: Mapping[str, Choices], index: int, overlapped: bool, objective: Objective, most_cycles: float = math.inf
) -> list[Balanced]:
    """(cycles, energy, recipes) of the assignments that no other one beats, at one tile size.

    Cycles are those of the busiest array where Einsums overlap, else of all Einsums. Partial assignments are
    merged Einsum by Einsum; one whose arrays are all no less busy and which costs no less than another's can be
    left out, as what follows adds the same to both. So can one that takes more than `most_cycles` already.
    """
    arrays = list(dict.fromkeys(o.recipe.array for c in chosen.values() for o in c.options))
    partial: list[tuple[tuple[float, ...], float, tuple[tuple[str, Recipe], ...]]] = [((0.0,) * len(arrays), 0.0, ())]
    for name, choice in sorted(chosen.items(), key=lambda item: len(item[1].options)):
        grown = []
        for loads, energy, picked in partial:
            for option in _local(choice.options, index):
                a = arrays.index(option.recipe.array) if overlapped else 0
                new = tuple(v + float(option.cycles[index]) * (j == a) for j, v in enumerate(loads))
                if max(new) > most_cycles * (1 + TIE):
                    continue
                grown.append((new, energy + float(option.energy_pj[index]), (*picked, (name, option.recipe))))
        partial = _undominated(grown, objective)
    return [(max(loads), energy, dict(picked)) for loads, energy, picked in partial]


def _local(options: Sequence[Option], index: int) -> list[Option]:
    """The options that no other on the same array beats at one tile size."""
    found: list[Option] = []
    for o in sorted(options, key=lambda o: (float(o.cycles[index]), float(o.energy_pj[index]))):
        if not any(
            p.recipe.array == o.recipe.array and float(p.energy_pj[index]) <= float(o.energy_pj[index]) for p in found
        ):
            found.append(o)
    return found


_Partial: TypeAlias = tuple[tuple[float, ...], float, tuple[tuple[str, Recipe], ...]]


def _undominated(grown: list[_Partial], objective: Objective) -> list[_Partial]:
    if objective == "energy" and grown:
        least = min(g[1] for g in grown)
        grown = [g for g in grown if g[1] <= least * (1 + TIE)]
    grown.sort(key=lambda g: (g[1], g[0]))
    if grown and len(grown[0][0]) == 2:
        return _stairs(grown)
    kept: list[_Partial] = []
    for item in grown:
        if not any(all(a <= b * (1 + TIE) for a, b in zip(k[0], item[0], strict=True)) for k in kept):
            kept.append(item)
    return kept


def _stairs(grown: list[_Partial]) -> list[_Partial]:
    """As above for two arrays: of what is cheaper, the least second load at each first load is a falling staircase."""
    kept: list[_Partial] = []
    first: list[float] = []
    second: list[float] = []
    for item in grown:
        a, b = item[0]
        at = bisect.bisect_right(first, a * (1 + TIE))
        if at and second[at - 1] <= b * (1 + TIE):
            continue
        kept.append(item)
        low = bisect.bisect_left(first, a)
        high = low
        while high < len(first) and second[high] >= b:
            high += 1
        first[low:high], second[low:high] = [a], [b]
    return kept
