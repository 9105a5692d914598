"""Cascades as graphs with passes written by hand, and what can be seen in a drawing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeAlias

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

import fusemap as fm
from fusemap.validation.graph import CascadeGraph, cascade_graph
from fusemap.validation.graph_canvas import Canvas, Direction, canvas
from fusemap.validation.graph_dot import BARRIER

Passes: TypeAlias = tuple[Mapping[str, int], Sequence[tuple[str, Sequence[str]]]]
DIRECTIONS: tuple[Direction, ...] = ("right", "down")
THREE: Passes = ({"QK": 1, "GM": 1, "SN": 2, "SD": 2, "A": 3, "AV": 3}, [("SN", ["GM"]), ("A", ["SN", "SD"])])
TWO: Passes = (
    {"BK": 1, "BQK": 1, "LM": 1, "SLN": 1, "SLD": 1, "SN": 2, "A": 2, "AV": 2},
    [("SN", ["LM", "SLN"])],
)
ONE: Passes = (dict.fromkeys(["BK", "BQK", "LM", "SLN", "SLD", "SLNV"], 1), [])
DRAWN: Mapping[str, Passes] = {"attention-3pass": THREE, "attention-2pass": TWO, "attention-1pass": ONE}


@cache
def graph(name: str) -> CascadeGraph:
    """A built-in cascade as a graph, with passes where they are given above."""
    assignment, barriers = DRAWN.get(name, ({}, []))
    return cascade_graph(fm.load_cascade(name), assignment, barriers, title=f"{name}: passes over M of K")


@cache
def placed(name: str, direction: Direction) -> Canvas:
    return canvas(graph(name), direction)


def texts(figure: Figure) -> list[Text]:
    found = figure.findobj(lambda artist: isinstance(artist, Text))
    return [t for t in found if isinstance(t, Text) and t.get_visible() and t.get_text().strip()]


def dashed(figure: Figure) -> int:
    return sum(line.get_color() == BARRIER for line in figure.axes[0].lines)


def unreadable(figure: Figure) -> list[str]:
    """Texts that overlap another, are cut off, or stand on the border of a box."""
    boxes = [p.get_window_extent() for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    seen = [(t.get_text(), t.get_window_extent().shrunk(0.95, 0.8)) for t in texts(figure)]
    found = [f"{a} on {b}" for (a, first), (b, second) in itertools.combinations(seen, 2) if first.overlaps(second)]
    for text, place in seen:
        inside = [b for b in boxes if b.contains(*place.p0) and b.contains(*place.p1)]
        if not inside and any(place.overlaps(b) for b in boxes):
            found.append(f"{text} on a border")
        if not (figure.bbox.contains(*place.p0) and figure.bbox.contains(*place.p1)):
            found.append(f"{text} is cut off")
    return found
