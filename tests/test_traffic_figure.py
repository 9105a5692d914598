"""The figure of the traffic bound: its data, its files, the command, and the picture in the documentation."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

import fusemap as fm
from fusemap.cli.main import main
from fusemap.validation.traffic_figure import BoundData, bound_data, completed, render_bound, with_buffer

DOCS = Path(__file__).parent.parent / "docs"
CASCADES = ("attention-3pass", "attention-2pass", "attention-1pass")


@cache
def data() -> BoundData:
    """What the picture in the documentation shows: `fusemap export bound --size P=32`."""
    return bound_data([fm.load_cascade(c) for c in CASCADES], fm.load_workload("BERT@64K"), {"P": 32})


def test_the_lines_fall_from_one_further_visit_a_pass_to_the_compulsory_words() -> None:
    words = 64 * 12 * 64 * 2 * (65536 + 32)
    for passes, series in zip((3, 2, 1), data().bounds, strict=True):
        room, first = series.points[0]
        assert first == 2 * (words + 64 * 12 * (passes - 1) * 32 * (65536 - room // 2))
        assert series.points[-1][1] == 2 * words
        assert [y for _, y in series.points] == sorted((y for _, y in series.points), reverse=True)


def test_no_point_lies_below_the_line_of_its_cascade() -> None:
    lines = {s.cascade: s.points for s in data().bounds}
    for series in data().measured:
        assert len(series.points) > 8
        for room, traffic in series.points:
            assert traffic >= max(y for x, y in lines[series.cascade] if x >= min(room, 1 << 26)), series.name


def test_dataflows_reach_the_line_where_enough_fits() -> None:
    least = data().bounds[0].points[-1][1]
    reached = {s.name for s in data().measured if s.points[-1][1] == least}
    assert reached == {"flat", "fusemax-cascade", "fusemax-binding"}


def test_a_machine_with_another_buffer() -> None:
    machine = with_buffer(fm.load_arch("flat-cloud"), 4096)
    assert machine.memories[-1].capacity_bytes == 4096 and machine.memories[0].capacity_bytes is None
    assert completed(fm.load_cascade("attention-1pass"), fm.load_workload("BERT@4K"), {}) == {"M0": 256}
    assert completed(fm.load_cascade("attention-1pass"), fm.load_workload("BERT@4K"), {"M0": 64}) == {"M0": 64}


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF-1."), ("svg", b"<?xml")])
def test_equal_data_give_equal_bytes(suffix: str, start: bytes) -> None:
    few = dataclasses.replace(data(), measured=())
    assert render_bound(few, suffix).startswith(start)
    if suffix != "svg":
        assert render_bound(few, suffix) == render_bound(few, suffix)


def test_the_picture_in_the_documentation_shows_these_numbers() -> None:
    with Image.open(DOCS / "traffic-bound.png") as image:
        made_anew = "fusemap export bound --size P=32 --out docs/traffic-bound.png makes it anew"
        assert image.info.get("Description") == data().fingerprint, made_anew
        assert image.size[0] == 680


def test_the_fingerprint_follows_the_numbers() -> None:
    series = data().bounds[0]
    points = ((series.points[0][0], series.points[0][1] * (1 + 1e-7)), *series.points[1:])
    other = dataclasses.replace(data(), bounds=(dataclasses.replace(series, points=points), *data().bounds[1:]))
    assert other.fingerprint != data().fingerprint


def test_the_command_draws_and_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "softmax.png"
    options = ["--cascade", "softmax", "--size", "N=2", "--size", "K=4K", "--out", str(target), "--json"]
    assert main(["export", "bound", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "fusemap/export/1" and document["bounds"][0]["name"] == "softmax"
    assert target.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--out FILE"),
        (["--out", "bound.gif"], "valid endings"),
        (["--cascade", "softmax", "--json"], "missing size N"),
        (["--cascade", "softmaxx", "--json"], "softmax"),
        (["--size", "P=x", "--json"], "NAME=N"),
        (["--size", "Z=3", "--json"], "Z"),
    ],
)
def test_wrong_input_is_refused(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "bound", *options]) == 2
    assert said in capsys.readouterr().err
