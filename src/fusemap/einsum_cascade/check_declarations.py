"""Static errors of `shape`, `input`, `stop:` and `output`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fusemap.diagnostics import Diagnostic, Span
from fusemap.einsum_cascade.check_context import Context, where
from fusemap.einsum_cascade.scope import outputs, plain_variable, rank_shapes, variables_of
from fusemap.einsum_cascade.source import Source, suggest
from fusemap.einsum_cascade.types import NOWHERE, Access, ShapeName, TensorName, VarName

_SHOWN = 8


def check_shapes(context: Context) -> Iterator[Diagnostic]:
    """Shapes declared twice or by themselves."""
    first: dict[ShapeName, Span] = {}
    for shape in context.cascade.shapes:
        if shape.name in first:
            yield context.error(shape.span, f"shape {shape.name} is declared twice", where(first[shape.name]))
        first.setdefault(shape.name, shape.span)
    factors = {s.name: s.factors for s in context.cascade.shapes}
    done: set[ShapeName] = set()
    for shape in context.cascade.shapes:
        circle = _circle(shape.name, factors, done)
        if circle:
            names = circle if len(circle) <= _SHOWN else (*circle[:_SHOWN], "...", circle[-1])
            yield context.error(shape.span, f"shape {shape.name} is defined by itself: {' = '.join(names)}")


def _circle(
    start: ShapeName, factors: dict[ShapeName, tuple[ShapeName, ...]], done: set[ShapeName]
) -> tuple[ShapeName, ...]:
    """A path from a shape back to one on the path, by depth-first search; `done` shapes have none."""
    path = {} if start in done else {start: iter(factors.get(start, ()))}
    while path:
        last = next(reversed(path))
        following = next(path[last], None)
        if following is None:
            done.add(last)
            del path[last]
        elif following in path:
            names = tuple(path)
            done.update(names)
            return (*names[names.index(following) :], following)
        elif following not in done:
            path[following] = iter(factors.get(following, ()))
    return ()


def check_inputs(context: Context) -> Iterator[Diagnostic]:
    """Input declarations: names, repetitions, and ranks that are not plain variables."""
    first: dict[TensorName, Span] = {}
    for access in context.cascade.inputs:
        yield from tensor_case(context, access)
        if access.tensor in first:
            yield context.error(access.span, f"duplicate input {access.tensor}", where(first[access.tensor]))
        first.setdefault(access.tensor, access.span)
        yield from _input_ranks(context, access)


def _input_ranks(context: Context, access: Access) -> Iterator[Diagnostic]:
    seen: set[VarName] = set()
    for index in access.indices:
        var = plain_variable(index.expr)
        if index.conditions:
            yield context.error(index.span, f"filter in the declaration of input {access.tensor}", "filter its uses")
        elif var is None:
            shapes = rank_shapes(index.expr)
            hint = f"did you mean {shapes[0].lower()}?" if shapes else "a rank is declared by a variable, as in K[e,m]"
            yield context.error(index.span, f"a rank of input {access.tensor} is not a lower-case variable", hint)
        elif var in seen:
            hint = f"name the second rank differently and declare `shape {var.upper()}2 = {var.upper()}`"
            yield context.error(index.span, f"input {access.tensor} repeats the variable {var}", hint)
        else:
            seen.add(var)


def tensor_case(context: Context, access: Access) -> Iterator[Diagnostic]:
    """An error if the tensor's name starts with a lower-case letter."""
    name = access.tensor
    if not name[0].isupper():
        close = suggest(name, context.definitions, "") if name.upper() in context.definitions else ""
        hint = close or f"did you mean {name[0].upper() + name[1:]}?"
        yield context.error(access.span, f"tensor {name} must start with an upper-case letter", hint)


def check_stops(context: Context) -> Iterator[Diagnostic]:
    """Iterative ranks: given once, used somewhere, with a known bound."""
    used = {v for e in (*context.cascade.inits, *context.cascade.einsums) for v in variables_of(e)}
    first: dict[VarName, Span] = {}
    for stop in context.cascade.stops:
        yield from context.unknown_shapes(stop.bound)
        if stop.var in first:
            yield context.error(stop.span, f"second stop for {stop.var}", where(first[stop.var]))
        elif stop.var not in used and stop.var not in context.broken:
            hint = suggest(stop.var, used, "variables")
            yield context.error(stop.span, f"stop for {stop.var}, which is no variable of an Einsum", hint)
        first.setdefault(stop.var, stop.span)


def check_outputs(context: Context) -> Iterator[Diagnostic]:
    """Declared outputs are defined by Einsums; there is at least one output."""
    defined = [e.name for e in context.cascade.einsums]
    seen: set[TensorName] = set()
    for name in context.cascade.outputs:
        if name in seen:
            yield context.error(_output_span(context.source, name), f"duplicate output {name}")
        elif name in context.inputs:
            yield context.error(_output_span(context.source, name), f"output {name} is an input")
        elif name not in context.definitions and name not in context.broken:
            hint = suggest(name, defined, "tensors")
            yield context.error(_output_span(context.source, name), f"undefined tensor {name}", hint)
        seen.add(name)
    if not (outputs(context.cascade) or context.broken):
        last = context.cascade.einsums[-1].output if context.cascade.einsums else None
        hint = "every tensor is read by another Einsum: write `output NAME`"
        yield context.error(last.span if last else NOWHERE, "the cascade has no output", hint)


def _output_span(source: Source, name: TensorName) -> Span:
    """Where an `output` line names the tensor last (the tree keeps no place for it)."""
    word = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])")
    found = NOWHERE
    for number, line in enumerate(source.lines, 1):
        if line.lstrip(" \t").startswith("output"):
            for match in word.finditer(line.partition("#")[0]):
                found = Span(file=source.file, line=number, column=match.start() + 1, length=len(name))
    return found
