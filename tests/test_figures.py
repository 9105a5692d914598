"""Figures: their numbers against the published ones, legible when printed, and the same bytes every time."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from studies import STUDY, bench, reproduced

from fusemap.diagnostics import InputError
from fusemap.validation.figures import (
    AnyFigure,
    FigureData,
    choose_figures,
    figure_data,
    short_length,
    study_figure,
    to_csv,
)
from fusemap.validation.figures_draw import STYLES, WIDTH_IN, draw, save
from fusemap.validation.figures_picture import PictureData, picture_data
from fusemap.validation.figures_picture_draw import COLOURS, draw_picture
from fusemap.validation.figures_scatter import ScatterData
from fusemap.validation.published import load_published
from fusemap.validation.reproduce import Failure
from fusemap.validation.reproduction import Reproduction
from fusemap.validation.study import FigureModel

VALUES = load_published(STUDY)
LABELS = {c: m.label for c, m in STUDY.model.configurations.items()}
FIGURES = tuple(STUDY.model.figures)
BARS = tuple(name for name in FIGURES if STUDY.model.figures[name].study != "pareto")
DOCS = Path(__file__).parents[1] / "docs"
SMALLEST_PT = 7.0


def found() -> Reproduction:
    """The study recomputed."""
    return reproduced()


@cache
def data(name: str) -> FigureData:
    """The data of a figure with bars."""
    made = study_figure(found(), name)
    assert isinstance(made, FigureData)
    return made


@cache
def areas() -> ScatterData:
    """The data of the figure of the machines of many sizes."""
    made = study_figure(found(), "12")
    assert isinstance(made, ScatterData)
    return made


def any_data(name: str) -> AnyFigure:
    return data(name) if name in BARS else areas()


def picture() -> PictureData:
    """The data of the picture."""
    made = picture_data(bench(), found())
    assert made is not None
    return made


@cache
def drawn(name: str) -> Figure:
    """A figure by name, or the picture, drawn."""
    figure = draw_picture(picture()) if name == "picture" else draw(any_data(name), LABELS)
    figure.draw_without_rendering()
    return figure


# --- numbers --------------------------------------------------------------------------------------


POINTS = [("6a", 120), ("6b", 120), ("7", 84), ("8", 120), ("9", 120), ("10", 120), ("11", 120)]


@pytest.mark.parametrize(("name", "points"), POINTS)
def test_every_point_is_there_with_its_published_value(name: str, points: int) -> None:
    assert len(data(name).points) == points
    for point in data(name).points:
        assert point.published is not None
        assert point.computed == pytest.approx(point.published, rel=3e-3)
    assert data(name).largest_difference < 3e-3


@pytest.mark.parametrize(
    ("name", "quantity", "inverted"),
    [("6a", "util_1d", None), ("6b", "util_2d", None), ("8", "latency_s", True), ("9", "energy_pj", False)],
)
def test_bars_show_the_published_tables(name: str, quantity: str, inverted: bool | None) -> None:
    attention = [v for v in VALUES if v.study == "attention" and v.quantity == quantity]
    table = {(v.configuration, v.model, v.seq_len): v.value for v in attention}
    for point in data(name).points:
        own = table[point.configuration, point.model, point.seq_len]
        base = table["unfused", point.model, point.seq_len]
        expected = own if inverted is None else base / own if inverted else own / base
        assert point.published == pytest.approx(expected, rel=1e-15)


BUFFER = {"unfused": "32MiB", "flat": "32MiB", "cascade": "32MiB", "arch": "16MiB", "binding": "16MiB"}


@pytest.mark.parametrize(("name", "quantity"), [("10", "latency_s"), ("11", "energy_pj")])
def test_bars_end_to_end_show_the_sums_of_the_published_tables(name: str, quantity: str) -> None:
    table = {(v.study, v.configuration, v.model, v.seq_len): v.value for v in VALUES if v.quantity == quantity}

    def whole(configuration: str, model: str, seq_len: int) -> float:
        layers = table["linear", BUFFER[configuration], model, seq_len]
        return table["attention", configuration, model, seq_len] + layers

    for point in data(name).points:
        own, base = (whole(c, point.model, point.seq_len) for c in (point.configuration, "unfused"))
        expected = base / own if name == "10" else own / base
        assert point.published == pytest.approx(expected, rel=1e-15)
        assert point.computed == pytest.approx(expected, rel=3e-3 if point.seq_len == 1 << 18 else 1e-9)


def test_every_machine_is_there_with_its_published_area_and_latency() -> None:
    table = {(v.model, v.configuration, v.quantity): v.value for v in VALUES if v.study == "pareto"}
    assert {(p.model, p.value) for p in areas().points} == {(m, pe) for m in STUDY.model.models for pe in SIZES}
    for point in areas().points:
        expected = tuple(table[point.model, f"pe={point.value}", q] for q in ("area_um2", "latency_s"))
        assert point.published == expected
        assert point.computed == pytest.approx(expected, rel=1e-9)
    assert 0 < areas().largest_difference < 1e-9
    first = areas().points[0]
    far = dataclasses.replace(first, computed=(first.computed[0], first.computed[1] * 1.5))
    assert dataclasses.replace(areas(), points=(far,)).largest_difference == pytest.approx(0.5)
    alone = dataclasses.replace(areas(), points=(dataclasses.replace(first, published=None),))
    assert alone.largest_difference == 0
    draw(alone, LABELS)


SIZES = (16, 32, 64, 128, 256, 512)


def test_the_csv_of_the_machines_holds_all_digits() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(areas()))))
    assert [(float(r["area_um2"]), float(r["latency_s"])) for r in rows] == [p.computed for p in areas().points]
    assert [float(r["published_area_um2"]) for r in rows] == [p.published[0] for p in areas().points if p.published]
    assert [int(r["pe"]) for r in rows] == [p.value for p in areas().points]


def test_parts_add_up_to_the_use_of_the_array() -> None:
    use = {(p.configuration, p.seq_len): p.computed for p in data("6b").points if p.model == "BERT"}
    totals: dict[tuple[str, int], float] = {}
    for point in data("7").points:
        key = (point.configuration, point.seq_len)
        totals[key] = totals.get(key, 0.0) + point.computed
    assert {c for c, _ in totals} == {"flat", "cascade", "arch", "binding"}
    assert totals == pytest.approx({key: use[key] for key in totals}, rel=1e-12)


def test_a_row_that_is_missing_leaves_a_gap() -> None:
    rows = [r for r in found().rows if (r.configuration, r.model, r.seq_len) != ("unfused", "BERT", 1024)]
    assert len(figure_data(STUDY, "6a", rows, VALUES).points) == 119
    gap = figure_data(STUDY, "8", rows, VALUES)
    assert len(gap.points) == 115, "the baseline of five points is missing"
    draw(gap, LABELS)
    only = figure_data(STUDY, "7", [r for r in rows if r.configuration == "binding"], ())
    assert {p.published for p in only.points} == {None} and only.largest_difference == 0
    draw(only, LABELS)


def test_csv_holds_all_digits() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(data("9")))))
    assert [float(r["computed"]) for r in rows] == [p.computed for p in data("9").points]
    assert [float(r["published"]) for r in rows] == [p.published for p in data("9").points]


def test_names_of_figures() -> None:
    assert choose_figures(STUDY, "all") == FIGURES == ("6a", "6b", "7", "8", "9", "10", "11", "12")
    assert choose_figures(STUDY, "8") == ("8",)
    for name, message in (("6", "did you mean 6b"), ("x", "valid figures")):
        with pytest.raises(InputError, match=message):
            choose_figures(STUDY, name)


def test_a_figure_has_one_form() -> None:
    with pytest.raises(ValueError, match="quantity, or array, model and parts"):
        FigureModel(shows="s", axis="a", quantity="util_1d", array="array_1d", model="BERT", parts={"x": ["y"]})
    with pytest.raises(ValueError, match="a figure of the Pareto study has against"):
        FigureModel(shows="s", axis="a", study="pareto", quantity="latency_s")


@pytest.mark.parametrize(("seq_len", "text"), [(1024, "1K"), (1 << 18, "256K"), (1 << 20, "1M"), (1000, "1000")])
def test_short_lengths(seq_len: int, text: str) -> None:
    assert short_length(seq_len) == text


# --- legibility -----------------------------------------------------------------------------------


def texts(figure: Figure) -> list[Text]:
    """The texts that are seen."""
    found_texts = figure.findobj(lambda artist: isinstance(artist, Text))
    return [t for t in found_texts if isinstance(t, Text) and t.get_visible() and t.get_text().strip()]


def box(text: Text) -> Bbox:
    return text.get_window_extent()


def shown(figure: Figure) -> list[Text]:
    """The texts that are drawn: ticks outside an axis' limits and of shared axes are not."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn_ticks = {id(tick) for tick in axis._update_ticks()}
            labels = [t.label1 for t in axis.get_major_ticks() + axis.get_minor_ticks() if id(t) not in drawn_ticks]
            hidden |= {id(label) for label in labels}
    return [t for t in texts(figure) if id(t) not in hidden]


