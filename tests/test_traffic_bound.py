"""The traffic bound: below every schedule of tiny instances, and below what every dataflow moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from dataflow_cases import OF_LAYERS
from passes_oracle import TooLarge, searches
from passes_points import Program
from traffic_oracle import Attention

import fusemap as fm
from fusemap.archspec.types import Machine
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.mappers.dataflow import Dataflow
from fusemap.mappers.match import matches
from fusemap.sim.report import Timing
from fusemap.validation.traffic_bound import (
    TrafficBound,
    least_visits,
    on_chip_bytes,
    traffic_bound,
    workload_bound,
)

TINY = {
    "cascade-1": {"K": 4},
    "cascade-2": {"K": 4},
    "softmax": {"N": 1, "K": 4},
    "logsumexp": {"N": 1, "K": 5},
    "layernorm": {"N": 1, "K": 4},
    "cross-entropy": {"N": 1, "K": 4},
    "variance": {"K": 5},
    "rmsnorm-matmul": {"N": 1, "K": 4, "J": 1},
}
QUERIES = """cascade queries
input Q[e,p], K[e,m]
QK[m,p] = Q[e,p] * K[e,m]
SD[p] = sum[m] QK[m,p]
{middle}
Z[p] = sum[m] {last}[m,p] * QK[m,p]
"""


# --- Theorem 1, against a search over schedules -----------------------------------------------------


def loads(name: str) -> Iterator[tuple[int, int, int, int]]:
    """Least loads of every fiber of the traversals of a tiny cascade: (passes, n, room, loads)."""
    cascade = fm.load_cascade(name)
    bound = traffic_bound(cascade, sizes_of(name))
    program = Program(format_cascade(cascade), sizes_of(name))
    for row in bound.traversals:
        for search in searches(program, row.tensor, row.rank):
            for room in range(1, row.length + 1):
                try:
                    found = search.least_loads(room)
                except TooLarge:
                    continue
                if found is not None:
                    yield row.passes, row.length, room, found.loads


def sizes_of(name: str) -> dict[str, int]:
    """The tiny sizes, without names that the cascade does not have."""
    shapes = {str(s) for s in known_shapes(fm.load_cascade(name))}
    return {s: n for s, n in TINY[name].items() if s in shapes}


@pytest.mark.parametrize("name", TINY)
def test_no_schedule_visits_a_fiber_less_often(name: str) -> None:
    for passes, length, room, found in loads(name):
        assert found >= least_visits(passes, length, room), (passes, length, room)


def test_some_schedules_visit_a_fiber_exactly_so_often_and_none_less_than_a_pass_more_would_need() -> None:
    exact = {name for name in TINY for p, n, b, found in loads(name) if p > 1 and found == least_visits(p, n, b)}
    broken = {name for name in TINY for p, n, b, found in loads(name) if found < least_visits(p + 1, n, b)}
    assert {"cascade-1", "softmax", "logsumexp", "variance"} <= exact
    assert exact <= broken  # one pass too many would be noticed


def test_the_visits_of_a_fiber_that_fits_are_its_length() -> None:
    assert [least_visits(3, 10, room) for room in (0, 1, 9, 10, 11)] == [30, 28, 12, 10, 10]


# --- queries that share keys, against a search over schedules ---------------------------------------

CASES = [
    (3, 1, 1, 2, 1),
    (3, 1, 1, 3, 2),
    (4, 1, 1, 3, 1),
    (3, 1, 2, 2, 1),
    (3, 2, 1, 2, 2),
    (3, 2, 2, 2, 2),
]


def least_of(keys: int, features: int, queries: int, passes: int, room: int) -> int:
    """What the bound says of the oracle's cascade: loads of K and of scores."""
    middle = "" if passes == 2 else "A[m,p] = QK[m,p] * SD[p]\nSE[p] = sum[m] A[m,p]\nB[m,p] = A[m,p] * SE[p]"
    last = "B" if passes == 3 else "QK"
    text = QUERIES.format(middle=middle, last=last)
    if passes == 2:
        text = text.replace("Z[p] = sum[m] QK[m,p] * QK[m,p]", "Z[p] = sum[m] QK[m,p] * SD[p]")
    bound = traffic_bound(parse(text), {"M": keys, "E": features, "P": queries})
    (row,) = bound.traversals
    assert (row.tensor, row.rank, row.passes, row.width) == ("K", "M", passes, min(features, queries))
    return keys * features + row.extra_words(room)


