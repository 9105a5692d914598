"""Ranked reductions: the coordinates of the largest elements, by place (`topk[m; j]`)."""

from __future__ import annotations

from math import prod

import numpy as np

from fusemap.einsum_cascade.interpreter_cells import Value
from fusemap.einsum_cascade.interpreter_contract import any_along
from fusemap.einsum_cascade.interpreter_lookups import both, require_exact
from fusemap.einsum_cascade.interpreter_space import Booleans, Space, all_hold
from fusemap.einsum_cascade.interpreter_values import Machine, evaluate, joined, restrict, spread
from fusemap.einsum_cascade.scope import conditions_of, rank_variables
from fusemap.einsum_cascade.types import Chain, Einsum, Reduce, VarName


def ranked(machine: Machine, einsum: Einsum, reduce: Reduce, places: VarName, space: Space, most_points: int) -> Value:
    """The right-hand side of an Einsum, the ranked axis with length 1 and the coordinates along that of the places.

    What is ranked is evaluated once for all places, at most about `most_points` points at a time.
    """
    axis, place_axis = space.axis(reduce.variables[0].var), space.axis(places)
    what = f"variable {reduce.variables[0].var}"
    require_exact(machine.cascade, reduce.span, what, space.ranges[axis][1], machine.dtype)
    kept = [a for a in range(len(space.lengths)) if a not in (axis, place_axis) and space.lengths[a] > 1]
    points = prod(n for a, n in enumerate(space.lengths) if a != place_axis)
    if points > most_points and kept:
        longest = max(kept, key=lambda a: space.lengths[a])
        left, right = (ranked(machine, einsum, reduce, places, half, most_points) for half in space.halves(longest))
        return joined(left, right, longest)
    start, stop = space.ranges[place_axis]
    scores = space.narrowed(place_axis, start, start + 1)
    asked = _asked(einsum, places, space.narrowed(axis, 0, 1))
    cut = both(_cut(einsum, places, scores), None if asked is None else any_along(asked, (place_axis,)))
    value = spread(restrict(evaluate(machine, einsum.expr, scores, cut), cut), scores.lengths)
    select = machine.operators.reduction(reduce.operator).function()
    chosen, found = select(value.values, value.present, axis, range(start, stop))
    result = Value(values=np.swapaxes(chosen, axis, place_axis), present=np.swapaxes(found, axis, place_axis))
    return restrict(result, asked)


def _cut(einsum: Einsum, places: VarName, space: Space) -> Booleans | None:
    """Where the conditions without the place hold."""
    return all_hold(tuple(c for c in conditions_of(einsum) if not _names(c, places)), space)


def _asked(einsum: Einsum, places: VarName, space: Space) -> Booleans | None:
    """Where the conditions with the place hold: the places that are asked for."""
    return all_hold(tuple(c for c in conditions_of(einsum) if _names(c, places)), space)


def _names(chain: Chain, var: VarName) -> bool:
    return any(var in rank_variables(operand) for operand in chain.operands)
