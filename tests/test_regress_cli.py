"""`fusemap regress`: what record writes and check says, exit codes, wrong input; no file is left half written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome
from regress_cases import CASES, chip, workshop

import fusemap as fm
from fusemap.validation.regress import regress

Command = Callable[..., Outcome]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a machine and a recorded baseline of two cases, which is the current directory."""
    monkeypatch.chdir(workshop(tmp_path))
    return tmp_path


def test_record_then_check(fusemap: Command, shop: Path) -> None:
    (shop / "base.yaml").write_text(CASES)
    done = fusemap("regress", "record", "base.yaml")
    assert (done.code, done.out, done.err) == (0, "wrote base.yaml: 2 cases, 2 new\n", "")
    text = (shop / "base.yaml").read_text()
    assert text.startswith(CASES) and 'reason: "first recording"' in text
    report = fm.evaluate("attention-1pass", arch=Path("chip.yaml"), workload="BERT@4K", dataflow="fusemax-binding")
    assert f"      energy_pj: {report.energy_pj!r}\n" in text and f"      latency_s: {report.latency_s!r}\n" in text
    done = fusemap("regress", "check", "base.yaml")
    assert (done.code, done.out, done.err) == (0, "base.yaml: 2 cases as recorded\n", "")
    again = fusemap("regress", "record", "base.yaml", "--reason", "nothing to say")
    assert again.out == "base.yaml is up to date: 2 cases, 2 as they were\n"
    assert (shop / "base.yaml").read_text() == text


def test_a_price_that_moved_is_named_with_its_component(fusemap: Command, shop: Path) -> None:
    (shop / "chip.yaml").write_text(chip(price=300))
    done = fusemap("regress", "check", "base.yaml")
    assert done.code == 1
    assert "base.yaml: of 2 cases 2 moved, 0 as recorded" in done.out
    assert "changed since it was recorded: arch chip.yaml" in done.out
    assert re.search(r"energy_pj\.dram +1\.256277934e\+10 +1\.446531564e\+10 +\+1\.9025e\+09 +\+15\.14 %", done.out)
    assert re.search(
        r"dram +\+1\.9025e\+09 +100 %\n +BQK read Q +\+6\.3418e\+08 +unit energy 249\.6 -> 300 pJ", done.out
    )
    assert "latency_s" not in done.out and "area" not in done.out


def test_a_count_that_moved_is_told_from_a_price(fusemap: Command, shop: Path) -> None:
    (shop / "base.yaml").write_text((shop / "base.yaml").read_text().replace("BERT, length", "T5, length"))
    case = (shop / "base.yaml").read_text().replace(" BERT@", " T5@").replace("workload: BERT@", "workload: T5@")
    (shop / "base.yaml").write_text(case)
    done = fusemap("regress", "check", "base.yaml")
    assert done.code == 1 and "count " in done.out and "unit energy" not in done.out


def test_numbers_that_moved_need_a_reason(fusemap: Command, shop: Path) -> None:
    before = (shop / "base.yaml").read_text()
    (shop / "chip.yaml").write_text(chip(price=300))
    refused = fusemap("regress", "record", "base.yaml")
    assert refused.code == 2 and "2 of 2 cases moved (chip BERT@1K, chip BERT@4K): say why" in refused.err
    assert (shop / "base.yaml").read_text() == before
    done = fusemap("regress", "record", "base.yaml", "--reason", "  dearer\n DRAM ")
    assert (done.code, done.out) == (0, "wrote base.yaml: 2 cases, 2 moved\n")
    assert 'reason: "dearer DRAM"' in (shop / "base.yaml").read_text()
    assert fusemap("regress", "check", "base.yaml").code == 0
    assert fusemap("regress", "record", "base.yaml", "--reason", " ").code == 2


def test_the_difference_of_a_recording_is_what_moved(fusemap: Command, shop: Path) -> None:
    before = (shop / "base.yaml").read_text().splitlines()
    (shop / "chip.yaml").write_text(chip(price=300))
    fusemap("regress", "record", "base.yaml", "--reason", "dearer")
    after = (shop / "base.yaml").read_text().splitlines()
    changed = {
        line.split(":")[0].strip() for old, new in zip(before, after, strict=True) if old != new for line in [new]
    }
    assert changed == {"reason", "arch chip.yaml", "dram read", "energy_pj", "dram"}


