"""Timeloop's recorded runs against ours: agreement, the causes by themselves, and faults that must be noticed."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome

import fusemap as fm
from fusemap.mappers.types import EinsumMapping, Fanout, Loop, Storage
from fusemap.sim.reuse import LevelCount, analyse, tiles
from fusemap.validation.timeloop import compare as comparing
from fusemap.validation.timeloop.boxes import New, Tile
from fusemap.validation.timeloop.cases import Case, cases
from fusemap.validation.timeloop.check import TimeloopCheck, check_timeloop, chosen_cases
from fusemap.validation.timeloop.compare import NO_ELISION, compare
from fusemap.validation.timeloop.peer import Answers, Tool, named_tool, run_tool
from fusemap.validation.timeloop.quantities import CAUSES, Quantity
from fusemap.validation.timeloop.recording import RECORDED, digest, read_recording, recording_text
from fusemap.validation.timeloop.sliding import walk
from fusemap.validation.timeloop.stats import parse_stats, stats_from_json

Run = Callable[..., Outcome]
RECORDING = Path(fm.__file__).parent / "validation" / "recordings" / "timeloop" / RECORDED


@cache
def recorded() -> Answers:
    return read_recording(cases())[0]


def case_of(name: str) -> Case:
    return next(case for case in cases() if case.name == name)


def quantities(case: Case) -> tuple[Quantity, ...]:
    return compare(case, case.specification(), recorded().stats[case.name])


@cache
def whole() -> TimeloopCheck:
    return check_timeloop()[0]


# --- the recorded runs ------------------------------------------------------------------------------


def test_every_recorded_number_is_ours_or_ours_with_its_causes() -> None:
    found = whole()
    assert found.agrees
    assert [str(q) for case in found.cases for q in case.quantities if not q.explained] == []
    assert len(found.cases) >= 100
    assert {cause for case in found.cases for cause in case.causes} == set(CAUSES)


def test_counts_differ_by_three_causes_only() -> None:
    counts = [q for case in whole().cases for q in case.quantities if q.unit in ("words", "instances", "points")]
    assert len(counts) > 2000
    used = {cause for q in counts for cause, _ in q.causes}
    assert used == {"64-bit partition", "first-read elision", "overlapping tiles"}


def test_the_cases_are_those_that_are_promised() -> None:
    names = [case.name for case in cases()]
    einsums = {space: fm.load_cascade(space) for space in ("attention-1pass", "attention-3pass")}
    for dataflow, cascade in (("fusemax-binding", "attention-1pass"), ("flat", "attention-3pass")):
        views = {"BK", "BV"}
        for einsum in {str(e.name) for e in einsums[cascade].einsums} - views:
            assert f"{dataflow} BERT@1K {einsum}" in names
    assert sum(name.startswith("matmul") for name in names) >= 8
    assert sum(name.startswith("convolution") for name in names) >= 3
    assert sum(name.startswith("seed") for name in names) >= 30
    levels = {sum(isinstance(lv, Storage) for lv in c.nest.levels) for c in cases() if c.name.startswith("seed")}
    assert levels >= {2, 3, 4}


# --- faults that must be noticed --------------------------------------------------------------------


def runs() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(RECORDING.read_text(encoding="utf-8"))
    return document


def test_a_recording_with_one_word_more_is_noticed(fusemap: Run, tmp_path: Path) -> None:
    document = runs()
    space = document["runs"]["flat BERT@1K SN"]["levels"]["global_buffer"]["spaces"]["GM"]
    space["reads"] += 1
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document))
    outcome = fusemap("validate", "timeloop", "--recording", str(changed), "--case", "flat BERT@1K SN")
    assert outcome.code == 1
    wrong = space["reads"]
    assert "1 differences without a cause" in outcome.out
    assert f"flat BERT@1K SN: global_buffer GM reads is {wrong:,}, not {wrong - 1:,}" in outcome.out


@pytest.mark.parametrize("field", ["reads", "fills", "updates", "energy_pj"])
def test_every_recorded_field_is_looked_at(field: str) -> None:
    case = case_of("matmul, odd rows of a buffer")
    stats = recorded().stats[case.name]
    document = stats.to_json()
    document["levels"]["global_buffer"]["spaces"]["Z"][field] += 1
    assert not all(q.explained for q in compare(case, case.specification(), stats_from_json(document)))


def test_cycles_computes_and_levels_are_looked_at() -> None:
    case = case_of("matmul, odd rows of a buffer")
    stats = recorded().stats[case.name]
    for key in ("cycles", "computes", "compute_cycles", "compute_energy_pj", "network_energy_pj"):
        changed = stats_from_json(stats.to_json() | {key: getattr(stats, key) + 1})
        assert not all(q.explained for q in compare(case, case.specification(), changed)), key
    fewer = dataclasses.replace(stats, levels=stats.levels[1:])
    assert not all(q.explained for q in compare(case, case.specification(), fewer))
    extra = stats.to_json()
    extra["levels"]["array_2d_registers"]["spaces"]["A"] = extra["levels"]["dram"]["spaces"]["A"]
    found = compare(case, case.specification(), stats_from_json(extra))
    assert [str(q) for q in found if not q.explained] == ["array_2d_registers A words"]


@pytest.mark.parametrize("field", ["reads", "fills", "updates"])
def test_a_reuse_analysis_that_is_one_word_off_is_noticed(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(*args: Any, **named: Any) -> tuple[LevelCount, ...]:
        counts = analyse(*args, **named)
        at = next(i for i, count in enumerate(counts) if getattr(count, field))
        changed = dataclasses.replace(counts[at], **{field: getattr(counts[at], field) + 1})
        return (*counts[:at], changed, *counts[at + 1 :])

    monkeypatch.setattr(comparing, "analyse", off)
    wrong = [name for name in ("seed 3", "matmul, weights stationary") if all(q.explained for q in _with(name))]
    assert wrong == []


def _with(name: str) -> Sequence[Quantity]:
    return quantities(case_of(name))


@pytest.mark.parametrize("cause", ["64-bit partition", "overlapping tiles", "first-read elision"])
def test_without_a_cause_its_cases_are_open(cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named = [case.name for case in whole().cases if cause in case.causes]
    monkeypatch.delitem(comparing.COUNT_CAUSES, cause)
    for name in named:
        assert not all(q.explained for q in quantities(case_of(name))), name


# --- the causes by themselves -----------------------------------------------------------------------


def test_a_wrapped_partition_is_too_small_by_whole_multiples_of_2_to_the_64() -> None:
    case = case_of("fusemax-binding BERT@256K SLN")
    read = next(q for q in quantities(case) if str(q) == "array_2d_registers SLN reads")
    assert read.ours == 0 and read.timeloop == 137_438_953_472
    words, tile = 64 * 12 * 2**18 * 2**18, tiles(case.nest.levels, case.space.output)[1]
    assert words * tile > 2**64
    wrapped = words * tile % 2**64 // tile
    assert read.timeloop == (words - wrapped) // 256


def test_without_elision_reads_are_updates() -> None:
    case = case_of("matmul, sums without elided first reads")
    assert NO_ELISION in case.environment
    found = {str(q): q for q in quantities(case)}
    for level in ("dram", "global_buffer", "array_2d_registers"):
        assert found[f"{level} Z reads"].timeloop == found[f"{level} Z updates"].timeloop
        assert found[f"{level} Z reads"].ours < found[f"{level} Z updates"].ours


def test_a_window_that_moves_by_one_takes_one_new_word() -> None:
    levels = (
        Storage(memory="dram", loops=(Loop(rank="p", bound=6),), keep=None),
        Storage(memory="registers", loops=(Loop(rank="r", bound=3),), keep=None),
    )
    walked = walk(EinsumMapping(einsum="O", array="a", levels=levels), "I", ((("p", 1), ("r", 1)),))
    assert (walked[0].reads, walked[1].fills, walked[1].reads) == (3 + 5, 3 + 5, 18)


def test_lanes_that_take_the_same_words_share_a_read() -> None:
    levels = (
        Storage(memory="dram", loops=(Loop(rank="p", bound=4),), keep=None),
        Fanout(array="a", dim="lanes", loops=(Loop(rank="k", bound=5),)),
        Storage(memory="registers", keep=None),
    )
    walked = walk(EinsumMapping(einsum="O", array="a", levels=levels), "I", ((("p", 1),),))
    assert (walked[0].reads, walked[2].fills) == (4, 4)


def test_a_tile_that_turns_is_taken_whole() -> None:
    tile = Tile()
    moves = [((0, 4), (0, 2)), ((1, 5), (0, 2)), ((1, 5), (1, 3)), ((1, 5), (1, 3))]
    assert [tile.step(box).words for box in moves] == [8, 2, 8, 0]
    assert New(((0, 3),)).words == 3


# --- reading, running, recording --------------------------------------------------------------------

STATS = """Buffer and Arithmetic Levels
Level 0
=== unit ===

    STATS
    -----
    Computes (total)        : 12
    Cycles                  : 6
    Energy (total)          : 3.00 pJ

