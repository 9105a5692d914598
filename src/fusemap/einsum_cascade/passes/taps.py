"""Taps: variables of constant extent that shift an index, as s in K[m+s], held to one value.

The sum of two variables is no difference bound. With s at a constant it is one, and the points with that s exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fusemap.einsum_cascade.linear import CONSTANT, symbolic
from fusemap.einsum_cascade.passes.frame import Frame
from fusemap.einsum_cascade.passes.zones import ZERO
from fusemap.einsum_cascade.scope import accesses, iterative_ranks, output_variables, rank_variables, shape_of
from fusemap.einsum_cascade.types import Affine, Chain, Einsum, RankExpr, Term, VarName


def taps_of(frame: Frame, einsum: Einsum) -> Mapping[VarName, int]:
    """The taps of an Einsum, each at the value that cancels the constant of its first index (else 0)."""
    left = set(output_variables(einsum.output))
    found: dict[VarName, int] = {}
    for access in accesses(einsum):
        for index in access.indices:
            variables = rank_variables(index.expr)
            if not isinstance(index.expr, Affine) or len(variables) < 2:
                continue
            form = symbolic(index.expr)
            for var in variables:
                if var in left or var in found or var in iterative_ranks(frame.cascade):
                    continue
                node, extent = frame.size(shape_of(var))
                if node == ZERO and form.get((var, None)) in (1, -1):
                    wanted = -form.get(CONSTANT, 0) * form[var, None]
                    found[var] = wanted if 0 <= wanted < extent else 0
    return found


def pinned_expr(expr: RankExpr, pins: Mapping[VarName, int]) -> RankExpr:
    """A rank expression with the taps at their values."""
    return _pinned(expr, pins) if isinstance(expr, Affine) else expr


def _pinned(expr: Affine, pins: Mapping[VarName, int]) -> Affine:
    return replace(expr, terms=tuple(_pinned_term(t, pins) for t in expr.terms)) if pins else expr


def _pinned_term(term: Term, pins: Mapping[VarName, int]) -> Term:
    if term.var is None or term.var not in pins or term.shape is not None:
        return term
    return Term(sign=term.sign, constant=pins[term.var])


def pinned_chain(chain: Chain, pins: Mapping[VarName, int]) -> Chain:
    """A condition with the taps at their values."""
    return replace(chain, operands=tuple(_pinned(o, pins) if isinstance(o, Affine) else o for o in chain.operands))
