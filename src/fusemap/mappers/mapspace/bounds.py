"""What no mapping goes below, from sizes alone: of a segment, and of one way to fuse it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from fusemap.mappers.mapspace.fit import roles_of
from fusemap.mappers.mapspace.flow import consumers
from fusemap.mappers.mapspace.front import Setting
from fusemap.mappers.mapspace.options import Role
from fusemap.mappers.mapspace.plan import Plan
from fusemap.mappers.types import EinsumSpace, Problem
from fusemap.mappers.units import find_units

Costs = tuple[float, float]  # seconds, pJ


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Lower bounds of latency and energy, each computed once."""

    problem: Problem
    setting: Setting
    segments: dict[frozenset[str], Costs] = field(default_factory=dict)
    einsums: dict[tuple[str, frozenset[str]], tuple[tuple[float, ...], float]] = field(default_factory=dict)

    def of_segment(self, segment: frozenset[str]) -> Costs:
        """Latency and energy that no mapping of the segment goes below.

        Every tensor that enters or leaves is moved at least once; every point is computed, on at most all lanes. What
        one Einsum makes for another is written to a memory, and each of its words is read there by each reader.
        """
        if segment not in self.segments:
            spaces = [self.problem.space(name) for name in segment]
            outer = self._compulsory(spaces, segment)
            leaves = self._leaving(segment)
            inner = _inside_words(spaces, {(s.name, s.output.tensor) for s in spaces if s.output.tensor in leaves})
            latency_s, energy = self._costs(spaces, segment, outer, inner)
            self.segments[segment] = max(latency_s, self._both_s(sum(outer) + sum(inner))), energy
        return self.segments[segment]

    def of_plan(self, plan: Plan) -> Costs:
        """As `of_segment` with the plan's copies, and with what it spills and reads again."""
        roles = roles_of(plan, self.setting.flow)
        reads = writes = 0
        past: set[tuple[str, str]] = set()
        for space in plan.spaces:
            outer = {r.tensor for r in roles[space.name] if r.outer}
            for operand in space.operands:
                if operand.tensor in outer and operand.is_output:
                    writes += _words(space, operand.ranks)
            reads += sum(_least_words(space, t) for t in outer)
            past |= {(space.name, r.tensor) for r in roles[space.name] if r.outer and _may_pass(space, r, plan)}
        members = frozenset(s.name for s in plan.spaces)
        latency_s, energy = self._costs(plan.spaces, members, (reads, writes), _inside_words(plan.spaces, past))
        rate = self.setting.machine.memories[1].bandwidth_bytes_per_s
        if rate is not None:
            kept = [(s, r) for s in plan.spaces for r in roles[s.name] if (s.name, r.tensor) not in past]
            through = sum(_kept_words(space, role) for space, role in kept)
            latency_s = max(latency_s, through * self.setting.machine.word_bytes / float(rate))
        return latency_s, energy

    def _both_s(self, words: int) -> float:
        """Seconds in which outer memory and buffer move words of which each goes to one of them."""
        rates = [float(m.bandwidth_bytes_per_s or math.inf) for m in self.setting.machine.memories[:2]]
        return words * self.setting.machine.word_bytes / sum(rates)

    def _leaving(self, segment: frozenset[str]) -> frozenset[str]:
        """Tensors that are written to the outer memory: results, and what a later segment reads."""
        flow = self.setting.flow
        after = consumers(flow, segment)
        leaves = {e.tensor for e in flow.edges if e.producer in segment and e.consumer in after}
        return self.problem.external | leaves

    def _costs(
        self, spaces: Sequence[EinsumSpace], segment: frozenset[str], outer: tuple[int, int], inner: tuple[int, int]
    ) -> Costs:
        """Of words that are read from and written to the outer memory, and of others to any."""
        machine, prices = self.setting.machine, self.setting.prices
        memory_s = sum(outer) * machine.word_bytes / float(machine.memories[0].bandwidth_bytes_per_s or math.inf)
        cycles, energy = self._compute(spaces, segment)
        moved = prices.outer_pj(*outer) + prices.inner_pj(*inner)
        return max(memory_s, cycles / float(machine.clock_hz)), energy + moved

    def _compulsory(self, spaces: Iterable[EinsumSpace], segment: frozenset[str]) -> tuple[int, int]:
        """Words that enter from and leave to the outer memory at least: every element of such a tensor once."""
        spaces, leaves = list(spaces), self._leaving(segment)
        made = {s.output.tensor for s in spaces}
        enters: dict[str, int] = {}
        writes = 0
        for space in spaces:
            for operand in space.inputs:
                if operand.tensor not in made:
                    size = _least_words(space, operand.tensor)
                    enters[operand.tensor] = min(size, enters.get(operand.tensor, size))
            if space.output.tensor in leaves:
                writes += _words(space, space.output.ranks)
        return sum(enters.values()), writes

    def _compute(self, spaces: Sequence[EinsumSpace], segment: frozenset[str]) -> tuple[float, float]:
        """Cycles of the busiest array and pJ of all points, each Einsum on its best array with all lanes.

        A rank that a recurrence of the segment steps through is spread over no lanes. With weights that add up to 1,
        max over arrays of load >= sum over Einsums of min over arrays of weight * cycles.
        """
        stepped = self.setting.flow.stepped(segment)
        arrays = len(self.setting.machine.arrays)
        found = [self._alone(space, stepped) for space in spaces]
        cycles, energy = np.array([c for c, _ in found]), sum(e for _, e in found)
        mixes = np.linspace(0, 1, 21) if arrays > 1 else np.ones(1)
        weights = np.zeros((len(mixes), arrays))
        weights[:, 0] = mixes
        weights[:, 1:2] = (1 - mixes)[:, None]
        with np.errstate(invalid="ignore"):
            weighted = np.where(np.isinf(cycles), math.inf, weights[:, None, :] * cycles)
        return max(float(cycles.min(axis=1).max()), float(weighted.min(axis=2).sum(axis=1).max())), energy

    def _alone(self, space: EinsumSpace, stepped: frozenset[str]) -> tuple[tuple[float, ...], float]:
        """Least cycles of an Einsum on every array (inf where it cannot run), and its least pJ."""
        key = (space.name.split("@")[0], stepped)
        if key not in self.einsums:
            able, cycles = [], []
            free = math.prod(n for r, n in space.ranks if r not in space.sequential and r not in stepped)
            on = self.setting.space.array_of(space.name)
            for array in self.setting.machine.arrays:
                units = find_units(array, space.operators)
                cycles.append(math.inf)
                if units is not None and on in (None, array.name):
                    cycles[-1] = sum(u.cycles for u in units) * space.points / min(array.pes, free)
                    able.append(self.setting.prices.least_pj(space, array.name))
            self.einsums[key] = (tuple(cycles), min(able, default=0.0))
        return self.einsums[key]


