"""`fusemap simulate` from the outside: the page, the document, files, and what it refuses."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest
from conftest import Outcome

from fusemap.sim.tile_types import EFFECTS, WORDS_OF
from fusemap.validation.trace_check import check_trace, read_trace

Run = Callable[..., Outcome]

TINY = """\
extends: fusemax-cloud
description: FuseMax with 4 x 4 elements
source: a test
parameters: {pe: 4}
"""
SMALL = ("--workload", "BERT@16", "--size", "B=2", "--size", "H=3", "--size", "E=4", "--size", "F=4")
BASE = ("simulate", "attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@1K")
ALL = ("--record", "1000000", "--no-extrapolation")


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """A machine of 4 x 4 elements."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def written(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".yaml")


# --- the document -----------------------------------------------------------------------------------------


def test_the_document_has_the_agreed_fields(fusemap: Run) -> None:
    found = fusemap("simulate", "attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@1K", "--json")
    assert (found.code, found.err) == (0, "")
    document = found.json()
    assert document["schema"] == "fusemap/simulate/1"
    assert document["level"] == "tile"
    assert (document["cascade"], document["arch"], document["dataflow"]) == (
        "attention-1pass",
        "fusemax-cloud",
        "fusemax-binding",
    )
    assert document["effects"] == list(EFFECTS)
    (phase,) = document["phases"]
    assert {"name", "cycles", "closed_form_cycles", "added", "resources", "moved", "iterations"} <= phase.keys()
    assert {"iterations_under_way", "events_executed", "events_represented"} <= phase.keys()
    assert [a["effect"] for a in phase["added"]] == list(EFFECTS)
    assert [a["what"] for a in phase["added"]] == [WORDS_OF[e] for e in EFFECTS]
    assert phase["closed_form_cycles"] + sum(a["cycles"] for a in phase["added"]) == pytest.approx(phase["cycles"])
    for use in phase["resources"]:
        assert use["busy_cycles"] + sum(w["cycles"] for w in use["waits"]) == pytest.approx(phase["cycles"])
    assert document["cycles"] == pytest.approx(sum(p["cycles"] for p in document["phases"]))
    assert document["traffic_bytes"] == pytest.approx(
        sum(m["read_bytes"] + m["written_bytes"] for p in document["phases"] for m in p["moved"])
    )


@pytest.mark.parametrize("cascade", ["attention-1pass", "attention-3pass"])
def test_the_formula_is_that_of_evaluate(cascade: str, fusemap: Run) -> None:
    case = (cascade, "--arch", "fusemax-cloud", "--workload", "T5@4K", "--json")
    simulated, evaluated = fusemap("simulate", *case, "--effect", "none").json(), fusemap("evaluate", *case).json()
    assert simulated["latency_s"] == pytest.approx(evaluated["latency_s"], rel=1e-9)
    assert simulated["traffic_bytes"] == pytest.approx(evaluated["traffic_bytes"], rel=1e-12)
    assert simulated["cycles"] == simulated["closed_form_cycles"]
    assert simulated["effects"] == []
    assert [p["added"] for p in simulated["phases"]] == [[]] * len(simulated["phases"])


@pytest.mark.parametrize("effect", EFFECTS)
def test_one_effect_alone(effect: str, tiny: str, fusemap: Run) -> None:
    document = fusemap("simulate", "attention-1pass", "--arch", tiny, *SMALL, "--effect", effect, "--json").json()
    assert document["effects"] == [effect]
    assert [a["effect"] for p in document["phases"] for a in p["added"]] == [effect]


def test_effects_come_in_their_order_however_given(tiny: str, fusemap: Run) -> None:
    given = ("--effect", "operands", "--effect", "start", "--effect", "operands")
    document = fusemap("simulate", "attention-1pass", "--arch", tiny, *SMALL, *given, "--json").json()
    assert document["effects"] == ["start", "operands"]


def test_without_extrapolation_everything_is_run(fusemap: Run) -> None:
    case = (*BASE, "--size", "B=8", "--record", "1", "--json")
    short, long = fusemap(*case).json(), fusemap(*case, "--no-extrapolation").json()
    assert long["phases"][0]["events_executed"] == long["phases"][0]["events_represented"]
    assert short["phases"][0]["events_executed"] < long["phases"][0]["events_executed"]
    assert short["cycles"] == long["cycles"]
    assert short["phases"][0]["resources"] == long["phases"][0]["resources"]


