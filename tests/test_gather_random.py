"""Random cascades that rank, gather and filter by data, against the element-by-element oracle."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from examples import examples
from gather_programs import programs
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from interpreter_oracle import Element, Oracle
from interpreter_programs import Program

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import interpreter, values
from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.interpreter import Tensor, execute
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.sized import check_sizes

TOPK = values.topk
Arrays = dict[str, np.ndarray]


def inputs_for(sizes: dict[str, int], seed: int) -> Arrays:
    """Small integers with many ties; coordinates of M in U and of J in N."""
    generator = np.random.default_rng(seed)
    m, p, j, e = (sizes[name] for name in "MPJE")
    small = {name: generator.integers(-2, 3, shape) for name, shape in (("A", (m, p)), ("B", (m, p)), ("K", (e, m)))}
    return {**small, "N": generator.integers(0, j, j), "U": generator.integers(0, m, (j, p))}


def assert_same(elements: dict[Element, float | None], tensors: dict[str, Tensor]) -> None:
    for (name, at), expected in elements.items():
        tensor = tensors[name]
        present = tensor.present is None or bool(tensor.present[at])
        assert present == (expected is not None), (name, at, expected)
        if expected is not None:
            assert np.isclose(tensor.values[at], expected, rtol=1e-12, atol=0, equal_nan=True), (name, at)


def checked(program: Program) -> dict[str, int]:
    """All sizes, for programs that are right at them."""
    try:
        return {str(n): s for n, s in check_sizes(parse(program.text), program.sizes).items()}
    except InputError:
        assume(False)
    raise AssertionError


@examples(50, 150, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(programs(), st.integers(0, 2**32), st.booleans(), st.booleans())
def test_every_element_is_that_of_the_oracle(program: Program, seed: int, matrix_products: bool, halved: bool) -> None:
    cascade = parse(program.text)
    sizes = checked(program)
    inputs = inputs_for(sizes, seed)
    with pytest.MonkeyPatch.context() as patch:
        if halved:
            patch.setattr(interpreter, "MAX_POINTS_AT_ONCE", 4)
        tensors = execute(cascade, program.sizes, inputs, matrix_products=matrix_products)
    assert_same(Oracle(cascade, sizes, inputs).run(), tensors)


@examples(17, 50, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(programs(), st.integers(0, 2**32))
def test_counts_are_those_counted_or_above(program: Program, seed: int) -> None:
    cascade = parse(program.text)
    sizes = checked(program)
    oracle = Oracle(cascade, sizes, inputs_for(sizes, seed))
    oracle.run()
    totals: Counter[tuple[str, str, str]] = Counter()
    inexact = set()
    for count in operation_counts(cascade):
        key = (count.einsum, count.operator, count.kind)
        totals[key] += count.at(sizes)
        inexact |= set() if count.exact else {key}
    for key in totals | oracle.applied:
        assert totals[key] >= oracle.applied[key] if key in inexact else totals[key] == oracle.applied[key], key


@given(programs())
def test_the_printer_is_the_inverse_of_the_parser(program: Program) -> None:
    cascade = parse(program.text)
    assert parse(format_cascade(cascade)) == cascade


def wrong_order(array: np.ndarray, present: np.ndarray | None, axis: int, places: range) -> object:
    """topk with the larger coordinate first among equals."""
    turned, found = TOPK(np.flip(array, axis), None if present is None else np.flip(present, axis), axis, places)
    return np.where(found, array.shape[axis] - 1 - turned, 0), found


def test_the_oracle_finds_a_wrong_order_of_equals(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program("input S[m]\nI[j] = topk[m; j] S[m]", {"M": 3, "J": 2})
    cascade, inputs = parse(program.text), {"S": np.array([1.0, 2.0, 2.0])}
    expected = Oracle(cascade, {"M": 3, "J": 2}, inputs).run()
    assert expected == {("I", (0,)): 1.0, ("I", (1,)): 2.0}
    assert_same(expected, execute(cascade, program.sizes, inputs))
    with monkeypatch.context() as patch:
        patch.setattr("fusemap.einsum_cascade.values.topk", wrong_order)
        with pytest.raises(AssertionError):
            assert_same(expected, execute(cascade, program.sizes, inputs))
