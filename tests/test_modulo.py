"""The modulo scheduler against enumeration, CP-SAT and a checker that lays iterations out."""

from __future__ import annotations

import dataclasses
import json

import pytest
from examples import examples
from hypothesis import given
from modulo_oracle import enumerated_interval, graphs, least_span, solved_interval

from fusemap.diagnostics import InputError
from fusemap.mappers.modulo import Dependence, Task, TaskGraph, schedule
from fusemap.mappers.modulo_check import violations


@examples(50, 150, deadline=None)
@given(graphs(4, 3))
def test_interval_is_the_least_by_enumeration(graph: TaskGraph) -> None:
    found = schedule(graph)
    assert found.interval == found.proven == enumerated_interval(graph)
    assert found.interval >= max(found.resource_bound, found.recurrence_bound)
    assert violations(found) == ()


@examples(20, 60, deadline=None)
@given(graphs(3, 2))
def test_span_is_the_least_by_enumeration(graph: TaskGraph) -> None:
    found = schedule(graph)
    assert found.span == found.span_bound
    if found.span <= 12:
        assert found.span == least_span(graph, found.interval, found.span + 1)


@examples(14, 40, deadline=None)
@given(graphs(9, 9))
def test_interval_is_the_least_by_cp_sat(graph: TaskGraph) -> None:
    pytest.importorskip("ortools")
    found = schedule(graph)
    assert found.interval == found.proven == solved_interval(graph)
    assert violations(found) == ()


@examples(50, 150, deadline=None)
@given(graphs(12, 9))
def test_larger_graphs_are_right_and_bounds_hold(graph: TaskGraph) -> None:
    found = schedule(graph, most_nodes=300)
    assert violations(found) == ()
    assert found.resource_bound <= found.proven <= found.interval
    assert found.span_bound <= found.span
    json.dumps(found.to_json())


def _ring(distance: int = 1, latency: int = 5) -> TaskGraph:
    return TaskGraph(
        name="ring",
        tasks=(Task(name="A", resource="x", duration=2), Task(name="B", resource="y", duration=2)),
        dependences=(
            Dependence(producer="A", consumer="B", latency=latency),
            Dependence(producer="B", consumer="A", latency=2, distance=distance),
        ),
    )


def test_bounds_are_stated_apart() -> None:
    found = schedule(_ring(distance=2, latency=9))
    assert found.resource_bounds == (("x", 2), ("y", 2))
    assert found.recurrence is not None
    assert (set(found.recurrence.tasks), found.recurrence.ratio) == ({"A", "B"}, 5.5)
    assert (found.recurrence_bound, found.interval, found.gap) == (6, 6, 0)


def test_checker_sees_a_forgotten_recurrence() -> None:
    graph = _ring()
    faulty = dataclasses.replace(graph, dependences=tuple(d for d in graph.dependences if not d.distance))
    found = dataclasses.replace(schedule(faulty), graph=graph)
    assert found.interval == 2
    assert any("A[1] starts at" in fault for fault in violations(found))


def test_checker_sees_an_overlap() -> None:
    found = schedule(_ring())
    graph = dataclasses.replace(
        found.graph, tasks=tuple(dataclasses.replace(t, resource="x") for t in found.graph.tasks)
    )
    assert violations(dataclasses.replace(found, graph=graph, interval=3))


def test_interval_above_both_bounds_is_proven() -> None:
    """Two tasks of 3 on one resource, and one of 2 that must start 4 after the first: bound 8, needs more."""
    tasks = tuple(Task(name=n, resource="x", duration=d) for n, d in (("A", 3), ("B", 3), ("C", 2)))
    graph = TaskGraph(
        name="blocked",
        tasks=tasks,
        dependences=(
            Dependence(producer="A", consumer="C", latency=4),
            Dependence(producer="C", consumer="A", latency=4, distance=1),
        ),
    )
    found = schedule(graph)
    assert (found.resource_bound, found.recurrence_bound) == (8, 8)
    assert found.interval == found.proven == enumerated_interval(graph) > 8


def test_gap_is_reported_when_the_search_stops_early() -> None:
    tasks = tuple(Task(name=n, resource="x", duration=d) for n, d in (("A", 3), ("B", 3), ("C", 2)))
    ring = (
        Dependence(producer="A", consumer="C", latency=4),
        Dependence(producer="C", consumer="A", latency=4, distance=1),
    )
    found = schedule(TaskGraph(name="blocked", tasks=tasks, dependences=ring), most_nodes=0)
    assert found.proven == 8 < found.interval
    assert found.gap == found.interval - 8
    assert violations(found) == ()


def test_tasks_that_wait_for_each_other_are_refused() -> None:
    with pytest.raises(InputError, match="wait for each other within one iteration: "):
        schedule(_ring(distance=0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Task(name="A", resource="x", duration=-1), "duration -1 < 0"),
        (lambda: Dependence(producer="A", consumer="B", latency=1, delay=2), "not within the latency 1"),
        (lambda: Dependence(producer="A", consumer="B", latency=1, distance=-1), "distance -1 < 0"),
        (lambda: dataclasses.replace(_ring(), tasks=_ring().tasks * 2), "share a name"),
        (lambda: dataclasses.replace(_ring(), tasks=_ring().tasks[:1]), "name .'B'."),
    ],
)
def test_graphs_that_make_no_sense_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