def test_the_accounting_is_that_which_is_asked_for(fusemap: Run) -> None:
    case = ("attention-3pass", "--arch", "unfused-cloud", "--workload", "BERT@1K", "--accounting", "published")
    found = fusemap("simulate", *case, "--effect", "none", "--json").json()
    assert found["accounting"] == "published"
    assert found["latency_s"] == pytest.approx(fusemap("evaluate", *case, "--json").json()["latency_s"], rel=1e-9)


# --- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
@pytest.mark.parametrize("cascade", ["attention-1pass", "attention-3pass"])
def test_a_trace_is_valid_and_has_all_the_work(
    cascade: str, name: str, tiny: str, tmp_path: Path, fusemap: Run
) -> None:
    path = tmp_path / name
    case = ("simulate", cascade, "--arch", tiny, *SMALL, *ALL, "--trace", str(path))
    found = fusemap(*case)
    assert found.code == 0, found.err
    assert f"wrote {path}" in found.out
    content = path.read_bytes()
    assert content.startswith(b"\x1f\x8b") == name.endswith("gz")
    assert check_trace(content) == ()
    phase = max(fusemap(*case, "--json").json()["phases"], key=lambda p: p["cycles"])
    reading = read_trace(content)
    for use in phase["resources"]:
        assert reading.cycles(use["resource"], "work", "transfer") == Fraction(use["busy_cycles"]), use["resource"]


def test_a_damaged_trace_would_be_noticed(tiny: str, tmp_path: Path, fusemap: Run) -> None:
    path = tmp_path / "run.json.gz"
    fusemap("simulate", "attention-1pass", "--arch", tiny, *SMALL, "--trace", str(path))
    document = json.loads(gzip.decompress(path.read_bytes()))
    first = next(e for e in document["traceEvents"] if e["ph"] == "X")
    first["dur"] = first["dur"] * 50
    assert "overlap" in " ".join(map(str, check_trace(json.dumps(document).encode())))


@pytest.mark.parametrize(("name", "magic"), [("f.png", b"\x89PNG"), ("f.pdf", b"%PDF"), ("f.svg", b"<?xml")])
def test_a_figure_is_drawn(name: str, magic: bytes, tiny: str, tmp_path: Path, fusemap: Run) -> None:
    path = tmp_path / name
    found = fusemap("simulate", "attention-1pass", "--arch", tiny, *SMALL, "--figure", str(path))
    assert (found.code, found.err) == (0, "")
    assert path.read_bytes().startswith(magic)


def test_a_figure_of_a_window(tiny: str, tmp_path: Path, fusemap: Run) -> None:
    path = tmp_path / "f.svg"
    given = ("--figure", str(path), "--window", "100:300")
    assert fusemap("simulate", "attention-1pass", "--arch", tiny, *SMALL, *given).code == 0
    assert path.exists()


def test_a_figure_of_a_run_that_is_one_iteration(tiny: str, tmp_path: Path, fusemap: Run) -> None:
    sizes = ("--workload", "BERT@4", "--size", "B=1", "--size", "H=1", "--size", "E=4", "--size", "F=4")
    found = fusemap("simulate", "attention-1pass", "--arch", tiny, *sizes, "--figure", str(tmp_path / "f.svg"))
    assert (found.code, found.err) == (0, "")


# --- wrong input ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--effect", "gravity"), "gravity"),
        (("--record", "0"), "--record"),
        (("--window", "5", "--figure", "FILE.svg"), '--window is FIRST:LAST in cycles, such as 1000:1500, not "5"'),
        (("--window", "300:100", "--figure", "FILE.svg"), 'not "300:100"'),
        (("--window", "0:0", "--figure", "FILE.svg"), 'not "0:0"'),
        (("--trace", "FILE.txt"), ".txt"),
        (("--figure", "FILE.gif"), ".gif"),
        (("--trace", "FILE.json", "--figure", "FILE.gif"), ".gif"),
        (("--trace", "FILE.json", "--figure", "FILE.svg", "--window", "a:b"), 'not "a:b"'),
        (("--trace", "FILE.json", "--figure", "FILE.svg", "--window", "900000000:900000001"), "begins after the "),
    ],
)
def test_wrong_arguments_exit_with_two_and_write_nothing(
    argv: tuple[str, ...], message: str, tmp_path: Path, fusemap: Run
) -> None:
    given = [a.replace("FILE", str(tmp_path / "out")) for a in argv]
    found = fusemap(*BASE, *given)
    assert found.code == 2
    assert message in found.err
    assert "Traceback" not in found.err
    assert found.out == ""
    assert written(tmp_path) == []


