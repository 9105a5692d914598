"""JSON read with the place of every key and value: as Python reads it, or refused where it stands."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusemap.archspec.jsontext import parse_json
from fusemap.diagnostics import InputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("ab:#&*!{}[]\"'\\ ,-?%@`|>~/\t\n\u00e9", min_size=1, max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
) | st.dictionaries(st.just("k"), st.text("ab:#&*!{}[]\"'\\ ,-?%@`|>~/\t\n\u00e9", max_size=8))


@given(JSON, st.sampled_from([None, 1, "\t"]))
def test_any_json_is_read_as_it_is(value: object, indent: int | str | None) -> None:
    if value is None:
        return  # an empty document to the reader of YAML
    assert parse_json(json.dumps(value, indent=indent)).data == value


def test_halves_of_pairs_and_infinity_do_not_stop_the_reading() -> None:
    assert parse_json('{"a": "\\ud83d\\ude00", "b": Infinity, "c": 1E5}').data == {
        "a": "\ufffd\ufffd",
        "b": "Infinity",
        "c": 1e5,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1:1: error: not JSON: expecting value"),
        ("{'a': 1}", "1:2: error: not JSON: expecting property name"),
        ('{\n"a": 1,\n}', "error: not JSON"),
        ('{"a": 1} {', "1:10: error: not JSON: extra data"),
        ('{"a": *b}', "1:7: error: not JSON: expecting value"),
        ('{"a": 1, "a": 2}', '1:11: error: duplicate key "a"'),
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "1," * 30_000 + "1]", "too many values"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_json(text, file="c.json")
    assert message in str(caught.value)
