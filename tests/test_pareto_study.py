"""The Pareto study: buffers, times and areas by plain arithmetic, macros that are missing, rules that never end."""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cache
from pathlib import Path

import pytest
from studies import STUDY, bench

from fusemap.archspec import load_components
from fusemap.validation import pareto_study
from fusemap.validation.pareto_study import pareto_attempts
from fusemap.validation.published import load_published
from fusemap.validation.reproduce import Bench, Failure, accountings, compare
from fusemap.validation.rows import ParetoRow
from fusemap.validation.study import ParetoModel, Study

VALUES = load_published(STUDY)
MODELS = {"BERT": (64, 12), "TrXL": (64, 16), "T5": (64, 8), "XLM": (128, 16)}  # E, H
SIZES = (16, 32, 64, 128, 256, 512)
LENGTH, BATCH, CLOCK_HZ, BYTES_PER_S = 1 << 18, 64, 940e6, 400 * 2**30


@cache
def rows(accounting: str = "published") -> tuple[ParetoRow, ...]:
    found, failures = pareto_attempts(bench(), accountings(STUDY, accounting))
    assert failures == ()
    return found


def planted(**changes: object) -> Study:
    """The study with parts of its Pareto study replaced."""
    model = STUDY.model.pareto
    assert model is not None
    changed = ParetoModel.model_validate(model.model_copy(update=changes).model_dump())
    return dataclasses.replace(STUDY, model=STUDY.model.model_copy(update={"pareto": changed}))


def attempts(study: Study) -> tuple[tuple[ParetoRow, ...], tuple[Failure, ...]]:
    return pareto_attempts(Bench(study=study), accountings(study, "published"))


# --- by plain arithmetic --------------------------------------------------------------------------


