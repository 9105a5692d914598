"""The interpreter against the element-by-element oracle, on random cascades."""

from __future__ import annotations

import numpy as np
from examples import examples
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from interpreter_oracle import Oracle
from interpreter_programs import INPUTS, Program, programs

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.interpreter import execute
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.sized import check_sizes


def inputs_for(sizes: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """Small integers, so that sums are exact in any order."""
    generator = np.random.default_rng(seed)
    return {n: generator.integers(-3, 4, [sizes[r] for r in ranks]).astype(float) for n, ranks in INPUTS.items()}


@examples(84, 250, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(programs(), st.integers(0, 2**32), st.booleans())
def test_every_element_of_a_random_cascade_is_that_of_the_oracle(
    program: Program, seed: int, matrix_products: bool
) -> None:
    cascade = parse(program.text)
    try:
        sizes = check_sizes(cascade, program.sizes)
    except InputError:
        assume(False)
    inputs = inputs_for(dict(sizes), seed)
    elements = Oracle(cascade, sizes, inputs).run()
    tensors = execute(cascade, program.sizes, inputs, matrix_products=matrix_products)
    for (name, at), expected in elements.items():
        tensor = tensors[name]
        present = tensor.present is None or bool(tensor.present[at])
        assert present == (expected is not None), (name, at)
        if expected is not None:
            assert np.isclose(tensor.values[at], expected, rtol=1e-12, atol=0, equal_nan=True), (name, at)
    written = {name: sum(element[0] == name for element in elements) for name in {n for n, _ in elements}}
    assert {n: tensors[n].values.size for n in written} == written
