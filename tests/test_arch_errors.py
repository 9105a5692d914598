"""Broken arch and component files: each ends quickly in located errors, all of a stage together."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from fusemap.archspec import load_arch, load_components, parse_arch, parse_components, parse_workload
from fusemap.diagnostics import InputError

GOOD = """\
source: a test
table: 45nm
clock: 1 GHz
word: 2 B
parameters: {pe: 4, deep: 2 * pe}
memories:
  dram: {component: hbm2, bandwidth: 1 GB/s, width: 64 bit, on_chip: false}
  global_buffer:
    component: sram
    capacity: 16 MiB
    width: 4096 bit
arrays:
  array_2d:
    dims: {rows: pe, columns: pe}
    registers: {component: register_file, depth: deep}
    operators:
      mul + sum: {cycles: 1, actions: {mac: 1}}
      exp: {cycles: 6, actions: {mac: 6}}
    parts: {mac: {per: pe}, link: {per: column}}
"""

Places = list[tuple[int, int, str]]


def faults(read: Callable[[], object], file: str = "my.yaml") -> Places:
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        read()
    assert time.perf_counter() - start < 2
    assert all(d.span is not None and d.span.file == file for d in caught.value.diagnostics), str(caught.value)
    return [(d.span.line, d.span.column, d.message) for d in caught.value.diagnostics if d.span]


def test_the_good_file_is_good() -> None:
    assert parse_arch(GOOD, file="my.yaml").array("array_2d").registers.depth_words == 8


NO_TABLE = "in components/45nm.yaml"
BROKEN: list[tuple[str, str, Places]] = [
    ("clock: 1 GHz", "clok: 1 GHz", [(3, 1, 'unknown key "clok" (did you mean "clock"?)')]),
    ("clock: 1 GHz\n", "", [(1, 1, 'missing key "clock"')]),
    ("1 GHz", "1 GB", [(3, 8, "expected a frequency such as 940 MHz, found 1 GB")]),
    ("1 GHz", "-1 GHz", [(3, 8, "a frequency must be positive, found -1 GHz")]),
    ("1 GHz", "0 GHz", [(3, 8, "a frequency must be positive, found 0 GHz")]),
    ("1 GHz", ".nan", [(3, 8, "expected a frequency such as 940 MHz, found nan without a unit")]),
    ("1 GHz", ".inf", [(3, 8, "expected a frequency such as 940 MHz, found inf without a unit")]),
    ("1 GHz", "940e6", [(3, 8, "expected a frequency such as 940 MHz, found 940000000.0 without a unit")]),
    ("16 MiB", "pee MiB", [(10, 15, 'unknown name "pee"')]),
    ("16 MiB", "16 GiB/s", [(10, 15, "expected a capacity such as 16 MiB, found 16 GiB/s")]),
    ("4096 bit", "-4096 bit", [(11, 12, "a width must be positive, found -4096 bit")]),
    ("    capacity: 16 MiB\n", "    capacity:\n", [(10, 14, 'no value for "capacity"')]),
    ("    capacity: 16 MiB\n", "", [(9, 16, 'component "sram" needs a capacity and a width')]),
    ("component: sram", "component: sramm", [(9, 16, f'unknown component "sramm" {NO_TABLE}')]),
    (
        "component: sram",
        "component: register_file",
        [(10, 15, 'component "register_file" depends on depth, which is not given here')],
    ),
    ("table: 45nm", "table: 44nm", [(2, 8, 'unknown component table "44nm"')]),
    ("table: 45nm", "table: no/such.yaml", [(2, 8, 'no such file: "no/such.yaml"')]),
    ("word: 2 B", "word: 2 B\nword: 4 B", [(5, 1, 'duplicate key "word" (first given on line 4)')]),
    ("{pe: 4, deep: 2 * pe}", "{pe: deep, deep: pe}", [(5, 18, "parameter pe depends on itself: pe -> deep -> pe")]),
    ("{pe: 4, deep: 2 * pe}", "{pe: 4, deep: 2 * p}", [(5, 31, 'unknown name "p"')]),
    ("{pe: 4, deep: 2 * pe}", "{pe: 4, deep: 1 / 0}", [(5, 29, "division by zero")]),
    ("{pe: 4, deep: 2 * pe}", "{pe: 4, 2x: 1, deep: 8}", [(5, 21, 'must match ^[A-Za-z_][A-Za-z0-9_]*$, found "2x"')]),
    ("{rows: pe, columns: pe}", "{}", [(14, 11, "must have at least 1 entries, found a mapping")]),
    ("{rows: pe, columns: pe}", "{rows: 0, columns: pe}", [(14, 18, "expected a positive whole number, found 0")]),
    (
        "{rows: pe, columns: pe}",
        "{rows: pe / 3, columns: pe}",
        [(14, 18, "expected a positive whole number, found 1.3333333333333333")],
    ),
    (
        "{rows: pe, columns: pe}",
        "{rows: 2 ** 41, columns: pe}",
        [(14, 18, "too large: more than 2^40, found 2199023255552")],
    ),
    ("{rows: pe, columns: pe}", "{rows: pe}", [(19, 41, '"per: column" needs a dimension "columns", found rows')]),
    ("depth: deep", "depth: -3", [(15, 50, "expected a positive whole number, found -3")]),
    ("depth: deep", "depht: deep", [(15, 43, 'unknown key "depht" (did you mean "depth"?)')]),
    ("mul + sum:", "mul + summ:", [(17, 7, 'unknown operator "summ"')]),
    ("mul + sum:", "mul -> sum:", [(17, 7, 'unknown operator "mul -> sum"')]),
    ("exp: {cycles: 6", "mul+sum: {cycles: 6", [(18, 7, "operator given twice: mul + sum")]),
    ("exp: {cycles: 6", "exp: {cycles: 0", [(18, 21, "expected a positive whole number, found 0")]),
    ("actions: {mac: 6}", "actions: {mca: 6}", [(18, 34, f'unknown component "mca" {NO_TABLE}')]),
    ("actions: {mac: 6}", "actions: {mac: 0.5}", [(18, 39, "expected a positive whole number, found 0.5")]),
    ("link: {per: column}", "link: {per: colum}", [(19, 41, 'expected pe, column, array or chip, found "colum"')]),
    ("link: {per: column}", "link: {per: chip}", [(19, 41, '"per: chip" does not apply to a part of an array')]),
    ("link: {per: column}", "lnk: {per: column}", [(19, 29, f'unknown component "lnk" {NO_TABLE}')]),
    (
        "source: a test\n",
        "",
        [(1, 1, 'no source for 17 numbers, the first "clock" on line 2: add "source:" to this file')],
    ),
    ("source: a test", "source: ''", [(1, 1, 'no source for 17 numbers, the first "clock" on line 3')]),
    (
        "word: 2 B",
        "word: 2 B\nparts: {link: {per: array}}",
        [(5, 21, '"per: array" does not apply to a part of the chip')],
    ),
    ("word: 2 B", "word: 2 B\nextends: my.yaml\n", [(5, 10, 'no such file: "my.yaml"')]),
    ("word: 2 B", "word: 2 B\nextends: [a]\n", [(5, 10, "expected a built-in name or a path")]),
    ("word: 2 B", "word: 2 B\nextends: fusemaxcloud\n", [(5, 10, 'unknown arch "fusemaxcloud"')]),
    (
        "word: 2 B",
        "word: 2 B\ncomponents: {mac: {area: 3 pJ}}",
        [(5, 26, "expected an area such as 1545 um^2, found 3 pJ")],
    ),
    (
        "word: 2 B",
        "word: 2 B\ncomponents: {dsp: {energy: {dsp: depth pJ}}}",
        [(5, 34, '"depth" is not a parameter of this component')],
    ),
    ("memories:", "memories: [", [(6, 11, 'invalid YAML: "[" is not closed: expected "," or "]" on line 8')]),
]


@pytest.mark.parametrize(("old", "new", "expected"), BROKEN, ids=[b[1].strip()[:34] or "removed" for b in BROKEN])
def test_a_broken_machine_is_located(old: str, new: str, expected: Places) -> None:
    assert GOOD.count(old) == 1
    found = faults(lambda: parse_arch(GOOD.replace(old, new), file="my.yaml"))
    for (line, column, message), (wanted_line, wanted_column, wanted) in zip(found, expected, strict=False):
        assert message.startswith(wanted)
        assert (line, column) == (wanted_line, wanted_column)
    assert len(found) == len(expected)


def test_the_faults_of_a_stage_come_together() -> None:
    text = GOOD.replace("16 MiB", "x MiB").replace("rows: pe", "rows: 0").replace("mac: 6", "mca: 6")
    found = faults(lambda: parse_arch(text, file="my.yaml"))
    assert [(line, column) for line, column, _ in found] == [(10, 15), (14, 18), (18, 34)]


def test_unknown_parameters_of_the_caller_are_refused() -> None:
    with pytest.raises(InputError, match='unknown parameter "pee"') as caught:
        parse_arch(GOOD, file="my.yaml", parameters={"pee": 3})
    assert "did you mean pe?" in str(caught.value)


CONTENTS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "the file is empty"),
    ("binary", b"\x7fELF\x02\x01\x00", "control character"),
    ("latin-1", b"source: caf\xe9", "not UTF-8"),
    ("ten-megabytes", b"# padding\n" * 1_000_000, "file too large"),
    ("two-documents", GOOD.encode() + b"---\na: 1\n", "a second document"),
    ("tag", b"clock: !!python/name:os.system x\n", "tags are not supported"),
    (
        "bomb",
        b"a: &a [1,1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)),
        "too many values",
    ),
    ("self-alias", b"a: &a {b: *a}\n", "contains itself"),
    ("deep", b"a: " + b"[" * 1000, "nested too deeply"),
    ("list", b"- 1\n- 2\n", "expected a mapping, found a list"),
    ("text", b"fusemax-cloud", 'expected a mapping, found "fusemax-cloud"'),
    ("wide", b"source: s\n" + b"".join(b"k%d: 1\n" % i for i in range(9000)), "unknown key"),
]


@pytest.mark.parametrize(("name", "content", "message"), CONTENTS, ids=[c[0] for c in CONTENTS])
@pytest.mark.parametrize("read", [load_arch, load_components])
def test_an_unusable_file_is_refused(
    tmp_path: Path, read: Callable[[str], object], name: str, content: bytes, message: str
) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_bytes(content)
    found = faults(lambda: read(str(path)), file=str(path))
    assert any(message in text for _, _, text in found)


def test_an_absent_file_or_name_is_refused(tmp_path: Path) -> None:
    assert faults(lambda: load_arch("no/file.yaml"), "<arch>") == [(1, 1, 'no such file: "no/file.yaml"')]
    assert faults(lambda: load_arch("fusemx"), "<arch>") == [(1, 1, 'unknown arch "fusemx"')]
    assert faults(lambda: load_arch(""), "<arch>") == [(1, 1, 'unknown arch ""')]
    assert faults(lambda: load_arch("../archs/flat-cloud"), "<arch>")[0][2].startswith("no such file")
    assert faults(lambda: load_components("40nm"), "<components>") == [(1, 1, 'unknown component table "40nm"')]
    assert faults(lambda: load_arch(tmp_path / "x.yaml"), str(tmp_path / "x.yaml"))[0][2].endswith("no such file")
    assert faults(lambda: load_arch(f"{tmp_path}/"), f"{tmp_path}")[0][2].endswith("is a directory")


def test_extends_in_a_cycle_is_refused_where_it_closes(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "c"), ("c", "./a")):
        (tmp_path / f"{name}.yaml").write_text(f"source: s\nextends: {base}.yaml\n")
    found = faults(lambda: load_arch(str(tmp_path / "a.yaml")), str(tmp_path / "c.yaml"))
    assert found == [(2, 10, '"extends" forms a cycle through "./a.yaml"')]
    (tmp_path / "self.yaml").write_text("extends: self.yaml\n")
    assert faults(lambda: load_arch(tmp_path / "self.yaml"), str(tmp_path / "self.yaml"))[0][:2] == (1, 10)


def test_a_chain_of_extends_has_a_limit(tmp_path: Path) -> None:
    for index in range(30):
        (tmp_path / f"m{index}.yaml").write_text(f"source: s\nextends: m{index + 1}.yaml\n")
    with pytest.raises(InputError, match="goes through more than 20 files"):
        load_arch(tmp_path / "m0.yaml")


def test_errors_point_into_the_file_a_value_was_written_in(tmp_path: Path) -> None:
    base, over = tmp_path / "base.yaml", tmp_path / "over.yaml"
    base.write_text(GOOD.replace("4096 bit", "4096 B/s"))
    over.write_text("extends: base.yaml\nsource: mine\nmemories:\n  global_buffer: {capacity: 3 Hz}\n")
    with pytest.raises(InputError) as caught:
        load_arch(over)
    places = [str(d.span) for d in caught.value.diagnostics]
    assert places == [f"{base}:11:12", f"{over}:4:29"]


TABLE = """\
source: a test
components:
  mac:
    energy: {mac: 17 pJ}
    area: 1545 um^2
  rf:
    parameters: [depth]
    energy: {read: 2 * depth pJ}
  sram:
    sizes:
      a: {capacity: 1 KiB, width: 64 bit, energy: {read: 3 pJ}}
      b: {capacity: 2 KiB, width: 64 bit, area: 9 um^2}
