"""Which units of an array compute an Einsum: its operators matched against the array's operator costs."""

from __future__ import annotations

from fusemap.archspec.types import Array, Machine, OperatorCost
from fusemap.diagnostics import input_error
from fusemap.mappers.types import EinsumSpace


def find_units(array: Array, operators: tuple[str, ...]) -> tuple[OperatorCost, ...] | None:
    """Operator costs that together compute one point, the longest fused chain first; None if one is missing.

    A chain such as ("mul", "sum") is one multiply-accumulate, ("sub", "exp") a pipelined unit.
    """
    chosen: list[OperatorCost] = []
    at = 0
    longest = max((len(cost.pattern) for cost in array.operators), default=0)
    while at < len(operators):
        for length in range(min(longest, len(operators) - at), 0, -1):
            cost = array.find(operators[at : at + length])
            if cost is not None:
                chosen.append(cost)
                at += length
                break
        else:
            return None
    return tuple(chosen)


def missing_operators(array: Array, operators: tuple[str, ...]) -> tuple[str, ...]:
    """The operators that the array has no unit for, each once; all of them if they lack as a chain only."""
    missing = tuple(dict.fromkeys(o for o in operators if array.find((o,)) is None))
    return missing or tuple(dict.fromkeys(operators))


def units(machine: Machine, array: Array, space: EinsumSpace) -> tuple[OperatorCost, ...]:
    """As `find_units`; InputError naming the operator that the array cannot compute."""
    found = find_units(array, space.operators)
    if found is not None:
        return found
    message, hint = cannot_compute(machine, array, space)
    raise input_error(message, hint=hint)


def cannot_compute(machine: Machine, array: Array, space: EinsumSpace) -> tuple[str, str]:
    """Message and hint for an Einsum that has an operator which the array lacks."""
    able = [a.name for a in machine.arrays if find_units(a, space.operators) is not None]
    hint = f"{', '.join(able)} can" if able else f"no array of {machine.name} can"
    named = ", ".join(missing_operators(array, space.operators))
    return f"{array.name} of {machine.name} cannot compute {named} of Einsum {space.name}", hint