def lacking(tmp_path: Path, memory: str, key: str) -> str:
    """fusemax-cloud on its own, without one line of a memory's timing."""
    text = (resources.files("fusemap.archspec") / "archs" / "fusemax-cloud.yaml").read_text()
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{memory}:"))
    timing = next(i for i in range(at, len(lines)) if lines[i].strip() == "timing:")
    indent = len(lines[timing]) - len(lines[timing].lstrip())
    end = next(
        (i for i in range(timing + 1, len(lines)) if len(lines[i]) - len(lines[i].lstrip()) <= indent), len(lines)
    )
    assert any(key in line for line in lines[timing:end])
    path = tmp_path / "lacks.yaml"
    path.write_text("\n".join([*lines[:timing], *lines[end:]]) + "\n")
    return str(path)


@pytest.mark.parametrize(("memory", "key"), [("dram", "latency"), ("global_buffer", "ports")])
def test_a_number_that_the_machine_lacks(memory: str, key: str, tmp_path: Path, fusemap: Run) -> None:
    arch = lacking(tmp_path, memory, key)
    case = ("simulate", "attention-1pass", "--arch", arch, "--workload", "BERT@1K")
    trace = ("--trace", str(tmp_path / "out.json"))
    found = fusemap(*case, "--effect", "start", "--effect", key, *trace)
    assert found.code == 2
    assert f"memory {memory} has no {key}: the machine's file does not say" in found.err
    assert f"memories.{memory}.timing.{key}" in found.err
    assert written(tmp_path) == []
    without = fusemap(*case)  # by default all that is known
    assert without.code == 0
    assert f"not simulated: {WORDS_OF[key]}" in " ".join(without.out.split())


def test_a_missing_arch_is_asked_for(fusemap: Run) -> None:
    found = fusemap("simulate", "attention-1pass", "--workload", "BERT@1K")
    assert found.code == 2
    assert "--arch" in found.err


def test_a_folder_that_is_not_there(tmp_path: Path, fusemap: Run) -> None:
    found = fusemap(*BASE, "--trace", str(tmp_path / "no" / "out.json"))
    assert found.code == 2
    assert "Traceback" not in found.err


# --- the page, last ---------------------------------------------------------------------------------------


def test_the_page(tiny: str, fusemap: Run) -> None:
    found = fusemap("simulate", "attention-1pass", "--arch", tiny, *SMALL)
    assert (found.code, found.err) == (0, "")
    assert found.out == GOLDEN


GOLDEN = """\
attention-1pass on tiny, BERT@16 with B=2, H=3, E=4, F=4
dataflow fusemax-binding (chosen: faster than fusemax-arch, fusemax-cascade); principled accounting;
  simulated tile by tile

cycles           1,985  +161 cycles, +8.8 % against the formula
latency       2.111 us
traffic      3.000 KiB
tile events      1,176  1,176 run, the others repeat them

phase attention                    cycles            effect
---------------------------------  ------  --------  --------
formula of evaluate                 1,824
the pipeline fills and empties         +5   +0.27 %  start
results travel through an array       +26    +1.4 %  drain
loads and stores, double-buffered      +0  +0.012 %  operands
latency of the outermost memory      +130    +7.1 %  latency
ports of the buffer                    +0       0 %  ports
simulated                           1,985

resource    busy  cycles  waits  for
--------  ------  ------  -----  -------------------------------------------------------------------
array_2d  82.2 %   1,632    353  waits for the other arrays 172; load of BK 130; pipeline empties
                                 36; pipeline fills 15
array_1d  91.9 %   1,824    161  pipeline fills 149; pipeline empties 12; dram moves the rest 0
dram       0.3 %       7  1,978  nothing to move 1,978
96 iterations, 5 under way at once
global_buffer holds at most 2.375 KiB of 16.00 MiB in the iterations recorded
"""
