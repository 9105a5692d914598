"""From tile tasks to unit steps: which values have nowhere to wait, and the proof that a pattern keeps the interval."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.interleave import Interleaving, Passing, Stream
from fusemap.mappers.modulo_handoff import handoffs
from fusemap.mappers.modulo_types import Dependence, Schedule, Task, TaskGraph, busy_ticks
from fusemap.mappers.tasks import shared_loops
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Mapping, Problem, Storage
from fusemap.mappers.units import units


def streams_of(
    graph: TaskGraph, cascade: Cascade, problem: Problem, mapping: Mapping, machine: Machine
) -> tuple[tuple[Stream, ...], tuple[Passing, ...]]:
    """The tasks of `tasks_of` as streams of unit steps, and the words that pass between them without a memory.

    A stream delivers a word in every step when its innermost loop indexes its result. Two such streams over the
    same rank pass words on when neither keeps the tensor in a memory of the machine. A task that is given its
    share of an iteration takes whole cycles here, rounded up.
    """
    arrays = {array.name for array in machine.arrays}
    tasks = [t for t in graph.tasks if t.resource in arrays]
    streams = tuple(_stream(t, graph, problem.space(t.name), machine) for t in tasks)
    several = [t.name for t, s in zip(tasks, streams, strict=True) if t.every == 1 and s.steps > 1]
    rank = {name: delivered_rank(problem.space(name), mapping.nest(name)) for name in several}
    memories = {memory.name for memory in machine.memories}
    passings = []
    for h in handoffs(cascade):
        same = rank.get(h.producer) is not None and rank.get(h.producer) == rank.get(h.consumer)
        kept = any(_keeps(mapping.nest(e), h.tensor, memories) for e in (h.producer, h.consumer))
        if same and not kept and not any(n for _, n in h.steps):
            passings.append(Passing(producer=h.producer, consumer=h.consumer))
    return streams, tuple(dict.fromkeys(passings))


def delivered_rank(space: EinsumSpace, nest: EinsumMapping) -> str | None:
    """The rank of the innermost temporal loop if every step of it delivers a word; None for a reduction or no loop."""
    inner = [rank for _, rank, bound in shared_loops([nest]) if bound > 1]
    return inner[-1] if inner and inner[-1] in space.output.ranks else None


def unit_schedule(pattern: Interleaving, graph: TaskGraph) -> Schedule:
    """The pattern as a modulo schedule of unit steps: its period as the interval, all dependences of the graph kept.

    A step of stream S is task `S[n]`. Words of a passing are taken in the cycle that the pattern says, so that no
    more wait than it states; other results are complete before their reader's first step. InputError when the
    pattern contradicts a dependence.
    """
    at = _cycles(pattern, graph)
    tasks = tuple(
        Task(name=f"{s.name}[{n}]", resource=s.resource, duration=1) for s in pattern.streams for n in range(s.work)
    )
    dependences = _unit_dependences(pattern, graph)
    steps = TaskGraph(name=f"{graph.name}, unit steps", tasks=tasks, dependences=dependences, loops=graph.loops)
    start = _staged(pattern, graph, steps, at)
    ends = [start[t.name] + 1 for t in tasks]
    bounds = busy_ticks(tasks)
    return Schedule(
        graph=steps,
        interval=pattern.period,
        starts=tuple((t.name, start[t.name]) for t in tasks),
        resource_bounds=tuple(bounds.items()),
        recurrence=None,
        proven=max(bounds.values()),
        span=max(ends),
        span_bound=0,
        nodes=0,
    )


def waiting_words(schedule: Schedule, pattern: Interleaving, graph: TaskGraph) -> int:
    """Peak number of words of the passings that have arrived and are not taken yet, counted on laid-out iterations."""
    start = schedule.start
    cycles = {s.name: s.cycles for s in pattern.streams}
    rounds = 2 * schedule.stages + 2
    waiting: dict[int, int] = {}
    for p in pattern.passings:
        steps = next(s.steps for s in pattern.streams if s.name == p.producer)
        for n in range(steps):
            made = start[f"{p.producer}[{(n + 1) * cycles[p.producer] - 1}]"] + 1 + _delay(p, graph)
            taken = start[f"{p.consumer}[{n * cycles[p.consumer]}]"]
            for i in range(rounds):
                for cycle in range(made + i * schedule.interval, taken + i * schedule.interval):
                    waiting[cycle] = waiting.get(cycle, 0) + 1
    return max(waiting.values(), default=0)


def _stream(task: Task, graph: TaskGraph, space: EinsumSpace, machine: Machine) -> Stream:
    cycles = sum(unit.cycles for unit in units(machine, machine.array(task.resource), space))
    steps = -(-task.duration // (graph.ticks_per_cycle * cycles))
    return Stream(name=task.name, resource=task.resource, steps=steps, cycles=cycles)


def _keeps(nest: EinsumMapping, tensor: str, memories: set[str]) -> bool:
    levels = (level for level in nest.levels if isinstance(level, Storage) and level.memory in memories)
    return any(level.keeps(tensor) for level in levels)


def _delay(passing: Passing, graph: TaskGraph) -> int:
    """Whole cycles that a word needs from array to array."""
    found = (d for d in graph.dependences if (d.producer, d.consumer) == (passing.producer, passing.consumer))
    return max((d.delay // graph.ticks_per_cycle for d in found), default=0)


def _cycles(pattern: Interleaving, graph: TaskGraph) -> dict[str, int]:
    """The cycle within the period of each unit step; arrays that send words start as much earlier as these travel."""
    early = _early(pattern, graph)
    leads = pattern.leads
    at: dict[str, int] = {}
    for name, slots in pattern.slots:
        seen: dict[str, int] = {}
        for cycle, stream in enumerate(slots):
            if stream is None:
                continue
            of = next(s for s in pattern.streams if s.name == stream)
            ahead = leads[stream][1] * of.cycles if stream in leads else 0
            step = (seen.get(stream, 0) + ahead) % of.work
            seen[stream] = seen.get(stream, 0) + 1
            at[f"{stream}[{step}]"] = (cycle - early.get(name, 0)) % pattern.period
    return at


def _early(pattern: Interleaving, graph: TaskGraph) -> dict[str, int]:
    """Cycles by which each array runs before those that take its words in the next cycle of the pattern."""
    resource = {s.name: s.resource for s in pattern.streams}
    hops = [(resource[p.producer], resource[p.consumer], _delay(p, graph)) for p in pattern.passings]
    early = dict.fromkeys(resource.values(), 0)
    for _ in hops:
        for sender, taker, delay in hops:
            early[sender] = max(early[sender], early[taker] + delay) if sender != taker else early[sender]
    for sender, taker, delay in hops:
        if early[sender] - early[taker] != delay:
            raise input_error(f"words from {sender} to {taker} take {delay} cycles: no one pattern fits all of them")
    return early


def _unit_dependences(pattern: Interleaving, graph: TaskGraph) -> tuple[Dependence, ...]:
    streams = {s.name: s for s in pattern.streams}
    group = {name: lead[0] for name, lead in pattern.leads.items()}
    found = [
        Dependence(producer=f"{s.name}[{a}]", consumer=f"{s.name}[{b}]", latency=1)
        for s in pattern.streams
        for a, b in pairwise(range(s.work))
    ]
    for d in graph.dependences:
        if d.producer not in streams or d.consumer not in streams:
            continue
        one, other = streams[d.producer], streams[d.consumer]
        delay = d.delay // graph.ticks_per_cycle
        stepwise = d.producer in group and group[d.producer] == group.get(d.consumer)
        words = range(one.steps) if stepwise else (None,)
        for n in words:
            last = one.work - 1 if n is None else (n + 1) * one.cycles - 1
            first = 0 if n is None else n * other.cycles
            found.append(
                Dependence(
                    producer=f"{d.producer}[{last}]",
                    consumer=f"{d.consumer}[{first}]",
                    latency=1 + delay,
                    delay=delay,
                    distance=d.distance,
                    tensor=d.tensor,
                )
            )
    return tuple(found)


def _staged(pattern: Interleaving, graph: TaskGraph, steps: TaskGraph, at: dict[str, int]) -> dict[str, int]:
    """The earliest starts that keep the cycles of the period, all dependences, and every word's wait below a period."""
    edges = [(d.producer, d.consumer, d.latency - d.distance * pattern.period) for d in steps.dependences]
    edges += _no_period_late(pattern, graph, at)
    start = dict(at)
    for _ in range(len(start) + 1):
        late = [c for p, c, weight in edges if start[p] + weight > start[c]]
        if not late:
            first = min(start.values()) // pattern.period * pattern.period
            return {name: s - first for name, s in start.items()}
        for producer, consumer, weight in edges:
            behind = start[producer] + weight - start[consumer]
            if behind > 0:
                start[consumer] += -(-behind // pattern.period) * pattern.period
    raise input_error(f"the pattern contradicts the dependences of {graph.name}: {late[0]} never has what it needs")


def _no_period_late(pattern: Interleaving, graph: TaskGraph, at: dict[str, int]) -> Sequence[tuple[str, str, int]]:
    """Edges back from the reader of a word: it was made in the last period before."""
    streams = {s.name: s for s in pattern.streams}
    edges = []
    for p in pattern.passings:
        one, other = streams[p.producer], streams[p.consumer]
        least = 1 + _delay(p, graph)
        for n in range(one.steps):
            made, taken = f"{p.producer}[{(n + 1) * one.cycles - 1}]", f"{p.consumer}[{n * other.cycles}]"
            wait = (at[taken] - at[made] - least) % pattern.period
            edges.append((taken, made, -(least + wait)))
    return edges
