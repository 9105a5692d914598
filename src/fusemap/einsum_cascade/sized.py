"""Errors of a cascade that show once sizes are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from fusemap.diagnostics import Diagnostic, InputError, Span
from fusemap.einsum_cascade.check import MAX_ERRORS
from fusemap.einsum_cascade.check_context import Context, context_of, where
from fusemap.einsum_cascade.feasible import Point, linear
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.order import circles
from fusemap.einsum_cascade.printer import format_rank_expr
from fusemap.einsum_cascade.resolve import Sizes, extent, resolve_sizes
from fusemap.einsum_cascade.scope import accesses, output_variables, shape_of
from fusemap.einsum_cascade.space import ANYWHERE, Box, Space, meet, merged, outside, outsides, space_of
from fusemap.einsum_cascade.types import Access, Cascade, Lookup, Stop, TensorName

_SHOWN = 8


def check_sizes(cascade: Cascade, sizes: Mapping[str, int], *, ignore_unknown: bool = False) -> Sizes:
    """The extents of all shapes, for which the cascade is shown to be executable.

    `sizes` may leave out what the `shape` lines imply. InputError with every contradicting or missing
    size, else with every read of an element that is never written, every index tensor that is known to
    range beyond the rank it indexes, every element written twice and every dependency cycle. Elements
    that a condition leaves out are absent, not unwritten; what only data tell, the execution checks.
    Reasons on intervals and linear inequalities, so the effort does not grow with the sizes.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> sums = parse("input A[k]\\nstop: k >= K\\ninit: S[0] = 0\\nS[k+1] = S[k] + A[k]\\nT = S[K]")
    >>> dict(check_sizes(sums, {"K": 1 << 20}))
    {'K': 1048576}
    """
    known = resolve_sizes(cascade, sizes, ignore_unknown=ignore_unknown)
    context = context_of(cascade, BUILTIN, frozenset())
    found = [*_bad_stops(context, known)]
    if not found:
        found += islice(_elements(context, known, _spaces(cascade, known)), MAX_ERRORS)
    if found:
        raise InputError(tuple(found))
    return known


def written_boxes(cascade: Cascade, sizes: Sizes) -> dict[TensorName, tuple[Box, ...]]:
    """The coordinates that inputs, inits and Einsums write, by tensor, as boxes of inclusive intervals.

    Conditions are left out: what they cut is absent.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> written_boxes(parse("input A[k]\\nstop: i >= K\\ninit: S[0] = 0\\nS[i+1] = S[i] + A[i]"), {"K": 4})
    {'A': (((0, 3),),), 'S': (((0, 4),),)}
    """
    return _boxes(cascade, sizes, _spaces(cascade, sizes))


def _spaces(cascade: Cascade, sizes: Sizes) -> tuple[Space, ...]:
    return tuple(space_of(cascade, sizes, e) for e in (*cascade.inits, *cascade.einsums))


def _boxes(cascade: Cascade, sizes: Sizes, spaces: Sequence[Space]) -> dict[TensorName, tuple[Box, ...]]:
    boxes: dict[TensorName, list[Box]] = {}
    for access in cascade.inputs:
        box = tuple((0, sizes[shape_of(v)] - 1) for v in output_variables(access))
        boxes.setdefault(access.tensor, []).append(box)
    for space in spaces:
        boxes.setdefault(space.einsum.name, []).append(space.box(space.einsum.output))
    return {t: merged(b) for t, b in boxes.items()}


def _bad_stops(context: Context, sizes: Sizes) -> Iterator[Diagnostic]:
    for stop in context.cascade.stops:
        if extent(context.cascade, sizes, stop.var) < 1:
            yield _bad_stop(context, stop, extent(context.cascade, sizes, stop.var))


def _bad_stop(context: Context, stop: Stop, bound: int) -> Diagnostic:
    message = f"{stop.var} has no coordinate: {stop.var} >= {format_rank_expr(stop.bound)} = {bound} holds at once"
    return context.error(stop.span, message)


def _elements(context: Context, sizes: Sizes, spaces: Sequence[Space]) -> Iterator[Diagnostic]:
    boxes = _boxes(context.cascade, sizes, spaces)
    yield from _negative(context, spaces)
    yield from _twice(context, sizes, spaces)
    for space in spaces:
        for access in accesses(space.einsum):
            hull = _hull(boxes.get(access.tensor, ()))
            yield from _beyond(context, space, access, hull)
            yield from _unwritten(context, _trusted(space, access, hull), access, boxes.get(access.tensor, ()))
    inits = len(context.cascade.inits)
    for circle in circles(context.cascade, spaces):
        names = [f"init: {spaces[n].einsum.name}" if n < inits else spaces[n].einsum.name for n in circle]
        shown = names if len(names) <= _SHOWN else [*names[:_SHOWN], "...", names[-1]]
        hint = "no iterative rank steps forward around it"
        yield context.error(spaces[circle[0]].einsum.span, f"dependency cycle: {' -> '.join(shown)}", hint)


def _negative(context: Context, spaces: Sequence[Space]) -> Iterator[Diagnostic]:
    for space in spaces:
        output = space.einsum.output
        for index, (low, _) in zip(output.indices, space.box(output), strict=True):
            if low < 0:
                text = format_rank_expr(index.expr)
                yield context.error(
                    index.span, f"{output.tensor} is written at {text} = {low}, before its first element"
                )


def _twice(context: Context, sizes: Sizes, spaces: Sequence[Space]) -> Iterator[Diagnostic]:
    """Pairs of writers of one tensor that have an element in common, and flattenings that fold."""
    earlier: dict[TensorName, list[tuple[Space, Box]]] = {}
    for space in sorted(spaces, key=lambda s: s.einsum.span):
        output = space.einsum.output
        box = space.box(output)
        for other in (s for s, b in earlier.get(output.tensor, ()) if meet(box, b)):
            element = _common(context.cascade, sizes, other, space)
            if element is not None:
                yield _written_twice(context, output, element, other.einsum.output.span)
                break
        earlier.setdefault(output.tensor, []).append((space, box))
        element = _folded(context.cascade, sizes, space)
        if element is not None:
            yield _written_twice(context, output, element, output.span)


def _written_twice(context: Context, output: Access, element: tuple[int, ...], first: Span) -> Diagnostic:
    message = f"element {_element(output.tensor, element)} is written twice"
    return context.error(output.span, message, where(first) if first != output.span else "by the same Einsum")


def _element(tensor: TensorName, coordinates: tuple[int, ...]) -> str:
    return f"{tensor}[{','.join(map(str, coordinates))}]" if coordinates else tensor


def _common(cascade: Cascade, sizes: Sizes, left: Space, right: Space) -> tuple[int, ...] | None:
    """Coordinates that both write, or None."""
    other = space_of(cascade, sizes, left.einsum, prefix="other ")
    mine = [right.form(i.expr) for i in right.einsum.output.indices]
    theirs = [other.form(i.expr) for i in left.einsum.output.indices]
    equal = [d for a, b in zip(mine, theirs, strict=True) for d in (a - b, b - a)]
    point = right.find((), (*other.constraints, *equal))
    return None if point is None else tuple(form.at(point) for form in mine)


def _folded(cascade: Cascade, sizes: Sizes, space: Space) -> tuple[int, ...] | None:
    """An element that two points of one Einsum write: only where v of u*V+v ranges beyond V."""
    compound = [i.expr for i in space.einsum.output.indices if len(space.form(i.expr).coefficients) > 1]
    if not compound:
        return None
    other = space_of(cascade, sizes, space.einsum, prefix="other ")
    indices = [i.expr for i in space.einsum.output.indices]
    pairs = [(space.form(e), other.form(e)) for e in indices]
    equal = [d for a, b in pairs for d in (a - b, b - a)]
    for expr in compound:
        for var, _ in space.form(expr).coefficients:
            apart = linear({var: 1}) - linear({f"{other.prefix}{var}": 1})
            point = space.find((), (*other.constraints, *equal, apart.shifted(-1)))
            if point is not None:
                return tuple(form.at(point) for form, _ in pairs)
    return None


def _hull(boxes: Sequence[Box]) -> Box:
    """The smallest box around some of a tensor."""
    return tuple((min(low for low, _ in sides), max(high for _, high in sides)) for sides in zip(*boxes, strict=True))


def _trusted(space: Space, access: Access, hull: Box) -> Space:
    """The space at whose points every lookup stays within the tensor, which `_beyond` or the execution checks."""
    for index, side in zip(access.indices, hull, strict=True):
        if isinstance(index.expr, Lookup):
            space = space.where(index.expr, side)
    return space


def _beyond(context: Context, space: Space, access: Access, hull: Box) -> Iterator[Diagnostic]:
    """Index tensors with elements known to range beyond the rank that is read at them."""
    for rank, (index, (low, high)) in enumerate(zip(access.indices, hull, strict=True)):
        if isinstance(index.expr, Lookup):
            least, most = space.interval(index.expr)
            below, above = (form.shifted(-1) for form in outsides(space.form(index.expr), (low, high)))
            beyond = [side for side, end in ((below, least), (above, most)) if end not in ANYWHERE]
            if any(space.find([index.expr], [side]) is not None for side in beyond):
                text = format_rank_expr(index.expr)
                message = f"index {text} ranges over {_ends(least, most)}, beyond rank {rank + 1} of {access.tensor}"
                yield context.error(index.expr.span, message, f"that rank has the coordinates {low}..{high}")


def _ends(low: int, high: int) -> str:
    """A range in words, open where it is not known."""
    return f"{low if low > ANYWHERE[0] else ''}..{high if high < ANYWHERE[1] else ''}"


def _unwritten(context: Context, space: Space, access: Access, boxes: Sequence[Box]) -> Iterator[Diagnostic]:
    point: Point | None = outside(space, access, boxes)
    if point is None:
        return
    element = tuple(space.form(i.expr).at(point) for i in access.indices)
    at = ", ".join(f"{v} = {point[v]}" for v in sorted(space.lasts) if v in point)
    message = f"{_element(access.tensor, element)} is never written" + (f", but read at {at}" if at else "")
    spans = " or ".join(f"{access.tensor}[{','.join(f'{a}..{b}' for a, b in box)}]" for box in boxes)
    writer = context.definitions[access.tensor]
    iterative = context.iterative & set(output_variables(writer)) and access.tensor not in context.inputs
    inits = f"; is an init: of {access.tensor} missing?" if iterative else ""
    yield context.error(access.span, message, f"written: {spans}{inits}")
