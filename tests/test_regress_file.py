"""Baselines read back as they were written, keep their owner's words, and refuse what was not recorded."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import yaml
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from regress_cases import CASES, NAMES, NUMBERS, chip, snapshots, workshop

import fusemap as fm
from fusemap.archspec.yamlnodes import MAX_NODES
from fusemap.sim.report import Report, Row
from fusemap.validation.regress_file import Baseline, baseline_text, empty_baseline, load_baseline, parse_baseline
from fusemap.validation.regress_snapshot import Refused, Snapshot, snapshot
from fusemap.validation.regress_text import Record, quoted, record_text, scalar, share

SOME = examples(20, 1000)
RECORDS = st.builds(
    Record,
    version=st.just("0.1.0"),
    reason=NAMES,
    results=st.dictionaries(
        NAMES, st.one_of(snapshots(st.sampled_from(("chip", "other"))), st.builds(Refused, reason=NAMES)), max_size=3
    ),
    inputs=st.dictionaries(NAMES, NAMES, max_size=2),
)


@SOME
@given(RECORDS)
def test_a_record_reads_back_as_it_is(record: Record) -> None:
    text = baseline_text(empty_baseline("b.yaml", "# mine\n"), record)
    again = parse_baseline(text, file="b.yaml")
    assert again.record is not None and again.record == record
    for name, found in record.results.items():
        if isinstance(found, Snapshot):
            read = again.record.results[name]
            assert isinstance(read, Snapshot)
            assert [float(v).hex() for _, v in read.metrics] == [float(v).hex() for _, v in found.metrics]
    assert text.startswith("# mine\n") and text == baseline_text(again, record)


@given(st.one_of(NUMBERS, st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_written_so_that_every_reader_of_yaml_has_it(number: float) -> None:
    """PyYAML follows YAML 1.1, where a number with an exponent needs a point; its own text is not what is tested."""
    assert float(scalar(number)) == float(number)
    shown = parse_baseline(f"tolerances: {{latency_s: {scalar(abs(number))}}}\n", file="b.yaml")
    assert shown.model.tolerances["latency_s"] == float(abs(number))


@given(st.one_of(NAMES, st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_text_is_written_so_that_another_reader_of_yaml_has_it(text: str) -> None:
    """In double quotes; what is written plain is read by PyYAML as YAML 1.1, where some words are truth values."""
    assert yaml.safe_load(f"a: [{quoted(text)}]\n") == {"a": [text]}
    plain = yaml.load(f"a: {scalar(text)}\n", yaml.BaseLoader)
    assert plain == {"a": text}


def test_one_number_a_line_and_shared_prices_once(tmp_path: Path) -> None:
    record = Record(version="1", reason="r", results={n: report(n) for n in ("BERT@1K", "BERT@4K")})
    text = record_text(record)
    machines, names = share(record.results)
    assert set(names.values()) == {"fusemax-cloud"} == set(machines)
    assert text.count("dram read: 249.6") == 1
    assert all(len(re.findall(r": [\d.e+-]+\b", line)) <= 1 for line in text.splitlines())
    cheaper = record_text(dataclasses.replace(record, results={n: cheap(f) for n, f in record.results.items()}))
    changed = [line for line in text.splitlines() if line not in cheaper.splitlines()]
    assert "        dram read: 249.6" in changed
    assert len([line for line in changed if " dram read" in line]) == 1


def report(workload: str) -> Snapshot:
    return snapshot(fm.evaluate("attention-1pass", arch="fusemax-cloud", workload=workload, dataflow="fusemax-binding"))


def cheap(found: Snapshot | Refused) -> Snapshot:
    assert isinstance(found, Snapshot)
    actions = (dataclasses.replace(a, unit_energy_pj=1.0) if a.price_key == "dram read" else a for a in found.actions)
    return dataclasses.replace(found, actions=tuple(actions))


def test_machines_of_one_name_with_other_prices_are_told_apart() -> None:
    one = report("BERT@1K")
    faster = dataclasses.replace(one, clock_hz=2 * one.clock_hz)
    results: dict[str, Snapshot | Refused] = {"a": one, "b": cheap(one), "c": one, "d": faster}
    text = record_text(Record(version="1", reason="r", results=results))
    named = {"a": "fusemax-cloud", "b": "fusemax-cloud 2", "c": "fusemax-cloud", "d": "fusemax-cloud 3"}
    assert share(results)[1] == named
    assert text.count("machine: fusemax-cloud 2") == 1


def test_a_component_with_two_prices_for_an_action_keeps_both() -> None:
    base = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@1K")
    rows = [
        Row(einsum="A", component="array_2d.lut", action="exp", tensor="", count=c, unit_energy_pj=p, source="s")
        for c, p in ((2, 5.0), (3, 7.0), (4, 5.0))
    ]
    twice: Report = dataclasses.replace(base, rows=tuple(rows))
    found = snapshot(twice)
    assert [(a.component, a.count) for a in found.actions] == [("array_2d.lut", 6), ("array_2d.lut#2", 3)]
    assert dict(found.metrics)["energy_pj.array_2d.lut"] == twice.energy_pj == 51
    record = Record(version="1", reason="r", results={"a": found})
    assert parse_baseline(baseline_text(empty_baseline("b.yaml"), record), file="b.yaml").record == record


# --- the owner's part ----------------------------------------------------------------------------------


def recorded(text: str) -> Baseline:
    return parse_baseline(text, file="b.yaml")


REST = record_text(Record(version="0.1.0", reason="r", results={"a": report("BERT@1K")}))


@pytest.mark.parametrize(
    "head",
    [
        "# only a comment\n",
        "description: 'two\n  lines'\n\n\n# a comment\n",
        "cases:\n  a:   {cascade: softmax,   arch: x.yaml, workload: BERT@1K} # odd   spaces\r\n",
        "tolerances: {default: 1e-3}\n# recorded: not this one\n",
    ],
)
def test_the_owners_words_stay(head: str) -> None:
    read = recorded(head + REST)
    assert read.head == head and read.record is not None
    again = baseline_text(read, dataclasses.replace(read.record, reason="other"))
    assert again.startswith(head.rstrip()) and 'reason: "other"' in again
    assert recorded(again).head.rstrip().startswith(head.rstrip())
    assert baseline_text(recorded(again), recorded(again).record or pytest.fail()) == again


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (REST + "description: late\n", r'b\.yaml:\d+:1: error: "recorded" must be the last key: move this above it'),
        (REST.replace("recorded:", '"recorded":'), r'b\.yaml:1:2: error: "recorded" must stand at the start of a line'),
        ("cases: more.yaml\n", r'b\.yaml:1:8: error: no such file: "more\.yaml"'),
        ("casez: {}\n", r'b\.yaml:1:1: error: unknown key "casez" \(did you mean "cases"\?\)'),
        ("cases: {}\n", r"b\.yaml:1:8: error: "),
        ("cases: {a: {cascade: x, arch: y}}\n", r'b\.yaml:1:9: error: missing key "workload"'),
        ("tolerances: {latency_s: -1}\n", r"b\.yaml:1:25: error: must be at least 0"),
        (REST.replace("baseline/1", "baseline/9"), r"b\.yaml:2:11: error: expected fusemap/baseline/1"),
        (re.sub(r"latency_s: .*", "latency_s: 1.0", REST), r"b\.yaml:\d+:18: error: the phases take 0\.00201"),
        (re.sub(r"(  dram read Q): .*", r"\1: 5", REST), r"error: dram: counts and unit energies make [\d.]+ pJ"),
        (re.sub(r"\n +dram read: 249.6", "", REST), r"error: no unit energy of dram read is recorded"),
        (re.sub(r"array_2d: 798720", "array_2d: 1798720", REST), r"error: the stages take 0\.00\d+ s"),
        (REST.replace("arch: fusemax-cloud", "arch: gone"), r'error: no machine "gone" is recorded'),
        (REST + "  refused:\n    a: why\n", r'error: "a" has numbers too'),
    ],
    ids=lambda value: value[-40:] if value.startswith(("b", "error")) else "",
)
def test_what_was_not_recorded_so_is_refused_at_its_place(text: str, message: str) -> None:
    assert text != REST
    with pytest.raises(fm.InputError, match=message):
        recorded(text)


def test_a_number_that_is_not_finite_is_not_recorded() -> None:
    wrong = dataclasses.replace(report("BERT@1K"), metrics=(("latency_s", float("nan")),))
    with pytest.raises(fm.InputError, match="latency_s of a is nan"):
        record_text(Record(version="1", reason="r", results={"a": wrong}))


def test_more_values_than_other_files_may_hold(tmp_path: Path) -> None:
    one = report("BERT@1K")
    record = Record(version="1", reason="r", results={f"case {i}": one for i in range(110)})
    path = tmp_path / "large.yaml"
    path.write_text(baseline_text(empty_baseline(str(path)), record))
    assert 2 * path.read_text().count(": ") > MAX_NODES
    assert load_baseline(path).record == record


# --- cases ---------------------------------------------------------------------------------------------


def names(cases: str) -> list[str]:
    return [case.name for case in parse_baseline(f"cases:\n{cases}", file="b.yaml").cases or ()]


def test_lists_stand_for_all_their_combinations() -> None:
    assert names(
        "  a: {cascade: c, arch: [x, y], workload: BERT, length: [1K, 2]}\n"
        "  b: {cascade: c, arch: x, workload: T5@1K}\n"
    ) == [
        "a x BERT@1K",
        "a x BERT@2",
        "a y BERT@1K",
        "a y BERT@2",
        "b",
    ]


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ("  a: {cascade: c, arch: x, workload: [T5@1K, T5@1K]}\n", 'two cases are named "a T5@1K"'),
        ("  a: {cascade: c, arch: [], workload: T5@1K}\n", r"b\.yaml:2:25: error: expected at least one value"),
        (f"  a: {{cascade: c, arch: x, workload: [{'T' * 250}@1K]}}\n", "more than 200 characters"),
        (f"  a: {{cascade: c, arch: x, workload: T5, length: {list(range(1, 10_002))}}}\n", "more than 10,000"),
    ],
    ids=range(4),
)
def test_cases_that_cannot_be_told_apart(cases: str, message: str) -> None:
    with pytest.raises(fm.InputError, match=message):
        names(cases)


def test_a_file_of_cases_beside(tmp_path: Path) -> None:
    folder = workshop(tmp_path)
    (folder / "cases.yaml").write_text(CASES)
    (folder / "sub").mkdir()
    (folder / "sub" / "b.yaml").write_text("cases: ../cases.yaml\n")
    read = load_baseline(folder / "sub" / "b.yaml")
    assert [case.name for case in read.cases or ()] == ["chip BERT@1K", "chip BERT@4K"]
    (folder / "cases.yaml").write_text("cases: {a: {cascade: 1}}\n")
    with pytest.raises(fm.InputError, match=r"cases\.yaml:1:22: error: expected a text"):
        load_baseline(folder / "sub" / "b.yaml")


def test_digests_follow_the_content_of_what_is_named(tmp_path: Path) -> None:
    from fusemap.validation.regress_cases import evaluate_cases

    folder = workshop(tmp_path)
    before = evaluate_cases(load_baseline(folder / "base.yaml").cases or ()).digests
    (folder / "chip.yaml").write_text(chip() + "# a comment\n")
    assert evaluate_cases(load_baseline(folder / "base.yaml").cases or ()).digests == before
    (folder / "chip.yaml").write_text(chip(price=250))
    after = evaluate_cases(load_baseline(folder / "base.yaml").cases or ()).digests
    assert {name for name in after if after[name] != before[name]} == {"arch chip.yaml"}
    assert set(after) == {"cascade attention-1pass", "arch chip.yaml", "workload BERT", "dataflow fusemax-binding"}
