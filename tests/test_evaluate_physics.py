"""What must hold for every evaluated configuration, small and large: conservation, bounds, scaling, monotony."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from dataflow_cases import MACHINES, attention, dataflow, other_machine, pairs, with_buffer
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from fusemap.archspec.types import Machine, Workload
from fusemap.einsum_cascade import catalog
from fusemap.sim import actions
from fusemap.sim.evaluate import evaluate
from fusemap.sim.report import Report, Row

Sizes: TypeAlias = tuple[int, int, int, int, int, int]  # E, F, M, P, heads, batch
Key: TypeAlias = tuple[str, str, str, str]

NAMES = [name for name, _ in pairs()]
SEARCHED = ["unfused"]  # prices choose among its mappings of equal traffic

features = st.sampled_from([64, 128, 1, 80, 6])
lengths = st.sampled_from([1024, 4096, 96, 2, 1, 3000, 1 << 18, 1 << 20, 1009, 500_000])
sizes = st.tuples(features, features, lengths, lengths, st.sampled_from([12, 1, 5]), st.sampled_from([64, 1, 3]))
same_length = st.tuples(features, lengths, st.sampled_from([12, 1])).map(lambda t: (t[0], t[0], t[1], t[1], t[2], 4))
drawn = examples(4, 8)


def machine(name: str, mib: float = 32, **other: object) -> Machine:
    return with_buffer(other_machine(MACHINES[name], **other), int(mib * (1 << 20)))  # type: ignore[arg-type]


def run(name: str, case: Sizes, on: Machine | None = None) -> Report:
    e, f, m, p, heads, batch = case
    return run_workload(name, attention(e, f, m, p, heads, batch), on or machine(name))


def run_workload(name: str, workload: Workload, on: Machine) -> Report:
    return evaluate(catalog.load(dataflow(name).model.cascades[0]), on, workload, dataflow(name))


def counts(report: Report) -> dict[Key, float]:
    """Actions by Einsum, component, action and tensor."""
    found: dict[Key, float] = {}
    for row in report.rows:
        key = (row.einsum, row.component, row.action, row.tensor)
        found[key] = found.get(key, 0) + row.count
    return found


def total(rows: Iterable[Row], component: str) -> float:
    return sum(row.count for row in rows if row.component == component)


# --- conservation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(case=sizes)
def test_multiply_accumulates_of_the_products_are_the_points(name: str, case: Sizes) -> None:
    """However it is mapped: E*M*P for the scores, F*M*P for the values, per head and batch."""
    e, f, m, p, heads, batch = case
    report = run(name, case)
    scores, values = ("QK", "AV") if name in ("flat", "unfused") else ("BQK", "SLNV")
    for einsum, points in ((scores, e * m * p), (values, f * m * p)):
        macs = [row.count for row in report.rows if (row.einsum, row.component) == (einsum, "array_2d.mac")]
        assert macs == [heads * batch * points]


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(case=sizes)
def test_rows_sum_to_the_totals(name: str, case: Sizes) -> None:
    report = run(name, case)
    assert math.fsum(row.count * row.unit_energy_pj for row in report.rows) == pytest.approx(
        report.energy_pj, rel=1e-12
    )
    for keys in (("einsum",), ("component",), ("einsum", "component", "action")):
        assert math.fsum(report.energy_by(*keys).values()) == pytest.approx(report.energy_pj, rel=1e-12)
    assert sum(phase.latency_s for phase in report.phases) == report.latency_s
    # what the energy charges is what the traffic counts: 4 words of 2 bytes for each access of the DRAM
    assert 8 * total(report.rows, "dram") == pytest.approx(report.traffic_bytes, rel=1e-12)
    assert all(row.source for row in report.rows)


# --- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(case=sizes, mib=st.sampled_from([32, 1, 4]))
def test_no_less_than_the_inputs_and_outputs_once(name: str, case: Sizes, mib: float) -> None:
    e, f, m, p, heads, batch = case
    compulsory = 2 * heads * batch * (e * p + e * m + f * m + f * p)
    assert run(name, case, machine(name, mib)).traffic_bytes >= compulsory


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(case=sizes)
def test_latency_covers_every_busy_resource(name: str, case: Sizes) -> None:
    on = machine(name)
    report = run(name, case, on)
    bandwidth = on.memories[0].bandwidth_bytes_per_s
    assert bandwidth is not None
    assert report.latency_s >= report.traffic_bytes / bandwidth * (1 - 1e-12)
    for array in on.arrays:
        cycles = sum(time.cycles for time in report.einsums if time.array == array.name)
        assert report.latency_s >= cycles / on.clock_hz * (1 - 1e-12)
        work = sum(time.cycles * time.lanes for time in report.einsums if time.array == array.name)
        assert report.latency_s >= work / array.pes / on.clock_hz * (1 - 1e-12)
    assert all(0 < share <= 1 + 1e-12 for share in report.utilization.values())


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("fusemax")])
@drawn
@given(case=sizes, mib=st.sampled_from([32, 4, 1]))
def test_traffic_of_the_fused_kernels_in_closed_form(name: str, case: Sizes, mib: float) -> None:
    """Queries and results once, keys and values once for each of P2 groups of queries (unless they are one chunk)."""
    e, f, m, p, heads, batch = case
    report = run(name, case, machine(name, mib))
    tiles = dict(report.tiles)
    assert isinstance(tiles["P2"], int) and isinstance(tiles["M1"], int)
    groups = tiles["P2"] if tiles["M1"] > 1 else 1
    assert report.traffic_bytes == 2 * heads * batch * (e * p + f * p + groups * m * (e + f))


# --- scaling ---------------------------------------------------------------------------------------


def scaled(before: Report, after: Report, factor: int) -> None:
    """Everything that is counted grows by the factor."""
    assert after.traffic_bytes == pytest.approx(factor * before.traffic_bytes, rel=1e-12)
    assert after.energy_pj == pytest.approx(factor * before.energy_pj, rel=1e-12)
    assert after.latency_s == pytest.approx(factor * before.latency_s, rel=1e-12)
    old, new = counts(before), counts(after)
    assert old.keys() == new.keys()
    assert all(new[key] == pytest.approx(factor * old[key], rel=1e-12) for key in old)
    assert [t.cycles for t in after.einsums] == [factor * t.cycles for t in before.einsums]
    assert after.utilization == pytest.approx(before.utilization, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(case=sizes, factor=st.sampled_from([2, 3, 7, 64]))
def test_a_larger_batch_costs_as_much_more(name: str, case: Sizes, factor: int) -> None:
    e, f, m, p, heads, batch = case
    scaled(run(name, case), run(name, (e, f, m, p, heads, factor * batch)), factor)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "flat"])  # FLAT's published tilings depend on the heads
@drawn
@given(case=sizes, factor=st.sampled_from([2, 3]))
def test_more_heads_cost_as_much_more(name: str, case: Sizes, factor: int) -> None:
    e, f, m, p, heads, batch = case
    scaled(run(name, case), run(name, (e, f, m, p, factor * heads, batch)), factor)


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(case=sizes)
def test_twice_the_clock_halves_the_compute_time_alone(name: str, case: Sizes) -> None:
    slow, fast = (run(name, case, machine(name, clock=clock)) for clock in ("1 GHz", "2 GHz"))
    for before, after in zip(slow.phases, fast.phases, strict=True):
        assert after.compute_s == before.compute_s / 2
        assert after.memory_s == before.memory_s
        assert after.latency_s == max(before.compute_s / 2, before.memory_s)
    assert fast.rows == slow.rows and fast.traffic_bytes == slow.traffic_bytes


@pytest.mark.parametrize("name", NAMES)
@drawn
@given(case=sizes)
def test_half_the_bandwidth_doubles_the_memory_time_alone(name: str, case: Sizes) -> None:
    on = machine(name)
    dram, *others = on.memories
    assert dram.bandwidth_bytes_per_s is not None
    half = replace(on, memories=(replace(dram, bandwidth_bytes_per_s=dram.bandwidth_bytes_per_s / 2), *others))
    before, after = run(name, case, on), run(name, case, half)
    if counts(before) != counts(after):
        assert name == "flat"  # its published tilings are for a bandwidth
        return
    assert [p.memory_s for p in after.phases] == [2 * p.memory_s for p in before.phases]
    assert [p.compute_s for p in after.phases] == [p.compute_s for p in before.phases]


# --- machines that differ in one thing ----------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if n != "flat"])
@drawn
@given(case=sizes, kib=st.lists(st.sampled_from([256, 512, 700, 1024, 5000, 16384, 32768, 1 << 20]), min_size=2))
def test_a_larger_buffer_never_adds_traffic(name: str, case: Sizes, kib: list[int]) -> None:
    traffic = [run(name, case, machine(name, k / 1024)).traffic_bytes for k in sorted(kib) if roomy(name, k)]
    assert traffic == sorted(traffic, reverse=True)


def roomy(name: str, kib: int) -> bool:
    """Large enough for the smallest tiles of every size here."""
    return kib >= (1024 if name == "fusemax-cascade" else 512)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in SEARCHED])
@drawn
@given(case=sizes)
def test_a_dearer_buffer_changes_its_own_rows_alone(name: str, case: Sizes) -> None:
    cheap, dear = (
        run(name, case, machine(name, read_pj=read, write_pj=write)) for read, write in ((100, 110), (300, 111))
    )
    assert len(cheap.rows) == len(dear.rows)
    changed = [(a, b) for a, b in zip(cheap.rows, dear.rows, strict=True) if a != b]
    assert changed and {a.component for a, _ in changed} == {"global_buffer"}
    assert all(b == replace(a, unit_energy_pj=300 if a.action == "read" else 111) for a, b in changed)
    reads = sum(a.count for a, _ in changed if a.action == "read")
    writes = sum(a.count for a, _ in changed if a.action == "write")
    assert dear.energy_pj - cheap.energy_pj == pytest.approx(200 * reads + writes, rel=1e-6)
    assert (dear.latency_s, dear.traffic_bytes) == (cheap.latency_s, cheap.traffic_bytes)


@pytest.mark.parametrize("name", SEARCHED)
@drawn
@given(case=sizes)
def test_prices_never_add_traffic_to_a_searched_mapping(name: str, case: Sizes) -> None:
    cheap, dear = (run(name, case, machine(name, read_pj=read, write_pj=write)) for read, write in ((1, 1), (9000, 1)))
    assert cheap.traffic_bytes == dear.traffic_bytes
    assert cheap.latency_s == dear.latency_s


# --- planted faults -----------------------------------------------------------------------------------


def lose_a_row(patch: pytest.MonkeyPatch) -> None:
    true = actions.memory_rows
    patch.setattr("fusemap.sim.evaluate.memory_rows", lambda *a: list(true(*a))[1:])


def lose_an_operator(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("fusemap.sim.evaluate.operator_rows", lambda *a: ())


def free_fetches(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("fusemap.sim.evaluate.traffic_words", lambda moved, outermost: 1)


def serial_as_parallel(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("fusemap.sim.report.StageTime.cycles", property(lambda stage: min(c for _, c in stage.busy_cycles)))


Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, tuple[Plant, Any, dict[str, float]]] = {
    "a row of a memory is lost": (lose_a_row, test_rows_sum_to_the_totals, {}),
    "operators are free": (lose_an_operator, test_multiply_accumulates_of_the_products_are_the_points, {}),
    "traffic is free": (free_fetches, test_no_less_than_the_inputs_and_outputs_once, {"mib": 32}),
    "a stage takes its shortest array": (serial_as_parallel, test_latency_covers_every_busy_resource, {}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_law_catches_a_fault(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, law, given = FAULTS[fault]
    check = law.hypothesis.inner_test
    case = (64, 64, 4096, 4096, 12, 4)
    check("fusemax-binding", case=case, **given)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check("fusemax-binding", case=case, **given)