@pytest.mark.parametrize("name", [*FIGURES, "picture"])
def test_text_is_large_enough_in_print_at_the_width_of_two_columns(name: str) -> None:
    figure = drawn(name)
    assert figure.get_size_inches()[0] == WIDTH_IN == 7.0
    assert min(t.get_fontsize() for t in texts(figure)) >= SMALLEST_PT


@pytest.mark.parametrize("name", [*FIGURES, "picture"])
def test_no_text_overlaps_another_or_leaves_the_figure(name: str) -> None:
    assert overlaps(drawn(name)) == []


def overlaps(figure: Figure) -> list[str]:
    """Texts that overlap each other, or reach out of the figure."""
    width, height = figure.bbox.width, figure.bbox.height
    faults = []
    boxes = [(t.get_text(), box(t)) for t in shown(figure)]
    for text, place in boxes:
        if place.x0 < 0 or place.y0 < 0 or place.x1 > width or place.y1 > height:
            faults.append(f"{text} is cut off")
    for (first, a), (second, b) in itertools.combinations(boxes, 2):
        common = Bbox.intersection(a.shrunk(0.9, 0.9), b.shrunk(0.9, 0.9))
        if common is not None and common.width > 0.5 and common.height > 1.5:
            faults.append(f"{first} overlaps {second}")
    return faults


