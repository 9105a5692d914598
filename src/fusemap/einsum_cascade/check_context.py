"""What the static checks look up: the names of a cascade and where they were declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fusemap.diagnostics import Diagnostic, Span
from fusemap.einsum_cascade.operators import Operators
from fusemap.einsum_cascade.scope import input_names, known_shapes, rank_shapes
from fusemap.einsum_cascade.source import Source, cascade_source, suggest
from fusemap.einsum_cascade.types import NOWHERE, Access, Cascade, Chain, RankExpr, ShapeName, TensorName, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A cascade with its names; names in `broken` are given the benefit of the doubt."""

    cascade: Cascade
    operators: Operators
    broken: frozenset[str]
    source: Source
    inputs: frozenset[TensorName]
    definitions: dict[TensorName, Access]
    shapes: frozenset[str]
    iterative: frozenset[VarName]

    def error(self, span: Span, message: str, hint: str = "") -> Diagnostic:
        """A diagnostic that quotes the line of `span`."""
        return self.source.diagnostic(span, message, hint)

    def unknown_shapes(self, expr: RankExpr) -> Iterator[Diagnostic]:
        """Shapes of a rank expression that nothing declares."""
        for shape in rank_shapes(expr):
            yield from self.unknown_shape(shape, expr.span)

    def unknown_shape(self, shape: ShapeName, span: Span) -> Iterator[Diagnostic]:
        """An error unless the shape is declared, a factor of a declared one, or a variable's range."""
        if shape not in self.shapes and shape not in self.broken:
            yield self.error(span, f"unknown shape {shape}", suggest(shape, self.shapes, "shapes"))

    def chain_shapes(self, chains: tuple[Chain, ...]) -> Iterator[Diagnostic]:
        """Unknown shapes in conditions."""
        for chain in chains:
            for operand in chain.operands:
                yield from self.unknown_shapes(operand)


def context_of(cascade: Cascade, operators: Operators, broken: frozenset[str]) -> Context:
    """The names of the cascade; the first declaration of a name counts."""
    definitions: dict[TensorName, Access] = {}
    for access in (*cascade.inputs, *(e.output for e in cascade.einsums)):
        definitions.setdefault(access.tensor, access)
    return Context(
        cascade=cascade,
        operators=operators,
        broken=broken,
        source=cascade_source(cascade),
        inputs=frozenset(input_names(cascade)),
        definitions=definitions,
        shapes=frozenset(known_shapes(cascade)),
        iterative=frozenset(s.var for s in cascade.stops),
    )


def where(span: Span) -> str:
    """A hint that points at an earlier declaration."""
    return "" if span == NOWHERE else f"first in line {span.line}"
