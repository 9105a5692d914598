"""AccelForge beside fusemap: what is exported, what is refused, and recorded answers that a planted fault falsifies."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Outcome

from fusemap.archspec.archs import load_arch, parse_arch
from fusemap.archspec.workloads import load_workload, parse_workload
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import catalog, scope
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import EinsumMapping, Fanout, Loop, Storage
from fusemap.validation.accelforge.cases import drawn_nests, nest_case, nest_cases
from fusemap.validation.accelforge.check import AccelForgeCheck, check_accelforge, jobs_of, read_recording
from fusemap.validation.accelforge.claims import SHARED, claim_jobs
from fusemap.validation.accelforge.machine import peer_architecture
from fusemap.validation.accelforge.mapping import peer_mapping
from fusemap.validation.accelforge.peer import VARIABLE, Job, run_peer
from fusemap.validation.accelforge.searches import SEARCHES
from fusemap.validation.accelforge.workload import PeerWorkload, peer_workload

Run = Callable[..., Outcome]
PEER = os.environ.get(VARIABLE, "")
RECORDED = Path(__file__).parents[1] / "src/fusemap/validation/recordings/accelforge/1.0.467.json"


@pytest.fixture(autouse=True)
def no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests say themselves which interpreter there is."""
    monkeypatch.delenv(VARIABLE, raising=False)


def read(text: str) -> Any:
    """YAML whose tags (`!Memory`) become a key."""

    class Loader(yaml.SafeLoader):
        pass

    def tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.MappingNode) -> dict[str, Any]:
        return {"tag": suffix} | {str(key): value for key, value in loader.construct_mapping(node, deep=True).items()}

    Loader.add_multi_constructor("!", tagged)
    return yaml.load(text, Loader)


# --- what is exported -----------------------------------------------------------------------------


def exported(cascade: Cascade, sizes: dict[str, int] | None = None, arch: str = "fusemax-cloud") -> PeerWorkload:
    free = {str(s): 4 if str(s).endswith("0") else 16 for s in scope.known_shapes(cascade)}
    for shape in cascade.shapes:
        if shape.factors or shape.constant is not None:
            free.pop(str(shape.name), None)
    ranks = ", ".join(f"{name}: {size}" for name, size in (free | (sizes or {})).items())
    workload = parse_workload(f"source: a test\nranks: {{{ranks}}}\n", file="w.yaml")
    return peer_workload(cascade, workload, {}, load_arch(arch).word_bytes)


@cache
def library() -> dict[str, PeerWorkload | InputError]:
    found: dict[str, PeerWorkload | InputError] = {}
    for name in catalog.names():
        try:
            found[name] = exported(catalog.load(name))
        except InputError as error:
            found[name] = error
    return found


def test_of_every_cascade_of_the_library_there_is_a_file_or_a_line() -> None:
    refused = {name: error for name, error in library().items() if isinstance(error, InputError)}
    assert all(d.span is not None and d.span.line > 0 for error in refused.values() for d in error.diagnostics)
    recurrent = {name for name in library() if catalog.load(name).stops}
    assert recurrent < set(refused) and len(library()) - len(refused) >= 50


@pytest.mark.parametrize("name", ["attention-3pass", "attention-2pass", "mla", "rcmha", "cca", "softmax"])
def test_accesses_are_those_of_the_cascade(name: str) -> None:
    """Each tensor is read where the cascade reads it, and each rank of a tensor has one name everywhere."""
    peer, cascade = library()[name], catalog.load(name)
    assert isinstance(peer, PeerWorkload)
    document = read(peer.to_yaml())["workload"]
    ranks: dict[str, set[tuple[str, ...]]] = {}
    for einsum in document["einsums"]:
        (found,) = [e for e in cascade.einsums if e.name == einsum["name"]]
        read_there = [a["name"] for a in einsum["tensor_accesses"] if not a.get("output")]
        assert read_there == [str(a.tensor) for a in dict.fromkeys(scope.accesses(found))]
        assert [a["name"] for a in einsum["tensor_accesses"] if a.get("output")] == [einsum["name"]]
        for access in einsum["tensor_accesses"]:
            ranks.setdefault(access["name"], set()).add(tuple(access["projection"]))
    assert all(len(names) == 1 for names in ranks.values())


