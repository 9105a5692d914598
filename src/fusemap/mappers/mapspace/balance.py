"""Einsums on arrays: at one tile size, all assignments of which no other is nowhere worse, and what bounds them."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fusemap.mappers.mapspace.grid import Floats
from fusemap.mappers.mapspace.options import Choices, Option, Recipe

Objective: TypeAlias = Literal["latency", "energy", "edp", "pareto"]
Bools: TypeAlias = npt.NDArray[np.bool_]
TIE = 1e-12
_CHUNK = 256  # partial assignments that are compared at once
_MIXES = np.linspace(0, 1, 11)[1:-1]  # weights of the two busiest arrays in a lower bound


def least_cycles(chosen: Mapping[str, Choices], overlapped: Bools) -> Floats:
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


def least_through(chosen: Mapping[str, Choices], points: int) -> Floats:
    """Cycles of the buffer that no assignment goes below: the sum of each Einsum's least (0 without a bandwidth)."""
    return sum((np.min([_through(o) for o in c.options], axis=0) for c in chosen.values()), np.zeros(points))


def _through(option: Option) -> Floats:
    return np.zeros(1) if option.buffer_cycles is None else option.buffer_cycles


Balanced: TypeAlias = tuple[float, float, dict[str, Recipe]]
_Partial: TypeAlias = tuple[tuple[float, ...], float, tuple[tuple[str, Recipe], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Cycles of one tile size: no assignment takes fewer than `least`, those that take over `most` are of no use."""

    least: float = 0.0
    most: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """An option at one tile size, and the cycles that it adds to each load: of the arrays, and of the buffer."""

    recipe: Recipe
    loads: tuple[float, ...]
    energy_pj: float


def balanced(
    chosen: Mapping[str, Choices], index: int, overlapped: bool, objective: Objective, limits: Limits
) -> list[Balanced]:
    """(cycles, energy, recipes) of the assignments that no other one beats, at one tile size.

    Cycles are those of the busiest array where Einsums overlap, else of all Einsums, or of the buffer if they are
    more. Partial assignments are merged Einsum by Einsum; one whose arrays and buffer are all no less busy and which
    costs no less than another's can be left out, as what follows adds the same to both. So can one that takes more
    than `limits.most` already.
    """
    arrays = list(dict.fromkeys(o.recipe.array for c in chosen.values() for o in c.options))
    ordered = sorted(chosen.items(), key=lambda item: len(item[1].options))
    through = _buffer_binds(chosen, index, limits)
    ways = [(name, _ways(choice.options, index, arrays, overlapped, through)) for name, choice in ordered]
    if not through:
        partial = _merged(ways, objective, limits.most)
    else:
        if objective == "latency":  # the fastest first, whatever it costs
            free = [(name, [replace(w, energy_pj=0.0) for w in local]) for name, local in ways]
            fastest = _merged(free, objective, limits.most, limits.least)
            limits = replace(limits, most=min([limits.most, *(max(loads) for loads, _, _ in fastest)]))
        partial = _merged(ways, objective, limits.most, limits.least)
    return [(max(loads), energy, dict(picked)) for loads, energy, picked in partial]


def _merged(
    ways: Sequence[tuple[str, Sequence[_Way]]], objective: Objective, most: float, least: float | None = None
) -> list[_Partial]:
    """The assignments that no other one beats and that take at most `most` cycles.

    If it is known that all take `least`, a load that stays below it whatever follows is as good as none: it counts
    as what would just reach it. One that exceeds `most` with the least that can follow is left out.
    """
    partial: list[_Partial] = [((0.0,) * len(ways[0][1][0].loads), 0.0, ())]
    follows = _follows([local for _, local in ways]) if least is not None else None
    for number, (name, local) in enumerate(ways):
        grown = []
        for loads, energy, picked in partial:
            for way in local:
                new = tuple(v + w for v, w in zip(loads, way.loads, strict=True))
                if max(new) > most * (1 + TIE):
                    continue
                if follows is not None and least is not None:
                    few, many = follows[number]
                    if any(v + f > most * (1 + TIE) for v, f in zip(new, few, strict=True)):
                        continue
                    new = tuple(max(v, least - m) for v, m in zip(new, many, strict=True))
                grown.append((new, energy + way.energy_pj, (*picked, (name, way.recipe))))
        partial = _undominated(grown, objective)
    return partial


def _follows(ways: Sequence[Sequence[_Way]]) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """After each Einsum, the fewest and the most cycles that the others can add to each load."""
    none = (0.0,) * len(ways[0][0].loads)
    found = [(none, none)]
    for local in reversed(ways[1:]):
        loads = list(zip(*(w.loads for w in local), strict=True))
        few = tuple(v + min(added) for v, added in zip(found[-1][0], loads, strict=True))
        many = tuple(v + max(added) for v, added in zip(found[-1][1], loads, strict=True))
        found.append((few, many))
    return found[::-1]


def _buffer_binds(chosen: Mapping[str, Choices], index: int, limits: Limits) -> bool:
    """Is there an assignment for which the buffer takes longer than what every one takes at least?"""
    if any(o.buffer_cycles is None for c in chosen.values() for o in c.options):
        return False
    most = sum(max(float(_through(o)[index]) for o in c.options) for c in chosen.values())
    return most > limits.least


def _ways(options: Sequence[Option], index: int, arrays: Sequence[str], overlapped: bool, through: bool) -> list[_Way]:
    """The options that no other on the same array beats at one tile size; the buffer has a load if it counts."""
    found: list[tuple[Option, tuple[float, float, float]]] = []
    ranked = [(o, (float(o.cycles[index]), float(o.energy_pj[index]), _load(o, index, through))) for o in options]
    for option, costs in sorted(ranked, key=lambda item: item[1]):
        same = [other for o, other in found if o.recipe.array == option.recipe.array]
        if not any(energy <= costs[1] and load <= costs[2] for _, energy, load in same):
            found.append((option, costs))
    result = []
    for option, (cycles, energy, load) in found:
        a = arrays.index(option.recipe.array) if overlapped else 0
        own = tuple(cycles * (j == a) for j in range(len(arrays)))
        result.append(_Way(recipe=option.recipe, loads=(*own, load) if through else own, energy_pj=energy))
    return result


def _load(option: Option, index: int, through: bool) -> float:
    return float(_through(option)[index]) if through else 0.0


def _undominated(grown: list[_Partial], objective: Objective) -> list[_Partial]:
    if objective == "energy" and grown:
        least = min(g[1] for g in grown)
        grown = [g for g in grown if g[1] <= least * (1 + TIE)]
    grown.sort(key=lambda g: (g[1], g[0]))
    if grown and len(grown[0][0]) == 2:
        return _stairs(grown)
    kept: list[_Partial] = []
    for start in range(0, len(grown), _CHUNK):
        more: list[_Partial] = []
        for item in _unbeaten(kept, grown[start : start + _CHUNK]):
            if not any(all(a <= b * (1 + TIE) for a, b in zip(k[0], item[0], strict=True)) for k in more):
                more.append(item)
        kept += more
    return kept


def _unbeaten(kept: Sequence[_Partial], items: Sequence[_Partial]) -> Sequence[_Partial]:
    """The items of which no kept one has loads that are all no larger."""
    if not kept:
        return items
    loads, limits = (np.array([i[0] for i in found]) for found in (kept, items))
    beaten: Bools = np.any((loads[:, None, :] <= limits[None, :, :] * (1 + TIE)).all(axis=2), axis=0)
    return [item for item, out in zip(items, beaten, strict=True) if not out]


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
