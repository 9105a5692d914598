"""How the tensors of a program are held: whole, for one step of a loop, as a running value, or grown step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.einsum_cascade.emit.names import Names
from fusemap.einsum_cascade.emit.order import Loop, Statement, einsums_in, offset, step_axis
from fusemap.einsum_cascade.emit.refusal import CannotEmitError, refused
from fusemap.einsum_cascade.linear import symbolic
from fusemap.einsum_cascade.scope import accesses, outputs, plain_variable
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, RankExpr, VarName

Kind: TypeAlias = Literal["input", "whole", "step", "running", "grown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A tensor in the program.

    whole: made by one statement; step: of the current step of the loop over `var` alone; running: the value so far,
    which the next step overwrites; grown: an array of all ranks, filled part by part. `dims` are the sizes of all
    ranks, `dropped` the positions that have no axis, `twice` says that a step needs its old and its new value.
    """

    kind: Kind
    tensor: str
    dims: tuple[str, ...]
    var: VarName | None = None
    dropped: tuple[int, ...] = ()
    twice: bool = False

    def name_at(self, access: Access, held: Sequence[VarName], names: Names, *, mask: bool = False) -> str:
        """The array's name where it is read or written: of two values in a step the new one is called so."""
        base = names.present[self.tensor] if mask else names.tensors[self.tensor]
        if not self.twice or self.var not in held or self.var is None:
            return base
        if offset(access.indices[self.dropped[0]].expr, self.var) == 0:
            return base
        return f"new_{base}" if mask else names.new[self.tensor]


def storage(
    cascade: Cascade, statements: Sequence[Statement], names: Names, extents: Mapping[VarName, str]
) -> dict[str, Stored]:
    """How every tensor is held."""
    return _Storage(cascade, statements, names, extents).found()


