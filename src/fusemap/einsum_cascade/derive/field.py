"""Executing a cascade in a prime field, where two functions that differ differ for nearly all inputs.

Two polynomials of degree d agree on a random point of a field with p elements with a probability of at most d / p
(Schwartz and Zippel). Divisions are products with inverses; exponentials and maxima have no meaning there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.scope import output_variables, walk
from fusemap.einsum_cascade.types import Apply, Cascade, Number

PRIME = 67_108_859  # the largest below 2^26: products are exact in 53 bits
TRIALS = 3
_ALLOWED = ("add", "sub", "mul", "div", "neg", "square", "recip", "safediv")


def in_field(original: Cascade, derived: Cascade, sizes: Mapping[str, int], more: Mapping[str, int]) -> bool | None:
    """Do both give the same outputs on random inputs of the field? None where an operator has no meaning in it."""
    if not (is_rational(original) and is_rational(derived)):
        return None
    base = {n: s for n, s in sizes.items() if not any(str(d.name) == n and d.factors for d in original.shapes)}
    for trial in range(TRIALS):
        random = np.random.default_rng(trial)
        inputs = {
            str(a.tensor): random.integers(1, PRIME, [sizes[str(v).upper()] for v in output_variables(a)]).astype(float)
            for a in original.inputs
        }
        try:
            wanted = run(original, base, inputs, operators=OPERATORS)
            found = run(derived, {**base, **more}, inputs, operators=OPERATORS)
        except InputError:
            return False
        if not all(np.array_equal(np.mod(_plain(wanted[t]), PRIME), np.mod(_plain(found[t]), PRIME)) for t in wanted):
            return False
    return True


def is_rational(cascade: Cascade) -> bool:
    """Has the cascade only operations of a field, sums, and whole numbers?"""
    for einsum in (*cascade.einsums, *cascade.inits):
        if einsum.reduce is not None and einsum.reduce.operator != "sum":
            return False
        for node in walk(einsum.expr):
            if isinstance(node, Apply) and node.operator not in _ALLOWED:
                return False
            if isinstance(node, Number) and not node.text.isdigit():
                return False
    return True


def _plain(values: Any) -> NDArray[Any]:
    return np.asarray(np.ma.filled(values, 0.0))


def _mul(a: Any, b: Any) -> Any:
    return np.mod(np.mod(a, PRIME) * np.mod(b, PRIME), PRIME)


def _inverse(a: Any) -> Any:
    """a^(p-2); 0 has none and gives 0."""
    result, base, power = np.ones_like(a), np.mod(a, PRIME), PRIME - 2
    while power:
        if power & 1:
            result = _mul(result, base)
        base, power = _mul(base, base), power >> 1
    return result


_VALUES: Mapping[str, Callable[..., Any]] = {
    "add": lambda a, b: np.mod(a + b, PRIME),
    "sub": lambda a, b: np.mod(a - b, PRIME),
    "mul": _mul,
    "div": lambda a, b: _mul(a, _inverse(b)),
    "safediv": lambda a, b: _mul(a, _inverse(b)),
    "neg": lambda a: np.mod(-a, PRIME),
    "square": lambda a: _mul(a, a),
    "recip": _inverse,
}
OPERATORS = Operators(
    maps=tuple(replace(o, value=_VALUES.get(str(o.name), o.value)) for o in BUILTIN.maps),
    reductions=tuple(replace(o, value=_VALUES["add"]) if o.name == "sum" else o for o in BUILTIN.reductions),
)