"""
BROKEN_TABLES: list[tuple[str, str, Places]] = [
    ("17 pJ", "17", [(4, 19, "expected an energy such as 249.6 pJ, found 17 without a unit")]),
    ("17 pJ", "-17 pJ", [(4, 19, "an energy must not be negative, found -17 pJ")]),
    ("17 pJ", "17 pF", [(4, 22, 'unknown unit "pF": expected an energy such as 249.6 pJ')]),
    ("17 pJ", "depth pJ", [(4, 19, '"depth" is not a parameter of this component')]),
    ("2 * depth pJ", "2 * dpth pJ", [(8, 20, '"dpth" is not a parameter of this component')]),
    ("17 pJ", "17 / (1 - 1) pJ", [(4, 22, "division by zero")]),
    ("    area: 1545 um^2", "    aera: 1545 um^2", [(5, 5, 'unknown key "aera" (did you mean "area"?)')]),
    (
        "source: a test\n",
        "",
        [
            (1, 1, 'no source for 9 numbers, the first "mac" on line 3: add "source:" to this file'),
        ],
    ),
    ("2 KiB", "1024 B", [(12, 7, "size given twice: 1 KiB x 64 bit")]),
    ("    sizes:", "    area: 3 um^2\n    sizes:", [(10, 5, 'a component with "sizes" gives area per size')]),
    ("capacity: 1 KiB, ", "", [(11, 7, 'missing key "capacity"')]),
    ("components:", "component:", [(2, 1, 'unknown key "component" (did you mean "components"?)')]),
]


@pytest.mark.parametrize(("old", "new", "expected"), BROKEN_TABLES, ids=[b[1].strip()[:30] for b in BROKEN_TABLES])
def test_a_broken_table_is_located(old: str, new: str, expected: Places) -> None:
    assert TABLE.count(old) == 1
    assert faults(lambda: parse_components(TABLE.replace(old, new), file="my.yaml")) == expected


def built_in(kind: str, name: str) -> str:
    return (resources.files("fusemap.archspec") / kind / f"{name}.yaml").read_text()


SEEDS = [
    (parse_arch, built_in("archs", "fusemax-cloud")),
    (parse_arch, built_in("archs", "flat-edge")),
    (parse_components, built_in("components", "45nm")),
    (parse_workload, built_in("workloads", "BERT")),
]


@examples(50, 150)
@given(st.sampled_from(SEEDS), st.data())
def test_a_damaged_file_is_read_or_refused(seed: tuple[Callable[[str], object], str], data: st.DataObject) -> None:
    read, text = seed
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        patch = data.draw(st.text(max_size=3) | st.sampled_from(["\n", ": ", "{}", "[", "- ", "0", "null", "1e9", "-"]))
        text = text[:start] + patch + text[end:]
    try:
        read(text)
    except InputError as error:
        assert all(d.span is not None for d in error.diagnostics)
