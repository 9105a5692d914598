"""Operations of a cascade: how often each Einsum applies its operators, in total."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.types import Cascade

if TYPE_CHECKING:
    from fusemap.einsum_cascade.counts_record import OperationCount


def operation_counts(cascade: Cascade, operators: Operators = BUILTIN) -> tuple[OperationCount, ...]:
    """How often every Einsum applies each operator, for all shapes.

    A map operator is applied once per point of its Einsum's iteration space at which its operands are
    present, even where a sub-expression uses fewer variables than the Einsum; `+ max min` need both
    operands. Reducing n present values takes n - 1 applications; ranking them by topk takes n, each one a
    comparison with the places filled so far and an insertion, whatever the number of places. The place is
    no rank of the iteration space. Constants such as `-inf` and reads at an index tensor cost nothing.
    Filters are counted exactly, in closed form or as a Sum. Shapes are positive integer symbols; a
    partitioned one is the product of its factors. Inits come first. Loads SymPy.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> [f"{c.einsum} {c.operator} {c.count}" for c in operation_counts(load("attention-3pass"))][:4]
    ['QK mul E*M*P', 'QK sum E*M*P - M*P', 'GM max M*P - P', 'SN sub M*P']
    """
    from fusemap.einsum_cascade.counts_support import symbolic_counts

    return symbolic_counts(cascade, operators)
