"""The waterfall shows what the schedule says, and its words do not cover each other."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import fusemap as fm
from fusemap.mappers.interleave import Interleaving, interleave
from fusemap.mappers.modulo import Schedule, schedule
from fusemap.mappers.modulo_steady import steady_schedule
from fusemap.mappers.modulo_units import streams_of
from fusemap.mappers.tasks import tasks_of
from fusemap.sim.evaluate import plan
from fusemap.validation.waterfall import draw_waterfall, render_waterfall, transfers, waterfall_bars


@pytest.fixture(scope="module")
def fusemax() -> tuple[Schedule, Interleaving]:
    cascade, machine = fm.load_cascade("attention-1pass"), fm.load_arch("fusemax-cloud")
    problem, mapping = plan(cascade, machine, fm.load_workload("BERT@4K"), fm.load_dataflow("fusemax-binding"))
    graph = tasks_of(cascade, problem, mapping, machine, transfers=transfers(problem, mapping, machine))
    return schedule(graph), interleave(*streams_of(graph, cascade, problem, mapping, machine))


@pytest.mark.parametrize("periods", [1, 3])
def test_every_period_has_the_work_of_one_iteration(fusemax: tuple[Schedule, Interleaving], periods: int) -> None:
    found, _ = fusemax
    bars = waterfall_bars(found, periods)
    for resource, ticks in found.resource_bounds:
        mine = sorted((b for b in bars if b.row == resource), key=lambda b: b.start)
        assert sum(b.end - b.start for b in mine) == periods * Fraction(ticks, found.graph.ticks_per_cycle)
        assert all(one.end <= other.start for one, other in combinations(mine, 2))
        assert {b.lane for b in mine} == {0}
    drains = [b for b in bars if b.row == "drain"]
    assert sum(b.end - b.start for b in drains) == periods * 3 * 256
    for one, other in combinations(drains, 2):
        assert one.lane != other.lane or one.end <= other.start or other.end <= one.start


def _texts_overlap(found: Schedule, pattern: Interleaving | None, periods: int = 3) -> list[tuple[str, str]]:
    figure = draw_waterfall(found, pattern, periods=periods)
    FigureCanvasAgg(figure).draw()
    boxes = [(t.get_text(), t.get_window_extent()) for axes in figure.axes for t in axes.texts]
    return [(a, b) for (a, x), (b, y) in combinations(boxes, 2) if x.shrunk(0.98, 0.9).overlaps(y.shrunk(0.98, 0.9))]


def test_no_text_covers_another(fusemax: tuple[Schedule, Interleaving]) -> None:
    assert _texts_overlap(*fusemax) == []


@pytest.mark.parametrize("name", ["attention-flash-1", "mala-streaming", "lightning-chunked", "waad-streaming"])
def test_no_text_covers_another_in_other_cascades(name: str) -> None:
    assumed = {"relu": 1, "min": 1, "recip": 1, "neg": 1, "softplus": 12}
    found = steady_schedule(
        fm.load_cascade(name), fm.load_workload("BERT@4K"), fm.load_arch("fusemax-cloud"), assume=assumed
    )
    assert _texts_overlap(found, None) == []


@pytest.mark.parametrize("with_pattern", [True, False])
def test_all_of_it_is_on_the_page(fusemax: tuple[Schedule, Interleaving], with_pattern: bool) -> None:
    figure = draw_waterfall(fusemax[0], fusemax[1] if with_pattern else None)
    FigureCanvasAgg(figure).draw()
    page = figure.bbox
    labels = [t for axes in figure.axes for t in (*axes.texts, *axes.get_xticklabels(), axes.xaxis.label)]
    for item in (*labels, *figure.texts, *figure.legends):
        box = item.get_window_extent()
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, item
    legend = figure.legends[0].get_window_extent()
    assert not any(legend.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_equal_schedules_make_equal_files(fusemax: tuple[Schedule, Interleaving]) -> None:
    found, pattern = fusemax
    drawn = render_waterfall(found, "svg", pattern)
    assert drawn == render_waterfall(found, "svg", pattern)
    assert drawn.startswith(b"<?xml")


def test_what_cannot_be_drawn_is_refused(fusemax: tuple[Schedule, Interleaving]) -> None:
    with pytest.raises(fm.InputError, match='svg, png, pdf, not "gif"'):
        render_waterfall(fusemax[0], "gif")
    with pytest.raises(fm.InputError, match="1 to 12 periods, not 0"):
        waterfall_bars(fusemax[0], 0)


def test_a_gap_is_in_the_title(fusemax: tuple[Schedule, Interleaving]) -> None:
    found = fusemax[0]
    short = dataclasses.replace(found, proven=found.interval - 2 * found.graph.ticks_per_cycle)
    assert "every 142 cycles (at least 140 needed)" in draw_waterfall(short).texts[0].get_text()
