"""The nests that Einsums take at the points of a dataflow's choices: each different one is made once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fusemap.archspec.expressions import Expression
from fusemap.archspec.types import Machine
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.bind import map_einsum
from fusemap.mappers.choices import ChoiceSpace
from fusemap.mappers.choices_grid import Grid, Indices, Numbers, distinct_rows
from fusemap.mappers.dataflow import Dataflow, EinsumModel
from fusemap.mappers.search import SplitCost
from fusemap.mappers.types import EinsumMapping, Problem, Spill


@dataclass(frozen=True, slots=True, kw_only=True)
class Variants:
    """The different nests of one Einsum, spills apart; `which` is the nest at each point.

    `spills[i]` is what nest i may spill, `spilled` the fraction at each point; arrays of size 1 hold for all points.
    """

    einsum: str
    nests: tuple[EinsumMapping, ...]
    which: Indices
    spills: tuple[Spill | None, ...]
    spilled: Numbers

    def nest(self, variant: int, fraction: float) -> EinsumMapping:
        """A nest that spills this fraction."""
        spill = self.spills[variant]
        found = () if spill is None else (dataclasses.replace(spill, fraction=fraction),)
        return dataclasses.replace(self.nests[variant], spills=found)


def is_separable(space: ChoiceSpace, cascade: Cascade, dataflow: Dataflow, problem: Problem) -> bool:
    """True when choices change nothing but the nests of the dataflow's own Einsums and what these spill.

    Not so where they reach a size of the cascade, a stall or what a memory needs, or where Einsums are searched for.
    """
    model = dataflow.model
    shapes = {str(shape) for shape in scope.known_shapes(cascade)}
    if {s.name for s in problem.spaces} - set(model.einsums) or any(e.search for e in model.einsums.values()):
        return False
    if any(name in shapes for choice in space.choices for name in choice.sets):
        return False
    stalls = [s.factor for phase in model.binding for stage in phase.stages for s in stage.stalls]
    shared = [*stalls, *(need.bytes for need in model.needs), *(e for n, e in model.tiles.items() if n in shapes)]
    return not any(space.varies(expression) for expression in shared)


def variants(
    grid: Grid, einsum: str, cascade: Cascade, problem: Problem, machine: Machine, dataflow: Dataflow, cost: SplitCost
) -> Variants:
    """The nests of one Einsum at all points of the grid; InputError as in `map_cascade`."""
    model = dataflow.model.einsums[einsum]
    ranks = {rank for rank, _ in problem.space(einsum).ranks}
    columns = [grid.values(e) for e in _expressions(dataflow, model, ranks)]
    first, which = distinct_rows([column for column in columns if column.size > 1])

    def made(index: int) -> EinsumMapping:
        names = grid.space.names(grid.point(index))
        return map_einsum(einsum, cascade, problem, machine, dataflow, names=names, cost=cost)

    found = [made(int(index)) for index in first]
    spilled = np.zeros(1) if model.spill is None else grid.values(model.spill.fraction)
    wrong = np.flatnonzero((spilled < 0) | (spilled > 1))
    if wrong.size:
        made(int(wrong[0]))  # its InputError says where the fraction stands
    return Variants(
        einsum=einsum,
        nests=tuple(dataclasses.replace(nest, spills=()) for nest in found),
        which=which,
        spills=tuple(nest.spills[0] if nest.spills else None for nest in found),
        spilled=spilled,
    )


def _expressions(dataflow: Dataflow, model: EinsumModel, ranks: set[str]) -> Iterator[Expression]:
    """Everything that the levels, loops and keep sets of an Einsum are computed from."""
    uses = [model.nest] if isinstance(model.nest, str) else [choice.use for choice in model.nest]
    if not isinstance(model.nest, str):
        yield from (choice.when for choice in model.nest if choice.when is not None)
    for items in model.keep.values():
        for item in items:
            if not isinstance(item, str):
                yield from item.values()
    for use in uses:
        for level in dataflow.model.nests[use].levels:
            for loop in level.loops:
                yield from (bound for rank, bound in loop.items() if rank in ranks)
