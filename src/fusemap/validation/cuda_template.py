"""Which cascades the template of a 1-pass kernel fits, by their structure, and the parts that it is filled with.

A thread has a query. Its block brings in keys and what goes with them tile by tile; a thread keeps what runs over the
keys in registers. So the cascade must have one iterative rank of chunks of keys, a rank of queries that no key has, and
only running values that are one number per query, or one per element of a feature rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusemap.diagnostics import InputError, input_error
from fusemap.einsum_cascade.emit.names import names_of
from fusemap.einsum_cascade.emit.order import Loop, Statement, einsums_in, ordered
from fusemap.einsum_cascade.emit.presence import may_lack_elements
from fusemap.einsum_cascade.emit.refusal import refused
from fusemap.einsum_cascade.emit.storage import Stored, storage
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.printer import format_rank_expr
from fusemap.einsum_cascade.scope import (
    accesses,
    conditions_of,
    iterative_ranks,
    output_variables,
    outputs,
    plain_variable,
    rank_variables,
    shape_of,
    variables_of,
    walk,
)
from fusemap.einsum_cascade.types import Affine, Apply, Cascade, Chain, Einsum, SizeOf, ValueOf, VarName

MAPS = ("add", "sub", "mul", "div", "neg", "exp", "max", "log")
REDUCTIONS = ("sum", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A cascade in the parts of the kernel.

    key: the variable of keys; chunk: that of a chunk's keys, None where they are taken one at a time; step: the
    iterative one. query, batch, features: the other ranks. views: inputs by the names that they have in chunks. before,
    body, after: Einsums outside and inside the loop. seen: the filter of all that is filtered.
    """

    cascade: Cascade
    key: VarName
    step: VarName
    chunk: VarName | None
    query: VarName
    batch: tuple[VarName, ...]
    features: tuple[VarName, ...]
    views: Mapping[str, str]
    before: tuple[Einsum, ...]
    body: tuple[Einsum, ...]
    after: tuple[Einsum, ...]
    stored: Mapping[str, Stored]
    seen: tuple[Chain, ...]
    guarded: frozenset[str]


def softmax_like(cascade: Cascade) -> Template:
    """The parts of a cascade; InputError that says what the template has no place for.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> found = softmax_like(load("attention-1pass"))
    >>> found.query, found.features, [str(e.name) for e in found.after]
    ('p', ('e', 'f'), ['AV'])
    """
    return _Reader(cascade).template()


def unfit(cascade: Cascade, why: str) -> InputError:
    """An InputError for a cascade as a whole."""
    hint = (
        "it needs one pass over one rank of keys, shared by the queries: a softmax, its sums and what is made of them"
    )
    return input_error(f"the template of a 1-pass kernel does not fit {cascade.name}: {why}", hint=hint)


