"""How far a run is from the cascade's meaning: the part of rounding, and the part of its exp."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fusemap.einsum_cascade.interpreter import run
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.types import Cascade
from fusemap.sim.cycle_numbers import Floats, exp6
from fusemap.sim.fused_words import Words

WITH_EXP6: Operators = replace(
    BUILTIN, maps=tuple(replace(o, value=exp6) if o.name == "exp" else o for o in BUILTIN.maps)
)


def meaning(
    cascade: Cascade, words: Words, inputs: Mapping[str, Floats], *, operators: Operators = BUILTIN
) -> dict[str, Floats]:
    """The outputs of the cascade in float64, batch by batch."""
    batches = [range(extent) for _, extent in words.batch]
    shape = tuple(len(b) for b in batches)
    sizes = {name: size for name, size in words.sizes.items() if name in words.extents.shapes}
    found: dict[str, Floats] = {}
    for at in itertools.product(*batches):
        here = {name: np.asarray(array[at]) for name, array in inputs.items()}
        for name, array in run(cascade, sizes, here, operators=operators).items():
            whole = found.setdefault(str(name), np.zeros((*shape, *array.shape)))
            whole[at] = array
    return found


def errors(
    cascade: Cascade,
    words: Words,
    inputs: Mapping[str, Floats],
    outputs: Mapping[str, Floats],
    *,
    exp_unit: bool = False,
) -> tuple[dict[str, float], dict[str, float]]:
    """(rounding, exp) by output: largest difference to the meaning with six-cycle exp, and of that to the exact one.

    Relative to the largest element; NaN where an output has a word that was never written. A machine with an
    `exp_unit` computes the exact one.
    """
    exact = meaning(cascade, words, inputs)
    same = exact if exp_unit else meaning(cascade, words, inputs, operators=WITH_EXP6)
    rounding, polynomial = {}, {}
    for name, found in outputs.items():
        size = float(np.abs(exact[name]).max()) or 1.0
        rounding[name] = float(np.abs(found - same[name]).max()) / size
        polynomial[name] = float(np.abs(same[name] - exact[name]).max()) / size
    return rounding, polynomial
