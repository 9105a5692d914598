"""The zoo's derivations: the page is what is computed, every cascade is on it, every reason is of its kind."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest
from test_readme import ROOT

from fusemap.cli.derive_all import report
from fusemap.einsum_cascade.catalog import names
from fusemap.validation.derive_study import KINDS, Study, ranks_of, study
from fusemap.validation.derive_study_page import WHY, lines, markdown

PAGE = (ROOT / "docs" / "derive-zoo.md").read_text(encoding="utf-8")
# One of every kind, and of every verdict on accuracy that the page has.
SAMPLE = {
    "layernorm-matmul": "one",
    "softmax": "fewer",
    "layernorm-moments": "owned",
    "mla-absorbed-streaming": "steps",
    "acmil-stkim": "data",
    "attention-splitk": "product",
    "ela": "index",
    "attention-naive": "one",
}


@cache
def sample() -> Study:
    return study(SAMPLE)


def test_the_page_has_the_lines_of_a_sample() -> None:
    missing = [line for line in lines(sample()) if line not in PAGE.splitlines()]
    assert missing == [], "fusemap derive --all --markdown > docs/derive-zoo.md writes it anew"
    assert {row.cascade for row in sample().rows} == set(SAMPLE)


def test_every_kind_is_told_by_structure() -> None:
    for cascade, kind in SAMPLE.items():
        assert kind in {row.kind for row in sample().rows if row.cascade == cascade}, cascade
    assert set(KINDS) == {*WHY, "one", "fewer"}


def test_another_number_is_not_on_the_page() -> None:
    wrong = tuple(replace(row, before=row.before + 1, after=row.after + 2) for row in sample().rows)
    assert not set(lines(Study(rows=wrong))) & set(PAGE.splitlines())


def test_cascades_that_are_not_on_the_page_need_one_pass() -> None:
    """A new cascade has to be put there."""
    shown = set(re.findall(r"^\| \[([\w-]+)\]", PAGE, re.M))
    assert {name: ranks_of(name) for name in names() if name not in shown and ranks_of(name)} == {}
    assert len(shown) > 80


def test_the_report_has_all_rows_and_the_time() -> None:
    text = report(sample())
    assert all(row.cascade in text for row in sample().rows)
    assert "s of the processor; the slowest is" in text
    assert max(map(len, text.splitlines())) <= 120


def test_the_document() -> None:
    document = sample().to_json()
    assert document["schema"] == "fusemap/derive-study/1"
    rows = document["rows"]
    assert isinstance(rows, list) and {"cascade", "rank", "before", "after", "kind", "reasons"} <= set(rows[0])


@pytest.mark.slow
def test_the_page_is_what_is_computed() -> None:
    whole = study()
    assert markdown(whole) == PAGE, "fusemap derive --all --markdown > docs/derive-zoo.md writes it anew"
    assert whole.slowest.seconds < 15  # 3 s on a machine with nothing else to do; others may use it now
