"""Sliders and pictures of notebooks: numbers against the functions they come from, callbacks without a front-end."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import matplotlib.image
import pytest

import fusemap as fm
from fusemap import pictures
from fusemap.pictures import Picture
from fusemap.validation import sliders
from fusemap.validation.cuda_check import check_kernels
from fusemap.widgets import chunk_slider, machine_sliders
from fusemap.widgets import sliders as box_of


def test_costs_are_those_of_evaluate() -> None:
    flat, fusemax = sliders.costs(4096, 256)
    report = fm.evaluate("attention-3pass", arch="flat-cloud", workload="BERT@4K", dataflow="flat")
    assert (flat.latency_s, flat.energy_j, flat.bottleneck) == pytest.approx(
        (report.latency_s, report.energy_pj / 1e12, report.bottleneck)
    )
    assert fusemax.latency_s < flat.latency_s
    assert sliders.costs(4096, 128)[1].latency_s > fusemax.latency_s


def test_chunks_are_those_of_analyze() -> None:
    shown = {chunk.keys: chunk for chunk in sliders.chunks(4096)}
    found = fm.analyze("attention-1pass", workload="BERT@4K", sizes={"M0": 256})
    assert shown[256].live == found.value(found.joint.count)
    assert (shown[256].passes, shown[256].passes_of_chunk) == (found.label["M"].at({}), found.label["M0"].at({}))
    assert list(shown) == [2**n for n in range(4, 13)]
    lives, extras = ([getattr(c, name) for c in shown.values()] for name in ("live", "extra"))
    assert lives == sorted(lives) and extras == sorted(extras, reverse=True) and extras[-1] == 0


def test_the_bars_and_curves_say_their_numbers() -> None:
    figure = sliders.draw_costs(sliders.costs(65536, 256), 65536, 256)
    texts = [text.get_text().strip() for axes in figure.axes for text in axes.texts]
    assert texts == ["54.8 s\n limited by array_1d", "7.4 s\n limited by array_1d", "15,418 J", "12,263 J"]
    figure = sliders.draw_chunks(sliders.chunks(4096), 4096, 256)
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["454", "0.095 %"]


def test_moving_a_slider_calls_the_function_with_all_values() -> None:
    seen = []

    def render(values: dict[str, int]) -> bytes:
        seen.append(dict(values))
        return repr(values).encode()

    box = box_of({"length": ((1, 2, 4), 2), "array": ((8, 16), 8)}, render)
    length, array, picture = box.children
    length.value = 4
    array.value = 16
    assert seen == [{"length": 2, "array": 8}, {"length": 4, "array": 8}, {"length": 4, "array": 16}]
    assert picture.value == repr(seen[-1]).encode()
    with pytest.raises(Exception, match="Invalid selection"):
        length.value = 3


def test_the_sliders_of_the_package_show_the_pictures() -> None:
    *bars, picture = machine_sliders().children
    assert [bar.value for bar in bars] == [65536, 256]
    bars[0].value = 1024
    assert picture.value == sliders.render_costs(1024, 256)
    bar, picture = chunk_slider(4096).children
    bar.value = 1024
    assert picture.value == sliders.render_chunks(4096, 1024)
    assert matplotlib.image.imread(io.BytesIO(picture.value)).shape[1] == 1280


def test_without_ipywidgets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(fm.InputError) as caught:
        box_of({"a": ((1,), 1)}, lambda values: b"")
    assert "fusemap[notebook]" in str(caught.value)


def test_a_picture_is_shown_at_its_size_on_paper(tmp_path: Path) -> None:
    picture = Picture(sliders.render_costs(65536, 256))
    assert picture._repr_png_() == (picture.png, {"width": 704}) and picture.pixels == (1280, 380)
    picture.save(tmp_path / "costs.png")
    assert (tmp_path / "costs.png").read_bytes() == picture.png


def test_without_a_compiler_the_kernels_are_still_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    found = check_kernels(["1pass"], [{"P": 64, "M": 128, "E": 32, "F": 32}])
    assert found.executed == {"ptx"} and "no C++ compiler" in found.checks[0].absent["source"]
    assert "ptx" in found._repr_html_() and "source" not in found._repr_html_()
    assert pictures.kernels(found).pixels[0] == 1400


def test_a_timeline_is_drawn_between_cycles() -> None:
    case = {"arch": "fusemax-cloud", "workload": "BERT@1K", "dataflow": "fusemax-binding"}
    found = fm.simulate("attention-1pass", **case, record=4)
    recorded = found.longest.timeline
    assert recorded is not None and pictures.timeline(recorded).png == pictures.timeline(found).png
    assert pictures.timeline(found, last=500).png not in (
        pictures.timeline(found).png,
        pictures.timeline(found, 100).png,
    )
    with pytest.raises(fm.InputError, match="recorded nothing"):
        pictures.timeline(fm.simulate("attention-1pass", **case, record=0))
