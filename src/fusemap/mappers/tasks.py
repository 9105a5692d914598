"""The tasks of one steady-state iteration: how long each Einsum holds its array, and who waits for whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from fusemap.archspec.types import Machine
from fusemap.diagnostics import did_you_mean, input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.modulo_handoff import Handoff, handoffs
from fusemap.mappers.modulo_types import Dependence, Task, TaskGraph
from fusemap.mappers.tasks_feed import with_feeds
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Loop, Mapping, Phase, Problem, Storage
from fusemap.mappers.units import units

FINEST = 1 << 20  # parts of a tick that a transfer may take; what is finer is rounded up


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Words of one tensor that an Einsum moves between the outermost memory and the chip, in all iterations."""

    einsum: str
    tensor: str
    words: float
    written: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one Einsum does in an iteration: `cycles` on `array`, once in `every` iterations (already shared out).

    `drain` cycles pass until a result that is reduced over the array has left it.
    """

    einsum: str
    array: str
    cycles: Fraction
    every: int = 1
    drain: int = 0


def tasks_of(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    *,
    phase: str | None = None,
    transfers: Iterable[Transfer] = (),
    drain: bool = True,
    feed: bool = False,
    one_tile: bool = False,
) -> TaskGraph:
    """One iteration of the loops that all Einsums of a recurrence share (of the phase, where there is none).

    Duration = temporal steps / iterations * cycles per point. An Einsum without one of these loops, such as a
    division after the last chunk, is given its share in every iteration, and waits for other tiles only. A value
    read n steps of a rank later comes n * (iterations inside that loop) later; with `one_tile` the loops inside
    are taken away, so that a tile goes through all steps before the next one. With `drain` a result that the
    array sums or compares across its own dimension reaches another array one cycle later per element of it; with
    `feed` so does a result that climbs from the foot of an array to all its rows.
    `transfers` occupy the outermost memory for words / bandwidth (exact up to 2^-20 cycles). InputError: no phase of
    that name, or an Einsum reads a result that is complete only after all iterations.
    """
    chosen = _phase(mapping, problem, phase)
    spaces = {name: problem.space(name) for name in chosen.einsums}
    nests = {name: mapping.nest(name) for name in spaces}
    recurrent = [name for name, space in spaces.items() if space.sequential] or list(spaces)
    loops = shared_loops([nests[name] for name in recurrent])
    pieces = [_piece(spaces[n], nests[n], machine, loops, drain) for n in spaces]
    moved = [_moved(t, loops, machine, {p.einsum: p.every for p in pieces}) for t in transfers if t.einsum in spaces]
    steps = {} if one_tile else _strides(loops)
    graph = task_graph(
        f"{problem.cascade}, {chosen.name}", pieces, handoffs(cascade), spaces, steps, [rank for _, rank, _ in loops]
    )
    graph = with_feeds(graph, problem, mapping, machine) if feed else graph
    return with_transfers(graph, moved, machine, loops=tuple((rank, bound) for _, rank, bound in loops))


def shared_loops(nests: Sequence[EinsumMapping]) -> tuple[tuple[str, str, int], ...]:
    """(memory, rank, bound) of the temporal loops that all nests have, outside in."""
    own = [
        [(n.memory, p.rank, p.bound) for n in nest.levels if isinstance(n, Storage) for p in n.loops] for nest in nests
    ]
    return tuple(loop for loop in own[0] if all(loop in other for other in own[1:]))


def task_graph(
    name: str,
    pieces: Sequence[Piece],
    passed: Iterable[Handoff],
    spaces: dict[str, EinsumSpace],
    strides: dict[str, int],
    ranks: Sequence[str],
) -> TaskGraph:
    """The graph of the pieces, its ticks fine enough for every duration.

    `ranks` are stepped from iteration to iteration, one step of a rank is `strides` iterations (default 1).
    """
    ticks = math.lcm(*(piece.cycles.denominator for piece in pieces))
    of = {piece.einsum: piece for piece in pieces}
    dependences = []
    for h in passed:
        if h.producer not in of or h.consumer not in of or of[h.producer].every > 1 or of[h.consumer].every > 1:
            continue
        _refuse_incomplete(h, spaces[h.producer], spaces[h.consumer], ranks)
        producer = of[h.producer]
        delay = producer.drain * ticks if producer.array != of[h.consumer].array else 0
        dependences.append(
            Dependence(
                producer=h.producer,
                consumer=h.consumer,
                tensor=h.tensor,
                latency=int(producer.cycles * ticks) + delay,
                delay=delay,
                distance=_distance(h, strides, ranks),
            )
        )
    tasks = tuple(Task(name=p.einsum, resource=p.array, duration=int(p.cycles * ticks), every=p.every) for p in pieces)
    notes = tuple(
        f"{p.einsum} runs once in {p.every:,} iterations and is given its share of each" for p in pieces if p.every > 1
    )
    return TaskGraph(name=name, tasks=tasks, dependences=tuple(dependences), ticks_per_cycle=ticks, notes=notes)


def with_transfers(
    graph: TaskGraph,
    moved: Sequence[tuple[Transfer, Fraction, int]],
    machine: Machine,
    *,
    loops: tuple[tuple[str, int], ...],
) -> TaskGraph:
    """The graph with a task on the outermost memory per tensor that is moved: (transfer, cycles, every)."""
    channel = machine.memories[0].name
    graph = _finer(graph, math.lcm(graph.ticks_per_cycle, *(cycles.denominator for _, cycles, _ in moved)))
    ticks, tasks, dependences = graph.ticks_per_cycle, list(graph.tasks), list(graph.dependences)
    for transfer, cycles, every in moved:
        name = f"{'store' if transfer.written else 'load'} {transfer.tensor}"
        while any(task.name == name for task in tasks):
            name += "'"
        duration = math.ceil(cycles * ticks)
        tasks.append(Task(name=name, resource=channel, duration=duration, every=every))
        if every > 1:
            continue
        ends = (transfer.einsum, name) if transfer.written else (name, transfer.einsum)
        latency = graph.task(transfer.einsum).duration if transfer.written else duration
        dependences.append(Dependence(producer=ends[0], consumer=ends[1], tensor=transfer.tensor, latency=latency))
    return TaskGraph(
        name=graph.name,
        tasks=tuple(tasks),
        dependences=tuple(dependences),
        ticks_per_cycle=ticks,
        loops=loops,
        notes=graph.notes,
    )


def _finer(graph: TaskGraph, ticks: int) -> TaskGraph:
    """The graph in that many ticks per cycle; in as many as `FINEST` allows where these are too fine."""
    factor = min(ticks // graph.ticks_per_cycle, FINEST)
    return replace(
        graph,
        ticks_per_cycle=graph.ticks_per_cycle * factor,
        tasks=tuple(replace(t, duration=t.duration * factor) for t in graph.tasks),
        dependences=tuple(replace(d, latency=d.latency * factor, delay=d.delay * factor) for d in graph.dependences),
    )


def _phase(mapping: Mapping, problem: Problem, name: str | None) -> Phase:
    """The phase of that name; by default the first with a recurrence, else the first."""
    phases = {phase.name: phase for phase in mapping.binding}
    if name is not None:
        if name not in phases:
            raise input_error(f'{mapping.dataflow} has no phase "{name}"', hint=did_you_mean(name, tuple(phases)))
        return phases[name]
    stepped = (p for p in phases.values() if any(problem.space(e).sequential for e in p.einsums))
    return next(stepped, mapping.binding[0])


def _piece(
    space: EinsumSpace, nest: EinsumMapping, machine: Machine, loops: Sequence[tuple[str, str, int]], drain: bool
) -> Piece:
    per_point = sum(unit.cycles for unit in units(machine, machine.array(nest.array), space))
    own = shared_loops([nest])
    across = [level.loops for level in nest.levels if isinstance(level, Fanout)]
    return Piece(
        einsum=space.name,
        array=nest.array,
        cycles=Fraction(nest.temporal_steps * per_point, math.prod(bound for _, _, bound in loops)),
        every=math.prod(bound for loop in loops if loop not in own for bound in loop[2:]),
        drain=sum(reduced_across(space, dim) for dim in across) if drain else 0,
    )


def reduced_across(space: EinsumSpace, loops: Sequence[Loop]) -> int:
    """Elements of an array dimension over which the Einsum reduces; 0 if it does not.

    >>> from fusemap.mappers.types import Operand
    >>> column = Operand(tensor="LM", label="LM", ranks=frozenset({"p"}), is_output=True)
    >>> lm = EinsumSpace(name="LM", ranks=(("m0", 256), ("p", 256)), operands=(column,), operators=("max",))
    >>> reduced_across(lm, [Loop(rank="m0", bound=256)]), reduced_across(lm, [Loop(rank="p", bound=256)])
    (256, 0)
    """
    bounds = [loop.bound for loop in loops if loop.rank not in space.output.ranks]
    return math.prod(bounds) if bounds else 0


def _strides(loops: Sequence[tuple[str, str, int]]) -> dict[str, int]:
    """Iterations from one step of a rank to the next: those inside its innermost loop."""
    return {rank: math.prod(bound for _, _, bound in loops[i + 1 :]) for i, (_, rank, _) in enumerate(loops)}


def _distance(handoff: Handoff, strides: dict[str, int], ranks: Sequence[str]) -> int:
    distance = sum(n * strides.get(rank, 1) for rank, n in handoff.steps if rank in ranks)
    if distance < 0:
        raise input_error(f"{handoff.consumer} reads {handoff.tensor} of a later iteration: run the loop backwards")
    return distance


def _refuse_incomplete(handoff: Handoff, producer: EinsumSpace, consumer: EinsumSpace, ranks: Sequence[str]) -> None:
    """InputError when the consumer steps a rank and reads what all steps of it make (a sum, or the last element)."""
    incomplete = handoff.whole | {rank for rank, _ in producer.ranks if rank not in producer.output.ranks}
    whole = [rank for rank in ranks if rank in incomplete and rank in dict(consumer.ranks)]
    if whole and handoff.consumer != handoff.producer:
        raise input_error(
            f"{consumer.name} reads {handoff.tensor}, which is complete only after all iterations over {whole[0]}",
            hint="they belong to two phases of the binding",
        )


def _moved(
    transfer: Transfer, loops: Sequence[tuple[str, str, int]], machine: Machine, every: dict[str, int]
) -> tuple[Transfer, Fraction, int]:
    bandwidth = machine.memories[0].bandwidth_bytes_per_s
    iterations = math.prod(bound for _, _, bound in loops)
    if bandwidth is None:
        return transfer, Fraction(0), every[transfer.einsum]
    seconds = Fraction(transfer.words) * machine.word_bytes / Fraction(bandwidth)
    return transfer, seconds * Fraction(machine.clock_hz) / iterations, every[transfer.einsum]
