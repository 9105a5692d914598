"""Six-cycle exp against the longest format; rounding against enumeration of a format's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fusemap as fm
from fusemap.sim.cycle_numbers import COEFFICIENTS, EXP_ERROR, FORMATS, exp6, number_format, split
from fusemap.sim.cycle_types import Code
from fusemap.sim.cycle_units import compute


def relative(values: np.ndarray, x: np.ndarray) -> float:
    return float(np.abs(values / np.exp(x.astype(np.longdouble)) - 1).max())


def test_exp_has_the_stated_error_and_reaches_it() -> None:
    x = -np.linspace(0, 40, 200_001)
    assert 0.99 * EXP_ERROR < relative(exp6(x), x) <= EXP_ERROR


@pytest.mark.parametrize(("name", "factor"), [("float32", 12), ("bfloat16", 6)])
def test_exp_in_short_formats_is_as_good_as_their_steps(name: str, factor: int) -> None:
    x = -np.linspace(0, 20, 20_001)
    found = exp6(FORMATS[name].round(x), FORMATS[name])
    error = relative(found, FORMATS[name].round(x))
    assert FORMATS[name].unit / 2 < error < factor * FORMATS[name].unit


def test_no_polynomial_nearby_is_better() -> None:
    """The error alternates seven times at equal height, as that of the best polynomial of degree 5 does."""
    f = np.linspace(-0.5, 0.5, 100_001)
    error = sum(c * f**k for k, c in enumerate(COEFFICIENTS)) / np.exp2(f) - 1
    runs = np.split(error, np.flatnonzero(np.sign(error[1:]) != np.sign(error[:-1])) + 1)
    heights = [float(np.abs(run).max()) for run in runs]
    assert len(heights) == 7
    assert max(heights) < 1.001 * min(heights)


def test_exp_of_minus_infinity_is_zero_and_of_nothing_is_nothing() -> None:
    assert exp6(np.array([-math.inf, -1e5, math.nan])).tolist()[:2] == [0.0, 0.0]
    assert np.isnan(exp6(np.array([math.nan]))[0])


def test_six_unit_cycles_are_exp() -> None:
    x = -np.linspace(0, 30, 999)
    for number in FORMATS.values():
        none = np.zeros_like(x)
        f = compute(Code.EXP0, x, none, none, number)
        p = compute(Code.EXP1, f, none, none, number)
        for code in (Code.EXP2, Code.EXP3, Code.EXP4):
            p = compute(code, p, f, none, number)
        assert np.array_equal(compute(Code.EXP5, p, f, split(x)[1], number), exp6(x, number))


def eight_bits() -> np.ndarray:
    """All bfloat16 from 1/4 to 4."""
    return np.sort(np.concatenate([2.0**e * (1 + np.arange(128) / 128) for e in (-2, -1, 0, 1)]))


@given(st.floats(0.25, 3.75, width=32))
def test_bfloat16_is_the_nearest_of_all(x: float) -> None:
    numbers = eight_bits()
    found = float(FORMATS["bfloat16"].round(np.array([x]))[0])
    distance = np.abs(numbers - x)
    assert found in numbers
    assert abs(found - x) == distance.min()


def test_bfloat16_keeps_infinity_and_rounds_ties_to_even() -> None:
    given_values = np.array([math.inf, -math.inf, 1 + 2**-8, 1 + 3 * 2**-8])
    assert FORMATS["bfloat16"].round(given_values).tolist() == [math.inf, -math.inf, 1.0, 1 + 2**-6]


def test_unknown_format() -> None:
    with pytest.raises(fm.InputError, match='unknown number format "bfloat"'):
        number_format("bfloat")
