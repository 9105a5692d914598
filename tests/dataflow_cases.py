"""Machines, workloads and sizes for tests of dataflows, and which cascades no dataflow maps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from fusemap.archspec import parse_arch, parse_workload
from fusemap.archspec.types import Machine, Workload
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.points import is_view, point_operators
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow, names

MACHINES = {
    "flat": "flat-cloud",
    "unfused": "unfused-cloud",
    "fusemax-cascade": "flat-cloud",
    "fusemax-arch": "fusemax-cloud",
    "fusemax-binding": "fusemax-cloud",
}
OPEN = {"M0": 64, "N0": 12, "G": 2, "K": 96, "N": 48, "I": 40, "J": 40, "T": 3}  # 16 and 4 else


@cache
def dataflow(name: str) -> Dataflow:
    return load_dataflow(name)


OF_LAYERS = {"linear"}  # test_linear.py: no built-in workload has the sizes of a layer


def pairs() -> Iterator[tuple[str, str]]:
    """Every dataflow with each cascade that it says it is for."""
    for name in sorted({*names()} - OF_LAYERS):
        for cascade in load_dataflow(name).model.cascades:
            yield name, cascade


@cache
def other_machine(
    base: str,
    rows: int = 256,
    columns: int = 256,
    lanes: int = 256,
    clock: str = "940 MHz",
    read_pj: float = 100,
    write_pj: float = 110,
) -> Machine:
    """A built-in machine with other arrays and clock, and a buffer whose energy does not depend on its size."""
    text = f"""\
source: a test
extends: {base}
clock: {clock}
memories:
  global_buffer: {{component: any_buffer}}
arrays:
  array_2d: {{dims: {{rows: {rows}, columns: {columns}}}}}
  array_1d: {{dims: {{lanes: {lanes}}}}}
components:
  any_buffer: {{energy: {{read: {read_pj} pJ, write: {write_pj} pJ}}, area: 1 um^2}}
"""
    return parse_arch(text, file="other.yaml")


def with_buffer(machine: Machine, capacity_bytes: int) -> Machine:
    """The machine with another capacity of its buffer."""
    memories = tuple(
        replace(m, capacity_bytes=capacity_bytes) if m.name == "global_buffer" else m for m in machine.memories
    )
    return replace(machine, memories=memories)


def attention(e: int, f: int, m: int, p: int, heads: int = 3, batch: int = 2) -> Workload:
    """A workload whose key and value features, and key and query lengths, may differ."""
    ranks = f"{{B: {batch}, H: {heads}, E: {e}, F: {f}, M: {m}, P: {p}}}"
    return parse_workload(f"source: a test\nranks: {ranks}\nbatch: [B, H]\n", file="other.yaml")


def open_sizes(cascade: Cascade, workload: Workload) -> dict[str, int]:
    """Sizes for the shapes that neither the workload nor the `shape` lines give."""
    shapes = {str(shape) for shape in scope.known_shapes(cascade)}
    filled, chosen = fill_sizes(cascade, {name: size for name, size in workload.sizes.items() if name in shapes})
    return {str(name): OPEN.get(name, filled[name]) for name in chosen}


def data_dependent(cascade: Cascade) -> set[str]:
    """The Einsums of which only the data tell what they read."""
    return {str(e.name) for e in (*cascade.inits, *cascade.einsums) if scope.depends_on_data(e)}


def not_computed(cascade: Cascade, machine: Machine) -> set[str]:
    """The Einsums whose operators are no sequence of units of any one array."""
    found = set()
    for einsum in (e for e in cascade.einsums if not is_view(e)):
        point = point_operators(einsum)
        word = "".join(f"{operator} " for operator in (*point.map, point.reduce) if operator)
        units = ["|".join("".join(f"{o} " for o in u.pattern) for u in a.operators) for a in machine.arrays]
        if not any(re.fullmatch(f"({array})*", word) for array in units):
            found.add(str(einsum.name))
    return found
