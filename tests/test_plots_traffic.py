"""Traffic over room on chip: rooms of a store's machines one by one, bounds, and rows that lie below them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome
from test_plots import faults

import fusemap as fm
from fusemap.validation.plots_page import WIDTHS
from fusemap.validation.plots_traffic import traffic
from fusemap.validation.plots_traffic_draw import draw_traffic
from fusemap.validation.traffic_bound import on_chip_bytes, workload_bound
from fusemap.validation.traffic_figure import with_buffer

SPEC = """
cascade: [attention-3pass, attention-1pass]
dataflow: [flat, fusemax-cascade]
arch: flat-cloud
workload: BERT@4K
parameters: {pe: [16, 32]}
machine: {global_buffer.capacity: [8 KiB, 64 KiB, 1 MiB]}
sizes: {P: 32}
energy: false
conditions:
  - {if: {cascade: attention-3pass}, then: {dataflow: flat}}
  - {if: {cascade: attention-1pass}, then: {dataflow: fusemax-cascade}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("sweep")
    (directory / "space.yaml").write_text(SPEC)
    fm.sweep(directory / "space.yaml", out=directory / "results.sqlite", jobs=1)
    return str(directory / "results.sqlite")


def rows(store: str) -> list[tuple[str, int, int, float]]:
    """Cascade, processing elements, buffer and traffic of the rows that have any."""
    with sqlite3.connect(store) as connection:
        columns = 'cascade, pe, "global_buffer.capacity_bytes", traffic_bytes'
        return connection.execute(f"SELECT {columns} FROM results WHERE traffic_bytes IS NOT NULL").fetchall()


def test_rooms_and_bounds_are_those_of_each_machine_by_itself(store: str) -> None:
    found = traffic(store)
    expected: dict[str, set[tuple[int, float, int]]] = {}
    for cascade, pe, buffer, moved in rows(store):
        machine = with_buffer(fm.load_arch("flat-cloud", parameters={"pe": pe}), buffer)
        sizes = {"P": 32, **({"M0": 256} if cascade == "attention-1pass" else {})}
        bound = workload_bound(fm.load_cascade(cascade), fm.load_workload("BERT@4K"), sizes=sizes)
        room = on_chip_bytes(machine) or 0
        expected.setdefault(cascade, set()).add((room, moved, bound.bytes(room)))
    document = found.to_json()
    series = document["dataflows"]
    assert isinstance(series, list)
    assert {
        s["cascade"]: {(p["on_chip_bytes"], p["traffic_bytes"], p["bound_bytes"]) for p in s["points"]} for s in series
    } == expected
    assert found.below == 0 and "none of" in found.notes()[0]
    assert found.counts.used == len(rows(store))


def test_a_row_below_the_bound_is_said(store: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted.sqlite"
    planted.write_bytes(Path(store).read_bytes())
    with sqlite3.connect(planted) as connection:
        connection.execute("UPDATE results SET traffic_bytes = traffic_bytes / 1000 WHERE pe = 16")
    connection.close()
    found = traffic(str(planted))
    wrong = sum(pe == 16 for _, pe, _, _ in rows(store))
    assert found.below == wrong > 0
    assert f"{wrong} of {len(rows(store))} rows lie BELOW it" in found.notes()[0]


@pytest.mark.parametrize("width", WIDTHS.values(), ids=list(WIDTHS))
def test_texts_are_on_the_page(store: str, width: float) -> None:
    assert faults(draw_traffic(traffic(store), width)) == []


def test_the_command_says_what_is_shown(store: str, fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = fusemap("plot", "traffic", store, "--out", str(tmp_path / "a.pdf"))
    assert (outcome.code, outcome.err) == (0, "")
    assert "least off-chip traffic, BERT@4K, P 32" in outcome.out and "none of" in outcome.out
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-1.")


def test_rows_of_several_lengths_are_refused(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    text = SPEC.replace("BERT@4K", "BERT").replace("sizes: {P: 32}", "length: [1K, 2K]")
    (tmp_path / "space.yaml").write_text(text)
    path = str(tmp_path / "results.sqlite")
    fm.sweep(tmp_path / "space.yaml", out=path, jobs=1)
    outcome = fusemap("plot", "traffic", path, "--out", str(tmp_path / "a.png"))
    assert outcome.code == 2 and "the rows have 2 values of length (1024, 2048): a bound is of one" in outcome.err
    assert "--where 'length == 2048'" in outcome.err
    assert fusemap("plot", "traffic", path, "--where", "length == 2048", "--out", str(tmp_path / "a.png")).code == 0
