"""What the names of a cascade stand for: variables, shapes, ranks, accesses, outputs."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Chain,
    Einsum,
    Expr,
    Lookup,
    RankExpr,
    ShapeName,
    SizeOf,
    Stop,
    TensorName,
    ValueOf,
    VarName,
)


def shape_of(var: VarName) -> ShapeName:
    """The shape that a variable without `stop:` ranges over.

    >>> shape_of(VarName("m1"))
    'M1'
    """
    return ShapeName(var.upper())


def rank_variables(expr: RankExpr) -> tuple[VarName, ...]:
    """Variables of a rank expression in order of first occurrence."""
    if isinstance(expr, Affine):
        if len(expr.terms) == 1:  # nearly all are a variable alone
            var = expr.terms[0].var
            return () if var is None else (var,)
        return tuple(dict.fromkeys([t.var for t in expr.terms if t.var is not None]))
    return output_variables(expr.access) if isinstance(expr, Lookup) else (expr.var,)


def rank_shapes(expr: RankExpr) -> tuple[ShapeName, ...]:
    """Shapes that a rank expression names, in order of first occurrence."""
    if isinstance(expr, Affine):
        return tuple(dict.fromkeys(t.shape for t in expr.terms if t.shape is not None))
    if isinstance(expr, Lookup):
        return tuple(dict.fromkeys(s for i in expr.access.indices for s in rank_shapes(i.expr)))
    return (expr.shape,)


def plain_variable(expr: RankExpr) -> VarName | None:
    """The variable that the expression consists of, None for any other expression."""
    if isinstance(expr, Affine) and len(expr.terms) == 1:
        term = expr.terms[0]
        return term.var if term.shape is None and term.sign == 1 else None
    return None


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything below it, left to right; below an access the index tensors it looks up."""
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, Apply):
            pending += node.args[::-1]
        elif isinstance(node, Access):
            pending += [found.access for found in lookups(node)][::-1]


def lookups(access: Access) -> tuple[Lookup, ...]:
    """The indices of an access that are read from a tensor: `IDX[j]` of `K[e, IDX[j]]`."""
    return tuple([i.expr for i in access.indices if isinstance(i.expr, Lookup)])


def depends_on_data(einsum: Einsum) -> bool:
    """Does the Einsum read at a coordinate that is data (a lookup), or make coordinates of data (topk)?"""
    ranked = einsum.reduce is not None and einsum.reduce.places is not None
    return ranked or any(lookups(access) for access in accesses(einsum))


def accesses(einsum: Einsum) -> tuple[Access, ...]:
    """Tensors read by the Einsum, left to right, repetitions and index tensors included."""
    return tuple([e for e in walk(einsum.expr) if isinstance(e, Access)])


def expr_rank_exprs(expr: Expr) -> tuple[RankExpr, ...]:
    """Rank expressions at indices and inside `val`, left to right; conditions not included."""
    found: list[RankExpr] = []
    for node in walk(expr):
        if isinstance(node, Access):
            found += [i.expr for i in node.indices]
        elif isinstance(node, ValueOf):
            found.append(node.expr)
    return tuple(found)


def variables_of(item: Einsum | Expr) -> tuple[VarName, ...]:
    """Variables in order of first occurrence: of an Einsum, left side first; conditions bind none."""
    if isinstance(item, Einsum):
        return tuple(dict.fromkeys((*output_variables(item.output), *variables_of(item.expr))))
    return tuple(dict.fromkeys([v for e in expr_rank_exprs(item) for v in rank_variables(e)]))


def output_variables(output: Access) -> tuple[VarName, ...]:
    """Variables at the indices of an access, in order of first occurrence."""
    return tuple(dict.fromkeys([v for i in output.indices for v in rank_variables(i.expr)]))


def reduced_variables(output: Access, expr: Expr) -> tuple[VarName, ...]:
    """Right-hand variables that are absent on the left: what a missing reduce sums over."""
    kept = set(output_variables(output))
    return tuple(v for v in variables_of(expr) if v not in kept)


def conditions_of(einsum: Einsum) -> tuple[Chain, ...]:
    """All conditions that cut the iteration space: left side, reduce list, right side, `for`."""
    chains = [c for i in einsum.output.indices for c in i.conditions]
    if einsum.reduce is not None:
        chains += [c for v in einsum.reduce.variables for c in v.conditions]
    chains += [c for a in accesses(einsum) for i in a.indices for c in i.conditions]
    return tuple(dict.fromkeys((*chains, *einsum.conditions)))


def sizes_read(expr: Expr) -> tuple[ShapeName, ...]:
    """Shapes inside `size(...)`."""
    return tuple(dict.fromkeys(e.shape for e in walk(expr) if isinstance(e, SizeOf)))


def iterative_ranks(cascade: Cascade) -> dict[VarName, Stop]:
    """Iterative variables and their `stop:` statements, in order of declaration."""
    return {s.var: s for s in cascade.stops}


def input_names(cascade: Cascade) -> tuple[TensorName, ...]:
    """Names of the input tensors, in order of declaration."""
    return tuple(a.tensor for a in cascade.inputs)


def outputs(cascade: Cascade) -> tuple[TensorName, ...]:
    """The declared outputs, by default the tensors that no other Einsum reads, in order of definition."""
    if cascade.outputs:
        return cascade.outputs
    read = {a.tensor for e in (*cascade.einsums, *cascade.inits) for a in accesses(e) if a.tensor != e.name}
    return tuple(dict.fromkeys(e.name for e in cascade.einsums if e.name not in read))


def all_variables(cascade: Cascade) -> tuple[VarName, ...]:
    """Variables of inputs and Einsums, in order of first occurrence."""
    declared = [v for a in cascade.inputs for v in output_variables(a)]
    used = [v for e in (*cascade.inits, *cascade.einsums) for v in variables_of(e)]
    return tuple(dict.fromkeys((*declared, *used)))


def known_shapes(cascade: Cascade) -> tuple[ShapeName, ...]:
    """Shapes that are declared, a factor of a declared one, or the range of a variable."""
    declared = [n for s in cascade.shapes for n in (s.name, *s.factors)]
    return tuple(dict.fromkeys((*declared, *(shape_of(v) for v in all_variables(cascade)))))