def _words(space: EinsumSpace, ranks: frozenset[str]) -> int:
    return math.prod(n for r, n in space.ranks if r in ranks)


def _least_words(space: EinsumSpace, tensor: str) -> int:
    """Words of a tensor that the Einsum reads at least; 0 if it reads none."""
    return min((_words(space, o.ranks) for o in space.inputs if o.tensor == tensor), default=0)


def _may_pass(space: EinsumSpace, role: Role, plan: Plan) -> bool:
    """Can all words that the Einsum moves from or to the outer memory stream past the buffer, used once each?"""
    operands = [o for o in space.operands if o.tensor == role.tensor]
    tiled = {*plan.outer, plan.chunk, *operands[0].ranks}
    once = all(rank in tiled or extent == 1 for rank, extent in space.ranks)
    return role.alone and not role.whole and len(operands) == 1 and once


def _kept_words(space: EinsumSpace, role: Role) -> int:
    """Words of a tensor that the Einsum moves to and from the buffer at least, if it has its tile there."""
    operands = [o for o in space.operands if o.tensor == role.tensor]
    return sum(_words(space, o.ranks) * (2 if role.outer and not o.is_output else 1) for o in operands)


def _inside_words(spaces: Sequence[EinsumSpace], besides: Set[tuple[str, str]]) -> tuple[int, int]:
    """Words that the Einsums read of what others among them make, and that they write for them, to either memory.

    Those of `besides`, (Einsum, tensor), are to the outer memory: counted there already when they are written, as
    when a plan says who reads them there.
    """
    made = {s.output.tensor for s in spaces}
    read = {(s.name, o.tensor): _least_words(s, o.tensor) for s in spaces for o in s.inputs if o.tensor in made}
    wanted = {tensor for _, tensor in read}
    written = {(s.name, s.output.tensor): _words(s, s.output.ranks) for s in spaces if s.output.tensor in wanted}
    reads, writes = (sum(n for key, n in found.items() if key not in besides) for found in (read, written))
    return reads, writes