@dataclass(frozen=True, slots=True)
class _Storage:
    cascade: Cascade
    statements: Sequence[Statement]
    names: Names
    extents: Mapping[VarName, str]

    def found(self) -> dict[str, Stored]:
        everything = einsums_in(self.statements)
        result: dict[str, Stored] = {}
        for access in self.cascade.inputs:
            dims = tuple(self._dim([i.expr]) for i in access.indices)
            result[str(access.tensor)] = Stored(kind="input", tensor=str(access.tensor), dims=dims)
        loops = dict(self._loops(self.statements))
        for einsum in everything:
            tensor = str(einsum.name)
            if tensor not in result:
                writers = [e for e in everything if e.name == einsum.name]
                result[tensor] = self._stored(tensor, self._dims(writers), writers, loops)
        return result

    def _loops(self, statements: Sequence[Statement], depth: int = 0) -> Iterator[tuple[int, tuple[Loop, int]]]:
        """The innermost loop of each Einsum, by identity, and how many loops are around it."""
        for statement in statements:
            if isinstance(statement, Loop):
                yield from ((id(e), (statement, depth + 1)) for e in statement.body if isinstance(e, Einsum))
                yield from self._loops(statement.body, depth + 1)

    def _stored(
        self, tensor: str, dims: tuple[str, ...], writers: Sequence[Einsum], loops: Mapping[int, tuple[Loop, int]]
    ) -> Stored:
        grown = Stored(kind="grown", tensor=tensor, dims=dims)
        inside = [w for w in writers if id(w) in loops]
        if not inside:
            whole = len(writers) == 1 and all(self._is_whole(i.expr) for i in writers[0].output.indices)
            return Stored(kind="whole", tensor=tensor, dims=dims) if whole else grown
        loop, depth = loops[id(inside[0])]
        if len(inside) > 1 or depth > 1:
            return grown
        at = step_axis(inside[0].output, loop.var)
        if at is None or not all(self._plain(i.expr, n == at) for n, i in enumerate(inside[0].output.indices)):
            return grown
        written = offset(inside[0].output.indices[at].expr, loop.var)
        here, there = self._reads(tensor, loop)
        inits = [w for w in writers if w is not inside[0]]
        steps = [offset(a.indices[at].expr, loop.var) for _, a in here]
        if written == 0 and not inits and not there and all(s == 0 for s in steps) and tensor not in self._outputs():
            return Stored(kind="step", tensor=tensor, dims=dims, var=loop.var, dropped=(at,))
        if not self._runs(tensor, at, written, inits, steps, [a for _, a in there], loop):
            return grown
        later = loop.body[loop.body.index(inside[0]) + 1 :]
        twice = any(
            offset(a.indices[at].expr, loop.var) == 0 for e, a in here if any(e is x for x in einsums_in(later))
        )
        return Stored(kind="running", tensor=tensor, dims=dims, var=loop.var, dropped=(at,), twice=twice)

    def _runs(
        self,
        tensor: str,
        at: int,
        written: int | None,
        inits: Sequence[Einsum],
        steps: Sequence[int | None],
        there: Sequence[Access],
        loop: Loop,
    ) -> bool:
        """Is it started at 0, written at `v+1`, read there and before, and after the loop at its end alone?"""
        if written != 1 or len(inits) != 1 or tensor in self._outputs() or not all(s in (0, 1) for s in steps):
            return False
        start = inits[0].output.indices
        if not _is_zero(start[at].expr) or not all(self._plain(i.expr, False) for n, i in enumerate(start) if n != at):
            return False
        end = next(s.bound for s in self.cascade.stops if s.var == loop.var)
        return all(isinstance(e := a.indices[at].expr, Affine) and symbolic(e) == symbolic(end) for a in there)

    def _reads(self, tensor: str, loop: Loop) -> tuple[list[tuple[Einsum, Access]], list[tuple[Einsum, Access]]]:
        """Reads in the loop and elsewhere."""
        own = {id(e) for e in einsums_in(loop.body)}
        pairs = [(e, a) for e in einsums_in(self.statements) for a in accesses(e) if a.tensor == tensor]
        return [p for p in pairs if id(p[0]) in own], [p for p in pairs if id(p[0]) not in own]

    def _outputs(self) -> frozenset[str]:
        return frozenset(map(str, outputs(self.cascade)))

    def _plain(self, expr: RankExpr, stepped: bool) -> bool:
        return stepped or plain_variable(expr) is not None

    def _is_whole(self, expr: RankExpr) -> bool:
        """Does the index go through its rank from 0: a variable, or a partition of one?"""
        return plain_variable(expr) is not None or self._product(expr) is not None

    def _product(self, expr: RankExpr) -> tuple[str, str] | None:
        """The sizes of `m1*M0+m0` where m0 runs over M0."""
        if not isinstance(expr, Affine) or len(expr.terms) != 2 or any(t.sign < 0 or t.var is None for t in expr.terms):
            return None
        outer, inner = sorted(expr.terms, key=lambda t: t.shape is None)
        if outer.shape is None or inner.shape is not None or outer.var is None or inner.var is None:
            return None
        chunk = self.names.sizes[outer.shape]
        return (self.extents[outer.var], chunk) if self.extents[inner.var] == chunk else None

    def _dims(self, writers: Sequence[Einsum]) -> tuple[str, ...]:
        try:
            ranks = zip(*([i.expr for i in w.output.indices] for w in writers), strict=True)
            return tuple(self._dim(list(at)) for at in ranks)
        except CannotEmitError as error:
            raise refused(self.cascade, writers[-1], str(error)) from error

    def _dim(self, exprs: Sequence[RankExpr]) -> str:
        """The size of a rank that is written at these indices."""
        ends = [self._end(e) for e in exprs]
        variable = {text: max(more for t, more in ends if t == text) for text, _ in ends}
        least = max((more for text, more in ends if text), default=0)
        if variable.get("", 0) <= least + 1 and len(variable) > 1:  # every extent is at least 1
            variable.pop("", None)
        texts = [(f"{text} + {more}" if more else text) if text else str(more) for text, more in variable.items()]
        return texts[0] if len(texts) == 1 else f"max({', '.join(texts)})"

    def _end(self, expr: RankExpr) -> tuple[str, int]:
        """One more than the largest coordinate, as a size and a number."""
        var = plain_variable(expr)
        if var is not None:
            return self.extents[var], 0
        product = self._product(expr)
        if product is not None:
            text = "*".join(product)
            return next((n for n, parts in self.names.products.items() if parts == product), text), 0
        assert isinstance(expr, Affine), expr
        form = symbolic(expr)
        constant = form.pop((None, None), 0)
        variables = [v for v, _ in form if v is not None]
        if not form:
            return "", constant + 1
        if len(form) == 1 and variables and form[(variables[0], None)] == 1:
            return self.extents[variables[0]], constant
        raise CannotEmitError("it writes at an index that is neither v + c nor a partition of a rank")


def _is_zero(expr: RankExpr) -> bool:
    return isinstance(expr, Affine) and not any(symbolic(expr).values())
