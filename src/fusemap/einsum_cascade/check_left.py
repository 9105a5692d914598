"""Static errors of the left side of an Einsum or `init:`, and of self-references."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.diagnostics import Diagnostic
from fusemap.einsum_cascade.check_context import Context, where
from fusemap.einsum_cascade.check_declarations import tensor_case
from fusemap.einsum_cascade.linear import difference, least, ordered, symbolic
from fusemap.einsum_cascade.scope import accesses, conditions_of, plain_variable, rank_variables, shape_of
from fusemap.einsum_cascade.source import suggest
from fusemap.einsum_cascade.types import Access, Affine, Einsum, Index, RankExpr, TensorName, VarName

_FORMS = "a left-hand index is a variable, an iterative variable plus an offset, or a flattening u*V+v"


def check_left_side(context: Context, einsum: Einsum, *, init: bool) -> Iterator[Diagnostic]:
    """Name, definition, index forms and repeated variables of the left side."""
    output = einsum.output
    yield from tensor_case(context, output)
    yield from _init_target(context, output) if init else _definition(context, output)
    seen: set[VarName] = set()
    for index in output.indices:
        yield from context.unknown_shapes(index.expr)
        yield from _left_index(context, output.tensor, index, init=init)
        for var in _occurrences(index.expr):
            if var in seen:
                hint = "a diagonal is a filter: write a second variable and `for i == j`"
                yield context.error(index.span, f"repeated variable {var} on the left of {output.tensor}", hint)
            seen.add(var)


def _occurrences(expr: RankExpr) -> tuple[VarName, ...]:
    if isinstance(expr, Affine):
        return tuple(t.var for t in expr.terms if t.var is not None)
    return rank_variables(expr)


def _definition(context: Context, output: Access) -> Iterator[Diagnostic]:
    first = context.definitions.get(output.tensor, output)
    if output.tensor in context.inputs:
        yield context.error(output.span, f"assignment to the input {output.tensor}", "give the result another name")
    elif first is not output:
        yield context.error(output.span, f"tensor {output.tensor} is defined twice", where(first.span))


def _init_target(context: Context, output: Access) -> Iterator[Diagnostic]:
    target = context.definitions.get(output.tensor)
    if output.tensor in context.inputs:
        yield context.error(output.span, f"assignment to the input {output.tensor}", "give the result another name")
    elif target is not None:
        yield from rank_count(context, output, target)
    elif output.tensor not in context.broken:
        names = [e.name for e in context.cascade.einsums]
        hint = suggest(output.tensor, names, "tensors")
        yield context.error(output.span, f"init of {output.tensor}, which no Einsum defines", hint)


def rank_count(context: Context, access: Access, declared: Access) -> Iterator[Diagnostic]:
    """An error unless the access has as many indices as the tensor has ranks."""
    need, found = len(declared.indices), len(access.indices)
    if need != found and access.tensor not in context.broken:
        message = f"{access.tensor} has {_count(need, 'rank')}, found {_count(found, 'index')}"
        yield context.error(access.span, message, f"declared as {signature(declared)}")


def _count(number: int, noun: str) -> str:
    plural = "indices" if noun == "index" else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def signature(access: Access) -> str:
    """The tensor with the variables of its ranks, e.g. `K[e,m]`."""
    ranks = ["+".join(rank_variables(i.expr)) or "0" for i in access.indices]
    return f"{access.tensor}[{','.join(ranks)}]" if ranks else access.tensor


def _left_index(context: Context, tensor: TensorName, index: Index, *, init: bool) -> Iterator[Diagnostic]:
    """The index must be one of the forms that write each element once."""
    expr = index.expr
    if plain_variable(expr) is not None or _is_flattening(context, expr):
        return
    if not isinstance(expr, Affine) or any(t.shape is not None and t.var is not None for t in expr.terms):
        yield context.error(expr.span, f"{tensor} is not written at a plain rank", _FORMS)
        return
    variables = [t for t in expr.terms if t.var is not None]
    if not variables:
        if not init:
            shapes = [t.shape.lower() for t in expr.terms if t.shape is not None]
            hint = f"did you mean {shapes[0]}?" if shapes else f"write init: {tensor}[...] = ..."
            yield context.error(expr.span, f"{tensor} is written at a constant, which only init: may do", hint)
    elif len(variables) > 1 or variables[0].sign < 0:
        yield context.error(expr.span, f"{tensor} is not written at a plain rank", _FORMS)
    elif variables[0].var not in context.iterative and variables[0].var not in context.broken:
        var = variables[0].var
        hint = f"add the line stop: {var} >= {str(var).upper()}"
        yield context.error(expr.span, f"offset write on rank {var} without stop:", hint)


def _is_flattening(context: Context, expr: RankExpr) -> bool:
    """u*V+v, where V is the range of v (or an alias of it)."""
    if not isinstance(expr, Affine) or len(expr.terms) != 2:
        return False
    outer, inner = sorted(expr.terms, key=lambda t: t.shape is None)
    if outer.var is None or outer.shape is None or inner.var is None or inner.shape is not None:
        return False
    aliases = {s.name: s.factors[0] for s in context.cascade.shapes if len(s.factors) == 1}
    ranges = {outer.shape, aliases.get(outer.shape)} & {shape_of(inner.var), aliases.get(shape_of(inner.var))}
    return outer.sign == inner.sign == 1 and outer.var != inner.var and bool(ranges - {None})


def check_self_reference(context: Context, einsum: Einsum) -> Iterator[Diagnostic]:
    """A tensor that reads itself must read an earlier coordinate of an iterative rank.

    A rank written at an offset counts as iterative here: without `stop:` that is its own error.
    """
    writes = einsum.output.indices
    offsets = {v for i in writes if plain_variable(i.expr) is None for v in rank_variables(i.expr)}
    stepping = {v for i in writes for v in rank_variables(i.expr)} & (context.iterative | context.broken | offsets)
    for access in accesses(einsum):
        if access.tensor == einsum.name and len(access.indices) == len(writes):
            pairs = zip(writes, access.indices, strict=True)
            if not any(_steps(einsum, w.expr, r.expr) for w, r in pairs if stepping & set(rank_variables(w.expr))):
                message = f"{einsum.name} reads itself without stepping an iterative rank forward"
                hint = "read an earlier coordinate than is written, as in S[i+1] = S[i] + A[i] with stop: i >= I"
                yield context.error(access.span, message, hint)


def _steps(einsum: Einsum, write: RankExpr, read: RankExpr) -> bool:
    """Is the coordinate read less than the one written, for all sizes, by the indices and one condition?"""
    if not (isinstance(write, Affine) and isinstance(read, Affine)):
        return False
    gap = difference(symbolic(write), symbolic(read))
    if (least(gap) or 0) >= 1:
        return True
    for chain in conditions_of(einsum):
        for high, low, strict in ordered(chain):
            if isinstance(high, Affine) and isinstance(low, Affine):
                slack = difference(gap, difference(symbolic(high), symbolic(low)))
                bound = least(slack)
                if bound is not None and bound + strict >= 1:
                    return True
    return False
