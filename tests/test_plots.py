"""`fusemap plot`: what pictures show against the rows, equal bytes, texts inside the page and large enough to read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from store_cases import UTILIZATION, write_store

import fusemap as fm
from fusemap.validation.pareto import fronts_of
from fusemap.validation.plots_axes import log_ticks
from fusemap.validation.plots_cloud import MOST_DOTS
from fusemap.validation.plots_front import axes_of, draw_front, front_of
from fusemap.validation.plots_heatmap import draw_heat_map, heat_map
from fusemap.validation.plots_page import SERIES, WIDTHS
from fusemap.validation.plots_scatter import draw_scatter, scatter
from fusemap.validation.plots_tornado import tornado
from fusemap.validation.plots_tornado_draw import draw_tornado
from fusemap.validation.store_layout import layout_of

Run = Callable[..., Outcome]
AXES = ("pe", "length", "dram.bandwidth_bytes_per_s", "global_buffer.capacity_bytes")
VALUES = ((32, 64, 128), (1024, 4096), (10**11, 4 * 10**11), (2**16, 2**20, 2**24))
NAMES = ("attention-1pass", "attention-3pass")


def rows() -> list[dict[str, Any]]:
    """All combinations; the smallest buffer does not fit the largest array, and one cascade lacks a length."""
    found = []
    for name, values in itertools.product(NAMES, itertools.product(*VALUES)):
        pe, length, bandwidth, capacity = values
        if name == NAMES[1] and length == 1024:
            continue
        row: dict[str, Any] = {"cascade": name, **dict(zip(AXES, values, strict=True))}
        if pe == 128 and capacity == 2**16:
            row |= {"status": "does not fit", "reason": "buffer: needs more", "mapped_by": None}
        else:
            slow = 1 + NAMES.index(name)
            traffic = length * 1e7 / capacity * slow
            latency = max(slow * length**2 / pe**2 / 1e6, traffic / bandwidth)
            row |= {"latency_s": latency, "energy_pj": (5 + slow / latency) * 1e12, "area_um2": pe**2 * 1e4 + capacity}
            row |= {"traffic_bytes": traffic, UTILIZATION: min(1.0, length / pe / 40)}
        found.append(row)
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_store(tmp_path_factory.mktemp("store") / "rows.sqlite", rows(), axes=AXES)


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("take", "pick"), [("least", min), ("greatest", max), ("mean", lambda v: sum(v) / len(v))])
def test_a_cell_is_taken_of_its_rows(store: str, take: Any, pick: Callable[[list[float]], float]) -> None:
    found = heat_map(store, x="pe", y="global_buffer.capacity", z="latency", take=take)
    assert (found.xs, found.ys) == (VALUES[0], VALUES[3])
    for (j, y), (i, x) in itertools.product(enumerate(found.ys), enumerate(found.xs)):
        mine = [r for r in rows() if (r["pe"], r["global_buffer.capacity_bytes"]) == (x, y)]
        values = [r["latency_s"] for r in mine if "latency_s" in r]
        assert found.rows[j, i] == len(mine)
        assert np.isnan(found.values[j, i]) if not values else found.values[j, i] == pytest.approx(pick(values))
    assert dict(found.over) == {"cascade": 2, "length": 2, "dram.bandwidth_bytes_per_s": 2}
    assert np.isnan(found.values).sum() == 1


def test_of_utilization_the_greatest_is_the_best(store: str) -> None:
    assert heat_map(store, x="pe", y="cascade", z=UTILIZATION).take == "greatest"
    assert heat_map(store, x="pe", y="cascade", z="latency").take == "least"


@pytest.mark.parametrize("base", ["middle", "best", "7"])
@pytest.mark.parametrize("where", [(), ("cascade == attention-1pass and length == 4096",)], ids=["", "where"])
def test_a_bar_has_the_rows_that_differ_in_its_parameter_alone(store: str, base: str, where: tuple[str, ...]) -> None:
    found = tornado(store, y="latency", base=base, where=where)
    given = [r for r in rows() if not where or (r["cascade"], r["length"]) == (NAMES[0], 4096)]
    at = {axis: found.at[axis] for axis in ("cascade", *AXES)}
    for bar in found.bars:
        others = {axis: value for axis, value in at.items() if axis != bar.axis}
        mine = [r for r in given if all(r[axis] == value for axis, value in others.items())]
        assert dict(bar.points) == {r[bar.axis]: r["latency_s"] for r in mine if "latency_s" in r} | {
            at[bar.axis]: found.base
        }
        assert [value for value, _ in bar.without] == sorted(r[bar.axis] for r in mine if "latency_s" not in r)
    swings = [max(v for _, v in bar.points) / min(v for _, v in bar.points) for bar in found.bars]
    assert swings == sorted(swings, reverse=True) and all(swing > 1 for swing in swings)
    if base == "best":
        assert found.base == min(r["latency_s"] for r in given if "latency_s" in r)
    assert {*found.unmoved, *found.fixed, *(bar.axis for bar in found.bars)} == {"cascade", *AXES}
    assert "points of the store alone, nothing interpolated" in found.notes()


def test_the_middle_is_the_middle_where_it_has_a_result(store: str) -> None:
    found = tornado(store, y="latency", where=("cascade == attention-1pass",))
    assert {axis: found.at[axis] for axis in AXES} == {
        a: v[(len(v) - 1) // 2] for a, v in zip(AXES, VALUES, strict=True)
    }


def test_a_base_without_a_result_is_refused(store: str, fusemap: Run, tmp_path: Path) -> None:
    bad = next(i for i, row in enumerate(rows()) if "latency_s" not in row)
    for base, message in (
        (str(bad), "does not fit, it has no latency_s"),
        ("9999", "not in the store"),
        ("x", "middle"),
    ):
        outcome = fusemap("plot", "tornado", store, "--base", base, "--out", str(tmp_path / "a.png"))
        assert outcome.code == 2 and message in outcome.err


def test_the_picture_of_a_front_has_the_front(store: str, fusemap: Run, tmp_path: Path) -> None:
    asked = ("--x", "area", "--y", "latency", "--by", "cascade", "--where", "length == 4096")
    out = str(tmp_path / "front.svg")
    document = fusemap("plot", "pareto", store, *asked, "--out", out, "--json").json()
    returned = fm.pareto(store, minimize=["area", "latency"], by=["cascade"], where="length == 4096").to_json()
    assert document["fronts"] == json.loads(json.dumps(returned))["fronts"]
    assert (document["schema"], document["kind"], document["picture"]) == ("fusemap/plot/1", "pareto", out)


# --- files and pages ----------------------------------------------------------------------------------------

KINDS: dict[str, tuple[str, ...]] = {
    "pareto": ("--by", "cascade"),
    "tornado": ("--y", "energy"),
    "heatmap": ("--x", "pe", "--y", "global_buffer.capacity"),
    "scatter": ("--x", "area", "--y", "latency"),
}
START = {"png": b"\x89PNG", "pdf": b"%PDF-1.", "svg": b"<?xml"}


@pytest.mark.parametrize(("kind", "suffix"), list(zip(KINDS, ["svg", "svg", "png", "pdf"], strict=True)))
def test_equal_rows_give_equal_bytes(kind: str, suffix: str, store: str, fusemap: Run, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.{suffix}" for name in ("first", "second")]
    for file in files:
        outcome = fusemap("plot", kind, store, *KINDS[kind], "--out", str(file))
        assert (outcome.code, outcome.err) == (0, "") and outcome.out.endswith(f"wrote {file}\n")
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes().startswith(START[suffix])


def figures(store: str, width: float) -> Iterator[tuple[str, Figure]]:
    """A picture of every kind, and of the harder ones several."""
    layout = layout_of(store)
    for by, axes in (((), "ae"), (("cascade",), "ael"), (("cascade", "length"), "lea"), (("pe",), "le")):
        names = {"a": "area", "e": "energy", "l": "latency"}
        objectives = axes_of(layout, {f"--{i}": names[a] for i, a in enumerate(axes)}, ())
        yield f"front {by} {axes}", draw_front(front_of(fronts_of(layout, objectives, by=by)), width)
    for x, y, z in (("pe", "global_buffer.capacity", "latency"), ("cascade", "length", UTILIZATION)):
        yield f"map {x} {y}", draw_heat_map(heat_map(store, x=x, y=y, z=z), width)
    for base in ("middle", "best", "50"):
        yield f"tornado {base}", draw_tornado(tornado(store, y="latency", base=base), width)
    for z in (None, "cascade", UTILIZATION, "traffic"):
        yield f"scatter {z}", draw_scatter(scatter(store, x="area", y="latency", z=z), width)


def faults(figure: Figure) -> list[str]:
    """Texts that leave the page, overlap another tick's, or are smaller than 7 points."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    width, height = figure.bbox.width, figure.bbox.height
    found = []
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if not text.get_text().strip() or not text.get_visible():
            continue
        box = text.get_window_extent(renderer)
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
            found.append(f"{text.get_text()!r} leaves the page")
        if text.get_fontsize() < 7:
            found.append(f"{text.get_text()!r} is small")
    for axes in figure.axes:
        for ticks, side in ((axes.get_xticklabels(), "x"), (axes.get_yticklabels(), "y")):
            boxes = [t.get_window_extent(renderer) for t in ticks if t.get_text() and t.get_visible() and axes.axison]
            spans = sorted((getattr(b, f"{side}0"), getattr(b, f"{side}1")) for b in boxes if b.width > 1)
            if any(b[0] < a[1] - 0.5 for a, b in itertools.pairwise(spans)):
                found.append(f"ticks along {side} overlap")
    return found


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_texts_are_on_the_page_apart_and_large_enough(store: str, width: float) -> None:
    drawn = list(figures(store, width))
    assert {name: found for name, figure in drawn if (found := faults(figure))} == {}
    labels = {label for _, f in drawn for a in f.axes for label in (a.get_xlabel(), a.get_ylabel()) if label}
    expected = {"area (mm²)", "energy (kJ)", "latency (ms)", "length (tokens)", "global_buffer capacity (B)", "pe"}
    assert expected <= labels
    assert not [label for label in labels if "_s" in label.split("(")[0] or "_pj" in label or "_um2" in label]


