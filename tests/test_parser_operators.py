"""The registry of operators: values, identities, and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.operators import BUILTIN, RESERVED, Operators

MEANINGS: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "rsqrt": lambda a: 1 / math.sqrt(a),
    "square": lambda a: a**2,
    "abs": abs,
    "relu": lambda a: max(a, 0.0),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
    "tanh": math.tanh,
    "recip": lambda a: 1 / a,
    "max": max,
    "min": min,
    "expsub": lambda a, b: math.exp(a - b),
    "safediv": lambda a, b: a / b,
    "gt": lambda a, b: float(a > b),
    "ge": lambda a, b: float(a >= b),
    "eq": lambda a, b: float(a == b),
    "where": lambda c, a, b: a if c else b,
    "only": lambda a, c: a,
    "pow": math.pow,
    "sign": lambda a: math.copysign(1.0, a),
    "softplus": lambda a: math.log1p(math.exp(a)),
    "floor": math.floor,
    "cos": math.cos,
    "sin": math.sin,
}


@pytest.mark.parametrize("name", BUILTIN.map_names)
def test_values_of_map_operators(name: str) -> None:
    operator = BUILTIN.map(name)
    columns = np.array([[0.25, 1.0, 3.5], [2.0, 1.0, 0.5], [-1.0, 0.0, 7.0]])
    args = columns[: operator.arity]
    expected = [MEANINGS[name](*(float(a[k]) for a in args)) for k in range(3)]
    np.testing.assert_allclose(operator.function()(*args), expected, rtol=1e-14)


@pytest.mark.parametrize("name", [o.name for o in BUILTIN.reductions if not o.ranked])
def test_identities_of_reductions(name: str) -> None:
    operator = BUILTIN.reduction(name)
    assert operator.union and operator.arity == 2
    values = np.array([-3.5, 0.0, 2.0, math.inf])
    assert operator.identity is not None
    np.testing.assert_array_equal(operator.function()(np.full(4, operator.identity), values), values)


def test_only_plus_max_and_min_skip_an_absent_operand() -> None:
    assert {o.name for o in BUILTIN.maps if o.union} == {"add", "max", "min"}


def test_safe_forms_at_infinities_and_zero() -> None:
    inf = math.inf
    expsub, safediv = BUILTIN.map("expsub").function(), BUILTIN.map("safediv").function()
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(expsub([inf, -inf, -inf, 0.0], [inf, -inf, 1.0, inf]), [1.0, 1.0, 0.0, 0.0])
        np.testing.assert_array_equal(safediv([3.0, 0.0, 3.0], [0.0, 0.0, 2.0]), [0.0, 0.0, 1.5])


def test_sigmoid_and_relu_at_extremes() -> None:
    with np.errstate(over="raise", invalid="raise"):
        np.testing.assert_array_equal(BUILTIN.map("sigmoid").function()([-1e4, 1e4]), [0.0, 1.0])
        assert np.isnan(BUILTIN.map("relu").function()(math.nan))


def test_registering_returns_a_new_registry() -> None:
    mine = BUILTIN.register_map("gelu", 1, np.tanh, cost="exp").register_reduce("logsum", np.logaddexp, -math.inf)
    assert mine.map("gelu").cost == "exp" and mine.reduction("logsum").cost == "logsum"
    assert "gelu" not in BUILTIN.map_names and "logsum" not in BUILTIN.reduce_names


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda o: o.register_map("exp", 1, np.exp), "map operator exp is registered already"),
        (lambda o: o.register_reduce("sum", np.add, 0.0), "reduction sum is registered already"),
        (lambda o: o.register_map("none", 0, np.exp), "map operator none needs at least one operand, not 0"),
        (lambda o: o.register_map("Exp", 1, np.exp), "map operator name 'Exp' must be a lower-case word"),
        (lambda o: o.register_reduce("val", np.add, 0.0), "reduction name 'val' must be a lower-case word"),
    ],
)
def test_wrong_registrations(register: Callable[[Operators], Operators], message: str) -> None:
    with pytest.raises(InputError, match=message):
        register(BUILTIN)


def test_a_map_and_a_reduction_may_share_a_name() -> None:
    assert BUILTIN.map("max").kind == "map" and BUILTIN.reduction("max").kind == "reduce"


def test_unknown_names_list_the_valid_ones() -> None:
    with pytest.raises(InputError, match="did you mean exp"):
        BUILTIN.map("expp")
    with pytest.raises(InputError, match="valid reductions: max, min, prod, sum, topk"):
        BUILTIN.reduction("zzz")


def test_no_operator_has_the_name_of_a_keyword() -> None:
    assert not RESERVED & {*BUILTIN.map_names, *BUILTIN.reduce_names}
