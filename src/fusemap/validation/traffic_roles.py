"""What the ranks of an input, and of what carries its fibers, do for the traffic bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fusemap.einsum_cascade.passes.carriers import Carriers, carriers_of, dependences
from fusemap.einsum_cascade.passes.ranks import RankOf
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.scope import accesses, outputs, plain_variable, rank_variables, variables_of
from fusemap.einsum_cascade.types import Cascade, Einsum, TensorName, VarName
from fusemap.validation.traffic_symmetry import (
    Node,
    Symmetry,
    is_dense,
    positions_in,
    statements,
    variables_in,
    writers,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Variables whose extents multiply what one fiber needs; see `traffic_bound`.

    `kept`: ranks of the tensor that every carrier keeps, a fiber for each coordinate. `reduced`: ranks of the
    tensor that its readers reduce at once. `queries`: ranks that the tensor lacks, and whose coordinates share
    nothing derived from it.
    """

    kept: tuple[VarName, ...] = ()
    reduced: tuple[VarName, ...] = ()
    queries: tuple[VarName, ...] = ()


def roles_of(cascade: Cascade, of: RankOf) -> Roles | None:
    """The roles of ranks for the fibers of an input; None where the bound is not proven for more than one visit.

    It is proven where no element is ever absent, each carrier is written by one Einsum from carriers, and each of
    its elements stands for one coordinate.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.ranks import owned_ranks
    >>> cascade = load("attention-3pass")
    >>> roles_of(cascade, next(r for r in owned_ranks(cascade) if (r.tensor, r.rank) == ("K", "M")))
    Roles(kept=(), reduced=('e',), queries=('p',))
    """
    carriers = carriers_of(cascade, of)
    if not is_dense(cascade) or not _is_plain(cascade, carriers):
        return None
    roles = _Roles(cascade, carriers)
    kept, reduced = tuple(roles.kept()), tuple(roles.reduced())
    return Roles(kept=kept, reduced=reduced, queries=tuple(roles.queries()) if reduced else ())


def _is_plain(cascade: Cascade, carriers: Carriers) -> bool:
    """One key and one writer for each carrier: its elements are loaded, or computed from carriers of the coordinate."""
    return all(
        len(keys) == 1 and (tensor == carriers.of.tensor or len(list(writers(cascade, tensor))) == 1)
        for tensor, keys in carriers.keys.items()
    )


class _Roles:
    def __init__(self, cascade: Cascade, carriers: Carriers) -> None:
        self.cascade = cascade
        self.carriers = carriers
        self.tensor = carriers.of.tensor
        self.along = {d.position for d in carriers.of.digits}
        self.symmetry = Symmetry(cascade)
        self.needs = dependences(cascade)
        self.same = frozenset(self._same())
        self.declared = next(a for a in cascade.inputs if a.tensor == self.tensor)

    def _same(self) -> set[TensorName]:
        """The tensor and its views."""
        same = {self.tensor}
        for _ in self.cascade.einsums:
            same |= {e.name for e in self.cascade.einsums if is_view(e) and accesses(e)[0].tensor in same}
        return same

    def _variable(self, position: int) -> VarName:
        return rank_variables(self.declared.indices[position].expr)[0]

    def _free(self) -> Iterator[int]:
        """Positions beside the fiber's rank whose coordinates are interchangeable."""
        for position in range(len(self.declared.indices)):
            if position not in self.along and self.symmetry.is_free((self.tensor, position)):
                yield position

    def kept(self) -> Iterator[VarName]:
        """Ranks whose coordinate every element of a carrier tells: no word serves two of these fibers."""
        yield from (self._variable(n) for n in self._free() if self._is_kept(n))

    def _is_kept(self, position: int) -> bool:
        place = {self.tensor: position}
        links = [(e, t) for e in statements(self.cascade) for t in self.carriers.touches.get(e.name, ()) if t.onto]
        for _ in range(len(links) + 1):
            for einsum, touch in links:
                if touch.access.tensor in place and touch.access in accesses(einsum):
                    var = plain_variable(touch.access.indices[place[touch.access.tensor]].expr)
                    found = [n for n, i in enumerate(einsum.output.indices) if plain_variable(i.expr) == var]
                    if len(found) != 1 or place.setdefault(einsum.name, found[0]) != found[0]:
                        return False
        return place.keys() >= self.carriers.keys.keys()

    def reduced(self) -> Iterator[VarName]:
        """Ranks that every reader of the tensor (or of its views) reduces, out of operands that do not need it."""
        readers = [(n, e) for n, e in enumerate(statements(self.cascade)) if self._is_reader(e)]
        foreign = {a.tensor for _, e in readers for a in accesses(e)} - self.same
        if any(t == self.tensor or self.tensor in self.needs.get(t, ()) for t in foreign):
            return
        if any(t in outputs(self.cascade) for t in self.same):
            return
        for position in self._free():
            wanted = self.symmetry.of((self.tensor, position))
            views = [e.output for e in self.cascade.einsums if e.name in self.same]
            alone = all(len(positions_in(self.symmetry, a, wanted)) == 1 for a in (self.declared, *views))
            gone = all(not positions_in(self.symmetry, e.output, wanted) for _, e in readers)
            if alone and gone:
                yield self._variable(position)

    def _is_reader(self, einsum: Einsum) -> bool:
        return einsum.name not in self.same and any(a.tensor in self.same for a in accesses(einsum))

    def queries(self) -> Iterator[VarName]:
        """Ranks that all that needs the tensor has once, at one variable: no derived word serves two queries."""
        derived = [
            (n, e)
            for n, e in enumerate(statements(self.cascade))
            if e.name not in self.same and self.tensor in self.needs.get(e.name, ())
        ]
        for first, einsum in derived[:1]:
            for var in variables_of(einsum):
                node = first, var
                if self.symmetry.is_free(node) and self._splits(derived, self.symmetry.of(node)):
                    yield var

    def _splits(self, derived: list[tuple[int, Einsum]], wanted: Node) -> bool:
        own = not positions_in(self.symmetry, self.declared, wanted)
        return own and all(
            len(variables_in(self.symmetry, n, e, wanted)) == 1
            and len(positions_in(self.symmetry, e.output, wanted)) == 1
            for n, e in derived
        )
