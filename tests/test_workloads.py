"""Workloads: the published model sizes, lengths, and every refusal with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusemap.archspec import load_workload, names, parse_length, parse_workload
from fusemap.archspec.document import TextFault
from fusemap.diagnostics import InputError

# FuseMax (MICRO 2024), evaluated models: D, E = F, H, S.
MODELS = {
    "BERT": (768, 64, 12, 3072),
    "TrXL": (1024, 64, 16, 4096),
    "T5": (512, 64, 8, 2048),
    "XLM": (2048, 128, 16, 8192),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("text", "length"), [("1K", 1024), ("256K", 1 << 18), ("1M", 1 << 20), ("777", 777)])
def test_published_sizes(model: str, text: str, length: int) -> None:
    workload = load_workload(f"{model}@{text}")
    width, features, heads, inner = MODELS[model]
    expected = {"B": 64, "H": heads, "E": features, "F": features, "M": length, "P": length, "D": width, "S": inner}
    assert workload.sizes == expected
    assert (workload.name, workload.model, workload.length) == (f"{model}@{text}", model, length)
    assert workload.batch == ("B", "H")
    assert all("FuseMax" in rank.source for rank in workload.ranks)
    assert workload.size("E") == features


def test_the_four_models_are_there() -> None:
    assert set(MODELS) <= set(names("workload"))


@given(st.integers(1, 1 << 40))
def test_any_length_up_to_the_cap(length: int) -> None:
    assert parse_length(str(length)) == length


@given(st.integers(1, 1 << 20), st.sampled_from("KM"))
def test_suffixes_are_binary(amount: int, suffix: str) -> None:
    assert parse_length(f"{amount}{suffix}") == amount * {"K": 2**10, "M": 2**20}[suffix]


@given(st.text(max_size=12))
def test_any_text_is_a_length_or_refused(text: str) -> None:
    try:
        assert 1 <= parse_length(text) <= 1 << 40
    except TextFault as fault:
        assert "length" in fault.message


@given(st.text(max_size=20))
def test_any_reference_is_a_workload_or_refused(reference: str) -> None:
    try:
        load_workload(reference)
    except InputError as error:
        assert all(d.span is not None for d in error.diagnostics)


REFUSED = [
    ("BERT", 1, '"BERT" has no length'),
    ("", 1, 'unknown workload ""'),
    ("BRT@4K", 1, 'unknown workload "BRT"'),
    ("bert@4K", 1, 'unknown workload "bert"'),
    ("BERT@", 6, 'bad length ""'),
    ("BERT@4KB", 6, 'bad length "4KB"'),
    ("BERT@4k", 6, 'bad length "4k"'),
    ("BERT@4 K", 6, 'bad length "4 K"'),
    ("BERT@-1", 6, 'bad length "-1"'),
    ("BERT@0", 6, 'bad length "0"'),
    ("BERT@0K", 6, 'bad length "0K"'),
    ("BERT@1e3", 6, 'bad length "1e3"'),
    ("BERT@1.5K", 6, 'bad length "1.5K"'),
    ("BERT@\u0664K", 6, 'bad length "\u0664K"'),
    ("BERT@4K@4K", 1, 'unknown workload "BERT@4K"'),
    ("BERT@2000000000000", 6, 'length too large: "2000000000000" is more than 2^40'),
    (f"BERT@{'9' * 5000}", 6, 'bad length "9999'),
    ("XLM@2048G", 5, "length too large"),
    ("no.yaml@4K", 1, 'no such file: "no.yaml"'),
]


@pytest.mark.parametrize(("reference", "column", "message"), REFUSED, ids=[r[0][:20] or "empty" for r in REFUSED])
def test_refused_references_are_located(reference: str, column: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_workload(reference)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message.startswith(message)
    assert diagnostic.span is not None and (diagnostic.span.file, diagnostic.span.column) == ("<workload>", column)


@pytest.mark.parametrize(
    ("reference", "hint"),
    [("BERT", "BERT@4K"), ("BRT@4K", "BERT"), ("BERT@4KB", "4K"), ("BERT@1m", "1M"), ("BERT@16KiB", "16K")],
)
def test_hints(reference: str, hint: str) -> None:
    with pytest.raises(InputError, match=rf"(did you mean {hint}\?|for example {hint})"):
        load_workload(reference)


MINE = """\
source: our model
ranks:
  B: 1
  H: 32
  M: LENGTH
  P: LENGTH // 4
  G: 2 * max(2, 3)
batch: [B, H]
"""


def test_a_file_with_a_length(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    workload = load_workload(f"{path}@4K")
    assert workload.sizes == {"B": 1, "H": 32, "M": 4096, "P": 1024, "G": 6}
    assert (workload.name, workload.source) == ("mine@4K", "our model")
    assert load_workload(f"{path}@12").size("P") == 3


def test_a_file_without_a_length(tmp_path: Path) -> None:
    path = tmp_path / "fixed.yaml"
    path.write_text("source: s\nranks: {M: 128, P: 64}\n")
    workload = load_workload(str(path))
    assert (workload.name, workload.length, workload.sizes) == ("fixed", None, {"M": 128, "P": 64})
    with pytest.raises(InputError, match="takes no length: none of its ranks uses LENGTH"):
        load_workload(f"{path}@4K")


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("LENGTH // 4", "LENGHT // 4", (6, 6), 'unknown name "LENGHT"'),
        ("LENGTH // 4", "LENGTH / 3", (6, 6), "expected a positive whole number, found 1365.33"),
        ("LENGTH // 4", "LENGTH // 9999", (6, 6), "expected a positive whole number, found 0"),
        ("LENGTH // 4", "LENGTH * 2 ** 30", (6, 6), "too large: more than 2^40"),
        ("LENGTH // 4", "H", (6, 6), 'unknown name "H"'),
        ("H: 32", "H: 0", (4, 6), "expected a positive whole number, found 0"),
        ("H: 32", "H: 12 B", (4, 9), 'expected an operator, found "B"'),
        ("H: 32", "H: true", (4, 6), "expected a number or an expression, found true"),
        ("H: 32", "H:", (4, 5), 'no value for "H"'),
        ("batch: [B, H]", "batch: [B, HH]", (8, 12), 'unknown rank "HH"'),
        ("batch: [B, H]", "batch: [B, B]", (8, 12), 'rank "B" is listed twice'),
        ("batch: [B, H]", "batch: B", (8, 8), 'expected a list, found "B"'),
        ("batch: [B, H]", "btach: [B]", (8, 1), 'unknown key "btach" (did you mean "batch"?)'),
        ("source: our model", "description: d", (1, 1), 'no source for 5 numbers, the first "B" on line 3'),
        ("ranks:", "rank:", (2, 1), 'unknown key "rank" (did you mean "ranks"?)'),
    ],
)
def test_a_broken_file_is_located(old: str, new: str, place: tuple[int, int], message: str) -> None:
    assert MINE.count(old) == 1
    with pytest.raises(InputError) as caught:
        parse_workload(MINE.replace(old, new), length=4096, file="w.yaml")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message.startswith(message)
    assert diagnostic.span is not None
    assert (diagnostic.span.file, diagnostic.span.line, diagnostic.span.column) == ("w.yaml", *place)


@pytest.mark.parametrize("ask", [lambda w: w.size("Q"), lambda w: w.size("m")])
def test_an_unknown_rank_is_refused(ask: Callable[[object], object]) -> None:
    with pytest.raises(InputError, match="unknown rank of BERT@4K"):
        ask(load_workload("BERT@4K"))
