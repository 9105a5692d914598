"""Tasks of a steady-state iteration: FuseMax against its formulas, the library under the rules, refusals."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction
from pathlib import Path

import pytest

import fusemap as fm
from fusemap.mappers.modulo import Schedule, TaskGraph, schedule
from fusemap.mappers.modulo_assign import Assignment, least_interval
from fusemap.mappers.modulo_check import violations
from fusemap.mappers.modulo_handoff import handoffs
from fusemap.mappers.modulo_steady import steady_graph, steady_schedule, step_ranks
from fusemap.mappers.tasks import Piece, task_graph, tasks_of
from fusemap.sim.evaluate import plan
from fusemap.validation.waterfall import transfers

MACHINE = fm.load_arch("fusemax-cloud")
ASSUMED = {"relu": 1, "min": 1, "recip": 1, "neg": 1, "softplus": 12}
# Cascade, sizes that the workload lacks, rank of the phase, interval by hand: the work of the busiest array.
STREAMING = [
    ("attention-1pass", {}, "m1", 138),
    ("attention-1pass-causal", {}, "m1", 138),
    ("agent-streaming", {"G": 256}, "m1", 140),
    ("agent-streaming", {"G": 256}, "p", 138),
    ("mala-streaming", {}, "m", 74),
    ("mala-streaming", {}, "p", 76),
    ("lightning-chunked", {}, "m1", Fraction(4135, 16)),
]


def fusemax(workload: str, *, one_tile: bool = False, moved: bool = False) -> TaskGraph:
    cascade = fm.load_cascade("attention-1pass")
    problem, mapping = plan(cascade, MACHINE, fm.load_workload(workload), fm.load_dataflow("fusemax-binding"))
    words = transfers(problem, mapping, MACHINE) if moved else ()
    return tasks_of(cascade, problem, mapping, MACHINE, one_tile=one_tile, transfers=words)


def published(e: int, f: int, chunks: int) -> Fraction:
    """+Binding's formula, stage by stage, for one chunk and one tile of queries."""
    av = Fraction(f, chunks)
    return max(Fraction(e + 1), 1 + f + av) + 1 + max(7 + 1, 7 + 1) + max(f, f)


@pytest.mark.parametrize("one_tile", [False, True])
@pytest.mark.parametrize(
    ("workload", "e", "chunks"), [("BERT@4K", 64, 16), ("BERT@1M", 64, 4096), ("XLM@64K", 128, 256)]
)
def test_fusemax_interval_is_at_most_the_published_one(workload: str, e: int, chunks: int, one_tile: bool) -> None:
    found = schedule(fusemax(workload, one_tile=one_tile))
    assert violations(found) == ()
    assert found.gap == 0
    assert found.interval_cycles == 2 * e + 10 + Fraction(e, chunks) <= published(e, e, chunks)
    ticks = found.graph.ticks_per_cycle
    assert {r: Fraction(n, ticks) for r, n in found.resource_bounds} == {
        "array_2d": 2 * e + 9,
        "array_1d": 2 * e + 10 + Fraction(e, chunks),
    }


def test_fusemax_tasks_and_dependences() -> None:
    graph = fusemax("BERT@4K")
    assert {t.name: t.duration for t in graph.tasks} == dict(
        BQK=64, LM=1, SLN=7, SLD=1, SLNV=64, RM=1, PRM=7, SPD=1, RD=1, SPNV=64, RNV=64, AV=4
    )
    assert graph.task("AV").every == 16
    across = {(d.producer, d.consumer): d.distance for d in graph.dependences if d.distance}
    assert across == {("RM", "RM"): 16, ("RM", "PRM"): 16, ("RD", "SPD"): 16, ("RNV", "SPNV"): 16}
    assert {d.producer: d.delay for d in graph.dependences if d.delay} == {"LM": 256, "SLD": 256, "SLNV": 256}
    one = fusemax("BERT@4K", one_tile=True)
    assert {d.distance for d in one.dependences} == {0, 1}


def test_recurrence_bound_of_fusemax_with_one_tile() -> None:
    found = schedule(fusemax("BERT@4K", one_tile=True))
    assert found.recurrence is not None
    assert ({*found.recurrence.tasks}, found.recurrence_bound) == ({"RNV", "SPNV"}, 128)


def test_transfers_occupy_the_memory_and_do_not_change_the_interval() -> None:
    found = schedule(fusemax("BERT@4K", moved=True))
    assert violations(found) == ()
    assert found.interval_cycles == 142
    busy = Fraction(dict(found.resource_bounds)["dram"], found.graph.ticks_per_cycle)
    assert busy == Fraction(3, 2) * 940_000_000 / 400 / (64 * 12 * 16 * 16)  # 1.5 GiB at 400 GiB/s


def _pairs() -> list[tuple[str, str, dict[str, int]]]:
    return [(h.producer, h.consumer, dict(h.steps)) for h in handoffs(fm.load_cascade("attention-1pass"))]


