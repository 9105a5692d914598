"""Graphs of cascades: their edges are the reads of the text, their drawings can be read."""

from __future__ import annotations

import dataclasses
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest
from cascade_text import statements, tensors_read
from conftest import Outcome
from graph_cases import DIRECTIONS, DRAWN, dashed, graph, placed, texts
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.transforms import Bbox

import fusemap as fm
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.parser import parse
from fusemap.validation.graph import CascadeGraph, cascade_graph
from fusemap.validation.graph_canvas import Canvas, canvas, pass_bands, path
from fusemap.validation.graph_dot import to_dot
from fusemap.validation.graph_draw import draw_graph, render
from fusemap.validation.graph_layers import layers
from fusemap.validation.graph_layout import _spread

Run = Callable[..., Outcome]
LIBRARY = fm.list_cascades()
# --- nodes and edges ------------------------------------------------------------------------------


def reads_of(text: str) -> set[tuple[str, str]]:
    """(tensor, Einsum that reads it) by regular expressions; an initialization counts for its Einsum."""
    return {(tensor, name) for name, right in statements(text) for tensor in tensors_read(right)}


def edges_of(made: CascadeGraph) -> set[tuple[str, str]]:
    return {(e.source, e.target) for e in made.edges}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", LIBRARY)
def test_edges_are_the_reads_of_the_text_and_nodes_its_tensors(name: str) -> None:
    cascade, made = fm.load_cascade(name), graph(name)
    assert edges_of(made) == reads_of(cascade.text)
    assert len(edges_of(made)) == len(made.edges)
    written = [e for e, _ in statements(re.sub(r"(?m)^init:.*$", "", cascade.text))]
    assert [n.name for n in made.nodes if n.kind == "einsum"] == written
    declared = re.findall(r"[A-Z]\w*(?=\s*[\[,\n])", " ".join(re.findall(r"(?m)^input (.*\n)", cascade.text)))
    assert [n.name for n in made.nodes if n.kind == "input"] == declared


@pytest.mark.parametrize("name", ["attention-1pass", "power-iteration", "moba"])
def test_a_dropped_read_is_found(name: str) -> None:
    cascade = fm.load_cascade(name)
    for i, einsum in enumerate(cascade.einsums):
        constant = dataclasses.replace(einsum, expr=parse("Z = 1").einsums[0].expr)
        einsums = (*cascade.einsums[:i], constant, *cascade.einsums[i + 1 :])
        assert edges_of(cascade_graph(dataclasses.replace(cascade, einsums=einsums))) != reads_of(cascade.text)


def test_edges_carry_the_indices_of_their_reads() -> None:
    reads = {(e.source, e.target): e.reads for e in graph("attention-1pass").edges}
    assert reads["K", "BK"] == (("e", "m1*M0+m0"),)
    assert reads["RM", "PRM"] == (("m1", "p"), ("m1+1", "p"))
    assert reads["RNV", "AV"] == (("f", "M1", "p"),)
    causal = {(e.source, e.target): e.reads for e in graph("attention-3pass-causal").edges}
    assert causal["QK", "GM"] == (("m", "p"),), "filters are not indices"
    looked_up = {(e.source, e.target): e.reads for e in graph("vmoba").edges}
    assert looked_up["BK", "S"] == (("e", "SEL[j,p]", "m0"),) and looked_up["SEL", "S"] == (("j", "p"),)


@pytest.mark.parametrize(
    ("name", "carried"),
    [
        ("attention-3pass", set()),
        ("attention-1pass", {("RM", "RM"), ("RD", "SPD"), ("RNV", "SPNV")}),
        ("power-iteration", {("X", "Y")}),
        ("prefix-times-suffix", {("PRE", "PRE"), ("SUF", "SUF")}),
        ("variance-welford", {("RMU", "D"), ("RMU", "RMU"), ("RSQ", "RSQ")}),
    ],
)
def test_reads_of_an_earlier_step_are_carried(name: str, carried: set[tuple[str, str]]) -> None:
    assert {(e.source, e.target) for e in graph(name).edges if e.carried} == carried


def test_the_document_the_dot_text_and_networkx_hold_the_same_graph() -> None:
    networkx = pytest.importorskip("networkx")
    for name in DRAWN:
        made = graph(name)
        document = made.to_json()
        dot = to_dot(made)
        solid = [line for line in dot.splitlines() if "->" in line and "tooltip" not in line]
        assert {tuple(re.findall(r'"(\w+)"', line.split("[")[0])) for line in solid} == edges_of(made)
        dashed = [tuple(re.findall(r'"(\w+)"', x.split("[")[0])) for x in dot.splitlines() if "style=dashed" in x]
        assert dashed == [(by, b.before) for b in made.barriers for by in b.visited_by]
        other = made.to_networkx()
        assert isinstance(other, networkx.DiGraph)
        assert set(other.edges) == edges_of(made)
        assert [
            {"name": n, **data, "indices": list(data["indices"])} for n, data in other.nodes(data=True)
        ] == document["nodes"]
        assert networkx.is_directed_acyclic_graph(other) == (not any(e.carried for e in made.edges))


