"""`fusemap simulate --level cycle`: the page, the document, traces and pictures, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from fusemap.validation.trace_check import check_trace, read_trace

Run = Callable[..., Outcome]
TINY = "extends: {base}\ndescription: a small machine\nsource: made up\nparameters: {{pe: 4}}\n"
SIZES = ("--workload", "BERT@16", "--size", "B=1", "--size", "H=1", "--size", "E=4", "--size", "F=4")


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[[str], str]:
    """The path of a machine with 4 x 4 elements."""

    def write(base: str) -> str:
        path = tmp_path / f"{base}-tiny.yaml"
        path.write_text(TINY.format(base=base))
        return str(path)

    return write


def test_the_interleaving_is_executed_without_a_fault(fusemap: Run, tiny: Callable[[str], str]) -> None:
    arch = tiny("fusemax-cloud")
    outcome = fusemap("simulate", "attention-1pass", "--arch", arch, *SIZES, "--level", "cycle")
    assert outcome.code == 0 and "unit steps interleaved" in outcome.out and "no fault" in outcome.out
    document = fusemap("simulate", "attention-1pass", "--arch", arch, *SIZES, "--level", "cycle", "--json").json()
    assert document["schema"] == "fusemap/simulate/1" and document["level"] == "cycle"
    assert document["cycles"] == 328 and document["closed_form_cycles"] == 304
    assert document["faults"] == [] and document["rounding"]["AV"] < 1e-14 < document["exp_error"]["AV"] < 1e-6
    assert document["outputs"] == {"AV": [1, 1, 4, 16]}


def test_a_binding_with_stalls_is_executed_stage_by_stage(fusemap: Run, tiny: Callable[[str], str]) -> None:
    arch = ("--arch", tiny("fusemax-cloud"), "--dataflow", "fusemax-arch")
    outcome = fusemap("simulate", "attention-1pass", *arch, *SIZES, "--level", "cycle")
    assert outcome.code == 0 and "stages of the binding one after another" in outcome.out
    line = next(line for line in outcome.out.splitlines() if line.startswith("array_1d  RM"))
    assert line.split()[-3:] == ["16", "4", "64"]  # every iteration waits 4 rows for LM
    whole = fusemap("simulate", "attention-1pass", *arch, *SIZES, "--level", "cycle", "--order", "whole", "--json")
    assert whole.json()["order"] == "whole" and whole.json()["cycles_per_iteration"] < 26


def test_formats_are_rounded(fusemap: Run, tiny: Callable[[str], str]) -> None:
    arch = tiny("fusemax-cloud")
    found = {
        number: fusemap(
            "simulate", "attention-1pass", "--arch", arch, *SIZES, "--level", "cycle", "--number", number, "--json"
        ).json()["rounding"]["AV"]
        for number in ("float64", "float32", "bfloat16")
    }
    assert found["float64"] < 1e-14 < found["float32"] < 1e-5 < found["bfloat16"] < 0.1


def test_a_cascade_without_a_recurrence_runs_part_by_part(fusemap: Run, tiny: Callable[[str], str]) -> None:
    arch = ("--arch", tiny("flat-cloud"), "--dataflow", "flat")
    outcome = fusemap("simulate", "attention-3pass", *arch, *SIZES, "--level", "cycle")
    assert outcome.code == 0 and "GM SN SD A" in outcome.out and "no fault" in outcome.out
    document = fusemap("simulate", "attention-3pass", *arch, *SIZES, "--level", "cycle", "--json").json()
    assert [part["einsums"] for part in document["parts"]] == [["QK"], ["GM", "SN", "SD", "A"], ["AV"]]
    for part in document["parts"]:
        assert part["cycles"] == part["fill"] + part["repeats"] * part["interval"] + part["drain"]
    assert document["rounding"]["AV"] < 1e-13 and document["exp_error"]["AV"] == 0  # FLAT has an exp unit
    refused = fusemap("simulate", "attention-3pass", *arch, *SIZES, "--level", "cycle", "--order", "whole")
    assert refused.code == 2 and "no order of iterations" in refused.err


def test_trace_and_figure_of_a_run(fusemap: Run, tiny: Callable[[str], str], tmp_path: Path) -> None:
    trace, figure = tmp_path / "run.json", tmp_path / "run.png"
    files = ("--trace", str(trace), "--figure", str(figure))
    arch = tiny("fusemax-cloud")
    outcome = fusemap("simulate", "attention-1pass", "--arch", arch, *SIZES, "--level", "cycle", *files)
    assert outcome.code == 0 and f"wrote {trace}" in outcome.out and figure.read_bytes().startswith(b"\x89PNG")
    assert check_trace(trace.read_bytes()) == ()
    work = read_trace(trace.read_bytes()).cycles("array_2d PE(0,0)", "work")
    assert work > 250  # of 272 operations, those of iterations that end in time


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--window", "9:3", "--figure", "a.png"), "--window is FIRST:LAST in cycles"),
        (("--window", "3:9"), "--window says what to draw"),
        (("--number", "int8"), "int8"),
        (("--workload", "BERT@64K"), "at most 268,435,456 are sensible"),
        (("--trace", "a.txt"), "the ending of a.txt names its format"),
    ],
)
def test_refusals(
    fusemap: Run,
    tiny: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    extra: tuple[str, ...],
    message: str,
) -> None:
    arch = tiny("fusemax-cloud")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    outcome = fusemap("simulate", "attention-1pass", "--arch", arch, *SIZES, "--level", "cycle", *extra)
    assert outcome.code == 2 and message in outcome.err
    assert sorted(tmp_path.iterdir()) == before


def test_export_writes_the_trace_alone(fusemap: Run, tiny: Callable[[str], str], tmp_path: Path) -> None:
    asked = ("export", "trace", "attention-1pass", "--arch", tiny("fusemax-cloud"), *SIZES)
    printed = fusemap(*asked)
    assert printed.code == 0 and check_trace(printed.out.encode()) == ()
    target = tmp_path / "run.json.gz"
    assert fusemap(*asked, "--out", str(target)).code == 0
    assert read_trace(target.read_bytes()).sums == read_trace(printed.out.encode()).sums
    assert fusemap(*asked, "--out", str(tmp_path / "run.txt")).code == 2