def test_handoffs_know_how_many_steps_lie_between() -> None:
    steps = {(p, c, tuple(s.items())) for p, c, s in _pairs() if p in ("RM", "RNV")}
    assert ("RM", "PRM", (("m1", 1), ("p", 0))) in steps
    assert ("RM", "PRM", (("m1", 0), ("p", 0))) in steps
    assert ("RM", "SLN", (("m1", 0), ("p", 0))) in steps
    assert ("RNV", "SPNV", (("f", 0), ("m1", 1), ("p", 0))) in steps
    assert ("RNV", "AV", (("f", 0), ("p", 0))) in steps


def test_forgetting_the_recurrence_is_caught() -> None:
    """A faulty graph of the accumulation alone: without the edge across iterations its interval is too small."""
    graph = fusemax("BERT@4K", one_tile=True)
    names = {"SPNV", "RNV"}
    alone = TaskGraph(
        name="alone",
        tasks=tuple(dataclasses.replace(t, resource=t.name) for t in graph.tasks if t.name in names),
        dependences=tuple(d for d in graph.dependences if {d.producer, d.consumer} <= names),
    )
    faulty = dataclasses.replace(alone, dependences=tuple(d for d in alone.dependences if not d.distance))
    assert schedule(alone).interval == 128
    wrong = schedule(faulty)
    assert wrong.interval == 64
    assert violations(dataclasses.replace(wrong, graph=alone))


@pytest.mark.parametrize(("cascade", "sizes", "over", "cycles"), STREAMING)
def test_bindings_of_streaming_cascades(cascade: str, sizes: dict[str, int], over: str, cycles: Fraction) -> None:
    found = steady_schedule(
        fm.load_cascade(cascade), fm.load_workload("BERT@4K"), MACHINE, over=over, sizes=sizes, assume=ASSUMED
    )
    assert violations(found) == ()
    assert (found.interval_cycles, found.gap) == (cycles, 0)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", fm.list_cascades())
def test_every_cascade_has_a_proven_binding_or_a_reason(name: str) -> None:
    cascade, workload = fm.load_cascade(name), fm.load_workload("BERT@4K")
    try:
        for over in step_ranks(cascade, workload, MACHINE):
            found = steady_schedule(cascade, workload, MACHINE, over=over, assume=ASSUMED)
            assert violations(found) == ()
            assert found.gap == 0
    except fm.InputError as error:
        assert str(error).split("\n")[0]


def test_assignment_is_the_best_of_all() -> None:
    """Every assignment of the causal cascade's Einsums to arrays, scheduled one by one."""
    cascade, workload = fm.load_cascade("attention-1pass-causal"), fm.load_workload("BERT@4K")
    found = steady_schedule(cascade, workload, MACHINE, over="m1")
    options = _options(found)
    passed = handoffs(cascade)
    problem = plan(fm.load_cascade("attention-1pass"), MACHINE, workload, fm.load_dataflow("fusemax-binding"))[0]

    def graph(pieces: tuple[Piece, ...]) -> TaskGraph:
        return task_graph("all", pieces, passed, {s.name: s for s in problem.spaces}, {}, ["m1"])

    small = options[-6:]
    chosen = least_interval(Assignment(options=small, graph=graph))
    every = [schedule(graph(pieces), compact=False).interval_cycles for pieces in itertools.product(*small)]
    assert chosen.interval_cycles == min(every)


def _options(found: Schedule) -> tuple[tuple[Piece, ...], ...]:
    """Pieces with a made-up cost on the other array: twice, or half for every third task."""
    other = {"array_1d": "array_2d", "array_2d": "array_1d"}
    options = []
    for i, t in enumerate(found.graph.tasks):
        cycles = Fraction(t.duration, found.graph.ticks_per_cycle)
        away = cycles / 2 if i % 3 == 0 else 2 * cycles
        options.append(
            (
                Piece(einsum=t.name, array=t.resource, cycles=cycles, every=t.every),
                Piece(einsum=t.name, array=other[t.resource], cycles=away, every=t.every),
            )
        )
    return tuple(options)


def test_two_passes_have_no_common_iteration() -> None:
    with pytest.raises(fm.InputError, match="SN1 reads GM1, which is complete only after all iterations over m"):
        steady_graph(fm.load_cascade("agent"), fm.load_workload("BERT@4K"), MACHINE, over="m")


def test_unknown_names_are_refused() -> None:
    cascade, workload = fm.load_cascade("attention-1pass"), fm.load_workload("BERT@4K")
    with pytest.raises(fm.InputError, match='no Einsum of attention-1pass is stepped over "m"'):
        steady_graph(cascade, workload, MACHINE, over="m")
    problem, mapping = plan(cascade, MACHINE, workload, fm.load_dataflow("fusemax-binding"))
    with pytest.raises(fm.InputError, match='fusemax-binding has no phase "atention"'):
        tasks_of(cascade, problem, mapping, MACHINE, phase="atention")
    with pytest.raises(fm.InputError, match="no array of fusemax-cloud computes relu"):
        steady_graph(fm.load_cascade("mala-streaming"), workload, MACHINE)


