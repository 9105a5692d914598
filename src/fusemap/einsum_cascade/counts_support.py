"""Where the elements of every tensor are present, and how many operations follow from that.

The support of a tensor holds its own filter and those of the tensors it is computed from, so that a
causal softmax needs about half the exponentials although only its scores are written with a filter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import sympy as sp

from fusemap.einsum_cascade.counts_closed import count
from fusemap.einsum_cascade.counts_record import OperationCount
from fusemap.einsum_cascade.counts_zones import Expr, Symbol, Zone, project, shape, variable
from fusemap.einsum_cascade.interpreter_schedule import einsums_of, schedule
from fusemap.einsum_cascade.linear import ordered, symbolic
from fusemap.einsum_cascade.operators import Operators
from fusemap.einsum_cascade.points import is_constant
from fusemap.einsum_cascade.printer import format_rank_expr
from fusemap.einsum_cascade.scope import accesses, conditions_of, lookups, shape_of, variables_of
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Einsum,
    FloorDiv,
    Lookup,
    OperatorName,
    RankExpr,
    Reduce,
    ShapeName,
    TensorName,
    VarName,
)
from fusemap.einsum_cascade.types import Expr as Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """The points at which something is present; an upper bound where `exact` is False."""

    zone: Zone
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Inequalities `g >= 0` over a tensor's coordinates `#0`, `#1`, ... that tell where it is present."""

    inequalities: tuple[Expr, ...] = ()
    exact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A cascade with its operators and the supports known so far (a tensor not listed is present throughout)."""

    cascade: Cascade
    operators: Operators
    supports: Mapping[TensorName, Support]


def symbolic_counts(cascade: Cascade, operators: Operators) -> tuple[OperationCount, ...]:
    """See `counts.operation_counts`."""
    context = Context(cascade=cascade, operators=operators, supports=_supports(cascade, operators))
    return tuple(c for einsum in (*cascade.inits, *cascade.einsums) for c in _counts(context, einsum))


def _supports(cascade: Cascade, operators: Operators) -> Mapping[TensorName, Support]:
    """The support of every tensor but the inputs, which are full.

    A tensor that is read before all of it is written, in a recurrence, is guessed to be full; a guess
    that does not come out is only known to be an upper bound.
    """
    steps = tuple(einsums_of(schedule(cascade)))
    doubtful: frozenset[TensorName] = frozenset()
    while True:
        supports: dict[TensorName, Support] = {}
        guessed: set[TensorName] = set()
        unwritten = Counter(e.name for e in steps)
        for einsum in steps:
            guessed |= {a.tensor for a in accesses(einsum) if unwritten[a.tensor]}
            guesses = {t: Support(exact=t not in doubtful) for t in guessed if unwritten[t]}
            context = Context(cascade=cascade, operators=operators, supports={**supports, **guesses})
            new = _support(context, einsum)
            supports[einsum.name] = _either(supports[einsum.name], new) if einsum.name in supports else new
            unwritten[einsum.name] -= 1
        wrong = {t for t in guessed if supports[t] != Support()} - doubtful
        if not wrong:
            return supports
        doubtful |= wrong


def _either(first: Support, second: Support) -> Support:
    """The support of a tensor that two statements write (an init and an Einsum)."""
    full = not (first.inequalities or second.inequalities)
    return Support(exact=full and first.exact and second.exact)


def _support(context: Context, einsum: Einsum) -> Support:
    points = _points(context, einsum, einsum.expr)
    result = _kept(context.cascade, einsum, points, einsum.reduce) if einsum.reduce is not None else points
    return _written(context.cascade, einsum.output, result.zone, result.exact)


def _written(cascade: Cascade, output: Access, zone: Zone, exact: bool) -> Support:
    """The inequalities of a zone in the coordinates of the tensor that `output` writes."""
    inverse: dict[Symbol, Expr] = {}
    for rank, index in enumerate(output.indices):
        value = rank_symbol(cascade, index.expr)
        for var in value.free_symbols & set(zone.extents):
            if sp.expand(value - var).free_symbols.isdisjoint(zone.extents):
                inverse[var] = sp.expand(variable(f"#{rank}") - (value - var))
    usable = [g for g in zone.inequalities if g.free_symbols & set(zone.extents) <= set(inverse)]
    moved = tuple(sp.expand(g.xreplace(inverse)) for g in usable)
    return Support(inequalities=moved, exact=exact and len(usable) == len(zone.inequalities))


def _counts(context: Context, einsum: Einsum) -> Iterator[OperationCount]:
    """One count per map operator, in order of first use, then that of the reduction."""
    totals: dict[OperatorName, Expr] = {}
    exact: dict[OperatorName, bool] = {}
    for operator, where in _applications(context, einsum, einsum.expr):
        totals[operator] = totals.get(operator, sp.Integer(0)) + count(where.zone)
        exact[operator] = exact.get(operator, True) and where.exact
    for operator, total in totals.items():
        yield OperationCount(
            einsum=einsum.name, operator=operator, kind="map", count=sp.factor_terms(total), exact=exact[operator]
        )
    if einsum.reduce is not None:
        points = _points(context, einsum, einsum.expr)
        ranked = einsum.reduce.places is not None
        kept = points if ranked else _kept(context.cascade, einsum, points, einsum.reduce)
        saved = sp.Integer(0) if ranked or not kept.exact else count(kept.zone)
        yield OperationCount(
            einsum=einsum.name,
            operator=einsum.reduce.operator,
            kind="reduce",
            count=count(points.zone) - saved,
            exact=kept.exact,
        )


def _applications(context: Context, einsum: Einsum, expr: Tree) -> Iterator[tuple[OperatorName, Presence]]:
    """Every operator of an expression with the points at which it has all its operands."""
    if isinstance(expr, Apply) and not is_constant(expr):
        for arg in expr.args:
            yield from _applications(context, einsum, arg)
        yield expr.operator, _all_of([_points(context, einsum, arg) for arg in expr.args])


def _points(context: Context, einsum: Einsum, expr: Tree) -> Presence:
    """The points of an Einsum's iteration space at which `expr` is present."""
    if isinstance(expr, Access):
        return _read(context, einsum, expr)
    if isinstance(expr, Apply):
        args = [_points(context, einsum, arg) for arg in expr.args]
        operator = context.operators.map(expr.operator)
        found = _any_of(*args) if operator.union else _all_of(args)
        return Presence(zone=found.zone, exact=found.exact and not operator.filters)
    return _space(context.cascade, einsum)