def test_without_networkx_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    with pytest.raises(InputError, match=r"networkx is not installed\n.*fusemap.graph."):
        graph("softmax").to_networkx()
    assert render(graph("softmax"), "svg"), "drawing needs none"


# --- layout ---------------------------------------------------------------------------------------


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LIBRARY)
def test_reads_go_forward_and_boxes_and_edges_keep_their_distance(name: str) -> None:
    made = graph(name)
    layer = layers(made)
    for edge in made.edges:
        if not edge.carried:
            assert layer[edge.source] < layer[edge.target]
    for direction in DIRECTIONS:
        assert collisions(placed(name, direction)) == []


def collisions(drawn: Canvas) -> list[str]:
    """Boxes that overlap, leave the page, or that an edge of others runs through."""
    boxes = {n.name: _box(drawn, n.name) for n in drawn.graph.nodes}
    pairs = itertools.combinations(boxes.items(), 2)
    found = [f"{a} on {b}" for (a, first), (b, second) in pairs if Bbox.intersection(first, second) is not None]
    width, height = drawn.extent
    found += [
        a for a, b in boxes.items() if b.x0 < -1e-9 or b.y1 > 1e-9 or b.x1 > width + 1e-9 or b.y0 < -height - 1e-9
    ]
    for edge in drawn.graph.edges:
        if drawn.layout.layer[edge.source] != drawn.layout.layer[edge.target]:
            points = [drawn.at(p) for p in path(drawn, edge)]
            others = {n: b for n, b in boxes.items() if n not in (edge.source, edge.target)}
            found += [
                f"{edge.source}-{edge.target} through {n}"
                for x, y in _along(points)
                for n, b in others.items()
                if b.contains(x, y)
            ]
    return found


def _box(drawn: Canvas, name: str) -> Bbox:
    (x, y), (width, height) = drawn.at(drawn.layout.place[name]), drawn.sizes[name]
    return Bbox.from_extents(x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _along(points: Sequence[tuple[float, float]], steps: int = 6) -> Iterator[tuple[float, float]]:
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        for k in range(steps):
            yield x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps


def test_a_planted_collision_is_found() -> None:
    drawn = placed("attention-3pass", "right")
    moved = {**drawn.layout.place, "V": drawn.layout.place["A"]}
    planted = dataclasses.replace(drawn, layout=dataclasses.replace(drawn.layout, place=moved))
    assert "V on A" in collisions(planted)
    lifted = {**drawn.layout.place, "GM": (drawn.layout.place["GM"][0], drawn.layout.place["QK"][1] + 0.1)}
    planted = dataclasses.replace(drawn, layout=dataclasses.replace(drawn.layout, place=lifted))
    assert any("QK-SN through GM" in c for c in collisions(planted))


@pytest.mark.parametrize("name", ["attention-3pass", "attention-2pass"])
def test_passes_stand_in_columns_of_their_own(name: str) -> None:
    made = graph(name)
    layer, number = layers(made), {n.name: n.number for n in made.nodes}
    for a, b in itertools.permutations(number, 2):
        first, second = number[a], number[b]
        assert first is None or second is None or first >= second or layer[a] < layer[b]
    assert list(pass_bands(placed(name, "right")) or ()) == list(made.numbers)


def test_passes_against_the_reads_still_make_a_drawing() -> None:
    """A pass analysis gives none such; a drawing of one shows barriers as edges and passes in the legend."""
    made = cascade_graph(fm.load_cascade("attention-3pass"), {"QK": 2, "GM": 1, "AV": 1}, [("QK", ["GM"])])
    assert pass_bands(canvas(made, "right")) is None
    figure = draw_graph(made)
    assert [t.get_text() for t in texts(figure) if t.get_text().startswith("pass ")] == ["pass 1", "pass 2"]
    assert dashed(figure) == 2, "one edge and its entry in the legend"


def test_a_circle_of_reads_is_drawn_too() -> None:
    circle = parse("shape K\noutput X\nstop: k >= K\ninput A[k]\ninit: X[0] = 0\nX[k+1] = Y[k]*A[k]\nY[k] = X[k]+A[k]")
    assert layers(cascade_graph(circle)) == {"A": 0, "X": 2, "Y": 1}
    assert render(cascade_graph(circle), "svg")


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 9)), min_size=1, max_size=6),
    st.lists(st.floats(0, 3), min_size=5, max_size=5),
    st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6),
)
def test_positions_are_apart_and_nearest_to_what_is_wanted(
    wishes: list[tuple[float, float]], gaps: list[float], moves: list[float]
) -> None:
    wanted, weights = [w for w, _ in wishes], [w for _, w in wishes]
    needed = gaps[: len(wishes) - 1]
    found = _spread(wanted, weights, needed)

    def cost(positions: Sequence[float]) -> float:
        return sum(w * (p - q) ** 2 for w, p, q in zip(weights, positions, wanted, strict=True))

    def apart(positions: Sequence[float]) -> bool:
        return all(b - a >= g - 1e-9 for (a, b), g in zip(itertools.pairwise(positions), needed, strict=True))

    assert apart(found)
    other = [p + m for p, m in zip(found, moves, strict=False)]
    assert not apart(other) or cost(other) >= cost(found) - 1e-6