@pytest.mark.parametrize(("e", "f"), [(64, 64), (192, 128), (64, 128), (128, 64), (576, 512)])
def test_interval_for_unequal_features_is_at_most_the_published_one(e: int, f: int) -> None:
    """Where keys are wider than values the stages of the published binding leave a cycle that is not needed."""
    base, cascade = fm.load_workload("BERT@4K"), fm.load_cascade("attention-1pass")
    size = {"E": e, "F": f}
    ranks = tuple(dataclasses.replace(r, size=size.get(r.name, r.size)) for r in base.ranks)
    workload = dataclasses.replace(base, ranks=ranks)
    problem, mapping = plan(cascade, MACHINE, workload, fm.load_dataflow("fusemax-binding"))
    found = schedule(tasks_of(cascade, problem, mapping, MACHINE))
    assert violations(found) == ()
    best = max(Fraction(e + f + 9), 2 * f + 10 + Fraction(f, 16))
    assert found.interval_cycles == best <= published(e, f, 16)
    assert (best < published(e, f, 16)) == (e > f)


DOCUMENT = Path(__file__).parent.parent / "docs" / "binding.md"
ROWS = [[c.strip() for c in line.strip("|\n").split("|")] for line in DOCUMENT.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("row", [r for r in ROWS if r[0] in fm.list_cascades()], ids=lambda r: " ".join(r[:2]))
def test_the_document_shows_the_bindings_of_cascades(row: list[str]) -> None:
    name, over, *numbers, readers = row
    found = steady_schedule(
        fm.load_cascade(name),
        fm.load_workload("BERT@4K"),
        MACHINE,
        over=over,
        sizes={"G": 256} if name == "agent-streaming" else {},
        assume=ASSUMED,
    )
    ticks, busy = found.graph.ticks_per_cycle, dict(found.resource_bounds)
    recurrence = "-" if found.recurrence is None else float(found.recurrence.ratio / ticks)
    shown = [busy["array_2d"] / ticks, busy["array_1d"] / ticks, recurrence, float(found.interval_cycles), found.stages]
    assert [n if n == "-" else float(n) for n in numbers] == shown
    assert {t.name for t in found.graph.tasks if t.resource == "array_1d" and t.duration} == {*readers.split()}


@pytest.mark.parametrize("row", [r for r in ROWS if "@" in r[0] and len(r) == 8], ids=lambda r: r[0])
def test_the_document_shows_fusemax(row: list[str]) -> None:
    found = schedule(fusemax(row[0], moved=True))
    ticks, busy = found.graph.ticks_per_cycle, dict(found.resource_bounds)
    assert found.recurrence is not None
    ratio = float(found.recurrence.ratio / ticks)
    cycles = [busy[r] / ticks for r in ("array_2d", "array_1d")]
    assert [float(n) for n in (*row[1:3], *row[4:6])] == [*cycles, ratio, float(found.interval_cycles)]
    assert float(row[3]) == pytest.approx(busy["dram"] / ticks, abs=0.005)
    sizes = fm.load_workload(row[0]).sizes
    e, f, chunks = sizes["E"], sizes["F"], dict(found.graph.loops)["m1"]
    assert float(row[6]) == published(e, f, chunks)
    assert float(row[7]) == max(e + 1, 1 + Fraction(f, chunks)) + 256 + 1 + 8 + 2 * f


@pytest.mark.parametrize(
    ("name", "arch", "dataflow", "phase"),
    [
        ("attention-1pass", "fusemax-cloud", "fusemax-binding", "attention"),
        ("attention-1pass", "flat-cloud", "fusemax-cascade", "attention"),
        ("attention-3pass", "unfused-cloud", "unfused", "scores"),
        ("attention-3pass", "unfused-cloud", "unfused", "values"),
    ],
)
def test_interval_times_iterations_is_the_time_of_the_phase(name: str, arch: str, dataflow: str, phase: str) -> None:
    """The closed form and the schedule share no code beyond cycles per point; both are bound by one resource here."""
    report = fm.evaluate(name, arch=arch, workload="BERT@4K", dataflow=dataflow)
    cascade, machine = fm.load_cascade(name), fm.load_arch(arch)
    problem, mapping = plan(cascade, machine, fm.load_workload("BERT@4K"), fm.load_dataflow(dataflow))
    words = transfers(problem, mapping, machine)
    found = schedule(tasks_of(cascade, problem, mapping, machine, phase=phase, transfers=words))
    iterations = math.prod(bound for _, bound in found.graph.loops)
    timed = next(p for p in report.phases if p.name == phase)
    seconds = float(found.interval_cycles) * iterations / report.clock_hz
    assert seconds == pytest.approx(max(timed.compute_s, timed.memory_s))