def _read(context: Context, einsum: Einsum, access: Access) -> Presence:
    """Where the element and the indices that it is looked up at are present; which one it is then, data decides."""
    support = context.supports.get(access.tensor, Support())
    ranks = {variable(f"#{r}"): rank_symbol(context.cascade, i.expr) for r, i in enumerate(access.indices)}
    data = {rank_symbol(context.cascade, lookup) for lookup in lookups(access)}
    inequalities = [g.xreplace(ranks) for g in support.inequalities]
    known = [g for g in inequalities if g.free_symbols.isdisjoint(data)]
    space = _space(context.cascade, einsum)
    exact = space.exact and support.exact and len(known) == len(inequalities)
    own = Presence(zone=space.zone.cut(known), exact=exact)
    return _all_of([own, *(_read(context, einsum, lookup.access) for lookup in lookups(access))])


def _all_of(args: Iterable[Presence]) -> Presence:
    first, *rest = args
    for other in rest:
        first = Presence(zone=first.zone.cut(other.zone.inequalities), exact=first.exact and other.exact)
    return first


def _any_of(left: Presence, right: Presence) -> Presence:
    """The union where one zone contains the other; the Einsum's whole space, inexact, otherwise."""
    exact = left.exact and right.exact
    for wide, narrow in ((left, right), (right, left)):
        if wide.zone.contains(narrow.zone):
            return Presence(zone=wide.zone, exact=exact)
    common = [g for g in left.zone.inequalities if g in right.zone.inequalities]
    return Presence(zone=Zone(extents=left.zone.extents, inequalities=tuple(common)), exact=False)


