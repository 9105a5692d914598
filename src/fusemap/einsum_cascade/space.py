"""Iteration spaces and written coordinates as integer inequalities, for known sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite

from fusemap.einsum_cascade.feasible import Linear, Point, combine, find_point, linear
from fusemap.einsum_cascade.index_ranges import Range, index_range
from fusemap.einsum_cascade.linear import ordered, value
from fusemap.einsum_cascade.printer import format_rank_expr
from fusemap.einsum_cascade.resolve import Sizes, extent
from fusemap.einsum_cascade.scope import accesses, conditions_of, lookups, plain_variable, variables_of
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, FloorDiv, Lookup, Modulo, RankExpr

Interval = tuple[int, int]
Box = tuple[Interval, ...]
ANYWHERE: Interval = (-(1 << 62), 1 << 62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The points of an Einsum: `lasts[v]` is the last coordinate of variable v, from 0 on.

    `prefix` tells the variables of two spaces apart; v//S and v%S count as variables of their own,
    which `constraints` ties to v. So does a lookup, over the interval in `looked_up`; where its element
    is present, `selected` holds too.
    """

    einsum: Einsum
    sizes: Sizes
    lasts: Mapping[str, int]
    constraints: tuple[Linear, ...]
    prefix: str = ""
    looked_up: Mapping[str, Interval] = field(default_factory=dict)
    selected: Mapping[str, tuple[Linear, ...]] = field(default_factory=dict)

    def form(self, expr: RankExpr) -> Linear:
        """The coordinate as a linear form."""
        return _form(expr, self.sizes, self.prefix)

    def interval(self, expr: RankExpr) -> Interval:
        """Least and greatest value of an index if the conditions are left out."""
        if isinstance(expr, Lookup):
            return self.looked_up[_name(expr, self.prefix)]
        if not isinstance(expr, Affine):
            last, divisor = self.lasts[self.prefix + expr.var], self.sizes[expr.shape]
            return (0, last // divisor if isinstance(expr, FloorDiv) else min(last, divisor - 1))
        if (var := plain_variable(expr)) is not None:
            last = self.lasts[self.prefix + var]
            return min(last, 0), max(last, 0)
        form = self.form(expr)
        terms = [c * self.lasts[v] for v, c in form.coefficients]
        return form.constant + sum(min(t, 0) for t in terms), form.constant + sum(max(t, 0) for t in terms)

    def box(self, access: Access) -> Box:
        """The interval of every index of an access."""
        return tuple([self.interval(i.expr) for i in access.indices])

    def where(self, lookup: Lookup, interval: Interval) -> Space:
        """The part of the space at which a lookup gives a coordinate in the interval."""
        name = _name(lookup, self.prefix)
        low, high = self.looked_up[name]
        clipped = max(low, interval[0]), min(high, interval[1])
        constraints = (*self.constraints, *within(linear({name: 1}), clipped))
        return replace(self, looked_up={**self.looked_up, name: clipped}, constraints=constraints)

    def find(self, exprs: Iterable[RankExpr], also: Iterable[Linear]) -> Point | None:
        """A point of the space that reads at `exprs` and at which the forms in `also`, made of those, are >= 0."""
        ties = (c for e in exprs for c in self._tied(e))
        return find_point((*self.constraints, *ties, *also))

    def _tied(self, expr: RankExpr) -> Iterable[Linear]:
        if isinstance(expr, Lookup):
            return self.selected[_name(expr, self.prefix)]
        return _ties(expr, self.sizes, self.prefix)


def space_of(cascade: Cascade, sizes: Sizes, einsum: Einsum, *, prefix: str = "") -> Space:
    """The product of the ranges of the Einsum's variables, cut by all its conditions."""
    lasts = {prefix + v: extent(cascade, sizes, v) - 1 for v in variables_of(einsum)}
    constraints = [c for v, last in lasts.items() for c in (linear({v: 1}), linear({v: -1}, last))]
    for chain in conditions_of(einsum):
        for operand in chain.operands:
            constraints += _ties(operand, sizes, prefix)
        for high, low, gap in ordered(chain):
            constraints.append((_form(high, sizes, prefix) - _form(low, sizes, prefix)).shifted(-gap))
    found = {_name(k, prefix): _integers(index_range(cascade, sizes, k.access.tensor)) for k in _lookups(einsum)}
    constraints += [c for name, interval in found.items() for c in within(linear({name: 1}), interval)]
    return Space(
        einsum=einsum,
        sizes=sizes,
        lasts=lasts,
        constraints=tuple(constraints),
        prefix=prefix,
        looked_up=found,
        selected={_name(k, prefix): tuple(_selected(cascade, sizes, k, prefix)) for k in _lookups(einsum)},
    )


def _lookups(einsum: Einsum) -> Iterator[Lookup]:
    for access in accesses(einsum):
        yield from lookups(access)


def _selected(cascade: Cascade, sizes: Sizes, lookup: Lookup, prefix: str) -> Iterator[Linear]:
    """What the filter of a topk says about the coordinates that it selects: m<=p of `I[j,p] = topk[m: m<=p; j] ...`."""
    writers = [e for e in (*cascade.inits, *cascade.einsums) if e.name == lookup.access.tensor]
    ranked = writers[0].reduce if len(writers) == 1 else None
    if ranked is None or ranked.places is None:
        return
    known = {str(ranked.variables[0].var): linear({_name(lookup, prefix): 1})}
    for own, index in zip(writers[0].output.indices, lookup.access.indices, strict=True):
        var = plain_variable(own.expr)
        if var is not None:
            known[var] = _form(index.expr, sizes, prefix)
    for chain in conditions_of(writers[0]):
        for high, low, gap in ordered(chain):
            bound = (_form(high, sizes, "") - _form(low, sizes, "")).shifted(-gap)
            if all(v in known for v, _ in bound.coefficients):
                terms = (combine(known[v], c, linear({}), 0) for v, c in bound.coefficients)
                yield sum(terms, linear({}, bound.constant))


def _name(lookup: Lookup, prefix: str) -> str:
    """A name for the coordinate that a lookup gives; no variable has such a name."""
    return f"{prefix}{format_rank_expr(lookup)}"


def _integers(found: Range) -> Interval:
    low, high = (int(x) if isfinite(x) else end for x, end in zip(found, ANYWHERE, strict=True))
    return low, high


def _form(expr: RankExpr, sizes: Sizes, prefix: str) -> Linear:
    if (var := plain_variable(expr)) is not None:
        return linear({prefix + var: 1})
    if isinstance(expr, Affine):
        coefficients, constant = value(expr, sizes)
        return linear({prefix + v: c for v, c in coefficients.items()}, constant)
    if isinstance(expr, Lookup):
        return linear({_name(expr, prefix): 1})
    quotient, rest = _parts(expr, prefix)
    return linear({quotient if isinstance(expr, FloorDiv) else rest: 1})


def _parts(expr: FloorDiv | Modulo, prefix: str) -> tuple[str, str]:
    """Names for the quotient and the rest of a variable by a shape; no variable has such a name."""
    return f"{prefix}{expr.var}//{expr.shape}", f"{prefix}{expr.var}%{expr.shape}"


def _ties(expr: RankExpr, sizes: Sizes, prefix: str) -> Iterator[Linear]:
    """var = quotient*shape + rest with 0 <= rest < shape, as inequalities."""
    if isinstance(expr, Affine | Lookup):
        return
    quotient, rest = _parts(expr, prefix)
    divisor = sizes[expr.shape]
    whole = {prefix + expr.var: 1, quotient: -divisor, rest: -1}
    yield linear(whole)
    yield linear({v: -c for v, c in whole.items()})
    yield linear({rest: 1})
    yield linear({rest: -1}, divisor - 1)


def within(form: Linear, interval: Interval) -> tuple[Linear, Linear]:
    """The two inequalities of low <= form <= high."""
    low, high = interval
    return form.shifted(-low), linear({v: -c for v, c in form.coefficients}, high - form.constant)


def outsides(form: Linear, interval: Interval) -> tuple[Linear, Linear]:
    """How far the form is below and above the interval."""
    low, high = interval
    return linear({v: -c for v, c in form.coefficients}, low - form.constant), form.shifted(-high)


def covers(outer: Box, inner: Box) -> bool:
    """Does the box hold every point of the other?"""
    return all(a <= c and d <= b for (a, b), (c, d) in zip(outer, inner, strict=True))


def meet(left: Box, right: Box) -> bool:
    """Do two boxes have a point in common?"""
    return all(a <= d and c <= b for (a, b), (c, d) in zip(left, right, strict=True))


def merged(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Fewer boxes with the same points: neighbours that differ in one position become one."""
    rest = sorted(set(boxes))
    while True:
        done: list[Box] = []
        for box in rest:
            joined = _joined(done[-1], box) if done else None
            if joined is None:
                done.append(box)
            else:
                done[-1] = joined
        if len(done) == len(rest):
            return tuple(done)
        rest = done


def _joined(left: Box, right: Box) -> Box | None:
    """The union of two boxes if it is a box."""
    if covers(left, right):
        return left
    if covers(right, left):
        return right
    differing = [k for k, (a, b) in enumerate(zip(left, right, strict=True)) if a != b]
    if len(differing) != 1:
        return None
    at = differing[0]
    (a, b), (c, d) = left[at], right[at]
    if max(a, c) > min(b, d) + 1:
        return None
    return (*left[:at], (min(a, c), max(b, d)), *left[at + 1 :])


def outside(space: Space, access: Access, boxes: Sequence[Box]) -> Point | None:
    """A point of the space at which the access is in none of the boxes, by the sides it can be beyond."""
    mine = space.box(access)
    if any(covers(b, mine) for b in boxes):
        return None
    exprs = [i.expr for i in access.indices]
    forms = [space.form(e) for e in exprs]

    def beyond(chosen: tuple[Linear, ...], rest: Sequence[Box]) -> Point | None:
        point = space.find(exprs, chosen)
        if point is None or not rest:
            return point
        for form, interval in zip(forms, rest[0], strict=True):
            for side in outsides(form, interval):
                found = beyond((*chosen, side.shifted(-1)), rest[1:])
                if found is not None:
                    return found
        return None

    return beyond((), boxes)
