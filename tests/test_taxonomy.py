"""The taxonomy of attentions: complete, equal to the page, and every number that was not expected is explained."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import zoo
from commands import execute
from conftest import Outcome
from passes_claims import claim_text
from studies import whole_taxonomy
from test_json_documents import Run
from test_readme import ROOT, blocks, matches, steps

from fusemap.cli.taxonomy import report
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.passes.instance import instance_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.passes.reference import reference_levels
from fusemap.einsum_cascade.resolve import resolve_sizes
from fusemap.einsum_cascade.scope import conditions_of, known_shapes
from fusemap.einsum_cascade.types import Lookup
from fusemap.validation.taxonomy import FAMILIES, Family, load_families, parse_family
from fusemap.validation.taxonomy_operations import COUNTED, operations
from fusemap.validation.taxonomy_rows import Fiber, Row, Taxonomy
from fusemap.validation.taxonomy_tables import markdown

PASSES = (ROOT / "docs" / "passes.md").read_text(encoding="utf-8")


def whole() -> Taxonomy:
    """The taxonomy."""
    return whole_taxonomy()


def fibers() -> list[tuple[Row, Fiber]]:
    """Every fiber of every row."""
    return [(row, fiber) for row in whole().rows for fiber in row.fibers]


def fiber(cascade: str, key: str) -> Fiber:
    """A fiber by the name of a cascade and its key."""
    return next(f for row, f in fibers() if row.cascade == cascade and f.key == key)


# --- completeness -------------------------------------------------------------------------------------


def test_every_attention_of_the_library_has_a_row() -> None:
    attentions = {n for n in names() if n.startswith(("attention-", "linear-attention"))} | set(zoo.REFERENCES)
    assert attentions <= {row.cascade for row in whole().rows}


def test_every_row_is_in_one_group_and_most_passes_come_first() -> None:
    grouped = [row for _, rows in whole().groups for row in rows]
    assert len(grouped) == len(whole().rows) and set(map(id, grouped)) == set(map(id, whole().rows))
    assert [str(count) for count, _ in whole().groups] == ["4", "3", "2", "1", "I + 1"]


def test_every_estimate_is_met_or_the_difference_is_explained() -> None:
    unexplained = [f"{r.cascade} {f.label}: {f.text}, not {f.estimate}" for r, f in fibers() if differs(f, False)]
    stale = [f"{r.cascade} {f.label}" for r, f in fibers() if differs(f, True)]
    assert (unexplained, stale) == ([], [])


def differs(found: Fiber, explained: bool) -> bool:
    """Is the estimate missed without an explanation, or met with one?"""
    return found.as_estimated is explained and bool(found.difference) is explained


def test_every_gap_between_proof_and_schedule_is_explained() -> None:
    unexplained = [f"{r.cascade} {f.label}: {f.text}" for r, f in fibers() if not f.exact and not f.inexact]
    stale = [f"{r.cascade} {f.label}" for r, f in fibers() if f.exact and f.inexact]
    assert (unexplained, stale) == ([], [])


def test_the_classic_rows_are_those_of_the_paper() -> None:
    expected = {
        "attention-3pass": "3",
        "attention-2pass": "2",
        "attention-1pass": "1",
        "attention-3pass-deferred": "2",
        "attention-3pass-window": "1",
        "attention-flash-1": "1",
        "linear-attention": "1",
    }
    assert {name: fiber(name, "M").text for name in expected} == expected


# --- what the explanations say of small instances, counted by the definition -----------------------------

INSTANCES = [
    ("ela", "X,H", {"G": 2, "C0": 1, "H": 3, "W": 3}, 2),
    ("moa", "K,M", {"M": 9, "H": 2, "E": 1, "F": 1}, 3),
    ("moba", "K,M", {"M1": 4, "M0": 2, "J": 2, "E": 1, "F": 1}, 2),
    ("act", "K,M", {"M": 6, "E": 1, "F": 1}, 4),
    ("act-streaming", "K,M", {"M1": 3, "M0": 2, "E": 1, "F": 1}, 2),
    ("act-streaming", "Q,P", {"M1": 3, "M0": 2, "E": 1, "F": 1}, 2),
    ("cca", "K,M", {"M1": 4, "M0": 2, "W": 3, "E": 1, "F": 1}, 1),
    ("landmark", "K,M", {"M1": 3, "M0": 3, "E": 1, "F": 1}, 1),
    ("dma", "V,M", {"M": 6, "J": 2, "H": 1, "E": 1, "F": 1}, 2),
    ("var", "K,M", {"M": 4, "P": 4, "H": 1, "E": 1, "F": 1}, 4),
    ("var", "K,M", {"M": 8, "P": 4, "H": 1, "E": 1, "F": 1}, 3),
    ("mala", "K,M", {"M": 4, "P": 2, "E": 1, "F": 1}, 2),
    ("mamba2-ssd", "DT,M", {"M": 5, "E": 1, "F": 1}, 2),
    ("attention-sinks", "K,M", {"M": 16, "E": 1, "F": 1}, 1),
]


@pytest.mark.parametrize(("name", "key", "sizes", "passes"), INSTANCES, ids=lambda x: x if isinstance(x, str) else "")
def test_the_definition_counts_what_the_explanations_say(
    name: str, key: str, sizes: dict[str, int], passes: int
) -> None:
    cascade = load(name)
    of = next(r for r in owned_ranks(cascade) if f"{r.tensor},{r.rank}" == key)
    levels = reference_levels(instance_of(cascade, sizes), of)
    assert levels is not None and levels.passes == passes


# --- operations ---------------------------------------------------------------------------------------


def rectangular(name: str) -> bool:
    """Has the cascade neither filters nor data-dependent reads, so that the formulas are exact?"""
    cascade = load(name)
    ranked = any(e.reduce is not None and e.reduce.places for e in cascade.einsums)
    gathers = any(isinstance(i.expr, Lookup) for e in cascade.einsums for i in e.output.indices)
    return not ranked and not gathers and not any(conditions_of(e) for e in (*cascade.inits, *cascade.einsums))


COMPARED = ["attention-3pass", "attention-2pass", "attention-1pass", "attention-flash-1", "gaam", "mqa", "mala", "aem"]


@pytest.mark.parametrize("name", COMPARED)
def test_formulas_are_the_counts_where_nothing_is_filtered(name: str) -> None:
    assert rectangular(name)
    sizes = small_sizes(name)
    found = operations(load(name)).to_json()
    for kind, operators in COUNTED.items():
        exact = sum(c.at(sizes) for c in operation_counts(load(name)) if c.operator in operators)
        assert value(str(found[kind]), sizes) == exact, kind


def small_sizes(name: str) -> dict[str, int]:
    """Different small sizes of all shapes, M or N a product where it is split."""
    cascade = load(name)
    split = {s.name for s in cascade.shapes if s.factors}
    shapes = [s for s in known_shapes(cascade) if s not in split]
    return dict(resolve_sizes(cascade, {s: 2 + n for n, s in enumerate(shapes)}))


def value(formula: str, sizes: dict[str, int]) -> int:
    """A sum of products under sizes."""
    total = 0
    for term in formula.split(" + "):
        product = 1
        for factor in term.split("*"):
            product *= int(factor) if factor.isdigit() else sizes[factor]
        total += product
    return total


# --- the page, the command and the document ---------------------------------------------------------------


def test_the_page_is_what_the_command_prints() -> None:
    same = (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8") == markdown(whole())
    assert same, "fusemap taxonomy --markdown > docs/zoo.md writes it anew"


def test_the_page_tells_every_explanation_and_what_was_left_out() -> None:
    page = markdown(whole())
    assert all(why in page for _, f in fibers() for why in (f.difference, f.inexact))
    assert all(f"- {paper.name}: {paper.reason}" in page for paper in whole().left_out)


def test_the_text_fits_a_terminal() -> None:
    text = report(whole())
    assert max(map(len, text.splitlines())) <= 100
    assert all(row.cascade in text for row in whole().rows)


def test_the_document_has_its_schema() -> None:
    document = json.loads(json.dumps(whole().to_json(), allow_nan=False))
    assert list(document) == ["schema", "rows", "left_out"]
    assert document["schema"] == "fusemap/taxonomy/1"
    for row in document["rows"]:
        assert row["form"] in ("direct", "streaming") and row["source"] in ("text", "code", "memory")
        assert set(row["operations"]) == {"exp", "div", "mul"} and row["citation"]
        for found in row["fibers"]:
            assert isinstance(found["passes"], int | str)
            assert found["exact"] == (found["passes"] == found["upper"] and found["method"] == "static")


def test_the_two_options_exclude_each_other(fusemap: Run) -> None:
    outcome: Outcome = fusemap("taxonomy", "--json", "--markdown")
    assert (outcome.code, outcome.out) == (2, "")


# --- the page about passes --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cascade-1", "prefix-suffix-three", "window"])
def test_the_page_shows_the_claims_as_they_are_refuted(name: str) -> None:
    assert claim_text(name) in PASSES


def test_the_page_shows_what_is_printed(tmp_path: Path) -> None:
    shown = blocks(PASSES)
    for block in shown:
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    found = [step for block in shown if block.language == "console" for step in steps(block.text)]
    assert found and all(matches(s.output, execute(shlex.split(s.command), tmp_path)) for s in found)


# --- the files --------------------------------------------------------------------------------------------

ENTRY = """\
encoded:
  - name: Softmax
    paper: "A paper"
    citation: "Someone, 2024"
    direct: softmax
    streaming: softmax-online
    ranks: [K]
    estimate: {K: {direct: 3, minimum: 2}}
    source: text