def by_hand(model: str, pe: int) -> dict[str, float]:
    """Buffer, traffic, times and areas of one machine, by the formulas of the paper and its artifact."""
    e, heads = MODELS[model]
    tiles, blocks = 2 * max(1, pe // e), LENGTH // pe
    point = BATCH * heads * LENGTH * LENGTH / (pe * pe * CLOCK_HZ)  # one operation per score
    qk, values, others = e * point, e * point, (1 + 7 + 1) * point
    array_1d = (point + e * point + e * point / blocks) + point + (7 + 1) * point + e * point
    multiple = 1
    while True:
        buffer = pe * max(1, tiles // blocks) * e * 16 * multiple
        most = min(blocks, (buffer - 2 * pe * 2 * e) // (2 * (2 * e + 2) * pe))
        p1 = max(d for d in (1 << i for i in range(blocks.bit_length())) if d <= most)
        traffic = 2 * BATCH * heads * LENGTH * e * (2 + 2 * blocks // p1)
        if traffic / BYTES_PER_S <= array_1d:
            break
        multiple *= 2
    stages = (
        max(qk + point, point + e * point + e * point / blocks) + point + max((7 + 1) * point, (7 + 1) * point) + values
    )

    def registers(depth: int) -> float:
        return 16791.04 * max(64, depth) / 64 + 11.63484 * math.ceil(math.log2(depth))

    grid = pe * pe * (registers(2 * tiles) + 49.28944 + 1545) + pe
    lanes = pe * (registers(8 * tiles) + 49.28944 + 1545 + 23740.9375)
    return {
        "buffer_bytes": buffer,
        "traffic_bytes": traffic,
        "memory_s": traffic / BYTES_PER_S,
        "array_2d_s": qk + values + others,
        "array_1d_s": array_1d,
        "latency_s": max(stages, traffic / BYTES_PER_S),
        "array_2d_area_um2": grid,
        "area_um2": grid + 1 + lanes + 1 + MACROS[buffer, 16 * pe],
    }


KIB = 1 << 10
MACROS = {  # bytes and bits of a row: um^2, as the facts list them; the last one from the published area of the chip
    (16 * KIB, 256): 53846.21356,
    (32 * KIB, 256): 103511.3484,
    (32 * KIB, 512): 115584.71356,
    (64 * KIB, 512): 222100.3484,
    (64 * KIB, 1024): 268848.71356,
    (128 * KIB, 1024): 438223.3484,
    (128 * KIB, 2048): 710760.71356,
    (256 * KIB, 2048): 1042496.3484,
    (256 * KIB, 4096): 2141034.71356,
    (512 * KIB, 4096): 2797486.3484,
    (1024 * KIB, 8192): 20019316.3484,
    (2048 * KIB, 8192): 22647127.98324,
}


@pytest.mark.parametrize("pe", SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_every_machine_by_plain_arithmetic(model: str, pe: int) -> None:
    (row,) = [r for r in rows() if (r.model, r.value) == (model, pe)]
    expected = by_hand(model, pe)
    assert row.buffer_bytes == expected.pop("buffer_bytes")
    assert {name: row.quantities()[name] for name in expected} == pytest.approx(expected, rel=1e-12)


def test_the_machines_need_each_macro_of_the_table() -> None:
    """The published points use exactly these macros; one of them is known from its chip's area alone."""
    used = {(row.buffer_bytes, 16 * row.value) for row in rows()}
    assert used == set(MACROS)
    derived = [(r.model, r.value) for r in rows() if (r.buffer_bytes, 16 * r.value) == (2 << 20, 8192)]
    assert derived == [("XLM", 512)]
    table = next(e for e in load_components("45nm").entries if e.name == "sram")
    assert "less" in str(table), "its source says how it was derived"


def test_the_accounting_changes_no_time_and_no_area() -> None:
    before, after = (by_machine(rows(name)) for name in ("published", "principled"))
    assert after == {key: pytest.approx(quantities, rel=1e-12) for key, quantities in before.items()}


def by_machine(found: tuple[ParetoRow, ...]) -> dict[tuple[str, int], dict[str, float]]:
    return {(r.model, r.value): r.quantities() for r in found}


def test_latency_falls_and_area_grows_with_the_array() -> None:
    for model in MODELS:
        mine = [r for r in rows() if r.model == model]
        assert [r.value for r in mine] == list(SIZES)
        for small, large in itertools.pairwise(mine):
            assert small.latency_s > large.latency_s and small.area_um2 < large.area_um2


def test_json_of_a_machine() -> None:
    document = rows()[0].to_json()
    assert list(document)[:4] == ["study", "model", "seq_len", "pe"]
    assert (document["study"], document["model"], document["pe"]) == ("pareto", "BERT", 16)


# --- planted faults -------------------------------------------------------------------------------


def test_a_buffer_that_is_not_doubled_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pareto_study, "memory_seconds", lambda timing: 0.0)
    found, failures = attempts(planted())
    missed = {(c.published.configuration, c.published.quantity) for c in _missed(found)}
    assert missed == {("pe=512", q) for q in ("traffic_bytes", "memory_s", "latency_s", "area_um2")}
    assert {f.configuration for f in failures} == {"pe=512"}, "no macro of 512 KiB has rows of 8192 bit"


def _missed(found: tuple[ParetoRow, ...]) -> list[object]:
    return [c for c in compare(STUDY, (), VALUES, pareto=found) if not c.agrees]


def test_a_macro_that_no_source_gives_is_named_and_loses_no_others() -> None:
    found, failures = attempts(planted(points={"pe": [256, 1024]}))
    assert {r.value for r in found} == {256} and len(found) == 4
    assert {f.configuration for f in failures} == {"pe=1024"}
    assert all('component "sram" (' in f.message and "x 16384 bit) has no area" in f.message for f in failures)


def test_memory_that_is_always_slower_is_an_error(tmp_path: Path) -> None:
    slow = tmp_path / "slow.yaml"
    slow.write_text("extends: fusemax-scaled\nsource: a test\nmemories: {dram: {bandwidth: 1 MB/s}}\n")
    found, failures = attempts(planted(arch=str(slow), points={"pe": [256]}))
    assert found == () and len(failures) == 4
    assert "memory takes longer than array_1d however often buffer_multiple is doubled" in failures[0].message


def test_points_have_one_parameter() -> None:
    with pytest.raises(ValueError, match="points has one parameter"):
        planted(points={"pe": [16], "E": [64]})
