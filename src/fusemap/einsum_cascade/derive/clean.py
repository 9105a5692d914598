"""Common Einsums once, dead ones not at all: what the rules leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fusemap.einsum_cascade.derive.roles import reads
from fusemap.einsum_cascade.derive.terms import access_with, mapped
from fusemap.einsum_cascade.printer import format_einsum
from fusemap.einsum_cascade.scope import outputs, plain_variable
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, TensorName


def cleaned(cascade: Cascade) -> Cascade:
    """The cascade with equal Einsums merged and without what no output needs; its outputs are named."""
    found = replace(cascade, outputs=outputs(cascade))
    while True:
        smaller = _alive(_merged(_without_copies(found)))
        if smaller == found:
            return found
        found = smaller


def _without_copies(cascade: Cascade) -> Cascade:
    """The cascade in which what is only the last value of an iterated tensor is read there."""
    stepped = {str(e.name) for e in cascade.inits}
    kept = frozenset(str(t) for t in cascade.outputs)
    copies = {
        str(e.name): e
        for e in cascade.einsums
        if isinstance(e.expr, Access) and e.reduce is None and str(e.expr.tensor) in stepped and str(e.name) not in kept
    }

    def change(access: Access) -> Access:
        copy = copies.get(str(access.tensor))
        if copy is None:
            return access
        own = [plain_variable(i.expr) for i in copy.output.indices]
        into = {str(v): i.expr for v, i in zip(own, access.indices, strict=True) if isinstance(i.expr, Affine)}
        if len(into) < len(own) or not isinstance(copy.expr, Access):
            return access
        return access_with(copy.expr, into)

    einsums = tuple(replace(e, expr=mapped(e.expr, change)) for e in cascade.einsums)
    return replace(cascade, einsums=einsums)


def _merged(cascade: Cascade) -> Cascade:
    """The cascade in which the second of two equal Einsums is read as the first; iterated tensors are left alone."""
    stepped = {str(e.name) for e in cascade.inits}
    kept = frozenset(str(t) for t in cascade.outputs)
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for einsum in cascade.einsums:
        name = str(einsum.name)
        body = format_einsum(replace(einsum, output=replace(einsum.output, tensor=TensorName("Z"))))
        if name in stepped or name in kept:
            continue
        if body in first:
            same[name] = first[body]
        first.setdefault(body, name)
    if not same:
        return cascade
    einsums = tuple(_renamed(e, same) for e in cascade.einsums if str(e.name) not in same)
    return replace(cascade, einsums=einsums, inits=tuple(_renamed(e, same) for e in cascade.inits))


def _renamed(einsum: Einsum, same: Mapping[str, str]) -> Einsum:
    def change(access: Access) -> Access:
        return replace(access, tensor=TensorName(same.get(str(access.tensor), str(access.tensor))))

    return replace(einsum, expr=mapped(einsum.expr, change))


def _alive(cascade: Cascade) -> Cascade:
    """The cascade without Einsums and inits that no output reads, directly or not."""
    by_name: dict[str, list[Einsum]] = {}
    for einsum in (*cascade.einsums, *cascade.inits):
        by_name.setdefault(str(einsum.name), []).append(einsum)
    needed: set[str] = set()
    pending = [str(t) for t in cascade.outputs]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += [t for e in by_name.get(name, []) for t in reads(e)]
    return replace(
        cascade,
        einsums=tuple(e for e in cascade.einsums if str(e.name) in needed),
        inits=tuple(e for e in cascade.inits if str(e.name) in needed),
    )
