"""The layers of a drawn cascade: longest paths over reads of the same step, one pass after another."""

from __future__ import annotations

from collections.abc import Sequence

from fusemap.validation.graph import CascadeGraph, Edge


def layers(graph: CascadeGraph) -> dict[str, int]:
    """The layer of every node: after all it reads in the same step, after all Einsums of earlier passes.

    Inputs, and Einsums that read nothing else, stand right before what reads them first.
    """
    order = _order(graph)
    found = _longest_paths(graph, order)
    readers: dict[str, list[str]] = {name: [] for name in order}
    for edge in _forward(graph):
        readers[edge.source].append(edge.target)
    movable = {n.name for n in graph.nodes if n.kind == "input"}
    movable |= {n.name for n in graph.nodes if n.number is None and _sources(graph, n.name) <= movable}
    for name in reversed(order):
        if name in movable and readers[name]:
            found[name] = max(found[name], min(found[r] for r in readers[name]) - 1)
    lowest = min(found.values(), default=0)
    return {name: layer - lowest for name, layer in found.items()}


def _forward(graph: CascadeGraph) -> list[Edge]:
    return [e for e in graph.edges if not e.carried and e.source != e.target]


def _sources(graph: CascadeGraph, name: str) -> set[str]:
    return {e.source for e in graph.edges if e.target == name}


def _order(graph: CascadeGraph) -> list[str]:
    """Nodes after what they read; where reads form a cycle, the first of the text that is left goes first."""
    waiting = {n.name: {e.source for e in _forward(graph) if e.target == n.name} for n in graph.nodes}
    order: list[str] = []
    while waiting:
        chosen = next((name for name, sources in waiting.items() if not sources & waiting.keys()), next(iter(waiting)))
        order.append(chosen)
        del waiting[chosen]
    return order


def _longest_paths(graph: CascadeGraph, order: Sequence[str]) -> dict[str, int]:
    """The longest path to every node, its pass starting after the layers of all earlier passes."""
    numbers = {n.name: n.number for n in graph.nodes}
    rank = {name: i for i, name in enumerate(order)}
    floors: dict[int, int] = {}
    found: dict[str, int] = {}
    for number in graph.numbers or (0,):
        found = {}
        for name in order:
            before = [found[e.source] + 1 for e in _forward(graph) if e.target == name and rank[e.source] < rank[name]]
            found[name] = max([0, floors.get(numbers[name] or 0, 0), *before])
        floors |= {
            n: 1 + max(found[e] for e in order if (numbers[e] or 0) == number) for n in graph.numbers if n > number
        }
    return found
