"""What a plan moves to and from the outer memory at least, whatever its Einsums do with their tiles."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from fusemap.mappers.mapspace.fit import need_words, roles_of
from fusemap.mappers.mapspace.front import BLOCK, TIE, Setting, Tally
from fusemap.mappers.mapspace.grid import Floats, Grid, blocks, orders
from fusemap.mappers.mapspace.options import Recipe, Role, nest_of, spreads, streamed_words
from fusemap.mappers.mapspace.plan import Plan
from fusemap.mappers.types import EinsumSpace
from fusemap.mappers.units import find_units

Memo = dict[Hashable, Floats]


def least_traffic_bytes(plan: Plan, setting: Setting, memo: Memo, tally: Tally) -> float:
    """The least traffic of a plan over all orders and tile sizes that fit; inf if none does.

    What needs least room is told to the tally. A tile is fetched when it changes, so that traffic does not depend on
    lanes and on the order of inner loops.
    """
    roles = roles_of(plan, setting.flow)
    least = math.inf
    for order in orders(plan):
        for number, grid in enumerate(blocks(plan, setting.machine, BLOCK, setting.space)):
            moved = np.zeros(grid.points)
            streams = {}
            for space in plan.spaces:
                moved = moved + _traffic(space, roles[space.name], order, plan, number, grid, setting, memo)
                streams[space.name] = streamed_words(space, roles[space.name], order, plan.chunk, grid)
            need = need_words(plan, order, roles, streams, grid, setting.flow)
            tally.least_need_words = min(tally.least_need_words, float(need.min()))
            fits = need <= setting.capacity_words * (1 + TIE)
            least = min(least, float(moved[fits].min()) if fits.any() else math.inf)
    return least


def _traffic(
    space: EinsumSpace,
    roles: Sequence[Role],
    order: tuple[str, ...],
    plan: Plan,
    number: int,
    grid: Grid,
    setting: Setting,
    memo: Memo,
) -> Floats:
    """Bytes that one Einsum moves, remembered for plans that differ in others."""
    tensors = tuple(o.tensor for o in space.operands)
    key = (space.name, tensors, roles, order, plan.outer, plan.chunk, plan.common, plan.single, number)
    if key not in memo:
        array = next(a for a in setting.machine.arrays if find_units(a, space.operators) is not None)
        spread = next(iter(spreads(space, array, grid)))
        recipe = Recipe(array=array.name, spread=spread, order=tuple(r for r, _ in space.ranks))
        nest = nest_of(space, roles, order, plan.chunk, recipe, grid, setting.machine, frozenset())
        costs = setting.prices.operands(space, nest)
        memo[key] = sum((c.traffic_bytes for c in costs.values()), np.zeros(grid.points))
    return memo[key]
