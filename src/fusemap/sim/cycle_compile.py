"""A mapped cascade compiled for the cycle level: motions, timetable, program, and the values it starts from."""

from __future__ import annotations

import math
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.modulo_types import TaskGraph
from fusemap.mappers.modulo_units import streams_of
from fusemap.mappers.tasks import shared_loops, tasks_of
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.cycle_draft import drafts
from fusemap.sim.cycle_motion import Motion, motion_of
from fusemap.sim.cycle_numbers import Floats
from fusemap.sim.cycle_program import Shape, assemble
from fusemap.sim.cycle_stages import Wait, in_order
from fusemap.sim.cycle_tiles import Source, Steps
from fusemap.sim.cycle_times import Division, Order, Timetable, laid_out, recurrent, steady
from fusemap.sim.cycle_types import Program
from fusemap.sim.fused_words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A mapped cascade ready to run: the program, its timetable, and the values that are there from the start."""

    words: Words
    motions: tuple[tuple[str, Motion], ...]
    loops: tuple[tuple[str, str, int], ...]
    timetable: Timetable
    program: Program
    places: tuple[tuple[int, int], ...]
    values: AbstractMapping[int, Floats]
    waits: tuple[Wait, ...] = ()


def random_inputs(problem: Problem, cascade: Cascade, seed: int = 0) -> dict[str, Floats]:
    """Standard normal values for every input, batch ranks first."""
    words = Words(cascade, problem)
    made = {space.name for space in problem.spaces}
    names = {words.source(o.tensor) for space in problem.spaces for o in space.inputs} - made
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(words.shape(name)) for name in sorted(names)}


def compile_cascade(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    inputs: AbstractMapping[str, ArrayLike],
    *,
    order: Order = "interleaved",
    graph: TaskGraph | None = None,
) -> Compiled:
    """Motions, timetable and program of a mapped cascade.

    `graph` replaces the task graph that the timetable is made from (default: that of `tasks_of` with drain and feed).
    """
    words = Words(cascade, problem)
    einsums = [space.name for space in problem.spaces]
    motions = {name: motion_of(words, problem, mapping, machine, name) for name in einsums}
    graph = tasks_of(cascade, problem, mapping, machine, feed=True) if graph is None else graph
    stepped = [mapping.nest(s.name) for s in problem.spaces if s.sequential] or [mapping.nest(n) for n in einsums]
    loops = shared_loops(stepped)
    iterations = math.prod(bound for *_, bound in loops)
    steps = {name: Steps(motion=motion, shared=loops) for name, motion in motions.items()}
    body = recurrent(graph, machine)
    placed = {name: mapping.nest(name).array for name in einsums}
    divisions = [_division(steps[t.name], t.resource, problem, loops) for t in graph.tasks if t.every > 1]
    waits: tuple[Wait, ...] = ()
    if order == "stages":
        passings = streams_of(body, cascade, problem, mapping, machine)[1]
        times, waits = in_order(body, mapping.binding[0].stages, passings, divisions, iterations)
    else:
        cycles, interval = steady(body, cascade, problem, mapping, machine, order)
        times = laid_out(cycles, interval, iterations, placed, divisions, order, _leads(body, divisions))
    source = Source(words, problem, inputs)
    arrays = [a for a in machine.arrays if a.name in placed.values()]
    book = drafts(words, motions, [a.name for a in arrays], loops, machine, times, source)
    shapes = [
        Shape(
            name=a.name,
            rows=_used(motions, a.name, 0),
            columns=_used(motions, a.name, 1),
            depth=a.registers.depth_words,
        )
        for a in arrays
    ]
    program, places = assemble(book, shapes, machine.memories[0].name, iterations)
    return Compiled(
        words=words,
        motions=tuple(motions.items()),
        loops=loops,
        timetable=times,
        program=program,
        places=tuple(places.items()),
        values=book.vectors,
        waits=waits,
    )


def _leads(graph: TaskGraph, divisions: Sequence[Division]) -> dict[str, int]:
    """How long the results of each array travel, at least, to one that divides."""
    arrays = {t.name: t.resource for t in graph.tasks}
    found: dict[str, int] = {}
    for d in graph.dependences:
        here, there = arrays[d.producer], arrays[d.consumer]
        if here != there and any(division.array == there for division in divisions):
            found[here] = min(found.get(here, d.delay), d.delay)
    return found


def _used(motions: AbstractMapping[str, Motion], array: str, side: int) -> int:
    """Rows or columns that any Einsum uses."""
    sides = [(m.rows, m.columns)[side] for m in motions.values() if m.array.name == array]
    return max(1 if loop is None else loop.bound for loop in sides)


def _division(steps: Steps, array: str, problem: Problem, loops: Sequence[tuple[str, str, int]]) -> Division:
    """An Einsum without some of the loops: run k follows the last iteration of these, of the tile that it finishes."""
    missing = [loop for loop in loops if loop not in steps.motion.steps]
    iterations = math.prod(bound for *_, bound in loops)
    after: dict[int, int] = {}
    for i in range(iterations):
        digits = np.unravel_index(i, [bound for *_, bound in loops])
        if all(d == loop[2] - 1 for d, loop in zip(digits, loops, strict=True) if loop in missing):
            after[len(after)] = i
    made = {space.name for space in problem.spaces}
    read = [e.touch.tensor for e in steps.motion.entrances if e.touch.tensor in made]
    if not read:
        raise input_error(f"{steps.motion.space.name} follows no Einsum")
    return Division(
        einsum=steps.motion.space.name,
        array=array,
        every=steps.every,
        steps=steps.count,
        after=tuple(tuple((tensor, i) for tensor in read) for i in after.values()),
    )