def test_cases_within_tolerance_keep_their_numbers(fusemap: Command, shop: Path) -> None:
    before = (shop / "base.yaml").read_text()
    (shop / "chip.yaml").write_text(chip(price=249.6001))
    more = before.replace("length: [1K, 4K]", "length: [1K, 4K, 16K]")
    (shop / "base.yaml").write_text(more)
    done = fusemap("regress", "record", "base.yaml")
    assert done.out == "wrote base.yaml: 3 cases, 1 new, 2 as they were\n"
    after = (shop / "base.yaml").read_text()
    kept = before[before.index("    chip BERT@1K:") :]
    assert kept in after and "dram read: 249.6001" in after and "machine: chip 2" in after
    assert fusemap("regress", "check", "base.yaml").code == 0


def test_tolerances(fusemap: Command, shop: Path) -> None:
    recorded = (shop / "base.yaml").read_text()

    def code(head: str, *options: str) -> int:
        (shop / "base.yaml").write_text(head + recorded)
        return fusemap("regress", "check", "base.yaml", *options).code

    (shop / "chip.yaml").write_text(chip(price=300))  # DRAM +15 to 17 %, all energy +0.063 and +0.0032 %
    assert code("") == 1
    assert code("", "--tolerance", "0.2") == 0
    assert code("", "--tolerance", "0.1") == 1
    assert code("tolerances: {default: 0.2}\n") == 0
    assert code("tolerances: {default: 0.2}\n", "--tolerance", "1e-6") == 1
    assert code("tolerances: {energy_pj: 0.2}\n") == 0
    assert code("tolerances: {energy_pj: 1e-2}\n") == 1
    assert code("tolerances: {energy_pj: 1e-2, energy_pj.dram: 0.2}\n") == 0
    assert code("tolerances: {energy_pj: {absolute: 8e+9}}\n") == 0
    assert code("tolerances: {energy_pj: {absolute: 7e+9}}\n") == 1
    assert code("tolerances: {latency_s: 0.5}\n") == 1


def test_a_change_that_cancels_in_the_total_is_found_in_the_components(fusemap: Command, shop: Path) -> None:
    text = (shop / "base.yaml").read_text()
    loose = f"tolerances: {{energy_pj: 1e-3, energy_pj.dram: 1e-6}}\n{text}"
    (shop / "base.yaml").write_text(loose)
    (shop / "chip.yaml").write_text(chip(price=250))
    done = fusemap("regress", "check", "base.yaml")
    assert done.code == 1 and "  energy_pj.dram " in done.out and "  energy_pj  " not in done.out


def test_a_case_that_does_not_fit_any_more_has_moved(fusemap: Command, shop: Path) -> None:
    (shop / "base.yaml").write_text(CASES.replace("length:", "sizes: {M0: 256}, length:"))
    assert fusemap("regress", "record", "base.yaml").code == 0
    recorded = (shop / "base.yaml").read_text()
    smaller = chip().replace("components:", "arrays: {array_2d: {dims: {rows: 64, columns: 64}}}\ncomponents:")
    (shop / "chip.yaml").write_text(smaller)
    done = fusemap("regress", "check", "base.yaml")
    assert done.code == 1 and "moved" in done.out
    assert "does not fit any more: " in done.out and "limit 64" in done.out
    assert fusemap("regress", "record", "base.yaml").code == 2
    assert fusemap("regress", "record", "base.yaml", "--reason", "a small array").code == 0
    assert "  refused:\n    chip BERT@1K: " in (shop / "base.yaml").read_text()
    assert fusemap("regress", "check", "base.yaml").code == 0
    (shop / "chip.yaml").write_text(chip())
    back = fusemap("regress", "check", "base.yaml")
    assert back.code == 1 and "fits now; recorded was that it does not" in back.out
    assert fusemap("regress", "record", "base.yaml", "--reason", "first recording").code == 0
    assert (shop / "base.yaml").read_text() == recorded


