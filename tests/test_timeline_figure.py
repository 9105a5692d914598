"""A picture of a timeline shows its spans, says the names of all of them, and its words do not cover each other."""

from __future__ import annotations

from itertools import combinations

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fusemap.diagnostics import InputError
from fusemap.sim.timeline import Counter, Span, SpanKind, Timeline
from fusemap.sim.timeline_window import window
from fusemap.validation.timeline_bars import Stretch, stretches, timeline_rows
from fusemap.validation.timeline_counters import MOST_SAMPLES, _thinned, scale
from fusemap.validation.timeline_figure import draw_timeline, render_timeline
from fusemap.validation.waterfall import WIDTH_IN

KINDS: tuple[SpanKind, ...] = ("work", "work", "transfer", "stall")
GIGABYTES = Counter(name="dram bandwidth", unit="B/s", samples=((0, 0.0), (40, 4e11), (300, 1e11)))


def _steady(tiles: int = 3) -> Timeline:
    """FuseMax's 142 cycles a tile, much simplified."""
    spans: list[Span] = []
    for i in range(tiles):
        t = 142 * i
        parts = [("dram", "load BK", 0, 9), ("array_2d", "BQK", 0, 64), ("array_2d", "LM", 64, 65)]
        parts += [("array_2d", "SLNV", 69, 133), ("array_1d", "RNV", 0, 64), ("array_1d", "PRM", 64, 71)]
        parts += [("array_1d", "RM", 71, 72), ("array_1d", "SPNV", 72, 136)]
        spans += [Span(track=r, name=n, start=t + a, end=t + b, iteration=i) for r, n, a, b in parts]
        spans.append(Span(track="array_2d", name="LM", start=t + 65, end=t + 321, kind="drain", iteration=i))
        spans.append(Span(track="array_2d", name="SLNV", start=t + 65, end=t + 69, kind="stall", cause="array_1d"))
        spans.append(Span(track="dram", name="load BK", start=t + 9, end=t + 142, kind="stall", cause="room"))
    buffer = Counter(name="buffer", unit="bytes", samples=((0, 0), (9, 5 << 20), (200, 3 << 20)))
    return Timeline(
        name="BERT@4K on fusemax-cloud",
        clock_hz=940e6,
        ticks_per_cycle=1,
        tracks=("array_2d", "array_1d", "dram"),
        spans=tuple(spans),
        counters=(buffer, GIGABYTES),
        last=142 * tiles,
    )


