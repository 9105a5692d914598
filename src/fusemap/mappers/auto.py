"""A nest for one Einsum on its own, for cascades that a dataflow file does not spell out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from fusemap.archspec.arithmetic import largest_divisor
from fusemap.archspec.types import Array, Machine
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.source import cascade_source
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.search import divisors
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Storage
from fusemap.mappers.units import find_units, missing_operators

MAX_GRID = 20_000


def require_arrays(cascade: Cascade, spaces: Iterable[EinsumSpace], machine: Machine) -> None:
    """InputError for every Einsum of `spaces` that no array computes, with what each array lacks."""
    source = cascade_source(cascade)
    place = {str(einsum.name): einsum.output.span for einsum in cascade.einsums}
    errors = []
    for space in spaces:
        if any(find_units(array, space.operators) is not None for array in machine.arrays):
            continue
        needed = " and ".join(dict.fromkeys(space.operators))
        lacking = [f"{a.name} lacks {', '.join(missing_operators(a, space.operators))}" for a in machine.arrays]
        message = f"no array of {machine.name} computes {needed} of Einsum {space.name}"
        errors.append(source.diagnostic(place[space.name], message, "; ".join(lacking)))
    if errors:
        raise InputError(tuple(errors))


def single_einsum_nest(space: EinsumSpace, machine: Machine) -> tuple[EinsumMapping, str, tuple[str, ...]]:
    """A nest with every loop at the outermost memory, the memory to split with, and the ranks to split.

    The array is the one that takes the fewest cycles: every assignment of ranks to its dimensions is
    tried, each spread over its largest divisor that fits. Some array must have the operators (`require_arrays`).
    """
    array, spread = _best_array(space, machine)
    output = space.output.ranks
    outer = [r for r, _ in space.ranks if r in output] + [r for r, _ in space.ranks if r not in output]
    extent = dict(space.ranks)
    used = {rank: bound for rank, bound in spread}
    loops = tuple(Loop(rank=r, bound=extent[r] // used.get(r, 1)) for r in outer)
    touched = frozenset(o.tensor for o in space.operands)
    levels: list[Level] = [Storage(memory=machine.memories[0].name, loops=loops, keep=touched)]
    shared = [memory.name for memory in machine.memories if not memory.per]  # the nest uses no others
    levels += [Storage(memory=memory) for memory in shared[1:]]
    for dim, (rank, bound) in zip(array.dims, spread, strict=False):
        levels.append(Fanout(array=array.name, dim=dim.name, loops=(Loop(rank=rank, bound=bound),)))
    levels.append(Storage(memory=f"{array.name}.registers", keep=None))
    nest = EinsumMapping(einsum=space.name, array=array.name, levels=tuple(levels))
    return nest, shared[-1], _split_ranks(loops, space)


def _best_array(space: EinsumSpace, machine: Machine) -> tuple[Array, tuple[tuple[str, int], ...]]:
    best: tuple[float, Array, tuple[tuple[str, int], ...]] | None = None
    for array in machine.arrays:
        found = find_units(array, space.operators)
        if found is None:
            continue
        cycles = sum(unit.cycles for unit in found)
        spread = _best_spread(space, array)
        time = space.points * cycles / math.prod(bound for _, bound in spread)
        if best is None or time < best[0]:
            best = (time, array, spread)
    assert best is not None, space
    return best[1], best[2]


def _best_spread(space: EinsumSpace, array: Array) -> tuple[tuple[str, int], ...]:
    """Ranks on the array's dimensions with most lanes in use; output ranks first among equals, sequential ones not."""
    free = [item for item in space.ranks if item[0] not in space.sequential]
    ranks = sorted(free, key=lambda item: item[0] not in space.output.ranks)
    best: tuple[tuple[str, int], ...] = ()
    for chosen in itertools.permutations(ranks, min(len(array.dims), len(ranks))):
        spread = tuple(
            (rank, int(largest_divisor(extent, dim.extent)))
            for (rank, extent), dim in zip(chosen, array.dims, strict=False)
        )
        if not best or math.prod(b for _, b in spread) > math.prod(b for _, b in best):
            best = spread
    return best


def _split_ranks(loops: tuple[Loop, ...], space: EinsumSpace) -> tuple[str, ...]:
    """The longest loops that some operand does not share, as many as keep the search small."""
    everywhere = frozenset.intersection(*(o.ranks for o in space.operands))
    free = sorted((p for p in loops if p.bound > 1 and p.rank not in everywhere), key=lambda p: -p.bound)
    chosen: list[str] = []
    grid = 1
    for loop in free[:4]:
        grid *= len(divisors(loop.bound))
        if grid > MAX_GRID:
            break
        chosen.append(loop.rank)
    return tuple(p.rank for p in loops if p.rank in chosen)
