"""Static errors of the right side of an Einsum: reads, operators, reduce list, conditions."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.diagnostics import Diagnostic
from fusemap.einsum_cascade.check_context import Context
from fusemap.einsum_cascade.check_declarations import tensor_case
from fusemap.einsum_cascade.check_left import rank_count
from fusemap.einsum_cascade.check_lookups import check_places
from fusemap.einsum_cascade.scope import (
    accesses,
    output_variables,
    plain_variable,
    rank_variables,
    reduced_variables,
    shape_of,
    variables_of,
    walk,
)
from fusemap.einsum_cascade.source import suggest
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Chain,
    Einsum,
    Expr,
    Index,
    Reduce,
    SizeOf,
    ValueOf,
    VarName,
)


def check_read_side(context: Context, einsum: Einsum) -> Iterator[Diagnostic]:
    """Errors of the reduce list, the expression and all conditions of an Einsum or `init:`."""
    variables: frozenset[str] = frozenset(variables_of(einsum))
    for node in walk(einsum.expr):
        yield from _node(context, node, variables)
    yield from _reduce(context, einsum)
    filtered = [i.conditions for a in (einsum.output, *accesses(einsum)) for i in a.indices]
    reduced = [v.conditions for v in einsum.reduce.variables] if einsum.reduce else []
    for conditions in (*filtered, *reduced, einsum.conditions):
        yield from context.chain_shapes(conditions)
        for chain in conditions:
            yield from _foreign(context, chain, variables)


def _node(context: Context, node: Expr, variables: frozenset[str]) -> Iterator[Diagnostic]:
    if isinstance(node, Access):
        yield from _access(context, node, variables)
    elif isinstance(node, SizeOf):
        yield from context.unknown_shape(node.shape, node.span)
    elif isinstance(node, ValueOf):
        yield from context.unknown_shapes(node.expr)
    elif isinstance(node, Apply):
        yield from _operator(context, node)


def _access(context: Context, access: Access, variables: frozenset[str]) -> Iterator[Diagnostic]:
    name, declared = access.tensor, context.definitions.get(access.tensor)
    for index in access.indices:
        yield from context.unknown_shapes(index.expr)
    if declared is not None and name[0].isupper():
        yield from rank_count(context, access, declared)
        if len(declared.indices) == len(access.indices):
            for index, rank in zip(access.indices, declared.indices, strict=True):
                yield from _index_case(context, index, rank)
    elif not access.indices and name in variables:
        yield context.error(access.span, f"{name} is a rank variable, not a value", f"write val({name})")
    elif not name[0].isupper():
        yield from tensor_case(context, access)
    elif not access.indices and name in context.shapes:
        yield context.error(access.span, f"{name} is a shape, not a tensor", f"write size({name})")
    elif name not in context.broken:
        hint = suggest(name, context.definitions, "tensors")
        yield context.error(access.span, f"undefined tensor {name}", hint)


def _index_case(context: Context, index: Index, rank: Index) -> Iterator[Diagnostic]:
    """A whole shape as index of its own rank is past the end: it must be the variable's name in wrong case."""
    var = plain_variable(rank.expr)
    if (
        var is None
        or not isinstance(index.expr, Affine)
        or len(index.expr.terms) != 1
        or var in context.iterative | context.broken
    ):
        return
    term = index.expr.terms[0]
    if term.var is None and term.sign == 1 and term.shape == shape_of(var):
        message = f"index {term.shape} is past the last element of rank {term.shape}"
        yield context.error(index.expr.span, message, f"rank variables are lower-case: did you mean {var}?")


def _operator(context: Context, node: Apply) -> Iterator[Diagnostic]:
    operators = context.operators
    if node.operator not in operators.map_names:
        if node.operator in operators.reduce_names:
            hint = f"{node.operator} is a reduction: write {node.operator}[m] in front of the right-hand side"
        else:
            hint = suggest(node.operator, operators.map_names, "functions")
        yield context.error(node.span, f"unknown operator {node.operator}", hint)
        return
    arity = operators.map(node.operator).arity
    if len(node.args) != arity:
        need = f"{arity} argument" if arity == 1 else f"{arity} arguments"
        reduces = node.operator in operators.reduce_names and len(node.args) == 1
        hint = f"to reduce over m write {node.operator}[m] in front of the right-hand side" if reduces else ""
        yield context.error(node.span, f"{node.operator} takes {need}, found {len(node.args)}", hint)


def _reduce(context: Context, einsum: Einsum) -> Iterator[Diagnostic]:
    need = reduced_variables(einsum.output, einsum.expr)
    reduce = einsum.reduce
    if reduce is None:
        if need:
            yield context.error(einsum.span, f"no reduction for the variables absent on the left: {', '.join(need)}")
        return
    found = tuple(v.var for v in reduce.variables)
    names = context.operators.reduce_names
    if reduce.operator not in names:
        hint = suggest(reduce.operator, names, "reductions")
        yield context.error(reduce.span, f"unknown reduction {reduce.operator}", hint)
    yield from check_places(context, einsum, reduce)
    if sorted(found) != sorted(need):
        yield _reduce_list(context, einsum, reduce, need)


def _reduce_list(context: Context, einsum: Einsum, reduce: Reduce, need: tuple[VarName, ...]) -> Diagnostic:
    found = tuple(v.var for v in reduce.variables)
    listed, absent = ", ".join(found), ", ".join(need) or "none"
    message = f"reduce list [{listed}] differs from the variables absent on the left: {absent}"
    kept = [v for v in found if v in output_variables(einsum.output)]
    if kept:
        hint = f"{kept[0]} is on the left"
    elif reduce.places is not None and len(need) == 1:
        hint = f"write {reduce.operator}[{need[0]}; {reduce.places}]"
    elif reduce.places is not None:
        hint = f"{reduce.operator} ranks along one variable: reduce the others by an Einsum of their own"
    else:
        hint = f"write {reduce.operator}[{','.join(need)}]" if need else "leave the reduction out"
    return context.error(reduce.span, message, hint)


def _foreign(context: Context, chain: Chain, variables: frozenset[str]) -> Iterator[Diagnostic]:
    for operand in chain.operands:
        for var in rank_variables(operand):
            if var not in variables:
                message = f"filter names {var}, which is no variable of this Einsum"
                yield context.error(operand.span, message, suggest(var, variables, "variables"))
