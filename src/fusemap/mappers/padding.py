"""Where an extent has no divisor that fills an array, and the next extent that has one."""

from __future__ import annotations

from fusemap.archspec.arithmetic import largest_divisor
from fusemap.archspec.decide import everywhere, largest, smallest
from fusemap.archspec.types import Machine
from fusemap.mappers.types import Fanout, Mapping, Problem


def padding_notes(problem: Problem, mapping: Mapping, machine: Machine) -> tuple[str, ...]:
    """A sentence for every rank that is spread over at most half of the dimension that it could fill.

    Tiles divide their rank exactly; a rank of extent n on a dimension of d elements is full at the next
    multiple of d. Where a divisor would fill more, a mapping that uses less does so for another reason.
    """
    found: dict[str, None] = {}
    for space in problem.spaces:
        extents = dict(space.ranks)
        for level in mapping.nest(space.name).levels:
            if not isinstance(level, Fanout):
                continue
            dim = machine.array(level.array).dim(level.dim).extent
            for loop in level.loops:
                extent = extents[loop.rank]
                # of many points at once a note is for all or for none: it is no number
                if everywhere(2 * largest(loop.bound, largest_divisor(extent, dim)) <= smallest(extent, dim)):
                    found[_sentence(loop.rank, extent, loop.bound, dim)] = None
    return tuple(found)


def _sentence(rank: str, extent: int, bound: int, dim: int) -> str:
    full = -(-extent // dim) * dim
    spread = f"{rank}: {extent:,} spreads over {bound:,} of {dim:,} lanes, as tiles divide their rank"
    return f"{spread}; {full:,} would fill them"
