"""From the points that a search found to a problem and a mapping with plain numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.mappers.mapspace.fit import doubled, roles_of
from fusemap.mappers.mapspace.flow import Flow
from fusemap.mappers.mapspace.front import Point
from fusemap.mappers.mapspace.grid import Grid, extents_of
from fusemap.mappers.mapspace.options import nest_of
from fusemap.mappers.types import (
    EinsumMapping,
    EinsumSpace,
    Fusion,
    Group,
    Loop,
    Mapping,
    Phase,
    Problem,
    Stage,
    Storage,
)

NAME = "searched"


def settled(
    problem: Problem, flow: Flow, machine: Machine, points: Sequence[Point], *, name: str = NAME
) -> tuple[Problem, Mapping]:
    """The problem with the copies that the points compute again, and the mapping that they stand for."""
    spaces: list[EinsumSpace] = []
    nests: list[EinsumMapping] = []
    phases: list[Phase] = []
    notes: list[str] = []
    for point in points:
        own = _nests(point, flow, machine)
        spaces += point.plan.spaces
        nests += own.values()
        title = ", ".join(own)
        phases.append(_phase(title, point, own, flow))
        notes += _notes(title, point)
    tiles = tuple((f"{r}{f'.{i}' if len(points) > 1 else ''}", t) for i, p in enumerate(points) for r, t in p.tiles)
    mapping = Mapping(
        dataflow=name,
        einsums=tuple(nests),
        binding=tuple(phases),
        tiles=tiles,
        notes=tuple(notes),
        fusion=tuple(_fusion(point, flow) for point in points),
    )
    return dataclasses.replace(problem, spaces=tuple(spaces)), mapping


def _nests(point: Point, flow: Flow, machine: Machine) -> dict[str, EinsumMapping]:
    """The nests of a segment, in numbers."""
    plan = point.plan
    roles, recipes, streamed = roles_of(plan, flow), dict(point.recipes), dict(point.streamed)
    tiles = {rank: np.array([float(size)]) for rank, size in point.tiles}
    grid = Grid(tiles=tiles, extents=extents_of(plan), points=1)
    found = {}
    for space in plan.spaces:
        nest = nest_of(
            space, roles[space.name], point.order, plan.chunk, recipes[space.name], grid, machine, streamed[space.name]
        )
        levels = tuple(
            dataclasses.replace(level, loops=tuple(_whole(loop) for loop in level.loops if _bound(loop) > 1))
            for level in nest.levels
        )
        found[space.name] = dataclasses.replace(nest, levels=levels)
    return found


def _bound(loop: Loop) -> int:
    return int(np.asarray(loop.bound).reshape(-1)[0])


def _whole(loop: Loop) -> Loop:
    return Loop(rank=loop.rank, bound=_bound(loop))


def _phase(name: str, point: Point, nests: dict[str, EinsumMapping], flow: Flow) -> Phase:
    """All Einsums at once where they overlap, else one after another; a recurrence reads an earlier iteration's."""
    if not point.pipelined and len(nests) > 1:
        alone = tuple(Stage(name=n, work=((nest.array, (n,)),)) for n, nest in nests.items())
        return Phase(name=name, stages=alone, pipelined=bool(flow.carried(nests)))
    work: dict[str, list[str]] = {}
    for n, nest in nests.items():
        work.setdefault(nest.array, []).append(n)
    stage = Stage(name="all", work=tuple((array, tuple(names)) for array, names in work.items()))
    return Phase(name=name, stages=(stage,), pipelined=len(nests) > 1)


def _fusion(point: Point, flow: Flow) -> Fusion:
    plan, tiles = point.plan, dict(point.tiles)
    extents = extents_of(plan)

    def loop(rank: str) -> tuple[Loop, ...]:
        bound = extents[rank] // tiles[rank]
        return (Loop(rank=rank, bound=bound),) if bound > 1 else ()

    groups = tuple(
        Group(loops=loop(plan.chunk) if part.looped else (), einsums=tuple(s.name for s in part.spaces))
        for part in plan.parts
    )
    return Fusion(
        loops=tuple(p for r in point.order for p in loop(r)), groups=groups, held=plan.held, twice=doubled(plan, flow)
    )


def _notes(title: str, point: Point) -> list[str]:
    if not point.pipelined or len(point.plan.spaces) == 1:
        return []
    extents, tiles = extents_of(point.plan), dict(point.tiles)
    steps = 1
    for rank in point.plan.outer:
        steps *= extents[rank] // tiles[rank]
    chunks = extents[point.plan.chunk] // tiles[point.plan.chunk] if point.plan.chunk else 1
    once = sum(part.looped for part in point.plan.parts) == 1
    rounds = steps * (chunks if once else 1)
    depth = len(point.plan.spaces) - 1
    share = 100 * depth / rounds
    return [
        f"{title}: overlapped over {rounds:,} iterations; filling and draining the pipeline is not charged "
        f"(at most {share:.2g} % more time)"
    ]


def levels_text(nest: EinsumMapping) -> str:
    """A nest in one line, outside in.

    >>> dram = Storage(memory="dram", loops=(Loop(rank="m", bound=4),))
    >>> levels_text(EinsumMapping(einsum="Z", array="a", levels=(dram,)))
    'dram[m 4]'
    """
    parts = []
    for level in nest.levels:
        where = level.memory if isinstance(level, Storage) else f"{level.array}.{level.dim}"
        loops = " ".join(f"{p.rank} {p.bound}" for p in level.loops)
        if loops or (isinstance(level, Storage) and level.keep):
            parts.append(f"{where}[{loops}]" if isinstance(level, Storage) else f"{where}<{loops}>")
    return " ".join(parts)
