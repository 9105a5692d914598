"""Where the nodes and edges of a drawn cascade go: layers by longest path, then few crossings and straight edges.

Lengths are in inches; `along` is the direction of the data, `across` the other one. The steps are those of
Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical System Structures" (1981), with
the positions of step four found by least squares (pool adjacent violators) layer by layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import TypeAlias

from fusemap.validation.graph import CascadeGraph
from fusemap.validation.graph_layers import layers

SWEEPS, ROUNDS = 24, 4
_STRAIGHT = (1.0, 2.0, 8.0)  # weight of a piece between two boxes, at the end of a long edge, in the middle of one
DUMMY = 0.0  # what a long edge takes across where it passes a layer
Item: TypeAlias = tuple[str, ...]  # a node (its name), or an edge where it passes a layer (source, target, layer)
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`place` has the centre of every node as (along, across), `routes` the points an edge passes from source
    to target without its ends, `layer` and `columns` the layer of every node and its centre and width.
    """

    place: Mapping[str, Point]
    routes: Mapping[tuple[str, str], tuple[Point, ...]]
    layer: Mapping[str, int]
    columns: tuple[Point, ...]
    across: float


# --- order within layers --------------------------------------------------------------------------


def _chains(graph: CascadeGraph, layer: Mapping[str, int]) -> dict[tuple[str, str], list[Item]]:
    """What every edge passes from its lower to its higher layer, ends included; none within one layer."""
    chains: dict[tuple[str, str], list[Item]] = {}
    for edge in graph.edges:
        low, high = sorted((edge.source, edge.target), key=lambda name: layer[name])
        if layer[low] < layer[high]:
            between = [(edge.source, edge.target, str(k)) for k in range(layer[low] + 1, layer[high])]
            chains[edge.source, edge.target] = [(low,), *between, (high,)]
    return chains


def _ordered(
    graph: CascadeGraph, layer: Mapping[str, int], chains: Mapping[tuple[str, str], Sequence[Item]]
) -> list[list[Item]]:
    """Items by layer in the order with the fewest crossings found by sweeps of barycentres."""
    rows: list[list[Item]] = [[] for _ in range(1 + max(layer.values(), default=0))]
    for node in graph.nodes:
        rows[layer[node.name]].append((node.name,))
    for chain in chains.values():
        for item in chain[1:-1]:
            rows[int(item[2])].append(item)
    links = _links(chains)
    best = [list(row) for row in rows]
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for k in range(1, len(rows)) if forward else range(len(rows) - 2, -1, -1):
            neighbours = {item: i for i, item in enumerate(rows[k - 1 if forward else k + 1])}
            _sort_row(rows[k], neighbours, links)
        if _crossings(rows, links) < _crossings(best, links):
            best = [list(row) for row in rows]
    return best


def _links(chains: Mapping[tuple[str, str], Sequence[Item]]) -> dict[Item, list[Item]]:
    """The neighbours of every item on either side."""
    links: dict[Item, list[Item]] = {}
    for chain in chains.values():
        for a, b in pairwise(chain):
            links.setdefault(a, []).append(b)
            links.setdefault(b, []).append(a)
    return links


def _sort_row(row: list[Item], neighbours: Mapping[Item, int], links: Mapping[Item, Sequence[Item]]) -> None:
    def centre(item: Item) -> float:
        places = [neighbours[other] for other in links.get(item, ()) if other in neighbours]
        return sum(places) / len(places) if places else own[item]

    own = {item: float(i) for i, item in enumerate(row)}
    row.sort(key=centre)


def _crossings(rows: Sequence[Sequence[Item]], links: Mapping[Item, Sequence[Item]]) -> int:
    count = 0
    for left, right in pairwise(rows):
        at = {item: i for i, item in enumerate(right)}
        ends = [sorted(at[other] for other in links.get(item, ()) if other in at) for item in left]
        for i, first in enumerate(ends):
            for second in ends[i + 1 :]:
                count += sum(a > b for a in first for b in second)
    return count


# --- positions ------------------------------------------------------------------------------------


def arrange(
    graph: CascadeGraph, sizes: Mapping[str, Point], gaps: Mapping[int, float], *, gap: float, space: float
) -> Layout:
    """Positions for nodes of the given sizes (along, across).

    Columns are `gap` apart, or what `gaps` asks after a layer if that is more; neighbours in a column `space`.
    """
    layer = layers(graph)
    chains = _chains(graph, layer)
    rows = _ordered(graph, layer, chains)
    heights = {item: sizes[item[0]][1] if len(item) == 1 else DUMMY for row in rows for item in row}
    across = _across(rows, _links(chains), heights, space)
    for _ in range(ROUNDS):
        _straighten(across, rows, chains.values(), heights, space)
    columns = _columns(rows, sizes, gaps, gap)
    lowest = min((across[item] - heights[item] / 2 for item in across), default=0.0)
    place = {item[0]: (columns[layer[item[0]]][0], y - lowest) for item, y in across.items() if len(item) == 1}
    routes = {}
    for edge in graph.edges:
        between = [
            point
            for item in chains.get((edge.source, edge.target), ())[1:-1]
            for point in _passage(columns[int(item[2])], across[item] - lowest)
        ]
        forward = layer[edge.source] < layer[edge.target]
        routes[edge.source, edge.target] = tuple(between if forward else reversed(between))
    total = max((across[item] + heights[item] / 2 for item in across), default=0.0) - lowest
    return Layout(place=place, routes=routes, layer=layer, columns=tuple(columns), across=total)


