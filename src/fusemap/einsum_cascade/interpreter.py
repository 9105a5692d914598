"""The meaning of a cascade: its execution on NumPy arrays.

Ranks without a recurrence are computed as whole arrays, iterative ranks step by step, sums of products
as matrix products. An element is absent where a filter leaves it out or an operand it needs is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.interpreter_cells import Cells, Floats, Value
from fusemap.einsum_cascade.interpreter_contract import contract, factors
from fusemap.einsum_cascade.interpreter_inputs import input_cells
from fusemap.einsum_cascade.interpreter_ranked import ranked
from fusemap.einsum_cascade.interpreter_schedule import Loop, Pool, Step, schedule
from fusemap.einsum_cascade.interpreter_sizes import Extents, extents_of
from fusemap.einsum_cascade.interpreter_space import Booleans, Space, all_hold
from fusemap.einsum_cascade.interpreter_values import (
    Machine,
    UnwrittenError,
    apply,
    evaluate,
    joined,
    reduce_value,
    restrict,
    spread,
)
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.scope import (
    conditions_of,
    depends_on_data,
    output_variables,
    outputs,
    rank_variables,
    variables_of,
)
from fusemap.einsum_cascade.types import Cascade, Chain, Einsum, Reduce, TensorName, VarName

MAX_POINTS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A computed tensor: values, 0 where absent, and where an element is present (None: everywhere)."""

    values: Floats
    present: Booleans | None = None

    def array(self) -> NDArray[Any]:
        """A plain array if every element is present, else a masked array (mask True where absent)."""
        return self.values if self.present is None else np.ma.MaskedArray(self.values, mask=~self.present)


def run(
    cascade: Cascade,
    sizes: Mapping[str, int],
    inputs: Mapping[str, ArrayLike],
    *,
    dtype: DTypeLike = np.float64,
    operators: Operators = BUILTIN,
    tensors: Literal["outputs", "all"] = "outputs",
) -> dict[str, NDArray[Any]]:
    """The outputs (or all tensors) of a cascade on given inputs, as arrays by tensor name.

    An output with absent elements is a `numpy.ma.MaskedArray`, masked there, with 0 in its data; an
    output without is a plain array. A masked input is absent where it is masked. `sizes` gives the
    extent of every shape that no other determines. Sums may be taken in any order. Raises InputError
    for a missing size or input, a wrong shape, NaN in an input, an element that is read before it is
    written, or a value of an index tensor that is no coordinate of the rank it is used for.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> causal = parse("input A[k]\\nshape I = K\\nS[i] = sum[k: k<i] A[k]")
    >>> run(causal, {"K": 4}, {"A": [1.0, 2.0, 3.0, 4.0]})["S"].tolist()
    [None, 1.0, 3.0, 6.0]
    """
    found = execute(cascade, sizes, inputs, dtype=dtype, operators=operators)
    names = outputs(cascade) if tensors == "outputs" else tuple(found)
    return {name: found[name].array() for name in names}


def execute(
    cascade: Cascade,
    sizes: Mapping[str, int],
    inputs: Mapping[str, ArrayLike],
    *,
    dtype: DTypeLike = np.float64,
    operators: Operators = BUILTIN,
    matrix_products: bool = True,
    extents: Extents | None = None,
) -> dict[TensorName, Tensor]:
    """All tensors of a cascade, inputs first, with their presence; see `run`.

    `matrix_products=False` forms every product before it is summed, the slow way, as a check. `extents` are those
    of the cascade under `sizes`, if they are known already.
    """
    extents = extents or extents_of(cascade, sizes)
    number = np.dtype(dtype)
    if not np.issubdtype(number, np.floating):
        raise input_error(f"a cascade runs on floating-point numbers, not on {number}")
    cells = input_cells(cascade, extents, inputs, number)
    cells |= {e.name: Cells.empty(extents.tensors[e.name], number) for e in (*cascade.inits, *cascade.einsums)}
    machine = Machine(cascade=cascade, cells=cells, operators=operators, dtype=number)
    with np.errstate(all="ignore"):
        _steps(machine, extents, schedule(cascade), {}, matrix_products)
    return {name: _tensor(c) for name, c in cells.items()}


def _tensor(cells: Cells) -> Tensor:
    cells.settle()
    return Tensor(values=cells.values, present=cells.present)