def test_new_and_missing_cases(fusemap: Command, shop: Path) -> None:
    (shop / "base.yaml").write_text((shop / "base.yaml").read_text().replace("[1K, 4K]", "[4K, 16K]"))
    done = fusemap("regress", "check", "base.yaml")
    assert done.code == 1
    assert "of 3 cases 1 not recorded, 1 recorded, but not asked for any more, 1 as recorded" in done.out
    assert "chip BERT@16K (base.yaml:3)\n  not recorded yet" in done.out
    assert "\n  recorded, but not among the cases any more" in done.out
    wrote = fusemap("regress", "record", "base.yaml")
    assert wrote.out == "wrote base.yaml: 2 cases, 1 new, 1 gone, 1 as they were\n"
    assert fusemap("regress", "check", "base.yaml").code == 0


def test_cases_in_a_file_beside(fusemap: Command, shop: Path) -> None:
    (shop / "cases.yaml").write_text(CASES)
    (shop / "ci").mkdir()
    assert fusemap("regress", "record", "ci/base.yaml", "--cases", "cases.yaml").code == 0
    assert (shop / "ci/base.yaml").read_text().startswith('cases: "../cases.yaml"\n')
    assert fusemap("regress", "check", "ci/base.yaml").code == 0
    refused = fusemap("regress", "record", "ci/base.yaml", "--cases", "cases.yaml")
    assert refused.code == 2 and "is there already" in refused.err
    assert "there is no file none.yaml" in fusemap("regress", "record", "x.yaml", "--cases", "none.yaml").err
    assert not (shop / "x.yaml").exists()


def test_the_document_is_that_of_the_function(fusemap: Command, shop: Path) -> None:
    assert fusemap("regress", "check", "base.yaml", "--json").json() == fm.regress("base.yaml").to_json()
    (shop / "chip.yaml").write_text(chip(price=300))
    done = fusemap("regress", "check", "base.yaml", "--json")
    found = done.json()
    assert done.code == 1 and found == fm.regress("base.yaml").to_json()
    assert (found["schema"], found["agrees"], found["inputs"]) == ("fusemap/regress/1", False, ["arch chip.yaml"])
    assert found["counts"] == {"equal": 0, "moved": 2, "new": 0, "missing": 0}
    case = found["cases"][0]
    lines = (shop / "base.yaml").read_text().splitlines()
    assert lines[case["line"] - 1][case["column"] - 1 :].startswith("energy_pj: ")
    (change, dram) = case["changes"]
    assert change["absolute"] == change["found"] - change["recorded"] and dram["metric"] == "energy_pj.dram"
    assert {c["component"] for c in case["causes"]} == {"dram"}
    assert sum(c["change"] for c in case["causes"]) == pytest.approx(change["absolute"])
    assert case["causes"][0]["factors"][0]["name"] == "unit_energy_pj"
    recorded = fusemap("regress", "record", "base.yaml", "--reason", "dearer", "--json").json()
    assert recorded == {**found, "written": True}


# --- wrong input ----------------------------------------------------------------------------------------

WRONG = [
    ("arch: chip.yaml", "arch: chip.yml", 'no such file: "', (3, 42)),
    ("arch: chip.yaml", "arch: fusemx-cloud", "did you mean fusemax-cloud?", (3, 42)),
    ("cascade: attention-1pass", "cascade: attention-1pas", "did you mean attention-1pass?", (3, 19)),
    ("dataflow: fusemax-binding", "dataflow: [flat, fusemax-bindng]", "did you mean fusemax-binding?", (3, 70)),
    ("workload: BERT", "workload: BRET", "did you mean BERT?", (3, 90)),
    ("length: [1K, 4K]", "length: 1Q", 'bad length "1Q"', (3, 90)),
    ("length: [1K, 4K]", "sizes: {M0: big}", "expected a whole number", (3, 108)),
    ("length: [1K, 4K]", "length: 1K, sizes: {Z: 2}", "no rank or tile is named Z", (3, 3)),
    ("length: [1K, 4K]", "length: 1K, without: [overflow]", "principled has none", (3, 3)),
    ("length: [1K, 4K]", "length: 1K, accounting: publish", "did you mean published?", (3, 120)),
    ("chip: {", "chip: {energi: true, ", 'did you mean "energy"?', (3, 10)),
    ("cases:", "tolerances: {latency: 1e-3}\ncases:", "did you mean latency_s?", (2, 14)),
]


