"""How the indices of an Einsum's accesses become Timeloop's projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Index
from fusemap.mappers.types import EinsumSpace, Operand

# Every position of an access: a sum of (rank variable, coefficient).
Projection: TypeAlias = tuple[tuple[tuple[str, int], ...], ...]


def projections(cascade: Cascade, space: EinsumSpace, sizes: Mapping[str, int]) -> dict[str, Projection]:
    """Projections of the operands in which ranks share a position (`I[p+r]`, `I[p*S+r]` with S = 2), by label.

    A partition (`m1*M0+m0`) is two positions, which hold the same words; a group (`h//G`) and a difference
    stand for their ranks, as in our reuse analysis. An operand that has none of these is left out.
    """
    einsum = next((e for e in cascade.einsums if e.name == space.name), None)
    if einsum is None:
        return {}
    accesses = (*dict.fromkeys(scope.accesses(einsum)), einsum.output)
    if len(accesses) != len(space.operands):
        return {}
    return {
        operand.label: _projection(access, operand, sizes)
        for operand, access in zip(space.operands, accesses, strict=True)
        if any(_slides(index, operand) for index in access.indices)
    }


def _projection(access: Access, operand: Operand, sizes: Mapping[str, int]) -> Projection:
    indexed = {str(v) for index in access.indices for v in scope.rank_variables(index.expr)}
    found: list[tuple[tuple[str, int], ...]] = [((rank, 1),) for rank in sorted(operand.ranks - indexed)]
    for index in access.indices:
        variables = [str(v) for v in scope.rank_variables(index.expr)]
        if not _slides(index, operand):
            found += [((variable, 1),) for variable in variables]
            continue
        assert isinstance(index.expr, Affine)
        terms = [t for t in index.expr.terms if t.var is not None]
        found.append(tuple((str(t.var), 1 if t.shape is None else sizes[str(t.shape)]) for t in terms))
    return tuple(found)


def _slides(index: Index, operand: Operand) -> bool:
    """True for a sum in which different loop coordinates mean the same element."""
    if not isinstance(index.expr, Affine):
        return False
    terms = [t for t in index.expr.terms if t.var is not None]
    plain = [t for t in terms if t.shape is None]
    strided = any([rank for rank, _ in found] == [str(t.var) for t in terms] for found in operand.sums)
    return strided or (len(plain) > 1 and all(t.sign > 0 for t in terms))
