"""Sizes of a program: from the shapes of its inputs, from each other, and the rest from its caller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fusemap.einsum_cascade.emit.names import Names
from fusemap.einsum_cascade.scope import (
    conditions_of,
    expr_rank_exprs,
    iterative_ranks,
    output_variables,
    rank_shapes,
    shape_of,
    sizes_read,
    variables_of,
)
from fusemap.einsum_cascade.types import Cascade, ShapeDecl, ShapeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Lines that compute sizes, and the sizes that the caller gives."""

    lines: tuple[str, ...]
    given: tuple[str, ...]


def sizes_of(cascade: Cascade, names: Names) -> Sizes:
    """Sizes by the shapes of inputs, then by the `shape` lines; what they leave open is given, inner chunks first.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.emit.names import names_of
    >>> found = sizes_of(load("attention-1pass"), names_of(load("attention-1pass")))
    >>> found.given, found.lines[0], found.lines[3]
    (('M0',), 'E, P = Q.shape', 'M1 = M // M0')
    """
    return _Finder(cascade, names).sizes()


class _Finder:
    def __init__(self, cascade: Cascade, names: Names) -> None:
        self.cascade, self.name = cascade, names.sizes
        self.tensor = names.tensors
        self.known: set[ShapeName] = set()
        self.given: list[str] = []
        self.lines: list[str] = []
        self.checks: list[str] = []

    def sizes(self) -> Sizes:
        checked = list(self._from_inputs())
        needed = list(_needed(self.cascade))
        self._imply()
        while missing := next((s for s in needed if s not in self.known), None):
            chosen = self._innermost(missing)
            self.given.append(self.name[chosen])
            self.known.add(chosen)
            self._imply()
        return Sizes(lines=(*self.lines, *self.checks, *self._shapes(checked)), given=tuple(self.given))

    def _from_inputs(self) -> Iterator[int]:
        """Reads sizes off shapes; gives the inputs whose shape is known already, in part."""
        for number, access in enumerate(self.cascade.inputs):
            shapes = [shape_of(v) for v in output_variables(access)]
            new = [s for s in shapes if s not in self.known]
            if len(new) < len(shapes):
                yield number
            if not shapes or not new:
                continue
            tensor = self.tensor[str(access.tensor)]
            if len(new) == len(shapes) and len(shapes) > 1:
                self.lines.append(f"{', '.join(self.name[s] for s in shapes)} = {tensor}.shape")
            else:
                self.lines += [f"{self.name[s]} = {tensor}.shape[{shapes.index(s)}]" for s in new]
            self.known.update(new)

    def _shapes(self, numbers: list[int]) -> Iterator[str]:
        cases = []
        for number in numbers:
            access = self.cascade.inputs[number]
            shape = ", ".join(self.name[shape_of(v)] for v in output_variables(access))
            tensor = self.tensor[str(access.tensor)]
            cases.append(f'("{access.tensor}", {tensor}, ({shape}{"," if "," not in shape else ""}))')
        if cases:
            yield f"for name, array, shape in ({', '.join(cases)}{',' if len(cases) == 1 else ''}):"
            yield "    if array.shape != shape:"
            yield '        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")'

    def _imply(self) -> None:
        """Adds what the `shape` lines say of the others."""
        pending = [s for s in self.cascade.shapes if s.factors or s.constant is not None]
        done: set[ShapeName] = {s.name for s in pending if s.name in self.known and set(s.factors) <= self.known}
        while any([self._by(decl, done) for decl in pending]):
            pass

    def _by(self, decl: ShapeDecl, done: set[ShapeName]) -> bool:
        name, absent = decl.name, [f for f in decl.factors if f not in self.known]
        if decl.name in done or (decl.name in self.known and not absent):
            return False
        whole = "*".join(self.name[f] for f in decl.factors)
        if decl.constant is not None:
            self._add(name, str(decl.constant))
        elif not absent:
            self._add(name, whole)
        elif len(absent) == 1 and name in self.known:
            rest = [self.name[f] for f in decl.factors if f != absent[0]]
            self._add(absent[0], " // ".join([self.name[name], *rest]))
            if rest:
                self._check(decl, whole, rest)
        else:
            return False
        return True

    def _add(self, shape: ShapeName, text: str) -> None:
        self.lines.append(f"{self.name[shape]} = {text}")
        self.known.add(shape)

    def _check(self, decl: ShapeDecl, whole: str, rest: list[str]) -> None:
        name = self.name[decl.name]
        known = ", ".join(f"{r} = {{{r}}}" for r in rest)
        self.checks += [
            f"if {whole} != {name}:",
            f'    raise ValueError(f"{name} = {{{name}}} is not {whole} with {known}")',
        ]

    def _innermost(self, shape: ShapeName) -> ShapeName:
        """The size to ask for where one is missing: the last open factor of a partition that it is part of."""
        for decl in self.cascade.shapes:
            if decl.name == shape or shape in decl.factors:
                open_ = [f for f in decl.factors if f not in self.known]
                if open_ and (len(decl.factors) > 1 or decl.name == shape):
                    return open_[-1]
        return shape


def _needed(cascade: Cascade) -> Iterator[ShapeName]:
    """Shapes that the program names: ranges of variables, bounds, sizes as values, factors."""
    stops = iterative_ranks(cascade)
    yield from (s for stop in stops.values() for s in rank_shapes(stop.bound))
    for access in cascade.inputs:
        yield from (shape_of(v) for v in output_variables(access))
    for einsum in (*cascade.inits, *cascade.einsums):
        yield from (shape_of(v) for v in variables_of(einsum) if v not in stops)
        yield from sizes_read(einsum.expr)
        yield from (s for expr in expr_rank_exprs(einsum.expr) for s in rank_shapes(expr))
        yield from (s for index in einsum.output.indices for s in rank_shapes(index.expr))
        yield from (s for chain in conditions_of(einsum) for o in chain.operands for s in rank_shapes(o))