@pytest.mark.parametrize(("keys", "features", "queries", "passes", "room"), CASES)
def test_no_schedule_loads_fewer_words_for_several_queries(
    keys: int, features: int, queries: int, passes: int, room: int
) -> None:
    found = Attention(keys=keys, features=features, queries=queries, passes=passes, room=room).least_loads()
    assert found >= least_of(keys, features, queries, passes, room)
    if features == 1:
        assert found == least_of(keys, features, queries, passes, room)


def test_the_sum_over_queries_is_no_bound() -> None:
    """A sweep over K serves all queries: adding up their single bounds claims more than a schedule loads."""
    found = Attention(keys=3, features=1, queries=2, passes=2, room=1).least_loads()
    assert found < 3 + 2 * (least_visits(2, 3, 1) - 3)


# --- what is proven, and when -----------------------------------------------------------------------


def test_the_terms_of_three_passes() -> None:
    bound = traffic_bound(fm.load_cascade("attention-3pass"), {"M": 1000, "P": 30, "E": 8, "F": 4}, batch=5)
    compulsory = 5 * (8 * 30 + 8 * 1000 + 4 * 1000 + 4 * 30)
    assert bound.compulsory_bytes == 2 * compulsory == bound.bytes(None) == bound.bytes(2000)
    assert bound.bytes(400) == 2 * (compulsory + 5 * 2 * 8 * (1000 - 200))
    few = traffic_bound(fm.load_cascade("attention-3pass"), {"M": 1000, "P": 3, "E": 8, "F": 4})
    assert few.traversals[0].width == 3


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", fm.list_cascades())
def test_the_bound_of_every_cascade_falls_with_room_to_the_compulsory_words(name: str) -> None:
    bound = small_bound(name)
    values = [bound.bytes(2 * room) for room in (1, 2, 4, 8, 16, 64, 4096)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == bound.compulsory_bytes == bound.bytes(None) > 0


def small_bound(name: str) -> TrafficBound:
    """At 8 coordinates of every rank that is no product."""
    cascade = fm.load_cascade(name)
    sizes = {str(s): 8 for s in known_shapes(cascade)}
    for shape in cascade.shapes:
        if len(shape.factors) > 1:
            sizes[shape.name] = 8 ** len(shape.factors)
        elif shape.constant is not None:
            sizes[shape.name] = shape.constant
    for shape in cascade.shapes:
        if len(shape.factors) == 1:
            sizes.pop(shape.name)
    return traffic_bound(cascade, sizes)


def test_no_more_is_claimed_than_is_proven() -> None:
    """Filters, carriers with two coordinates, and ranks that tell coordinates apart."""
    causal = traffic_bound(fm.load_cascade("attention-3pass-causal"), {"M": 64, "P": 64, "E": 8, "F": 8})
    assert causal.traversals == () and dict(causal.compulsory.inputs)["K"] == 512
    pairs = parse("input K[m]\nshape N = M\nD[m,n] = K[m] * K[n]\nS = sum[m,n] D[m,n]\nZ = sum[m,n] D[m,n] * S")
    assert traffic_bound(pairs, {"M": 8}).traversals == ()
    mixed = parse("input Q[e,p], K[e,m]\nD[m,p] = Q[e,p]*K[e,m]\nS = sum[m,p] D[m,p]\nZ[p] = sum[m] D[m,p] * S")
    (row,) = [t for t in traffic_bound(mixed, {"M": 8, "P": 8, "E": 8}).traversals if t.tensor == "K"]
    assert (row.passes, row.width) == (2, 1)  # the queries share S: no moments of their own


def test_a_part_of_an_input_that_nobody_reads_is_not_counted() -> None:
    bound = traffic_bound(parse("input K[m], J[m]\nshape M = M1*M0\nZ[m1] = K[m1*M0] * J[m1]"), {"M": 12, "M0": 4})
    assert bound.compulsory.inputs == (("K", 3), ("J", 3)) and bound.compulsory.outputs == (("Z", 3),)


def test_registers_are_room_on_chip() -> None:
    machine = fm.load_arch("fusemax-cloud")
    registers = sum(a.pes * a.registers.depth_words for a in machine.arrays) * machine.word_bytes
    assert on_chip_bytes(machine) == (16 << 20) + registers > 17 << 20


# --- what the dataflows move ------------------------------------------------------------------------

LENGTHS = ("1K", "16K", "1M")
# The four of the study, and of the many others, which differ in heads and batch alone, every sixth.
STUDIED = ("BERT", "TrXL", "T5", "XLM")
MODELS = (*STUDIED, *[model for model in fm.list_workloads() if model not in STUDIED][::6])
MACHINES = {name: fm.load_arch(name) for name in fm.list_archs()}


def timings(dataflow: Dataflow) -> Iterator[tuple[str, Machine, fm.Workload, Timing]]:
    """All models, lengths and machines of the cascades that the dataflow is for, a few of others that it fits."""
    for name in fm.list_cascades():
        cascade = fm.load_cascade(name)
        if not matches(cascade, dataflow):
            continue
        meant = name in dataflow.model.cascades
        models, lengths = (MODELS, LENGTHS) if meant else (("BERT",), ("1M",))
        machines = [m for a, m in MACHINES.items() if meant or a in ("fusemax-cloud", "flat-edge")]
        for workload in (fm.load_workload(f"{model}@{length}") for model in models for length in lengths):
            for machine in machines:
                try:
                    found = fm.timing(cascade, arch=machine, workload=workload, dataflow=dataflow)
                except (InputError, DoesNotFit):
                    continue
                yield name, machine, workload, found


def too_low(dataflow: Dataflow) -> tuple[int, list[str]]:
    """How many cases there are, and those where the traffic is below the bound."""
    bounds: dict[tuple[object, ...], TrafficBound] = {}
    wrong, count = [], 0
    for name, machine, workload, found in timings(dataflow):
        cascade = fm.load_cascade(name)
        tiles = {t: int(n) for t, n in found.tiles if t in known_shapes(cascade)}
        key = name, workload.name, *tiles.items(), machine.word_bytes
        if key not in bounds:
            bounds[key] = workload_bound(cascade, workload, sizes=tiles, word_bytes=machine.word_bytes)
        least = bounds[key].bytes(on_chip_bytes(machine))
        count += 1
        if found.traffic_bytes < least:
            wrong.append(f"{name} on {machine.name}, {workload.name}: {found.traffic_bytes:,.0f} B < {least:,} B")
    return count, wrong


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", sorted({*fm.list_dataflows()} - OF_LAYERS))
def test_no_dataflow_moves_less_than_the_bound(name: str) -> None:
    count, wrong = too_low(fm.load_dataflow(name))
    assert count >= 20, count
    assert not wrong, "\n".join(wrong[:10])


def test_a_dataflow_that_claims_to_move_less_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = fm.timing

    def claimed(*args: Any, **options: Any) -> Timing:
        found = honest(*args, **options)
        return dataclasses.replace(found, traffic_bytes=0.99 * found.traffic_bytes)

    monkeypatch.setattr(fm, "timing", claimed)
    monkeypatch.setitem(globals(), "LENGTHS", ("16K",))
    _, wrong = too_low(fm.load_dataflow("fusemax-binding"))
    assert any("attention-1pass on fusemax-cloud, BERT@16K" in line for line in wrong)
