"""One matrix product on a 2D array, cycle by cycle, with its result or one operand resting in the elements.

A tile that rests comes and goes on the upward links, which streaming operands leave free, a row a cycle: while one is
worked on, the next one comes (or the last one goes), so that a tile takes max(steps, rows) cycles.
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

import numpy as np

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.cycle_accesses import Accesses, accesses
from fusemap.sim.cycle_machine import Executed, execute
from fusemap.sim.cycle_motion import motion_of
from fusemap.sim.cycle_numbers import Floats, number_format
from fusemap.sim.cycle_product import Product, ranks_of
from fusemap.sim.cycle_tiles import Source
from fusemap.sim.cycle_types import (
    Fault,
    Program,
)
from fusemap.sim.fused_words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulRun:
    """A product that was executed: `tile` cycles from one resting tile to the next, of which `steps` compute.

    cycles = fill + tiles * tile + drain.
    """

    einsum: str
    rests: str
    cycles: int
    tiles: int
    steps: int
    tile: int
    fill: int
    drain: int
    registers: int
    depth: int
    utilization: float
    accesses: tuple[Accesses, ...]
    faults: tuple[Fault, ...]
    output: Floats
    program: Program


def run_matmul(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    einsum: str,
    inputs: AbstractMapping[str, Floats],
    *,
    number: str = "float64",
) -> MatmulRun:
    """Execute one Einsum of the cascade by itself, on given values of what it reads (batch ranks first).

    Which operand moves which way follows from its nest. InputError for anything but a sum of products of two
    tensors on a 2D array, or sums that are left unfinished when the resting tile changes.
    """
    words = Words(cascade, problem)
    motion = motion_of(words, problem, mapping, machine, einsum)
    plan = Product(
        motion=motion, words=words, source=Source(words, problem, inputs), outermost=machine.memories[0].name
    )
    program = plan.program(machine)
    executed = execute(program, plan.values, number=number_format(number))
    used = accesses(program, machine)
    array, tiles = executed.arrays[0], len(plan.groups)
    ends = plan.rest.start + tiles * plan.rest.interval
    return MatmulRun(
        einsum=einsum,
        rests=plan.rests,
        cycles=plan.end,
        tiles=tiles,
        steps=plan.rest.steps,
        tile=plan.rest.interval,
        fill=plan.rest.start,
        drain=plan.end - ends,
        registers=array.peak,
        depth=program.arrays[0].depth,
        utilization=array.busy / (array.rows * array.columns * plan.end),
        accesses=used,
        faults=(*executed.faults, *(fault for a in used for fault in a.faults())),
        output=output(plan, executed),
        program=program,
    )


def output(plan: Product, executed: Executed) -> Floats:
    """The result, put together from its tiles; NaN where nothing was written."""
    motion = plan.motion
    assert motion.rows is not None and motion.columns is not None
    written = motion.computation.writes
    found, batch = np.full(plan.words.shape(written.tensor), np.nan), len(plan.words.batch)
    ranks = ranks_of(written.access)
    turned = next(r for r in (*ranks, "") if r in (motion.rows.rank, motion.columns.rank, "")) != motion.rows.rank
    sizes = [motion.bound(r) for r in ranks]
    for name, word in plan.names.items():
        if name.tensor != written.tensor or name.part:
            continue
        where = [slice(n, n + 1) for n in name.at[:batch]]
        where += [slice(n * s, (n + 1) * s) for n, s in zip(name.at[batch:], sizes, strict=True)]
        piece = found[tuple(where)]
        rows = [executed.place(place) for (w, _), place in sorted(plan.places.items()) if w == word]
        if plan.resting is None:
            block = np.stack([row[: motion.columns.bound] for row in rows])
            piece[...] = (block.T if turned else block).reshape(piece.shape)
        else:
            piece[...] = rows[0][: piece.size].reshape(piece.shape)
    return found
