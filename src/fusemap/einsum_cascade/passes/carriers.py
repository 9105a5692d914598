"""Carriers: the tensors whose elements stand for a coordinate of a fiber, and the reads that touch it.

T carries itself. An Einsum that reads a carrier at variables v in the rank's position touches the fiber at
coordinate v; what it writes is a carrier again if all of v is on its left side (the passes of FuseMax,
MICRO 2024, which gives them in prose). Reads of derived carriers at one v but several offsets, such as
RM[m1] and RM[m1+1], are one touch: at the coordinate of the principal read, see `_rank_of_read`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from fusemap.einsum_cascade.linear import CONSTANT, Symbolic, difference, symbolic
from fusemap.einsum_cascade.passes.ranks import RankOf
from fusemap.einsum_cascade.scope import accesses, output_variables, rank_variables
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, Lookup, RankExpr, TensorName


class Key(NamedTuple):
    """The indices of a carrier that tell the coordinate, and whether the coordinate falls as they rise."""

    positions: frozenset[int]
    against: bool = False



@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """A read that touches the fiber: `key` are the indices of the read tensor that tell the coordinate.

    `onto` is the key of the written tensor if that is a carrier again. `gathers` if only data tell the coordinate.
    """

    access: Access
    key: Key
    onto: Key | None = None
    gathers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriers:
    """For a (tensor, rank): the keys under which tensors carry it, and the touches of every Einsum by name."""

    of: RankOf
    keys: Mapping[TensorName, frozenset[Key]]
    touches: Mapping[TensorName, tuple[Touch, ...]]


def carriers_of(cascade: Cascade, of: RankOf, *, direct: bool = False) -> Carriers:
    """The carriers and touches of a (tensor, rank); with `direct` no tensor but the tensor itself carries it.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.ranks import owned_ranks
    >>> cascade = load("attention-3pass")
    >>> of = next(r for r in owned_ranks(cascade) if (r.tensor, r.rank) == ("K", "M"))
    >>> sorted(carriers_of(cascade, of).keys), sorted(carriers_of(cascade, of).touches)
    (['A', 'K', 'QK', 'SN'], ['A', 'AV', 'GM', 'QK', 'SD', 'SN'])
    """
    base = base_key(of)
    keys: dict[TensorName, set[Key]] = {of.tensor: {base}}
    needs = dependences(cascade)
    touches: dict[TensorName, tuple[Touch, ...]] = {}
    statements = (*cascade.inits, *cascade.einsums)
    while True:
        touches = {}
        for einsum in statements:
            found = tuple(_touches(cascade, einsum, keys, of, needs))
            if found:
                touches[einsum.name] = (*touches.get(einsum.name, ()), *found)
        onto = {(e, t.onto) for e, ts in touches.items() for t in ts if t.onto is not None and not direct}
        new = [(e, k) for e, k in onto if k not in keys.get(e, ())]
        if not new:
            break
        for name, key in new:
            keys.setdefault(name, set()).add(key)
    return Carriers(of=of, keys={t: frozenset(k) for t, k in keys.items()}, touches=touches)


def base_key(of: RankOf) -> Key:
    """The indices of the tensor itself."""
    return Key(frozenset(d.position for d in of.digits))


def dependences(cascade: Cascade) -> Mapping[TensorName, frozenset[TensorName]]:
    """The tensors that each computed tensor needs, directly or not."""
    direct: dict[TensorName, set[TensorName]] = {}
    for einsum in (*cascade.inits, *cascade.einsums):
        direct.setdefault(einsum.name, set()).update(a.tensor for a in accesses(einsum))
    closed = {t: set(d) for t, d in direct.items()}
    changed = True
    while changed:
        changed = False
        for needed in closed.values():
            more = {u for t in needed for u in closed.get(t, ())} - needed
            changed = changed or bool(more)
            needed |= more
    return {t: frozenset(d) for t, d in closed.items()}


def _touches(
    cascade: Cascade,
    einsum: Einsum,
    keys: Mapping[TensorName, set[Key]],
    of: RankOf,
    needs: Mapping[TensorName, frozenset[TensorName]],
) -> Iterator[Touch]:
    """Touches of one Einsum: all reads of T, and of the reads that move alike those that tell the coordinate best."""
    left = set(output_variables(einsum.output))
    found: list[tuple[frozenset[tuple[object, int]], int, Touch]] = []
    for access in accesses(einsum):
        for key in sorted(keys.get(access.tensor, ()), key=lambda k: (sorted(k.positions), k.against)):
            exprs = [access.indices[k].expr for k in sorted(key.positions)]
            used = frozenset(v for e in exprs for v in rank_variables(e))
            gathers = any(isinstance(e, Lookup) for e in exprs)
            at = frozenset(part for e in exprs for part in _moving(e, key.against))
            onto = None
            if used and used <= left and not gathers and einsum.name != of.tensor:
                held = (n for n, i in enumerate(einsum.output.indices) if used & set(rank_variables(i.expr)))
                onto = Key(frozenset(held), against=any(c < 0 for _, c in at))
            touch = Touch(access=access, key=key, onto=onto, gathers=gathers)
            found.append((at, _rank_of_read(einsum, access, key, of, needs, cascade), touch))
    best = {at: min(order for a, order, _ in found if a == at) for at, _, _ in found}
    for at, order, touch in found:
        if order == best[at] and at:
            yield touch
        elif touch.access.tensor == of.tensor:
            yield replace(touch, onto=None)


def _rank_of_read(
    einsum: Einsum,
    access: Access,
    key: Key,
    of: RankOf,
    needs: Mapping[TensorName, frozenset[TensorName]],
    cascade: Cascade,
) -> int:
    """Which read tells the coordinate: T, then what does not need the Einsum itself; without a lag before with one."""
    if access.tensor == of.tensor:
        return 0
    writers = [e.output for e in cascade.einsums if e.name == access.tensor]
    lags = any(_lag(w.indices[k].expr, access.indices[k].expr) for w in writers for k in sorted(key.positions))
    return (3 if einsum.name in needs.get(access.tensor, ()) else 1) + lags


def _moving(expr: RankExpr, against: bool) -> Iterator[tuple[object, int]]:
    """How the coordinate changes with each variable of an index: m and m+1 are alike, m and M-1-m are not."""
    sign = -1 if against else 1
    if isinstance(expr, Affine):
        yield from ((k, sign * c) for k, c in symbolic(expr).items() if k[0] is not None)
    else:
        yield from (((v, type(expr)), sign) for v in rank_variables(expr))


def _lag(written: RankExpr, read: RankExpr) -> bool:
    """Do two indices differ in their constant parts?"""
    if not isinstance(written, Affine) or not isinstance(read, Affine):
        return False
    return bool(_constants(difference(symbolic(written), symbolic(read))))


def _constants(form: Symbolic) -> Symbolic:
    return {k: c for k, c in form.items() if k == CONSTANT or k[0] is None}
