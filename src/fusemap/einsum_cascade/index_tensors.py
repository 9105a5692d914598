"""Tensors whose elements are coordinates: which of them are sure to hold integers.

A read `K[e,I[j]]` needs integers in I. Inputs are trusted until they are seen; of what an Einsum
computes only the operators below are known to make or keep integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fusemap.einsum_cascade.scope import accesses, lookups
from fusemap.einsum_cascade.types import Access, Apply, Cascade, Einsum, Expr, Lookup, Number, TensorName

KEEP = frozenset({"add", "sub", "mul", "max", "min"})
PASS_ON = frozenset({"max", "min", "where", "only", "floor"})
MAKE = frozenset({"gt", "ge", "eq", "sign", "floor"})


def all_lookups(cascade: Cascade) -> Iterator[tuple[Einsum, Access, Lookup]]:
    """Every lookup with the Einsum that reads by it and the access whose index it is."""
    for einsum in (*cascade.inits, *cascade.einsums):
        for access in accesses(einsum):
            for lookup in lookups(access):
                yield einsum, access, lookup


def index_limits(cascade: Cascade, extents: Mapping[TensorName, Sequence[int]]) -> dict[TensorName, int]:
    """By tensor whose elements are coordinates: the number of coordinates that the ranks read at them have, the least.

    Elements are followed through views, `floor`, `where`, `only`, `max` and `min`, which pass them on.
    """
    pending = [
        (index.expr.access.tensor, extents[access.tensor][rank])
        for einsum in (*cascade.inits, *cascade.einsums)
        for access in accesses(einsum)
        for rank, index in enumerate(access.indices)
        if isinstance(index.expr, Lookup)
    ]
    limits: dict[TensorName, int] = {}
    while pending:
        tensor, limit = pending.pop()
        if limit < limits.get(tensor, limit + 1):
            limits[tensor] = limit
            writers = (e for e in (*cascade.inits, *cascade.einsums) if e.name == tensor)
            pending += [(source, limit) for writer in writers for source in _passed_on(writer)]
    return limits


def _passed_on(einsum: Einsum) -> Iterator[TensorName]:
    """Tensors of which an Einsum's elements are elements."""
    pending = [einsum.expr] if einsum.reduce is None or einsum.reduce.operator in PASS_ON else []
    while pending:
        node = pending.pop()
        if isinstance(node, Access):
            yield node.tensor
        elif isinstance(node, Apply) and node.operator in PASS_ON:
            pending += _operands(node) or node.args


def not_integers(cascade: Cascade) -> frozenset[TensorName]:
    """Tensors that an Einsum computes and that may hold something else than integers."""
    readers: dict[TensorName, set[TensorName]] = {}
    pending: list[TensorName] = []
    for einsum in (*cascade.inits, *cascade.einsums):
        sources = _integer_sources(einsum)
        if sources is None:
            pending.append(einsum.name)
        for access in sources or ():
            readers.setdefault(access.tensor, set()).add(einsum.name)
    found: set[TensorName] = set()
    while pending:
        tensor = pending.pop()
        if tensor not in found:
            found.add(tensor)
            pending += readers.get(tensor, ())
    return frozenset(found)


def _integer_sources(einsum: Einsum) -> tuple[Access, ...] | None:
    """The accesses that must be integers for the Einsum's result to be; None if it may be none anyway."""
    reduce = einsum.reduce
    if reduce is not None and reduce.places is not None:
        return ()
    if reduce is not None and reduce.operator not in ("sum", "max", "min"):
        return None
    return _sources(einsum.expr)


def _sources(expr: Expr) -> tuple[Access, ...] | None:
    pending, found = [expr], []
    while pending:
        node = pending.pop()
        if isinstance(node, Access):
            found.append(node)
        elif isinstance(node, Apply) and node.operator not in MAKE:
            operands = _operands(node)
            if operands is None:
                return None
            pending += operands
        elif isinstance(node, Number) and not float(node.text).is_integer():
            return None
    return tuple(found)


def _operands(node: Apply) -> tuple[Expr, ...] | None:
    """The operands whose integers make the result an integer; None if they do not."""
    if node.operator == "where":
        return node.args[1:]
    if node.operator == "only":
        return node.args[:1]
    return node.args if node.operator in KEEP else None