def _kept(cascade: Cascade, einsum: Einsum, points: Presence, reduce: Reduce) -> Presence:
    """The outputs that at least one point contributes to; at place j of a ranked one, more than j points."""
    if reduce.places is not None:
        return _ranked(cascade, einsum, points, reduce.variables[0].var, reduce.places)
    variables = [variable(v.var) for v in reduce.variables]
    for order in permutations(variables):
        zone: Zone | None = points.zone
        for var in order:
            zone = project(zone, var) if zone is not None else None
        if zone is not None:
            return Presence(zone=zone, exact=points.exact)
    extents = {v: n for v, n in points.zone.extents.items() if v not in variables}
    free = tuple(g for g in points.zone.inequalities if g.free_symbols.isdisjoint(variables))
    return Presence(zone=Zone(extents=extents, inequalities=free), exact=False)


def _ranked(cascade: Cascade, einsum: Einsum, points: Presence, var: VarName, places: VarName) -> Presence:
    """The places that are filled: place j where `points` have more than j values of `var`."""
    place = variable(places)
    extents = {**points.zone.extents, place: _extent(cascade, places)}
    filled = project(Zone(extents=extents, inequalities=points.zone.inequalities), variable(var), place)
    if filled is None:
        free = tuple(g for g in points.zone.inequalities if variable(var) not in g.free_symbols)
        filled = Zone(extents={v: n for v, n in extents.items() if v != variable(var)}, inequalities=free)
        points = Presence(zone=points.zone, exact=False)
    own = [g for g in _inequalities(cascade, einsum) if place in g.free_symbols]
    return Presence(zone=filled.cut(own), exact=points.exact)


def _space(cascade: Cascade, einsum: Einsum) -> Presence:
    """The iteration space: the box of the variables' ranges cut by all conditions.

    The place of a ranked reduction is none of them: what is ranked is visited once for all places.
    """
    extents = {variable(v): _extent(cascade, v) for v in variables_of(einsum)}
    zone = Zone(extents=extents).cut(_inequalities(cascade, einsum))
    if einsum.reduce is None or einsum.reduce.places is None:
        return Presence(zone=zone)
    place = variable(einsum.reduce.places)
    visited = project(zone, place)
    if visited is not None:
        return Presence(zone=visited)
    free = tuple(g for g in zone.inequalities if place not in g.free_symbols)
    return Presence(zone=Zone(extents={v: n for v, n in extents.items() if v != place}, inequalities=free), exact=False)


def _inequalities(cascade: Cascade, einsum: Einsum) -> Iterator[Expr]:
    for chain in conditions_of(einsum):
        for high, low, gap in ordered(chain):
            yield rank_symbol(cascade, high) - rank_symbol(cascade, low) - gap


def _extent(cascade: Cascade, var: VarName) -> Expr:
    stop = next((s for s in cascade.stops if s.var == var), None)
    return shape_symbol(cascade, shape_of(var)) if stop is None else rank_symbol(cascade, stop.bound)


def shape_symbol(cascade: Cascade, name: ShapeName) -> Expr:
    """A shape in terms of those that nothing determines: M1*M0 for M = M1*M0, M for P = M, 2 for W = 2."""
    declared = next((s for s in cascade.shapes if s.name == name), None)
    if declared is None or not (declared.factors or declared.constant):
        return shape(name)
    if declared.constant is not None:
        return sp.Integer(declared.constant)
    return sp.prod(shape_symbol(cascade, f) for f in declared.factors)


def rank_symbol(cascade: Cascade, expr: RankExpr) -> Expr:
    """A rank expression as a SymPy expression in its variables and shapes; a lookup is a symbol of its own."""
    if isinstance(expr, Lookup):
        return variable(format_rank_expr(expr))
    if isinstance(expr, Affine):
        return sp.Add(*(c * _product(cascade, var, name) for (var, name), c in symbolic(expr).items()))
    var, divisor = variable(expr.var), shape_symbol(cascade, expr.shape)
    return sp.floor(var / divisor) if isinstance(expr, FloorDiv) else sp.Mod(var, divisor)


def _product(cascade: Cascade, var: VarName | None, name: ShapeName | None) -> Expr:
    factor = sp.Integer(1) if var is None else variable(var)
    return factor if name is None else factor * shape_symbol(cascade, name)
