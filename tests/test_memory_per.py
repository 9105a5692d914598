"""Memories of which each coordinate of an array's dimension has one, against an enumeration of the instances."""

from __future__ import annotations

import pytest

from fusemap.archspec import parse_arch
from fusemap.archspec.area import area_rows
from fusemap.archspec.types import Machine
from fusemap.archspec.workloads import parse_workload
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade import parse
from fusemap.mappers.dataflow import parse_dataflow
from fusemap.mappers.dataflow_text import dataflow_text
from fusemap.mappers.space import make_problem
from fusemap.sim.evaluate import plan
from fusemap.sim.executor import execute
from fusemap.sim.reuse import analyse

ARCH = """
extends: fusemax-cloud
source: made up
parameters: {pe: 4}
memories:
  global_buffer: {capacity: 16 MiB}
  tile: {component: mac, capacity: CAPACITY, width: 16 bit, per: rows}
"""
CASCADE = parse("cascade product\ninput A[k,m], B[k,n]\noutput Z\nZ[m,n] = A[k,m] * B[k,n]\n")
WORKLOAD = parse_workload("source: here\nranks: {K: 6, M: 8, N: 5}\n")
DATAFLOW = """
description: rows of Z on rows of the array, each with its own memory for B
source: made up
cascades: [product]
nests:
  nest:
    array: array_2d
    levels:
      - {memory: dram, loops: [m: 2, k: 2]}
      - {spatial: rows, loops: [m: 4]}
      - {memory: tile, loops: [n: 5]}
      - {memory: array_2d.registers, loops: [k: 3]}
einsums:
  Z: {nest: nest, keep: {tile: [B]}}
binding:
  - phase: product
    stages: [{name: all, work: {array_2d: [Z]}}]
"""


def machine(text: str = ARCH, capacity: str = "30 B") -> Machine:
    return parse_arch(text.replace("CAPACITY", capacity))


def test_each_coordinate_fills_its_own() -> None:
    problem, mapping = plan(CASCADE, machine(), WORKLOAD, parse_dataflow(DATAFLOW))
    found = {(c.operand.tensor, c.memory): c for c in analyse(problem.spaces[0], mapping.nest("Z"))}
    brought = sum(1 for _ in range(2) for _ in range(2) for row in range(4) for _ in range(5) for _ in range(3))
    tile, dram = found["B", "tile"], found["B", "dram"]
    assert tile.fills * tile.instances == brought == 4 * dram.reads  # the memory is read once for all rows
    assert tile.instances == 4


def test_capacity_is_that_of_one() -> None:
    with pytest.raises(DoesNotFit, match="tile in phase product"):
        plan(CASCADE, machine(capacity="28 B"), WORKLOAD, parse_dataflow(DATAFLOW))


def test_area_is_that_of_all() -> None:
    rows = {row.structure: row.count for row in area_rows(machine())}
    assert rows["tile"] == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("per: rows", "per: row", 'no array has a dimension "row"'),
        ("per: rows", "per: rows, bandwidth: 1 GB/s", "the bandwidth of a memory that is one per rows is not modelled"),
        ("per: rows}", "per: rows}\n  last: {component: mac, width: 16 bit}", "last is one of the chip, but tile"),
    ],
)
def test_faults_of_a_machine(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        machine(ARCH.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "spatial: rows, loops: [m: 4]",
            "spatial: columns, loops: [m: 4]",
            "tile stands inside the fanout over columns",
        ),
        ("      - {spatial: rows, loops: [m: 4]}\n", "", "needs that fanout outside"),
    ],
)
def test_faults_of_a_nest(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(CASCADE, machine(), WORKLOAD, parse_dataflow(DATAFLOW.replace(old, new)))


GRID = ARCH.replace(
    "per: rows}", "per: [rows, columns]}\n  last: {component: mac, width: 16 bit, per: [rows, columns]}"
)
SPREAD = """
description: Z on the array; each element has a memory for B and one for Z, and nothing for A
source: made up
cascades: [product]
nests:
  nest:
    array: array_2d
    levels:
      - {memory: dram, loops: [m: 2, k: 2]}
      - {spatial: rows, loops: [m: 4]}
      - {spatial: columns, loops: [k: 3]}
      - {memory: tile, loops: [n: 5], keep: [B]}
      - {memory: last, keep: [Z]}
einsums:
  Z: {nest: nest}
binding:
  - phase: product
    stages: [{name: all, work: {array_2d: [Z]}}]
"""


def test_memories_of_each_element_and_what_the_innermost_keeps() -> None:
    problem, mapping = plan(CASCADE, machine(GRID), WORKLOAD, parse_dataflow(SPREAD))
    found = {(c.operand.tensor, c.memory): c for c in analyse(problem.spaces[0], mapping.nest("Z"))}
    assert set(found) == {("A", "dram"), ("B", "dram"), ("B", "tile"), ("Z", "dram"), ("Z", "last")}
    assert {c.instances for (_, memory), c in found.items() if memory != "dram"} == {12}
    executed = {(t.operand.tensor, t.memory): t for t in execute(problem.spaces[0], mapping.nest("Z")).traffic}
    for key, count in found.items():
        each, total = (count.reads, count.fills, count.updates), executed[key].total
        assert tuple(n * count.instances for n in each) == (total.reads, total.fills, total.updates), key
    assert found["A", "dram"].reads == 2 * 2 * 5 * 4 * 3  # every step reads it: nothing keeps it on the way


def test_what_the_innermost_keeps_is_written_and_read_back() -> None:
    problem, mapping = plan(CASCADE, machine(GRID), WORKLOAD, parse_dataflow(SPREAD))
    text = dataflow_text(problem, mapping, tiles={}, description="again", source="here")
    assert plan(CASCADE, machine(GRID), WORKLOAD, parse_dataflow(text))[1].einsums == mapping.einsums


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("per: [rows, columns]}\n", "per: [rows, rowz]}\n", 'no array has a dimension "rowz"'),
        (
            "bit, per: [rows, columns]}\n  last",
            "bit, per: [rows, lanes]}\n  last",
            "is per dimensions of several arrays",
        ),
        ("LAST", "", "last is not per columns, but tile"),
    ],
)
def test_faults_of_several_dimensions(old: str, new: str, message: str) -> None:
    text = GRID if "last is" not in message else GRID[::-1].replace("[rows, columns]"[::-1], "[rows]"[::-1], 1)[::-1]
    with pytest.raises(InputError, match=message):
        machine(text.replace(old, new) if text is GRID else text)


def test_a_memory_of_each_element_needs_both_fanouts() -> None:
    with pytest.raises(InputError, match="needs that fanout outside"):
        text = SPREAD.replace("      - {spatial: columns, loops: [k: 3]}\n", "")
        plan(CASCADE, machine(GRID), WORKLOAD, parse_dataflow(text.replace("k: 2", "k: 6")))


def test_a_view_of_a_view_shows_what_is_in_memory() -> None:
    text = """cascade twice
shape M = M1*M0, M0 = K0*L
input A[m]
output Z
B[m1,m0]   = A[m1*M0+m0]
C[m1,k0,l] = B[m1, k0*L+l]
Z[m1]      = sum[k0,l] C[m1,k0,l]
"""
    problem = make_problem(parse(text), parse_workload("source: here\nranks: {M: 24, M0: 6, L: 3}\n"), {})
    assert problem.external == {"A", "B", "C", "Z"}
    assert problem.shown("C") == "A" and problem.reads == {"Z": ("A",)}