def _units(cycles: int) -> Timeline:
    """A bar a cycle, two Einsums by turns on each array."""
    names = {"array_2d": ("SLNV", "BQK"), "array_1d": ("SPNV", "RNV")}
    spans = tuple(
        Span(track=track, name=pair[n % 2], start=n, end=n + 1, iteration=n // 16)
        for track, pair in names.items()
        for n in range(cycles)
    )
    return Timeline(name="units", clock_hz=1e9, ticks_per_cycle=1, tracks=tuple(names), spans=spans, last=cycles)


def _texts(figure: Figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def _legend(figure: Figure) -> list[str]:
    return [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def _covered(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of words that overlap, and words that leave the figure."""
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    texts = [t for axes in figure.axes for t in axes.texts] + figure.texts
    texts += [t for legend in figure.legends for t in legend.get_texts() if t.get_text()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts]
    found = [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if x.shrunk(0.96, 0.8).overlaps(y.shrunk(0.96, 0.8))]
    width, height = figure.bbox.width, figure.bbox.height
    out = [(a, "out") for a, x in boxes if x.x0 < 0 or x.y0 < 0 or x.x1 > width or x.y1 > height]
    return found + out


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_equal_timelines_give_equal_bytes(suffix: str) -> None:
    assert render_timeline(_steady(), suffix) == render_timeline(_steady(), suffix)


def test_another_suffix_is_refused() -> None:
    with pytest.raises(InputError, match="a picture of a timeline is a file of type svg, png, pdf"):
        render_timeline(_steady(), "gif")


@pytest.mark.parametrize(
    "timeline", [_steady(), _steady(9), _units(12), _units(40), _units(64), _units(300)], ids=lambda t: str(t.last)
)
def test_every_name_is_said_and_no_word_covers_another(timeline: Timeline) -> None:
    figure = draw_timeline(timeline)
    assert figure.get_figwidth() == WIDTH_IN
    said = {name for text in _texts(figure) for name in text.split(" / ")}
    assert {s.name for s in timeline.spans if s.kind != "stall"} | {*timeline.tracks} <= said
    assert _covered(figure) == []


def test_words_that_cover_each_other_are_found() -> None:
    figure = draw_timeline(_steady())
    one, other = (t for t in figure.axes[0].texts if t.get_text() in ("RM", "PRM"))
    one.set_position(other.get_position())
    assert ("PRM", "RM") in [tuple(sorted(pair)) for pair in _covered(figure)]


def test_stalls_drains_counters_and_iterations_are_explained() -> None:
    figure = draw_timeline(window(_steady(), 0, 426))
    assert _legend(figure) == ["iteration", "0", "1", "2", "waits for", "array_1d", "room"]
    assert {"drain", "buffer (MiB)", "dram bandwidth (GB/s)"} <= set(_texts(figure))
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 426)] * 3
    many = _legend(draw_timeline(_steady(9)))
    assert many[:4] == ["iteration", "0 + 7n", "1 + 7n", "2"]


def test_a_row_of_units_is_named_by_what_takes_turns() -> None:
    assert {"SLNV / BQK", "SPNV / RNV"} <= set(_texts(draw_timeline(_units(300))))
    cells = draw_timeline(_units(40)).axes[0].texts
    assert sum(t.get_text() == "BQK" and t.get_rotation() == 90 for t in cells) == 20


def test_alike_bars_that_touch_become_one_beyond_64_cycles() -> None:
    spans = tuple(Span(track="pe", name="QK", start=n, end=n + 1, iteration=n // 50) for n in range(200))
    whole = Timeline(name="", clock_hz=1e9, ticks_per_cycle=1, tracks=("pe",), spans=spans, last=200)
    (row,) = timeline_rows(whole)
    assert [(bar.start, bar.end) for bar in row.lanes[0]] == [(0, 50), (50, 100), (100, 150), (150, 200)]
    (row,) = timeline_rows(window(whole, 30, 94))
    assert len(row.lanes[0]) == 64


def test_too_many_bars_ask_for_a_window() -> None:
    assert len(timeline_rows(_units(2000))) == 2
    with pytest.raises(InputError, match=r"4,002 bars(.|\n)*draw a window"):
        draw_timeline(_units(2001))
    with pytest.raises(InputError, match="is empty"):
        draw_timeline(Timeline(name="none", clock_hz=1e9, ticks_per_cycle=1, tracks=("pe",), spans=()))


def test_a_window_is_drawn_at_its_own_cycles() -> None:
    figure = draw_timeline(window(_steady(), 142, 284))
    assert figure.axes[0].get_xlim() == (142, 284)
    assert figure.texts[0].get_text() == "BERT@4K on fusemax-cloud: cycles 142 to 284"


def test_names_without_room_are_listed() -> None:
    spans = tuple(Span(track="pe", name=f"an_einsum_{n}", start=9 * n, end=9 * n + 1) for n in range(40))
    timeline = Timeline(name="", clock_hz=1e9, ticks_per_cycle=1, tracks=("pe",), spans=spans, last=400)
    figure = draw_timeline(timeline)
    said = [t for t in _texts(figure) if t.startswith("an_")]
    note = figure.axes[-1].get_xlabel()
    assert "no room for the names an_einsum_" in note
    assert len(said) + int(note.split(" and ")[-1].split()[0]) + note.count("an_") == 40


def test_stretches_are_where_a_name_comes_most() -> None:
    (row, _) = timeline_rows(_units(100))
    assert stretches(row.lanes[0], 50) == (Stretch(names=("SLNV", "BQK"), start=0, end=100, count=100),)


@pytest.mark.parametrize(
    ("largest", "unit", "expected"),
    [(1023, "bytes", (1, "B")), (1024, "B", (1024, "KiB")), (999, "B/s", (1, "B/s")), (1e6, "words", (1, "words"))],
)
def test_units_of_counters(largest: float, unit: str, expected: tuple[float, str]) -> None:
    assert scale(largest, unit) == expected


def test_thinned_samples_keep_the_extremes() -> None:
    samples = [(float(n), float(n * 7919 % 1009)) for n in range(100_000)]
    samples[777] = (777.0, 1e6)
    kept = _thinned(samples, 0, 1e5)
    assert len(kept) <= MOST_SAMPLES + 4 and kept == sorted(kept) and set(kept) <= set(samples)
    assert (777.0, 1e6) in kept and kept[0] == samples[0] and kept[-1] == samples[-1]


@st.composite
def _random(draw: st.DrawFn) -> Timeline:
    tracks = ("array_2d", "array_1d", "dram")
    names = st.sampled_from(["QK", "SLNV", "load K", "a_long_name", "_x", "$a$"])
    spans: list[Span] = []
    for track in tracks:
        at = 0
        for _ in range(draw(st.integers(0, 40))):
            end = at + draw(st.sampled_from([1, 2, 3, 40]))
            kind = draw(st.sampled_from(KINDS))
            cause = draw(names) if kind == "stall" else ""
            n = draw(st.integers(0, 2000))
            spans.append(Span(track=track, name=draw(names), start=at, end=end, kind=kind, cause=cause, iteration=n))
            at = end + draw(st.sampled_from([0, 0, 5]))
    return Timeline(name="any", clock_hz=1e9, ticks_per_cycle=3, tracks=tracks, spans=tuple(spans), last=10)


@examples(4, 12, deadline=None)
@given(timeline=_random())
def test_no_word_covers_another_in_any_timeline(timeline: Timeline) -> None:
    assert _covered(draw_timeline(timeline)) == []
