"""Which passes a drawn cascade shows: those over one rank of one tensor, chosen from the pass analysis."""

from __future__ import annotations

from collections.abc import Sequence

from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.einsum_cascade.passes.types import PassCount, RankPasses
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.graph import CascadeGraph, cascade_graph


def graph_with_passes(
    cascade: Cascade, rows: Sequence[RankPasses], *, tensor: str | None = None, rank: str | None = None
) -> CascadeGraph:
    """The graph of a cascade with the passes of one row of its analysis; without any rows the plain graph.

    The row is that of `tensor` and `rank`; where they leave a choice the one with the most passes, then with
    the most Einsums in them. Raises InputError for a tensor or rank without a row.
    """
    row = choose_row(rows, tensor, rank)
    if row is None:
        return cascade_graph(cascade)
    return cascade_graph(
        cascade,
        dict(row.assignment),
        [(before, barrier.visited_by) for barrier in row.barriers for before in barrier.before],
        title=f"{cascade.name}: {describe(row)}",
        tensor=row.tensor,
        rank=row.rank,
    )


def choose_row(rows: Sequence[RankPasses], tensor: str | None, rank: str | None) -> RankPasses | None:
    """The row to show; None if there are none and none is asked for."""
    wrong = [
        Diagnostic(message=f"no fiber of {noun} {name} is read", hint=did_you_mean(name, valid, noun=f"{noun}s"))
        for noun, name, valid in (
            ("tensor", tensor, [str(r.tensor) for r in rows]),
            ("rank", rank, [str(r.rank) for r in rows]),
        )
        if name is not None and name not in valid
    ]
    if wrong:
        raise InputError(tuple(wrong))
    found = [r for r in rows if tensor in (None, r.tensor) and rank in (None, r.rank)]
    if rows and not found:
        ranks = ", ".join(dict.fromkeys(str(r.rank) for r in rows if r.tensor == tensor))
        raise InputError((Diagnostic(message=f"tensor {tensor} has no rank {rank}", hint=f"its ranks: {ranks}"),))
    return max(found, key=lambda r: (_size(r.passes), len(r.assignment)), default=None)


def _size(count: PassCount) -> tuple[int, int]:
    """How many passes for large sizes."""
    return count.steps, count.constant


def describe(row: RankPasses) -> str:
    """The number of passes in words.

    >>> from fusemap.einsum_cascade.types import ShapeName, TensorName
    >>> one = PassCount(constant=1)
    >>> describe(RankPasses(tensor=TensorName("K"), rank=ShapeName("M"), passes=one, upper=one, direct=one))
    '1 pass over M of K'
    """
    noun = "pass" if row.passes == PassCount(constant=1) else "passes"
    return f"{'' if row.exact else 'at least '}{row.passes} {noun} over {row.rank} of {row.tensor}"
