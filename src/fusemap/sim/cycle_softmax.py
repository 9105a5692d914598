"""A softmax over lanes, row by row: reductions along the chain of neighbour links, their results back from its start.

Each lane reduces its own words first, then one partial result runs along the chain, one lane a cycle, and leaves at
the last lane; the reader takes it at the first lane, from where it moves along with the skew.
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.modulo_handoff import handoffs
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.cycle_accesses import Accesses, accesses
from fusemap.sim.cycle_machine import execute
from fusemap.sim.cycle_micro import micros
from fusemap.sim.cycle_motion import motion_of
from fusemap.sim.cycle_numbers import Floats, number_format
from fusemap.sim.cycle_rows import Rows
from fusemap.sim.cycle_tiles import Source, gathered, places_of
from fusemap.sim.cycle_types import (
    Fault,
    Program,
)
from fusemap.sim.fused_words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftmaxRun:
    """Einsums of one array of lanes, row after row: `row` cycles each, of which `published` count no chain.

    cycles = fill + rows * row + drain, where the fill is the time that the first row takes longer than `row`.
    """

    cycles: int
    rows: int
    row: int
    published: int
    fill: int
    drain: int
    registers: int
    depth: int
    accesses: tuple[Accesses, ...]
    faults: tuple[Fault, ...]
    outputs: AbstractMapping[str, Floats]
    program: Program


def run_softmax(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    array: str,
    inputs: AbstractMapping[str, Floats],
    *,
    number: str = "float64",
) -> SoftmaxRun:
    """Execute all Einsums of the cascade that are on one array of lanes, on given values of what they read.

    Rows are overlapped so that the lanes never wait for the chain. InputError for a nest that no rule covers.
    """
    words = Words(cascade, problem)
    names = [s.name for s in problem.spaces if mapping.nest(s.name).array == array]
    motions = {name: motion_of(words, problem, mapping, machine, name) for name in names}
    plan = Rows(
        words=words,
        motions=motions,
        ops={name: micros(motion, machine) for name, motion in motions.items()},
        source=Source(words, problem, inputs),
        needs=[(h.producer, h.consumer) for h in handoffs(cascade) if h.producer in motions and h.consumer in motions],
        outermost=machine.memories[0].name,
    )
    program = plan.program()
    executed = execute(program, plan.values, number=number_format(number))
    used = accesses(program, machine)
    published = sum(plan.steps[name].count // plan.rows * len(plan.ops[name]) for name in names)
    cycles = plan.end - min(plan.starts.values())
    row_end = max(plan.starts[n] + plan.length(n) for n in names)
    return SoftmaxRun(
        cycles=cycles,
        rows=plan.rows,
        row=plan.interval,
        published=published,
        fill=row_end - plan.interval,
        drain=cycles - row_end - (plan.rows - 1) * plan.interval,
        registers=executed.arrays[0].peak,
        depth=program.arrays[0].depth,
        accesses=used,
        faults=(*executed.faults, *(fault for a in used for fault in a.faults())),
        outputs={
            name: gathered(words, motions[name], places_of(program, plan.places, name), executed.memory)
            for name in names
            if motions[name].leaves == "stay"
        },
        program=program,
    )
