"""Which Einsum hands a tensor to which, and how many steps of each rank lie between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.scope import accesses, output_variables
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, RankExpr

Shift: TypeAlias = tuple[str, int] | None  # an index `var + constant`, None for any other


@dataclass(frozen=True, slots=True, kw_only=True)
class Handoff:
    """`consumer` reads what `producer` wrote; at `steps` (rank, n) n steps of that rank before.

    `whole` are ranks of the producer of which the consumer reads a fixed or any other coordinate.
    """

    producer: str
    consumer: str
    tensor: str
    steps: tuple[tuple[str, int], ...] = ()
    whole: frozenset[str] = frozenset()


def handoffs(cascade: Cascade) -> tuple[Handoff, ...]:
    """Every read of a tensor that an Einsum computes, views traced to what they show.

    Where the writer has the index `v + a` and the reader `v + b`, a - b steps of rank v lie between.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> [(h.producer, dict(h.steps)) for h in handoffs(load("softmax-online")) if h.consumer == "SPD"]
    [('RD', {'n': 0, 'k': 1}), ('PRM', {'n': 0, 'k': 0})]
    """
    views = {str(e.name): e for e in cascade.einsums if is_view(e)}
    written = {str(e.name): e for e in cascade.einsums if str(e.name) not in views}
    found = []
    for einsum in written.values():
        for access in accesses(einsum):
            tensor, read = _trace(access, views)
            if tensor not in written:
                continue
            wrote = tuple(_shift(i.expr) for i in written[tensor].output.indices)
            steps = tuple((w[0], w[1] - r[1]) for w, r in zip(wrote, read, strict=True) if w and r and w[0] == r[0])
            matched = {rank for rank, _ in steps}
            whole = frozenset(str(v) for v in output_variables(written[tensor].output)) - matched
            found.append(Handoff(producer=tensor, consumer=str(einsum.name), tensor=tensor, steps=steps, whole=whole))
    return tuple(dict.fromkeys(found))


def _trace(access: Access, views: Mapping[str, Einsum]) -> tuple[str, tuple[Shift, ...]]:
    """The tensor behind the views, and its indices in the reader's variables."""
    tensor, read = str(access.tensor), tuple(_shift(i.expr) for i in access.indices)
    while tensor in views:
        view = views[tensor]
        known: dict[str, Shift] = {}
        for index, shift in zip(view.output.indices, read, strict=True):
            wrote = _shift(index.expr)
            if wrote:
                known[wrote[0]] = (shift[0], shift[1] - wrote[1]) if shift else None
        source = accesses(view)[0]
        tensor, read = str(source.tensor), tuple(_within(_shift(i.expr), known) for i in source.indices)
    return tensor, read


def _within(shift: Shift, known: Mapping[str, Shift]) -> Shift:
    base = known.get(shift[0]) if shift else None
    return (base[0], base[1] + shift[1]) if base and shift else None


def _shift(expr: RankExpr) -> Shift:
    """(var, constant) of `var + constant`; None where there is another variable, a size or a group."""
    if not isinstance(expr, Affine) or any(t.shape is not None for t in expr.terms):
        return None
    variables = [t for t in expr.terms if t.var is not None]
    if len(variables) != 1 or variables[0].sign != 1:
        return None
    return str(variables[0].var), sum(t.sign * (t.constant or 0) for t in expr.terms if t.var is None)