@pytest.mark.parametrize(("old", "new", "message", "place"), WRONG, ids=[w[1] for w in WRONG])
def test_wrong_input_is_shown_where_it_is(
    fusemap: Command, shop: Path, old: str, new: str, message: str, place: tuple[int, int]
) -> None:
    text = (shop / "base.yaml").read_text()
    wrong = text.replace(old, new, 1)
    assert wrong != text
    (shop / "base.yaml").write_text(wrong)
    for verb in ("check", "record"):
        done = fusemap("regress", verb, "base.yaml")
        assert done.code == 2 and done.out == "" and "Traceback" not in done.err
        assert message in done.err
        assert f"base.yaml:{place[0]}:{place[1]}: error: " in done.err, done.err
    assert (shop / "base.yaml").read_text() == wrong


def test_all_faults_of_all_cases_come_together(fusemap: Command, shop: Path) -> None:
    (shop / "base.yaml").write_text(
        "cases:\n  a: {cascade: no, arch: nix, workload: BERT@1K}\n  b: {cascade: softmax, arch: nix, workload: X@1}\n"
    )
    message = fusemap("regress", "record", "base.yaml").err
    assert re.findall(r"base\.yaml:(\d+:\d+): error", message) == ["2:16", "2:26", "3:31", "3:46"]


def test_a_fault_of_a_file_that_a_case_names_is_shown_there(fusemap: Command, shop: Path) -> None:
    (shop / "chip.yaml").write_text("extends: fusemax-cloud\nclok: 1 GHz\n")
    message = fusemap("regress", "check", "base.yaml").err
    assert message.startswith("chip.yaml:2:1: error: ") and message.count("error:") == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["check", "none.yaml"], "there is no baseline none.yaml"),
        (["check", "fresh.yaml"], "fresh.yaml:2:1: error: nothing is recorded in this baseline yet"),
        (["check", "given.yaml"], 'it has no "cases"'),
        (["check", "base.yaml", "--tolerance", "-1"], "expected a number from 0"),
        (["check", "base.yaml", "--tolerance", "nan"], "expected a number from 0"),
        (["check", "base.yaml", "--tolerance", "small"], "not a valid float"),
        (["check", "base.yaml", "--report", "x.pdf"], "valid endings: .md, .xml, .sarif, .json, .txt"),
        (["check", "base.yaml", "--format", "html"], "'html' is not one of"),
        (["check", "base.yaml", "--format", "junit", "--json"], "--json is a format too"),
        (["check", "base.yaml", "--report", "no/such/x.md"], "no/such/x.md"),
        (["record", "base.yaml", "--tolerance", "inf"], "expected a number from 0"),
        (["recrod", "base.yaml"], "No such command 'recrod'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments(fusemap: Command, shop: Path, argv: list[str], message: str) -> None:
    text = (shop / "base.yaml").read_text()
    (shop / "fresh.yaml").write_text(CASES)
    (shop / "given.yaml").write_text(text[text.index("recorded:") :])
    done = fusemap("regress", *argv)
    assert done.code == 2 and message in done.err and "Traceback" not in done.err
    assert (shop / "base.yaml").read_text() == text


def test_what_stood_there_stays_when_writing_fails(
    fusemap: Command, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (shop / "base.yaml").read_text()
    (shop / "chip.yaml").write_text(chip(price=300))

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        done = fusemap("regress", "record", "base.yaml", "--reason", "dearer")
        assert done.code == 2 and "No space left on device" in done.err
        assert fusemap("regress", "check", "base.yaml", "--report", "r.md").code == 2
    assert (shop / "base.yaml").read_text() == text
    assert sorted(path.name for path in shop.iterdir()) == ["base.yaml", "chip.yaml"]


def test_a_check_that_never_finds_anything_would_be_noticed(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number of a recorded case, changed by a part in ten thousand: it moved, or contradicts the others."""
    text = (shop / "base.yaml").read_text()
    assert regress("base.yaml").agrees
    start = text.index("    chip BERT@4K:")
    numbers = [m for m in re.finditer(r"(?<=: )[\d.e+-]+$", text[start:], re.M)]
    ignored = 0
    for match in numbers[:: max(1, len(numbers) // 12)]:
        value = float(match.group()) * 1.0001
        shown = repr(round(value) + 1) if "." not in match.group() else repr(value)
        changed = text[: start + match.start()] + shown + text[start + match.end() :]
        (shop / "base.yaml").write_text(changed)
        try:
            ignored += regress("base.yaml").agrees
        except fm.InputError:
            continue
    assert ignored <= 1  # sizes of tiles explain, and are not compared