def _passage(column: Point, across: float) -> tuple[Point, Point]:
    """A long edge runs straight along a column that it passes."""
    centre, width = column
    return (centre - width / 2, across), (centre + width / 2, across)


def _columns(
    rows: Sequence[Sequence[Item]], sizes: Mapping[str, Point], gaps: Mapping[int, float], gap: float
) -> list[Point]:
    found: list[Point] = []
    start = 0.0
    for k, row in enumerate(rows):
        width = max((sizes[item[0]][0] for item in row if len(item) == 1), default=0.0)
        found.append((start + width / 2, width))
        start += width + max(gap, gaps.get(k, 0.0))
    return found


def _across(
    rows: Sequence[Sequence[Item]], links: Mapping[Item, Sequence[Item]], heights: Mapping[Item, float], space: float
) -> dict[Item, float]:
    """Positions in every row that keep its order and distances, each near the mean of its neighbours."""
    found: dict[Item, float] = {}
    for row in rows:
        top = 0.0
        for item in row:
            found[item] = top + heights[item] / 2
            top += heights[item] + space
        for item in row:
            found[item] -= top / 2
    for sweep in range(4 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [_wanted(item, links, found) for item in row]
            weights = [_weight(item, links) for item in row]
            needed = [(heights[a] + heights[b]) / 2 + space for a, b in pairwise(row)]
            found |= zip(row, _spread(wanted, weights, needed), strict=True)
    return found


def _straighten(
    across: dict[Item, float],
    rows: Sequence[Sequence[Item]],
    chains: Iterable[Sequence[Item]],
    heights: Mapping[Item, float],
    space: float,
) -> None:
    """Move where long edges pass columns so that each is level over as many columns as its neighbours allow."""
    beside = {item: (a, b) for row in rows for a, item, b in zip((None, *row), row, (*row[1:], None), strict=False)}

    def room(item: Item) -> tuple[float, float]:
        above, below = beside[item]
        low = -inf if above is None else across[above] + (heights[above] + heights[item]) / 2 + space
        high = inf if below is None else across[below] - (heights[below] + heights[item]) / 2 - space
        return low, high

    for chain in chains:
        run: list[Item] = []
        low, high = -inf, inf
        for item in (*chain[1:-1], None):
            more = room(item) if item is not None else (inf, -inf)
            if max(low, more[0]) > min(high, more[1]):
                mean = sum(across[other] for other in run) / len(run) if run else 0.0
                across |= dict.fromkeys(run, min(max(mean, low), high))
                run, (low, high) = [], more
            else:
                low, high = max(low, more[0]), min(high, more[1])
            run += [item] if item is not None else []


def _wanted(item: Item, links: Mapping[Item, Sequence[Item]], found: Mapping[Item, float]) -> float:
    """The mean of the neighbours, weighted so that long edges become straight (Gansner et al. 1993, section 4.2)."""
    weights = {other: _STRAIGHT[(len(item) > 1) + (len(other) > 1)] for other in links.get(item, ())}
    total = sum(weights.values())
    return sum(found[other] * weight for other, weight in weights.items()) / total if total else found[item]


def _weight(item: Item, links: Mapping[Item, Sequence[Item]]) -> float:
    """How much a neighbour in the column must give way."""
    return sum(_STRAIGHT[(len(item) > 1) + (len(other) > 1)] for other in links.get(item, ())) or 0.1


def _spread(wanted: Sequence[float], weights: Sequence[float], needed: Sequence[float]) -> list[float]:
    """Positions at least `needed` apart, in this order, with the least weighted squared distance to `wanted`.

    >>> _spread([0.0, 0.0], [1.0, 1.0], [2.0])
    [-1.0, 1.0]
    """
    offsets = [0.0]
    for distance in needed:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, count
    for want, weight, offset in zip(wanted, weights, offsets, strict=False):
        blocks.append((want - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (m1, w1, c1), (m2, w2, c2) = blocks[-2:]
            blocks[-2:] = [((m1 * w1 + m2 * w2) / (w1 + w2), w1 + w2, c1 + c2)]
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]
