"""`fusemap evaluate` and `fusemap schema`: the contract, the choice of a dataflow, and one message per mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from hypothesis import given
from hypothesis import strategies as st

from fusemap import einsum_cascade
from fusemap.archspec import load_arch, load_workload, names
from fusemap.cli.quantities import binary, joules, number, percent, ratio, si
from fusemap.cli.schema import KINDS
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.mappers import dataflow as dataflows
from fusemap.sim.choose import choose_dataflow, evaluate_case

Run = Callable[..., Outcome]
BERT = ("--arch", "fusemax-cloud", "--workload", "BERT@4K")
MACHINE = """\
description: eight lanes on one memory
source: a test
table: 45nm
clock: 1 GHz
word: 2 B
memories:
  main: {component: hbm2, width: 64 bit, on_chip: false}
arrays:
  pe:
    dims: {lanes: 8}
    registers: {component: register_file, depth: 16}
    operators:
      mul + sum: {cycles: 1, actions: {mac: 1}}
      max: {cycles: 1, actions: {max: 1}}
      sum: {cycles: 1, actions: {add: 1}}
      sub: {cycles: 1, actions: {add: 1}}
      div: {cycles: 3, actions: {divide: 1}}
      exp: {cycles: 6, actions: {mac: 6}}
"""
WORKLOAD = "description: small\nsource: a test\nranks: {M: 64, P: 32, E: 8, F: 8}\n"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory, which is the current one, with a machine, a workload and variants of fusemax-cloud."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(MACHINE)
    (tmp_path / "small.yaml").write_text(WORKLOAD)
    head = "extends: fusemax-cloud\ndescription: a smaller buffer\nsource: a test\n"
    buffer = head + "memories: {{global_buffer: {{capacity: {}}}}}\n"
    (tmp_path / "64KiB.yaml").write_text(buffer.format("64 KiB"))
    (tmp_path / "8MiB.yaml").write_text(buffer.format("8 MiB"))
    return tmp_path


# --- the contract ---------------------------------------------------------------------------------


@pytest.mark.parametrize("accounting", ["principled", "published"])
def test_json_keeps_the_contract(fusemap: Run, accounting: str) -> None:
    outcome = fusemap("evaluate", "attention-1pass", *BERT, "--accounting", accounting, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.json()
    assert document["schema"] == "fusemap/evaluate/1"
    names = {"latency_s", "energy_pj", "area_um2", "traffic_bytes", "utilization", "bottleneck", "rows"}
    assert names <= set(document)
    assert document["accounting"] == accounting
    row = {"einsum", "component", "action", "count", "energy_pj", "source"}
    assert all(row <= set(found) for found in document["rows"])
    assert sum(found["energy_pj"] for found in document["rows"]) == document["energy_pj"]
    assert all(found["source"] for found in document["rows"])
    assert sum(phase["latency_s"] for phase in document["phases"]) == document["latency_s"]
    assert {e["einsum"]: e["cycles"] for e in document["einsums"]}["SLN"] == 196608 * 7


def test_json_is_the_same_every_time(fusemap: Run) -> None:
    arguments = ("evaluate", "attention-3pass", "--arch", "flat-cloud", "--workload", "BERT@1K", "--json")
    assert fusemap(*arguments).out == fusemap(*arguments).out


def test_the_summary_says_how_long_how_much_and_why(fusemap: Run) -> None:
    outcome = fusemap("evaluate", "attention-1pass", *BERT, "--dataflow", "fusemax-binding")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("""\
attention-1pass on fusemax-cloud, BERT@4K
dataflow fusemax-binding; principled accounting

latency        29.70 ms  27,918,336 cycles, limited by array_1d
energy          48.00 J  1.616 kW on average
traffic       1.500 GiB  takes the memory 12.6 % of the latency
area         1,303 mm^2
utilization              array_2d 96.5 %, array_1d 100.0 %

