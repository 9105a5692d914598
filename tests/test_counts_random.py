"""Closed-form operation counts against counting in the element-by-element oracle."""

from __future__ import annotations

from collections import Counter

import numpy as np
from examples import examples
from hypothesis import HealthCheck, assume, given
from interpreter_oracle import Oracle
from interpreter_programs import Program, programs

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.counts_record import OperationCount
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.sized import check_sizes
from fusemap.einsum_cascade.types import Cascade


def counted(cascade: Cascade, sizes: dict[str, int]) -> Counter[tuple[str, str, str]]:
    """Applications of operators by (einsum, operator, kind), counted as they happen."""
    shapes = check_sizes(cascade, sizes)
    inputs = {
        a.tensor: np.ones([shapes[t.var.upper()] for i in a.indices for t in i.expr.terms]) for a in cascade.inputs
    }
    oracle = Oracle(cascade, shapes, inputs)
    oracle.run()
    return oracle.applied


def assert_counts(cascade: Cascade, *cases: dict[str, int]) -> tuple[OperationCount, ...]:
    """Exact counts equal those counted, others are upper bounds, under every given sizes; returns the counts.

    An init and an Einsum of the same name are counted together, as they are when they run.
    """
    found = operation_counts(cascade)
    for sizes in cases:
        expected = counted(cascade, sizes)
        shapes = {str(n): s for n, s in check_sizes(cascade, sizes).items()}
        for key in {(c.einsum, c.operator, c.kind) for c in found}:
            there = expected.pop(key, 0)
            same = [c for c in found if (c.einsum, c.operator, c.kind) == key]
            total = sum(c.at(shapes) for c in same)
            assert total == there if all(c.exact for c in same) else total >= there, (key, shapes, total, there)
        assert not +expected
    return found


@examples(27, 80, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(programs(3))
def test_counts_of_a_random_cascade(program: Program) -> None:
    cascade = parse(program.text)
    try:
        check_sizes(cascade, program.sizes)
    except InputError:
        assume(False)
    assert_counts(cascade, program.sizes)
