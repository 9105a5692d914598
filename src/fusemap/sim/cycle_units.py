"""What a unit computes in one cycle, on the operands of all elements that do the same."""

from __future__ import annotations

import numpy as np

from fusemap.sim.cycle_numbers import COEFFICIENTS, Floats, Format, split
from fusemap.sim.cycle_numbers import scale as scaled
from fusemap.sim.cycle_types import Code


def compute(code: int, a: Floats, b: Floats, c: Floats, number: Format) -> Floats:
    """The rounded result; for EXP0 the fraction (its integer part is `split(a)[1]`)."""
    with np.errstate(all="ignore"):
        return number.round(_exact(code, a, b, c, number))


def _exact(code: int, a: Floats, b: Floats, c: Floats, number: Format) -> Floats:
    if code == Code.MAC:
        return a * b + c
    if code == Code.MUL:
        return a * b
    if code == Code.MAX:
        return np.maximum(a, b)
    if code == Code.ADD:
        return a + b
    if code == Code.SUB:
        return a - b
    if code == Code.COPY:
        return a
    if code == Code.DIV:
        return a / b
    if code == Code.EXP:
        return np.exp(a)
    if code == Code.EXPSUB:
        return np.exp(a - b)
    return _exponential(code, a, b, c, number)


def _exponential(code: int, a: Floats, b: Floats, c: Floats, number: Format) -> Floats:
    """EXP0: x -> f. EXP1: f -> c5 f + c4. EXP2 to EXP4: p, f -> p f + c3 ... c1. EXP5: p, f, n -> (p f + c0) 2^n."""
    if code == Code.EXP0:
        return split(a)[0]
    constant = number.round(np.array(COEFFICIENTS))[Code.EXP5 - code]
    if code == Code.EXP1:
        first: Floats = number.round(np.array(COEFFICIENTS))[5] * a + constant
        return first
    step: Floats = a * b + constant
    if code == Code.EXP5:
        return scaled(step, c)
    return step