phase               latency    share   compute    memory  array_2d  array_1d  limited by
""")
    assert "array_2d.mac         29.64 J  61.7 %  BQK 47.8 %, SLNV 47.8 %, SLN 4.5 %" in outcome.out
    assert "tiles  M0 256, M1 16, P0 256," in outcome.out
    last = "why these numbers: fusemap explain attention-1pass --arch fusemax-cloud --workload BERT@4K"
    assert outcome.out.splitlines()[-1] == f"{last} --dataflow fusemax-binding"


def test_the_command_that_is_suggested_runs(fusemap: Run) -> None:
    given = ("attention-1pass", *BERT, "--accounting", "published", "--without", "overflow", "--size", "M0=128")
    last = fusemap("evaluate", *given).out.splitlines()[-1]
    command = last.removeprefix("why these numbers: fusemap ").split()
    assert tuple(command[1:]) == given
    assert fusemap(*command).code == 0


CASES = [
    ("attention-1pass", "fusemax-cloud", "XLM@1M", "fusemax-arch"),
    ("attention-1pass", "flat-cloud", "T5@256K", "fusemax-cascade"),
    ("attention-3pass", "unfused-cloud", "XLM@1M", "unfused"),
    ("attention-3pass", "flat-cloud", "TrXL@1009", "flat"),
    ("attention-3pass-causal", "flat-cloud", "BERT@3", "search"),
]


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_summaries_fit_a_terminal(fusemap: Run, case: tuple[str, str, str, str]) -> None:
    cascade, arch, workload, dataflow = case
    outcome = fusemap("evaluate", cascade, "--arch", arch, "--workload", workload, "--dataflow", dataflow)
    lines = [line for line in outcome.out.splitlines() if not line.startswith("why these numbers")]
    assert max(map(len, lines)) <= 100
    assert not re.search(r"\b(nan|inf|None)\b", outcome.out)


def test_idle_processing_elements_and_bounds_are_said(fusemap: Run) -> None:
    arch = ("--arch", "flat-cloud", "--workload", "BERT@1K", "--dataflow", "flat")
    out = " ".join(fusemap("evaluate", "attention-3pass-causal", *arch).out.split())
    assert "16,384 of 65,536 by AV" in out
    assert "note: QK: its filter is not exploited" in out


# --- sizes ----------------------------------------------------------------------------------------


def test_a_size_replaces_a_rank_of_the_workload(fusemap: Run) -> None:
    one, all_of_them = (
        fusemap("evaluate", "attention-1pass", *BERT, *extra, "--json").json() for extra in (("--size", "B=1"), ())
    )
    assert one["workload"] == "BERT@4K with B=1"
    assert one["latency_s"] == pytest.approx(all_of_them["latency_s"] / 64)
    assert one["traffic_bytes"] * 64 == all_of_them["traffic_bytes"]


def test_a_size_replaces_a_tile_of_the_dataflow(fusemap: Run) -> None:
    document = fusemap("evaluate", "attention-1pass", *BERT, "--size", "P1=4", "--json").json()
    tiles = document["tiles"]
    assert (tiles["P1"], tiles["P2"]) == (4, 4)
    assert document["traffic_bytes"] == 2 * 64 * 12 * 4096 * 64 * (2 + 2 * 4)


# --- the choice of a dataflow ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cascade", "arch", "chosen", "why"),
    [
        ("attention-1pass", "fusemax-cloud", "fusemax-binding", "faster than fusemax-arch, fusemax-cascade"),
        (
            "attention-1pass",
            "flat-cloud",
            "fusemax-cascade",
            "the only one that fits; fusemax-arch, fusemax-binding do not fit",
        ),
        ("attention-3pass", "flat-cloud", "flat", "faster than unfused"),
        ("attention-1pass-causal", "fusemax-cloud", "fusemax-binding", None),
        ("attention-3pass-deferred", "flat-cloud", "search", None),
    ],
)
def test_the_fastest_that_is_meant_and_legal_is_chosen(cascade: str, arch: str, chosen: str, why: str | None) -> None:
    found, reason = choose_dataflow(einsum_cascade.load(cascade), load_arch(arch), load_workload("BERT@4K"))
    assert found.name == chosen
    assert why is None or reason == why


@pytest.mark.parametrize("arch", ["fusemax-cloud", "flat-cloud"])
@pytest.mark.parametrize("cascade", ["attention-1pass", "attention-3pass", "attention-3pass-causal", "attention-naive"])
def test_no_legal_dataflow_of_its_group_is_faster(cascade: str, arch: str) -> None:
    """Oracle: evaluate under each dataflow."""
    loaded, machine, workload = einsum_cascade.load(cascade), load_arch(arch), load_workload("T5@16K")
    chosen = evaluate_case(loaded, machine, workload).report
    candidates = [dataflows.load_dataflow(name) for name in dataflows.names()]
    meant = [d for d in candidates if cascade in d.model.cascades]
    for candidate in meant or candidates:
        try:
            other = evaluate_case(loaded, machine, workload, candidate).report
        except (InputError, DoesNotFit):
            continue
        assert chosen.latency_s <= other.latency_s


def test_a_machine_of_ones_own_is_mapped_by_search(fusemap: Run, files: Path) -> None:
    outcome = fusemap("evaluate", "attention-3pass", "--arch", "mine.yaml", "--workload", "small.yaml")
    assert outcome.code == 0
    assert "dataflow search (chosen: the only one that fits; flat, unfused do not fit)" in outcome.out
    assert "limited by pe" in outcome.out


# --- one message per mistake ----------------------------------------------------------------------

MISTAKES = [
    (["attention-1pas", *BERT], ["error: unknown cascade 'attention-1pas'", "  did you mean attention-1pass?"]),
    (["attention-1pass", "--arch", "fusemax", "--workload", "BERT@4K"], ["  did you mean fusemax-cloud?"]),
    (["attention-1pass", "--arch", "fusemax-cloud", "--workload", "BERT"], ["  add one, for example BERT@4K"]),
    (["attention-1pass", "--arch", "fusemax-cloud", "--workload", "BRET@4K"], ["  did you mean BERT?"]),
    (
        ["attention-1pass"],
        [
            "error: --arch is missing: on which machine?",
            f"  built-in: {', '.join(names('arch'))}; or a YAML file",
            "error: --workload is missing: at which sizes?",
            f"  built-in: {', '.join(names('workload'))}, with a length, such as BERT@4K",
        ],
    ),
    (
        ["attention-1pass", *BERT, "--dataflow", "flatt"],
        ["error: no dataflow or file named flatt", "  did you mean flat?"],
    ),
    (
        ["attention-1pass", *BERT, "--dataflow", "flat"],
        ["error: cascade attention-1pass has no Einsum QK, GM, SN, SD, A", "  dataflow flat is for attention-3pass"],
    ),
    (["softmax", *BERT], ["error: missing size N", "error: missing size K"]),
    (["attention-1pass-gqa", *BERT], ["error: missing size HK", "error: missing size G"]),
    (["attention-1pass-gqa", *BERT, "--size", "G=5"], ["error: H = HK*G does not hold: H = 12 is no multiple of 5"]),
    (["attention-1pass", *BERT, "--size", "PP=2"], ["error: no rank or tile is named PP, but a size is given for it"]),
    (["attention-1pass", *BERT, "--size", "M0=0"], ["error: size M0 = 0 is not a whole number from 1 to 2^40"]),
    (["attention-1pass", *BERT, "--size", "M0"], ["error: --size M0 is not NAME=N"]),
    (["attention-1pass", *BERT, "--without", "x", "--accounting", "published"], ["error: unknown slip x"]),
    (
        ["layernorm", *BERT, "--size", "N=64", "--size", "K=64"],
        [
            "error: no array of fusemax-cloud computes square and sum of Einsum SQ",
            "  array_2d lacks square; array_1d lacks square",
            "error: no array of fusemax-cloud computes div and add and rsqrt of Einsum RS",
            "  array_2d lacks div, rsqrt; array_1d lacks rsqrt",
        ],
    ),
    (
        ["attention-3pass", "--arch", "flat-edge", "--workload", "BERT@1K"],
        ["  the table has energy for: 16 MiB x 4096 bit, 32 MiB x 4096 bit"],
    ),
]


@pytest.mark.parametrize(("arguments", "expected"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
@pytest.mark.parametrize("command", ["evaluate", "explain"])
def test_a_mistake_is_one_message_and_exit_code_2(
    fusemap: Run, command: str, arguments: list[str], expected: list[str]
) -> None:
    outcome = fusemap(command, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    lines = outcome.err.splitlines()
    for line in expected:
        assert any(found.endswith(line) for found in lines), outcome.err
    assert sum("error:" in line for line in lines) == max(1, sum("error:" in line for line in expected))
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "arguments", [["dma-streaming"], ["sea-streaming"], ["vmoba"], ["layernorm", "--size=N=48", "--size=K=8"]]
)
def test_what_every_dataflow_refuses_is_listed_in_order(fusemap: Run, arguments: list[str]) -> None:
    outcome = fusemap("evaluate", *arguments, "--arch", "unfused-cloud", "--workload", "BERT@1K")
    found = re.findall(rf"^{arguments[0]}\.cascade:(\d+):(\d+): error: ", outcome.err, re.M)
    places = [(int(line), int(column)) for line, column in found]
    assert (outcome.code, len(places)) == (2, outcome.err.count("error:"))
    assert len(places) > 1 and places == sorted(places)


def test_a_cascade_of_views_computes_nothing(fusemap: Run, files: Path) -> None:
    text = "cascade view\nshape M = M1*M0\ninput K[e,m]\noutput BK\n\nBK[e,m1,m0] = K[e,m1*M0+m0]\n"
    (files / "view.cascade").write_text(text)
    outcome = fusemap("evaluate", "view.cascade", "--arch", "mine.yaml", "--workload", "small.yaml", "--size", "M0=8")
    assert outcome.code == 2
    assert outcome.err.startswith("error: cascade view computes nothing")


def test_a_buffer_without_energy_says_where_and_what_there_is(fusemap: Run, files: Path) -> None:
    outcome = fusemap("evaluate", "attention-1pass", "--arch", "8MiB.yaml", "--workload", "BERT@4K")
    assert outcome.code == 2
    assert outcome.err.startswith('8MiB.yaml:4:38: error: component "sram" (8 MiB x 4096 bit) has no energy')


@pytest.mark.parametrize("dataflow", [(), ("--dataflow", "fusemax-binding")])
def test_a_buffer_too_small_does_not_fit(fusemap: Run, files: Path, dataflow: tuple[str, ...]) -> None:
    outcome = fusemap("evaluate", "attention-1pass", "--arch", "64KiB.yaml", "--workload", "BERT@4K", *dataflow)
    assert (outcome.code, outcome.out) == (1, "")
    first, second = outcome.err.splitlines()
    assert first.startswith("does not fit: attention-1pass for BERT@4K on 64KiB, dataflow fusemax-")
    assert "needs 132,096 B, limit 65,536 B" in second


# --- schema ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_plain_json_schema(fusemap: Run, kind: str) -> None:
    outcome = fusemap("schema", kind)
    assert (outcome.code, outcome.err) == (0, "")
    schema = json.loads(outcome.out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["additionalProperties"] is False


def test_schemas_in_one_document(fusemap: Run) -> None:
    document = fusemap("schema", "--json").json()
    assert document["schema"] == "fusemap/schema/1"
    assert list(document["schemas"]) == list(KINDS)
    assert fusemap("schema", "arch", "--json").json()["schemas"]["arch"] == document["schemas"]["arch"]


def test_schema_says_how_to_attach_it(fusemap: Run) -> None:
    assert "# yaml-language-server: $schema=arch.schema.json" in fusemap("schema").out


@pytest.mark.parametrize("name", dataflows.names())
def test_the_schema_knows_every_key_of_the_built_in_dataflows(fusemap: Run, name: str) -> None:
    known = set(json.loads(fusemap("schema", "dataflow").out)["properties"])
    document: Any = dataflows.load_dataflow(name).document.data
    assert set(document) <= known


# --- numbers for people ---------------------------------------------------------------------------


@given(st.floats(1e-17, 1e20))
def test_a_prefix_keeps_four_digits(value: float) -> None:
    text, unit = si(value, "J").split()
    factor = _factor(unit)
    assert float(text.replace(",", "")) * factor == pytest.approx(value, rel=5.1e-4)


def _factor(unit: str) -> float:
    prefixes = {
        "": 0,
        "a": -18,
        "f": -15,
        "p": -12,
        "n": -9,
        "u": -6,
        "m": -3,
        "k": 3,
        "M": 6,
        "G": 9,
        "T": 12,
        "P": 15,
        "E": 18,
    }
    return 10.0 ** prefixes[unit.removesuffix("J")]


@given(st.integers(0, 1 << 70))
def test_binary_sizes_keep_four_digits(size: int) -> None:
    text, unit = binary(size).split()
    power = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB").index(unit)
    assert float(text.replace(",", "")) * 1024.0**power == pytest.approx(size, rel=5.1e-4)


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_are_printed_in_full(value: int) -> None:
    assert int(number(value).replace(",", "")) == value


def test_small_and_large_numbers_for_people() -> None:
    assert joules(1.5) == "1.500 pJ"
    assert joules(0.5) == "500.0 fJ"
    assert si(999.9996e-3, "s") == "1.000 s"
    assert percent(0.9996) == "100.0 %"
    assert ratio(0) == "0x"