class _Reader:
    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        if len(cascade.stops) != 1:
            ranks = ", ".join(shape_of(s.var) for s in cascade.stops) or "no rank"
            raise unfit(cascade, f"it iterates over {ranks}, where one rank is iterated")
        self.step = cascade.stops[0].var
        self.split = next(
            (s for s in cascade.shapes if shape_of(self.step) in s.factors[:1] and len(s.factors) == 2), None
        )
        self.key = VarName(self.split.name.lower()) if self.split else self.step
        self.chunk = VarName(self.split.factors[1].lower()) if self.split else None
        self.keys = {self.step, self.key, self.chunk} - {None}

    def template(self) -> Template:
        for einsum in self.cascade.einsums:
            self._check(einsum)
        statements = ordered(self.cascade)
        views = dict(self._views())
        loops = [s for s in statements if isinstance(s, Loop)]
        if len(loops) != 1:
            raise unfit(self.cascade, f"it has {len(loops)} loops over {shape_of(self.key)}")
        body = einsums_in(loops[0].body)
        at = statements.index(loops[0])
        before, after = (self._outside(part, views) for part in (statements[:at], statements[at:]))
        query, batch = self._query(body)
        self._check_reads(query, batch)
        stored = self._stored(statements)
        self._check_kinds(stored, body)
        return Template(
            cascade=self.cascade,
            key=self.key,
            step=self.step,
            chunk=self.chunk,
            query=query,
            batch=batch,
            features=self._features(query, batch),
            views=views,
            before=before,
            body=body,
            after=after,
            stored=stored,
            seen=self._seen(),
            guarded=self._guarded((*before, *after)),
        )

    def _check(self, einsum: Einsum) -> None:
        for node in walk(einsum.expr):
            if isinstance(node, Apply) and node.operator not in MAPS:
                raise refused(self.cascade, einsum, f"the counts of a kernel have no operator {node.operator}")
            if isinstance(node, SizeOf | ValueOf):
                raise refused(self.cascade, einsum, "a size or a coordinate as a value has no place in the template")
        if einsum.reduce is not None and einsum.reduce.operator not in REDUCTIONS:
            raise refused(self.cascade, einsum, f"the counts of a kernel have no reduction {einsum.reduce.operator}")

    def _views(self) -> Iterator[tuple[str, str]]:
        """Inputs by chunks: the view's name and the input's."""
        inputs = {str(a.tensor) for a in self.cascade.inputs}
        for einsum in self.cascade.einsums:
            if is_view(einsum) and not conditions_of(einsum) and str(accesses(einsum)[0].tensor) in inputs:
                (found,) = accesses(einsum)
                order = [v for v in output_variables(einsum.output) if v not in self.keys]
                if self.chunk is None or self.chunk not in output_variables(einsum.output):
                    raise refused(self.cascade, einsum, "a view of an input must be its chunks")
                if order != [v for i in found.indices for v in [plain_variable(i.expr)] if v is not None]:
                    raise refused(self.cascade, einsum, "a view of an input must leave its other ranks as they are")
                yield str(einsum.name), str(found.tensor)

    def _outside(self, statements: Sequence[Statement], views: Mapping[str, str]) -> tuple[Einsum, ...]:
        """Einsums before or after the loop, none of which goes over the keys."""
        found = [s for s in statements if isinstance(s, Einsum) and s not in self.cascade.inits]
        for einsum in found:
            if str(einsum.name) not in views and set(variables_of(einsum)) & self.keys:
                raise unfit(self.cascade, f"{einsum.name} goes over {shape_of(self.key)} once more")
        return tuple(e for e in found if str(e.name) not in views)

    def _query(self, body: tuple[Einsum, ...]) -> tuple[VarName, tuple[VarName, ...]]:
        """The rank of queries, and those of all else that every statement of the loop has."""
        common = [v for v in output_variables(body[0].output) if v not in self.keys]
        for einsum in body:
            common = [v for v in common if v in output_variables(einsum.output)]
        keyed = [a for a in self.cascade.inputs if self.keys & set(output_variables(a))]
        shared = {v for a in keyed for v in output_variables(a)}
        query = next((v for v in common if v not in shared), None)
        if query is None or not keyed:
            raise unfit(self.cascade, f"no rank of queries shares the keys of {shape_of(self.key)}")
        batch = tuple(v for v in common if v != query)
        if len(batch) > 2:
            raise unfit(self.cascade, f"more than two ranks beside queries: {', '.join(map(shape_of, batch))}")
        for access in keyed:
            if any(plain_variable(i.expr) is None for i in access.indices):
                raise unfit(self.cascade, f"input {access.tensor} is not read rank by rank")
        return query, batch

    def _features(self, query: VarName, batch: tuple[VarName, ...]) -> tuple[VarName, ...]:
        others = {query, *batch, *self.keys}
        everything = [v for a in self.cascade.inputs for v in output_variables(a)]
        everything += [v for e in self.cascade.einsums for v in variables_of(e)]
        found = tuple(dict.fromkeys(v for v in everything if v not in others))
        for einsum in self.cascade.einsums:
            own = [v for v in output_variables(einsum.output) if v in found]
            if len(own) > 1:
                raise refused(
                    self.cascade, einsum, f"it has the features {', '.join(own)}, where registers hold one rank"
                )
        products = [e for e in self.cascade.einsums if e.reduce is not None and set(found) & set(_reduced(e))]
        if not any({query, *self.keys} & set(output_variables(e.output)) for e in products):
            raise unfit(self.cascade, "no stream over keys is a product summed over features")
        return found

    def _check_reads(self, query: VarName, batch: tuple[VarName, ...]) -> None:
        """Each tensor is read at the query, key and block that it is of: a thread has nothing of another one."""
        special = {query, *batch, *self.keys}
        end = iterative_ranks(self.cascade)[self.step].bound
        made = [*self.cascade.inputs, *(e.output for e in self.cascade.einsums)]
        ranks = {str(a.tensor): [set(rank_variables(i.expr)) & special for i in a.indices] for a in made}
        views = {str(e.name) for e in self.cascade.einsums if is_view(e)}
        for einsum in self.cascade.einsums:
            for access in accesses(einsum) if str(einsum.name) not in views or self.chunk is None else ():
                for own, index in zip(ranks[str(access.tensor)], access.indices, strict=True):
                    read = set(rank_variables(index.expr)) & special
                    plain = isinstance(index.expr, Affine) and read == own
                    if not plain and not (own == {self.step} and index.expr == end):
                        text = format_rank_expr(index.expr)
                        raise refused(self.cascade, einsum, f"it reads {access.tensor} at {text}, not at its own ranks")

    def _stored(self, statements: Sequence[Statement]) -> Mapping[str, Stored]:
        everything = [*self.cascade.einsums, *self.cascade.inits]
        variables = {v for e in everything for v in variables_of(e)}
        variables |= {v for a in self.cascade.inputs for v in output_variables(a)}
        return storage(self.cascade, statements, names_of(self.cascade), {v: str(shape_of(v)) for v in variables})

    def _check_kinds(self, stored: Mapping[str, Stored], body: tuple[Einsum, ...]) -> None:
        for einsum in body:
            if str(einsum.name) in map(str, outputs(self.cascade)):
                raise unfit(self.cascade, f"output {einsum.name} is made in the loop")
            if stored[str(einsum.name)].kind not in ("step", "running"):
                raise refused(self.cascade, einsum, "every step of it is needed after the loop")

    def _seen(self) -> tuple[Chain, ...]:
        return tuple(dict.fromkeys(c for e in self.cascade.einsums for c in conditions_of(e)))

    def _guarded(self, outside: Sequence[Einsum]) -> frozenset[str]:
        """Tensors that a key's filter takes away; InputError where filters differ, or a query may have nothing."""
        found = may_lack_elements(self.cascade)
        for einsum in self.cascade.einsums:
            own = set(conditions_of(einsum))
            if own and (own != set(self._seen()) or self.chunk is not None):
                raise refused(self.cascade, einsum, "its filter is not that of the other Einsums")
            if einsum in outside and str(einsum.name) in found:
                raise refused(self.cascade, einsum, "it may lack elements")
        return found


def _reduced(einsum: Einsum) -> tuple[VarName, ...]:
    return () if einsum.reduce is None else tuple(v.var for v in einsum.reduce.variables)
