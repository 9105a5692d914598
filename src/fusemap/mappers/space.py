"""From a cascade and a workload to sized iteration spaces: the problem that a mapping has to cover."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from fusemap.archspec.types import Workload
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.points import is_view, point_operators
from fusemap.einsum_cascade.resolve import extent
from fusemap.einsum_cascade.sized import check_sizes
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, Index, ShapeName
from fusemap.mappers.recurrence import sequential_ranks
from fusemap.mappers.types import EinsumSpace, Operand, Problem


def make_problem(cascade: Cascade, workload: Workload, tiles: Mapping[str, int]) -> Problem:
    """Iteration spaces of all Einsums that compute, under the workload's sizes and the given tile sizes.

    Workload ranks in `batch` that the cascade does not name index every tensor. A view (an Einsum that
    only re-indexes, like `BK[e,m1,m0] = K[e,m1*M0+m0]`) costs nothing and its tensor stands for its
    source. `init` statements set registers and are not counted. InputError: a size is missing or
    contradicts another one, an element is read that is never written, Einsums need each other in a circle.
    """
    known = {*scope.known_shapes(cascade)}
    given = {k: v for k, v in {**workload.sizes, **tiles}.items() if k in known}
    sizes = dict(workload.sizes) | {str(name): size for name, size in check_sizes(cascade, given).items()}
    batch = tuple(rank.lower() for rank in workload.batch if rank not in known)
    missing = [rank for rank in batch if rank.upper() not in workload.sizes]
    if missing:
        raise input_error(f"workload {workload.name} batches over {missing[0].upper()} but gives it no size")
    views = {e.name: scope.accesses(e)[0].tensor for e in cascade.einsums if is_view(e)}
    extents = _extents(cascade, batch, sizes)
    stepped = sequential_ranks(cascade)
    spaces = tuple(
        _space(e, batch, extents, stepped.get(e.name, frozenset())) for e in cascade.einsums if e.name not in views
    )
    external = {*scope.input_names(cascade), *scope.outputs(cascade)}
    external |= {view for view, source in views.items() if source in external}
    return Problem(
        cascade=cascade.name,
        workload=workload.name,
        spaces=spaces,
        sizes=tuple(sorted(sizes.items())),
        external=frozenset(external),
        views=tuple(sorted(views.items())),
        notes=tuple(dict.fromkeys(note for space in spaces for note in space.notes)),
    )


def _space(
    einsum: Einsum, batch: tuple[str, ...], extents: Mapping[str, int], sequential: frozenset[str]
) -> EinsumSpace:
    variables = tuple(str(v) for v in scope.variables_of(einsum))
    output = _operand(einsum.output, batch, is_output=True)
    inputs = tuple(_operand(a, batch, is_output=False) for a in dict.fromkeys(scope.accesses(einsum)))
    operators = point_operators(einsum)
    reduce = () if operators.reduce is None else (operators.reduce,)
    notes = [_dense_note(einsum)] if scope.conditions_of(einsum) else []
    notes += [_group_note(einsum, a) for a in scope.accesses(einsum) if any(_shared(i) for i in a.indices)]
    return EinsumSpace(
        name=einsum.name,
        ranks=tuple((v, extents[v]) for v in (*batch, *variables)),
        operands=_distinct_labels((*inputs, output)),
        operators=(*operators.map, *reduce),
        notes=tuple(notes),
        sequential=sequential,
    )


def _extents(cascade: Cascade, batch: tuple[str, ...], sizes: Mapping[str, int]) -> dict[str, int]:
    """Extent of every variable, batch ranks included."""
    known = {ShapeName(name): size for name, size in sizes.items()}
    return {v: sizes[v.upper()] for v in batch} | {v: extent(cascade, known, v) for v in scope.all_variables(cascade)}


def _operand(access: Access, batch: tuple[str, ...], *, is_output: bool) -> Operand:
    ranks = {str(v) for index in access.indices for v in scope.rank_variables(index.expr)}
    return Operand(tensor=access.tensor, label=access.tensor, ranks=frozenset({*batch, *ranks}), is_output=is_output)


def _distinct_labels(operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """A tensor accessed more than once gets a numbered label, so that every operand has its own."""
    seen: dict[str, int] = {}
    result = []
    for operand in operands:
        n = seen[operand.tensor] = seen.get(operand.tensor, 0) + 1
        result.append(operand if n == 1 else dataclasses.replace(operand, label=f"{operand.tensor}#{n}"))
    return tuple(result)


def _dense_note(einsum: Einsum) -> str:
    return f"{einsum.name}: its filter is not exploited, the whole rectangular space is charged (an upper bound)"


def _group_note(einsum: Einsum, access: Access) -> str:
    return f"{einsum.name}: reuse of {access.tensor} between overlapping coordinates is not exploited (an upper bound)"


def _shared(index: Index) -> bool:
    """True when different loop coordinates can mean the same element (h//G, i+j); a partition m1*M0+m0 does not."""
    expr = index.expr
    if not isinstance(expr, Affine):
        return True
    plain = [t for t in expr.terms if t.var is not None and t.shape is None]
    return len(plain) > 1
