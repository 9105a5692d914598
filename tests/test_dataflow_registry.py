"""Every dataflow on every machine and many sizes: legal, or a refusal that says what is needed and what would fit."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from dataflow_cases import (
    MACHINES,
    attention,
    data_dependent,
    dataflow,
    not_computed,
    open_sizes,
    other_machine,
    pairs,
    with_buffer,
)
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from fusemap.archspec import load_arch, load_workload, parse_workload
from fusemap.archspec import registry as archs
from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, InputError, Violation
from fusemap.einsum_cascade import catalog
from fusemap.einsum_cascade.parser import parse
from fusemap.mappers.dataflow import load_dataflow, names
from fusemap.mappers.legality import violations
from fusemap.mappers.types import Fanout, Loop, Storage
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.sim.evaluate import evaluate, plan
from fusemap.sim.report import Report

MODELS = archs.names("workload")
LENGTHS = ["1K", "4K", "3000", "1000", "1009", "96", "2", "1", "1M", "500000", "1048575", "720720"]
# What a refusal may say beside "does not fit": the machine lacks a unit, or the table an energy.
CLEAR = [
    r"fusemax-binding\.yaml:\d+:\d+: error: array_2d of [\w-]+ cannot compute max of Einsum LM\n.*\n.*\n  array_1d can",
    r'component "sram" \(.* bit\) has no energy for action "read" in components/45nm\.yaml',
]


def test_every_dataflow_has_a_machine_here_and_names_cascades_that_exist() -> None:
    assert set(MACHINES) == {name for name, _ in pairs()}
    assert {cascade for _, cascade in pairs()} <= set(catalog.names())


def outcome(name: str, cascade: str, machine: Machine, workload: Workload) -> Report | DoesNotFit:
    """The report, or the answer that it does not fit; anything else must be a clear refusal."""
    try:
        report = evaluate(catalog.load(cascade), machine, workload, dataflow(name))
    except DoesNotFit as refusal:
        check_refusal(refusal)
        return refusal
    check_report(report)
    return report


def check_report(report: Report) -> None:
    assert 0 < report.latency_s < math.inf
    assert 0 < report.energy_pj < math.inf
    assert all(0 < share <= 1 + 1e-12 for share in report.utilization.values())
    assert all(row.count > 0 for row in report.rows)


def check_refusal(refusal: DoesNotFit) -> None:
    assert refusal.violations
    for violation in refusal.violations:
        assert violation.what and violation.unit and violation.need > violation.limit
        assert violation.hint, violation


@pytest.mark.sampled(3)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "cascade"), list(pairs()))
def test_a_dataflow_runs_any_length_on_its_machine(name: str, cascade: str, model: str) -> None:
    machine = load_arch(MACHINES[name])
    for length in LENGTHS:
        assert isinstance(outcome(name, cascade, machine, load_workload(f"{model}@{length}")), Report), length


@pytest.mark.parametrize("arch", archs.names("arch"))
@pytest.mark.parametrize(("name", "cascade"), list(pairs()))
def test_a_dataflow_runs_on_any_machine_or_is_clearly_refused(name: str, cascade: str, arch: str) -> None:
    for workload in ("BERT@1K", "XLM@3000"):
        try:
            outcome(name, cascade, load_arch(arch), load_workload(workload))
        except InputError as refusal:
            assert any(re.search(text, str(refusal)) for text in CLEAR), str(refusal)


# --- other machines --------------------------------------------------------------------------------


EXTENTS = [16, 32, 256, 512, 1, 100, 7]
KIB = [64, 4, 1, 512, 16 << 10, 1 << 20]
arrays = st.tuples(
    st.sampled_from(["flat-cloud", "fusemax-cloud"]),
    *(st.sampled_from(EXTENTS) for _ in ("rows", "columns", "lanes")),
    st.sampled_from(["940 MHz", "1 Hz", "2.5 GHz"]),
)
sizes = st.tuples(
    *(st.sampled_from([64, 128, 1, 48, 7]) for _ in "ef"),
    *(st.sampled_from([1024, 1009, 3000, 96, 2, 1 << 18, 1]) for _ in "mp"),
)


@pytest.mark.parametrize(("name", "cascade"), list(pairs()))
@examples(10, 30)
@given(arrays=arrays, kib=st.sampled_from(KIB), sizes=sizes)
def test_any_machine_and_workload(
    name: str, cascade: str, arrays: tuple[str, int, int, int, str], kib: int, sizes: tuple[int, int, int, int]
) -> None:
    machine, workload = with_buffer(other_machine(*arrays), kib << 10), attention(*sizes)
    try:
        found = outcome(name, cascade, machine, workload)
    except InputError as refusal:
        assert any(re.search(text, str(refusal)) for text in CLEAR), str(refusal)
        return
    if isinstance(found, DoesNotFit):
        nearest_fits(name, cascade, machine, workload, found)


def nearest_fits(name: str, cascade: str, machine: Machine, workload: Workload, refusal: DoesNotFit) -> None:
    """With the buffer that the refusal asks for it fits, and with one word less it does not."""
    (violation,) = refusal.violations
    assert violation.what.startswith("global_buffer") and violation.unit == "B"
    need = math.ceil(violation.need)
    assert isinstance(outcome(name, cascade, with_buffer(machine, need), workload), Report), str(refusal)
    with pytest.raises(DoesNotFit):
        evaluate(catalog.load(cascade), with_buffer(machine, need - 2), workload, dataflow(name))


def test_the_smallest_buffer_is_named() -> None:
    """By hand: a chunk of 256 keys and values, and per query Q, RNV, RM and RD: 2 * (256 * 128 + 256 * 130) bytes."""
    machine = other_machine("fusemax-cloud", 256, 256, 256, "1 GHz")
    small = with_buffer(machine, 64 << 10)
    refusal = outcome("fusemax-binding", "attention-1pass", small, load_workload("BERT@1K"))
    assert str(refusal) == (
        "does not fit: attention-1pass for BERT@1K on other, dataflow fusemax-binding\n"
        "  global_buffer for a chunk of M0 keys and values and what belongs to P0 queries: "
        "needs 132,096 B, limit 65,536 B (the smallest global_buffer that fits is 132,096 B)"
    )
    assert isinstance(refusal, DoesNotFit)
    assert refusal.violations[0] == Violation(
        what="global_buffer for a chunk of M0 keys and values and what belongs to P0 queries",
        need=132096,
        limit=65536,
        unit="B",
        hint="the smallest global_buffer that fits is 132,096 B",
    )


# --- cascades that no dataflow spells out -----------------------------------------------------------

SEARCHED = [name for name in names() if load_dataflow(name).model.otherwise == "search"]
DATA = r"the built-in dataflows do not map data-dependent reads: Einsum (\w+) (?:reads \w+ at \w|selects .* topk\[)"
UNITS = r"no array of unfused-cloud computes [\w ]+ of Einsum (\w+)$"


def refused_einsums(refusal: InputError, text: str) -> set[str]:
    """The Einsums that a refusal names, each at its line."""
    found = set()
    for diagnostic in refusal.diagnostics:
        match = re.match(text, diagnostic.message)
        assert match and diagnostic.span and diagnostic.hint, str(refusal)
        assert re.match(rf"\s*(init: )?{match[1]}\b.*=", diagnostic.source)
        found.add(match[1])
    return found


@pytest.mark.sampled(2)
@pytest.mark.parametrize("cascade", catalog.names())
@pytest.mark.parametrize("name", SEARCHED)
def test_every_cascade_is_mapped_by_search_or_refused_for_what_it_does(name: str, cascade: str) -> None:
    loaded, machine, workload = catalog.load(cascade), load_arch("unfused-cloud"), load_workload("BERT@1K")
    reads, units = data_dependent(loaded), not_computed(loaded, machine)
    if not reads and not units:
        check_report(evaluate(loaded, machine, workload, dataflow(name), sizes=open_sizes(loaded, workload)))
        return
    with pytest.raises(InputError) as refusal:
        evaluate(loaded, machine, workload, dataflow(name), sizes=open_sizes(loaded, workload))
    assert refused_einsums(refusal.value, DATA if reads else UNITS) == (reads or units)


def test_what_no_array_computes_is_listed_einsum_by_einsum() -> None:
    """By hand: the maximum and the product pass, the comparison, the choice and the square do not."""
    text = "input A[k]\nG = max[k] A[k]\nW[k] = where(ge(A[k], G), A[k], 0)\nS = sum[k] square(W[k])\nZ = S * G\n"
    workload = parse_workload("source: a test\nranks: {K: 96}\n", file="toy.yaml")
    with pytest.raises(InputError) as refusal:
        plan(parse(text, file="toy.cascade"), load_arch("unfused-cloud"), workload, dataflow("search"))
    assert str(refusal.value) == (
        "toy.cascade:3:1: error: no array of unfused-cloud computes ge and where of Einsum W\n"
        "    W[k] = where(ge(A[k], G), A[k], 0)\n"
        "    ^~~~\n"
        "  array_2d lacks ge, where; array_1d lacks ge, where\n"
        "toy.cascade:4:1: error: no array of unfused-cloud computes square and sum of Einsum S\n"
        "    S = sum[k] square(W[k])\n"
        "    ^\n"
        "  array_2d lacks square; array_1d lacks square"
    )


def test_einsums_of_a_recurrence_run_in_step_and_not_side_by_side() -> None:
    """By hand: 96 steps of a running sum on one lane of 256; the quotients, which are independent, on 96 lanes."""
    scan = catalog.load("scan-divide-by-total")
    workload = parse_workload("source: a test\nranks: {K: 96}\n", file="toy.yaml")
    problem, mapping = plan(scan, load_arch("unfused-cloud"), workload, dataflow("unfused"))
    assert [(n.einsum, n.lanes, n.temporal_steps) for n in mapping.einsums] == [("S", 1, 96), ("Z", 96, 1)]
    online = mapped_alone("softmax-online")
    assert [(phase.einsums, phase.pipelined) for phase in online.binding] == [
        (("RM",), False),
        (("PRM",), False),
        (("SLN",), False),
        (("SPD", "RD"), True),
        (("SN",), False),
        (("Y",), False),
    ]
    assert problem.space("S").sequential == {"k"} and not problem.space("Z").sequential
    spread = replace(
        mapping.nest("S"),
        levels=(
            Fanout(array="array_1d", dim="lanes", loops=(Loop(rank="k", bound=96),)),
            Storage(memory="dram", keep=None),
        ),
    )
    broken = replace(mapping, einsums=(spread, mapping.nest("Z")))
    (violation,) = violations(problem, broken, load_arch("unfused-cloud"))
    assert violation.what == "S: k steps through a recurrence, but array_1d.lanes spreads it"


def mapped_alone(cascade: str) -> CascadeMapping:
    workload = parse_workload("source: a test\nranks: {K: 96, N: 48}\n", file="toy.yaml")
    return plan(catalog.load(cascade), load_arch("unfused-cloud"), workload, dataflow("unfused"))[1]
