"""The cascade that a generated kernel computes: the derived one as a GPU executes it.

Two things differ. A running maximum starts at the lowest finite number, so that exp(a - b) needs no guard where nothing
was seen yet. Under a filter keys are taken one at a time, so that a chunk is there or not: a maximum or sum over the
keys of a chunk is then the value itself.
"""

from __future__ import annotations

from dataclasses import replace

from fusemap.einsum_cascade.derive.terms import access_with, affine, apply, chain_with, variable
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.scope import accesses, conditions_of, output_variables, plain_variable, shape_of
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Chain,
    Einsum,
    Expr,
    Index,
    Number,
    RankExpr,
    ShapeName,
    Stop,
    Term,
    ValueOf,
    VarName,
)

LOWEST = "3.402823466e38"  # of fp32, negated where it stands


def kernel_cascade(cascade: Cascade) -> Cascade:
    """The cascade of the kernel, whose chunks are single keys where the cascade filters.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> [str(e.name) for e in kernel_cascade(load("attention-1pass-causal")).einsums][:3]
    ['BQK', 'LM', 'RM']
    """
    finite = replace(
        cascade,
        inits=tuple(replace(e, expr=_finite(e.expr)) for e in cascade.inits),
        einsums=tuple(replace(e, expr=_finite(e.expr)) for e in cascade.einsums),
    )
    if not any(conditions_of(e) for e in cascade.einsums):
        return finite
    return _single(finite)


def _finite(expr: Expr) -> Expr:
    """exp(a - b) for expsub(a, b), and the lowest number for -inf."""
    if not isinstance(expr, Apply):
        return expr
    if expr.operator == "neg" and isinstance(expr.args[0], Number) and expr.args[0].text == "inf":
        return apply("neg", Number(text=LOWEST))
    args = tuple(_finite(a) for a in expr.args)
    if expr.operator == "expsub":
        return apply("exp", apply("sub", *args))
    return replace(expr, args=args)


def _single(cascade: Cascade) -> Cascade:
    """The cascade with one key per chunk: `m1*M0+m0` is `m`, and what is reduced over m0 is itself."""
    steps = [shape_of(s.var) for s in cascade.stops]
    found = next((s for s in cascade.shapes if len(s.factors) == 2 and s.factors[0] in steps), None)
    if found is None or len(steps) != 1:
        return cascade
    outer, inner = (VarName(f.lower()) for f in found.factors)
    key = VarName(found.name.lower())
    stop = Stop(var=key, bound=affine(Term(shape=found.name)))
    into = _Single(outer=outer, inner=inner, key=key, chunk=found.factors[1], count=found.factors[0], rank=found.name)
    views = {str(e.name): e for e in cascade.einsums if is_view(e) and inner in output_variables(e.output)}
    return replace(
        cascade,
        shapes=tuple(s for s in cascade.shapes if s is not found),
        stops=(stop,),
        inits=tuple(into.einsum(e, views) for e in cascade.inits),
        einsums=tuple(into.einsum(e, views) for e in cascade.einsums if str(e.name) not in views),
    )


class _Single:
    def __init__(
        self, *, outer: VarName, inner: VarName, key: VarName, chunk: ShapeName, count: ShapeName, rank: ShapeName
    ) -> None:
        self.outer, self.inner, self.key = outer, inner, key
        self.chunk, self.count, self.rank = chunk, count, rank
        self.renamed = {str(outer): variable(key)}

    def einsum(self, einsum: Einsum, views: dict[str, Einsum]) -> Einsum:
        reduce = einsum.reduce
        if reduce is not None:
            left = tuple(v for v in reduce.variables if v.var != self.inner)
            reduce = replace(reduce, variables=left) if left else None
        conditions = tuple(chain_with(self.chain(c), self.renamed) for c in conditions_of(einsum))
        return replace(
            einsum,
            output=self.access(replace(einsum.output, indices=_bare(einsum.output))),
            reduce=reduce,
            expr=self.expr(einsum.expr, views),
            conditions=conditions,
        )

    def expr(self, expr: Expr, views: dict[str, Einsum]) -> Expr:
        if isinstance(expr, Access):
            view = views.get(str(expr.tensor))
            return self.access(replace(expr, indices=_bare(expr)) if view is None else _seen_through(expr, view))
        if isinstance(expr, ValueOf):
            return expr  # which the template has no place for
        if isinstance(expr, Apply):
            return replace(expr, args=tuple(self.expr(a, views) for a in expr.args))
        return expr

    def access(self, access: Access) -> Access:
        kept = [i for i in access.indices if plain_variable(i.expr) != self.inner]
        return access_with(
            replace(access, indices=tuple(replace(i, expr=self.coordinate(i.expr)) for i in kept)), self.renamed
        )

    def chain(self, chain: Chain) -> Chain:
        operands = (self.sum(o) if isinstance(o, Affine) else o for o in chain.operands)
        return replace(chain, operands=tuple(operands))

    def coordinate(self, expr: RankExpr) -> RankExpr:
        """The index by single keys; what is no sum stays."""
        return self.sum(expr) if isinstance(expr, Affine) else expr

    def sum(self, expr: Affine) -> Affine:
        """m1*M0+m0 as m, M1 as M."""
        terms = []
        for term in expr.terms:
            if term.var == self.inner:
                continue
            if term.var == self.outer and term.shape == self.chunk:
                terms.append(Term(sign=term.sign, var=self.key))
            elif term.var is None and term.shape == self.count:
                terms.append(Term(sign=term.sign, shape=self.rank))
            elif term.var is None and term.shape == self.chunk:
                terms.append(Term(sign=term.sign, constant=1))
            else:
                terms.append(term)
        return affine(*terms)


def _bare(access: Access) -> tuple[Index, ...]:
    return tuple(Index(expr=i.expr) for i in access.indices)


def _seen_through(found: Access, view: Einsum) -> Access:
    """What a view reads, at the indices at which the view is read."""
    own = [plain_variable(i.expr) for i in view.output.indices]
    into = {str(v): i.expr for v, i in zip(own, found.indices, strict=True) if isinstance(i.expr, Affine)}
    assert isinstance(view.expr, Access) and accesses(view)
    return access_with(view.expr, into)