@pytest.mark.parametrize("name", FIGURES)
def test_the_legend_covers_no_panel(name: str) -> None:
    figure = drawn(name)
    (legend,) = figure.legends
    below = legend.get_window_extent().y0
    for axes in figure.axes:
        assert axes.get_window_extent().y1 < below


def test_a_planted_overlap_and_a_cut_text_are_found() -> None:
    figure = Figure()
    figure.text(0.5, 0.5, "first")
    figure.text(0.51, 0.5, "second")
    figure.text(0.99, 0.1, "far out")
    figure.draw_without_rendering()
    assert overlaps(figure) == ["far out is cut off", "first overlaps second"]


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled_with_the_quantity_and_the_unit_of_the_length(name: str) -> None:
    seen = [t.get_text() for t in texts(drawn(name))]
    assert ("sequence length (tokens)" if name in BARS else "chip area (mm²)") in seen
    assert STUDY.model.figures[name].axis in seen
    assert any(text.startswith("published (differs by") for text in seen)


def lightness(colour: str) -> float:
    """CIE L* of a colour, 0 to 100: what is left of it in grey."""
    linear = [((c + 0.055) / 1.055) ** 2.4 if c > 0.04045 else c / 12.92 for c in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16


def test_styles_differ_in_grey_too() -> None:
    for (first, hatch), (second, other) in itertools.combinations(STYLES, 2):
        assert hatch != other or abs(lightness(first) - lightness(second)) > 15 or {hatch, other} == {""}
    plain = [colour for colour, hatch in STYLES if not hatch]
    neighbours = [STYLES[0][0], STYLES[4][0]]
    assert abs(lightness(neighbours[0]) - lightness(neighbours[1])) > 30 and len(plain) == 3


# --- the picture ----------------------------------------------------------------------------------


def test_the_picture_shows_the_claims() -> None:
    panels = {p.name: p for p in picture().panels}
    claims = {c.claim.claim: c.claim.computed for c in found().claims}
    means = [s.mean for s in panels["FuseMax"].speed_up]
    assert sum(means) / len(means) == pytest.approx(claims["attention speed-up over unfused"], rel=1e-12)
    energy = sum(share for _, share in panels["FuseMax"].energy)
    assert energy == pytest.approx(claims["attention energy relative to unfused"], rel=1e-12)
    corrected = {c.claim.claim: c.claim.computed for c in reproduced("principled").claims}
    assert panels["FuseMax"].corrected_energy == pytest.approx(
        corrected["attention energy relative to unfused"], rel=1e-12
    )
    assert sum(share for _, share in panels["Unfused"].energy) == pytest.approx(1.0, rel=1e-12)
    assert [len(panels[name].sensitive) for name in ("Unfused", "FLAT", "FuseMax")] == [0, 6, 0]


def test_the_picture_shows_what_sets_the_pace() -> None:
    uses = {p.name: {u.resource: u for u in p.uses} for p in picture().panels}
    assert uses["FLAT"]["1D array"].bounds == pytest.approx(16 / 24)
    assert uses["FLAT"]["DRAM"].bounds == pytest.approx(8 / 24)
    assert uses["FuseMax"]["1D array"].bounds == pytest.approx(1.0)
    assert uses["FuseMax"]["2D array"].in_use > 0.95 > 0.2 > uses["FLAT"]["2D array"].in_use
    assert len(COLOURS) >= len(uses)


def test_the_picture_needs_all_of_its_rows() -> None:
    failure = Failure(configuration="flat", model="BERT", length="1K", message="planted")
    assert picture_data(bench(), dataclasses.replace(found(), failures=(failure,))) is None
    other = dataclasses.replace(failure, configuration="cascade")
    assert picture_data(bench(), dataclasses.replace(found(), failures=(other,))) is not None


def test_the_fingerprint_follows_the_numbers() -> None:
    made = picture()
    panel = dataclasses.replace(made.panels[0], corrected_energy=made.panels[0].corrected_energy * (1 + 1e-7))
    assert dataclasses.replace(made, panels=(panel, *made.panels[1:])).fingerprint != made.fingerprint


def test_the_picture_in_the_documentation_shows_these_numbers() -> None:
    assert STUDY.model.picture is not None
    with Image.open(DOCS / f"{STUDY.model.picture.file}.png") as image:
        made_anew = "fusemap reproduce fusemax makes it anew, in out/fusemax"
        assert image.info.get("Description") == picture().fingerprint, made_anew
        assert image.size[0] == 1400


# --- files ----------------------------------------------------------------------------------------


DRAWN_TWICE = [*FIGURES, "picture"]


@pytest.mark.parametrize(
    "name", [*DRAWN_TWICE[-3:], *(pytest.param(n, marks=pytest.mark.slow) for n in DRAWN_TWICE[:-3])]
)
def test_files_are_png_and_pdf_and_the_same_every_time(name: str, tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir(), second.mkdir()
    png, pdf = save(drawn(name), first, name, note="n")
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") and png.stat().st_size > 10_000
    assert pdf.read_bytes().startswith(b"%PDF-1.") and pdf.read_bytes().rstrip().endswith(b"%%EOF")
    anew = draw_picture(picture()) if name == "picture" else draw(any_data(name), LABELS)
    for one, other in zip((png, pdf), save(anew, second, name, note="n"), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_files_hold_no_date_and_their_text_as_truetype(tmp_path: Path) -> None:
    png, pdf = save(drawn("8"), tmp_path, "8")
    with Image.open(png) as image:
        assert {key for key in image.info if key != "dpi"} == set()
    content = pdf.read_bytes()
    assert b"CreationDate" not in content and b"/Type3" not in content


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "fusemap", "reproduce", "fusemax", "--json", "--figure", "7", "--out", str(tmp_path)]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": "7"})
    here = tmp_path / "here"
    here.mkdir()
    for path in save(draw(data("7"), LABELS), here, "figure-7"):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()
    assert (tmp_path / "figure-7.csv").read_text() == to_csv(data("7"))
