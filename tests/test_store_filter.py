"""Conditions on a store's rows, against Python on the same rows; their errors; nothing of them becomes SQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_cases import write_store

import fusemap as fm
from fusemap.validation.store_filter import parse_filter
from fusemap.validation.store_layout import layout_of
from fusemap.validation.store_rows import Tally, blocks

ROWS: list[dict[str, Any]] = [
    {
        "pe": 2 ** (i % 6),
        "cascade": ("softmax", "attention-1pass", "a and b")[i % 3],
        "latency_s": None if i % 7 == 0 else i / 8,
        "status": "does not fit" if i % 7 == 0 else "ok",
    }
    for i in range(60)
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_store(tmp_path_factory.mktemp("store") / "rows.sqlite", ROWS)


def chosen(store: str, *texts: str, size: int = 7) -> list[int]:
    """The points for which some conditions hold."""
    layout = layout_of(store)
    tally = Tally(layout=layout, where=parse_filter(texts, layout))
    points = [int(p) for block in blocks(tally, (), size=size) for p in block.points]
    counts = tally.counts()
    assert counts.rows == len(ROWS) == counts.used + counts.excluded + counts.unknown
    assert counts.used == len(points)
    return points


NUMBERS = [
    ("pe >= 4", lambda row: row["pe"] >= 4),
    ("latency_s * 2 < pe", lambda row: row["latency_s"] is not None and row["latency_s"] * 2 < row["pe"]),
    ("max(pe > 16, pe == 1)", lambda row: row["pe"] > 16 or row["pe"] == 1),
    ("if(pe % 4, 0, point // 2 % 2)", lambda row: row["pe"] % 4 == 0 and row["point"] // 2 % 2 != 0),
    ("(pe < 3) == 0", lambda row: row["pe"] >= 3),
    ("1", lambda row: True),
]
NAMES = [
    ("cascade == softmax", lambda row: row["cascade"] == "softmax"),
    ("cascade != softmax", lambda row: row["cascade"] != "softmax"),
    ("cascade = 'a and b'", lambda row: row["cascade"] == "a and b"),
    ('status == "does not fit"', lambda row: row["status"] == "does not fit"),
    ("reason == anything", lambda row: False),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*NUMBERS, *NAMES]), max_size=4), st.booleans(), st.integers(1, 80))
def test_conditions_hold_where_python_says_so(store: str, parts: list[Any], joined: bool, size: int) -> None:
    texts = [text for text, _ in parts]
    expected = [i for i, row in enumerate(ROWS) if all(holds(row | {"point": i}) for _, holds in parts)]
    assert chosen(store, *([" and ".join(texts)] if joined and texts else texts), size=size) == expected


def test_and_within_parentheses_and_quotes_does_not_part(store: str) -> None:
    assert chosen(store, "cascade == 'a and b' and (pe > 2)and(pe < 9)") == [
        i for i, row in enumerate(ROWS) if row["cascade"] == "a and b" and 2 < row["pe"] < 9
    ]


ERRORS = {
    "pee > 3": ('--where:1:1: error: the store has no column "pee"', "did you mean pe?"),
    "pe > 3 and latncy_s < 1": ('--where:1:12: error: the store has no column "latncy_s"', "did you mean latency_s?"),
    "cascde == softmax": ('--where:1:1: error: the store has no column "cascde"', "did you mean cascade?"),
    "pe > 0 and cascade == softmx": (
        '--where:1:23: error: no row has cascade "softmx"',
        "did you mean softmax?",
    ),
    "cascade + 1": ("--where:1:1: error: cascade is a text", "such as cascade == NAME"),
    "pe > 1 or pe < 2": ('--where:1:8: error: expected an operator, found "or"', "max(A, B) for either"),
    "pe >": ("--where:1:5: error: expected a number, a name or a parenthesis, found the end", ""),
    "pe > 1 and": ("--where:1:11: error: expected a condition, found nothing", ""),
    "": ("--where:1:1: error: expected a condition, found nothing", ""),
    "1 / (pe - 4)": ("--where:1:3: error: division by zero", ""),
    "__import__('os')": ("--where:1:12: error: unexpected character", ""),
    "pe; DROP TABLE results": ("--where:1:3: error: unexpected character", ""),
}


@pytest.mark.parametrize("text", ERRORS)
def test_a_wrong_condition_is_shown_where_it_is(store: str, text: str) -> None:
    with pytest.raises(fm.InputError) as refused:
        chosen(store, text)
    message, hint = ERRORS[text]
    assert message in str(refused.value) and hint in str(refused.value)


def test_all_faults_come_together(store: str) -> None:
    with pytest.raises(fm.InputError) as refused:
        chosen(store, "pee > 1 and latncy_s < 1", "cascde == x")
    assert len(refused.value.diagnostics) == 3


@pytest.mark.parametrize("value", ["x' OR '1'='1", 'x" OR 1=1 --', "softmax'); DROP TABLE results; --"])
def test_a_name_stays_a_name(tmp_path: Path, value: str) -> None:
    """Values reach SQLite as parameters: those with quotes in them are found, and nothing else is."""
    path = write_store(tmp_path / "odd.sqlite", [{"pe": 1, "cascade": value}, {"pe": 2, "cascade": "other"}])
    mark = "'" if '"' in value else '"'
    layout = layout_of(path)
    found = parse_filter([f"cascade == {mark}{value}{mark}"], layout)
    assert [int(p) for block in blocks(Tally(layout=layout, where=found), ()) for p in block.points] == [0]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (2,)