def test_an_einsum_runs_on_the_units_of_its_operators_alone() -> None:
    peer = library()["attention-3pass"]
    assert isinstance(peer, PeerWorkload)
    machine = load_arch("flat-cloud")
    nodes = read(peer_architecture(machine, peer))["arch"]["nodes"]
    units = [n for fork in nodes if fork["tag"] == "Fork" for n in fork["nodes"] if n["tag"] == "Compute"]
    asked = {unit["name"]: unit["enabled"] for unit in units}
    assert asked["array_1d_sub_exp"] == "len(ops_sub_exp) > 0"
    assert "array_2d_sub_exp" not in asked  # flat-cloud's 2D array has no exponential
    renames = {e["name"]: e["renames"] for e in read(peer.to_yaml())["workload"]["einsums"]}
    assert [name for name, classes in renames.items() if classes["ops_sub_exp"] == "All"] == ["SN"]


def test_numbers_of_the_machine_arrive_in_joules_bits_and_actions() -> None:
    peer = library()["attention-3pass"]
    assert isinstance(peer, PeerWorkload)
    dram, buffer = read(peer_architecture(load_arch("flat-cloud"), peer))["arch"]["nodes"][:2]
    assert (dram["name"], buffer["name"]) == ("dram", "mem_global_buffer")  # names with global_ are not allowed there
    assert buffer["size"] == 32 * 2**20 * 8 and dram["bits_per_action"] == 64
    # 400 GiB/s in accesses of 8 bytes
    assert dram["actions"][0]["throughput"] == pytest.approx(400 * 2**30 / 8)
    assert float(dram["actions"][0]["energy"]) == pytest.approx(249.6e-12)


def test_what_is_left_out_is_listed() -> None:
    peer = library()["attention-3pass-causal"]
    assert isinstance(peer, PeerWorkload)
    assert "SN: operators sub + exp" in peer.notes
    assert any("its filter; the whole rectangle runs" in note for note in peer.notes)
    assert "# left out: SN: operators sub + exp" in peer.to_yaml()


def test_batches_repeat_the_workload() -> None:
    peer = peer_workload(catalog.load("attention-3pass"), load_workload("BERT@1K"), {}, 2)
    assert peer.instances == 64 * 12
    assert "n_instances: 768" in peer.to_yaml()


def test_an_output_that_is_read_again_stays_in_the_outer_memory() -> None:
    cascade = parse("cascade two\ninput A[m]\noutput B, C\nB[m] = 2 * A[m]\nC[m] = 3 * B[m]\n")
    peer = exported(cascade)
    assert peer.results == ("B",)
    assert "keep: ~Intermediates | B," in peer_architecture(load_arch("flat-cloud"), peer)


@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ("Y[m] = 2 * X[m//G]", "cannot express the index of X[m//G] in Einsum Y", 14),
        ("Y[m] = X[m] * X[n]", "cannot express X read twice by Einsum Y", 15),
        ("All[m] = 2 * X[m]", "cannot express a tensor of the name All", 1),
    ],
)
def test_refusals_name_the_place(line: str, message: str, column: int) -> None:
    text = f"cascade bad\nshape G = 2\ninput X[m]\n{line}\n"
    with pytest.raises(InputError) as caught:
        exported(parse(text, file="bad.cascade"), {"M": 8})
    (diagnostic,) = caught.value.diagnostics
    assert message in diagnostic.message
    assert diagnostic.span is not None and (diagnostic.span.line, diagnostic.span.column) == (4, column)


def test_recurrences_are_refused_with_all_their_lines() -> None:
    error = library()["attention-1pass"]
    assert isinstance(error, InputError)
    assert "attention-1pass.cascade:7:7: error: AccelForge cannot express the iterative rank m1" in str(error)


