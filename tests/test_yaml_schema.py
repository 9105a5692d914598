"""Models over YAML: every kind of fault becomes one located error with the words of the file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from fusemap.archspec.errors import MAX_ERRORS
from fusemap.archspec.schema import (
    BandwidthField,
    CapacityField,
    ExpressionField,
    SpecModel,
    load_model,
    parse_model,
)
from fusemap.diagnostics import InputError


class Level(SpecModel):
    capacity: CapacityField
    bandwidth: BandwidthField | None = None
    kind: Literal["sram", "dram"] = "sram"
    ports: Annotated[int, Field(ge=1, le=8)] = 1
    shared: bool = False


class Ring(SpecModel):
    type: Literal["ring"]
    hops: int


class Mesh(SpecModel):
    type: Literal["mesh"]
    rows: int


class Chip(SpecModel):
    name: str
    levels: dict[str, Level]
    tags: list[str] = Field(default_factory=list)
    size: ExpressionField | None = None
    scale: float = 1.0
    limit: int | str = 0
    net: Annotated[Ring | Mesh, Field(discriminator="type")] | None = None
    nested: list[list[Level]] = Field(default_factory=list)


GOOD = """\
name: x
levels:
  l1: {capacity: 16 KiB, ports: 2}
  l2:
    capacity: 1 MiB
    bandwidth: 4 GB/s
