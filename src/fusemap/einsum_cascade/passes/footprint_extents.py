"""How many elements a statement writes or reads in one iteration of the outer loops, as expressions of the shapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from fusemap.einsum_cascade.counts_support import shape_symbol
from fusemap.einsum_cascade.counts_zones import Expr
from fusemap.einsum_cascade.passes.edges import Links
from fusemap.einsum_cascade.passes.footprint_loops import Loops
from fusemap.einsum_cascade.passes.model import Statement
from fusemap.einsum_cascade.passes.zones import SIZE, ZERO, Zone, close, nodes_of
from fusemap.einsum_cascade.types import Access, Apply, ShapeName, TensorName
from fusemap.einsum_cascade.types import Expr as Tree


@dataclass(frozen=True, slots=True)
class Count:
    """A number of elements; an upper bound if not exact."""

    count: Expr
    exact: bool = True

    def plus(self, other: Count) -> Count:
        """The sum of both."""
        return Count(self.count + other.count, self.exact and other.exact)

    def at_least(self, other: Count) -> Count:
        """The maximum, decided where both are the same or one is nothing."""
        if other.count == 0 or self.count == other.count:
            return Count(self.count, self.exact and other.exact)
        if self.count == 0:
            return other
        return Count(sp.Max(self.count, other.count), self.exact and other.exact)

    def bound(self) -> Count:
        """The same number, only known not to be too small."""
        return Count(self.count, False)


ONE = Count(sp.Integer(1))
NONE = Count(sp.Integer(0))


class Extents:
    """Extents of statements and inputs inside a number of loops."""

    def __init__(self, links: Links, loops: Loops) -> None:
        self.links = links
        self.loops = loops
        self.model = links.model
        self.sure = _sure(links)

    def whole(self, s: Statement, level: int, across: str = "") -> Count:
        """All elements that a statement writes in one iteration of the loops outside `level`.

        With `across`, a loop in whose iterations the same elements are live: exact if no filter ties them to it.
        """
        left = self.loops.left(s)
        inner = {left[loop] for loop in self.loops.order[level:] if loop in left}
        count = self.of(s, inner, level, across)
        return count if all(d.place is not None for p in s.writes for d in p) else count.bound()

    def of(self, s: Statement, inner: set[str], level: int, across: str = "") -> Count:
        """The most points of some inner coordinates in one iteration of the loops outside `level`."""
        fixed = (*self.loops.batch, *self.loops.order[:level])
        outer = {n for loop, n in self.loops.nodes(s).items() if loop in fixed}
        domain = self.links.domains[s.number]
        zone = None if domain is None else close(domain | s.bounds(nodes_of(domain) | inner | outer))
        if zone is None:
            return NONE
        total = sp.Mul(*(self._width(zone, node, outer) for node in sorted(inner)))
        ends = inner | {n for loop, n in self.loops.nodes(s).items() if loop == across}
        tied = any(a in ends and b in ends for a, b, _ in domain or ())
        return Count(total, s.number in self.sure and not tied)

    def _width(self, zone: Zone, node: str, fixed: Iterable[str]) -> Expr:
        """The most values of a coordinate while others are fixed: the least that any two bounds leave."""
        above = {b: c for a, b, c in zone if a == node}
        below = {a: c for a, b, c in zone if b == node}
        widths = [sp.Integer(above[n] + below[n] + 1) for n in fixed if n in above and n in below]
        for high, c in above.items() if ZERO in below else ():
            if high == ZERO or high.startswith(SIZE):
                size = 0 if high == ZERO else shape_symbol(self.model.cascade, ShapeName(high[1:]))
                width = sp.Integer(c + below[ZERO] + 1) + size
                widths.append(width if width.is_nonnegative else sp.Max(0, width))
        return sp.Min(*widths)

    def alike(self, users: Iterable[Statement]) -> bool:
        """Are statements filtered alike, as far as is known, so that what one of them has all others have?"""
        numbers = {s.number for s in users}
        return numbers <= self.sure and len({bool(self.links.domains[n]) for n in numbers}) == 1

    def everything(self, tensor: TensorName) -> Expr:
        """All elements of an input for one coordinate of the fixed loops."""
        return sp.Mul(*(shape_symbol(self.model.cascade, rank) for rank in self.model.frame.ranks[tensor]))


def _sure(links: Links) -> frozenset[int]:
    """Statements whose zone is their points: no condition without a form and no joint filters in what they need."""
    statements = links.model.statements
    found = {s.number for s in statements if s.cut.exact and not _joins(links, s.einsum.expr)}
    bad = {s.number for s in statements} - found
    while bad:
        names = {statements[n].name for n in bad}
        bad = {s.number for s in statements if s.number in found and names & {r.access.tensor for r in s.reads}}
        found -= bad
    return frozenset(found)


def _joins(links: Links, expr: Tree) -> bool:
    """Is a value present where any of several filtered tensors is? The zone around them may be wider."""
    if not isinstance(expr, Apply):
        return False
    below = [_joins(links, a) for a in expr.args]
    return any(below) or (links.operators.map(expr.operator).union and all(_filtered(links, a) for a in expr.args))


def _filtered(links: Links, expr: Tree) -> bool:
    if isinstance(expr, Access):
        return any(links.domains[w.number] != frozenset() for w in links.model.writers(expr.tensor))
    return isinstance(expr, Apply) and any(_filtered(links, a) for a in expr.args)
