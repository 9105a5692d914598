"""The command map: page, document, files, budget, interruption, going on, and what it says when nothing fits."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import once
from conftest import Outcome
from dataflow_cases import with_buffer
from test_map_out import TINY, workload

import fusemap as fm
from fusemap.cli import map_run
from fusemap.diagnostics import DoesNotFit
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.space import make_problem
from fusemap.sim.best import Best, Finished, Progress, find_best
from fusemap.sim.best_choices import BestChoice
from fusemap.sim.best_fit import need_bytes, refused

Run = Callable[..., Outcome]
ONE = ("attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@1K")
THREE = ("attention-3pass", "--arch", "flat-cloud", "--workload", "BERT@1K")

HEAD = ("--size", "B=1", "--size", "H=1")
QUERY = (*HEAD, "--size", "P=1")

# --- page and document ----------------------------------------------------------------------------


def test_the_page_shows_loops_fates_costs_and_the_proof() -> None:
    outcome = once("map", *THREE)
    assert (outcome.code, outcome.err) == (0, "")
    assert max(map(len, outcome.out.splitlines())) <= 100
    for text in ("for b in 64, for h in 12, for p in", "group 1", "group 3", "held        GM, QK, SD, SN"):
        assert text in outcome.out
    assert re.search(r"^flat +[\d.]+ ms +[\d.]+x", outcome.out, re.M)
    assert "proven: no mapping of the space and no built-in dataflow is better" in outcome.out
    assert "filling and draining the pipeline" in outcome.out


def test_the_document_holds_the_mapping_and_its_report() -> None:
    document = once("map", *ONE, "--json").json()
    keys = "schema cascade arch workload objective value proven bound gap counted priced pruned unfit cuts seconds"
    assert list(document) == [*keys.split(), "best", "others", "front"]
    assert document["schema"] == "fusemap/map/1"
    assert document["proven"] and document["gap"] == 0 and document["bound"] == document["value"]
    best = document["best"]
    assert set(best["sizes"]) == {"M0", "M1"} and math.prod(best["sizes"].values()) == 1024
    assert best["report"]["schema"] == "fusemap/evaluate/1"
    assert best["report"]["latency_s"] == document["value"]
    names = [nest["einsum"] for nest in best["nests"]]
    assert sorted(e for f in best["fusion"] for g in f["groups"] for e in g["einsums"]) == sorted(names)
    for nest in best["nests"]:
        assert [level.get("memory") for level in nest["levels"]][:3] == ["dram", "global_buffer", "global_buffer"]
    assert {other["name"] for other in document["others"]} >= {"fusemax-binding"}
    assert all(document["value"] <= other["latency_s"] * (1 + 1e-12) for other in document["others"])


def test_a_pareto_front_has_no_point_that_another_beats(fusemap: Run) -> None:
    asked = ("map", *THREE, *QUERY, "--objective", "pareto")
    front = fusemap(*asked, "--json").json()["front"]
    costs = [(point["latency_s"], point["energy_pj"]) for point in front]
    assert len(costs) > 1 and costs == sorted(costs)
    assert [e for _, e in costs] == sorted((e for _, e in costs), reverse=True)
    assert "no other is better in both" in fusemap(*asked).out


PORTED = """extends: fusemax-cloud
description: with the bandwidth of four ports
source: 4 accesses of 512 B per cycle of 940 MHz
memories:
  global_buffer: {bandwidth: 4 * 512 * 940 MB/s}
