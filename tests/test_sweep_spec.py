"""A sweep's file: its values against ranges written out, its points against plain enumeration, its errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st
from sweep_cases import SMALL, sweep

import fusemap as fm
from fusemap.archspec.document import TextFault
from fusemap.validation.sweep_axes import Axis, axis_values
from fusemap.validation.sweep_model import RangeModel
from fusemap.validation.sweep_space import Condition, Space
from fusemap.validation.sweep_spec import load_sweep, parse_sweep

HEAD = "cascade: attention-1pass\ndataflow: fusemax-binding\narch: fusemax-cloud\nworkload: BERT\n"


def values(section: str, key: str, **given: Any) -> tuple[Any, ...]:
    """The values of a range."""
    given = {name.rstrip("_"): value for name, value in given.items()}
    return axis_values(section, key, RangeModel.model_validate(given))


@given(st.integers(-50, 50), st.integers(0, 100), st.integers(1, 9))
def test_steps_are_pythons_range(first: int, length: int, step: int) -> None:
    found = values("parameters", "x", from_=first, to=first + length, step=step)
    assert found == tuple(range(first, first + length + 1, step))


@given(st.integers(1, 9), st.integers(0, 10**6), st.integers(2, 5))
def test_factors_multiply_until_the_end(first: int, length: int, factor: int) -> None:
    found = values("parameters", "x", from_=first, to=first + length, factor=factor)
    expected = [first * factor**i for i in range(40) if first * factor**i <= first + length]
    assert found == tuple(expected)


def test_ranges_are_exact_and_end_where_they_say() -> None:
    assert values("parameters", "x", from_=0.1, to=0.5, step=0.1) == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert values("parameters", "x", from_=0, to=1, count=3) == (0.0, 0.5, 1.0)
    assert values("parameters", "x", from_=1, to=10**6, count=7, scale="log") == tuple(10**i for i in range(7))
    assert values("parameters", "x", from_=0.5, to=8, count=5, scale="log") == (0.5, 1.0, 2.0, 4.0, 8.0)
    assert values("machine", "clock", from_="1 GHz", to="1.5 GHz", count=2) == (10**9, 1_500_000_000)
    assert values("machine", "sram.capacity", from_="1 B", to="4 B", count=6) == (1, 2, 3, 4)
    assert values("length", "length", from_="1K", to="4K", factor=2) == (1024, 2048, 4096)
    assert axis_values("sizes", "B", 8) == (8,)
    assert axis_values("parameters", "x", [1, 1.5]) == (1.0, 1.5)


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.integers(2, 30))
def test_a_log_scale_has_even_ratios_but_for_rounding(first: int, second: int, count: int) -> None:
    low, high = sorted((first, second))
    found = values("parameters", "x", from_=low, to=high, count=count, scale="log")
    assert (found[0], found[-1]) == (low, high)
    assert list(found) == sorted(set(found))
    ratio = (high / low) ** (1 / (count - 1))
    assert all(b - a * ratio <= 0.51 * (1 + ratio) + 1e-9 * b for a, b in itertools.pairwise(found))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"from_": 1, "to": 2}, "one of step, factor and count, found none"),
        ({"from_": 1, "to": 2, "step": 1, "count": 2}, "found step and count"),
        ({"from_": 2, "to": 1, "step": 1}, "a range goes up: from 2 to 1 does not"),
        ({"from_": 1, "to": 2, "step": 0}, "a step must be positive, found 0"),
        ({"from_": 1, "to": 2, "factor": 1}, "its factor is above 1"),
        ({"from_": 0, "to": 2, "count": 3, "scale": "log"}, "starts above 0"),
        ({"from_": 0, "to": 10**7, "step": 1}, "more than 1,000,000 values"),
        ({"from_": "a", "to": 2, "step": 1}, 'expected a number, found "a"'),
    ],
)
def test_a_bad_range_says_what_is_wrong(given: dict[str, Any], message: str) -> None:
    with pytest.raises(TextFault, match=message):
        values("parameters", "x", **given)


# --- the points -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 5), min_size=2, max_size=4), st.integers(1, 40), st.integers(0, 30))
def test_points_are_those_of_plain_enumeration(lengths: list[int], limit: int, other: int) -> None:
    axes = tuple(
        Axis(column=f"x{i}", section="parameters", key=f"x{i}", values=tuple(range(2, 2 + n)))
        for i, n in enumerate(lengths)
    )
    from fusemap.archspec.expressions import parse_expression

    conditions = (
        Condition(then=parse_expression(f"x0 * x1 <= {limit}")),
        Condition(then=parse_expression(f"if(x1 % 2, x0 - x1 != {other % 3}, 12 / x0 > 2)")),
    )
    space = Space(axes=axes, conditions=conditions)
    grid = list(itertools.product(*(axis.values for axis in axes)))
    expected = [
        i
        for i, p in enumerate(grid)
        if p[0] * p[1] <= limit and (p[0] - p[1] != other % 3 if p[1] % 2 else 12 / p[0] > 2)
    ]
    assert (space.size, space.count()) == (len(grid), len(expected))
    for size in (1, 7, 1000):
        assert [i for block in space.blocks(size) for i in block.tolist()] == expected
    assert [tuple(space.point(i).values()) for i in range(len(grid))] == grid


def test_conditions_on_names() -> None:
    found = parse_sweep(
        "cascade: [attention-1pass, attention-3pass]\ndataflow: [fusemax-binding, flat, unfused]\n"
        "arch: [fusemax-cloud, flat-cloud]\nworkload: BERT@4K\nparameters: {pe: [64, 128]}\nconditions:\n"
        "  - {if: {cascade: attention-1pass}, then: {dataflow: fusemax-binding, arch: fusemax-cloud}}\n"
        "  - {if: {cascade: attention-3pass}, then: {dataflow: [flat, unfused]}}\n"
        "  - {if: {dataflow: flat}, then: pe == 64}\n"
    )
    points = [found.space.point(int(i)) for block in found.space.blocks() for i in block]
    assert found.space.count() == len(points) == 8
    kept = {(p["cascade"][10], p["dataflow"], p["arch"], p["pe"]) for p in points}
    assert {k for k in kept if k[0] == "1"} == {("1", "fusemax-binding", "fusemax-cloud", n) for n in (64, 128)}
    assert {k[3] for k in kept if k[1] == "flat"} == {64}
    assert {k[3] for k in kept if k[1] == "unfused"} == {64, 128}


def test_a_large_space_is_counted_without_holding_it() -> None:
    text = HEAD + "length: {from: 1, to: 100000, step: 1}\nparameters: {pe: {from: 1, to: 10000, step: 1}}\n"
    found = parse_sweep(text)
    assert found.space.count() == found.space.size == 10**9
    assert found.space.point(10**9 - 1)["pe"] == 10_000
    assert next(found.space.blocks(5)).tolist() == [0, 1, 2, 3, 4]


def test_a_condition_without_a_value_is_an_error_at_its_place() -> None:
    found = sweep(SMALL, conditions="[pe / (pe - 64) > 1]")
    with pytest.raises(fm.InputError, match=r"sweep\.yaml:9:17: error: division by zero"):
        found.space.count()


# --- faults of the file ------------------------------------------------------------------------------------

FAULTS = {
    "arch: fusemax-clud\n": '3:7: error: unknown arch "fusemax-clud"\n*did you mean fusemax-cloud?',
    "cascade: attention-1pas\n": "did you mean attention-1pass?",
    "workload: BERTT\n": '4:11: error: unknown workload "BERTT"',
    "dataflow: [flat, flt]\n": "2:18: error: no dataflow or file named flt\n*did you mean flat?",
    "workload: BERT@4K\n": '"BERT@4K" names a length, and "length" gives others',
    "length: [1K, 0]\n": '5:9: error: bad length "0"',
    "length: [1K, 1K]\n": "the value 1024 is listed twice",
    "parameters: {pes: 64}\n": "6:14: error: fusemax-cloud has no parameter pes\n*did you mean pe?",
    "parameters: {pe: []}\n": "expected at least one value",
    "parameters: {pe: {from: 1, too: 2, step: 1}}\n": 'unknown key "too" (did you mean "to"?)',
    "machine: {dram.bandwith: 1 GiB/s}\n": "has no number dram.bandwith\n*did you mean dram.bandwidth?",
    "machine: {clock: 940}\n": "expected a frequency such as 940 MHz, found 940 without a unit",
    "machine: {clock: [1 GHz, 1 GiB]}\n": "expected a frequency",
    "machine: {array_2d.rows: 0.5}\n": "expected whole numbers from 1",
    "sizes: {M00: 64}\n": "no rank or tile is named M00\n*did you mean M0?",
    "conditions: [pee < 3]\n": '8:14: error: unknown name "pee"\n*did you mean pe?',
    "conditions: [pe < ]\n": "expected a number, a name or a parenthesis, found the end",
    "conditions: [{if: {cascad: x}, then: pe}]\n": "expected one of cascade, dataflow, arch, workload, found cascad",
    "conditions: [{if: {arch: flat-cloud}, then: pe}]\n": 'no arch of this sweep is "flat-cloud"',
    "conditions: [{iff: {}, then: pe}]\n": 'unknown key "iff" (did you mean "if"?)',
    "accounting: principle\n": "did you mean principled?",
}


@pytest.mark.parametrize("line", FAULTS, ids=lambda line: line.strip())
def test_a_fault_is_named_where_it_is(line: str, tmp_path: Path) -> None:
    base = HEAD + "length: 4K\nparameters: {pe: 256}\nmachine: {clock: 940 MHz}\n"
    key = line.partition(":")[0]
    lines = [old for old in base.splitlines(keepends=True)]
    at = next((i for i, old in enumerate(lines) if old.startswith(f"{key}:")), len(lines))
    lines[at : at + 1] = [line]
    path = tmp_path / "space.yaml"
    path.write_text("".join(lines))
    with pytest.raises(fm.InputError) as refused:
        load_sweep(path)
    text = str(refused.value)
    for part in FAULTS[line].split("\n*"):
        assert part in text
    assert f"{path}:{at + 1}:" in text


def test_faults_come_together() -> None:
    with pytest.raises(fm.InputError) as refused:
        parse_sweep("cascade: x\narch: y\nworkload: z\n")
    assert len(refused.value.diagnostics) == 3


def test_a_number_and_a_size_of_one_name_are_told_apart() -> None:
    text = "cascade: attention-1pass\narch: fusemax-scaled\nworkload: BERT@4K\nparameters: {E: 64}\nsizes: {E: 64}\n"
    with pytest.raises(fm.InputError, match="E stands under parameters and under sizes"):
        parse_sweep(text)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/mine.yaml").write_text("extends: fusemax-cloud\n")
    (tmp_path / "in/plan.yaml").write_text("extends: fusemax-binding\n")
    (tmp_path / "in/mine.cascade").write_text(fm.load_cascade("attention-1pass").text)
    (tmp_path / "in/space.yaml").write_text(
        "cascade: ./mine.cascade\narch: mine.yaml\ndataflow: plan.yaml\nworkload: BERT@4K\n"
    )
    found = load_sweep(tmp_path / "in/space.yaml")
    assert found.space.count() == 1
    assert found.space.point(0)["arch"] == "mine.yaml"


def test_the_digest_is_that_of_all_a_result_depends_on(tmp_path: Path) -> None:
    arch = tmp_path / "mine.yaml"
    text = f"cascade: attention-1pass\narch: {arch}\ndataflow: fusemax-binding\nworkload: BERT@4K\n"
    arch.write_text("extends: fusemax-cloud\n")
    first = parse_sweep(text).digest
    assert parse_sweep(f"# a comment\ndescription: words\n{text}").digest == first
    others = [text + "accounting: published\n", text.replace("4K", "8K"), text + "conditions: [1 > 0]\n"]
    others.append(text.replace("fusemax-binding", "fusemax-arch"))
    found = {parse_sweep(other).digest for other in others}
    arch.write_text("extends: fusemax-cloud\nsource: mine\nclock: 1 GHz\n")
    assert len({first, *found, parse_sweep(text).digest}) == 6


def test_the_count_and_the_schema_are_printed(fusemap: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(SMALL + "conditions: [pe > 64]\n")
    shown = fusemap("sweep", str(path), "--count")
    assert (shown.code, shown.err) == (0, "")
    expected = "space: 20 points\n  length 5 x pe 3 x global_buffer.capacity_bytes 2 = 30\n  conditions exclude 10\n"
    assert shown.out == expected
    document = fusemap("sweep", str(path), "--count", "--json").json()
    assert (document["points"], document["combinations"]) == (20, 30)
    schema = json.loads(fusemap("schema", "sweep").out)
    assert {"cascade", "length", "conditions"} <= set(schema["properties"])
    assert {"from", "to"} <= set(schema["$defs"]["RangeModel"]["properties"])


def test_numbers_of_an_axis_are_of_one_kind() -> None:
    table = sweep(SMALL).space
    for axis in table.axes:
        column = table.column(axis, np.arange(len(axis.values)))
        assert column.tolist() == list(axis.values)
        assert len({type(value) for value in axis.values}) == 1
