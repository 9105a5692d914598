"""A rank in chunks: indices, conditions and reductions over m1 and m0 in place of m."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusemap.einsum_cascade.derive.step import Step
from fusemap.einsum_cascade.derive.terms import access, affine, chain_with, variable
from fusemap.einsum_cascade.scope import (
    conditions_of,
    known_shapes,
    plain_variable,
    rank_variables,
)
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Cascade,
    Chain,
    Einsum,
    Expr,
    Index,
    ReduceVar,
    ShapeDecl,
    ShapeName,
    Stop,
    Term,
    VarName,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """The rank M = M1*M0; `filtered`: a condition of the cascade cuts it, so that a chunk may be empty."""

    rank: str
    outer: str
    inner: str
    filtered: bool

    @property
    def m(self) -> str:
        """The variable of the rank."""
        return self.rank.lower()

    @property
    def m1(self) -> str:
        """The variable that counts chunks."""
        return self.outer.lower()

    @property
    def m0(self) -> str:
        """The variable inside a chunk."""
        return self.inner.lower()

    @property
    def flat(self) -> Affine:
        """m1*M0+m0."""
        return affine(Term(var=VarName(self.m1), shape=ShapeName(self.inner)), Term(var=VarName(self.m0)))

    @property
    def next(self) -> Affine:
        """m1+1."""
        return affine(Term(var=VarName(self.m1)), Term(constant=1))

    @property
    def last(self) -> Affine:
        """M1."""
        return affine(Term(shape=ShapeName(self.outer)))

    @property
    def shape(self) -> ShapeDecl:
        """M = M1*M0."""
        return ShapeDecl(name=ShapeName(self.rank), factors=(ShapeName(self.outer), ShapeName(self.inner)))

    @property
    def stop(self) -> Stop:
        """m1 steps through the chunks."""
        return Stop(var=VarName(self.m1), bound=self.last)

    @property
    def step(self) -> Step:
        """The rule as it is applied."""
        identity = f"{self.rank} = {self.outer}*{self.inner}, {self.m} = {self.m1}*{self.inner}+{self.m0}"
        return Step(rule="partition", applied=(self.rank,), identity=identity)

    def indices(self, indices: Sequence[Index]) -> list[Index]:
        """Indices with m1 and m0 in place of m."""
        result: list[Index] = []
        for index in indices:
            whole = plain_variable(index.expr) == self.m
            result += [Index(expr=variable(v)) for v in (self.m1, self.m0)] if whole else [Index(expr=index.expr)]
        return result

    def flattened(self, found: Access) -> Access:
        """The access with m1*M0+m0 in place of m, without conditions."""
        exprs = [self.flat if plain_variable(i.expr) == self.m else i.expr for i in found.indices]
        return replace(found, indices=tuple(Index(expr=e) for e in exprs))

    def conditions(self, einsum: Einsum) -> tuple[Chain, ...]:
        """All conditions of an Einsum, of m1*M0+m0."""
        return tuple(chain_with(c, {self.m: self.flat}) for c in conditions_of(einsum))

    def reduction(self, einsum: Einsum, output: Access, body: Expr, *, whole: bool) -> Einsum:
        """A reduction over m as one over m0, of a chunk, or over m1 and m0."""
        assert einsum.reduce is not None
        inner = [VarName(self.m1), VarName(self.m0)] if whole else [VarName(self.m0)]
        others = [v.var for v in einsum.reduce.variables if v.var != self.m]
        variables = tuple(ReduceVar(var=v) for v in (*inner, *others))
        reduce = replace(einsum.reduce, variables=variables, explicit=True)
        return Einsum(output=bare(output), reduce=reduce, expr=body, conditions=self.conditions(einsum))

    def of_chunk(self, tag: str, output: Access) -> Access:
        """A tensor of chunks: m1 before the indices of an output."""
        return access(tag, variable(self.m1), *bare(output).indices)


def chunks_of(cascade: Cascade, rank: str) -> Chunks:
    """The rank of a cascade in chunks, whose shapes get names that are free."""
    taken = [str(s) for s in known_shapes(cascade)]
    outer = next(o for o in (f"{rank}1", f"{rank}11") if o not in taken)
    inner = next(i for i in (f"{rank}0", f"{rank}00") if i not in taken)
    conditions = [c for e in cascade.einsums for c in conditions_of(e)]
    filtered = any(rank.lower() in rank_variables(o) for c in conditions for o in c.operands)
    return Chunks(rank=rank, outer=outer, inner=inner, filtered=filtered)


def bare(found: Access) -> Access:
    """The access without conditions, which are those of its Einsum."""
    return replace(found, indices=tuple(Index(expr=i.expr) for i in found.indices))
