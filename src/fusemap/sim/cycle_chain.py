"""Einsums without a recurrence, executed cycle by cycle one after another: products on the 2D array, rows on lanes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.accounting import PRINCIPLED
from fusemap.sim.cycle_accesses import Accesses
from fusemap.sim.cycle_compile import random_inputs
from fusemap.sim.cycle_errors import errors
from fusemap.sim.cycle_matmul import run_matmul
from fusemap.sim.cycle_numbers import Floats, number_format
from fusemap.sim.cycle_softmax import run_softmax
from fusemap.sim.cycle_types import Fault
from fusemap.sim.fused_words import Words
from fusemap.sim.latency import einsum_time

_EXP = (("exp",), ("sub", "exp"))  # chains that a unit may compute in one cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainPart:
    """Einsums that ran together on one array: cycles = fill + repeats * interval + drain; the formula has `formula`.

    `repeats`: resting tiles of a product, rows of a softmax. `rests` is what stays in the elements' registers.
    """

    einsums: tuple[str, ...]
    array: str
    rests: str
    formula: int
    cycles: int
    repeats: int
    interval: int
    fill: int
    drain: int
    registers: int
    depth: int
    accesses: tuple[Accesses, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRun:
    """The parts, and the outputs of the cascade; `rounding` and `exp_error` as in `CycleRun`."""

    cascade: str
    arch: str
    number: str
    parts: tuple[ChainPart, ...]
    outputs: AbstractMapping[str, Floats]
    rounding: AbstractMapping[str, float]
    exp_error: AbstractMapping[str, float]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those of all parts."""
        return tuple(fault for part in self.parts for fault in part.faults)


def run_chain(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    *,
    number: str = "float64",
    inputs: AbstractMapping[str, ArrayLike] | None = None,
    seed: int = 0,
) -> ChainRun:
    """Run every product on its array of two dimensions, and the Einsums of each array of lanes together, in order.

    What one part computes the next one reads; they do not overlap. InputError for an Einsum that no rule covers.
    """
    given = random_inputs(problem, cascade, seed) if inputs is None else inputs
    values = {name: number_format(number).round(np.asarray(v, dtype=np.float64)) for name, v in given.items()}
    drawn, parts = dict(values), []
    flat = {array.name for array in machine.arrays if len(array.dims) == 1}
    array_of = {s.name: mapping.nest(s.name).array for s in problem.spaces}
    for array, names in itertools.groupby(array_of, key=lambda name: array_of[name]):
        einsums = tuple(names)
        if array in flat:
            parts.append(_rows(cascade, problem, mapping, machine, array, einsums, values, number))
        else:
            parts += [_product(cascade, problem, mapping, machine, e, values, number) for e in einsums]
    outputs = {s.name: values[s.name] for s in problem.spaces if s.name in problem.external}
    unit = any(array.find(c) is not None and array.operator(*c).cycles == 1 for array in machine.arrays for c in _EXP)
    rounding, exp_error = errors(cascade, Words(cascade, problem), drawn, outputs, exp_unit=unit)
    return ChainRun(
        cascade=cascade.name,
        arch=machine.name,
        number=number,
        parts=tuple(parts),
        outputs=outputs,
        rounding=rounding,
        exp_error=exp_error,
    )


def _product(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    einsum: str,
    values: dict[str, Floats],
    number: str,
) -> ChainPart:
    run = run_matmul(cascade, problem, mapping, machine, einsum, values, number=number)
    values[einsum] = run.output
    return ChainPart(
        einsums=(einsum,),
        array=mapping.nest(einsum).array,
        rests=run.rests,
        formula=_formula(problem, mapping, machine, (einsum,)),
        cycles=run.cycles,
        repeats=run.tiles,
        interval=run.tile,
        fill=run.fill,
        drain=run.drain,
        registers=run.registers,
        depth=run.depth,
        accesses=run.accesses,
        faults=run.faults,
    )


def _rows(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    array: str,
    einsums: tuple[str, ...],
    values: dict[str, Floats],
    number: str,
) -> ChainPart:
    run = run_softmax(cascade, problem, mapping, machine, array, values, number=number)
    values.update(run.outputs)
    return ChainPart(
        einsums=einsums,
        array=array,
        rests="",
        formula=_formula(problem, mapping, machine, einsums),
        cycles=run.cycles,
        repeats=run.rows,
        interval=run.row,
        fill=run.fill,
        drain=run.drain,
        registers=run.registers,
        depth=run.depth,
        accesses=run.accesses,
        faults=run.faults,
    )


def _formula(problem: Problem, mapping: Mapping, machine: Machine, einsums: tuple[str, ...]) -> int:
    """Cycles of the Einsums by the closed form."""
    return sum(einsum_time(problem.space(e), mapping.nest(e), machine, PRINCIPLED).cycles for e in einsums)
