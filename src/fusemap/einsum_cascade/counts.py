"""Operations of a cascade: which operators a point of an Einsum applies, and how often in total."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.scope import walk
from fusemap.einsum_cascade.types import (
    Access,
    Apply,
    Cascade,
    Einsum,
    Expr,
    Number,
    OperatorName,
    SizeOf,
    TensorName,
)

if TYPE_CHECKING:
    import sympy


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOperators:
    """What one point of an Einsum's iteration space applies: map operators in order, then the reduction."""

    map: tuple[OperatorName, ...]
    reduce: OperatorName | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationCount:
    """How often an Einsum applies an operator, as an expression of the shapes; an upper bound if not `exact`."""

    einsum: TensorName
    operator: OperatorName
    kind: Literal["map", "reduce"]
    count: sympy.Expr
    exact: bool = True

    def at(self, sizes: Mapping[str, int]) -> int:
        """The count under sizes of all shapes it names; InputError where one is missing."""
        from fusemap.einsum_cascade.counts_closed import evaluate

        symbols = {s.name: s for s in self.count.free_symbols}
        missing = sorted(set(symbols) - set(sizes))
        if missing:
            raise input_error(f"the count of {self.operator} in {self.einsum} needs sizes of {', '.join(missing)}")
        return evaluate(self.count, {s: sizes[name] for name, s in symbols.items()})


def operation_counts(cascade: Cascade, operators: Operators = BUILTIN) -> tuple[OperationCount, ...]:
    """How often every Einsum applies each operator, for all shapes.

    A map operator is applied once per point of its Einsum's iteration space at which its operands are
    present, even where a sub-expression uses fewer variables than the Einsum; `+ max min` need both
    operands. Reducing n present values takes n - 1 applications. Constants such as `-inf` cost nothing.
    Filters are counted exactly, in closed form or as a Sum. Shapes are positive integer symbols; a
    partitioned one is the product of its factors. Inits come first. Loads SymPy.

    >>> from fusemap.einsum_cascade.library import load
    >>> [f"{c.einsum} {c.operator} {c.count}" for c in operation_counts(load("attention-3pass"))][:4]
    ['QK mul E*M*P', 'QK sum E*M*P - M*P', 'GM max M*P - P', 'SN sub M*P']
    """
    from fusemap.einsum_cascade.counts_support import symbolic_counts

    return symbolic_counts(cascade, operators)


def point_operators(einsum: Einsum) -> PointOperators:
    """The operators of one point: those of the expression, operands before the operator, and the reduction.

    >>> from fusemap.einsum_cascade.library import load
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

    A view computes nothing and needs no storage of its own.

    >>> from fusemap.einsum_cascade.library import load
    >>> [e.name for e in load("attention-1pass").einsums if is_view(e)]
    ['BK', 'BV']
    """
    return einsum.reduce is None and isinstance(einsum.expr, Access)


def is_constant(expr: Expr) -> bool:
    """Is the expression made of numbers and sizes alone, like `-inf` or `1 / size(K)`? It costs no operation."""
    return all(isinstance(node, Apply | Number | SizeOf) for node in walk(expr))


def _applied(expr: Expr) -> Iterator[OperatorName]:
    if isinstance(expr, Apply) and not is_constant(expr):
        for arg in expr.args:
            yield from _applied(arg)
        yield expr.operator
