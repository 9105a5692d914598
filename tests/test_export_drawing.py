"""Drawings of cascades that one can read, the passes they show, and the files they are written to."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from conftest import Outcome
from graph_cases import DIRECTIONS, DRAWN, dashed, graph, placed, texts, unreadable
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import fusemap as fm
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.analysis_rows import choose_row
from fusemap.einsum_cascade.passes.types import Barrier, PassCount, RankPasses
from fusemap.einsum_cascade.types import ShapeName, TensorName
from fusemap.validation.graph_canvas import Direction, edge_label
from fusemap.validation.graph_dot import BARRIER, COLOURS, to_dot
from fusemap.validation.graph_draw import FORMATS, MOST_NODES, draw_graph, render
from fusemap.validation.graph_passes import with_passes

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
    outcome = fusemap("export", "graph", str(source), "--plain", "--out", str(target))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err and ".dot" in outcome.err
    assert not target.exists()
    assert fusemap("export", "graph", str(source), "--plain", "--out", str(tmp_path / "large.dot")).code == 0


# --- the passes of a row --------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRAWN)
def test_the_analysis_gives_the_passes_that_were_written_by_hand(name: str) -> None:
    """FuseMax (MICRO 2024), taxonomy of attention: what each pass over M holds."""
    made, by_hand = fm.graph(name), graph(name)
    assert {n.name: n.number for n in made.nodes} == {n.name: n.number for n in by_hand.nodes}
    assert [b.before for b in made.barriers] == [b.before for b in by_hand.barriers]
    assert made.title == f"{name}: {len(made.numbers)} pass{'es' * (len(made.numbers) > 1)} over M of K"
    for direction in DIRECTIONS:
        figure = draw_graph(made, direction)
        figure.draw_without_rendering()
        assert unreadable(figure) == []


@pytest.mark.parametrize(
    ("name", "tensor", "rank", "title"),
    [
        ("attention-1pass", "BQK", "M0", "2 passes over M0 of BQK"),
        ("attention-1pass", "V", None, "1 pass over M of V"),
        ("attention-1pass-causal", None, None, "1 pass over M of K"),
        ("landmark-streaming", None, None, "1 pass over M of K"),
        ("attention-3pass", None, "P", "1 pass over P of Q"),
        ("attention-3pass", "SN", None, "2 passes over M of SN"),
        ("attention-2pass", "LM", "M1", "3 passes over M1 of LM"),
        ("power-iteration", "A", "J", "T passes over J of A"),
    ],
)
def test_a_row_can_be_asked_for(name: str, tensor: str | None, rank: str | None, title: str) -> None:
    made = fm.graph(name, tensor=tensor, rank=rank)
    assert made.title == f"{name}: {title}"
    assert crossed(draw_graph(made)) == crossed(draw_graph(made, "down")) == []
    assert (tensor or made.tensor, rank or made.rank) == (made.tensor, made.rank)


@pytest.mark.parametrize(
    ("tensor", "rank", "message"),
    [
        ("QKK", None, "no tensor QKK\n  did you mean QK?"),
        (None, "m", "no rank m\n  did you mean M?"),
        ("Q", "M", "Q of attention-3pass has no rank M"),
        ("AV", None, "no Einsum of attention-3pass reads tensor AV, so there are no passes over it"),
        ("AV", "F", "reads tensor AV along rank F"),
    ],
)
def test_unknown_tensors_and_ranks(tensor: str | None, rank: str | None, message: str, fusemap: Run) -> None:
    with pytest.raises(InputError) as caught:
        fm.graph("attention-3pass", tensor=tensor, rank=rank)
    assert message in str(caught.value)
    options = [*(["--tensor", tensor] if tensor else []), *(["--rank", rank] if rank else [])]
    outcome = fusemap("export", "graph", "attention-3pass", *options)
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"{caught.value}\n")


def crossed(figure: Figure) -> list[str]:
    """Boxes that the line of a barrier runs through."""
    axes = figure.axes[0]
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    lines = [line.get_window_extent().padded(1) for line in axes.lines if line.get_color() == BARRIER]
    return [f"box {i}" for i, box in enumerate(boxes) if any(box.overlaps(line) for line in lines)]


def test_a_planted_crossing_is_found() -> None:
    drawn_graph = placed("attention-3pass", "right")
    figure = draw_graph(graph("attention-3pass"))
    place = drawn_graph.layout.place["SN"]
    figure.axes[0].axvline(place[0] + 0.1, color=BARRIER)
    assert "box 5" in crossed(figure) and crossed(draw_graph(graph("attention-3pass"))) == []


def row(
    tensor: str, rank: str, passes: int, *, einsums: int = 1, upper: int | None = None, steps: int = 0
) -> RankPasses:
    """A row of an analysis of 3-pass attention."""
    count = PassCount(constant=passes, steps=steps, shape=ShapeName("T") if steps else None)
    names = ["QK", "GM", "SN", "SD", "A", "AV"][:einsums]
    return RankPasses(
        tensor=TensorName(tensor),
        rank=ShapeName(rank),
        passes=count,
        upper=count if upper is None else PassCount(constant=upper),
        direct=count,
        assignment=tuple((TensorName(e), 1) for e in names),
        barriers=(Barrier(before=(TensorName("SN"), TensorName("SD")), visited_by=(TensorName("GM"),)),),
    )


@pytest.mark.parametrize(
    "rows",
    [
        (row("K", "M", 2), row("QK", "X", 5)),  # a rank of an input
        (row("K", "M", 3), row("Q", "P", 2, einsums=6)),  # the most passes
        (row("K", "M", 0, steps=1), row("V", "M", 9)),  # for large sizes
        (row("K", "M", 1), row("Q", "P", 1, einsums=6)),  # a rank that is reduced
        (row("K", "M", 3, einsums=2), row("V", "M", 3)),  # the most Einsums
        (row("K", "M", 3), row("V", "M", 3)),  # the first
    ],
)
def test_the_row_that_says_most_is_shown(rows: tuple[RankPasses, RankPasses]) -> None:
    cascade = fm.load_cascade("attention-3pass")
    assert choose_row(cascade, rows) is rows[0]
    if rows[0].passes != rows[1].passes or len(rows[0].assignment) != len(rows[1].assignment):
        assert choose_row(cascade, rows[::-1]) is rows[0]
    assert choose_row(cascade, ()) is None


def test_a_row_is_shown_with_its_barriers_and_what_is_not_proven() -> None:
    made = with_passes(fm.load_cascade("attention-3pass"), row("QK", "M", 2, upper=3))
    assert made.title == "attention-3pass: at least 2 passes over M of QK"
    assert (made.tensor, made.rank) == ("QK", "M")
    assert [(b.before, b.visited_by) for b in made.barriers] == [("SN", ("GM",)), ("SD", ("GM",))]


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


def test_the_command_takes_a_row_or_none(fusemap: Run) -> None:
    asked = fusemap("export", "graph", "attention-1pass", "--tensor", "BQK", "--rank", "M0", "--json").json()
    assert asked == fm.graph("attention-1pass", tensor="BQK", rank="M0").to_json()
    assert asked["barriers"] == [{"before": "SLN", "visited_by": ["LM"]}]
    plain = fusemap("export", "graph", "attention-1pass", "--plain", "--json").json()
    assert {node["pass"] for node in plain["nodes"]} == {None} and plain["barriers"] == []
    both = fusemap("export", "graph", "attention-1pass", "--plain", "--rank", "M")
    assert (both.code, both.out) == (2, "") and "--plain shows no passes" in both.err
