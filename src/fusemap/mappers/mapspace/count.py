"""How many mappings a space has, counted before any is priced."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.archspec.types import Machine
from fusemap.mappers.mapspace.flow import Flow
from fusemap.mappers.mapspace.grid import candidates, orders
from fusemap.mappers.mapspace.plan import Plan, plans, segments
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.types import Problem

Segment = frozenset[str]
Loops = tuple[tuple[str, ...], frozenset[str], str, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The plans of every segment by the loops that they share: an example, and how many orders they have together."""

    downsets: tuple[Segment, ...]
    after: Mapping[Segment, tuple[Segment, ...]]
    plans: Mapping[Segment, Mapping[Loops, tuple[Plan, int]]]


def census(flow: Flow, problem: Problem, space: Mapspace = EVERYTHING) -> Census:
    """All plans, which do not depend on sizes."""
    downsets, after = segments(flow)
    found: dict[Segment, dict[Loops, tuple[Plan, int]]] = {}
    for at in downsets:
        for later in after[at]:
            if later - at not in found:
                found[later - at] = _kinds(flow, problem, later - at, space)
    return Census(downsets=downsets, after=after, plans=found)


def _kinds(flow: Flow, problem: Problem, segment: Segment, space: Mapspace) -> dict[Loops, tuple[Plan, int]]:
    number: Counter[Loops] = Counter()
    example: dict[Loops, Plan] = {}
    for plan in plans(flow, problem, segment, space):
        loops = (plan.outer, plan.common, plan.chunk, plan.single)
        example.setdefault(loops, plan)
        number[loops] += len(orders(plan))
    return {loops: (plan, number[loops]) for loops, plan in example.items()}


def count(known: Census, problem: Problem, machine: Machine, space: Mapspace = EVERYTHING) -> int:
    """Mappings of a problem: sequences of segments, their plans, orders of the shared loops and tile sizes.

    What each Einsum does with its tile (array, lanes, order inside) comes on top and is not counted.
    """
    extents = {r: n for s in problem.spaces for r, n in s.ranks}
    ways: dict[Segment, int] = {}
    for segment, kinds in known.plans.items():
        ways[segment] = sum(
            n * math.prod(len(c) for c in candidates(plan, machine, space, extents).values())
            for plan, n in kinds.values()
        )
    total = {known.downsets[-1]: 1}
    for at in reversed(known.downsets[:-1]):
        total[at] = sum(ways[later - at] * total[later] for later in known.after[at])
    return total[known.downsets[0]]
