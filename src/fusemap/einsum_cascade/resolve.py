"""Extents of shapes, variables and tensors under given sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import TypeAlias

from fusemap.diagnostics import Diagnostic, InputError, Span, nearest
from fusemap.einsum_cascade.check import MAX_ERRORS
from fusemap.einsum_cascade.check_context import Context, context_of
from fusemap.einsum_cascade.linear import value
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.scope import (
    conditions_of,
    expr_rank_exprs,
    iterative_ranks,
    known_shapes,
    output_variables,
    rank_shapes,
    shape_of,
    sizes_read,
    variables_of,
)
from fusemap.einsum_cascade.source import suggest
from fusemap.einsum_cascade.types import Cascade, Einsum, ShapeDecl, ShapeName, VarName

Sizes: TypeAlias = Mapping[ShapeName, int]


def resolve_sizes(cascade: Cascade, sizes: Mapping[str, int], *, ignore_unknown: bool = False) -> Sizes:
    """The extents of all shapes that follow from `sizes` and the `shape` lines.

    From M = M1*M0 a missing extent follows from the two others, from P = M either from the other.
    InputError for an extent below 1, an unknown name (unless ignored), contradicting extents, a product
    that does not divide, and a shape that is needed but neither given nor implied.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> dict(resolve_sizes(parse("shape M = M1*M0\\ninput K[m]\\nB[m1,m0] = K[m1*M0+m0]"), {"M": 8, "M0": 2}))
    {'M': 8, 'M1': 4, 'M0': 2}
    """
    context = context_of(cascade, BUILTIN, frozenset())
    errors = [*islice(_refused(cascade, sizes, ignore_unknown), MAX_ERRORS)]
    if errors:
        raise InputError(tuple(errors))
    known = {ShapeName(n): s for n, s in sizes.items() if n in context.shapes}
    errors += _derive(context, known)
    if not errors:
        errors += islice(_missing(context, known, sizes), MAX_ERRORS)
    if errors:
        raise InputError(tuple(errors))
    return MappingProxyType({n: known[n] for n in known_shapes(cascade) if n in known})


def extent(cascade: Cascade, sizes: Sizes, var: VarName) -> int:
    """The number of coordinates that the variable ranges over: its `stop:` bound, else its shape."""
    stop = iterative_ranks(cascade).get(var)
    return sizes[shape_of(var)] if stop is None else value(stop.bound, sizes)[1]


def required_shapes(cascade: Cascade) -> dict[ShapeName, Span]:
    """Shapes whose extents the cascade depends on, and the first place that does."""
    needed: dict[ShapeName, Span] = {}
    iterative = iterative_ranks(cascade)
    for access in cascade.inputs:
        for var in output_variables(access):
            needed.setdefault(shape_of(var), access.span)
    for stop in cascade.stops:
        for shape in rank_shapes(stop.bound):
            needed.setdefault(shape, stop.span)
    for einsum in (*cascade.inits, *cascade.einsums):
        shapes = [shape_of(v) for v in variables_of(einsum) if v not in iterative]
        for shape in (*shapes, *_named(einsum)):
            needed.setdefault(shape, einsum.span)
    return needed


def _named(einsum: Einsum) -> Iterator[ShapeName]:
    """Shapes that indices, conditions and `size(...)` of the Einsum name."""
    exprs = [*(i.expr for i in einsum.output.indices), *expr_rank_exprs(einsum.expr)]
    exprs += [o for chain in conditions_of(einsum) for o in chain.operands]
    for expr in exprs:
        yield from rank_shapes(expr)
    yield from sizes_read(einsum.expr)


def _refused(cascade: Cascade, sizes: Mapping[str, int], ignore_unknown: bool) -> Iterator[Diagnostic]:
    shapes = known_shapes(cascade)
    for name, size in sizes.items():
        if name not in shapes:
            if not ignore_unknown:
                yield Diagnostic(message=f"unknown shape {name}", hint=suggest(name, shapes, "shapes"))
        elif not isinstance(size, int) or isinstance(size, bool) or size < 1:
            yield Diagnostic(message=f"size {name} must be an integer of at least 1, found {size!r}")


def _derive(context: Context, known: dict[ShapeName, int]) -> list[Diagnostic]:
    """Fill `known` until nothing changes; the contradictions found on the way."""
    errors: dict[ShapeName, Diagnostic] = {}
    pending = list(context.cascade.shapes)
    changed = True
    while changed and not errors:
        changed = False
        for shape in pending:
            before = len(known)
            problem = _apply(shape, known)
            if problem:
                errors[shape.name] = context.error(shape.span, *problem)
            changed = changed or len(known) > before
    return list(errors.values())


def _apply(shape: ShapeDecl, known: dict[ShapeName, int]) -> tuple[str, str] | None:
    """Derive at most one extent from one declaration; message and hint if it does not hold."""
    if shape.constant is not None:
        return _constant(shape, shape.constant, known)
    if not shape.factors:
        return None
    equation = _equation(shape)
    given = [f for f in shape.factors if f in known]
    product = math.prod(known[f] for f in given)
    if len(given) == len(shape.factors):
        total = known.setdefault(shape.name, product)
        if total != product:
            values = "*".join(str(known[f]) for f in shape.factors)
            right = f"{values} = {product}" if len(shape.factors) > 1 else values
            return f"{equation} does not hold: {shape.name} is {total}, but the right side is {right}", ""
    elif len(given) == len(shape.factors) - 1 and shape.name in known:
        absent = next(f for f in shape.factors if f not in known)
        quotient, rest = divmod(known[shape.name], product)
        if rest:
            return f"{equation} does not hold: {shape.name} = {known[shape.name]} is no multiple of {product}", ""
        known[absent] = quotient
    return None


def _equation(shape: ShapeDecl) -> str:
    return f"{shape.name} = {'*'.join(shape.factors)}"


def _constant(shape: ShapeDecl, constant: int, known: dict[ShapeName, int]) -> tuple[str, str] | None:
    size = known.setdefault(shape.name, constant)
    return None if size == constant else (f"{shape.name} is the constant {constant}, but the size given is {size}", "")


def _missing(context: Context, known: Mapping[ShapeName, int], given: Iterable[str]) -> Iterator[Diagnostic]:
    for shape, span in required_shapes(context.cascade).items():
        if shape not in known:
            close = nearest(shape, [g for g in given if g not in known])
            equations = [_equation(s) for s in context.cascade.shapes if s.factors and shape in (s.name, *s.factors)]
            follows = f" or for the others in {equations[0]}" if equations else ""
            hint = f"did you mean {shape} by {close}?" if close else f"give a size for {shape}{follows}"
            yield context.error(span, f"missing size {shape}", hint)
