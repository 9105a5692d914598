"""A cascade as the `einsum` section of TeAAL's YAML, for the cascades that its expressions can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn

from fusemap.diagnostics import InputError, Span
from fusemap.einsum_cascade.printer import format_einsum, format_rank_expr
from fusemap.einsum_cascade.scope import accesses, output_variables, plain_variable, rank_variables
from fusemap.einsum_cascade.source import cascade_source
from fusemap.einsum_cascade.types import Access, Affine, Apply, Cascade, Einsum, Expr, Index, ShapeName

_SUPPORTED = "TeAAL's expressions are sums of products of tensors at sums of variables and INTEGER * variable"


def export_teaal(cascade: Cascade) -> str:
    """The text of a TeAAL file that declares the cascade's tensors and computes its Einsums, in their order.

    Without mapping, format and architecture. InputError for the first thing that TeAAL's expressions cannot
    say: operators besides + and *, other reductions than sums, filters, recurrences, lookups, a tensor twice
    in one Einsum, terms of a sum with different variables.

    >>> from fusemap.einsum_cascade.parser import parse
    >>> print(export_teaal(parse("input A[k,m], B[k]\\nZ[m] = A[k,m] * B[k]")), end="")
    # The Einsums of unnamed.
    einsum:
      declaration:
        A: [K, M]
        B: [K]
        Z: [M]
      expressions:
        - Z[m] = A[k, m] * B[k]
    """
    return _Exporter(cascade).text()


class _Exporter:
    """Writes the expressions and refuses what they cannot say."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        constants = {s.name: s.constant for s in cascade.shapes if s.constant is not None}
        self.constants: Mapping[ShapeName, int] = constants

    def text(self) -> str:
        for stop in self.cascade.stops:
            self.refuse(stop.span, f"the iterative variable {stop.var}")
        for shape in self.cascade.shapes:
            if shape.factors:
                self.refuse(shape.span, f"the shape {shape.name} = {'*'.join(shape.factors)}")
        for before, einsum in enumerate(self.cascade.einsums):
            written = {e.name for e in self.cascade.einsums[before:]}
            for access in accesses(einsum):
                if access.tensor in written:
                    self.refuse(access.span, f"a read of {access.tensor} above the line that writes it")
        expressions = [self.einsum(einsum) for einsum in self.cascade.einsums]
        ranks = {a.tensor: output_variables(a) for a in self.cascade.inputs}
        ranks |= {e.name: output_variables(e.output) for e in self.cascade.einsums}
        declared = [f"    {name}: [{', '.join(v.upper() for v in found)}]" for name, found in ranks.items()]
        head = [f"# The Einsums of {self.cascade.name}.", "einsum:", "  declaration:"]
        return "\n".join([*head, *declared, "  expressions:", *(f"    - {text}" for text in expressions), ""])

    def refuse(self, span: Span, what: str) -> NoReturn:
        message = f"TeAAL cannot say {what}"
        raise InputError((cascade_source(self.cascade).diagnostic(span, message, _SUPPORTED),))

    def einsum(self, einsum: Einsum) -> str:
        if einsum.conditions:
            self.refuse(einsum.conditions[0].span, "a filter")
        reduce = einsum.reduce
        if reduce is not None and (reduce.operator != "sum" or any(v.conditions for v in reduce.variables)):
            filtered = reduce.operator == "sum"
            self.refuse(reduce.span, "a filter" if filtered else f"the reduction {reduce.operator}")
        for index in einsum.output.indices:
            if plain_variable(index.expr) is None:
                self.refuse(index.span, f"a write at {format_rank_expr(index.expr)}")
        terms = [list(_operands(term, "mul")) for term in _operands(einsum.expr, "add")]
        accesses = [self.access(factor) for term in terms for factor in term]
        names = [a.tensor for a in accesses]
        for access in accesses:
            if names.count(access.tensor) > 1:
                self.refuse(access.span, f"{access.tensor} twice in one expression")
        self.same_variables(einsum, terms)
        right = " + ".join(" * ".join(self.tensor(self.access(factor)) for factor in term) for term in terms)
        return f"{self.tensor(einsum.output)} = {right}"

    def access(self, expr: Expr) -> Access:
        if isinstance(expr, Access):
            return expr
        self.refuse(expr.span, f"the operator {expr.operator}" if isinstance(expr, Apply) else "a constant")

    def same_variables(self, einsum: Einsum, terms: list[list[Expr]]) -> None:
        found = [
            {v for factor in term for i in self.access(factor).indices for v in rank_variables(i.expr)}
            for term in terms
        ]
        if any(variables != found[0] for variables in found):
            self.refuse(einsum.span, f"a sum whose terms have different variables, {format_einsum(einsum)}")

    def tensor(self, access: Access) -> str:
        return f"{access.tensor}[{', '.join(self.index(index) for index in access.indices)}]"

    def index(self, index: Index) -> str:
        expr = index.expr
        if index.conditions:
            self.refuse(index.span, "a filter")
        if not isinstance(expr, Affine):
            self.refuse(index.span, f"the index {format_rank_expr(expr)}")
        parts = []
        for term in expr.terms:
            factor = 1 if term.shape is None else self.constants.get(term.shape)
            if term.var is None or factor is None:
                self.refuse(index.span, f"the index {format_rank_expr(expr)}")
            coefficient = term.sign * factor
            parts.append(term.var if coefficient == 1 else f"{coefficient} * {term.var}")
        return " + ".join(parts)


def _operands(expr: Expr, operator: str) -> Iterator[Expr]:
    """The operands of nested uses of one operator, from left to right."""
    if isinstance(expr, Apply) and expr.operator == operator:
        for arg in expr.args:
            yield from _operands(arg, operator)
    else:
        yield expr
