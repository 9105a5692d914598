"""Interleaving of unit steps against enumeration of all orders; at full size against unrolled unit schedules."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest
from modulo_oracle import least_waiting, peak_waiting, rows_of

import fusemap as fm
from fusemap.mappers.interleave import Interleaving, Passing, Stream, interleave
from fusemap.mappers.modulo_check import violations
from fusemap.mappers.modulo_types import Dependence, Task, TaskGraph
from fusemap.mappers.modulo_units import streams_of, unit_schedule, waiting_words
from fusemap.mappers.tasks import tasks_of
from fusemap.sim.evaluate import plan

PASSINGS = (Passing(producer="S", consumer="R"), Passing(producer="P", consumer="R"))
BOTH = frozenset({"2d", "1d"})


def streams(e: int, f: int) -> tuple[Stream, ...]:
    """A dot product Q and a delivering S on one array, P and R on the other: R takes words of both S and P."""
    return (
        Stream(name="Q", resource="2d", steps=e),
        Stream(name="S", resource="2d", steps=f),
        Stream(name="P", resource="1d", steps=f),
        Stream(name="R", resource="1d", steps=f),
    )


@pytest.mark.parametrize("size", range(2, 7))
def test_best_pattern_alternates_on_both_arrays(size: int) -> None:
    found = interleave(streams(size, size), PASSINGS)
    assert (found.period, found.waiting) == (2 * size, 0)
    assert found.slot("2d") == ("S", "Q") * size
    assert found.slot("1d") == ("P", "R") * size


@pytest.mark.parametrize("size", range(2, 6))
def test_no_other_pattern_lets_no_word_wait(size: int) -> None:
    """Of all orders on both arrays, those without a waiting word are the alternating ones, begun at either step."""
    two, one = (rows_of([s for s in streams(size, size) if s.resource == r], 2 * size) for r in ("2d", "1d"))
    free = {
        (a, b)
        for a, b in product(two, one)
        for backlog in ((0, 0), (1, 1))
        if peak_waiting({"2d": a, "1d": b}, PASSINGS, backlog) == 0
    }
    assert free == {(("S", "Q") * size, ("P", "R") * size), (("Q", "S") * size, ("R", "P") * size)}


@pytest.mark.parametrize(("e", "f"), [(2, 2), (3, 3), (2, 3), (3, 2), (4, 2), (1, 3)])
def test_waiting_is_the_least_by_enumeration(e: int, f: int) -> None:
    assert interleave(streams(e, f), PASSINGS).waiting == least_waiting(streams(e, f), PASSINGS)


def test_waiting_where_reader_and_writer_share_an_array_by_enumeration() -> None:
    more = (*streams(2, 2)[:3], Stream(name="R", resource="2d", steps=2))
    found = interleave(more, PASSINGS)
    assert found.waiting == least_waiting(more, PASSINGS)
    rows = dict(found.slots)
    assert peak_waiting(rows, PASSINGS, found.backlog) == found.waiting


@pytest.mark.parametrize("size", [2, 3, 4, 6, 8, 12])
def test_without_interleaving_words_wait(size: int) -> None:
    free = interleave(streams(size, size), PASSINGS)
    one_whole = interleave(streams(size, size), PASSINGS, whole=frozenset({"2d"}))
    both_whole = interleave(streams(size, size), PASSINGS, whole=BOTH)
    assert free.period == one_whole.period == both_whole.period
    assert free.waiting == 0
    assert one_whole.waiting == -(-(size - 1) // 3)
    assert both_whole.waiting == size - 1
    for found in (one_whole, both_whole):
        assert peak_waiting(dict(found.slots), PASSINGS, found.backlog) == found.waiting


def _fusemax(workload: str) -> tuple[Interleaving, TaskGraph]:
    cascade, machine = fm.load_cascade("attention-1pass"), fm.load_arch("fusemax-cloud")
    problem, mapping = plan(cascade, machine, fm.load_workload(workload), fm.load_dataflow("fusemax-binding"))
    graph = tasks_of(cascade, problem, mapping, machine)
    return interleave(*streams_of(graph, cascade, problem, mapping, machine)), graph


@pytest.mark.parametrize(("workload", "f", "period"), [("BERT@4K", 64, 142), ("XLM@16K", 128, 268)])
def test_published_interleaving_is_found_at_full_size(workload: str, f: int, period: int) -> None:
    pattern, graph = _fusemax(workload)
    assert {(p.producer, p.consumer) for p in pattern.passings} == {("SLNV", "RNV"), ("SPNV", "RNV")}
    assert (pattern.period, pattern.waiting) == (period, 0)
    assert pattern.slot("array_2d")[: 2 * f] == ("SLNV", "BQK") * f
    assert pattern.slot("array_1d")[: 2 * f] == ("SPNV", "RNV") * f
    found = unit_schedule(pattern, graph)
    assert violations(found) == ()
    assert found.interval == found.proven == period
    assert waiting_words(found, pattern, graph) == 0


def test_a_reader_that_comes_too_early_is_caught() -> None:
    pattern, graph = _fusemax("BERT@4K")
    found = unit_schedule(pattern, graph)
    early = tuple((n, s - 1) if n == "RNV[5]" else (n, s) for n, s in found.starts)
    assert violations(dataclasses.replace(found, starts=early))


def test_a_word_that_waits_is_counted() -> None:
    pattern, graph = _fusemax("BERT@4K")
    found = unit_schedule(pattern, graph)
    late = tuple((n, s + 3) if n == "RNV[63]" else (n, s) for n, s in found.starts)
    assert waiting_words(dataclasses.replace(found, starts=late), pattern, graph) == 2


def test_steps_of_several_cycles() -> None:
    """A step of two cycles delivers in its second one and takes its word in the first one."""
    found = interleave(
        (Stream(name="A", resource="x", steps=2, cycles=2), Stream(name="B", resource="y", steps=2, cycles=2)),
        (Passing(producer="A", consumer="B"),),
    )
    assert (found.period, found.waiting) == (4, 0)
    assert found.to_json()["slots"] == {"x": ["A"] * 4, "y": ["B"] * 4}


def test_passings_that_do_not_match_are_refused() -> None:
    with pytest.raises(fm.InputError, match="S delivers 3 words, Q takes 2"):
        interleave(streams(2, 3), (Passing(producer="S", consumer="Q"),))
    with pytest.raises(fm.InputError, match="X hands words over but is no stream"):
        interleave(streams(2, 3), (Passing(producer="X", consumer="Q"),))


def test_streams_in_a_circle_are_refused() -> None:
    circle = (Passing(producer="S", consumer="P"), Passing(producer="P", consumer="S"))
    with pytest.raises(fm.InputError, match="hand words to each other in a circle"):
        interleave(streams(1, 2), circle)


def test_a_pattern_that_contradicts_a_dependence_is_refused() -> None:
    """RNV must not need SPNV of the same iteration and the other way round."""
    pattern, graph = _fusemax("BERT@4K")
    faulty = tuple(
        dataclasses.replace(d, distance=0) if (d.producer, d.consumer) == ("RNV", "SPNV") else d
        for d in graph.dependences
    )
    with pytest.raises(fm.InputError, match="never has what it needs"):
        unit_schedule(pattern, dataclasses.replace(graph, dependences=faulty))


def test_words_on_two_ways_agree() -> None:
    """A gives its words to B and C, B to C: a C that runs after both needs A's word to wait while B works."""
    three = tuple(Stream(name=n, resource=n, steps=3) for n in "ABC")
    ways = tuple(Passing(producer=p, consumer=c) for p, c in ("AB", "BC", "AC"))
    found = interleave(three, ways)
    ahead = dict(zip(ways, found.backlog, strict=True))
    assert ahead[ways[0]] + ahead[ways[1]] == ahead[ways[2]]
    assert (found.period, found.waiting) == (3, 1)


