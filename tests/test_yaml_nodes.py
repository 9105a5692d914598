"""YAML text to data with places: scalars of the 1.2 core schema, every refusal with line and column."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusemap.archspec.document import Document, merge, select, value_at, with_sources
from fusemap.archspec.yamlnodes import MAX_BYTES, MAX_DEPTH, MAX_NODES, load_document, parse_document
from fusemap.diagnostics import InputError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e9", 1e9),
        ("1E-3", 1e-3),
        (".5", 0.5),
        ("3.", 3.0),
        ("-12", -12),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2024-01-01", "2024-01-01"),
        ("1e", "1e"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("-.inf", -math.inf),
        ("'1'", "1"),
        ('"true"', "true"),
        ("16 MiB", "16 MiB"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    found = value_at(parse_document(f"k: {text}").data, ("k",))
    assert found == value and type(found) is type(value)


REFUSED = [
    ("", 1, 1, "the file is empty"),
    ("# only a comment\n", 1, 1, "the file is empty"),
    ("a: 1\nb: 2\na: 3\n", 3, 1, 'duplicate key "a" (first given on line 1)'),
    ("x:\n  - {p: 1, 'p': 2}\n", 2, 13, 'duplicate key "p"'),
    ("a: 1\n---\nb: 2\n", 2, 1, "a second document"),
    ("a: !foo 3\n", 1, 4, "tags are not supported: !foo"),
    ("a: !!python/object:os.system {}\n", 1, 4, "tags are not supported: !!python/object:os.system"),
    ("a: !!int 3\n", 1, 4, "tags are not supported: !!int"),
    ("<<: {a: 1}\n", 1, 1, "merge keys (<<) are not supported"),
    ("? [1, 2]\n: 3\n", 1, 3, "a key must be a plain word, found a list"),
    ("a: 1\n'': 2\n", 2, 1, "empty key"),
    ("a: 1e999\n", 1, 4, "number too large: 1e999"),
    (f"a: {'9' * 101}\n", 1, 4, "number too long"),
    ("a: &x [*x]\n", 1, 8, "alias *x contains itself"),
    ("a: *nowhere\n", 1, 4, "undefined alias *nowhere"),
    ("a: 1\n b: 2\n", 2, 3, "invalid YAML: mapping values are not allowed"),
    ("a: [1, 2\n", 1, 4, 'invalid YAML: "[" is not closed: expected "," or "]" by the end of the file'),
    ("m: 1\nd: {r: 1, c: 2\ne: {f: 1}\n", 2, 4, 'invalid YAML: "{" is not closed: expected "," or "}" on line 3'),
    ("a: {b: {c: 1}\nd: it's\n", 1, 4, 'invalid YAML: "{" is not closed: expected "," or "}" on line 2'),
    ("a: {b: [1}\n", 1, 8, 'invalid YAML: "[" is not closed: expected "," or "]" on line 1'),
    ("a: [1, '2]', # ]\n", 1, 4, 'invalid YAML: "[" is not closed'),
    ("a: {b: 'x' 'y}'}\n", 1, 12, "invalid YAML: did not find expected ',' or '}'"),
    ("a: {b: 1 c: 2}\n", 1, 11, "invalid YAML: did not find expected ',' or '}'"),
    ("a:\n\t- 1\n", 2, 1, "invalid YAML: indentation uses spaces, found a tab"),
    ("a:\n  b: 1\n  \tc: 2\n", 3, 3, "invalid YAML: indentation uses spaces, found a tab"),
    ("a:\n  b: |\n\tc\n", 3, 1, "invalid YAML: indentation uses spaces, found a tab"),
    ("- 1\n-\t- 2\n", 2, 2, "invalid YAML: found character that cannot start any token"),
    ("a: 'open\nb: 2\n", 1, 4, "invalid YAML: the quote is not closed"),
    ("a: 1\nb: \x01\n", 2, 4, "not a text file: control character 0x01"),
    ("a: \ud800\n", 1, 4, "not a text file: control character 0xd800"),
    ("[" * 100, 1, MAX_DEPTH + 1, "nested too deeply"),
    ("".join(f"k{i}: 1\n" for i in range(MAX_NODES)), MAX_NODES // 2, 8, "too many values"),
    ("#" * (MAX_BYTES + 1), 1, 1, "text too large"),
    (BOMB, 1, 13, "too many values: aliases expand to more than 20000"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED, ids=[r[3][:40] for r in REFUSED])
def test_refusals_are_located_and_quick(text: str, line: int, column: int, message: str) -> None:
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        parse_document(text, file="x.yaml")
    assert time.perf_counter() - start < 1
    first = caught.value.diagnostics[0]
    assert first.span is not None
    if text is BOMB:
        assert message in first.message and first.span.file == "x.yaml"
        return
    assert (first.span.file, first.span.line) == ("x.yaml", line)
    assert message in first.message
    assert first.span.column == column


def test_all_duplicate_keys_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        parse_document("a: 1\nb: {c: 1, c: 2}\na: 2\nb: 3\n")
    assert [d.span and (d.span.line, d.span.column) for d in caught.value.diagnostics] == [(2, 11), (3, 1), (4, 1)]


def test_a_faulty_key_is_shown_with_a_caret() -> None:
    with pytest.raises(InputError) as caught:
        parse_document("alpha: 1\nalpha: 2\n", file="m.yaml")
    expected = 'm.yaml:2:1: error: duplicate key "alpha" (first given on line 1)\n    alpha: 2\n    ^~~~~'
    assert str(caught.value) == expected


FILES: list[tuple[str, bytes | None, str]] = [
    ("binary", b"\x7fELF\x02\x01\x01\x00", "not a text file: control character"),
    ("latin", "a: caf\u00e9".encode("latin-1"), "not UTF-8 text (byte 0xe9)"),
    ("utf16", "a: 1".encode("utf-16"), "not UTF-8 text"),
    ("empty", b"", "the file is empty"),
    ("huge", b"a: 1\n" * 2_000_000, "file too large"),
    ("missing", None, "no such file"),
]


@pytest.mark.parametrize(("name", "content", "message"), FILES, ids=[f[0] for f in FILES])
def test_unusable_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / f"{name}.yaml"
    if content is not None:
        path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(InputError, match=r".") as caught:
        load_document(path)
    assert time.perf_counter() - start < 1
    assert str(caught.value).startswith(f"{path}:1:")
    assert message in str(caught.value)


def test_a_directory_and_a_device_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a directory"):
        load_document(tmp_path)
    with pytest.raises(InputError, match="not a regular file"):
        load_document("/dev/zero")
    with pytest.raises(InputError, match="no such file"):
        load_document("a\0b")


def test_the_column_of_a_byte_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes("a: 1\n\u00e9\u00e9: \u00e9".encode() + b"\xff")
    with pytest.raises(InputError) as caught:
        load_document(path)
    assert str(caught.value).startswith(f"{path}:2:6: error: not UTF-8")


def test_places_of_keys_and_values() -> None:
    document = parse_document('\ufeffa:\n  "b c": [1, \'two\', "\u00e9", last]\n', file="p.yaml")
    assert str(document.span(("a",), key=True)) == "p.yaml:1:1"
    assert str(document.span(("a", "b c"), key=True)) == "p.yaml:2:4"
    places = [document.span(("a", "b c", index)) for index in range(4)]
    assert [(p.line, p.column, p.length) for p in places] == [(2, 11, 1), (2, 15, 3), (2, 22, 1), (2, 26, 4)]
    assert str(document.span(("a", "absent", 3))) == "p.yaml:2:3"


def test_text_that_is_not_verbatim_gets_no_caret_inside() -> None:
    document = parse_document('a: "x\\ty"\nb: >-\n  one\n  two\nc: "abc"\n')
    assert not document.place(("a",)).verbatim
    assert not document.place(("b",)).verbatim
    assert document.place(("c",)).verbatim
    inside = document.place(("c",)).diagnostic("m", offset=2, length=1)
    assert inside.span is not None and inside.span.column == 7
    outside = document.place(("a",)).diagnostic("m", offset=2, length=1)
    assert outside.span is not None and outside.span.column == 4


def test_aliases_are_copied() -> None:
    document = parse_document("a: &x {n: 1}\nb: *x\n")
    assert document.data == {"a": {"n": 1}, "b": {"n": 1}}
    assert str(document.span(("b", "n"))) == "<text>:1:11"


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc \u00e9", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcd", min_size=1, max_size=3), inner),
    max_leaves=12,
)


def as_flow(value: object) -> str:
    """Write plain data as YAML flow text, independently of the reader."""
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}": {as_flow(inner)}' for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_flow(inner) for inner in value) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    if value is None:
        return "null"
    return str(value).lower()


@given(st.dictionaries(st.text("abcd", min_size=1, max_size=3), plain, min_size=1))
def test_reading_what_was_written_gives_it_back(data: dict[str, object]) -> None:
    document = parse_document(as_flow(data))
    assert document.data == data
    lines = as_flow(data).splitlines()
    for path, entry in document.entries.items():
        value = value_at(data, path)
        if isinstance(value, (int, str)) and not isinstance(value, bool) and value != "":
            line = lines[entry.value.span.line - 1]
            assert line[entry.value.span.column - 1 :].startswith(str(value))


@settings(max_examples=300, deadline=1000)
@given(st.text(max_size=200) | st.text("{}[]:,&*!|>-?#'\"%@ \nab01\t", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_document(text)
    except InputError as error:
        assert all(d.span is not None for d in error.diagnostics)


@settings(max_examples=100, deadline=1000)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        load_document(path)
    except InputError as error:
        assert all(d.span is not None and d.span.file == str(path) for d in error.diagnostics)


def doc(text: str, file: str) -> Document:
    return with_sources(parse_document(text, file=file))


def test_merge_keeps_places_and_sources_of_both_files() -> None:
    base = doc("source: base\na: {x: 1, y: [1, 2]}\nb: {c: 3}\n", "base.yaml")
    over = doc("a:\n  source: mine\n  y: [9]\n", "over.yaml")
    merged = merge(base, over)
    assert merged.data == {"source": "base", "a": {"source": "mine", "x": 1, "y": [9]}, "b": {"c": 3}}
    assert str(merged.span(("a", "y", 0))) == "over.yaml:3:7"
    assert str(merged.span(("a", "x"))) == "base.yaml:2:8"
    assert (merged.source(("a", "x")), merged.source(("a", "y"))) == ("base", "mine")
    assert set(merged.entries) == {
        *((), ("source",), ("a",), ("a", "source"), ("a", "x"), ("a", "y"), ("a", "y", 0), ("b",), ("b", "c"))
    }


def test_a_number_never_takes_the_source_of_another_file() -> None:
    merged = merge(doc("source: base\na: {x: 1}\n", "base.yaml"), doc("a: {x: 2}\n", "over.yaml"))
    assert merged.source(("a", "x")) == ""


def test_a_blank_source_does_not_hide_the_enclosing_one() -> None:
    assert doc("source: s\na: {source: '  ', x: 1}\nb: {source: t, x: 1}\n", "f").source(("a", "x")) == "s"


def test_null_removes_a_mapping_and_only_a_mapping() -> None:
    merged = merge(doc("a: {x: 1}\nb: 2\n", "base.yaml"), doc("a: null\nb: null\n", "over.yaml"))
    assert merged.data == {"b": None}


def test_select_keeps_one_key() -> None:
    picked = select(doc("a: {x: 1}\nb: 2\n", "f.yaml"), "a")
    assert picked.data == {"a": {"x": 1}}
    assert set(picked.entries) == {(), ("a",), ("a", "x")}
    assert select(picked, "zzz").data == {}


@given(plain, plain)
def test_merge_is_the_plain_deep_merge(first: object, second: object) -> None:
    def expected(below: object, above: object) -> object:
        if not (isinstance(below, dict) and isinstance(above, dict)):
            return above
        both = {key: expected(below[key], above[key]) for key in below if key in above}
        merged = {**below, **above, **both}
        removed = {key for key in both if above[key] is None and isinstance(below[key], dict)}
        return {key: value for key, value in merged.items() if key not in removed}

    base, over = (parse_document(as_flow({"k": value}), file=name) for value, name in ((first, "b"), (second, "o")))
    merged = merge(base, over)
    assert merged.data == expected({"k": first}, {"k": second})
    for path in merged.entries:
        value_at(merged.data, path)