def test_a_machine_without_the_operator_is_refused_at_the_einsum() -> None:
    peer = library()["logsumexp"]
    assert isinstance(peer, PeerWorkload)
    with pytest.raises(InputError, match=r"logsumexp.cascade:10:1: .* can compute log \+ add of Einsum L"):
        peer_architecture(load_arch("fusemax-cloud"), peer)


# --- nests ----------------------------------------------------------------------------------------


def test_storage_nodes_stand_above_loops_that_do_not_change_the_tensor() -> None:
    case = next(iter(drawn_nests(1)))
    loops = (Loop(rank="m", bound=24), Loop(rank="k", bound=12))
    nest = EinsumMapping(
        einsum="Z",
        array="array_2d",
        levels=(
            Storage(memory="dram", loops=(Loop(rank="n", bound=2),), keep=frozenset("ABZ")),
            Storage(memory="global_buffer", loops=loops, keep=frozenset("AB")),
            Fanout(array="array_2d", dim="columns", loops=(Loop(rank="n", bound=8),)),
            Storage(memory="array_2d.registers", keep=None),
        ),
    )
    nodes = [line.strip(" -") for line in peer_mapping(case.space, nest).splitlines()[2:]]
    assert nodes == [
        "!Storage {tensors: [A, B, Z], component: dram}",
        "!Storage {tensors: [A], component: mem_global_buffer}",
        "!Temporal {rank_variable: n, tile_shape: 8}",
        "!Storage {tensors: [B], component: mem_global_buffer}",
        "!Spatial {rank_variable: n, tile_shape: 1, name: columns, component: array_2d}",
        "!Temporal {rank_variable: m, tile_shape: 1}",
        "!Storage {tensors: [Z], component: array_2d_registers}",
        "!Temporal {rank_variable: k, tile_shape: 1}",
        "!Storage {tensors: [A, B], component: array_2d_registers}",
        "!Compute {einsum: Z, component: array_2d_mul_sum}",
    ]


def test_cases_are_what_the_recording_says() -> None:
    recorded, _, _ = read_recording()
    assert recorded == nest_cases()
    assert [nest_case(json.loads(json.dumps(case.to_json()))) for case in recorded] == recorded
    assert sum(case.name.startswith("nest ") for case in recorded) == 60
    assert {case.nest.einsum for case in recorded if case.cascade == "attention-3pass"} == {
        *("QK", "GM", "SN", "SD", "A", "AV")
    }


# --- the comparison, and planted faults -----------------------------------------------------------


@cache
def compared() -> AccelForgeCheck:
    return check_accelforge()


def test_recorded_answers_agree_or_have_a_cause() -> None:
    found = compared()
    assert found.agrees and not found.errors
    assert found.versions["accelforge"] == "1.0.467"
    assert len(found.counts) > 1000 and {row.cause for row in found.counts} == {"", "drain"}
    assert all(row.cause == "" for row in found.counts if row.quantity.startswith("dram"))
    assert {claim.holds for claim in found.claims} == {True} and len(found.claims) == 5


def test_the_claim_of_the_minimal_case_is_below_the_bound_and_cannot_be_executed() -> None:
    minimal = compared().minimal
    assert minimal.claimed_words < minimal.bound_words < minimal.found_words == minimal.executed_words
    assert minimal.executed_faults == 0
    assert minimal.missing_words == 64 * 2 and "C reads B[0, 0], which is not in the buffer" in minimal.faults[0]


CHANGED = ("nest 1", "nest 2", "nest 3", "nest 7", "nest 9", "linear-layer linear Z", "attention-3pass flat AV")
OTHERS = (*(case.name for case in SEARCHES), *(job.name for job in claim_jobs()))


