"""Integer feasibility against enumeration."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from fusemap.einsum_cascade.feasible import Linear, find_point, linear

LAST = 5


@st.composite
def systems(draw: DrawFn) -> tuple[tuple[str, ...], list[Linear]]:
    """Up to four variables in [0, LAST] under up to four random inequalities, steep ones included."""
    names = ("w", "x", "y", "z")[: draw(st.integers(1, 4))]
    factors = st.sampled_from(draw(st.sampled_from(((-1, 0, 1), (-4, -3, -1, 0, 1, 2, 5), (-6, -4, 0, 3, 5)))))
    constraints = [c for v in names for c in (linear({v: 1}), linear({v: -1}, LAST))]
    for _ in range(draw(st.integers(1, 4))):
        constraints.append(linear({v: draw(factors) for v in names}, draw(st.integers(-9, 5))))
    return names, constraints


@settings(max_examples=400)
@given(systems())
def test_a_point_is_found_exactly_if_there_is_one(system: tuple[tuple[str, ...], list[Linear]]) -> None:
    names, constraints = system
    grid = (dict(zip(names, at, strict=True)) for at in itertools.product(range(LAST + 1), repeat=len(names)))
    exists = any(all(c.at(point) >= 0 for c in constraints) for point in grid)
    point = find_point(constraints)
    assert (point is not None) == exists
    assert point is None or all(c.at(point) >= 0 for c in constraints)


def test_large_ranges_need_no_enumeration() -> None:
    last = 10**15
    box = [c for v in "xy" for c in (linear({v: 1}), linear({v: -1}, last))]
    assert find_point([*box, linear({"x": 1, "y": -1}), linear({"x": -1, "y": 1}, -1)]) is None
    assert find_point([*box, linear({"x": 1, "y": -256}, -last)]) == {"x": last, "y": 0}