"""


@pytest.mark.parametrize("cascade", ["attention-1pass", "attention-3pass"])
def test_the_bandwidth_of_the_buffer_is_part_of_the_search(fusemap: Run, tmp_path: Path, cascade: str) -> None:
    """A mapping that moves no more through the buffer than it can, never slower than a built-in dataflow."""
    (tmp_path / "ported.yaml").write_text(PORTED)
    arch = str(tmp_path / "ported.yaml")
    slow = fusemap("map", cascade, "--arch", arch, "--workload", "BERT@1K", "--json").json()
    fast = once("map", cascade, "--arch", "fusemax-cloud", "--workload", "BERT@1K", "--json").json()
    assert slow["proven"] and slow["gap"] == 0
    assert slow["value"] == slow["best"]["report"]["latency_s"] > fast["value"]
    assert slow["others"] and all(slow["value"] <= other["latency_s"] * (1 + 1e-9) for other in slow["others"])


def test_without_dataflows_search_and_evaluation_agree_on_a_slow_buffer() -> None:
    """What the search alone finds is bound by the buffer; FuseMax, whose arrays pass words on, is faster."""
    machine = fm.load_arch("fusemax-cloud")
    buffer = dataclasses.replace(machine.memories[1], bandwidth_bytes_per_s=4 * 512 * 940 * 10**6)
    machine = dataclasses.replace(machine, memories=(machine.memories[0], buffer, *machine.memories[2:]))
    of = (fm.load_cascade("attention-1pass"), machine, fm.load_workload("BERT@1K"))
    alone, best = find_best(*of, dataflows=False), find_best(*of)
    assert alone.proven and best.proven
    assert alone.best.report.phases[0].memory == "global_buffer"
    assert alone.value == pytest.approx(5.7134e-3, rel=1e-4)
    assert best.best.name == "fusemax-binding" and best.value == pytest.approx(2.0131e-3, rel=1e-4)


def test_a_size_may_be_given(fusemap: Run) -> None:
    document = fusemap("map", *ONE, "--size", "M0=256", "--size", "B=1", "--json").json()
    assert (document["cuts"], document["workload"]) == (1, "BERT@1K with B=1")


def test_a_space_narrows_the_search(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("fuse: false\n", encoding="utf-8")
    alone = fusemap("map", *THREE, "--space", str(path), "--json").json()
    assert alone["counted"] < once("map", *THREE, "--json").json()["counted"]
    path.write_text("fuses: false\n", encoding="utf-8")
    outcome = fusemap("map", *THREE, "--space", str(path))
    assert outcome.code == 2 and 'did you mean "fuse"?' in outcome.err


# --- the choices of a dataflow --------------------------------------------------------------------


def test_the_choices_of_a_dataflow_are_searched(fusemap: Run) -> None:
    found = fm.map("attention-3pass", arch="flat-cloud", workload="BERT@1K", dataflow="flat", sizes={"B": 1, "H": 1})
    assert isinstance(found, BestChoice)
    document = fusemap("map", *THREE, *HEAD, "--dataflow", "flat", "--json").json()
    assert document["ties"] == found.result.ties > 1
    assert (document["counted"], document["priced"]) == (found.result.space_size, found.result.evaluated)
    assert document["best"]["settings"] == dict(found.result.best.settings)
    page = fusemap("map", *THREE, *HEAD, "--dataflow", "flat").out
    assert f"{found.result.ties:,} settings are equally good" in " ".join(page.split())


def test_a_dataflow_without_choices_says_so(fusemap: Run) -> None:
    outcome = fusemap("map", *ONE, "--dataflow", "fusemax-binding")
    assert outcome.code == 2
    assert "fusemax-binding leaves nothing to choose" in outcome.err and "choices: flat" in outcome.err


# --- wrong input ----------------------------------------------------------------------------------

WRONG = [
    (("attention-3pass",), "--arch is missing"),
    ((*THREE, "--size", "Q0=4"), "no rank is named Q0"),
    ((*THREE, "--size", "B=0"), "size B = 0 is not"),
    ((*THREE, "--out", "best.txt"), "has the ending .txt"),
    ((*THREE, "--out", "nowhere/best.yaml"), "no directory nowhere"),
    ((*THREE, "--waterfall", "w.gif"), "has the ending .gif"),
    ((*THREE, "--budget", "0"), "0 is not in the range"),
    ((*THREE, "--dataflow", "flat", "--budget", "4"), "no space, budget or seed"),
    ((*THREE, "--dataflow", "flat", "--resume", "r.json"), "--resume is for a search of all mappings"),
    (("attention-0pass", *THREE[1:]), "unknown cascade"),
]


@pytest.mark.parametrize(("argv", "message"), WRONG, ids=[m for _, m in WRONG])
def test_wrong_input_is_told(fusemap: Run, argv: tuple[str, ...], message: str) -> None:
    outcome = fusemap("map", *argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


# --- files ----------------------------------------------------------------------------------------


def test_a_written_mapping_evaluates_to_the_same(fusemap: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "best.yaml")
    document = fusemap("map", *ONE, "--size", "B=2", "--size", "M0=256", "--out", out, "--json").json()
    report = fusemap("evaluate", *ONE, "--size", "B=2", "--dataflow", out, "--json").json()
    for key in ("latency_s", "energy_pj", "traffic_bytes"):
        assert math.isclose(report[key], document["best"]["report"][key], rel_tol=1e-9)


def test_written_choices_evaluate_to_the_same(fusemap: Run, tmp_path: Path) -> None:
    out = str(tmp_path / "best.yaml")
    document = fusemap("map", *THREE, "--dataflow", "flat", "--out", out, "--json").json()
    report = fusemap("evaluate", *THREE, "--dataflow", out, "--json").json()
    for key in ("latency_s", "energy_pj", "traffic_bytes"):
        assert math.isclose(report[key], document["best"]["report"][key], rel_tol=1e-9)


def test_a_waterfall_is_drawn(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "w.svg"
    assert fusemap("map", *ONE, "--size", "M0=256", "--waterfall", str(path)).code == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<?xml") and "array_2d" in text


# --- a search that ends early ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", [None, 1])
def test_a_budget_leaves_a_gap_that_holds_the_optimum(seed: int | None) -> None:
    best = once("map", *ONE, "--json").json()["value"]
    found = fm.map("attention-1pass", arch="fusemax-cloud", workload="BERT@1K", budget=3, seed=seed)
    assert isinstance(found, Best) and not found.proven
    assert found.bound * (1 - 1e-12) <= best <= found.value * (1 + 1e-12)
    assert found.value <= found.bound * (1 + found.gap) * (1 + 1e-12)


def test_one_seed_is_one_search() -> None:
    one, two = (fm.map("attention-3pass", arch="flat-cloud", workload="BERT@1K", budget=20, seed=7) for _ in range(2))
    assert one.to_json() | {"seconds": 0} == two.to_json() | {"seconds": 0}


@pytest.mark.parametrize("cascade", ["attention-1pass", "attention-3pass"])  # with many cuts, and with one
def test_stopped_at_once_there_is_an_answer_without_any_dataflow(cascade: str) -> None:
    of, machine = fm.load_workload("BERT@1K"), fm.load_arch("fusemax-cloud")
    found = find_best(fm.load_cascade(cascade), machine, of, stop=lambda: True, dataflows=False)
    assert found.best.name == "searched" and not found.proven and 0 < found.gap < math.inf


@pytest.fixture
def pressed(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Press Ctrl-C when a search asks for the given time whether to stop."""

    def press(step: int) -> None:
        plain = map_run.Watcher.stop

        def stop(self: map_run.Watcher) -> bool:
            if self.steps == step:
                os.kill(os.getpid(), signal.SIGINT)
            return plain(self)

        monkeypatch.setattr(map_run.Watcher, "stop", stop)

    return press