def _steps(
    machine: Machine, extents: Extents, steps: Sequence[Step], at: Mapping[VarName, int], matrix_products: bool
) -> None:
    """Run steps with the variables of the loops around them at the coordinates in `at`."""
    for step in steps:
        if isinstance(step, Einsum):
            _run_einsum(machine, extents, step, at, matrix_products)
            if not at:
                machine.cells[step.name].settle()
        elif isinstance(step, Loop):
            for i in range(extents.ranges[step.var]):
                _steps(machine, extents, step.body, {**at, step.var: i}, matrix_products)
        else:
            _run_pool(machine, extents, step, at, matrix_products)


def _run_pool(machine: Machine, extents: Extents, pool: Pool, at: Mapping[VarName, int], matrix_products: bool) -> None:
    """Run every coordinate of every member as soon as all it reads is written, in rounds."""
    pending: list[tuple[tuple[int, ...], int]] = []
    variables = [tuple(v for v in pool.variables if v in output_variables(m.output)) for m in pool.members]
    for member, names in enumerate(variables):
        pending += [(point, member) for point in product(*(range(extents.ranges[v]) for v in names))]
    pending.sort()
    while pending:
        late: list[tuple[tuple[int, ...], int]] = []
        for point, member in pending:
            held = {**at, **dict(zip(variables[member], point, strict=True))}
            try:
                _run_einsum(machine, extents, pool.members[member], held, matrix_products)
            except UnwrittenError:
                late.append((point, member))
                if len(late) == len(pending):
                    raise
        pending = late


def _run_einsum(
    machine: Machine, extents: Extents, einsum: Einsum, at: Mapping[VarName, int], matrix_products: bool
) -> None:
    """Run an init or Einsum over its space, the variables in `at` held to a coordinate."""
    variables = variables_of(einsum)
    ranges = tuple((at[v], at[v] + 1) if v in at else (0, extents.ranges[v]) for v in variables)
    space = Space(variables=variables, ranges=ranges, shapes=extents.shapes)
    machine.cells[einsum.name].write(einsum.output, _reduced(machine, einsum, space, matrix_products), space)


def _reduced(machine: Machine, einsum: Einsum, space: Space, matrix_products: bool) -> Value:
    """The right-hand side of an Einsum, reduced axes with length 1."""
    chains = conditions_of(einsum)
    if einsum.reduce is None:
        cut = all_hold(chains, space)
        return restrict(evaluate(machine, einsum.expr, space, cut), cut)
    if einsum.reduce.places is not None:
        return ranked(machine, einsum, einsum.reduce, einsum.reduce.places, space, MAX_POINTS_AT_ONCE)
    axes = tuple(space.axis(v.var) for v in einsum.reduce.variables)
    large_gather = depends_on_data(einsum) and prod(space.lengths) > MAX_POINTS_AT_ONCE
    if matrix_products and not large_gather and _is_product_sum(machine.operators, einsum.reduce, chains):
        cut = all_hold(chains, space)
        parts = [evaluate(machine, factor, space, cut) for factor in factors(einsum.expr)]
        total = contract(parts, tuple(a for a in axes if space.lengths[a] > 1)) if len(parts) > 1 else None
        if total is not None:
            return restrict(total, cut)
    return _summed(machine, einsum, einsum.reduce, space, axes)


def _is_product_sum(operators: Operators, reduce: Reduce, chains: Sequence[Chain]) -> bool:
    """Does a sum of products of the built-in operators meet only conditions on what it keeps?"""
    filtered = {v for chain in chains for operand in chain.operands for v in rank_variables(operand)}
    builtin = operators.reduction(reduce.operator) == BUILTIN.reduction("sum")
    return builtin and filtered.isdisjoint(v.var for v in reduce.variables)


def _summed(machine: Machine, einsum: Einsum, reduce: Reduce, space: Space, axes: tuple[int, ...]) -> Value:
    """As `_reduced`, point by point; a large space in halves, so that memory stays bounded."""
    operator = machine.operators.reduction(reduce.operator)
    if prod(space.lengths) <= MAX_POINTS_AT_ONCE:
        cut = all_hold(conditions_of(einsum), space)
        value = restrict(evaluate(machine, einsum.expr, space, cut), cut)
        return reduce_value(operator, spread(value, space.lengths), axes, machine.dtype)
    kept = [a for a in range(len(space.lengths)) if a not in axes and space.lengths[a] > 1]
    axis = max(kept or axes, key=lambda a: space.lengths[a])
    left, right = (_summed(machine, einsum, reduce, half, axes) for half in space.halves(axis))
    return joined(left, right, axis) if kept else apply(operator, (left, right), machine.dtype)
