"""The page of a drawn cascade: how large its boxes are, and where they, edges and barriers go, in inches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, TypeAlias

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from fusemap.validation.graph import CascadeGraph, Edge, Node
from fusemap.validation.graph_layers import layers
from fusemap.validation.graph_layout import Layout, Point, arrange

Direction: TypeAlias = Literal["right", "down"]
PAD_IN, GAP_IN, SPACE_IN = 0.05, 0.25, 0.13
FONTS: Mapping[str, FontProperties] = MappingProxyType(
    {
        "name": FontProperties(family="STIXGeneral", weight="bold", size=8.5),
        "index": FontProperties(family="STIXGeneral", style="italic", size=7.5),
        "text": FontProperties(family="STIXGeneral", size=8.5),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """The layout of a graph on a page, upright from the lower left corner.

    `sizes` are widths and heights of boxes, `ports` tells how far from its box's centre (across) an edge
    leaves its source and enters its target, `origin` is where along = across = 0.
    """

    graph: CascadeGraph
    layout: Layout
    direction: Direction
    sizes: Mapping[str, Point]
    ports: Mapping[tuple[str, str], tuple[float, float]]
    origin: Point = (0.0, 0.0)

    def at(self, point: Point) -> Point:
        """The page's place of (along, across)."""
        x, y = point if self.direction == "right" else point[::-1]
        return self.origin[0] + x, self.origin[1] - y

    @property
    def extent(self) -> Point:
        """Width and height of everything."""
        centre, width = self.layout.columns[-1]
        both = (centre + width / 2, self.layout.across)
        return both if self.direction == "right" else both[::-1]


def text_width(text: str, font: str) -> float:
    """The width of a text in inches.

    >>> text_width("mm", "name") == 2 * text_width("m", "name")
    True
    """
    return sum(_advance(character, font) for character in text)


@cache
def _advance(character: str, font: str) -> float:
    bars = [TextPath((0, 0), text, prop=FONTS[font]).get_extents() for text in ("||", f"|{character}|")]
    return float(bars[1].width - bars[0].width) / 72


def index_text(indices: Sequence[str]) -> str:
    """Indices as they are shown under a name: products with a dot, minus signs as such."""
    return ", ".join(i.replace("*", "\N{MIDDLE DOT}").replace("-", "\N{MINUS SIGN}") for i in indices)


def edge_label(edge: Edge, source: Node) -> str:
    """The indices at the positions where a read differs from what stands below the source's name, if one does."""
    reads = [read for read in edge.reads if len(read) == len(source.indices)]
    differing = [i for i, own in enumerate(source.indices) if any(read[i] != own for read in reads)]
    if edge.carried or not differing:
        return ""
    return " & ".join(dict.fromkeys(index_text([read[i] for i in differing]) for read in reads))


def canvas(graph: CascadeGraph, direction: Direction) -> Canvas:
    """The canvas of a graph whose data flow to the right or down."""
    sizes = {n.name: _box(n) for n in graph.nodes}
    layer, node = layers(graph), graph.node
    gaps: dict[int, float] = {}
    for edge in graph.edges:
        label = edge_label(edge, node[edge.source])
        after = max(layer[edge.source], layer[edge.target]) - 1
        if label:
            long = text_width(label, "index") + 3 * PAD_IN if direction == "right" else 1.6 * GAP_IN
            gaps[after] = max(gaps.get(after, 0.0), long)
    turned = {name: size if direction == "right" else size[::-1] for name, size in sizes.items()}
    layout = arrange(graph, turned, gaps, gap=GAP_IN, space=SPACE_IN)
    return Canvas(graph=graph, layout=layout, direction=direction, sizes=sizes, ports=_ports(graph, layout, turned))


def _box(node: Node) -> Point:
    widest = max(text_width(node.name, "name"), text_width(index_text(node.indices), "index"))
    return max(widest, 0.2) + 2 * PAD_IN, 0.34


def _ports(
    graph: CascadeGraph, layout: Layout, sizes: Mapping[str, Point]
) -> dict[tuple[str, str], tuple[float, float]]:
    """Edges on one side of a box are spread over it, in the order of where they go."""
    sides: dict[tuple[str, bool], list[tuple[float, tuple[str, str], int]]] = {}
    for edge in graph.edges:
        if edge.source == edge.target:
            continue
        key = edge.source, edge.target
        route = layout.routes[key]
        forward = layout.layer[edge.source] < layout.layer[edge.target]
        first, last = (route[0], route[-1]) if route else (layout.place[edge.target], layout.place[edge.source])
        sides.setdefault((edge.source, forward), []).append((first[1], key, 0))
        sides.setdefault((edge.target, not forward), []).append((last[1], key, 1))
    found: dict[tuple[str, str], list[float]] = {}
    for (name, _), ends in sides.items():
        reach = 0.62 * sizes[name][1]
        for i, (_, key, end) in enumerate(sorted(ends)):
            found.setdefault(key, [0.0, 0.0])[end] = reach * ((i + 0.5) / len(ends) - 0.5)
    return {key: (ends[0], ends[1]) for key, ends in found.items()}


def path(canvas: Canvas, edge: Edge) -> list[Point]:
    """The points of an edge as (along, across): straight from the first to the second, curved to the third, …"""
    layout = canvas.layout
    forward = layout.layer[edge.source] < layout.layer[edge.target]
    leave, enter = canvas.ports[edge.source, edge.target]
    start = _ends(canvas, edge.source, leave, 1 if forward else -1)
    end = _ends(canvas, edge.target, enter, -1 if forward else 1)
    return [*start, *layout.routes[edge.source, edge.target], *reversed(end)]


def _ends(canvas: Canvas, name: str, port: float, side: int) -> tuple[Point, Point]:
    """Where an edge meets its box, and where it leaves the box's column."""
    along, across = canvas.layout.place[name]
    width, height = canvas.sizes[name]
    half = (width if canvas.direction == "right" else height) / 2
    centre, column = canvas.layout.columns[canvas.layout.layer[name]]
    return (along + side * half, across + port), (centre + side * column / 2, across + port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The columns of a pass: from where to where along, and the middle of the gap in front of them."""

    start: float
    end: float
    gap: float


def pass_bands(canvas: Canvas) -> dict[int, Band] | None:
    """Where every pass goes; None where the columns of passes overlap."""
    layers_of: dict[int, list[int]] = {}
    for node in canvas.graph.nodes:
        if node.number is not None:
            layers_of.setdefault(node.number, []).append(canvas.layout.layer[node.name])
    ends = {n: (min(found), max(found)) for n, found in sorted(layers_of.items())}
    if any(a[1] >= b[0] for a, b in pairwise(ends.values())):
        return None
    starts = [centre - width / 2 for centre, width in canvas.layout.columns]
    stops = [centre + width / 2 for centre, width in canvas.layout.columns]
    return {
        n: Band(start=starts[low], end=stops[high], gap=(starts[low] + stops[max(low - 1, 0)]) / 2)
        for n, (low, high) in ends.items()
    }
