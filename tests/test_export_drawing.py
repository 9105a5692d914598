"""Drawings of cascades that one can read, the passes they show, and the files they are written to."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from conftest import Outcome
from graph_cases import DIRECTIONS, DRAWN, dashed, graph, texts, unreadable
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import fusemap as fm
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.passes.types import Barrier, PassCount, RankPasses
from fusemap.einsum_cascade.types import ShapeName, TensorName
from fusemap.validation.graph_canvas import Direction, edge_label
from fusemap.validation.graph_dot import COLOURS, to_dot
from fusemap.validation.graph_draw import FORMATS, MOST_NODES, draw_graph, render
from fusemap.validation.graph_passes import choose_row, graph_with_passes

Run = Callable[..., Outcome]


# --- drawings -------------------------------------------------------------------------------------


@cache
def drawn(name: str, direction: Direction) -> Figure:
    figure = draw_graph(graph(name), direction)
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_is_legible_at_the_width_of_a_page_or_of_a_column(name: str, direction: Direction) -> None:
    figure = drawn(name, direction)
    assert unreadable(figure) == []
    smallest = min(float(t.get_fontsize()) for t in texts(figure))
    available = 7.0 if direction == "right" else 3.4
    assert smallest * min(1.0, available / figure.get_size_inches()[0]) >= 7.0


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_says_everything(name: str) -> None:
    made = graph(name)
    for direction in DIRECTIONS:
        seen = [t.get_text() for t in texts(drawn(name, direction))]
        assert set(seen) >= {made.title, "input", *(n.name for n in made.nodes)}
        assert [t for t in seen if t.startswith("pass ")] == [f"pass {n}" for n in made.numbers]
        labels = [label for e in made.edges if (label := edge_label(e, made.node[e.source]))]
        assert sorted(t for t in seen if t in labels) == sorted(labels)
        assert dashed(drawn(name, direction)) == (len(made.barriers) + 1 if made.barriers else 0)
    colours = {n.number: c for n, c in zip(made.nodes, _fills(drawn(name, "right")), strict=True)}
    assert {n: COLOURS[n - 1] for n in made.numbers}.items() <= colours.items()


def _fills(figure: Figure) -> list[str]:
    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    return [to_hex(b.get_facecolor()).upper() for b in boxes]


def test_a_planted_overlap_is_found() -> None:
    figure = draw_graph(graph("attention-3pass"))
    axes = figure.axes[0]
    axes.text(1.0, 1.0, "one planted")
    axes.text(1.05, 1.0, "another")
    axes.text(figure.get_size_inches()[0] - 0.1, 0.05, "far out")
    figure.draw_without_rendering()
    assert {"one planted on another", "far out is cut off"} <= set(unreadable(figure))


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_are_the_same_every_time(suffix: str) -> None:
    content = render(graph("attention-2pass"), suffix)
    assert content == render(graph("attention-2pass"), suffix)
    starts = {"svg": b"<?xml", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-1."}
    assert content.startswith(starts[suffix])
    assert b"CreationDate" not in content and b"<dc:date>" not in content
    if suffix == "svg":
        assert ET.fromstring(content).tag.endswith("svg")


def test_a_notebook_shows_the_drawing() -> None:
    shown = graph("attention-3pass")._repr_svg_()
    assert shown.encode() == render(graph("attention-3pass"), "svg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("".join(f"A{i}[k] = A[k]\n" for i in range(MOST_NODES)), "401 tensors are too many"),
        ("".join(f"{'B' * 60}{i + 1}[k] = {'B' * 60 + str(i) if i else 'A'}[k]\n" for i in range(80)), "by 0 inches"),
    ],
)
def test_what_is_too_large_to_look_at_is_refused(text: str, message: str, fusemap: Run, tmp_path: Path) -> None:
    source, target = tmp_path / "large.cascade", tmp_path / "large.png"
    source.write_text(f"input A[k]\n{text}")
    outcome = fusemap("export", "graph", str(source), "--out", str(target))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err and ".dot" in outcome.err
    assert not target.exists()
    assert fusemap("export", "graph", str(source), "--out", str(tmp_path / "large.dot")).code == 0


# --- the passes of a row --------------------------------------------------------------------------


def row(
    tensor: str, rank: str, passes: int, *, upper: int | None = None, einsums: str = "", steps: int = 0
) -> RankPasses:
    count = PassCount(constant=passes, steps=steps, shape=ShapeName("T") if steps else None)
    return RankPasses(
        tensor=TensorName(tensor),
        rank=ShapeName(rank),
        passes=count,
        upper=count if upper is None else PassCount(constant=upper),
        direct=count,
        assignment=tuple((TensorName(e), i + 1) for i, e in enumerate(einsums.split())),
        barriers=(Barrier(before=(TensorName("SN"), TensorName("SD")), visited_by=(TensorName("GM"),)),),
    )


ROWS = (row("Q", "P", 1), row("K", "M", 3, einsums="QK SN A"), row("QK", "M", 3, einsums="GM A"), row("SN", "M", 2))


@pytest.mark.parametrize(
    ("tensor", "rank", "chosen"),
    [(None, None, 1), ("QK", None, 2), (None, "P", 0), ("SN", "M", 3), (None, "M", 1)],
)
def test_the_row_is_the_asked_one_or_the_one_with_the_most(tensor: str | None, rank: str | None, chosen: int) -> None:
    assert choose_row(ROWS, tensor, rank) is ROWS[chosen]


def test_passes_that_grow_with_a_size_are_more() -> None:
    growing = row("A", "J", 0, steps=1)
    assert choose_row((*ROWS, growing), None, None) is growing
    assert choose_row((), None, None) is None


@pytest.mark.parametrize(
    ("tensor", "rank", "messages"),
    [
        ("QQK", None, ["no fiber of tensor QQK is read\n  did you mean QK?"]),
        (None, "m", ["no fiber of rank m is read\n  did you mean M?"]),
        ("Q", "M", ["tensor Q has no rank M\n  its ranks: P"]),
        ("QQK", "X", ["rank X", "tensor QQK"]),
    ],
)
def test_unknown_tensors_and_ranks(tensor: str | None, rank: str | None, messages: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        choose_row(ROWS, tensor, rank)
    assert all(message in str(caught.value) for message in messages)


def test_the_title_says_what_is_shown() -> None:
    made = graph_with_passes(fm.load_cascade("attention-3pass"), ROWS, tensor="QK")
    assert made.title == "attention-3pass: 3 passes over M of QK"
    assert (made.tensor, made.rank, made.numbers) == ("QK", "M", (1, 2))
    assert [(b.before, b.visited_by) for b in made.barriers] == [("SN", ("GM",)), ("SD", ("GM",))]
    unsure = graph_with_passes(fm.load_cascade("softmax"), [row("X", "K", 2, upper=3)])
    assert unsure.title == "softmax: at least 2 passes over K of X"


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [*FORMATS, "dot", "SVG"])
def test_the_command_writes_every_format(suffix: str, fusemap: Run, tmp_path: Path) -> None:
    target = tmp_path / f"a.{suffix}"
    outcome = fusemap("export", "graph", "attention-1pass", "--out", str(target), "--direction", "down")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", f"written to {target}\n")
    made = fm.graph("attention-1pass")
    expected = to_dot(made).encode() if suffix == "dot" else render(made, suffix.lower(), "down")
    assert target.read_bytes() == expected


def test_the_command_prints_dot_text(fusemap: Run) -> None:
    outcome = fusemap("export", "graph", "attention-1pass")
    assert (outcome.code, outcome.out, outcome.err) == (0, to_dot(fm.graph("attention-1pass")), "")
