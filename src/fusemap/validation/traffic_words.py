"""Words that every mapping moves at least once: inputs that are read, and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from fusemap.einsum_cascade.linear import value
from fusemap.einsum_cascade.passes.lower import domains_of, lower_bound
from fusemap.einsum_cascade.passes.model import model_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.passes.transfer import TooHard
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.resolve import Sizes, extent
from fusemap.einsum_cascade.scope import accesses, outputs, plain_variable, rank_variables
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Cascade,
    FloorDiv,
    Lookup,
    RankExpr,
    TensorName,
    VarName,
)
from fusemap.validation.traffic_symmetry import Symmetry, is_dense, statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Compulsory:
    """Elements of each input that some Einsum reads, and of each output: each crosses the boundary once at least.

    Counts are lower bounds: where filters or other indices leave open how many distinct elements are meant,
    fewer are counted.
    """

    inputs: tuple[tuple[TensorName, int], ...]
    outputs: tuple[tuple[TensorName, int], ...]

    @property
    def words(self) -> int:
        """All of them."""
        return sum(n for _, n in (*self.inputs, *self.outputs))


def compulsory_words(cascade: Cascade, sizes: Sizes) -> Compulsory:
    """The words of a cascade that are moved at least once, at sizes of all its shapes.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.resolve import resolve_sizes
    >>> cascade = load("attention-3pass")
    >>> compulsory_words(cascade, resolve_sizes(cascade, {"M": 8, "P": 4, "E": 2, "F": 3})).words
    60
    """
    counts = _Counts(cascade, sizes)
    return Compulsory(
        inputs=tuple((a.tensor, counts.read(a)) for a in cascade.inputs),
        outputs=tuple((t, counts.written(t)) for t in outputs(cascade)),
    )


class _Counts:
    def __init__(self, cascade: Cascade, sizes: Sizes) -> None:
        self.cascade = cascade
        self.sizes = sizes
        self.dense = is_dense(cascade)
        self.symmetry = Symmetry(cascade)
        self.variables = {
            v: extent(cascade, sizes, v) for a in self._accesses() for i in a.indices for v in rank_variables(i.expr)
        }

    def _accesses(self) -> tuple[Access, ...]:
        own = (a for e in statements(self.cascade) for a in (e.output, *accesses(e)))
        return (*self.cascade.inputs, *own)

    def read(self, declared: Access) -> int:
        """Elements of an input that the Einsum reads that reads most of it."""
        return self._dense(declared.tensor) if self.dense else self._filtered(declared)

    def _dense(self, tensor: TensorName) -> int:
        """A view counts where all of it is read again, or where it is an output."""
        most = 0
        for einsum in self.cascade.einsums:
            for access in accesses(einsum):
                if access.tensor == tensor and (not is_view(einsum) or self._used(einsum.name)):
                    most = max(most, distinct([i.expr for i in access.indices], self.variables, self.sizes))
        return most

    def _used(self, view: TensorName) -> bool:
        return view in outputs(self.cascade) or self._dense(view) == self.written(view)

    def written(self, tensor: TensorName) -> int:
        """Elements of an output that the Einsum writes that writes most; no element is written twice."""
        most = 0
        for number, einsum in enumerate(statements(self.cascade)):
            if einsum.name == tensor:
                own = {v for i in einsum.output.indices for v in rank_variables(i.expr)}
                sure = [v for v in own if self.dense or self.symmetry.is_free((number, v))]
                most = max(most, prod(self.variables[v] for v in sure))
        return most

    def _filtered(self, declared: Access) -> int:
        """Where elements may be absent: all coordinates of free ranks, times one rank that an Einsum is shown to cover.

        Along a free rank all fibers are alike, so that what is shown for one of them holds for all.
        """
        free = {n for n in range(len(declared.indices)) if self.symmetry.is_free((declared.tensor, n))}
        lengths = [self.variables[rank_variables(i.expr)[0]] for i in declared.indices]
        covered = [lengths[n] for n in range(len(lengths)) if n not in free and self._covered(declared.tensor, n)]
        return prod(lengths[n] for n in free) * max(covered, default=1)

    def _covered(self, tensor: TensorName, position: int) -> bool:
        """Does one Einsum that reads the tensor itself read every coordinate of some fiber along the position?"""
        ranks = [r for r in owned_ranks(self.cascade) if r.tensor == tensor]
        of = next((r for r in ranks if {d.position for d in r.digits} == {position}), None)
        if of is None:
            return False
        model = model_of(self.cascade, self.sizes)
        try:
            lower = lower_bound(model, domains_of(model), of, sizes=self.sizes, direct=True)
        except TooHard:
            return False
        return lower is not None and not lower.when and bool(lower.assignment)


def distinct(exprs: list[RankExpr], extents: Mapping[VarName, int], sizes: Sizes) -> int:
    """A lower bound on the tuples that indices take while their variables run independently."""
    seen: set[VarName] = set()
    count = 1
    for expr in exprs:
        variables = set(rank_variables(expr))
        if not variables & seen:
            count *= _values(expr, extents, sizes)
        seen |= variables
    return count


def _values(expr: RankExpr, extents: Mapping[VarName, int], sizes: Sizes) -> int:
    """A lower bound on the values of one index."""
    if isinstance(expr, Lookup):
        return 1
    var = plain_variable(expr)
    if var is not None:
        return extents[var]
    if not isinstance(expr, Affine):
        whole, size = extents[expr.var], sizes[expr.shape]
        return -(-whole // size) if isinstance(expr, FloorDiv) else min(whole, size)
    steps = sorted((abs(c), extents[v]) for v, c in value(expr, sizes)[0].items() if c)
    reach, count = 0, 1
    for step, length in steps:  # a digit above all those below it makes new values only
        count = count * length if step > reach else max(count, length)
        reach += step * (length - 1)
    return count
