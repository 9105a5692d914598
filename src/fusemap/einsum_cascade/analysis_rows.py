"""Which of the many (tensor, rank) of a cascade are shown first: the one that says most, ranks in order, equal rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fusemap.einsum_cascade.passes.ranks import factors_of
from fusemap.einsum_cascade.passes.types import PassCount, RankPasses
from fusemap.einsum_cascade.scope import input_names, shape_of
from fusemap.einsum_cascade.types import Cascade, Einsum, ShapeName, VarName

ONE = PassCount(constant=1)


def choose_row(cascade: Cascade, rows: Sequence[RankPasses]) -> RankPasses | None:
    """The first of `rows_in_order`, which says most; None if there are no rows."""
    return next(iter(rows_in_order(cascade, rows)), None)


def rows_in_order(cascade: Cascade, rows: Iterable[RankPasses]) -> tuple[RankPasses, ...]:
    """Rows by rank, those of inputs that are reduced other than by a sum or partitioned (sequences) first, parts last.

    Then by passes, most first, by whether the rank is reduced at all and by how many tensors have it; within a
    rank by passes, inputs before what is derived from them, and by the number of Einsums.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.analyze import analyze
    >>> cascade = load("vmoba")
    >>> rows = rows_in_order(cascade, analyze(cascade).passes)
    >>> [str(r) for r in dict.fromkeys(row.rank for row in rows)]
    ['M', 'E', 'P', 'F', 'M0', 'J', 'M1']
    """
    found = tuple(rows)
    given = set(input_names(cascade))
    whole = {row.rank for row in found if row.tensor in given} - _parts(cascade)
    sequences, reduced = _sequences(cascade), _reduced(cascade)
    most: dict[ShapeName, tuple[int, int]] = {}
    for row in found:
        most[row.rank] = max(most.get(row.rank, (0, 0)), extent_of(row.passes))
    common = Counter(row.rank for row in found)
    places = {rank: n for n, rank in enumerate(most)}

    def key(row: RankPasses) -> tuple[object, ...]:
        steps, constant = most[row.rank]
        own_steps, own = extent_of(row.passes)
        of_rank = (row.rank not in whole, row.rank not in sequences, -steps, -constant, row.rank not in reduced)
        of_tensor = (-own_steps, -own, row.tensor not in given, -len(row.assignment))
        return (*of_rank, -common[row.rank], places[row.rank], *of_tensor)

    return tuple(sorted(found, key=key))


def extent_of(count: PassCount) -> tuple[int, int]:
    """How many passes for large sizes, to compare by."""
    return count.steps, count.constant


def is_plain(row: RankPasses) -> bool:
    """Is there nothing to say: one pass is proven and enough, and one coordinate at a time?"""
    return row.passes == ONE and row.exact and row.direct == ONE and row.lookahead == "0"


def _parts(cascade: Cascade) -> set[ShapeName]:
    return {f for s in cascade.shapes if len(s.factors) > 1 for f in s.factors}


def _sequences(cascade: Cascade) -> set[ShapeName]:
    """Ranks that are partitioned, or reduced by another operator than a sum, wholly or by a part."""
    found = {shape_of(v) for e in cascade.einsums for v in _reduced_by(e) if e.reduce and e.reduce.operator != "sum"}
    products = {s.name for s in cascade.shapes if len(s.factors) > 1}
    return found | products


def _reduced_by(einsum: Einsum) -> tuple[VarName, ...]:
    return tuple(v.var for v in einsum.reduce.variables) if einsum.reduce is not None else ()


def _reduced(cascade: Cascade) -> set[ShapeName]:
    """Ranks that an Einsum reduces, wholly or by a part; another name of a shape (`P = M`) is another rank."""
    found = {shape_of(v.var) for e in cascade.einsums if e.reduce is not None for v in e.reduce.variables}
    products = [s.name for s in cascade.shapes if len(s.factors) > 1]
    return found | {name for name in products if found & set(factors_of(cascade, name))}
