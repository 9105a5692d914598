"""Room that Einsums which share loops take in a memory, group by group."""

from __future__ import annotations

import math

from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fusion, Mapping, Operand, Problem, Storage, distinct


def group_words(problem: Problem, mapping: Mapping, fusion: Fusion, memory: str) -> tuple[dict[str, float], ...]:
    """Words of each tensor that a memory holds at once, for every group of a fused phase.

    A group's Einsums have their tiles there together; tensors in `held` stay from the first group that touches
    them to the last. A group with a loop over chunks that is the last to touch some and the first to touch
    others gives chunk after chunk of their room away: the larger ones count whole, the others with one chunk.
    """
    own = [_tiles(problem, mapping, group.einsums, memory, fusion.twice) for group in fusion.groups]
    span = {t: [g for g, tiles in enumerate(own) if t in tiles] for t in fusion.held}
    size = {t: max(own[g][t] for g in at) for t, at in span.items() if at}
    found = []
    for g, group in enumerate(fusion.groups):
        words = {t: n for t, n in own[g].items() if t not in size}
        words |= {t: n for t, n in size.items() if span[t][0] <= g <= span[t][-1]}
        for tensor in {t for tiles in own for t in tiles} - {t for t in words if t in size}:
            if _stays(problem, mapping, fusion, tensor):  # of what is not held, every group has its own tile
                others = [size[tensor]] if tensor in size else [o.get(tensor, 0) for h, o in enumerate(own) if h != g]
                words[tensor] = words.get(tensor, 0) + sum(others)
        cut = {
            t
            for t in words
            if t in size and group.loops and _whole(problem, mapping, t, memory, group.loops[0].rank)
            if not _stays(problem, mapping, fusion, t)
        }
        dying = [t for t in cut if span[t][0] < span[t][-1] == g]
        born = [t for t in cut if g == span[t][0] < span[t][-1]]
        chunks = math.prod(loop.bound for loop in group.loops)
        less = born if sum(size[t] for t in dying) >= sum(size[t] for t in born) else dying
        words |= {t: size[t] / chunks for t in less} if dying and born else {}
        found.append(words)
    return tuple(found)


def _tiles(
    problem: Problem, mapping: Mapping, einsums: tuple[str, ...], memory: str, twice: frozenset[str]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for einsum in einsums:
        nest, own = mapping.nest(einsum), dict[str, float]()
        space = problem.space(einsum)
        for operand in distinct(space.operands):
            words = _words(nest, memory, operand) * slices(space, operand, twice)
            if words:
                own[operand.tensor] = own.get(operand.tensor, 0) + words
        for tensor, words in own.items():
            found[tensor] = max(found.get(tensor, 0), words)
    return found


def slices(space: EinsumSpace, operand: Operand, twice: frozenset[str]) -> int:
    """Tiles of an operand that are there at once: two if the Einsum reads `R[m]` and `R[m+1]`, or if in `twice`."""
    read = sum((o.tensor, o.ranks) == (operand.tensor, operand.ranks) for o in space.inputs)
    return max(1, read, 2 if operand.tensor in twice else 1)


def _words(nest: EinsumMapping, memory: str, operand: Operand) -> float:
    at = _keeper(nest, memory, operand.tensor)
    if at is None:
        return 0
    return math.prod(p.bound for lv in nest.levels[at:] for p in lv.loops if p.rank in operand.ranks)


def _keeper(nest: EinsumMapping, memory: str, tensor: str) -> int | None:
    """The outermost level of the memory that keeps the tensor."""
    for i, level in enumerate(nest.levels):
        if isinstance(level, Storage) and level.memory == memory and level.keeps(tensor):
            return i
    return None


def _whole(problem: Problem, mapping: Mapping, tensor: str, memory: str, chunk: str) -> bool:
    """Is the tensor kept over the loop of chunks by an Einsum that has it?"""
    for space in problem.spaces:
        if any(o.tensor == tensor and chunk in o.ranks for o in space.operands):
            nest = mapping.nest(space.name)
            at = _keeper(nest, memory, tensor)
            if at is not None and any(p.rank == chunk for p in nest.levels[at].loops):
                return True
    return False


def _stays(problem: Problem, mapping: Mapping, fusion: Fusion, tensor: str) -> bool:
    """Does the next iteration of the shared loops use the same tile of a tensor from the outer memory?"""
    einsums = [e for group in fusion.groups for e in group.einsums]
    ranks: set[str] = set()
    outside = False
    for einsum in einsums:
        operands = [o for o in problem.space(einsum).operands if o.tensor == tensor]
        ranks.update(r for o in operands for r in o.ranks)
        first = mapping.nest(einsum).levels[0]
        outside |= bool(operands) and isinstance(first, Storage) and first.keeps(tensor)
    chunked = any(p.rank in ranks for group in fusion.groups for p in group.loops)
    innermost = next((p.rank for p in reversed(fusion.loops) if p.bound > 1), None)
    same = innermost is not None and innermost not in ranks
    return outside and same and (not chunked or tensor in fusion.held)
