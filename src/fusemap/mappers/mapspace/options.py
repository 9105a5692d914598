"""What one Einsum of a plan can do with its tile: array, lanes and loop order, priced for every tile size at once."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from fusemap.archspec.types import Array, Machine
from fusemap.mappers.mapspace.grid import Floats, Grid, largest_parts
from fusemap.mappers.search import OperandCost
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage
from fusemap.mappers.units import find_units


class OperandPrices(Protocol):
    """Prices every operand of a nest whose bounds may be arrays, by label."""

    def __call__(self, space: EinsumSpace, nest: EinsumMapping) -> Mapping[str, OperandCost]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What a search is told of costs: of moving operands, and of computing one Einsum on an array, in pJ.

    `least_pj` is what an Einsum costs at least on an array, whatever its nest; `outer_pj` what it takes to read and
    to write words of the outer memory, `inner_pj` of the cheapest memory that can hold them.
    """

    operands: OperandPrices
    compute_pj: Callable[[EinsumSpace, str], float]
    least_pj: Callable[[EinsumSpace, str], float]
    outer_pj: Callable[[float, float], float]
    inner_pj: Callable[[float, float], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """How an Einsum of a group gets at a tensor.

    `outer`: it is the one that moves it from or to the outer memory. `whole`: it is held over all chunks.
    `alone`: no other Einsum of the group needs it, so that words used once can pass the buffer by.
    """

    tensor: str
    outer: bool
    whole: bool
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The part of a nest below the buffer: array, ranks spread over each dimension, order of the loops."""

    array: str
    spread: tuple[tuple[str, tuple[str, ...]], ...]
    order: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A recipe with its cycles and energy for every tile size; `buffer_cycles` if the buffer has a bandwidth."""

    recipe: Recipe
    cycles: Floats
    energy_pj: Floats
    buffer_cycles: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Least:
    """What no option goes below at any tile size: bytes, pJ, and cycles on each array and of the buffer."""

    traffic_bytes: float
    energy_pj: float
    cycles: tuple[tuple[str, float], ...]
    buffer_cycles: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """All options of one Einsum that may be best somewhere, and what they share: bytes to the outer memory.

    `considered` counts the options before those that another one beats everywhere were left out.
    """

    options: tuple[Option, ...]
    traffic_bytes: Floats
    streams: Mapping[str, Floats]
    considered: int
    least: Least


def choices(
    space: EinsumSpace,
    roles: Sequence[Role],
    outer: Sequence[str],
    chunk: str,
    grid: Grid,
    machine: Machine,
    prices: Prices,
    memo: dict[Hashable, OperandCost],
    on: str | None = None,
) -> Choices:
    """Every array (or just the one it is to run `on`), assignment of ranks to its dimensions and loop order.

    An operand costs the same whatever becomes of the others, so that `memo` remembers each on its own, for plans
    that differ in other tensors.
    """
    streams = streamed_words(space, roles, outer, chunk, grid)
    found: list[Option] = []
    traffic: Floats | None = None
    considered = 0
    per_byte = cycles_per_buffer_byte(machine)
    for array in machine.arrays:
        units = find_units(array, space.operators)
        if units is None or on not in (None, array.name):
            continue
        per_point = sum(u.cycles for u in units)
        compute = prices.compute_pj(space, array.name)
        for spread in spreads(space, array, grid):
            bounds = lanes(space, array, spread, grid)
            steps = _steps(space, bounds, grid)
            cycles = per_point * space.points / math.prod(b for b in bounds.values())
            nest = _nest(space, outer, chunk, array.name, spread, bounds, steps, grid)
            for order in _inner_orders(space, steps):
                recipe = Recipe(array=array.name, spread=spread, order=order)
                moved, energy, inside = _priced(nest, roles, recipe, machine, prices, streams, memo)
                traffic = moved if traffic is None else traffic
                option = Option(
                    recipe=recipe,
                    cycles=_full(cycles, grid),
                    energy_pj=_full(energy + compute, grid),
                    buffer_cycles=None if per_byte is None else _full(inside * per_byte, grid),
                )
                considered += 1
                _add(found, option)
    assert traffic is not None, space.name
    moved_bytes = _full(traffic, grid)
    arrays = dict.fromkeys(o.recipe.array for o in found)
    least = Least(
        traffic_bytes=float(moved_bytes.min()),
        energy_pj=min(float(o.energy_pj.min()) for o in found),
        cycles=tuple((a, min(float(o.cycles.min()) for o in found if o.recipe.array == a)) for a in arrays),
        buffer_cycles=min(0.0 if o.buffer_cycles is None else float(o.buffer_cycles.min()) for o in found),
    )
    return Choices(options=tuple(found), traffic_bytes=moved_bytes, streams=streams, considered=considered, least=least)


def cycles_per_buffer_byte(machine: Machine) -> float | None:
    """Cycles in which the buffer, the machine's second memory, moves a byte; None if it has no bandwidth.

    What it moves is summed over the Einsums of a segment, whether they overlap or not: it is one of the resources.
    """
    rate = machine.memories[1].bandwidth_bytes_per_s
    return None if rate is None else float(machine.clock_hz) / float(rate)


def streamed_words(
    space: EinsumSpace, roles: Sequence[Role], outer: Sequence[str], chunk: str, grid: Grid
) -> dict[str, Floats]:
    """For every tensor from the outer memory that no other Einsum needs: 1 where its words can pass the buffer by."""
    shared = [*(r for r in outer if _has(space, r)), *([chunk] if _has(space, chunk) else [])]
    single = [r.tensor for r in roles if r.outer and r.alone and not r.whole]
    return {tensor: _used_once(space, tensor, shared, grid) for tensor in single}


def _full(values: Any, grid: Grid) -> Floats:
    return np.broadcast_to(np.asarray(values, dtype=np.float64), (grid.points,))


def _add(found: list[Option], option: Option) -> None:
    """Keep the option unless another is nowhere worse; drop those that it beats everywhere."""
    if any(_covers(o, option) for o in found):
        return
    found[:] = [o for o in found if not _covers(option, o)]
    found.append(option)


def _covers(a: Option, b: Option) -> bool:
    """Is `a` on the same array and nowhere slower, dearer or more of a load for the buffer than `b`?"""
    if a.recipe.array != b.recipe.array:
        return False
    slack = 1 + 1e-12
    one, other = a.buffer_cycles, b.buffer_cycles
    if one is not None and other is not None and not (one <= other * slack).all():
        return False
    return bool((a.cycles <= b.cycles * slack).all() and (a.energy_pj <= b.energy_pj * slack).all())


def spreads(space: EinsumSpace, array: Array, grid: Grid) -> Iterator[tuple[tuple[str, tuple[str, ...]], ...]]:
    """Assignments of ranks to the array's dimensions: one rank each, a second where the first cannot fill it.

    Or none: a word that all points use is then in one register only.
    """
    whole = {r: n for r, n in space.ranks if r not in space.sequential and _largest(r, grid) > 1}
    per_dim = []
    for dim in array.dims:
        one: list[tuple[str, ...]] = [(r,) for r in whole]
        two = [(r, s) for r, s in itertools.permutations(whole, 2) if _largest(r, grid) < dim.extent]
        per_dim.append([*one, *two, ()])
    for chosen in itertools.product(*per_dim):
        yield tuple((dim.name, ranks) for dim, ranks in zip(array.dims, chosen, strict=True))


def _largest(rank: str, grid: Grid) -> float:
    return float(np.max(grid.tile(rank)))


def lanes(
    space: EinsumSpace, array: Array, spread: Sequence[tuple[str, tuple[str, ...]]], grid: Grid
) -> dict[tuple[str, str], Floats]:
    """Lanes of each (dimension, rank): the largest divisor of what is left of the tile and of the dimension."""
    left: dict[str, Any] = {r: grid.tile(r) for r, _ in space.ranks}
    found: dict[tuple[str, str], Floats] = {}
    for name, ranks in spread:
        room: Any = array.dim(name).extent
        for rank in ranks:
            part = largest_parts(left[rank], np.floor(room))
            found[name, rank] = part
            left[rank], room = left[rank] / part, room / part
    return found


def _steps(space: EinsumSpace, bounds: Mapping[tuple[str, str], Floats], grid: Grid) -> dict[str, Any]:
    """Temporal iterations of every rank inside a tile."""
    steps: dict[str, Any] = {r: grid.tile(r) for r, _ in space.ranks}
    for (_, rank), part in bounds.items():
        steps[rank] = steps[rank] / part
    return steps


def _inner_orders(space: EinsumSpace, steps: Mapping[str, Any]) -> tuple[tuple[str, ...], ...]:
    """Orders of the inner loops in which different operands rest while the innermost loops run."""
    loops = [r for r, n in steps.items() if float(np.max(n)) > 1]
    rest = tuple(r for r in steps if r not in loops)
    found: dict[tuple[frozenset[str], ...], tuple[str, ...]] = {}
    ranks = sorted({o.ranks for o in space.operands}, key=sorted)
    for order in itertools.permutations(loops):
        key = tuple(_resting(order, r) for r in ranks)
        found.setdefault(key, order)
    return tuple((*rest, *order) for order in found.values())


def _resting(order: Sequence[str], ranks: frozenset[str]) -> frozenset[str]:
    inner = itertools.takewhile(lambda rank: rank not in ranks, reversed(order))
    return frozenset(inner)


def _has(space: EinsumSpace, rank: str) -> bool:
    return any(r == rank for r, _ in space.ranks)


def _used_once(space: EinsumSpace, tensor: str, loops: Sequence[str], grid: Grid) -> Floats:
    """1 where every word of the tensor's tile is used at a single point, so that keeping it saves nothing."""
    operands = [o for o in space.operands if o.tensor == tensor]
    if len(operands) > 1:
        return np.zeros(grid.points)
    ranks = operands[0].ranks
    uses: Any = math.prod((grid.tile(r) for r, _ in space.ranks if r not in ranks), start=np.ones(grid.points))
    rests = np.ones(grid.points, dtype=bool)  # the tile stays while the loops so far, innermost first, run
    for rank in reversed(loops):
        steps = np.asarray(grid.steps(rank))
        if rank in ranks:
            rests = rests & (steps == 1)
        else:
            uses = uses * np.where(rests, steps, 1)
    return np.asarray(uses == 1, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Nest:
    """What the nests of one spread have in common: loops above the buffer and of the chunks, levels below it."""

    space: EinsumSpace
    shared: tuple[Loop, ...]
    chunks: tuple[Loop, ...]
    inner: Mapping[str, Loop]
    below: tuple[Level, ...]


def _nest(
    space: EinsumSpace,
    outer: Sequence[str],
    chunk: str,
    array: str,
    spread: Sequence[tuple[str, tuple[str, ...]]],
    bounds: Mapping[tuple[str, str], Floats],
    steps: Mapping[str, Any],
    grid: Grid,
) -> _Nest:
    lanes_of = ((dim, tuple(_loop(r, bounds[dim, r]) for r in ranks)) for dim, ranks in spread)
    fanouts = (Fanout(array=array, dim=dim, loops=loops) for dim, loops in lanes_of)
    return _Nest(
        space=space,
        shared=tuple(_loop(r, grid.steps(r)) for r in outer if _has(space, r)),
        chunks=(_loop(chunk, grid.steps(chunk)),) if _has(space, chunk) else (),
        inner={r: _loop(r, n) for r, n in steps.items()},
        below=(*fanouts, Storage(memory=f"{array}.registers", keep=None)),
    )


def _priced(
    nest: _Nest,
    roles: Sequence[Role],
    recipe: Recipe,
    machine: Machine,
    prices: Prices,
    streams: Mapping[str, Floats],
    memo: dict[Hashable, OperandCost],
) -> tuple[Floats, Floats, Floats]:
    """Bytes to the outer memory, pJ and bytes at the buffer of moving all operands.

    Each passes the buffer by where its words allow. Bytes at the buffer are 0 if it has no bandwidth.
    """
    of = {r.tensor: r for r in roles}
    moved = energy = inside = np.zeros(1)
    for operand in nest.space.operands:
        role = of[operand.tensor]
        ways = [frozenset[str]()]
        if operand.tensor in streams and streams[operand.tensor].any():
            ways.append(frozenset({operand.tensor}))
        costs = []
        for streamed in ways:
            key = (operand, recipe, role.outer, role.whole, bool(streamed))
            if key not in memo:
                alone = dataclasses.replace(nest.space, operands=(operand,))
                levels = _levels(nest, (role,), recipe, machine, streamed)
                memo[key] = prices.operands(alone, levels)[operand.label]
            costs.append(memo[key])
        moved, energy = moved + costs[0].traffic_bytes, energy + costs[0].energy_pj
        if len(costs) > 1:
            energy = energy - streams[operand.tensor] * (costs[0].energy_pj - costs[1].energy_pj)
        through = costs[0].buffer_bytes  # what streams past the buffer is no load of its own
        if through is not None:
            inside = inside + (through * (1 - streams[operand.tensor]) if len(costs) > 1 else through)
    return moved, energy, inside


def nest_of(
    space: EinsumSpace,
    roles: Sequence[Role],
    outer: Sequence[str],
    chunk: str,
    recipe: Recipe,
    grid: Grid,
    machine: Machine,
    streamed: frozenset[str],
) -> EinsumMapping:
    """The nest of one Einsum; its bounds are arrays over the grid."""
    bounds = lanes(space, machine.array(recipe.array), recipe.spread, grid)
    steps = _steps(space, bounds, grid)
    nest = _nest(space, outer, chunk, recipe.array, recipe.spread, bounds, steps, grid)
    return _levels(nest, roles, recipe, machine, streamed)


def _levels(
    nest: _Nest, roles: Sequence[Role], recipe: Recipe, machine: Machine, streamed: frozenset[str]
) -> EinsumMapping:
    outermost, buffer = (m.name for m in machine.memories[:2])
    outer = frozenset(r.tensor for r in roles if r.outer)
    whole = frozenset(r.tensor for r in roles if r.whole)
    tiles = frozenset(r.tensor for r in roles if not r.whole) - streamed
    levels: tuple[Level, ...] = (
        Storage(memory=outermost, loops=nest.shared, keep=outer),
        Storage(memory=buffer, loops=nest.chunks, keep=whole),
        Storage(memory=buffer, loops=tuple(nest.inner[r] for r in recipe.order), keep=tiles),
        *nest.below,
    )
    return EinsumMapping(einsum=nest.space.name, array=recipe.array, levels=levels)


def _loop(rank: str, bound: Any) -> Loop:
    return Loop(rank=rank, bound=bound)


def words(operand: Operand, grid: Grid, *, whole: str = "") -> Any:
    """Words of an operand's tile; with all chunks of the rank `whole`."""
    found: Any = 1
    for rank in operand.ranks:
        found = found * (grid.extents[rank] if rank == whole else grid.tile(rank))
    return found