size: 4 * P
"""


def faults(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(InputError) as caught:
        parse_model(text, Chip, file="chip.yaml")
    for diagnostic in caught.value.diagnostics:
        assert diagnostic.span is not None and diagnostic.span.file == "chip.yaml"
        assert diagnostic.source == text.splitlines()[diagnostic.span.line - 1]
    return [(d.span.line, d.span.column, d.message) for d in caught.value.diagnostics if d.span]


def test_a_good_file_is_read() -> None:
    chip, document = parse_model(GOOD, Chip)
    assert chip.levels["l2"].capacity.evaluate({}) == 1 << 20
    assert chip.size is not None and chip.size.evaluate({"P": 3}) == 12
    assert str(document.span(("levels", "l2", "bandwidth"))) == "<text>:6:16"


CASES = [
    ("size: 4 * P", "sise: 4 * P", [(7, 1, 'unknown key "sise" (did you mean "size"?)')]),
    (
        "size: 4 * P",
        "zzzz: 1",
        [(7, 1, 'unknown key "zzzz" (valid keys: levels, limit, name, nested, net, scale, size, tags)')],
    ),
    ("    capacity: 1 MiB", "    capcity: 1 MiB", [(5, 5, 'unknown key "capcity" (did you mean "capacity"?)')]),
    ("    capacity: 1 MiB\n", "", [(4, 3, 'missing key "capacity"')]),
    ("name: x\n", "", [(1, 1, 'missing key "name"')]),
    ("name: x", "name: 3", [(1, 7, "expected a text, found 3")]),
    ("name: x", "name: [x]", [(1, 7, "expected a text, found a list")]),
    ("name: x", "name:", [(1, 6, 'no value for "name"')]),
    ("1 MiB", "", [(5, 14, 'no value for "capacity"')]),
    ("1 MiB", "1 GB/s", [(5, 15, "expected a capacity such as 16 MiB, found 1 GB/s")]),
    ("1 MiB", "1 Mib", [(5, 17, 'unknown unit "Mib": expected a capacity such as 16 MiB')]),
    ("1 MiB", "1048576", [(5, 15, "expected a capacity such as 16 MiB, found 1048576 without a unit")]),
    ("1 MiB", "true", [(5, 15, "expected a capacity such as 16 MiB, found true")]),
    ("1 MiB", "[1 MiB]", [(5, 15, "expected a capacity such as 16 MiB, found a list")]),
    ("4 GB/s", "-4 GB/s", [(6, 16, "a bandwidth must be positive, found -4 GB/s")]),
    ("ports: 2", "ports: 0", [(3, 33, "must be at least 1, found 0")]),
    ("ports: 2", "ports: 9", [(3, 33, "must be at most 8, found 9")]),
    ("ports: 2", "ports: 1.5", [(3, 33, "expected a whole number, found 1.5")]),
    ("ports: 2", "ports: '2'", [(3, 34, 'expected a whole number, found "2"')]),
    ("ports: 2", "ports: true", [(3, 33, "expected a whole number, found true")]),
    ("ports: 2", "kind: drm", [(3, 32, 'expected sram or dram, found "drm"')]),
    ("ports: 2", "shared: yes", [(3, 34, 'expected true or false, found "yes"')]),
    ("4 * P", "4 *", [(7, 10, "expected a number, a name or a parenthesis, found the end")]),
    ("4 * P", "{a: 1}", [(7, 7, "expected a number or an expression, found a mapping")]),
    ("size: 4 * P", "scale: .nan", [(7, 8, "expected a finite number, found nan")]),
    ("size: 4 * P", "scale: big", [(7, 8, 'expected a number, found "big"')]),
    ("size: 4 * P", "limit: [1]", [(7, 8, "expected a whole number or a text, found a list")]),
    ("size: 4 * P", "tags: {a: 1}", [(7, 7, "expected a list, found a mapping")]),
    ("size: 4 * P", "tags: [a, 2]", [(7, 11, "expected a text, found 2")]),
    ("  l1: {capacity: 16 KiB, ports: 2}", "  l1: 3", [(3, 7, "expected a mapping, found 3")]),
    ("size: 4 * P", "net: {type: ring, hop: 1}", [(7, 19, 'unknown key "hop" (did you mean "hops"?)')]),
    ("size: 4 * P", "net: {type: mesh, rows: x}", [(7, 25, 'expected a whole number, found "x"')]),
    ("size: 4 * P", "nested: [[{capacity: 1 B, prots: 2}]]", [(7, 27, 'unknown key "prots" (did you mean "ports"?)')]),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES, ids=[c[1].strip()[:30] or "removed" for c in CASES])
def test_one_fault_is_one_located_error(old: str, new: str, expected: list[tuple[int, int, str]]) -> None:
    assert GOOD.count(old) == 1
    assert faults(GOOD.replace(old, new)) == expected


def test_all_faults_come_together_in_order() -> None:
    text = GOOD.replace("name: x", "name: 3").replace("ports: 2", "prots: 2").replace("1 MiB", "1 Hz")
    assert [(line, column) for line, column, _ in faults(text)] == [(1, 7), (3, 26), (5, 15)]


def test_the_report_reads_like_a_compilers() -> None:
    with pytest.raises(InputError) as caught:
        parse_model("levels:\n  l1:\n    capacity: 1 B\n    bandwith: 1 GB/s\nname: x\n", Chip, file="arch.yaml")
    assert str(caught.value).splitlines() == [
        'arch.yaml:4:5: error: unknown key "bandwith" (did you mean "bandwidth"?)',
        "        bandwith: 1 GB/s",
        "        ^~~~~~~~",
    ]


def test_a_wrong_word_names_the_nearest_choice() -> None:
    with pytest.raises(InputError, match="did you mean dram"):
        parse_model(GOOD.replace("ports: 2", "kind: drm"), Chip)


def test_a_flood_of_faults_is_cut_and_quick() -> None:
    text = GOOD + "".join(f"key{i}: 1\n" for i in range(9000))
    start = time.perf_counter()
    found = faults(text)
    assert time.perf_counter() - start < 2
    assert len(found) <= MAX_ERRORS + 1
    assert any("more errors" in message for _, _, message in found)


def test_a_file_is_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "chip.yaml"
    path.write_text(GOOD)
    assert load_model(path, Chip)[0].name == "x"
    path.write_text(GOOD.replace("name: x", "nam: x"))
    with pytest.raises(InputError) as caught:
        load_model(path, Chip)
    assert str(caught.value).startswith(f'{path}:1:1: error: unknown key "nam" (did you mean "name"?)')


def test_a_top_level_that_is_no_mapping_is_refused() -> None:
    assert faults("just text") == [(1, 1, 'expected a mapping, found "just text"')]
    assert faults("[1, 2]") == [(1, 1, "expected a mapping, found a list")]