def test_a_planted_text_is_found(store: str) -> None:
    figure = draw_heat_map(heat_map(store, x="pe", y="length", z="latency"))
    assert faults(figure) == []
    figure.text(0.98, 0.5, "too far to the right")
    figure.text(0.5, 0.5, "tiny", size=4)
    figure.axes[0].set_xticks([0, 0.05, 1], ["100,000", "200,000", "3"])
    assert sorted(fault.split()[-1] for fault in faults(figure)) == ["overlap", "page", "small"]


def test_colours_are_those_of_the_palette_each_with_its_mark_and_dash() -> None:
    okabe_ito = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#000000"}
    assert {colour for colour, _, _ in SERIES} <= okabe_ito
    assert len({mark for _, mark, _ in SERIES}) == len({str(dash) for *_, dash in SERIES}) == len(SERIES)


def test_very_many_points_make_no_large_file(tmp_path: Path, fusemap: Run) -> None:
    random = np.random.default_rng(0)
    values = np.exp(random.standard_normal((4 * MOST_DOTS, 2)))
    given = [{"pe": i, "latency_s": a, "energy_pj": b * 1e12} for i, (a, b) in enumerate(values.tolist())]
    path = write_store(tmp_path / "many.sqlite", given)
    assert fusemap("plot", "pareto", path, "--out", str(tmp_path / "many.svg")).code == 0
    assert (tmp_path / "many.svg").stat().st_size < 100_000
    few = write_store(tmp_path / "few.sqlite", given[: MOST_DOTS - 1])
    assert fusemap("plot", "pareto", few, "--out", str(tmp_path / "few.svg")).code == 0
    assert (tmp_path / "few.svg").stat().st_size > 200_000


