"""What one point of an Einsum's iteration space applies; no sizes, no SymPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fusemap.einsum_cascade.scope import lookups, walk
from fusemap.einsum_cascade.types import Access, Apply, Einsum, Expr, Number, OperatorName, SizeOf


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOperators:
    """What one point of an Einsum's iteration space applies: map operators in order, then the reduction."""

    map: tuple[OperatorName, ...]
    reduce: OperatorName | None


def point_operators(einsum: Einsum) -> PointOperators:
    """The operators of one point: those of the expression, operands before the operator, and the reduction.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> einsums = {e.name: e for e in load("attention-1pass").einsums}
    >>> point_operators(einsums["SLN"])
    PointOperators(map=('sub', 'exp'), reduce=None)
    >>> point_operators(einsums["BQK"])
    PointOperators(map=('mul',), reduce='sum')
    """
    reduce = einsum.reduce.operator if einsum.reduce is not None else None
    return PointOperators(map=tuple(_applied(einsum.expr)), reduce=reduce)


def is_view(einsum: Einsum) -> bool:
    """Does the Einsum only rename coordinates, as `BK[e,m1,m0] = K[e, m1*M0+m0]` does?

    A view computes nothing and needs no storage of its own. A gather, as in `G[e,j] = K[e, I[j]]`, is none.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> [e.name for e in load("attention-1pass").einsums if is_view(e)]
    ['BK', 'BV']
    """
    return einsum.reduce is None and isinstance(einsum.expr, Access) and not lookups(einsum.expr)


def is_constant(expr: Expr) -> bool:
    """Is the expression made of numbers and sizes alone, like `-inf` or `1 / size(K)`? It costs no operation."""
    return all(isinstance(node, Apply | Number | SizeOf) for node in walk(expr))


def _applied(expr: Expr) -> Iterator[OperatorName]:
    if isinstance(expr, Apply) and not is_constant(expr):
        for arg in expr.args:
            yield from _applied(arg)
        yield expr.operator
