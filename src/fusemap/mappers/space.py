"""From a cascade and a workload to sized iteration spaces: the problem that a mapping has to cover."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeAlias

from fusemap.archspec.batches import by_value
from fusemap.archspec.types import Workload
from fusemap.diagnostics import Diagnostic, InputError, input_error
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.points import is_view, point_operators
from fusemap.einsum_cascade.printer import format_rank_expr, format_reduce
from fusemap.einsum_cascade.resolve import extent, resolve_sizes
from fusemap.einsum_cascade.sized import check_sizes
from fusemap.einsum_cascade.source import cascade_source
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, Index
from fusemap.mappers.recurrence import sequential_ranks
from fusemap.mappers.types import EinsumSpace, Operand, Problem

Sizes: TypeAlias = tuple[tuple[str, int], ...]

_NOT_MAPPED = "`fusemap run` executes the cascade and counts its operations"


def make_problem(cascade: Cascade, workload: Workload, tiles: Mapping[str, int]) -> Problem:
    """Iteration spaces of all Einsums that compute, under the workload's sizes and the given tile sizes.

    Workload ranks in `batch` that the cascade does not name index every tensor. A view (an Einsum that
    only re-indexes, like `BK[e,m1,m0] = K[e,m1*M0+m0]`) costs nothing and its tensor stands for its
    source. `init` statements set registers and are not counted. InputError: a size is missing or
    contradicts another one, an element is read that is never written, Einsums need each other in a circle,
    or which elements are read depends on data.
    """
    _refuse_data(cascade)
    structure = _structure(cascade, workload.batch)
    given = {k: v for k, v in {**workload.sizes, **tiles}.items() if k in structure.shapes}
    try:
        resolved, extents = by_value(
            partial(_extents_of, cascade, tuple(sorted(given))), *map(given.get, sorted(given))
        )
    except InputError:
        _require_sizes(cascade, given, workload)
        raise
    missing = [rank for rank in structure.batch if rank.upper() not in workload.sizes]
    if missing:
        raise input_error(f"workload {workload.name} batches over {missing[0].upper()} but gives it no size")
    bound = dict(extents) | {rank: workload.sizes[rank.upper()] for rank in structure.batch}
    spaces = (dataclasses.replace(s, ranks=tuple((r, bound[r]) for r, _ in s.ranks)) for s in structure.spaces)
    return Problem(
        cascade=cascade.name,
        workload=workload.name,
        spaces=tuple(spaces),
        sizes=tuple(sorted((dict(workload.sizes) | dict(resolved)).items())),
        external=structure.external,
        views=structure.views,
        notes=tuple(dict.fromkeys(note for space in structure.spaces for note in space.notes)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Structure:
    """What a problem takes from the cascade alone; extents in `spaces` are 0."""

    shapes: frozenset[str]
    batch: tuple[str, ...]
    spaces: tuple[EinsumSpace, ...]
    external: frozenset[str]
    views: tuple[tuple[str, str], ...]


def _refuse_data(cascade: Cascade) -> None:
    """InputError for every lookup and every topk: no reuse or traffic of theirs is known before they run."""
    source = cascade_source(cascade)
    start = "the built-in dataflows do not map data-dependent reads: Einsum"
    errors = []
    for einsum in (*cascade.inits, *cascade.einsums):
        if einsum.reduce is not None and einsum.reduce.places is not None:
            message = f"{start} {einsum.name} selects coordinates by {format_reduce(einsum.reduce)}"
            errors.append(source.diagnostic(einsum.reduce.span, message, _NOT_MAPPED))
        for access in dict.fromkeys(scope.accesses(einsum)):
            for lookup in scope.lookups(access):
                message = f"{start} {einsum.name} reads {access.tensor} at {format_rank_expr(lookup)}"
                errors.append(source.diagnostic(lookup.span, message, _NOT_MAPPED))
    if errors:
        raise InputError(tuple(errors))


def _require_sizes(cascade: Cascade, given: Mapping[str, int], workload: Workload) -> None:
    """InputError for missing and contradicting sizes, which says where sizes come from."""
    try:
        resolve_sizes(cascade, given)
    except InputError as error:
        raise InputError(tuple(_with_origin(d, workload) for d in error.diagnostics)) from None


def _with_origin(diagnostic: Diagnostic, workload: Workload) -> Diagnostic:
    """The diagnostic of a size, saying where sizes come from."""
    origin = f"workload {workload.name} gives {', '.join(sorted(workload.sizes))}; --size adds others"
    hint = f"{diagnostic.hint}: {origin}" if diagnostic.hint else origin
    return dataclasses.replace(diagnostic, hint=hint)


@lru_cache(maxsize=64)
def _structure(cascade: Cascade, batched: tuple[str, ...]) -> _Structure:
    """The cascade's Einsums without sizes, remembered because sweeps ask for few cascades at many sizes."""
    shapes = frozenset(str(shape) for shape in scope.known_shapes(cascade))
    batch = tuple(rank.lower() for rank in batched if rank not in shapes)
    views = {str(e.name): str(scope.accesses(e)[0].tensor) for e in cascade.einsums if is_view(e)}
    external = {*(str(n) for n in scope.input_names(cascade)), *(str(n) for n in scope.outputs(cascade))}
    stepped = sequential_ranks(cascade)
    constants = {str(d.name): d.constant for d in cascade.shapes if d.constant is not None}
    return _Structure(
        shapes=shapes,
        batch=batch,
        spaces=tuple(
            _space(e, batch, stepped.get(e.name, frozenset()), constants)
            for e in cascade.einsums
            if e.name not in views
        ),
        external=frozenset(external | {view for view in views if _shown(view, views) in external}),
        views=tuple(sorted(views.items())),
    )


