"""The graph of a cascade drawn with matplotlib: columns of Einsums coloured by pass, barriers between them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path

from fusemap.diagnostics import input_error
from fusemap.validation.graph import CascadeGraph, Edge, Node
from fusemap.validation.graph_canvas import (
    FONTS,
    GAP_IN,
    Canvas,
    Direction,
    canvas,
    edge_label,
    index_text,
    pass_bands,
    path,
    text_width,
)
from fusemap.validation.graph_dot import fill
from fusemap.validation.graph_frame import (
    BAND_IN,
    DOTTED,
    INK,
    LINE_IN,
    MARGIN_IN,
    NARROWEST_IN,
    draw_legend,
    draw_passes,
    legend_rows,
    row_width,
)
from fusemap.validation.graph_layout import Point

FORMATS = ("svg", "png", "pdf")
MOVE, STRAIGHT, CURVE = (int(code) for code in (Path.MOVETO, Path.LINETO, Path.CURVE4))
_RC: Any = {"pdf.fonttype": 42, "svg.hashsalt": "fusemap"}  # text stays text in PDF; SVG is the same every time
LOOP_IN = 0.14  # what a loop above a box at the border takes
MOST_NODES, LONGEST_IN, LARGEST_IN2 = (
    400,
    300.0,
    2000.0,
)  # of a drawing that anybody looks at, and that is made in seconds

_DOT = "write the text of the graph for another program, in a file that ends in .dot"


def draw_graph(graph: CascadeGraph, direction: Direction = "right") -> Figure:
    """The figure, as large as it needs to be; data flow to the right, or down for a narrow column.

    Raises InputError for a graph that would fill more than a wall.
    """
    if len(graph.nodes) > MOST_NODES:
        raise input_error(f"{len(graph.nodes)} tensors are too many to draw, at most {MOST_NODES}", hint=_DOT)
    drawn = canvas(graph, direction)
    width, height = drawn.extent
    if max(width, height) > LONGEST_IN or width * height > LARGEST_IN2:
        raise input_error(f"the drawing would be {width:.0f} by {height:.0f} inches", hint=_DOT)
    bands = pass_bands(drawn) or {}
    head = LINE_IN + (LINE_IN if bands and direction == "right" else 0)
    side = BAND_IN if bands and direction == "down" else 0.0
    rows = legend_rows(graph, bool(bands), max(side + drawn.extent[0], NARROWEST_IN))
    content = max(side + drawn.extent[0], text_width(graph.title, "text"), *map(row_width, rows))
    width = 2 * MARGIN_IN + content
    height = 2 * MARGIN_IN + head + 2 * LOOP_IN + drawn.extent[1] + LINE_IN * len(rows)
    left = MARGIN_IN + side + (content - side - drawn.extent[0]) / 2
    placed = replace(drawn, origin=(left, height - MARGIN_IN - head - LOOP_IN))
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, height)
    axes.text(width / 2, height - MARGIN_IN, graph.title, fontproperties=FONTS["text"], ha="center", va="top")
    draw_passes(axes, placed, bands)
    for edge in graph.edges:
        _edge(axes, placed, edge)
    for node in graph.nodes:
        _node(axes, placed, node)
    draw_legend(axes, rows, width)
    return figure


def render(graph: CascadeGraph, suffix: str, direction: Direction = "right") -> bytes:
    """The drawing as the content of a file: `svg`, `png` (200 dots per inch) or `pdf`; equal graphs, equal bytes."""
    metadata: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }
    buffer = io.BytesIO()
    figure = draw_graph(graph, direction)
    with matplotlib.rc_context(_RC):
        figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata[suffix])
    return buffer.getvalue()


# --- nodes and edges ------------------------------------------------------------------------------


def _node(axes: Axes, placed: Canvas, node: Node) -> None:
    """A box, rounded for an Einsum, with the name above the indices."""
    x, y = placed.at(placed.layout.place[node.name])
    width, height = placed.sizes[node.name]
    shape = "square,pad=0" if node.kind == "input" else "round,pad=0,rounding_size=0.06"
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle=shape,
            facecolor=fill(node),
            edgecolor="black",
            linewidth=0.6,
            zorder=4,
        )
    )
    lift = 0.072 if node.indices else 0.0
    axes.text(x, y + lift, node.name, fontproperties=FONTS["name"], ha="center", va="center_baseline", zorder=5)
    if node.indices:
        text = index_text(node.indices)
        axes.text(x, y - 0.085, text, fontproperties=FONTS["index"], ha="center", va="center_baseline", zorder=5)


def _edge(axes: Axes, placed: Canvas, edge: Edge) -> None:
    if edge.source == edge.target:
        _loop(axes, placed, edge.source)
    elif placed.layout.layer[edge.source] == placed.layout.layer[edge.target]:
        _side_arc(axes, placed, edge)
    else:
        points = path(placed, edge)
        _stroke(axes, placed, points, carried=edge.carried)
        label = edge_label(edge, placed.graph.node[edge.source])
        if label:
            a, b = (placed.at(p) for p in points[-3:-1])
            _label(axes, label, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))


def _stroke(axes: Axes, placed: Canvas, points: Sequence[Point], *, carried: bool) -> None:
    """Straight and curved pieces in turn, an arrow at the end."""
    vertices = [points[0]]
    codes: list[int] = [MOVE]
    for i, (a, b) in enumerate(pairwise(points)):
        if i % 2 == 0:
            vertices.append(b)
            codes.append(STRAIGHT)
        else:
            middle = (a[0] + b[0]) / 2
            vertices += [(middle, a[1]), (middle, b[1]), b]
            codes += [CURVE] * 3
    _line(axes, Path([placed.at(v) for v in vertices], codes), carried=carried)
    before, end = placed.at(points[-2]), placed.at(points[-1])
    if before == end:
        towards = 1 if points[-1][0] > points[-3][0] else -1
        before = placed.at((points[-1][0] - towards, points[-1][1]))
    _arrow(axes, before, end)


def _line(axes: Axes, line: Path, *, carried: bool) -> None:
    kind: Any = DOTTED if carried else "solid"
    axes.add_patch(PathPatch(line, fill=False, edgecolor=INK, linewidth=0.8, linestyle=kind, zorder=2))


def _arrow(axes: Axes, before: Point, end: Point) -> None:
    """A head whose tip is at `end`."""
    dx, dy = end[0] - before[0], end[1] - before[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    ux, uy = dx / length, dy / length
    back, half = 0.065, 0.024
    corners = [
        end,
        (end[0] - back * ux - half * uy, end[1] - back * uy + half * ux),
        (end[0] - back * ux + half * uy, end[1] - back * uy - half * ux),
    ]
    axes.add_patch(Polygon(corners, closed=True, facecolor=INK, edgecolor="none", zorder=3))


def _loop(axes: Axes, placed: Canvas, name: str) -> None:
    """What an Einsum reads of its own earlier steps: a loop on a side of its box that other edges leave free."""
    along, across = placed.layout.place[name]
    width, height = placed.sizes[name]
    top = across - (height if placed.direction == "right" else width) / 2
    near, rise = 0.08, 0.15
    corners = [(near, 0.0), (1.6 * near, rise), (-1.6 * near, rise), (-near, 0.0)]
    vertices = [placed.at((along + a, top - b)) for a, b in corners]
    _line(axes, Path(vertices, [MOVE] + [CURVE] * 3), carried=True)
    _arrow(axes, placed.at((along - 1.3 * near, top - 0.08)), vertices[-1])


def _side_arc(axes: Axes, placed: Canvas, edge: Edge) -> None:
    """An edge within a column, round its boxes."""
    along = [placed.layout.place[name][0] for name in (edge.source, edge.target)]
    across = [placed.layout.place[name][1] for name in (edge.source, edge.target)]
    half = placed.layout.columns[placed.layout.layer[edge.source]][1] / 2
    out = along[0] - half - GAP_IN / 2
    vertices = [(along[0] - half, across[0]), (out, across[0]), (out, across[1]), (along[1] - half, across[1])]
    _line(axes, Path([placed.at(v) for v in vertices], [MOVE] + [CURVE] * 3), carried=edge.carried)
    _arrow(axes, placed.at((out, across[1])), placed.at(vertices[-1]))


def _label(axes: Axes, text: str, place: Point) -> None:
    box = {"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none"}
    axes.text(*place, text, fontproperties=FONTS["index"], ha="center", va="center", bbox=box, zorder=6)
