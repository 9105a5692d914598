"""The best points of one plan: tiles that fit, arrays balanced, no point kept that another one beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.mappers.mapspace.balance import TIE, Bools, Limits, Objective, balanced, least_cycles, least_through
from fusemap.mappers.mapspace.fit import need_words, roles_of
from fusemap.mappers.mapspace.flow import Flow
from fusemap.mappers.mapspace.grid import Floats, Grid, blocks, orders
from fusemap.mappers.mapspace.options import Choices, Prices, Recipe, Role, choices, cycles_per_buffer_byte
from fusemap.mappers.mapspace.plan import Plan
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.search import OperandCost
from fusemap.mappers.types import EinsumSpace

__all__ = ["BLOCK", "TIE", "Front", "Objective", "Point", "Setting", "Tally", "explore"]

BLOCK = 1 << 14  # tile sizes that are priced at once


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
    limited = cycles_per_buffer_byte(setting.machine) is not None
    for order in orders(plan, anywhere=limited):
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
    through = sum(c.least.buffer_cycles for c in chosen.values())
    cycles = max(max(fastest), sum(fastest) / len(setting.machine.arrays), through)
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
    clock = float(setting.machine.clock_hz)
    floor_s = np.maximum(memory_s, least_through(chosen, grid.points) / clock)
    least_s = np.maximum(floor_s, least_cycles(chosen, overlapped) / clock)
    least_pj = sum((np.min([o.energy_pj for o in c.options], axis=0) for c in chosen.values()), np.zeros(grid.points))
    for i in _by_promise(front.objective, least_s, least_pj, fits):
        if not front.admits(least_s[i], least_pj[i]):
            tally.pruned += 1
            continue
        if setting.stop():
            return
        tally.priced += 1
        limits = Limits(least=float(least_s[i]) * clock, most=front.most_s() * clock)
        for cycles, energy, picked in balanced(chosen, int(i), bool(overlapped[i]), front.objective, limits):
            front.add(
                Point(
                    latency_s=max(float(floor_s[i]), cycles / clock),
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
