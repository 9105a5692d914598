"""The best mapping by looking at every one: no bounds, no dominance, no order of promise; one mapping at a time.

What a mapping can be is taken from `plans` (which Einsums share loops, what is held, spilled or computed again) and
`nest_of` (where a recipe puts its loops); every order of loops, tile size, array, spread and inner order is listed
here, costs come from `evaluate_mapping`, room from `violations`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.legality import violations
from fusemap.mappers.mapspace.fit import roles_of
from fusemap.mappers.mapspace.flow import Flow, flow_of
from fusemap.mappers.mapspace.front import Objective, Point
from fusemap.mappers.mapspace.grid import candidates
from fusemap.mappers.mapspace.options import Recipe, Role
from fusemap.mappers.mapspace.plan import Plan, plans
from fusemap.mappers.mapspace.settle import settled
from fusemap.mappers.mapspace.space import Mapspace
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Mapping, Phase, Problem, Stage
from fusemap.mappers.units import find_units
from fusemap.sim.evaluate import evaluate_mapping

Cost = tuple[float, float]  # seconds, pJ
Numbers = tuple[float, float, tuple[float, ...]]  # cycles, pJ, seconds of each memory with a bandwidth
Way = tuple[str, float, float, tuple[float, ...]]  # the same on an array
Found = TypeVar("Found")


class TooMany(Exception):
    """There are more mappings than are to be looked at."""


@dataclass(kw_only=True)
class Brute:
    """All mappings of one problem; `looked` counts points of (plan, order, tile sizes, streams)."""

    cascade: Cascade
    problem: Problem
    machine: Machine
    space: Mapspace
    most: int = 10**9
    looked: int = 0
    mappings: int = 0
    einsums: dict[tuple[EinsumSpace, EinsumMapping], Numbers] = field(default_factory=dict)

    @property
    def flow(self) -> Flow:
        return flow_of(self.cascade, self.problem)

    def best(self, objective: Objective) -> tuple[float, Mapping, Problem] | None:
        """The least value, and a mapping that has it, which is legal and evaluates to it."""
        segments = {s: self.segment(s, objective) for s in self._segments()}
        chains = []
        for sequence in self._sequences(frozenset()):
            found: list[tuple[Cost, tuple[Point, ...]]] = [((0.0, 0.0), ())]
            for segment in sequence:
                grown = [
                    ((c[0] + d[0], c[1] + d[1]), (*p, q))
                    for (c, p), (d, q) in itertools.product(found, segments[segment])
                ]
                found = _needed(grown, objective)
            chains += found
        if not chains:
            return None
        cost, points = min(chains, key=lambda c: value(objective, c[0]))
        problem, mapping = settled(self.problem, self.flow, self.machine, points)
        assert violations(problem, mapping, self.machine) == ()
        report = evaluate_mapping(problem, mapping, self.machine)
        assert math.isclose(report.latency_s, cost[0], rel_tol=1e-9), "the whole is the sum of its segments"
        assert math.isclose(report.energy_pj, cost[1], rel_tol=1e-9)
        return value(objective, cost), mapping, problem

    def _blocks(self) -> list[frozenset[str]]:
        """Einsums that need each other in a circle are run together."""
        names = [s.name for s in self.problem.spaces]
        reach = {n: {e.producer for e in self.flow.edges if e.consumer == n} for n in names}
        for _ in names:
            reach = {n: r.union(*(reach[o] for o in r if o in reach)) for n, r in reach.items()}
        return list(
            dict.fromkeys(frozenset({n, *(o for o in names if o in reach[n] and n in reach[o])}) for n in names)
        )

    def _downsets(self) -> list[frozenset[str]]:
        """Sets of Einsums that contain all that their members need."""
        blocks = self._blocks()
        found = []
        for n in range(len(blocks) + 1):
            for chosen in itertools.combinations(blocks, n):
                done = frozenset[str]().union(*chosen)
                if all(e.producer in done for e in self.flow.edges if e.consumer in done):
                    found.append(done)
        return found

    def _segments(self) -> list[frozenset[str]]:
        sets = self._downsets()
        return list(dict.fromkeys(b - a for a in sets for b in sets if a < b))

    def _sequences(self, done: frozenset[str]) -> Iterator[tuple[frozenset[str], ...]]:
        whole = frozenset(s.name for s in self.problem.spaces)
        if done == whole:
            yield ()
        for later in self._downsets():
            if done < later:
                for rest in self._sequences(later):
                    yield (later - done, *rest)

    # --- one segment ---------------------------------------------------------------------------------

    def segment(self, members: frozenset[str], objective: Objective) -> list[tuple[Cost, Point]]:
        """Every cost that a mapping of a segment can have, with a point for it (only those of interest are kept)."""
        found: dict[Cost, Point] = {}
        for plan in plans(self.flow, self.problem, members, self.space):
            for order, tiles in itertools.product(orders(plan), tile_sizes(plan, self.machine)):
                for streamed in self.streams(plan, order, tiles):
                    for cost, point in self._costs(plan, order, tiles, streamed):
                        found.setdefault(cost, point)
        return _needed(list(found.items()), objective)

    def _costs(
        self, plan: Plan, order: tuple[str, ...], tiles: dict[str, int], streamed: dict[str, frozenset[str]]
    ) -> Iterator[tuple[Cost, Point]]:
        self.looked += 1
        recipes = {s.name: self.recipes(s, tiles) for s in plan.spaces}
        overlapped = rounds(plan, tiles) >= len(plan.spaces)
        first = Point(
            latency_s=0.0,
            energy_pj=0.0,
            traffic_bytes=0.0,
            need_words=0.0,
            plan=plan,
            order=order,
            tiles=tuple(tiles.items()),
            recipes=tuple((n, r[0]) for n, r in recipes.items()),
            streamed=tuple(streamed.items()),
            pipelined=overlapped,
        )
        problem, mapping = settled(self.problem, self.flow, self.machine, [first])
        if violations(problem, mapping, self.machine):
            return
        ways: dict[str, dict[Way, Recipe]] = {n: {} for n in recipes}
        for i in range(max(map(len, recipes.values()))):
            chosen = {n: r[i % len(r)] for n, r in recipes.items()}
            problem, mapping = settled(
                self.problem, self.flow, self.machine, [dataclasses.replace(first, recipes=tuple(chosen.items()))]
            )
            for space in problem.spaces:
                nest = mapping.nest(space.name)
                ways[space.name].setdefault((nest.array, *self._einsum(problem, space, nest)), chosen[space.name])
        self.mappings += math.prod(map(len, ways.values()))
        if self.mappings > self.most:
            raise TooMany
        for combined in itertools.product(*ways.values()):
            picked = tuple((n, ways[n][way]) for n, way in zip(ways, combined, strict=True))
            yield self._together(combined, overlapped), dataclasses.replace(first, recipes=picked)

    def _together(self, ways: Sequence[Way], overlapped: bool) -> Cost:
        """Seconds and pJ of Einsums that run on arrays: of the busiest of arrays and memories."""
        load: dict[str, float] = {}
        for array, cycles, _, _ in ways:
            load[array if overlapped else ""] = load.get(array if overlapped else "", 0) + cycles
        memories = [sum(seconds) for seconds in zip(*(w[3] for w in ways), strict=True)]
        return max(*memories, max(load.values()) / float(self.machine.clock_hz)), math.fsum(w[2] for w in ways)

    def _einsum(self, problem: Problem, space: EinsumSpace, nest: EinsumMapping) -> Numbers:
        """Cycles, pJ and seconds at the memories of one Einsum on its own."""
        if (space, nest) not in self.einsums:
            alone = Phase(name="", stages=(Stage(name="", work=((nest.array, (space.name,)),)),))
            mapping = Mapping(dataflow="", einsums=(nest,), binding=(alone,))
            report = evaluate_mapping(dataclasses.replace(problem, spaces=(space,)), mapping, self.machine)
            cycles = report.phases[0].stages[0].busy_cycles[0][1]
            seconds = tuple(s for _, s in report.phases[0].memory_times)
            self.einsums[space, nest] = (cycles, report.energy_pj, seconds)
        return self.einsums[space, nest]

    def recipes(self, space: EinsumSpace, tiles: dict[str, int]) -> list[Recipe]:
        """Every array that can compute it, up to two ranks over each dimension, every order."""
        ranks = [r for r, n in space.ranks if tiles.get(r, n) > 1]  # the others make no loop
        able = [r for r in ranks if r not in space.sequential]
        found = []
        for array in self.machine.arrays:
            if find_units(array, space.operators) is None:
                continue
            some = [(), *((r,) for r in able), *itertools.permutations(able, 2)]
            for spread in itertools.product(some, repeat=len(array.dims)):
                named = tuple((d.name, s) for d, s in zip(array.dims, spread, strict=True))
                for order in itertools.permutations(ranks):
                    found.append(Recipe(array=array.name, spread=named, order=order))
        return found

    def streams(self, plan: Plan, order: tuple[str, ...], tiles: dict[str, int]) -> Iterator[dict[str, frozenset[str]]]:
        """Every choice of tensors that pass the buffer by; only words that are used once may."""
        roles = roles_of(plan, self.flow)
        able = [
            (space.name, role.tensor)
            for space in plan.spaces
            for role in roles[space.name]
            if role.outer and role.alone and not role.whole and _used_once(space, role, plan, order, tiles)
        ]
        for n in range(len(able) + 1):
            for chosen in itertools.combinations(able, n):
                yield {s.name: frozenset(t for e, t in chosen if e == s.name) for s in plan.spaces}


def value(objective: Objective, cost: Cost) -> float:
    """What is minimised."""
    return {"latency": cost[0], "energy": cost[1]}.get(objective, cost[0] * cost[1])


def _needed(costs: list[tuple[Cost, Found]], objective: Objective) -> list[tuple[Cost, Found]]:
    """The least one of a sum; for a product of two sums all that are not worse in both."""
    if objective in ("latency", "energy"):
        return [min(costs, key=lambda c: value(objective, c[0]))] if costs else []
    kept: list[tuple[Cost, Found]] = []
    for cost, point in sorted(costs, key=lambda c: c[0]):
        if not kept or cost[1] < kept[-1][0][1]:
            kept.append((cost, point))
    return kept


def orders(plan: Plan) -> list[tuple[str, ...]]:
    """All orders of the shared loops; a rank that carries state is the innermost."""
    return [o for o in itertools.permutations(plan.outer) if not plan.last or o[-1] == plan.last]


def tile_sizes(plan: Plan, machine: Machine | None = None) -> list[dict[str, int]]:
    """All sizes of tiles that divide the ranks; a recurrence of several Einsums goes step by step.

    On a machine, a rank that indexes every operand has the sizes only that the space defines: it is cut into single
    coordinates where others fill the smallest array.
    """
    extents = {rank: extent for s in plan.spaces for rank, extent in s.ranks}
    ranks = [*plan.outer, *([plan.chunk] if plan.chunk else [])]
    sizes = {r: [d for d in range(1, extents[r] + 1) if extents[r] % d == 0] for r in ranks}
    sizes |= {r: [1] for r in ranks if r in plan.single}
    sizes |= {r: list(candidates(plan, machine)[r]) for r in plan.common} if machine is not None else {}
    return [dict(zip(ranks, chosen, strict=True)) for chosen in itertools.product(*(sizes[r] for r in ranks))]


def rounds(plan: Plan, tiles: dict[str, int]) -> int:
    """Iterations that can overlap: of the shared loops, and of the chunks if just one group has them."""
    extents = {rank: extent for s in plan.spaces for rank, extent in s.ranks}
    once = sum(part.looped for part in plan.parts) == 1
    return math.prod(extents[r] // t for r, t in tiles.items() if r != plan.chunk or once)


def _used_once(space: EinsumSpace, role: Role, plan: Plan, order: tuple[str, ...], tiles: dict[str, int]) -> bool:
    """Does every word meet a single point while its tile is there? Counted by walking the shared loops."""
    touching = [o for o in space.operands if o.tensor == role.tensor]
    if len(touching) > 1:
        return False
    extents, ranks = dict(space.ranks), touching[0].ranks
    loops = [r for r in (*order, plan.chunk) if r in extents]
    if any(tiles.get(r, n) > 1 for r, n in space.ranks if r not in ranks):
        return False
    before = None
    for at in itertools.product(*(range(extents[r] // tiles[r]) for r in loops)):
        tile = tuple(i for r, i in zip(loops, at, strict=True) if r in ranks)
        if tile == before:
            return False
        before = tile
    return True