@pytest.mark.parametrize("step", [0, 6])
def test_ctrl_c_prints_the_best_so_far(fusemap: Run, pressed: Callable[[int], None], step: int) -> None:
    pressed(step)
    outcome = fusemap("map", *ONE, *QUERY)
    assert (outcome.code, outcome.err) == (130, "")
    assert "interrupted: not proven: the optimum is at most" in " ".join(outcome.out.split())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    document = fusemap("map", *ONE, *QUERY, "--json")
    assert document.code == 130 and not document.json()["proven"]


def test_a_search_goes_on_where_it_was_interrupted(
    fusemap: Run, pressed: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "resume.json")
    asked = ("map", *ONE, "--workload", "BERT@64", *HEAD, "--resume", path, "--json")
    whole = fusemap(*asked).json()
    noted = json.loads(Path(path).read_text(encoding="utf-8"))
    assert len(noted["cuts"]) == whole["cuts"] and any(cut["mappings"] for cut in noted["cuts"])
    noted["cuts"] = noted["cuts"][:4]
    Path(path).write_text(json.dumps(noted), encoding="utf-8")
    searched: list[Finished] = []
    plain = map_run.Resume.finished

    def noticed(self: map_run.Resume, found: Finished) -> None:
        searched.append(found)
        plain(self, found)

    monkeypatch.setattr(map_run.Resume, "finished", noticed)
    again = fusemap(*asked).json()
    assert len(searched) == whole["cuts"] - 4
    assert again["proven"] and math.isclose(again["value"], whole["value"], rel_tol=1e-12)
    searched.clear()
    assert fusemap(*asked).json()["value"] == again["value"] and not searched


def test_the_key_of_a_search_is_the_same_in_every_run() -> None:
    code = (
        "import fusemap as fm; from fusemap.cli.map_run import fingerprint as f; print(f(fm.load_cascade('softmax'), "
    )
    code += "fm.load_arch('fusemax-cloud'), fm.load_workload('BERT@1K'), {'M0': 4}))"
    other = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": other}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment)
    of = (fm.load_cascade("softmax"), fm.load_arch("fusemax-cloud"), fm.load_workload("BERT@1K"), {"M0": 4})
    assert run.stdout.strip() == str(map_run.fingerprint(*of))


