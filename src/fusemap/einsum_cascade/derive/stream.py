"""Rules (b) and (c): a rank in chunks, with running values (a scan) or chunks that are merged at the end (a tree).

Tensors of a derived cascade are called by what they are to the one that they come from: B a view or stream by chunks,
L of a chunk, R running, P the running value corrected, C a correction, N and O values made of the new and the old
running ones, D the difference of two values of a statistic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from fusemap.einsum_cascade.derive.book import Book
from fusemap.einsum_cascade.derive.chunks import Chunks, bare, chunks_of
from fusemap.einsum_cascade.derive.polynomial import Shifted, shifted
from fusemap.einsum_cascade.derive.ratio import Ratio, ratio_of
from fusemap.einsum_cascade.derive.roles import CannotStreamError, Roles, reads, roles_of
from fusemap.einsum_cascade.derive.safe import corrected, counted, guarded
from fusemap.einsum_cascade.derive.step import Draft
from fusemap.einsum_cascade.derive.terms import access, affine, apply, mapped, number, variable
from fusemap.einsum_cascade.scope import output_variables, outputs, variables_of
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Cascade,
    Einsum,
    Expr,
    Index,
    Reduce,
    ReduceVar,
    Term,
    VarName,
)

Form: TypeAlias = Literal["scan", "tree"]
Mode: TypeAlias = Literal["local", "final"]
When: TypeAlias = Literal["old", "new", "chunk", "final"]
_JOIN = {"sum": "add", "max": "max", "min": "min", "prod": "mul"}
_IDENTITY = {"sum": "0", "max": "-inf", "min": "inf", "prod": "1"}


def streamed(draft: Draft, rank: str, form: Form, merged: int, *, safe: bool = False) -> Draft:
    """The draft in chunks of the rank; of the sums that depend on a statistic the first `merged` go along with it.

    CannotStreamError: the rank is not plain, or one of these sums has no correction.
    """
    roles = roles_of(draft.cascade, rank)
    emitter = Emitter(
        roles=roles,
        chunks=chunks_of(draft.cascade, rank),
        form=form,
        merged=frozenset(roles.dependent[:merged]),
        safe=safe,
        book=Book(roles=roles),
    )
    return Draft(cascade=emitter.cascade(), steps=(*draft.steps, emitter.chunks.step, *emitter.book.rules))


@dataclass
class Emitter:
    """Makes the Einsums that the outputs need, one version of a tensor at a time."""

    roles: Roles
    chunks: Chunks
    form: Form
    merged: frozenset[str]
    safe: bool
    book: Book

    def cascade(self) -> Cascade:
        """The derived cascade."""
        source, names = self.roles.cascade, [n for n in self.roles.order if n in self.roles.outputs()]
        for name in names:
            self._output(name)
        return replace(
            source,
            name=f"{source.name}-{self.form}",
            shapes=(*(s for s in source.shapes if s.name != self.chunks.rank), self.chunks.shape),
            outputs=outputs(source),  # in the order of the source, which callers rely on
            stops=(self.chunks.stop,) if self.book.inits else (),
            inits=tuple(self.book.inits),
            einsums=self.book.in_order(),
        )

    # --- complete tensors, under their own names -------------------------------------------------

    def _output(self, name: str) -> None:
        if not self.roles.is_stream(name):
            self._final(name)
            return
        einsum = self.roles.einsums[name]

        def make() -> Einsum:
            body, output = self._body(einsum.expr, "final", "final"), self.chunks.flattened(einsum.output)
            return replace(einsum, output=output, expr=body, conditions=self.chunks.conditions(einsum))

        self.book.make(name, make)

    def _final(self, name: str) -> None:
        if name not in self.roles.einsums:
            return
        einsum = self.roles.einsums[name]
        if self.roles.is_reduction(name):
            self.book.make(name, lambda: self._reduced_final(name, einsum))
        else:
            self.book.make(name, lambda: replace(einsum, expr=self._body(einsum.expr, "final", "final")))

    def _goes_along(self, name: str) -> bool:
        """Is a sum taken along with the statistics, rather than in a later pass?"""
        return name in self.merged or not self.roles.after[name]

    def _reduced_final(self, name: str, einsum: Einsum) -> Einsum:
        if not self._goes_along(name):
            return self.chunks.reduction(einsum, einsum.output, self._body(einsum.expr, "final", "final"), whole=True)
        output = bare(einsum.output)
        if self.form == "scan":
            return Einsum(output=output, reduce=None, expr=self._running(name, output, self.chunks.last))
        body: Expr = self._local(name, output)
        if name in self.merged:
            body = self._merge(name, einsum, "chunk", "final")
        assert einsum.reduce is not None
        reduce = Reduce(operator=einsum.reduce.operator, variables=(ReduceVar(var=VarName(self.chunks.m1)),))
        return Einsum(output=output, reduce=reduce, expr=body)

    # --- corrections -----------------------------------------------------------------------------

    def _merge(self, name: str, einsum: Einsum, old: When, new: When) -> Expr:
        """What was taken with old statistics, corrected to new ones."""
        ratio = ratio_of(self.roles, name)
        if ratio is not None:
            factor = self._correction(name, ratio, old, new)
            output = self.chunks.of_chunk(self.book.tag("P", name), einsum.output)
            return self.book.add(output, apply("mul", self._taken(name, einsum), factor))
        return self._shifted(name, einsum, self._shift(name), 0, old, new)

    def _shift(self, name: str) -> Shifted:
        found = shifted(self.roles, name)
        if found is None:
            needed = ", ".join(sorted(self.roles.after[name]))
            text = f"{name}: its terms change with {needed} by no common factor, and are no polynomial of one of them"
            raise CannotStreamError(text)
        return found

    def _taken(self, name: str, einsum: Einsum, power: int = 0) -> Expr:
        """The sum as it was taken: running so far, or of a chunk."""
        if self.form == "tree":
            return self._local(name, bare(einsum.output), power)
        return self.chunks.of_chunk(self.book.tag("R", name, power), einsum.output)

    def _correction(self, name: str, ratio: Ratio, old: When, new: When) -> Access:
        leaves = {s: self._finished(a, old if w == "old" else new) for s, (a, w) in ratio.leaves.items()}
        safe = self.safe or self.chunks.filtered
        expr, conditions = corrected(ratio, leaves, safe=safe, old=self.form == "scan")
        self.book.rule(name, "correct", ratio, conditions)
        inner = {v for leaf, _ in ratio.leaves.values() for v in variables_of(leaf)}
        indices = _indices(self.roles.einsums[name].output, inner)
        return self.book.add(access(self.book.tag("C", name), variable(self.chunks.m1), *indices), expr)

    def _shifted(self, name: str, einsum: Einsum, shift: Shifted, power: int, old: When, new: When) -> Expr:
        """sum over k >= power of binomial(k, power) F_k (s' - s)^(k - power)."""
        before, after = self._finished(shift.statistic, old), self._finished(shift.statistic, new)
        inner = _indices(einsum.output, set(variables_of(shift.statistic)))
        delta = access(self.book.tag("D", name), variable(self.chunks.m1), *inner)
        self.book.add(delta, apply("sub", after, before))
        total: Expr | None = None
        for k, binomial in shift.terms(power):
            value = self._accumulated(name, einsum, shift, k)
            for _ in range(k - power):
                value = apply("mul", value, delta)
            value = value if binomial == 1 else apply("mul", number(str(binomial)), value)
            total = value if total is None else apply("add", total, value)
        assert total is not None
        self.book.rule(name, "shift")
        return self.book.add(self.chunks.of_chunk(self.book.tag("P", name, power), einsum.output), total)

    def _accumulated(self, name: str, einsum: Einsum, shift: Shifted, power: int) -> Expr:
        constant = shift.constant(power)
        if constant is None:
            return self._taken(name, einsum, power)
        scan = self.form == "scan"
        return counted(constant, self.chunks.m1, self.chunks.inner, before=scan, chunk=not scan)

    # --- running values, and those of a chunk ----------------------------------------------------

    def _running(self, name: str, at: Access, step: Affine, power: int = 0) -> Access:
        """A running value at a step, made if it is not there yet."""
        tag = self.book.tag("R", name, power)
        self.book.make(tag, lambda: self._step(name, tag, power))
        return access(tag, step, *bare(at).indices)

    def _step(self, name: str, tag: str, power: int) -> Einsum:
        einsum = self.roles.einsums[name]
        assert einsum.reduce is not None
        operator, output = str(einsum.reduce.operator), bare(einsum.output)
        first = access(tag, affine(Term(constant=0)), *output.indices)
        self.book.init(first, number(_IDENTITY[operator]))
        local = self._local(name, output, power)
        before: Expr = self.chunks.of_chunk(tag, output)
        if name in self.merged:
            before = self._before(name, einsum, power)
        joined = apply(_JOIN[operator], before, local)
        return Einsum(output=access(tag, self.chunks.next, *output.indices), reduce=None, expr=joined)

    def _before(self, name: str, einsum: Einsum, power: int) -> Expr:
        """The running value so far, corrected to the new statistics."""
        if ratio_of(self.roles, name) is not None:
            return self._merge(name, einsum, "old", "new")
        shift = self._shift(name)
        if any(_starts_infinite(self.roles.einsums[r]) for r in self.roles.after[name]):
            raise CannotStreamError(
                f"{name}: what it is shifted by starts at infinity; chunks can be merged at the end"
            )
        for k, _ in shift.terms(power):
            if shift.constant(k) is None:
                self._running(name, einsum.output, self.chunks.next, k)
        return self._shifted(name, einsum, shift, power, "old", "new")

    def _local(self, name: str, at: Access, power: int = 0) -> Access:
        """What a chunk adds: with the new running statistics in a scan, with its own in a tree."""
        einsum, tag = self.roles.einsums[name], self.book.tag("L", name, power)

        def make() -> Einsum:
            body = self._shift(name).body(power) if power else einsum.expr
            made = self._body(body, "local", "new" if self.form == "scan" else "chunk")
            return self.chunks.reduction(einsum, self.chunks.of_chunk(tag, einsum.output), made, whole=False)

        self.book.make(tag, make)
        return self.chunks.of_chunk(tag, at)

    # --- bodies and accesses ---------------------------------------------------------------------

    def _body(self, expr: Expr, mode: Mode, when: When) -> Expr:
        def change(found: Access) -> Expr:
            return self._read(bare(found), mode, when)

        return mapped(expr, change, {self.chunks.m: self.chunks.flat})

    def _read(self, found: Access, mode: Mode, when: When) -> Expr:
        if self.chunks.m in output_variables(found):
            return self._stream(found, mode, when)
        if self.roles.depends(str(found.tensor)):
            return self._finished(found, when)
        self._unchanged(str(found.tensor))
        return found

    def _unchanged(self, name: str) -> None:
        """Enters an Einsum that has nothing to do with the rank, and what it reads."""
        if name in self.roles.einsums and name not in self.book.made:
            for tensor in reads(self.roles.einsums[name]):
                self._unchanged(tensor)
            self.book.made[name] = self.roles.einsums[name]

    def _finished(self, found: Access, when: When) -> Expr:
        """A statistic, or what is made of statistics, at a time."""
        found, name = bare(found), str(found.tensor)
        if when == "final":
            self._final(name)
            return found
        if not self.roles.is_reduction(name):
            return self._between(found, when)
        if not self._goes_along(name):
            raise CannotStreamError(f"{name} is complete only after its own pass")
        if when == "chunk":
            return self._local(name, found)
        return self._running(name, found, self.chunks.next if when == "new" else variable(self.chunks.m1))

    def _between(self, found: Access, when: When) -> Access:
        """What is made of statistics, made of those that there are so far; any values do, if the last are right."""
        name = str(found.tensor)
        einsum = self.roles.einsums[name]
        tag = self.book.tag({"new": "N", "old": "O", "chunk": "L"}[when], name)

        def make() -> Einsum:
            body = self._body(einsum.expr, "final", when)
            return replace(
                einsum, output=self.chunks.of_chunk(tag, einsum.output), expr=guarded(body, self.chunks, when)
            )

        self.book.make(tag, make)
        return self.chunks.of_chunk(tag, found)

    def _stream(self, found: Access, mode: Mode, when: When) -> Access:
        """A stream by chunks: of the original tensor, or with statistics of a time in it."""
        name = str(found.tensor)
        depends = self.roles.depends(name)
        if name in self.roles.outputs() and (mode == "final" or not depends):
            self._output(name)
            return self.chunks.flattened(found)
        tag = self.book.tag("B", name)
        if depends:
            tag = name if mode == "final" else self.book.tag("L", name)
        self.book.make(tag, lambda: self._stream_einsum(name, tag, mode, when))
        return access(tag, *self.chunks.indices(found.indices))

    def _stream_einsum(self, name: str, tag: str, mode: Mode, when: When) -> Einsum:
        einsum = self.roles.einsums.get(name)
        if einsum is None:
            given = next(a for a in self.roles.cascade.inputs if str(a.tensor) == name)
            return Einsum(
                output=access(tag, *self.chunks.indices(given.indices)), reduce=None, expr=self.chunks.flattened(given)
            )
        reduce = einsum.reduce
        if reduce is not None:  # its conditions are those of the Einsum
            reduce = replace(reduce, variables=tuple(ReduceVar(var=v.var) for v in reduce.variables))
        return Einsum(
            output=access(tag, *self.chunks.indices(einsum.output.indices)),
            reduce=reduce,
            expr=self._stream_body(name, einsum, mode, when),
            conditions=self.chunks.conditions(einsum),
        )

    def _stream_body(self, name: str, einsum: Einsum, mode: Mode, when: When) -> Expr:
        """What a stream computes; in a tree, that of the chunks is corrected rather than computed again."""
        ratio = ratio_of(self.roles, name) if self.form == "tree" and name in self._of_chunks else None
        if ratio is None or mode == "local" or einsum.reduce is not None:
            return self._body(einsum.expr, mode, when)
        local = self._stream(bare(einsum.output), "local", "chunk")
        return apply("mul", local, self._correction(name, ratio, "chunk", "final"))

    @cached_property
    def _of_chunks(self) -> frozenset[str]:
        """Streams with a statistic in them that the sums of chunks need."""
        found: set[str] = set()
        pending = [t for name in self.merged for t in reads(self.roles.einsums[name])]
        while pending:
            name = pending.pop()
            if self.roles.is_stream(name) and self.roles.depends(name) and name not in found:
                found.add(name)
                pending += reads(self.roles.einsums[name])
        return frozenset(found)


def _starts_infinite(einsum: Einsum) -> bool:
    return einsum.reduce is not None and "inf" in _IDENTITY[str(einsum.reduce.operator)]


def _indices(output: Access, wanted: set[VarName]) -> list[Index]:
    """The variables of an output that are wanted, as indices."""
    return [Index(expr=variable(str(v))) for v in output_variables(output) if v in wanted]
