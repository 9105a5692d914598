"""Which tensors may lack elements: those under filters, and what is made of nothing but them."""

from __future__ import annotations

from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.scope import conditions_of
from fusemap.einsum_cascade.types import Access, Apply, Cascade, Einsum, Expr


def may_lack_elements(cascade: Cascade) -> frozenset[str]:
    """Names of the tensors of which an element may be absent; inputs are whole.

    A running value that starts whole and is joined by `max` or `+`, which skip an absent operand, stays whole.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> sorted(may_lack_elements(load("attention-1pass-causal")) & {"BQK", "LM", "RM", "AV"})
    ['BQK', 'LM']
    """
    lacking: frozenset[str] = frozenset()
    while True:
        found = frozenset(str(e.name) for e in (*cascade.inits, *cascade.einsums) if _lacks(e, lacking))
        if found == lacking:
            return found
        lacking = found


def _lacks(einsum: Einsum, lacking: frozenset[str]) -> bool:
    return bool(conditions_of(einsum)) or lacks(einsum.expr, lacking)


def lacks(expr: Expr, lacking: frozenset[str]) -> bool:
    """May the value of an expression be absent?"""
    if isinstance(expr, Access):
        return str(expr.tensor) in lacking
    if not isinstance(expr, Apply):
        return False
    operator = BUILTIN.map(expr.operator)
    if operator.filters:
        return True
    absent = [lacks(a, lacking) for a in expr.args]
    return all(absent) if operator.union else any(absent)