ERRORS = {
    ("heatmap", "--x", "pe", "--y", "pe"): "--x and --y are both pe",
    ("heatmap", "--x", "latency", "--y", "pe", "--z", "energy"): "",
    ("heatmap", "--x", "pee", "--y", "length"): "did you mean pe?",
    ("heatmap", "--x", "pe", "--y", "length", "--z", "cascade"): "the column has texts, not numbers",
    ("scatter", "--z", "cascad"): "did you mean cascade?",
    ("scatter", "--where", "pe > 1000"): "nothing to draw: no row has a value of every column",
    ("pareto", "--maximize", "area"): "--maximize area_um2: no axis shows it",
    ("pareto", "--by", "global_buffer.capacity,pe,dram.bandwidth"): "more than 7 series cannot be told apart",
    ("tornado", "--where", "pe > 1000"): "nothing to draw: no row has a value of latency_s",
    ("tornado", "--y", "bottleneck"): "the column has texts, not numbers",
}


@pytest.mark.parametrize("argv", ERRORS, ids=" ".join)
def test_wrong_input_says_what_is_near(store: str, fusemap: Run, argv: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    outcome = fusemap("plot", argv[0], store, *argv[1:], "--out", str(target))
    if ERRORS[argv]:
        assert (outcome.code, outcome.out) == (2, "") and ERRORS[argv] in outcome.err
        assert not target.exists()
    else:
        assert outcome.code == 0


@pytest.mark.parametrize("base", [2, 10])
def test_ticks_are_few_and_inside(base: int) -> None:
    random = np.random.default_rng(base)
    for low, ratio in zip(np.exp(random.uniform(-20, 20, 300)), np.exp(random.uniform(2.1, 30, 300)), strict=True):
        ticks = log_ticks(float(low), float(low * ratio), base, 6)
        assert 1 <= len(ticks) <= 6 and ticks == sorted(ticks)
        assert ticks[0] >= low * (1 - 1e-9) and ticks[-1] <= low * ratio * (1 + 1e-9)