def test_a_file_of_another_search_is_refused(fusemap: Run, tmp_path: Path) -> None:
    path = tmp_path / "resume.json"
    assert fusemap("map", *ONE, "--size", "M0=256", "--resume", str(path)).code == 0
    other = fusemap("map", *ONE, "--size", "M0=128", "--resume", str(path))
    assert other.code == 2 and "is of another search" in other.err
    for text in ("", "{}", "[1]", '{"schema": "fusemap/map-resume/1"}', '{"schema": 3, "key": 4, "cuts": 5}'):
        path.write_text(text, encoding="utf-8")
        outcome = fusemap("map", *ONE, "--resume", str(path))
        assert outcome.code == 2 and "no file of an earlier search" in outcome.err, text


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert once("map", *THREE).err == ""
    monkeypatch.setattr(map_run, "EVERY_S", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with map_run.watched("latency") as watcher:
        assert watcher.shown
        assert not watcher.stop()
        watcher.watch(Progress(done=2, total=5, best=0.002))
        assert watcher.line(2.0).startswith("cut 3 of 5, 2.0 s, ") and "best so far 2.000 ms" in watcher.line(2.0)


# --- nothing fits ---------------------------------------------------------------------------------

SMALL = workload(**{**TINY, "B": 1, "E": 2, "F": 2, "M": 4, "P": 1})
ALONE = Mapspace(fuse=False)


@pytest.mark.parametrize("m0", [1, 4])
def test_the_room_that_is_named_is_enough_and_less_is_not(m0: int, space: Mapspace = ALONE) -> None:
    cascade, machine = fm.load_cascade("attention-1pass"), fm.load_arch("fusemax-cloud")
    sizes = {"M0": m0}
    need = int(need_bytes(cascade, make_problem(cascade, SMALL, sizes), machine, space))
    enough, little = with_buffer(machine, need), with_buffer(machine, need - machine.word_bytes)
    assert find_best(cascade, enough, SMALL, sizes=sizes, space=space, dataflows=False).best.name == "searched"
    with pytest.raises(DoesNotFit):
        find_best(cascade, little, SMALL, sizes=sizes, space=space, dataflows=False)


def test_another_cut_that_fits_is_named() -> None:
    """A chunk of 4 keys needs 6 B, one of 2 keys 4 B."""
    cascade, machine = fm.load_cascade("attention-1pass"), with_buffer(fm.load_arch("fusemax-cloud"), 4)
    said = refused(DoesNotFit("it", ()), cascade, machine, SMALL, {"M0": 4}, EVERYTHING)
    (violation,) = said.violations
    assert (violation.need, violation.limit, violation.unit) == (6, 4, "B")
    assert violation.hint == "global_buffer is 2 B short; M0=2 fits"


TOO_SMALL = """\
source: a test
extends: fusemax-cloud
memories:
  global_buffer: {capacity: 2 B}
"""


def test_what_does_not_fit_is_told_with_need_and_limit(fusemap: Run, tmp_path: Path) -> None:
    arch, of, space = tmp_path / "small.yaml", tmp_path / "tiny.yaml", tmp_path / "space.yaml"
    arch.write_text(TOO_SMALL, encoding="utf-8")
    of.write_text("source: a test\nranks: {B: 1, H: 1, E: 2, F: 2, M: 4, P: 1}\nbatch: [B, H]\n", encoding="utf-8")
    space.write_text("fuse: false\n", encoding="utf-8")
    asked = ("attention-1pass", "--arch", str(arch), "--workload", str(of), "--space", str(space), "--size", "M0=4")
    outcome = fusemap("map", *asked, "--json")
    assert outcome.code == 1
    (violation,) = outcome.json()["violations"]
    assert (violation["need"], violation["limit"], violation["unit"]) == (6, 2, "B")
    assert "global_buffer is 4 B short; one of 6 B is enough" in outcome.err


def test_sizes_that_do_not_go_together_are_an_error_of_the_sizes() -> None:
    with pytest.raises(fm.InputError, match="1024 is no multiple of 3"):
        fm.map("attention-1pass", arch="fusemax-cloud", workload="BERT@1K", sizes={"M0": 3})
