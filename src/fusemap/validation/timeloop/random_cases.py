"""Random Einsums with random legal nests, from a seed: every level, bypass, fanout and loop order may occur."""

from __future__ import annotations

import math
from random import Random

from fusemap.archspec.types import Machine
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Operand, Storage
from fusemap.sim.reuse import tiles

_RANKS = "bmnkpe"
_FACTORS = (1, 2, 2, 3, 4)


def random_case(seed: int, machine: Machine) -> tuple[EinsumSpace, EinsumMapping]:
    """An Einsum of two or three inputs and a nest that the machine's memories and arrays have room for."""
    draw = Random(seed)
    array = machine.arrays[draw.randrange(len(machine.arrays))].name
    while True:
        operands, ranks = _operands(draw)
        levels = _levels(draw, machine, array, ranks, operands)
        if _fits(levels, operands, machine):
            break
    extents = {rank: math.prod(p.bound for lv in levels for p in lv.loops if p.rank == rank) for rank in ranks}
    reduced = set(ranks) - operands[-1].ranks
    space = EinsumSpace(
        name=f"R{seed}",
        ranks=tuple(extents.items()),
        operands=operands,
        operators=("mul", "sum") if reduced else ("mul",),
    )
    return space, EinsumMapping(einsum=space.name, array=array, levels=levels)


def _operands(draw: Random) -> tuple[tuple[Operand, ...], list[str]]:
    """Inputs and, last, the output; every rank indexes at least one of the inputs."""
    ranks = draw.sample(_RANKS, draw.choice((2, 3, 3, 4)))
    inputs = []
    for _ in range(draw.choice((2, 2, 3))):
        inputs.append(frozenset(rank for rank in ranks if draw.random() < 0.65))
    for rank in ranks:
        if not any(rank in found for found in inputs):
            at = draw.randrange(len(inputs))
            inputs[at] |= {rank}
    output = frozenset(rank for rank in ranks if draw.random() < 0.65)
    operands = [Operand(tensor=t, label=t, ranks=r, is_output=False) for t, r in zip("ABC", inputs, strict=False)]
    return (*operands, Operand(tensor="Z", label="Z", ranks=output, is_output=True)), ranks


def _levels(
    draw: Random, machine: Machine, array: str, ranks: list[str], operands: tuple[Operand, ...]
) -> tuple[Level, ...]:
    tensors = [operand.tensor for operand in operands]
    levels: list[Level] = []
    memories = [machine.memories[0].name, *(m.name for m in machine.memories[1:] if draw.random() < 0.7)]
    other = [f"{a.name}.registers" for a in machine.arrays if a.name != array and draw.random() < 0.3]
    for memory in (*memories, *other):
        levels.append(Storage(memory=memory, loops=_loops(draw, ranks, 3), keep=_kept(draw, tensors)))
    dims = list(machine.array(array).dims)
    draw.shuffle(dims)
    for dim in dims:
        if draw.random() < 0.7:
            loops = _loops(draw, ranks, 1 if draw.random() < 0.7 else 2)
            if math.prod(loop.bound for loop in loops) <= dim.extent:
                levels.append(Fanout(array=array, dim=dim.name, loops=loops))
    kept = None if draw.random() < 0.6 else _kept(draw, tensors)
    levels.append(Storage(memory=f"{array}.registers", loops=_loops(draw, ranks, 2), keep=kept))
    return _with_homes(levels, tensors)


def _loops(draw: Random, ranks: list[str], most: int) -> tuple[Loop, ...]:
    """Loops in any order, over ranks that may occur again in another level."""
    chosen = draw.sample(ranks, min(len(ranks), draw.randint(0, most)))
    return tuple(Loop(rank=rank, bound=draw.choice(_FACTORS)) for rank in chosen)


def _kept(draw: Random, tensors: list[str]) -> frozenset[str]:
    return frozenset(tensor for tensor in tensors if draw.random() < 0.65)


def _with_homes(levels: list[Level], tensors: list[str]) -> tuple[Level, ...]:
    """The levels; what none of them keeps is kept by the outermost."""
    homeless = {t for t in tensors if not any(isinstance(lv, Storage) and lv.keeps(t) for lv in levels)}
    first = levels[0]
    assert isinstance(first, Storage) and first.keep is not None
    return (Storage(memory=first.memory, loops=first.loops, keep=first.keep | homeless), *levels[1:])


def _fits(levels: tuple[Level, ...], operands: tuple[Operand, ...], machine: Machine) -> bool:
    room = {f"{a.name}.registers": a.registers.depth_words for a in machine.arrays}
    room |= {m.name: m.capacity_bytes // machine.word_bytes for m in machine.memories if m.capacity_bytes is not None}
    for i, level in enumerate(levels):
        if isinstance(level, Storage) and level.memory in room:
            need = sum(tiles(levels, operand)[i] for operand in operands if level.keeps(operand.tensor))
            if need > room[level.memory]:
                return False
    return True
