"""Our nest of one Einsum as an AccelForge mapping: a list of storage nodes, loops and a compute unit.

The two tools say reuse differently. Here a tensor stays where it is over loops that do not change it, if they are the
innermost above its level. There a storage node is filled again in every iteration of every loop above it, whether the
loop changes the tensor or not. So a node of the tensor is written above those loops, and the spatial loops, which
stand between levels here, above all temporal loops of the memory that feeds them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fusemap.diagnostics import input_error
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage
from fusemap.validation.accelforge.machine import compute_name, peer_name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A memory with the fanout below it: its own nodes, then spatial loops, then temporal loops."""

    memory: Storage
    spatial: tuple[Fanout, ...]


def peer_mapping(space: EinsumSpace, nest: EinsumMapping) -> str:
    """The text of `mapping.yaml` for one Einsum on its nest.

    A loop of bound b over a rank of which tiles of n are left has tile_shape n / b. InputError: reuse that needs a
    register to live longer than a tile of the memory above its fanout, which no tree of nodes says.
    """
    blocks = _blocks(level for level in nest.levels if not _is_passed(level))
    _refuse_other_registers(space, nest, blocks)
    extents = dict(space.ranks)
    outer = [o.tensor for o in space.operands if blocks[0].memory.keeps(o.tensor)]
    lines = ["mapping:", "  nodes:", *([f"  - {_storage(blocks[0].memory.memory, outer)}"] if outer else [])]
    for n, block in enumerate(blocks):
        for fanout in block.spatial:
            lines += [f"  - {_loop(loop, extents, fanout)}" for loop in fanout.loops if loop.bound > 1]
        inner = blocks[n + 1].memory if n + 1 < len(blocks) else None
        loops = [loop for loop in block.memory.loops if loop.bound > 1]
        kept = [] if inner is None else [o for o in space.operands if inner.keeps(o.tensor)]
        if n and inner is not None:
            _refuse_longer(space, blocks, n, kept)
        places = {o.tensor: _place(loops, o) for o in kept}
        for at in range(len(loops) + 1):
            here = [tensor for tensor, place in places.items() if place == at]
            if here and inner is not None:
                lines.append(f"  - {_storage(inner.memory, here)}")
            if at < len(loops):
                lines.append(f"  - {_loop(loops[at], extents, None)}")
    lines.append(f"  - !Compute {{einsum: {space.name}, component: {compute_name(nest.array, space.operators)}}}")
    return "\n".join(lines) + "\n"


def _blocks(levels: Iterable[Level]) -> list[_Block]:
    found: list[_Block] = []
    for level in levels:
        if isinstance(level, Storage):
            found.append(_Block(memory=level, spatial=()))
        else:
            found[-1] = _Block(memory=found[-1].memory, spatial=(*found[-1].spatial, level))
    return found


def _is_passed(level: Level) -> bool:
    """A memory that has no loops and keeps nothing."""
    return isinstance(level, Storage) and not level.loops and level.keep is not None and not level.keep


def _refuse_other_registers(space: EinsumSpace, nest: EinsumMapping, blocks: list[_Block]) -> None:
    """InputError where another array's registers hold something: they are on another branch there."""
    for block in blocks:
        array, _, kind = block.memory.memory.partition(".")
        if kind and array != nest.array:
            raise input_error(f"{space.name} on {nest.array} passes registers of {array}, which is another branch")


def _place(loops: list[Loop], operand: Operand) -> int:
    """How many of the loops stand above the operand's node: up to the innermost that changes it."""
    return max((n + 1 for n, loop in enumerate(loops) if loop.rank in operand.ranks), default=0)


def _refuse_longer(space: EinsumSpace, blocks: list[_Block], n: int, kept: list[Operand]) -> None:
    """InputError where an operand rests over all loops of a memory that does not hold it, and over more above."""
    for operand in kept:
        block = blocks[n]
        rests = not any(loop.rank in operand.ranks and loop.bound > 1 for loop in block.memory.loops)
        above = [loop for b in blocks[:n] for loop in b.memory.loops if loop.bound > 1]
        longer = bool(above) and above[-1].rank not in operand.ranks
        if rests and longer and (block.spatial or not block.memory.keeps(operand.tensor)):
            raise input_error(
                f"{space.name}: {operand.tensor} rests in {blocks[n + 1].memory.memory} over loops of "
                f"{blocks[n - 1].memory.memory}, which AccelForge's nodes cannot say"
            )


def _storage(memory: str, tensors: list[str]) -> str:
    return f"!Storage {{tensors: [{', '.join(sorted(set(tensors)))}], component: {peer_name(memory)}}}"


def _loop(loop: Loop, extents: dict[str, int], fanout: Fanout | None) -> str:
    extents[loop.rank] = math.ceil(extents[loop.rank] / loop.bound)
    shape = f"rank_variable: {loop.rank}, tile_shape: {extents[loop.rank]}"
    if fanout is None:
        return f"!Temporal {{{shape}}}"
    return f"!Spatial {{{shape}, name: {fanout.dim}, component: {peer_name(fanout.array)}}}"