"""
BROKEN = {
    "unknown cascade": (("direct: softmax", "direct: sofmax"), "x.yaml:5:13", "did you mean softmax?"),
    "unknown rank": (("estimate: {K:", "estimate: {M:"), "x.yaml:8:16", "softmax has no rank M"),
    "unknown tensor": (("estimate: {K:", 'estimate: {"Q,K":'), "x.yaml:8:17", "Q of softmax has no rank K"),
    "no streaming form": (("    streaming: softmax-online\n", ""), "x.yaml:2:11", "streaming_missing"),
    "misspelt field": (("citation:", "citaton:"), "x.yaml:4:5", "citation"),
    "no number": (("direct: 3", "direct: three"), "x.yaml:8:28", "whole number"),
    "missing field": (("    source: text\n", ""), "x.yaml:2:5", "source"),
    "no such source": (("source: text", "source: hearsay"), "x.yaml:9:13", "memory"),
    "stray difference": (
        ("    source: text\n", "    difference: {N: {direct: why}}\n    source: text\n"),
        "x.yaml:9:18",
        "Softmax has no estimate for N",
    ),
}


def test_the_unbroken_file_is_read() -> None:
    assert parse_family(ENTRY, file="x.yaml").model.encoded[0].name == "Softmax"


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_gives_a_located_error(fault: str) -> None:
    (old, new), place, said = BROKEN[fault]
    assert old in ENTRY
    with pytest.raises(InputError) as caught:
        parse_family(ENTRY.replace(old, new), file="x.yaml")
    assert f"{place}: error" in str(caught.value)
    assert said in str(caught.value)


def test_all_faults_of_a_file_come_together() -> None:
    text = ENTRY.replace("direct: softmax", "direct: sofmax").replace("softmax-online", "softmax-onlin")
    with pytest.raises(InputError) as caught:
        parse_family(text, file="x.yaml")
    assert len(caught.value.diagnostics) == 2


def test_a_name_stands_for_one_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(text: str, *, file: str) -> Family:
        return parse_family(ENTRY, file=file)

    monkeypatch.setattr("fusemap.validation.taxonomy.parse_family", same)
    with pytest.raises(InputError, match="a second Softmax: the first is in classic") as caught:
        load_families()
    assert len(caught.value.diagnostics) == len(FAMILIES) - 1


def test_planted_differences_are_noticed() -> None:
    met, missed = fiber("attention-3pass", "M"), fiber("act", "M")
    assert met.as_estimated and not missed.as_estimated
    assert differs(missed, False) is False and missed.difference
    assert differs(replace(missed, difference=""), False)
    assert differs(replace(met, difference="why"), True)
    assert differs(replace(met, estimate=4), False)


def test_a_count_on_an_instance_is_not_called_proven() -> None:
    counted = replace(fiber("attention-3pass", "M"), method="instance")
    assert (counted.text, counted.exact) == ("3 at small sizes", False)
