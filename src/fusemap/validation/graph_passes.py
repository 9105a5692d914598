"""Which passes a drawn cascade shows: those over one rank of one tensor, chosen from the pass analysis."""

from __future__ import annotations

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.analysis_rows import choose_row
from fusemap.einsum_cascade.passes.analyze import analyze
from fusemap.einsum_cascade.passes.types import PassCount, RankPasses
from fusemap.einsum_cascade.scope import accesses, input_names
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.graph import CascadeGraph, cascade_graph


def graph_of(cascade: Cascade, *, tensor: str | None = None, rank: str | None = None) -> CascadeGraph:
    """The graph of a cascade with its passes over `rank` of `tensor`; see `choose_row` for what is left open.

    Raises InputError for a tensor or rank that the cascade does not have, or that nothing reads.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> graph_of(load("attention-2pass")).title
    'attention-2pass: 2 passes over M of K'
    """
    row = choose_row(cascade, _rows(cascade, tensor, rank))
    if row is not None:
        return with_passes(cascade, row)
    if tensor is not None or rank is not None:
        asked = f"along rank {rank}" if tensor is None else f"tensor {tensor}{f' along rank {rank}' if rank else ''}"
        raise input_error(f"no Einsum of {cascade.name} reads {asked}, so there are no passes over it")
    return cascade_graph(cascade)


def _rows(cascade: Cascade, tensor: str | None, rank: str | None) -> tuple[RankPasses, ...]:
    """The rows to choose from; where nothing is asked for those of inputs, as what is derived needs no more passes."""
    if tensor is None and rank is None:
        read = {a.tensor for e in cascade.einsums for a in accesses(e) if a.indices}
        names = (name for name in input_names(cascade) if name in read)
        return tuple(row for name in names for row in analyze(cascade, tensor=name).passes)
    return analyze(cascade, tensor=tensor, rank=rank).passes


def with_passes(cascade: Cascade, row: RankPasses) -> CascadeGraph:
    """The graph of a cascade with the passes, barriers and title of one row of its analysis."""
    return cascade_graph(
        cascade,
        dict(row.assignment),
        [(before, barrier.visited_by) for barrier in row.barriers for before in barrier.before],
        title=f"{cascade.name}: {describe(row)}",
        tensor=row.tensor,
        rank=row.rank,
    )


def describe(row: RankPasses) -> str:
    """The number of passes in words.

    >>> from fusemap.einsum_cascade.types import ShapeName, TensorName
    >>> one = PassCount(constant=1)
    >>> describe(RankPasses(tensor=TensorName("K"), rank=ShapeName("M"), passes=one, upper=one, direct=one))
    '1 pass over M of K'
    """
    noun = "pass" if row.passes == PassCount(constant=1) else "passes"
    return f"{'' if row.exact else 'at least '}{row.passes} {noun} over {row.rank} of {row.tensor}"
