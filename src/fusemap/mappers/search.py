"""Exhaustive search of one Einsum's mapping at one memory: tile split, loop order and bypass.

The space: every split of the chosen ranks' outermost loops into (outer, at `at`) by divisors, every
order of the loops at `at`, every subset of operands that `at` keeps and that fits its capacity (order and
keep set may be given instead). The splits are evaluated as arrays; loops outside all of them that index
every operand multiply every count alike and are left out (lossless). Costs of an operand depend on whether
it is kept itself, not on whether the others are, so subsets are sums.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Loop, Operand, Storage, distinct

Floats: TypeAlias = npt.NDArray[np.float64]
TIE = 1e-12  # energies that differ by rounding only count as equal
MAX_SPLITS = 1 << 20  # about ten seconds and half a GB
FREE = frozenset({"order", "keep"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandCost:
    """What moving one operand costs, for each candidate; `buffer_bytes` where a buffer with a bandwidth is counted."""

    traffic_bytes: Floats
    energy_pj: Floats
    buffer_bytes: Floats | None = None


class SplitCost(Protocol):
    """Prices the operands of a nest whose bounds are arrays of candidates; hashable, like any function."""

    def __hash__(self) -> int: ...

    def __call__(self, space: EinsumSpace, nest: EinsumMapping, machine: Machine) -> Mapping[str, OperandCost]:
        """Cost by operand label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The winner: bound of each split rank at the inner memory, loop order there, tensors kept."""

    inner: tuple[tuple[str, int], ...]
    keep: frozenset[str]


def best_split(
    space: EinsumSpace,
    nest: EinsumMapping,
    machine: Machine,
    at: str,
    split: tuple[str, ...],
    cost: SplitCost,
    *,
    free: frozenset[str] = FREE,
) -> EinsumMapping:
    """The nest with its outermost loops split with memory `at` for least traffic, then energy, then footprint.

    The new loops at `at` stand outside those that it has, in any order, or in that of `split` unless `order` is
    `free`; `at` keeps any subset of the operands, or what it keeps in the nest unless `keep` is `free`. A nest
    whose outermost level is `at` itself has nothing to split and stays as it is. InputError: more than
    MAX_SPLITS splits. Where even the least tiles of a given keep set are too large, they are what is found.
    """
    if nest.levels[0] == _level(nest, at):
        return nest
    ranks = tuple(r for r, _ in space.ranks if r in split) if "order" in free else split
    common = _common_prefix(space, nest, ranks)
    small_space = dataclasses.replace(
        space, ranks=tuple((r, 1 if r in common else n) for r, n in space.ranks), notes=()
    )
    found = _search(small_space, _without(nest, common), machine, at, ranks, cost, free)
    return _apply(nest, at, found)


def divisors(n: int) -> tuple[int, ...]:
    """All divisors of n in ascending order.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    small = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    return tuple(small + [n // d for d in reversed(small) if d * d != n])


@lru_cache(maxsize=4096)
def _search(
    space: EinsumSpace,
    nest: EinsumMapping,
    machine: Machine,
    at: str,
    ranks: tuple[str, ...],
    cost: SplitCost,
    free: frozenset[str],
) -> Split:
    inner = _splits(space, nest, ranks)
    loops = tuple(inner)
    capacity = machine.memory(at).capacity_bytes
    given = tuple(o for o in space.operands if _level(nest, at).keeps(o.tensor))
    subsets = _subsets(space.operands) if "keep" in free else [given]
    best: tuple[tuple[float, float, float], Split] | None = None
    for order in itertools.permutations(loops) if "order" in free else [loops]:
        block = _block(nest, at, order, inner)
        kept = cost(space, _keep(block, at, None), machine)
        bypassed = cost(space, _keep(block, at, frozenset()), machine)
        tile = {o.label: _tile(block, at, o) * machine.word_bytes for o in space.operands}
        for subset in subsets:
            chosen = [(kept if o in subset else bypassed)[o.label] for o in space.operands]
            held = sum((tile[o.label] for o in distinct(subset)), np.zeros(1))
            candidate = _least(
                sum((c.traffic_bytes for c in chosen), np.zeros(1)),
                sum((c.energy_pj for c in chosen), np.zeros(1)),
                held,
                capacity,
            )
            if candidate is not None and (best is None or _better(candidate[0], best[0])):
                i = candidate[1]
                sizes = tuple((r, int(inner[r][i])) for r in order)
                best = (candidate[0], Split(inner=sizes, keep=frozenset(o.tensor for o in subset)))
    if best is None:  # never where the keep set is free: what keeps nothing fits
        return Split(inner=tuple((r, 1) for r in loops), keep=frozenset(o.tensor for o in given))
    return best[1]


def _splits(space: EinsumSpace, nest: EinsumMapping, ranks: tuple[str, ...]) -> dict[str, Floats]:
    """The inner bound of each rank that can be split, for every candidate."""
    bounds = {loop.rank: loop.bound for loop in nest.levels[0].loops if loop.rank in ranks}
    split = tuple(r for r in ranks if bounds.get(r, 1) > 1)
    _check_size(space, {r: bounds[r] for r in split})
    grids = np.meshgrid(*(np.array(divisors(bounds[r]), dtype=np.float64) for r in split), indexing="ij")
    return {r: g.ravel() for r, g in zip(split, grids, strict=True)}


def _check_size(space: EinsumSpace, bounds: Mapping[str, int]) -> None:
    splits = math.prod(len(divisors(bound)) for bound in bounds.values())
    if splits > MAX_SPLITS:
        named = ", ".join(f"{rank} = {bound:,}" for rank, bound in bounds.items())
        message = f"Einsum {space.name} has too many splits to search: {splits:,}, at most {MAX_SPLITS:,}"
        raise input_error(message, hint=f"choose sizes with fewer divisors than loops over {named} have")


def _better(key: tuple[float, ...], best: tuple[float, ...]) -> bool:
    """Lexicographically smaller, where values within rounding count as equal."""
    for value, least in zip(key, best, strict=True):
        if abs(value - least) > TIE * abs(least):
            return value < least
    return False


def _least(
    traffic: Floats, energy: Floats, held: Floats, capacity: int | None
) -> tuple[tuple[float, float, float], int] | None:
    """Key and index of the feasible candidate with least (traffic, energy, held bytes)."""
    traffic, energy, held = np.broadcast_arrays(traffic, energy, held)
    feasible = held <= (math.inf if capacity is None else capacity)
    if not feasible.any():
        return None
    for values in (traffic, energy, held):
        least = values[feasible].min()
        feasible = feasible & (values <= least * (1 + TIE))
    i = int(np.flatnonzero(feasible)[0])
    return (float(traffic[i]), float(energy[i]), float(held[i])), i


def _subsets(operands: tuple[Operand, ...]) -> list[tuple[Operand, ...]]:
    """Subsets in which all operands of one tensor go together."""
    tensors = tuple(dict.fromkeys(o.tensor for o in operands))
    chosen = itertools.chain.from_iterable(itertools.combinations(tensors, n) for n in range(len(tensors) + 1))
    return [tuple(o for o in operands if o.tensor in kept) for kept in chosen]


def _common_prefix(space: EinsumSpace, nest: EinsumMapping, split: tuple[str, ...]) -> frozenset[str]:
    """Ranks of the outermost loops before any split rank that index every operand."""
    common: set[str] = set()
    for loop in nest.levels[0].loops:
        if loop.rank in split or not all(loop.rank in o.ranks for o in space.operands):
            break
        common.add(loop.rank)
    return frozenset(common)


def _without(nest: EinsumMapping, ranks: frozenset[str]) -> EinsumMapping:
    outer = nest.levels[0]
    loops = tuple(loop for loop in outer.loops if loop.rank not in ranks)
    return dataclasses.replace(nest, levels=(dataclasses.replace(outer, loops=loops), *nest.levels[1:]))


def _block(nest: EinsumMapping, at: str, order: tuple[str, ...], inner: Mapping[str, Any]) -> EinsumMapping:
    """The nest with `order` as the outer loops at `at`; bounds may be numbers or arrays of candidates."""
    levels = []
    for level in nest.levels:
        if level is nest.levels[0]:
            loops = tuple(
                Loop(rank=p.rank, bound=p.bound // inner[p.rank]) if p.rank in inner else p for p in level.loops
            )
            levels.append(dataclasses.replace(level, loops=loops))
        elif isinstance(level, Storage) and level.memory == at:
            loops = tuple(Loop(rank=r, bound=inner[r]) for r in order)
            levels.append(dataclasses.replace(level, loops=(*loops, *level.loops)))
        else:
            levels.append(level)
    return dataclasses.replace(nest, levels=tuple(levels))


def _keep(nest: EinsumMapping, at: str, keep: frozenset[str] | None) -> EinsumMapping:
    levels = tuple(
        dataclasses.replace(level, keep=keep) if isinstance(level, Storage) and level.memory == at else level
        for level in nest.levels
    )
    return dataclasses.replace(nest, levels=levels)


def _tile(nest: EinsumMapping, at: str, operand: Operand) -> Any:
    """Words of the operand at or below memory `at`, for each candidate."""
    words: Any = np.ones(1)
    for level in nest.levels[nest.levels.index(_level(nest, at)) :]:
        for loop in level.loops:
            if loop.rank in operand.ranks:
                words = words * loop.bound
    return words


def _level(nest: EinsumMapping, at: str) -> Storage:
    """The level of memory `at`; the nest must have it."""
    return next(level for level in nest.levels if isinstance(level, Storage) and level.memory == at)


def _apply(nest: EinsumMapping, at: str, split: Split) -> EinsumMapping:
    order = tuple(rank for rank, _ in split.inner)
    return _keep(_block(nest, at, order, dict(split.inner)), at, split.keep)