@pytest.mark.parametrize(
    "edges", [("AB", "BC"), ("BC", "AB"), ("AB", "BC", "AC"), ("AC", "BC"), ("AB", "AC", "BC", "CD")]
)
@pytest.mark.parametrize("resources", ["xyxz", "xyzw", "xyyx"])
@pytest.mark.parametrize("delay", [0, 3])
def test_patterns_of_other_shapes_keep_their_words(edges: tuple[str, ...], resources: str, delay: int) -> None:
    """Chains and forks, laid out as unit steps: all dependences hold and as many words wait as the pattern says."""
    place = dict(zip("ABCD", resources, strict=True))
    names = sorted({n for e in edges for n in e})
    late = {e: delay if place[e[0]] != place[e[1]] else 0 for e in edges}
    graph = TaskGraph(
        name="shape",
        tasks=tuple(Task(name=n, resource=place[n], duration=3) for n in names),
        dependences=tuple(Dependence(producer=e[0], consumer=e[1], latency=3 + late[e], delay=late[e]) for e in edges),
    )
    units = tuple(Stream(name=n, resource=place[n], steps=3) for n in names)
    pattern = interleave(units, tuple(Passing(producer=e[0], consumer=e[1]) for e in edges))
    if delay and not _one_offset_per_array(graph, place):
        with pytest.raises(fm.InputError, match="no one pattern fits"):
            unit_schedule(pattern, graph)
        return
    found = unit_schedule(pattern, graph)
    assert violations(found) == ()
    assert waiting_words(found, pattern, graph) == pattern.waiting


def _one_offset_per_array(graph: TaskGraph, place: dict[str, str]) -> bool:
    """Can every array be given one time before the others that makes up for the delays? Tried out."""
    arrays = sorted({place[t.name] for t in graph.tasks})
    hops = [(place[d.producer], place[d.consumer], d.delay) for d in graph.dependences]
    tries = (dict(zip(arrays, times, strict=True)) for times in product((0, 3, 6, 9), repeat=len(arrays)))
    return any(all(early[a] - early[b] == delay for a, b, delay in hops) for early in tries)
