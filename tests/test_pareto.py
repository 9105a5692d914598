"""`fusemap pareto`: fronts of stores against all pairs of their rows, what is counted, files, and errors."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from store_cases import UTILIZATION, front_by_pairs, write_store

import fusemap as fm

Run = Callable[..., Outcome]


def rows(count: int = 200, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with many ties; every seventh does not fit, every eleventh has no price."""
    draw = random.Random(seed)
    found = []
    for i in range(count):
        row: dict[str, Any] = {"pe": draw.choice([32, 64, 128]), "cascade": draw.choice(["softmax", "attention-1pass"])}
        row |= {"latency_s": draw.randint(1, 12) / 8, "traffic_bytes": float(draw.randint(1, 9))}
        row |= {"energy_pj": draw.randint(1, 12) * 1e12, "area_um2": draw.randint(1, 5) * 1e6}
        row[UTILIZATION] = draw.randint(1, 4) / 4
        if i % 7 == 3:
            nothing = dict.fromkeys(("latency_s", "energy_pj", "area_um2", "traffic_bytes", UTILIZATION))
            row |= {**nothing, "status": "does not fit", "reason": f"buffer: needs {i} B", "mapped_by": None}
        elif i % 11 == 5:
            row |= {"energy_pj": None, "area_um2": None, "status": "unpriced", "reason": "no price"}
        found.append(row)
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_store(tmp_path_factory.mktemp("store") / "rows.sqlite", rows())


def expected(
    given: Sequence[dict[str, Any]], objectives: dict[str, int], keep: Callable[[dict[str, Any]], bool]
) -> set[int]:
    """The points on the front of the rows that are kept and have all objectives; a sign for each objective."""
    used = [(i, row) for i, row in enumerate(given) if keep(row) and all(row[c] is not None for c in objectives)]
    values = [tuple(sign * row[c] for c, sign in objectives.items()) for _, row in used]
    return {i for (i, _), on in zip(used, front_by_pairs(values), strict=True) if on}


CASES: list[tuple[dict[str, int], str, Callable[[dict[str, Any]], bool]]] = [
    ({"latency_s": 1, "energy_pj": 1}, "", lambda row: True),
    ({"latency_s": 1, "energy_pj": 1, "area_um2": 1}, "pe >= 64", lambda row: row["pe"] >= 64),
    ({"latency_s": 1, "traffic_bytes": 1, UTILIZATION: -1}, "cascade == softmax", lambda r: r["cascade"] == "softmax"),
    ({"latency_s": 1, "energy_pj": 1, "area_um2": 1, UTILIZATION: -1}, "", lambda row: True),
    ({"energy_pj": 1}, "", lambda row: True),
]


@pytest.mark.parametrize(
    ("objectives", "where", "keep"), CASES, ids=lambda c: "+".join(c) if isinstance(c, dict) else ""
)
@pytest.mark.parametrize("by", [(), ("cascade",), ("cascade", "pe")], ids=["", "cascade", "cascade,pe"])
def test_fronts_are_those_of_all_pairs(
    store: str, objectives: dict[str, int], where: str, keep: Callable[[dict[str, Any]], bool], by: tuple[str, ...]
) -> None:
    least, most = ([c for c, s in objectives.items() if s == sign] for sign in (1, -1))
    found = fm.pareto(store, minimize=least, maximize=most, where=[where] if where else [], by=by, block=17)
    given = rows()
    groups = {tuple(row[c] for c in by) for row in given if keep(row)}
    assert {tuple(value for _, value in front.group) for front in found.fronts} == groups
    for front in found.fronts:
        group = dict(front.group)
        mine = expected(given, objectives, lambda r, g=group: keep(r) and all(r[c] == v for c, v in g.items()))  # type: ignore[misc]
        assert {row["point"] for row in front.rows} == mine
        assert len(front.rows) == len(mine)
        values = [row[found.columns[0]] for row in front.rows]
        assert values == sorted(values, reverse=found.objectives[0].sense == "max")


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_every_row_is_counted_once(tmp_path_factory: pytest.TempPathFactory, seed: int, size: int) -> None:
    given = rows(40, seed)
    path = write_store(tmp_path_factory.mktemp("store") / "few.sqlite", given, points=50)
    found = fm.pareto(path, where="latency_s < 1", block=size).counts
    low = [row for row in given if row["latency_s"] is not None and row["latency_s"] < 1]
    assert (found.points, found.rows) == (50, 40)
    assert found.used == sum(row["energy_pj"] is not None for row in low)
    assert found.unknown == sum(row["latency_s"] is None for row in given)
    assert found.excluded == sum(row["latency_s"] is not None and row["latency_s"] >= 1 for row in given)
    assert [(m.status, m.lacks, m.rows) for m in found.missing] == [
        ("unpriced", "energy_pj", count) for count in [sum(row.get("status") == "unpriced" for row in low)] if count
    ]
    assert found.rows == found.used + found.unknown + found.excluded + sum(m.rows for m in found.missing)