def planted(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> str:
    document = json.loads(RECORDED.read_text(encoding="utf-8"))
    document["nests"] = [nest for nest in document["nests"] if nest["name"] in CHANGED]
    document["answers"] = [item for item in document["answers"] if item["name"] in {*CHANGED, *OTHERS}]
    change(document)
    file = tmp_path / "planted.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return str(file)


def answer(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [item for item in document["answers"] if item["name"] == name]
    return found  # type: ignore[no-any-return]


def one_word_more(document: dict[str, Any]) -> None:
    answer(document, "nest 7")["actions"][0][-1] += 1


def no_drain(document: dict[str, Any]) -> None:
    for item in answer(document, "linear-layer linear Z")["actions"]:
        if item[1:4] == ["array_2d_registers", "Z", "read"]:
            item[-1] -= 4096 * 4096


def faster(document: dict[str, Any]) -> None:
    answer(document, "attention-3pass flat AV")["latency_s"] *= 0.999


def dearer(document: dict[str, Any]) -> None:
    answer(document, "nest 1")["energy_j"] *= 1.00001


def something_uncounted(document: dict[str, Any]) -> None:
    answer(document, "nest 3")["actions"].append(["Z", "a_network", "A", "hop", 7.0])


def a_better_product(document: dict[str, Any]) -> None:
    for item in answer(document, "product, 2048 values")["actions"]:
        item[-1] *= 0.9 if item[1] == "dram" else 1


def a_barrier_that_holds(document: dict[str, Any]) -> None:
    for item in answer(document, "sums 64 x 2, 16 values")["actions"]:
        item[-1] *= 1.5 if item[1] == "dram" else 1


def another_tree(document: dict[str, Any]) -> None:
    answer(document, "sums 64 x 2, 16 values")["tree"].pop()


def operators_that_count(document: dict[str, Any]) -> None:
    answer(document, "claim: another formula")["energy_j"] += 1


def pipelines_that_overlap(document: dict[str, Any]) -> None:
    answer(document, "claim: a pipeline")["latency_s"] = 1024


def a_barrier_that_is_seen(document: dict[str, Any]) -> None:
    found = answer(document, SHARED)
    found.pop("actions")
    found["error"] = "InvalidMappingError: S is not complete"


def an_error(document: dict[str, Any]) -> None:
    found = answer(document, "nest 9")
    for key in set(found) - {"name", "sha256"}:
        del found[key]
    found["error"] = "InvalidMappingError: too large"


FAULTS = {
    one_word_more: "nest 7",
    no_drain: "registers read Z",
    faster: "attention-3pass flat AV: latency",
    dearer: "nest 1: energy",
    something_uncounted: "a_network A hop",
    a_better_product: "product, 2048 values",
    a_barrier_that_holds: "sums 64 x 2, 16 values",
    another_tree: "the minimal case",
    operators_that_count: "operators are dropped",
    pipelines_that_overlap: "follow one another",
    a_barrier_that_is_seen: "in mappings that are given",
    an_error: "nest 9: InvalidMappingError",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_answer_is_a_no_that_names_it(fusemap: Run, tmp_path: Path, fault: Callable[..., None]) -> None:
    outcome = fusemap("validate", "accelforge", "--recording", planted(tmp_path, fault))
    assert (outcome.code, outcome.err) == (1, "")
    assert FAULTS[fault] in outcome.out.split("without a cause\n")[1]


def test_answers_to_other_files_are_refused(fusemap: Run, tmp_path: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        answer(document, "nest 2")["sha256"] = "0" * 64

    outcome = fusemap("validate", "accelforge", "--recording", planted(tmp_path, change))
    assert outcome.code == 2
    assert "1 answers are not to what is exported now, the first is nest 2" in outcome.err


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "fusemap/accelforge-recording/1"}'])
def test_what_is_no_recording_is_refused(fusemap: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    outcome = fusemap("validate", "accelforge", "--recording", str(tmp_path / "x.json"))
    assert outcome.code == 2 and "is no recording of AccelForge" in outcome.err and "Traceback" not in outcome.err


# --- another interpreter --------------------------------------------------------------------------


def stand_in(tmp_path: Path, text: str) -> str:
    """An executable in place of Python that says what AccelForge would."""
    (tmp_path / "said.txt").write_text(f"fusemap-accelforge:{text}\n")
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked.json\ncat {tmp_path}/said.txt\n")
    script.chmod(0o755)
    return str(script)


def test_an_interpreter_is_asked_and_its_answers_recorded(fusemap: Run, tmp_path: Path) -> None:
    document = json.loads(RECORDED.read_text(encoding="utf-8"))
    said = {"python": "3.13.5", "versions": document["versions"], "jobs": document["answers"]}
    python, target = stand_in(tmp_path, json.dumps(said)), tmp_path / "new.json"
    outcome = fusemap("validate", "accelforge", "--python", python, "--record", str(target), "--json")
    assert outcome.code == 0 and outcome.json()["accelforge"]["recording"] is None
    asked = json.loads((tmp_path / "asked.json").read_text())["jobs"]
    assert [job["name"] for job in asked] == [job.name for job in jobs_of(nest_cases())]
    assert json.loads(target.read_text()) == document


def test_an_interpreter_without_accelforge_says_how_to_get_it(fusemap: Run) -> None:
    outcome = fusemap("validate", "accelforge", "--python", sys.executable)
    assert outcome.code == 2 and "cannot run AccelForge" in outcome.err and "accelforge==1.0.467" in outcome.err


def test_the_environment_names_an_interpreter(fusemap: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/no/such/python")
    outcome = fusemap("validate", "accelforge")
    assert outcome.code == 2 and f"{VARIABLE}: no executable /no/such/python" in outcome.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--record", "x.json"), "--record needs an interpreter"),
        (("--recording", "x.json", "--record", "y.json"), "--recording reads answers"),
        (("--recording", "absent.json"), "absent.json"),
    ],
)
def test_options_that_do_not_go_together(fusemap: Run, options: tuple[str, ...], message: str) -> None:
    outcome = fusemap("validate", "accelforge", *options)
    assert outcome.code == 2 and message in outcome.err


# --- the command ----------------------------------------------------------------------------------

CASE = ("attention-3pass", "--arch", "flat-cloud", "--workload", "BERT@1K")


def test_export_writes_two_files_and_says_what_they_lack(fusemap: Run, tmp_path: Path) -> None:
    target = tmp_path / "peer"
    outcome = fusemap("export", "accelforge", *CASE, "--out", str(target))
    assert outcome.code == 0 and "left out: SN: operators sub + exp\n" in outcome.out
    assert {file.name for file in target.iterdir()} == {"arch.yaml", "workload.yaml"}
    document = fusemap("export", "accelforge", *CASE, "--json").json()
    assert document["schema"] == "fusemap/export/1" and document["format"] == "accelforge"
    assert document["files"] == {file.name: file.read_text() for file in target.iterdir()}


def test_a_refused_cascade_leaves_no_files(fusemap: Run, tmp_path: Path) -> None:
    argv = ("attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT@1K", "--size", "M0=256")
    outcome = fusemap("export", "accelforge", *argv, "--out", str(tmp_path / "peer"))
    assert outcome.code == 2 and "attention-1pass.cascade:7:7" in outcome.err
    assert not (tmp_path / "peer").exists()


@pytest.mark.skipif(not PEER, reason=f"{VARIABLE} names no interpreter that has AccelForge")
def test_accelforge_loads_whatever_is_exported() -> None:
    jobs = []
    wide = parse_arch("extends: fusemax-cloud\n", file="wide.yaml")
    for name, peer in library().items():
        if isinstance(peer, PeerWorkload):
            try:
                jobs.append(Job(name=name, arch=peer_architecture(wide, peer), workload=peer.to_yaml()))
            except InputError:
                continue
    found = run_peer(PEER, jobs)
    assert len(jobs) >= 25 and [name for name, got in found.jobs.items() if "error" in got] == []


def test_searches_need_no_tool_on_our_side() -> None:
    for case in SEARCHES:
        assert case.best.proven
        assert case.best.best.report.traffic_bytes / case.machine.word_bytes >= case.bound_words
