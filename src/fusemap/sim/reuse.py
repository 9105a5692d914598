"""Reuse analysis of one Einsum under one mapping: words read, filled and updated per tensor and level.

Source: FuseMax (MICRO 2024) artifact's use of Timeloop; relations below are re-derived and held
against an executor that moves words through explicit buffers.

For tensor T a rank is relevant if T is indexed by it. With `tile(l)` the product of the relevant bounds
at or below level l, and `visits(l)` the product of all temporal bounds above l from the outermost to
the innermost relevant non-trivial loop:

    own(l)       = tile(l) * visits(l)                    words one instance exchanges with its parent
    access(l)    = own(child) * relevant spatial bounds between l and the child (steps for the compute unit)
    partition(l) = words of T / relevant spatial bounds above l
    input:   reads = access                 fills = own
    output:  updates = access, reads = access - partition, fills = own - partition

The outermost keeper has no fills. Irrelevant spatial bounds are multicast (inputs) or spatial
reduction (outputs) and cost nothing. Partial sums that come back below an irrelevant fanout are written in
every instance (one gets the sum, the others zero). Bounds may be ints (exact), or NumPy arrays for many
mappings at once: float64, or int64 as long as the product of all bounds stays below 2**62.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fusemap.archspec.decide import chosen
from fusemap.archspec.lanes import Lanes
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Operand, Storage

Count: TypeAlias = Any  # int, or an int64 array when many mappings are analysed at once
PartitionRule: TypeAlias = Callable[[Sequence[Level], Operand], list[Count]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelCount:
    """Words that one instance of a memory level moves for one operand; `instances` are in use."""

    einsum: str
    memory: str
    operand: Operand
    tile: Count
    visits: Count
    access: Count
    partition: Count
    reads: Count
    fills: Count
    updates: Count
    instances: Count


def analyse(
    space: EinsumSpace, mapping: EinsumMapping, *, partition: PartitionRule | None = None
) -> tuple[LevelCount, ...]:
    """Word counts of every operand at every level that keeps it, outermost level first.

    `partition` replaces the exact first-write count of outputs (see `exact_partition`).
    """
    _refuse_overflow(mapping)
    rule = partition or exact_partition
    counts: list[LevelCount] = []
    for operand in space.operands:
        counts += _analyse_operand(space.name, mapping, operand, rule)
    return tuple(counts)


def _refuse_overflow(mapping: EinsumMapping) -> None:
    """OverflowError where int64 arrays could wrap: every count divides or stays below the product of all bounds."""
    bounds = [loop.bound for level in mapping.levels for loop in level.loops]
    kinds = {getattr(getattr(bound, "dtype", None), "kind", "") for bound in bounds}
    if kinds & {"i", "u"} and float(np.max(math.prod(np.asarray(b, dtype=np.float64) for b in bounds))) >= 2.0**62:
        raise OverflowError(f"Einsum {mapping.einsum}: int64 bounds multiply to 2**62 or more; use float64 or ints")


def exact_partition(levels: Sequence[Level], operand: Operand) -> list[Count]:
    """Words of the operand that one instance of each level is responsible for."""
    words: Count = 1
    for level in levels:
        words = words * relevant_bound(level, operand.ranks)
    result: list[Count] = []
    spatial: Count = 1
    for level in levels:
        result.append(words // spatial)
        if isinstance(level, Fanout):
            spatial = spatial * relevant_bound(level, operand.ranks)
    return result


def tiles(levels: Sequence[Level], operand: Operand) -> list[Count]:
    """tile(l) for every level: the words of the operand that lie at or below it."""
    result: list[Count] = []
    tile: Count = 1
    for level in reversed(levels):
        tile = tile * relevant_bound(level, operand.ranks)
        result.append(tile)
    return result[::-1]


def relevant_bound(level: Level, ranks: frozenset[str]) -> Count:
    """Product of the level's bounds over relevant ranks."""
    product: Count = 1
    for loop in level.loops:
        if loop.rank in ranks:
            product = product * loop.bound
    return product


def _analyse_operand(einsum: str, mapping: EinsumMapping, operand: Operand, rule: PartitionRule) -> list[LevelCount]:
    levels = mapping.levels
    tile = tiles(levels, operand)
    visits, instances = _visits_and_instances(levels, operand.ranks)
    keepers = [i for i, lv in enumerate(levels) if isinstance(lv, Storage) and lv.keeps(operand.tensor)]
    if not keepers:
        return []
    part = rule(levels, operand) if operand.is_output else tile
    demand: Count = 1
    for level in levels:
        if isinstance(level, Storage):
            for loop in level.loops:
                demand = demand * loop.bound
    result: list[LevelCount] = []
    child = len(levels)
    for i in reversed(keepers):
        access = demand * _spatial_between(levels[i + 1 : child], operand.ranks)
        own = tile[i] * visits[i]
        outermost = i == keepers[0]
        reads = access - part[i] if operand.is_output else access
        fills: Count = 0
        if not outermost:
            fills = own - part[i] if operand.is_output else own
        level = levels[i]
        assert isinstance(level, Storage)
        result.append(
            LevelCount(
                einsum=einsum,
                memory=level.memory,
                operand=operand,
                tile=tile[i],
                visits=visits[i],
                access=access,
                partition=part[i] if operand.is_output else 0,
                reads=reads,
                fills=fills,
                updates=access if operand.is_output else 0,
                instances=instances[i],
            )
        )
        demand, child = own, i
    return result[::-1]


def _visits_and_instances(levels: Sequence[Level], ranks: frozenset[str]) -> tuple[list[Count], list[Count]]:
    visits: list[Count] = []
    instances: list[Count] = []
    product: Count = 1
    visited: Count = 1
    copies: Count = 1
    for level in levels:
        visits.append(visited)
        instances.append(copies)
        if isinstance(level, Fanout):
            for loop in level.loops:
                copies = copies * loop.bound
            continue
        for loop in level.loops:
            product = product * loop.bound
            if loop.rank in ranks:
                visited = _select(loop.bound, product, visited)
    return visits, instances


def _select(bound: Count, product: Count, visited: Count) -> Count:
    """`product` where the loop really iterates; a loop of bound 1 re-fetches nothing."""
    if isinstance(bound, Lanes):
        return chosen(bound > 1, product, visited)
    if isinstance(bound, int):
        return product if bound > 1 else visited
    return np.where(bound > 1, product, visited)


def _spatial_between(levels: Sequence[Level], ranks: frozenset[str]) -> Count:
    product: Count = 1
    for level in levels:
        if isinstance(level, Fanout):
            product = product * relevant_bound(level, ranks)
    return product
