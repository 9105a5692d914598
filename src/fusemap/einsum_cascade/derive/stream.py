"""Rules (b) and (c): a rank in chunks, with running values (a scan) or chunks that are merged at the end (a tree).

Tensors of a derived cascade are called by what they are to the one that they come from: B a view or stream by chunks,
L of a chunk, R running, P the running value corrected, C a correction, N and O values made of the new and the old
running ones, D the difference of two values of a statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

from fusemap.einsum_cascade.derive.polynomial import Shifted, shifted
from fusemap.einsum_cascade.derive.ratio import Ratio, ratio_of
from fusemap.einsum_cascade.derive.roles import CannotStreamError, Roles, reads, roles_of
from fusemap.einsum_cascade.derive.safe import corrected, counted, guarded
from fusemap.einsum_cascade.derive.step import Draft, Step
from fusemap.einsum_cascade.derive.terms import access, affine, apply, chain_with, mapped, variable
from fusemap.einsum_cascade.scope import (
    conditions_of,
    known_shapes,
    output_variables,
    plain_variable,
    rank_variables,
    variables_of,
)
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Cascade,
    Chain,
    Einsum,
    Expr,
    Index,
    Number,
    Reduce,
    ReduceVar,
    ShapeDecl,
    ShapeName,
    Stop,
    TensorName,
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
    chosen = roles.dependent[:merged]
    emitter = Emitter(roles=roles, rank=rank, form=form, merged=frozenset(chosen), safe=safe)
    return Draft(cascade=emitter.cascade(), steps=(*draft.steps, *emitter.steps()))


@dataclass
class Emitter:
    """Makes the Einsums that the outputs need, one version of a tensor at a time."""

    roles: Roles
    rank: str
    form: Form
    merged: frozenset[str]
    safe: bool = False
    made: dict[str, Einsum] = field(default_factory=dict)
    inits: list[Einsum] = field(default_factory=list)
    rules: list[Step] = field(default_factory=list)
    tags: dict[tuple[str, str, int], str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        taken = [str(s) for s in known_shapes(self.roles.cascade)]
        self.outer = next(o for o in (f"{self.rank}1", f"{self.rank}11") if o not in taken)
        self.inner = next(i for i in (f"{self.rank}0", f"{self.rank}00") if i not in taken)
        self.m, self.m1, self.m0 = self.rank.lower(), self.outer.lower(), self.inner.lower()
        self.flat = affine(Term(var=VarName(self.m1), shape=ShapeName(self.inner)), Term(var=VarName(self.m0)))
        conditions = [c for e in self.roles.cascade.einsums for c in conditions_of(e)]
        self.filtered = any(self.m in rank_variables(o) for c in conditions for o in c.operands)

    def cascade(self) -> Cascade:
        """The derived cascade."""
        source = self.roles.cascade
        for name in self.roles.order:
            if name in self.roles.outputs():
                self._output(name)
        shape = ShapeDecl(name=ShapeName(self.rank), factors=(ShapeName(self.outer), ShapeName(self.inner)))
        stop = Stop(var=VarName(self.m1), bound=affine(Term(shape=ShapeName(self.outer))))
        return replace(
            source,
            name=f"{source.name}-{self.form}",
            shapes=(*(s for s in source.shapes if s.name != self.rank), shape),
            outputs=tuple(TensorName(t) for t in self.roles.order if t in self.roles.outputs()),
            stops=(stop,) if self.inits else (),
            inits=tuple(self.inits),
            einsums=tuple(sorted(self.made.values(), key=self._place)),
        )

    def _place(self, einsum: Einsum) -> int:
        """Where an Einsum stands: with the tensor that it comes from; views first."""
        source = self.origin.get(str(einsum.name), str(einsum.name))
        return self.roles.order.index(source) if source in self.roles.einsums else -1

    def steps(self) -> tuple[Step, ...]:
        """What was done, once per rule and Einsum."""
        partition = Step(
            rule="partition",
            applied=(self.rank,),
            identity=f"{self.rank} = {self.outer}*{self.inner}, {self.m} = {self.m1}*{self.inner}+{self.m0}",
        )
        return (partition, *self.rules)

    # --- versions of tensors -------------------------------------------------------------------

    def _output(self, name: str) -> None:
        einsum = self.roles.einsums[name]
        if self.roles.is_stream(name):
            mode: Mode = "final"
            body = self._body(einsum.expr, mode, "final")
            output = self._flat_output(einsum.output)
            reduce = einsum.reduce
            self.made[name] = replace(
                einsum, output=output, expr=body, reduce=reduce, conditions=self._conditions(einsum)
            )
            return
        self._final(name)

    def _final(self, name: str) -> Access | None:
        """Makes a tensor without the rank complete, under its own name."""
        if name in self.made or name not in self.roles.einsums:
            return None
        einsum = self.roles.einsums[name]
        self.made[name] = einsum  # holds the place; nothing depends on itself
        if self.roles.is_reduction(name):
            made = self._reduced_final(name)
        else:
            made = replace(einsum, expr=self._body(einsum.expr, "final", "final"))
        del self.made[name]
        self.made[name] = made
        return None

    def _is_running(self, name: str) -> bool:
        """Is the sum kept running (or merged), rather than taken in a later pass?"""
        return self.roles.is_reduction(name) and (name in self.merged or not self.roles.after[name])

    def _reduced_final(self, name: str) -> Einsum:
        einsum = self.roles.einsums[name]
        if not self._is_running(name):
            return self._over_chunks(einsum, einsum.output, self._body(einsum.expr, "final", "final"), both=True)
        if self.form == "scan":
            last = self._running(name, einsum.output, affine(Term(shape=ShapeName(self.outer))))
            return replace(einsum, reduce=None, expr=last, conditions=(), output=_bare(einsum.output))
        return self._tree_total(name, einsum)

    def _tree_total(self, name: str, einsum: Einsum) -> Einsum:
        """The sum over chunks of what each of them has, corrected to the final statistics."""
        body: Expr = self._local(name, _bare(einsum.output))
        if name in self.merged:
            body = self._merge(name, einsum, "chunk", "final")
        assert einsum.reduce is not None
        reduce = Reduce(operator=einsum.reduce.operator, variables=(ReduceVar(var=VarName(self.m1)),))
        return Einsum(output=_bare(einsum.output), reduce=reduce, expr=body)

    def _merge(self, name: str, einsum: Einsum, old: When, new: When) -> Expr:
        """What was taken with old statistics, corrected to new ones: an access to the corrected tensor."""
        ratio = ratio_of(self.roles, name)
        if ratio is not None:
            value = self._taken(name, einsum, old)
            factor = self._correction(name, ratio, old, new)
            return self._named("P", name, einsum.output, apply("mul", value, factor))
        shift = shifted(self.roles, name)
        if shift is None:
            raise CannotStreamError(_uncorrectable(self.roles, name))
        return self._shifted(name, einsum, shift, 0, old, new)

    def _taken(self, name: str, einsum: Einsum, when: When, power: int = 0) -> Expr:
        """The sum as it was taken: running so far, or of a chunk."""
        if self.form == "tree":
            return self._local(name, _bare(einsum.output), power)
        return access(self._tag("R", name, power), variable(self.m1), *_bare(einsum.output).indices)

    def _correction(self, name: str, ratio: Ratio, old: When, new: When) -> Access:
        leaves = {s: self._finished(a, old if w == "old" else new) for s, (a, w) in ratio.leaves.items()}
        expr, conditions = corrected(ratio, leaves, safe=self.filtered or self.safe, old=self.form == "scan")
        self._rule(name, "correct", ratio, conditions)
        inner = {v for leaf, _ in ratio.leaves.values() for v in variables_of(leaf)}
        indices = [Index(expr=variable(v)) for v in _variables(self.roles.einsums[name].output) if v in inner]
        output = access(self._tag("C", name), variable(self.m1), *indices)
        self._add(Einsum(output=output, reduce=None, expr=expr))
        return output

    def _shifted(self, name: str, einsum: Einsum, shift: Shifted, power: int, old: When, new: When) -> Expr:
        """sum over k >= power of binomial(k, power) F_k (s' - s)^(k - power)."""
        before, after = self._finished(shift.statistic, old), self._finished(shift.statistic, new)
        inner = [Index(expr=variable(v)) for v in _variables(einsum.output) if v in variables_of(shift.statistic)]
        delta = self._named("D", name, access("D", *inner), apply("sub", after, before))
        total: Expr | None = None
        for k, binomial in shift.terms(power):
            value = self._accumulated(name, einsum, shift, k, old)
            for _ in range(k - power):
                value = apply("mul", value, delta)
            value = value if binomial == 1 else apply("mul", Number(text=str(binomial)), value)
            total = value if total is None else apply("add", total, value)
        assert total is not None
        self._rule(name, "shift", None, ())
        return self._named("P", name, einsum.output, total, power)

    def _accumulated(self, name: str, einsum: Einsum, shift: Shifted, power: int, when: When) -> Expr:
        constant = shift.constant(power)
        if constant is None:
            return self._taken(name, einsum, when, power)
        return counted(constant, self.m1, self.inner, before=self.form == "scan", chunk=self.form == "tree")

    # --- scan: running values -------------------------------------------------------------------

    def _running(self, name: str, at: Access, step: Affine, power: int = 0) -> Access:
        """A running value at a step, made if it is not there yet."""
        tag = self._tag("R", name, power)
        if tag not in self.made:
            self._make_running(name, tag, power)
        return access(tag, step, *_bare(at).indices)

    def _make_running(self, name: str, tag: str, power: int) -> None:
        einsum = self.roles.einsums[name]
        assert einsum.reduce is not None
        operator = str(einsum.reduce.operator)
        output, indices = _bare(einsum.output), _bare(einsum.output).indices
        first = access(tag, affine(Term(constant=0)), *indices)
        self.inits.append(Einsum(output=first, reduce=None, expr=_number(_IDENTITY[operator])))
        self.made[tag] = einsum  # holds the place: the running value is part of its own step
        local = self._local(name, output, power)
        before: Expr = access(tag, variable(self.m1), *indices)
        if name in self.merged:
            before = self._before(name, einsum, power)
        joined = apply(_JOIN[operator], before, local)
        del self.made[tag]
        self.made[tag] = Einsum(output=access(tag, _next(self.m1), *indices), reduce=None, expr=joined)

    def _before(self, name: str, einsum: Einsum, power: int) -> Expr:
        if ratio_of(self.roles, name) is not None:
            return self._merge(name, einsum, "old", "new")
        shift = shifted(self.roles, name)
        if shift is not None and any(_starts_infinite(self.roles.einsums[r]) for r in self.roles.after[name]):
            raise CannotStreamError(
                f"{name}: what it is shifted by starts at infinity; chunks can be merged at the end"
            )
        if shift is None:
            raise CannotStreamError(_uncorrectable(self.roles, name))
        for k, _ in shift.terms(power):
            if shift.constant(k) is None and self._tag("R", name, k) not in self.made:
                self._make_running(name, self._tag("R", name, k), k)
        return self._shifted(name, einsum, shift, power, "old", "new")

    def _local(self, name: str, at: Access, power: int = 0) -> Access:
        """What a chunk adds: with the new running statistics in a scan, with its own in a tree."""
        einsum = self.roles.einsums[name]
        tag = self._tag("L", name, power)
        output = access(tag, variable(self.m1), *_bare(einsum.output).indices)
        if tag not in self.made:
            self.made[tag] = einsum
            when: When = "new" if self.form == "scan" else "chunk"
            body = einsum.expr
            if power:
                shift = shifted(self.roles, name)
                assert shift is not None
                body = shift.body(power)
            made = self._over_chunks(einsum, output, self._body(body, "local", when), both=False)
            del self.made[tag]
            self.made[tag] = made
        return access(tag, variable(self.m1), *_bare(at).indices)

    # --- bodies and accesses --------------------------------------------------------------------

    def _body(self, expr: Expr, mode: Mode, when: When) -> Expr:
        def change(found: Access) -> Expr:
            return self._read(_bare(found), mode, when)

        return mapped(expr, change, {self.m: self.flat})

    def _read(self, found: Access, mode: Mode, when: When) -> Expr:
        name = str(found.tensor)
        if self.m in output_variables(found):
            return self._stream(found, mode, when)
        if self.roles.depends(name):
            return self._finished(found, when)
        self._unchanged(name)
        return found

    def _unchanged(self, name: str) -> None:
        """Makes an Einsum that has nothing to do with the rank, and what it reads."""
        if name in self.roles.einsums and name not in self.made:
            einsum = self.roles.einsums[name]
            for tensor in {str(a.tensor) for a in _accesses(einsum)}:
                self._unchanged(tensor)
            self.made[name] = einsum

    def _finished(self, found: Access, when: When) -> Expr:
        """A statistic, or what is made of statistics, at a time."""
        found, name = _bare(found), str(found.tensor)
        if when == "final":
            self._final(name)
            return found
        if self.roles.is_reduction(name):
            if not self._is_running(name):
                raise CannotStreamError(f"{name} is complete only after its own pass")
            if when == "chunk":
                return self._local(name, found)
            return self._running(name, found, _next(self.m1) if when == "new" else variable(self.m1))
        return self._between(found, when)

    def _between(self, found: Access, when: When) -> Access:
        """What is made of statistics, made of those that there are so far; any values do, if the last are right."""
        name = str(found.tensor)
        einsum = self.roles.einsums[name]
        tag = self._tag({"new": "N", "old": "O", "chunk": "L"}[when], name)
        if tag not in self.made:
            self.made[tag] = einsum
            body = guarded(self._body(einsum.expr, "final", when), self.rank, self.inner, self.m1, when, self.filtered)
            output = access(tag, variable(self.m1), *_bare(einsum.output).indices)
            reduce = einsum.reduce
            del self.made[tag]
            self.made[tag] = Einsum(output=output, reduce=reduce, expr=body, conditions=einsum.conditions)
        return access(tag, variable(self.m1), *found.indices)

    def _stream(self, found: Access, mode: Mode, when: When) -> Access:
        """A stream by chunks: of the original tensor, or with statistics of a time in it."""
        name = str(found.tensor)
        if name in self.roles.outputs() and (mode == "final" or not self.roles.depends(name)):
            self._output(name) if name not in self.made else None
            return replace(found, indices=tuple(self._flattened(i) for i in found.indices))
        tag = name if self.roles.depends(name) else self._tag("B", name)
        if self.roles.depends(name) and mode == "local":
            tag = self._tag("L", name)
        if tag not in self.made:
            self._make_stream(name, tag, mode, when)
        return access(tag, *self._chunked(found.indices))

    def _make_stream(self, name: str, tag: str, mode: Mode, when: When) -> None:
        einsum = self.roles.einsums.get(name)
        if einsum is None:
            given = next(a for a in self.roles.cascade.inputs if str(a.tensor) == name)
            flat = tuple(self._flattened(i) for i in given.indices)
            view = Einsum(
                output=access(tag, *self._chunked(given.indices)), reduce=None, expr=replace(given, indices=flat)
            )
            self.made[tag] = view
            return
        self.made[tag] = einsum
        body = self._stream_body(name, einsum, mode, when)
        output = access(tag, *self._chunked(_bare(einsum.output).indices))
        del self.made[tag]
        self.made[tag] = replace(
            einsum, output=output, expr=body, conditions=self._conditions(einsum), reduce=_unfiltered(einsum)
        )

    def _stream_body(self, name: str, einsum: Einsum, mode: Mode, when: When) -> Expr:
        """What a stream computes; in a tree, that of the chunks is corrected rather than computed again."""
        ratio = ratio_of(self.roles, name) if self.form == "tree" and name in self.of_chunks else None
        if ratio is None or mode == "local" or einsum.reduce is not None:
            return self._body(einsum.expr, mode, when)
        local = self._stream(_bare(einsum.output), "local", "chunk")
        return apply("mul", local, self._correction(name, ratio, "chunk", "final"))

    @cached_property
    def of_chunks(self) -> frozenset[str]:
        """Streams with a statistic in them that the sums of chunks need."""
        found: set[str] = set()
        pending = [t for name in self.merged for t in reads(self.roles.einsums[name])]
        while pending:
            name = pending.pop()
            if self.roles.is_stream(name) and self.roles.depends(name) and name not in found:
                found.add(name)
                pending += reads(self.roles.einsums[name])
        return frozenset(found)

    def _over_chunks(self, einsum: Einsum, output: Access, body: Expr, *, both: bool) -> Einsum:
        """A reduction of a chunk, or of all."""
        assert einsum.reduce is not None
        inner = [VarName(self.m1), VarName(self.m0)] if both else [VarName(self.m0)]
        others = [v.var for v in einsum.reduce.variables if v.var != self.m]
        variables = tuple(ReduceVar(var=v) for v in (*inner, *others))
        reduce = replace(einsum.reduce, variables=variables, explicit=True)
        return Einsum(output=_bare(output), reduce=reduce, expr=body, conditions=self._conditions(einsum))

    def _chunked(self, indices: Sequence[Index]) -> list[Index]:
        result: list[Index] = []
        for index in indices:
            if plain_variable(index.expr) == self.m:
                result += [Index(expr=variable(self.m1)), Index(expr=variable(self.m0))]
            else:
                result.append(Index(expr=index.expr))
        return result

    def _flattened(self, index: Index) -> Index:
        return Index(expr=self.flat if plain_variable(index.expr) == self.m else index.expr)

    def _flat_output(self, output: Access) -> Access:
        return replace(output, indices=tuple(self._flattened(i) for i in output.indices))

    def _conditions(self, einsum: Einsum) -> tuple[Chain, ...]:
        return tuple(chain_with(c, {self.m: self.flat}) for c in conditions_of(einsum))

    # --- names ----------------------------------------------------------------------------------

    def _tag(self, letter: str, name: str, power: int = 0) -> str:
        """The name of a version of a tensor, which no tensor of the cascade has."""
        key = (letter, name, power)
        if key not in self.tags:
            taken = {*(str(a.tensor) for a in self.roles.cascade.inputs), *self.roles.einsums, *self.origin}
            plain = f"{name}X{power}" if power else name
            tag = next(t for t in (f"{letter}{plain}", *(f"{letter}{i}{plain}" for i in range(9))) if t not in taken)
            self.tags[key], self.origin[tag] = tag, name
        return self.tags[key]

    def _named(self, letter: str, name: str, output: Access, expr: Expr, power: int = 0) -> Access:
        made = access(self._tag(letter, name, power), variable(self.m1), *_bare(output).indices)
        self._add(Einsum(output=made, reduce=None, expr=expr))
        return made

    def _add(self, einsum: Einsum) -> None:
        self.made.setdefault(str(einsum.name), einsum)

    def _rule(self, name: str, rule: str, ratio: Ratio | None, conditions: tuple[str, ...]) -> None:
        if any(s.rule == rule and s.applied == (name,) for s in self.rules):
            return
        if ratio is not None:
            text = f"f(x, s') = h(s, s') f(x, s) with h = {ratio}"
        else:
            text = "Taylor: F_j(s') = sum over k of binomial(k, j) F_k(s) (s' - s)^(k-j), F_k = sum of f^(k)(x, s)/k!"
        self.rules.append(Step(rule=rule, applied=(name,), identity=text, conditions=conditions))


def _starts_infinite(einsum: Einsum) -> bool:
    return einsum.reduce is not None and "inf" in _IDENTITY[str(einsum.reduce.operator)]


def _uncorrectable(roles: Roles, name: str) -> str:
    needed = ", ".join(sorted(roles.after[name]))
    return f"{name}: its terms change with {needed} by no common factor, and are no polynomial of one of them"


def _bare(found: Access) -> Access:
    """The access without conditions, which are those of its Einsum."""
    return replace(found, indices=tuple(Index(expr=i.expr) for i in found.indices))


def _unfiltered(einsum: Einsum) -> Reduce | None:
    if einsum.reduce is None:
        return None
    return replace(einsum.reduce, variables=tuple(ReduceVar(var=v.var) for v in einsum.reduce.variables))


def _accesses(einsum: Einsum) -> list[Access]:
    found: list[Access] = []
    mapped(einsum.expr, lambda a: (found.append(a), a)[1])  # type: ignore[func-returns-value]
    return found


def _variables(output: Access) -> tuple[str, ...]:
    return tuple(str(v) for v in output_variables(output))


def _next(var: str) -> Affine:
    return affine(Term(var=VarName(var)), Term(constant=1))


def _number(text: str) -> Expr:
    if text.startswith("-"):
        return apply("neg", Number(text=text[1:]))
    return Number(text=text)
