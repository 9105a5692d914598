"""The points of a cascade at small sizes with what each reads and writes: the ground of the oracle of passes.

It shares nothing with the analysis but the parser.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from math import prod
from operator import eq, ge, gt, le, lt

from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Einsum,
    Expr,
    FloorDiv,
    Lookup,
    Modulo,
    RankExpr,
    ValueOf,
)

Element = tuple[str, tuple[int, ...]]
RELATIONS = {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq}
UNION = frozenset({"add", "max", "min"})  # these skip an absent operand


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A point of an Einsum's iteration space with the present elements it reads."""

    einsum: Einsum
    at: Mapping[str, int]
    reads: tuple[tuple[Access, Element], ...]


class Program:
    """A cascade at sizes: its points by the element they write, and which elements are present."""

    def __init__(self, text: str, sizes: Mapping[str, int]) -> None:
        self.cascade = parse(text)
        self.sizes = shape_sizes(self.cascade, sizes)
        self.statements = (*self.cascade.inits, *self.cascade.einsums)
        self.inputs = {a.tensor for a in self.cascade.inputs}
        self._drafts: dict[Element, list[tuple[Einsum, dict[str, int]]]] = {}
        self._present: dict[Element, bool] = {}
        self._points: dict[Element, tuple[Point, ...]] = {}
        for einsum in self.statements:
            for at in self._space(einsum):
                self._drafts.setdefault(self.element(einsum.output, at), []).append((einsum, at))

    @cached_property
    def elements(self) -> Mapping[str, frozenset[tuple[int, ...]]]:
        """The present elements of every tensor."""
        found: dict[str, set[tuple[int, ...]]] = {}
        for access in self.cascade.inputs:
            ranges = [range(self.extent(v)) for i in access.indices for v in rank_variables(i.expr)]
            found[access.tensor] = set(product(*ranges))
        for tensor, at in self._drafts:
            if self.present((tensor, at)):
                found.setdefault(tensor, set()).add(at)
        return {t: frozenset(e) for t, e in found.items()}

    def reach(self, tensor: str) -> tuple[int, ...]:
        """How many coordinates a tensor has at each index, those that conditions cut away included."""
        written = [a for a in (*self.cascade.inputs, *(e.output for e in self.statements)) if a.tensor == tensor]
        return tuple(1 + max(self._last(a.indices[n].expr) for a in written) for n in range(len(written[0].indices)))

    def _last(self, expr: RankExpr) -> int:
        names = dict.fromkeys(rank_variables(expr))
        points = (dict(zip(names, at, strict=True)) for at in product(*(range(self.extent(v)) for v in names)))
        return max(self.coordinate(expr, at) for at in points)

    def element(self, access: Access, at: Mapping[str, int]) -> Element:
        """What an access reads or writes at a point."""
        return access.tensor, tuple(self.coordinate(i.expr, at) for i in access.indices)

    def coordinate(self, expr: RankExpr, at: Mapping[str, int]) -> int:
        """A rank expression at a point."""
        if isinstance(expr, FloorDiv | Modulo):
            parts = divmod(at[expr.var], self.sizes[expr.shape])
            return parts[isinstance(expr, Modulo)]
        if isinstance(expr, Lookup):
            raise NotImplementedError("the oracle knows no data")
        return sum(
            t.sign
            * (1 if t.constant is None else t.constant)
            * (1 if t.shape is None else self.sizes[t.shape])
            * (1 if t.var is None else at[t.var])
            for t in expr.terms
        )

    def present(self, element: Element) -> bool:
        """Is the element an input's, or does a point contribute to it?"""
        if element not in self._present:
            self._present[element] = element[0] in self.inputs or bool(self.points(element))
        return self._present[element]

    def points(self, element: Element) -> tuple[Point, ...]:
        """The points that contribute to an element; none to an input's."""
        if element not in self._points:
            drafts = self._drafts.get(element, ())
            self._points[element] = tuple(self._point(e, at) for e, at in drafts if self._has_value(e.expr, at))
        return self._points[element]

    def all_points(self) -> Iterator[Point]:
        """Every point of the cascade, by statement."""
        for element in self._drafts:
            yield from self.points(element)

    def _point(self, einsum: Einsum, at: dict[str, int]) -> Point:
        reads = ((a, self.element(a, at)) for a in read_accesses(einsum.expr))
        return Point(einsum, at, tuple((a, e) for a, e in reads if self.present(e)))

    def _has_value(self, expr: Expr, at: Mapping[str, int]) -> bool:
        if isinstance(expr, Access):
            return self.present(self.element(expr, at))
        if not isinstance(expr, Apply):
            return True
        known = [self._has_value(a, at) for a in expr.args]
        return any(known) if expr.operator in UNION else all(known)

    def _space(self, einsum: Einsum) -> Iterator[dict[str, int]]:
        accesses = (einsum.output, *read_accesses(einsum.expr))
        ranks = [*(i.expr for a in accesses for i in a.indices), *value_ranks(einsum.expr)]
        names = list(dict.fromkeys(v for r in ranks for v in rank_variables(r)))
        chains = [*einsum.conditions, *(c for a in accesses for i in a.indices for c in i.conditions)]
        chains += [c for v in (einsum.reduce.variables if einsum.reduce else ()) for c in v.conditions]
        for values in product(*(range(self.extent(v)) for v in names)):
            at = dict(zip(names, values, strict=True))
            sides = [([self.coordinate(o, at) for o in c.operands], c.relations) for c in chains]
            if all(RELATIONS[r](a, b) for s, rs in sides for (a, b), r in zip(pairwise(s), rs, strict=True)):
                yield at

    def extent(self, var: str) -> int:
        """The number of values of a variable."""
        bound = next((s.bound for s in self.cascade.stops if s.var == var), None)
        return self.sizes[var.upper()] if bound is None else self.coordinate(bound, {})


def shape_sizes(cascade: Cascade, sizes: Mapping[str, int]) -> dict[str, int]:
    """All sizes: constants, products of factors, or the one factor that is missing."""
    known: dict[str, int] = {**{s.name: s.constant for s in cascade.shapes if s.constant is not None}, **sizes}
    for _ in cascade.shapes:
        for shape in cascade.shapes:
            missing = [f for f in shape.factors if f not in known]
            if shape.factors and not missing:
                known[shape.name] = prod(known[f] for f in shape.factors)
            elif len(missing) == 1 and shape.name in known:
                others = prod(known[f] for f in shape.factors if f in known)
                known[missing[0]] = known[shape.name] // others
    return known


def rank_variables(expr: RankExpr) -> tuple[str, ...]:
    """The variables of a rank expression."""
    if isinstance(expr, Lookup):
        raise NotImplementedError("the oracle knows no data")
    return tuple(t.var for t in expr.terms if t.var is not None) if isinstance(expr, Affine) else (expr.var,)


def read_accesses(expr: Expr) -> Iterator[Access]:
    """The tensors that an expression reads, left to right."""
    if isinstance(expr, Access):
        yield expr
    elif isinstance(expr, Apply):
        for arg in expr.args:
            yield from read_accesses(arg)


def value_ranks(expr: Expr) -> Iterator[RankExpr]:
    """What stands in `val(...)`."""
    if isinstance(expr, ValueOf):
        yield expr.expr
    elif isinstance(expr, Apply):
        for arg in expr.args:
            yield from value_ranks(arg)
