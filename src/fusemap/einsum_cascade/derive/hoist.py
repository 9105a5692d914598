"""Rule (a): what does not depend on the reduced rank leaves the sum, as a factor or as coefficients of a polynomial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import sympy as sp

from fusemap.einsum_cascade.derive.algebra import NotAlgebraicError, Symbols
from fusemap.einsum_cascade.derive.roles import Roles, roles_of
from fusemap.einsum_cascade.derive.step import Draft, Step
from fusemap.einsum_cascade.derive.terms import (
    access,
    apply,
    factors_of,
    fresh,
    mapped,
    product,
    variable,
    with_variables,
)
from fusemap.einsum_cascade.printer import format_expr
from fusemap.einsum_cascade.scope import conditions_of, plain_variable, shape_of, variables_of, walk
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Einsum,
    Expr,
    Index,
    Number,
    Reduce,
    SizeOf,
    TensorName,
    VarName,
)

MAX_DEGREE = 4
MAX_TERMS = 8
_SEPARABLE = ("add", "sub", "mul", "div", "neg", "square")


def hoisted(draft: Draft, rank: str) -> Draft:
    """The draft with every factor that is complete before a sum over the rank drawn out of it, if there is one."""
    roles = roles_of(draft.cascade, rank)
    for name in roles.dependent:
        found = _factored(roles, roles.einsums[name])
        if found is not None:
            inner, outer, out = found
            step = Step(
                rule="hoist",
                applied=(name,),
                identity=f"sum over {roles.var} of b*a = b * (sum of a), with b = {format_expr(out)}",
            )
            cascade = _replaced(draft.cascade, name, (inner, outer))
            return hoisted(Draft(cascade=cascade, steps=(*draft.steps, step)), rank)
    return draft


def expanded(draft: Draft, rank: str) -> Draft:
    """As `hoisted` for sums of terms that separate into what is complete before and what is not: one sum for each."""
    apart = replace(draft, cascade=_with_functions_apart(draft.cascade, rank))
    roles = roles_of(apart.cascade, rank)
    for name in roles.dependent:
        found = _separate(roles, roles.einsums[name])
        if found is not None:
            parts, outer = found
            step = Step(
                rule="separate",
                applied=(name,),
                identity=f"sum of c0*a0 + c1*a1 + ... = c0 * sum a0 + c1 * sum a1 + ...: "
                f"{outer.name} = {format_expr(outer.expr)}",
            )
            cascade = _replaced(apart.cascade, name, (*parts, outer))
            return expanded(Draft(cascade=cascade, steps=(*draft.steps, step)), rank)
    return draft


def _replaced(cascade: Cascade, name: str, by: Sequence[Einsum]) -> Cascade:
    einsums = [e for found in cascade.einsums for e in (by if found.name == name else (found,))]
    return replace(cascade, einsums=tuple(einsums))


def _factored(roles: Roles, einsum: Einsum) -> tuple[Einsum, Einsum, Expr] | None:
    """The sum without the factors that leave it, the Einsum that applies them, and these; None if none leaves."""
    if einsum.reduce is None or einsum.reduce.operator != "sum":
        return None
    reduced = {str(v.var) for v in einsum.reduce.variables}
    above, below = factors_of(inlined_products(roles, einsum.expr, reduced))
    out = [_leaves_sum(roles, factor, reduced) for factor in above], [_leaves_sum(roles, f, reduced) for f in below]
    if not any(out[0]) and not any(out[1]):
        return None
    kept_above = [f for f, leaves in zip(above, out[0], strict=True) if not leaves]
    kept_below = [f for f, leaves in zip(below, out[1], strict=True) if not leaves]
    gone_above = [f for f, leaves in zip(above, out[0], strict=True) if leaves]
    gone_below = [f for f, leaves in zip(below, out[1], strict=True) if leaves]
    body = product(kept_above, kept_below)
    if roles.var not in variables_of(body):
        return None
    inner = TensorName(fresh(f"U{einsum.name}", _names(roles.cascade)))
    output = replace(_bare(einsum.output), tensor=inner)
    made = replace(einsum, output=replace(einsum.output, tensor=inner), expr=body, reduce=_explicit(einsum))
    applied = Einsum(output=_bare(einsum.output), reduce=None, expr=product([output, *gone_above], gone_below))
    return made, applied, product(gone_above, gone_below)


def _explicit(einsum: Einsum) -> Reduce | None:
    """The reduction, written out."""
    return replace(einsum.reduce, explicit=True) if einsum.reduce is not None else None


def _bare(output: Access) -> Access:
    return replace(output, indices=tuple(Index(expr=i.expr) for i in output.indices))


def _leaves_sum(roles: Roles, factor: Expr, reduced: set[str]) -> bool:
    """Does a factor depend on a finished statistic, and on no variable that is summed over?"""
    if reduced & set(variables_of(factor)):
        return False
    return any(isinstance(node, Access) and roles.depends(str(node.tensor)) for node in walk(factor))


def inlined_products(roles: Roles, expr: Expr, reduced: set[str]) -> Expr:
    """The expression with streams that are products with a factor that could leave the sum put in place."""

    def change(found: Access) -> Expr:
        body = stream_body(roles, found)
        if body is None:
            return found
        body = inlined_products(roles, body, reduced)
        above, below = factors_of(body)
        return body if any(_leaves_sum(roles, f, reduced) for f in (*above, *below)) else found

    return mapped(expr, change)


def stream_body(roles: Roles, found: Access) -> Expr | None:
    """What a stream with a statistic in it computes, in the variables of an access; None if it cannot be put there."""
    name = str(found.tensor)
    einsum = roles.einsums.get(name)
    if einsum is None or einsum.reduce is not None or not roles.depends(name):
        return None
    if not roles.is_stream(name) or conditions_of(einsum):
        return None
    into: dict[str, Affine] = {}
    for own, given in zip(einsum.output.indices, found.indices, strict=True):
        var = plain_variable(own.expr)
        if var is None or not isinstance(given.expr, Affine) or given.conditions:
            return None
        into[str(var)] = given.expr
    try:
        return with_variables(einsum.expr, into)
    except ValueError:
        return None


def inlined(roles: Roles, expr: Expr) -> Expr:
    """The expression with all streams put in place that a statistic is part of."""

    def change(found: Access) -> Expr:
        body = stream_body(roles, found)
        return found if body is None else inlined(roles, body)

    return mapped(expr, change)


def _separate(roles: Roles, einsum: Einsum) -> tuple[list[Einsum], Einsum] | None:
    """Sums of what is not finished in each term, and the Einsum that puts them together; None where that fails."""
    if einsum.reduce is None or einsum.reduce.operator != "sum" or conditions_of(einsum):
        return None
    reduced = {str(v.var) for v in einsum.reduce.variables}
    found = separated(roles, expandable(roles, einsum.expr, reduced), reduced)
    if found is None:
        return None
    symbols, terms = found
    taken = set(_names(roles.cascade))
    parts: list[Einsum] = []
    total: Expr | None = None
    for monomial, coefficient in terms:
        number, body = coefficient.as_coeff_Mul()
        value, part = _summed(roles, einsum, symbols.expression(body), taken)
        if value is None:
            return None
        parts += part
        scale = [symbols.expression(c) for c in (abs(number), monomial) if c != 1]
        term = product([*scale, value])
        if total is None:
            total = apply("neg", term) if number < 0 else term
        else:
            total = apply("sub" if number < 0 else "add", total, term)
    assert total is not None
    return parts, Einsum(output=_bare(einsum.output), reduce=None, expr=total)


def _summed(roles: Roles, einsum: Einsum, body: Expr, taken: set[str]) -> tuple[Expr | None, list[Einsum]]:
    """The sum of a coefficient over the reduced ranks: an Einsum, or the number of terms times a constant."""
    assert einsum.reduce is not None
    if roles.var not in variables_of(body):
        if len(einsum.reduce.variables) > 1 or variables_of(body):
            return None, []
        size = SizeOf(shape=shape_of(VarName(roles.var)))
        return (size if body == Number(text="1") else apply("mul", size, body)), []
    name = fresh(f"U{einsum.name}", taken)
    taken.add(name)
    output = replace(_bare(einsum.output), tensor=TensorName(name))
    return output, [replace(einsum, output=output, expr=body, reduce=_explicit(einsum))]


def separated(roles: Roles, expr: Expr, reduced: set[str]) -> tuple[Symbols, list[tuple[sp.Expr, sp.Expr]]] | None:
    """An expression as a sum of products of what is finished and what is not; None where a term is no such product."""
    symbols = Symbols()
    try:
        value = sp.expand(symbols.algebraic(expr), power_exp=False, log=False)
    except NotAlgebraicError:
        return None
    inside = [s for s, leaf in symbols.leaves.items() if not _is_finished(roles, leaf, reduced)]
    finished = {s for s in symbols.leaves if s not in inside}
    terms: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(value):
        outer, inner = term.as_independent(*inside, as_Add=False)
        number, outer = outer.as_coeff_Mul()
        if inner.free_symbols & finished:
            return None
        terms[outer] = terms.get(outer, sp.Integer(0)) + number * inner
    found = [(outer, inner) for outer, inner in terms.items() if inner != 0]
    if not finished or len(found) > MAX_TERMS or all(outer == 1 for outer, _ in found):
        return None
    return symbols, sorted(found, key=lambda item: (len(item[0].free_symbols), str(item[0])))


def expandable(roles: Roles, expr: Expr, reduced: set[str]) -> Expr:
    """The expression with streams in place that are sums or products of finished values, but not functions of them."""

    def change(found: Access) -> Expr:
        body = stream_body(roles, found)
        if body is None or not _is_rational(body):
            return found
        return expandable(roles, body, reduced)

    return mapped(expr, change)


def _is_rational(expr: Expr) -> bool:
    """Only sums, products, quotients and squares; functions of what is without the reduced rank may be inside."""
    if not isinstance(expr, Apply) or str(expr.operator) in ("log", "sqrt", "rsqrt", "recip"):
        return True
    return str(expr.operator) in _SEPARABLE and all(map(_is_rational, expr.args))


def _with_functions_apart(cascade: Cascade, rank: str) -> Cascade:
    """The cascade in which a function of a statistic inside a sum or product is an Einsum of its own."""
    roles = roles_of(cascade, rank)
    for name in (*roles.einsums,):
        einsum = roles.einsums[name]
        if roles.after[name] and (roles.is_stream(name) or roles.is_reduction(name)):
            inner = _inner_function(roles, einsum.expr)
            if inner is not None:
                return _with_functions_apart(_apart(cascade, einsum, inner), rank)
    return cascade


def _inner_function(roles: Roles, expr: Expr) -> Apply | None:
    """A function of a stream and a statistic that is part of a sum or product."""
    if not isinstance(expr, Apply) or str(expr.operator) not in _SEPARABLE:
        return None
    for arg in expr.args:
        if isinstance(arg, Apply) and str(arg.operator) not in _SEPARABLE:
            inside = [str(n.tensor) for n in walk(arg) if isinstance(n, Access)]
            if roles.var in variables_of(arg) and any(map(roles.depends, inside)):
                return arg
        found = _inner_function(roles, arg)
        if found is not None:
            return found
    return None


def _apart(cascade: Cascade, einsum: Einsum, inner: Apply) -> Cascade:
    name = fresh(f"{einsum.name}F", _names(cascade))
    output = access(name, *(variable(str(v)) for v in variables_of(inner)))

    def change(expr: Expr) -> Expr:
        if expr == inner:
            return output
        return replace(expr, args=tuple(map(change, expr.args))) if isinstance(expr, Apply) else expr

    made = Einsum(output=output, reduce=None, expr=inner)
    return _replaced(cascade, str(einsum.name), (made, replace(einsum, expr=change(einsum.expr))))


def _is_finished(roles: Roles, leaf: Expr, reduced: set[str]) -> bool:
    return isinstance(leaf, Access) and roles.depends(str(leaf.tensor)) and not reduced & set(variables_of(leaf))


def _names(cascade: Cascade) -> Iterator[str]:
    yield from (str(a.tensor) for a in cascade.inputs)
    yield from (str(e.name) for e in cascade.einsums)