def _shown(view: str, views: Mapping[str, str]) -> str:
    """The tensor that a view shows, through other views."""
    while view in views:
        view = views[view]
    return view


def _extents_of(cascade: Cascade, names: tuple[str, ...], *sizes: int) -> tuple[Sizes, Sizes]:
    return _extents(cascade, tuple(zip(names, sizes, strict=True)))


@lru_cache(maxsize=16384)
def _extents(cascade: Cascade, given: Sizes) -> tuple[Sizes, Sizes]:
    """Sizes of all shapes, for which the cascade is shown to be executable, and extents of all variables."""
    sizes = check_sizes(cascade, dict(given))
    extents = tuple((str(v), extent(cascade, sizes, v)) for v in scope.all_variables(cascade))
    return tuple((str(name), size) for name, size in sizes.items()), extents


def _space(
    einsum: Einsum, batch: tuple[str, ...], sequential: frozenset[str], constants: Mapping[str, int]
) -> EinsumSpace:
    output = _operand(einsum.output, batch, constants, is_output=True)
    inputs = tuple(_operand(a, batch, constants, is_output=False) for a in dict.fromkeys(scope.accesses(einsum)))
    operators = point_operators(einsum)
    reduce = () if operators.reduce is None else (operators.reduce,)
    filtered = bool(scope.conditions_of(einsum)) or "only" in operators.map
    notes = [_dense_note(einsum)] if filtered else []
    notes += [_group_note(einsum, a) for a in scope.accesses(einsum) if any(_shared(i, constants) for i in a.indices)]
    return EinsumSpace(
        name=einsum.name,
        ranks=tuple((str(v), 0) for v in (*batch, *scope.variables_of(einsum))),
        operands=_distinct_labels((*inputs, output)),
        operators=(*operators.map, *reduce),
        notes=tuple(notes),
        sequential=sequential,
    )


def _operand(access: Access, batch: tuple[str, ...], constants: Mapping[str, int], *, is_output: bool) -> Operand:
    ranks = [str(v) for index in access.indices for v in scope.rank_variables(index.expr)]
    sums = (_sum(index, constants) for index in access.indices if _shared(index, constants))
    return Operand(
        tensor=access.tensor,
        label=access.tensor,
        ranks=frozenset({*batch, *ranks}),
        is_output=is_output,
        sums=tuple(terms for terms in sums if terms and all(ranks.count(rank) == 1 for rank, _ in terms)),
    )


def _sum(index: Index, constants: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """The terms of an index that is a sum of variables, each with its constant stride; empty for any other index."""
    terms = [t for t in index.expr.terms if t.var is not None] if isinstance(index.expr, Affine) else []
    if any(t.sign < 0 or (t.shape is not None and t.shape not in constants) for t in terms):
        return ()
    return tuple((str(t.var), 1 if t.shape is None else constants[str(t.shape)]) for t in terms)


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


def _shared(index: Index, constants: Mapping[str, int]) -> bool:
    """True when different loop coordinates can mean the same element (h//G, i+j); a partition m1*M0+m0 does not.

    A stride that is a constant (p*S+r with S = 2) is none, unless it is the extent of the other variable.
    """
    expr = index.expr
    if not isinstance(expr, Affine):
        return True
    plain = [str(t.var).upper() for t in expr.terms if t.var is not None and t.shape is None]
    strides = [t for t in expr.terms if t.var is not None and t.shape in constants and str(t.shape) not in plain]
    return len(plain) + len(strides) > 1
