"""The loops that the Einsums of a phase share, and where each Einsum's own loops stand to them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fusemap.diagnostics import input_error
from fusemap.mappers.modulo_handoff import Handoff
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fusion, Storage
from fusemap.sim.tile_types import TileLoop


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A loop of one nest: the level that it stands in, and the shared loop that it is (None: inside an iteration)."""

    level: int
    rank: str
    bound: int
    shared: int | None


def shared_tile_loops(
    spaces: Sequence[EinsumSpace],
    nests: Sequence[EinsumMapping],
    passed: Iterable[Handoff],
    fusion: Fusion | None = None,
) -> tuple[TileLoop, ...]:
    """The outermost loops that all nests have, outside in: those of a recurrence where there is one.

    They end before a rank that is reduced by one Einsum and stepped by another that reads the result. Where two
    nests split a rank differently, the greatest common divisor of the bounds is shared. A phase of one Einsum is
    stepped by its loops over tiles of the outermost memory. A mapping that was searched says itself.
    """
    if fusion is not None and fusion.loops:
        return tuple(TileLoop(rank=p.rank, bound=p.bound) for p in fusion.loops if p.bound > 1)
    chosen = [nest for space, nest in zip(spaces, nests, strict=True) if space.sequential] or list(nests)
    if len(nests) == 1:
        first = nests[0].levels[0]
        return tuple(TileLoop(rank=p.rank, bound=p.bound) for p in first.loops if p.bound > 1)
    own, barriers = [_temporal(nest) for nest in chosen], _barriers(spaces, passed)
    found: list[TileLoop] = []
    for loops in zip(*own, strict=False):
        ranks, bounds = {rank for _, rank, _ in loops}, [bound for _, _, bound in loops]
        common = math.gcd(*bounds)
        if len(ranks) > 1 or common == 1 or ranks & barriers:
            break
        found.append(TileLoop(rank=loops[0][1], bound=common))
        if len(set(bounds)) > 1:
            break
    return tuple(found)


def own_loops(space: EinsumSpace, nest: EinsumMapping, shared: Sequence[TileLoop]) -> tuple[Own, ...]:
    """The temporal loops of a nest, the shared ones marked; one that is shared in part is split in two.

    InputError where the nest runs a shared rank in another order.
    """
    ranks = {rank for rank, _ in space.ranks}
    waiting = [(i, loop) for i, loop in enumerate(shared) if loop.rank in ranks]
    found: list[Own] = []
    for level, rank, bound in _temporal(nest):
        rest = bound
        if waiting and waiting[0][1].rank == rank and bound % waiting[0][1].bound == 0:
            number, loop = waiting.pop(0)
            found.append(Own(level=level, rank=rank, bound=loop.bound, shared=number))
            rest = bound // loop.bound
        if rest > 1:
            found.append(Own(level=level, rank=rank, bound=rest, shared=None))
    if waiting:
        missing = [loop for _, loop in waiting if not _lacks(space, nest, loop)]
        if missing:
            raise input_error(
                f"{space.name} does not run the loop over {missing[0].rank} ({missing[0].bound} steps) that its phase "
                "shares: no tiles of its own can be told apart"
            )
    return tuple(found)


def _barriers(spaces: Sequence[EinsumSpace], passed: Iterable[Handoff]) -> set[str]:
    """Ranks of which a result is complete only after all steps, while its reader steps them."""
    of = {space.name: space for space in spaces}
    found: set[str] = set()
    for h in passed:
        if h.producer in of and h.consumer in of and h.producer != h.consumer:
            made, steps = of[h.producer], {rank for rank, _ in of[h.consumer].ranks}
            found |= (h.whole | {rank for rank, _ in made.ranks} - made.output.ranks) & steps
    return found


def _lacks(space: EinsumSpace, nest: EinsumMapping, loop: TileLoop) -> bool:
    """True when nothing of the rank is left to step over: the Einsum has it whole or not at all."""
    return dict(space.ranks).get(loop.rank, 1) == 1


def _temporal(nest: EinsumMapping) -> list[tuple[int, str, int]]:
    return [
        (i, p.rank, p.bound)
        for i, level in enumerate(nest.levels)
        if isinstance(level, Storage)
        for p in level.loops
        if p.bound > 1
    ]