Level 1
=== regs ===

    SPECS
    -----
        Size                            : 64

    STATS
    -----
    Cycles               : 6
    Bandwidth throttling : 1.00
    Z:
        Utilized instances (max)                 : 2
        Scalar reads (per-instance)              : 4
        Scalar fills (per-instance)              : 0
        Scalar updates (per-instance)            : 6
        Energy (total)                           : 20.00 pJ

Networks
--------
Network 1
    Z:
        Energy (total)                           : 1.50 pJ

Operational Intensity Stats
---------------------------

Summary Stats
-------------
Cycles: 7
"""


def test_a_statistics_file_is_read_number_by_number() -> None:
    found = parse_stats(STATS)
    assert (found.cycles, found.computes, found.compute_cycles, found.compute_energy_pj) == (7, 12, 6, 3.0)
    assert found.network_energy_pj == 1.5
    level = found.level("regs")
    assert level is not None and found.level("dram") is None
    assert dataclasses.astuple(level.of["Z"]) == (2, 4, 0, 6, 20.0)
    assert stats_from_json(found.to_json()) == found


@pytest.mark.parametrize("text", ["", "Cycles: 7", STATS.replace("Cycles: 7", "")])
def test_what_is_no_statistics_file_is_said_so(text: str) -> None:
    with pytest.raises(fm.InputError, match="statistics file of timeloop-model"):
        parse_stats(text)


def test_a_recording_reads_back(tmp_path: Path) -> None:
    chosen = chosen_cases(["matmul"])
    kept = tmp_path / "kept.json"
    kept.write_text(recording_text(chosen, recorded()))
    assert read_recording(chosen, str(kept))[0].stats == {c.name: recorded().stats[c.name] for c in chosen}
    with pytest.raises(fm.InputError, match="has no run of seed 1"):
        read_recording(chosen_cases(["seed 1"]), str(kept))


def test_a_recording_of_other_files_is_refused(fusemap: Run, tmp_path: Path) -> None:
    document = runs()
    document["runs"]["matmul, weights stationary"]["input"] = "0" * 16
    old = tmp_path / "old.json"
    old.write_text(json.dumps(document))
    outcome = fusemap("validate", "timeloop", "--recording", str(old), "--case", "weights stationary")
    assert outcome.code == 2
    assert "was run with other files than now" in outcome.err and "--record FILE" in outcome.err
    (tmp_path / "none.json").write_text("{}")
    broken = fusemap("validate", "timeloop", "--recording", str(tmp_path / "none.json"))
    assert broken.code == 2 and "is no recording of Timeloop" in broken.err


def test_the_digest_is_of_the_nest_and_the_environment() -> None:
    case = case_of("seed 3")
    other = dataclasses.replace(case, environment=(NO_ELISION,))
    assert digest(case) == digest(dataclasses.replace(case, cascade="of another name"))
    assert len({digest(case), digest(other), digest(case_of("seed 4"))}) == 3


def fake_model(folder: Path, body: str) -> str:
    """An executable in the place of timeloop-model."""
    path = folder / "timeloop-model"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_the_tool_is_run_in_an_empty_folder_and_its_file_read(tmp_path: Path) -> None:
    (tmp_path / "stats.txt").write_text(STATS)
    body = f'test -f "$1" && cp {tmp_path / "stats.txt"} timeloop-model.stats.txt'
    answers = run_tool(Tool(executable=fake_model(tmp_path, body)), chosen_cases(["weights stationary"]))
    assert answers.stats == {"matmul, weights stationary": parse_stats(STATS)} and not answers.errors


def test_a_case_that_the_tool_refuses_is_a_difference(tmp_path: Path) -> None:
    tool = Tool(executable=fake_model(tmp_path, "echo ERROR: no room; exit 1"))
    found, _ = check_timeloop(tool, chosen=chosen_cases(["weights stationary"]))
    assert not found.agrees
    assert found.cases[0].error == "ERROR: no room"


def test_a_tool_that_is_not_there_says_how_to_get_it(fusemap: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = fusemap("validate", "timeloop", "--executable", "no-such-model")
    assert absent.code == 2 and "NVlabs/timeloop" in absent.err and "timeloopfe" in absent.err
    monkeypatch.setenv("FUSEMAP_TIMELOOP_PYTHON", "no-such-python")
    with pytest.raises(fm.InputError, match="FUSEMAP_TIMELOOP_PYTHON: no executable no-such-python"):
        named_tool(None, None)
    monkeypatch.delenv("FUSEMAP_TIMELOOP_PYTHON")
    assert named_tool(None, None) is None
    nothing = fusemap("validate", "timeloop", "--record", "x.json")
    assert nothing.code == 2 and "--record needs Timeloop" in nothing.err
    both = fusemap("validate", "timeloop", "--recording", "x.json", "--executable", "sh")
    assert both.code == 2
    unknown = fusemap("validate", "timeloop", "--case", "matmul, weights stationery")
    assert unknown.code == 2 and "did you mean matmul, weights stationary?" in unknown.err


def test_the_page_and_the_document(fusemap: Run) -> None:
    page = fusemap("validate", "timeloop", "--case", "matmul")
    assert page.code == 0
    assert "matmul, odd rows of a buffer" in page.out and "whole rows" in page.out
    document = fusemap("validate", "timeloop", "--case", "matmul", "--json").json()
    assert document["agrees"] and document["timeloop"]["versions"]["timeloop"].startswith("NVlabs/timeloop 4cf6d4c")
    wrapped = [c for c in document["timeloop"]["cases"] if c["different"]]
    assert wrapped and all(d["explained"] for c in wrapped for d in c["different"])


def test_einsums_of_ones_own_are_compared_with_the_tool(fusemap: Run, tmp_path: Path) -> None:
    asked = ("--cascade", "attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@1K", "--case", "RM")
    (tmp_path / "stats.txt").write_text(STATS)
    model = fake_model(tmp_path, f"cp {tmp_path / 'stats.txt'} timeloop-model.stats.txt")
    outcome = fusemap("validate", "timeloop", *asked, "--executable", model, "--json")
    assert outcome.code == 1
    assert [case["case"] for case in outcome.json()["timeloop"]["cases"]] == ["RM"]
    alone = fusemap("validate", "timeloop", *asked)
    assert alone.code == 2 and "nothing is recorded of cascades of your own" in alone.err
    half = fusemap("validate", "timeloop", "--cascade", "attention-1pass")
    assert half.code == 2 and "go together" in half.err


# --- the page of the documentation ------------------------------------------------------------------


def test_the_documentation_has_the_numbers_of_the_recording() -> None:
    page = (Path(__file__).parents[1] / "docs" / "timeloop.md").read_text(encoding="utf-8")
    found = whole()
    changed = Counter(cause for case in found.cases for q in case.quantities for cause, _ in q.causes)
    for cause, number in changed.items():
        assert f"| {cause} | {number} |" in page
    total = sum(len(case.quantities) for case in found.cases)
    equal = sum(q.equal for case in found.cases for q in case.quantities)
    assert f"{total} quantities: {equal} equal, {total - equal} equal with their causes" in page
    assert f"{len(found.cases)} Einsums, in" in page
    rows = page.split("### Cases")[1].split("\n## ")[0].splitlines()
    listed = [row.split("|")[2].strip() for row in rows if row.startswith("| ")]
    assert sum(int(number) for number in listed if number.isdigit()) == len(found.cases)
