"""Static errors of what depends on data: lookups `K[e,I[j]]` and ranked reductions `topk[m; j]`."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.diagnostics import Diagnostic
from fusemap.einsum_cascade.check_context import Context
from fusemap.einsum_cascade.index_tensors import all_lookups, not_integers
from fusemap.einsum_cascade.scope import (
    conditions_of,
    lookups,
    output_variables,
    rank_variables,
    variables_of,
)
from fusemap.einsum_cascade.types import Chain, Einsum, Reduce, VarName

_INTEGERS = "integers are inputs, topk, floor, val, comparisons, and + - * max min where only of integers"


def check_lookups(context: Context) -> Iterator[Diagnostic]:
    """Lookups of tensors that may hold other numbers than integers."""
    found = [(lookup.access, lookup.span) for _, _, lookup in all_lookups(context.cascade)]
    real = not_integers(context.cascade) if found else frozenset()
    for access, span in found:
        if access.tensor in real and access.tensor not in context.broken:
            yield context.error(span, f"{access.tensor} is an index, but not sure to hold integers", _INTEGERS)
        if lookups(access):
            yield context.error(span, f"index {access.tensor} is itself read at an index that is data")


def check_places(context: Context, einsum: Einsum, reduce: Reduce) -> Iterator[Diagnostic]:
    """A ranked reduction has one variable and a place on the left; no other reduction has a place."""
    name, places = reduce.operator, reduce.places
    ranked = name in context.operators.reduce_names and context.operators.reduction(name).ranked
    if places is None:
        if ranked:
            hint = f"write {name}[{reduce.variables[0].var}; j] with j on the left: the place in the order, 0 first"
            yield context.error(reduce.span, f"{name} needs a place", hint)
        return
    if not ranked:
        if name in context.operators.reduce_names:
            yield context.error(reduce.span, f"{name} has no place", f"write {name}[{_listed(reduce)}]")
        return
    if len(reduce.variables) > 1:
        hint = "flatten them by an Einsum of their own, as in F[m*N+n] = S[m,n]"
        yield context.error(reduce.span, f"{name} ranks along one variable, found {_listed(reduce)}", hint)
    if places not in output_variables(einsum.output):
        hint = f"write {einsum.name}[{places},...]" if einsum.output.indices else f"write {einsum.name}[{places}]"
        yield context.error(reduce.span, f"place {places} of {name} is not on the left", hint)
    if places in variables_of(einsum.expr):
        yield context.error(reduce.span, f"place {places} of {name} is on the right", "the place only orders results")
    for chain in conditions_of(einsum):
        tied = _variables(chain) & {v.var for v in reduce.variables}
        if places in _variables(chain) and tied:
            message = f"filter ties {min(tied)} to {places}: what {name} ranks cannot depend on the place"
            yield context.error(chain.span, message)


def _listed(reduce: Reduce) -> str:
    return ", ".join(v.var for v in reduce.variables)


def _variables(chain: Chain) -> set[VarName]:
    return {v for operand in chain.operands for v in rank_variables(operand)}
