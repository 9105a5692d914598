"""Who moves which tensor in a plan, and how much room its tiles take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fusemap.mappers.mapspace.flow import Flow
from fusemap.mappers.mapspace.grid import Floats, Grid
from fusemap.mappers.mapspace.options import Role, words
from fusemap.mappers.mapspace.plan import Plan, is_state
from fusemap.mappers.room import slices
from fusemap.mappers.types import EinsumSpace, distinct

Roles = Mapping[str, tuple[Role, ...]]


def roles_of(plan: Plan, flow: Flow) -> Roles:
    """How every Einsum and copy gets at its tensors.

    A tensor in the outer memory is written by its producer and read by the first Einsum of a group that needs it
    (of all groups, if it is held); the others find it in the buffer.
    """
    groups: dict[str, list[int]] = {}
    for g, part in enumerate(plan.parts):
        for space in part.spaces:
            for operand in space.operands:
                groups.setdefault(operand.tensor, []).append(g)
    made = {s.output.tensor: g for g, part in enumerate(plan.parts) for s in part.spaces}
    there: set[tuple[str, frozenset[str], int]] = set()
    found: dict[str, tuple[Role, ...]] = {}
    for g, part in enumerate(plan.parts):
        for space in part.spaces:
            roles: dict[str, Role] = {}
            for operand in sorted(space.operands, key=lambda o: o.is_output):
                tensor, at = operand.tensor, groups[operand.tensor]
                scope = -1 if tensor in plan.held else g
                key = (tensor, operand.ranks, scope)
                in_buffer = key in there or (made.get(tensor) == g and not operand.is_output)
                outer = tensor in plan.outside and (operand.is_output or not in_buffer)
                whole = tensor in plan.held and plan.chunk in operand.ranks
                whole = whole and not is_state(tensor, sorted(set(at)), plan.parts, plan.chunk, flow)
                there.add(key)
                before = roles.get(tensor)
                roles[tensor] = Role(
                    tensor=tensor,
                    outer=outer or (before is not None and before.outer),
                    whole=whole or (before is not None and before.whole),
                    alone=at.count(g) == 1 and tensor not in plan.held,
                )
            found[space.name] = tuple(roles.values())
    return found


def need_words(
    plan: Plan, order: Sequence[str], roles: Roles, streams: Mapping[str, Mapping[str, Floats]], grid: Grid, flow: Flow
) -> Floats:
    """Words that the buffer must hold at once, over all groups: tiles of the group, and what is held.

    In a group that is the last to read one held tensor and the first to make another, chunk by chunk, the room
    of the one passes to the other: all of the larger and a chunk of the smaller are there at once. A tile that
    is used again in the next iteration of the outer loops stays while the other groups run.
    """
    need: Any = np.zeros(grid.points)
    span = {t: _span(plan, t) for t in plan.held}
    twice = doubled(plan, flow)
    tiles_of: list[dict[str, Any]] = []
    stays = {t: _stays(plan, t, order, grid) for t in plan.outside}
    size = {t: _held(plan, t, roles, grid, twice) for t in span}
    for part in plan.parts:
        tiles: dict[str, Any] = {}
        for space in part.spaces:
            for tensor, tile in _tiles(space, roles[space.name], streams[space.name], grid, twice).items():
                tiles[tensor] = np.maximum(tiles.get(tensor, 0), tile)
        tiles_of.append(tiles)
    for g, part in enumerate(plan.parts):
        tiles = tiles_of[g]
        held = {t: size[t] for t, (first, last) in span.items() if first <= g <= last}
        loose = sum((w for t, w in tiles.items() if t not in held), np.zeros(1))
        for tensor in stays:
            here = tensor in held if tensor in span else False
            for h, others in enumerate(tiles_of):
                if h != g and tensor in others and tensor not in span:
                    loose = loose + others[tensor] * stays[tensor]
            if tensor in span and not here:
                loose = loose + size[tensor] * stays[tensor]
        cut = {r.tensor for rs in roles.values() for r in rs if r.whole} if part.looped else set()
        dying = [t for t in held if t in cut and span[t][1] == g > span[t][0]]
        born = [t for t in held if t in cut and span[t][0] == g < span[t][1]]
        through = sum((w for t, w in held.items() if t not in dying and t not in born), np.zeros(1))
        through = through + sum((held[t] * stays.get(t, 0) for t in (*dying, *born)), np.zeros(1))
        leaving, coming = ([held[t] * (1 - stays.get(t, 0)) for t in ts] for ts in (dying, born))
        passing = _passing(leaving, coming, grid, plan.chunk)
        need = np.maximum(need, loose + through + passing)
    return np.asarray(need)


def _passing(dying: Sequence[Any], born: Sequence[Any], grid: Grid, chunk: str) -> Any:
    """max over chunks of what is left of the one and there of the other."""
    old, new = sum(dying, np.zeros(1)), sum(born, np.zeros(1))
    chunks = grid.steps(chunk) if chunk else 1
    return np.maximum(old + new / chunks, old / chunks + new)


def _span(plan: Plan, tensor: str) -> tuple[int, int]:
    at = [g for g, part in enumerate(plan.parts) for s in part.spaces for o in s.operands if o.tensor == tensor]
    return min(at), max(at)


def _tiles(
    space: EinsumSpace, roles: Sequence[Role], streams: Mapping[str, Floats], grid: Grid, twice: frozenset[str]
) -> dict[str, Any]:
    """Words of the tensors of which the Einsum has a tile in the buffer."""
    found: dict[str, Any] = {}
    whole = {r.tensor for r in roles if r.whole}
    for operand in distinct(space.operands):
        if operand.tensor not in whole:
            room = 1 - streams.get(operand.tensor, 0)
            tile = words(operand, grid) * room * slices(space, operand, twice)
            found[operand.tensor] = found.get(operand.tensor, 0) + tile
    return found


def _held(plan: Plan, tensor: str, roles: Roles, grid: Grid, twice: frozenset[str]) -> Any:
    """Words of a held tensor: all of its chunks, or the slice that is left of a state."""
    found: Any = np.zeros(1)
    for space in plan.spaces:
        whole = any(r.tensor == tensor and r.whole for r in roles[space.name])
        own: Any = np.zeros(1)
        for operand in distinct(space.operands):
            if operand.tensor == tensor:
                tile = words(operand, grid, whole=plan.chunk if whole else "")
                own = own + tile * slices(space, operand, twice)
        found = np.maximum(found, own)
    return found


def doubled(plan: Plan, flow: Flow) -> frozenset[str]:
    """Tensors of which two successive tiles are in the buffer at once.

    An Einsum reads the old one after the new one was made: `PRM = exp(RM[m1] - RM[m1+1])`.
    """
    place = {s.name: i for i, s in enumerate(plan.spaces)}
    return frozenset(
        e.tensor
        for e in flow.edges
        if plan.chunk in e.carried or set(plan.outer) & e.carried
        if e.producer in place and place.get(e.consumer, -1) > place[e.producer]
    )


def _stays(plan: Plan, tensor: str, order: Sequence[str], grid: Grid) -> Any:
    """1 where the next iteration of the outer loops uses the same tile of a tensor from the outer memory again."""
    ranks = frozenset[str]().union(*(o.ranks for s in plan.spaces for o in s.operands if o.tensor == tensor))
    same: Any = np.zeros(grid.points)
    if len(plan.parts) == 1:
        return same
    inner = np.ones(grid.points, dtype=bool)  # all loops inside this one take a single step
    whole = plan.chunk not in ranks or np.asarray(grid.steps(plan.chunk) == 1) if plan.chunk else True
    if tensor in plan.held:
        whole = True
    for rank in reversed(order):
        steps = np.asarray(grid.steps(rank))
        if rank not in ranks:
            same = np.maximum(same, np.asarray(inner & (steps > 1) & whole, dtype=np.float64))
        inner = inner & (steps == 1)
    return same
