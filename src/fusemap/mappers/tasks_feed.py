"""The way back into an array: what an array takes from the foot of its columns climbs one row a cycle."""

from __future__ import annotations

import math
from dataclasses import replace

from fusemap.archspec.types import Machine
from fusemap.mappers.modulo_types import TaskGraph
from fusemap.mappers.types import Fanout, Mapping, Problem, Storage


def feed_cycles(problem: Problem, mapping: Mapping, machine: Machine, consumer: str, tensor: str) -> int:
    """Elements of the consumer's array over which the tensor is spread, when it comes from no memory; else 0.

    A tensor that a memory of the machine keeps for this Einsum enters where the skew begins and needs no time.
    """
    nest, space = mapping.nest(consumer), problem.space(consumer)
    memories = {memory.name for memory in machine.memories}
    if any(isinstance(n, Storage) and n.memory in memories and n.keep and tensor in n.keep for n in nest.levels):
        return 0
    ranks = [operand.ranks for operand in space.inputs if operand.tensor == tensor]
    across = [p.bound for n in nest.levels if isinstance(n, Fanout) for p in n.loops if p.rank not in ranks[0]]
    return math.prod(across) if across else 0


def with_feeds(graph: TaskGraph, problem: Problem, mapping: Mapping, machine: Machine) -> TaskGraph:
    """The graph in which what one array hands another waits for `feed_cycles` as well."""
    array = {task.name: task.resource for task in graph.tasks}
    found = []
    for d in graph.dependences:
        if array[d.producer] != array[d.consumer] and any(d.consumer == e.einsum for e in mapping.einsums):
            cycles = feed_cycles(problem, mapping, machine, d.consumer, d.tensor)
            climb = cycles * graph.ticks_per_cycle
            d = replace(d, latency=d.latency + climb, delay=d.delay + climb)
        found.append(d)
    return replace(graph, dependences=tuple(found))