def test_ties_are_all_kept_and_said(tmp_path: Path, fusemap: Run) -> None:
    given = [{"pe": n, "latency_s": 1.0, "energy_pj": 2e12} for n in (1, 2, 3)] + [
        {"pe": 4, "latency_s": 2.0, "energy_pj": 3e12}
    ]
    path = write_store(tmp_path / "ties.sqlite", given)
    found = fm.pareto(path)
    assert [row["pe"] for row in found.fronts[0].rows] == [1, 2, 3]
    assert found.ties == 2
    out = fusemap("pareto", path).out
    assert "3 of 4 rows are not beaten in least latency and least energy" in out
    assert "2 rows are equal to another one in all objectives: all are kept" in out
    assert out.count("2.000 J") + out.count("2 J") == 1


def test_the_document_is_that_of_python(store: str, fusemap: Run) -> None:
    argv = ("--minimize", "latency,energy", "--maximize", UTILIZATION, "--by", "cascade", "--where", "pe > 32")
    printed = fusemap("pareto", store, *argv, "--json")
    returned = fm.pareto(
        store, minimize=["latency", "energy"], maximize=[UTILIZATION], by=["cascade"], where="pe > 32"
    ).to_json()
    assert (printed.code, printed.err) == (0, "")
    assert printed.json() == json.loads(json.dumps(returned))
    assert printed.json()["schema"] == "fusemap/pareto/1"
    assert [o["sense"] for o in printed.json()["objectives"]] == ["min", "min", "max"]


def test_rows_without_a_number_are_said_with_a_reason(store: str, fusemap: Run) -> None:
    out = fusemap("pareto", store).out
    assert "29 rows have no latency: does not fit (buffer: needs 3 B)" in out
    assert "rows have no energy: unpriced (no price)" in out


def test_files_have_whole_rows(store: str, fusemap: Run, tmp_path: Path) -> None:
    found = fm.pareto(store, by=["cascade"])
    wanted = [dict(row) for front in found.fronts for row in front.rows]
    assert fusemap("pareto", store, "--by", "cascade", "--out", str(tmp_path / "front.csv")).code == 0
    read = list(csv.DictReader(io.StringIO((tmp_path / "front.csv").read_text())))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in wanted] == read
    parquet = pytest.importorskip("pyarrow.parquet")
    assert fusemap("pareto", store, "--by", "cascade", "--out", str(tmp_path / "front.parquet")).code == 0
    assert parquet.read_table(tmp_path / "front.parquet").to_pylist() == wanted


def test_axes_of_the_figure_are_objectives_too(store: str, fusemap: Run, tmp_path: Path) -> None:
    asked = ("--x", "traffic", "--y", "area", "--plot", str(tmp_path / "front.svg"), "--json")
    document = fusemap("pareto", store, *asked).json()
    assert [o["column"] for o in document["objectives"]] == ["traffic_bytes", "area_um2"]
    assert "off-chip traffic" in (tmp_path / "front.svg").read_text() or (tmp_path / "front.svg").stat().st_size > 5000


def test_nothing_with_numbers_is_a_no(tmp_path: Path, fusemap: Run) -> None:
    path = write_store(tmp_path / "none.sqlite", [{"pe": 1, "status": "failed", "reason": "why not"}], points=2)
    outcome = fusemap("pareto", path)
    assert outcome.code == 1
    assert "0 of 0 rows" in outcome.out and "1 rows have no latency: failed (why not)" in outcome.out
    assert "1 of 2 points are not in the store" in outcome.out
    assert fusemap("pareto", path, "--json").json()["fronts"] == []
    assert "nothing to draw" in fusemap("plot", "pareto", path, "--out", str(tmp_path / "a.png")).err


ERRORS = {
    ("--minimize", "latncy"): 'the store has no column "latncy"',
    ("--minimize", "latency,"): "expected columns, separated by commas",
    ("--minimize", "cascade"): "the column has texts, not numbers",
    ("--minimize", "latency,latency_s"): "latency_s is an objective twice",
    ("--minimize", "latency", "--maximize", "latency"): "latency_s is an objective twice",
    ("--by", "cascad"): "did you mean cascade?",
    ("--where", "pee > 2"): "did you mean pe?",
    ("--out", "front.txt"): "valid endings: .csv, .parquet",
    ("--figure", "front.jpg"): "valid endings: .png, .pdf, .svg",
    ("--minimize", "latency", "--figure", "front.png"): "a picture shows 2 or 3 objectives, not 1",
}


@pytest.mark.parametrize("argv", ERRORS, ids=" ".join)
def test_wrong_input_says_what_is_near(store: str, fusemap: Run, argv: tuple[str, ...]) -> None:
    outcome = fusemap("pareto", store, *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert ERRORS[argv] in outcome.err


def test_a_file_that_is_no_store_is_named(fusemap: Run, tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("no database")
    assert "is no store of a sweep" in fusemap("pareto", str(tmp_path / "text.sqlite")).err
    assert "no such file" in fusemap("pareto", str(tmp_path / "absent.sqlite")).err
