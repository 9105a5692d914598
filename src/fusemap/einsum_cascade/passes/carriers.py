"""Carriers: the tensors whose elements stand for a coordinate of a fiber, and the reads that touch it.

T carries itself. An Einsum that reads a carrier at variables v in the rank's position touches the fiber at
coordinate v; what it writes is a carrier again if all of v is on its left side (the passes of FuseMax,
MICRO 2024, which gives them in prose). Reads of derived carriers at one v but several offsets, such as
RM[m1] and RM[m1+1], are one touch: at the coordinate of the principal read, see `_touches`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fusemap.einsum_cascade.linear import CONSTANT, Symbolic, difference, symbolic
from fusemap.einsum_cascade.passes.ranks import RankOf
from fusemap.einsum_cascade.scope import accesses, rank_variables
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, Lookup, RankExpr, TensorName, VarName


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A read with what the rules ask of it: per index its variables, how it moves, and whether only data tell it."""

    access: Access
    order: int
    lags: tuple[bool, ...]
    used: tuple[frozenset[VarName], ...]
    moving: tuple[tuple[tuple[object, int], ...], ...]
    lookups: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class _Ask:
    """A read by one key, whatever the rank: how it moves, and what it touches if another tensor is asked for."""

    at: frozenset[tuple[object, int]]
    order: int
    touch: Touch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    """An init or Einsum, the variables of its left side per index, its reads; `asks` are by read and key."""

    einsum: Einsum
    left: tuple[frozenset[VarName], ...]
    reads: tuple[_Read, ...]
    asks: dict[tuple[int, Key], _Ask] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the carriers of all ranks of a cascade are found from, computed once.

    `needs` is as `dependences` tells; `readers` are the numbers of the statements that read a tensor.
    """

    statements: tuple[_Statement, ...]
    needs: Mapping[TensorName, frozenset[TensorName]]
    readers: Mapping[TensorName, frozenset[int]]
    found: dict[tuple[RankOf, bool], Carriers] = field(default_factory=dict)


def facts_of(cascade: Cascade) -> Facts:
    """The reads of a cascade, prepared for `carriers_of`."""
    needs = dependences(cascade)
    written: dict[TensorName, list[Access]] = {}
    for einsum in cascade.einsums:
        written.setdefault(einsum.name, []).append(einsum.output)
    statements = []
    readers: dict[TensorName, set[int]] = {}
    for number, einsum in enumerate((*cascade.inits, *cascade.einsums)):
        left = tuple(frozenset(rank_variables(i.expr)) for i in einsum.output.indices)
        mine = tuple(_read(einsum, a, written.get(a.tensor, []), needs) for a in accesses(einsum))
        statements.append(_Statement(einsum=einsum, left=left, reads=mine))
        for read in mine:
            readers.setdefault(read.access.tensor, set()).add(number)
    return Facts(statements=tuple(statements), needs=needs, readers={t: frozenset(n) for t, n in readers.items()})


def _read(
    einsum: Einsum, access: Access, written: list[Access], needs: Mapping[TensorName, frozenset[TensorName]]
) -> _Read:
    exprs = [i.expr for i in access.indices]
    return _Read(
        access=access,
        order=3 if einsum.name in needs.get(access.tensor, ()) else 1,
        lags=tuple(any(_lag(w.indices[n].expr, e) for w in written) for n, e in enumerate(exprs)),
        used=tuple(frozenset(rank_variables(e)) for e in exprs),
        moving=tuple(tuple(_moving(e)) for e in exprs),
        lookups=tuple(isinstance(e, Lookup) for e in exprs),
    )


def carriers_of(cascade: Cascade, of: RankOf, *, direct: bool = False, facts: Facts | None = None) -> Carriers:
    """The carriers and touches of a (tensor, rank); with `direct` no tensor but the tensor itself carries it.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.ranks import owned_ranks
    >>> cascade = load("attention-3pass")
    >>> of = next(r for r in owned_ranks(cascade) if (r.tensor, r.rank) == ("K", "M"))
    >>> sorted(carriers_of(cascade, of).keys), sorted(carriers_of(cascade, of).touches)
    (['A', 'K', 'QK', 'SN'], ['A', 'AV', 'GM', 'QK', 'SD', 'SN'])
    """
    known = facts if facts is not None else facts_of(cascade)
    if (of, direct) not in known.found:
        known.found[of, direct] = _carriers(known, of, direct)
    return known.found[of, direct]


def _carriers(facts: Facts, of: RankOf, direct: bool) -> Carriers:
    """Round by round; in each, only what reads a tensor with a new key can touch otherwise than before."""
    keys: dict[TensorName, set[Key]] = {of.tensor: {base_key(of)}}
    found: dict[int, tuple[Touch, ...]] = {}
    fresh = {of.tensor}
    while fresh:
        again = frozenset[int]().union(*(facts.readers.get(t, ()) for t in fresh))
        found.update((n, tuple(_touches(facts.statements[n], keys, of))) for n in again)
        onto = {(facts.statements[n].einsum.name, t.onto) for n in again for t in found[n] if not direct}
        fresh = set()
        for name, key in onto:
            if key is not None and key not in keys.get(name, ()):
                keys.setdefault(name, set()).add(key)
                fresh.add(name)
    touches: dict[TensorName, tuple[Touch, ...]] = {}
    for n in sorted(found):
        if found[n]:
            name = facts.statements[n].einsum.name
            touches[name] = (*touches.get(name, ()), *found[n])
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
    for between, beyond in closed.items():  # after each: all ways over the tensors so far
        for needed in closed.values():
            if between in needed:
                needed |= beyond
    return {t: frozenset(d) for t, d in closed.items()}


def _touches(statement: _Statement, keys: Mapping[TensorName, set[Key]], of: RankOf) -> Iterator[Touch]:
    """Touches of one Einsum: all reads of T, and of the reads that move alike those that tell the coordinate best.

    That is T, then what does not need the Einsum itself; without a lag (RM[m1+1] as it is written) before with one.
    """
    found: list[tuple[_Ask, int]] = []
    for number, read in enumerate(statement.reads):
        tensor = read.access.tensor
        for key in _sorted(keys.get(tensor, ())):
            ask = statement.asks.get((number, key))
            if ask is None:
                ask = statement.asks[number, key] = _ask(statement, read, key)
            found.append((ask, 0 if tensor == of.tensor else ask.order))
    best: dict[frozenset[tuple[object, int]], int] = {}
    for ask, order in found:
        best[ask.at] = min(order, best.get(ask.at, order))
    for ask, order in found:
        principal = bool(ask.at) and order == best[ask.at]
        if principal and statement.einsum.name != of.tensor:
            yield ask.touch
        elif principal or ask.touch.access.tensor == of.tensor:
            yield replace(ask.touch, onto=None)


def _sorted(keys: Collection[Key]) -> Collection[Key]:
    return keys if len(keys) < 2 else sorted(keys, key=lambda k: (sorted(k.positions), k.against))


def _ask(statement: _Statement, read: _Read, key: Key) -> _Ask:
    """What a read by one key touches, and where its output carries the coordinate on."""
    kept = frozenset[VarName]().union(*statement.left)
    used = frozenset[VarName]().union(*(read.used[k] for k in key.positions))
    gathers = any(read.lookups[k] for k in key.positions)
    sign = -1 if key.against else 1
    at = frozenset((part, sign * c) for k in key.positions for part, c in read.moving[k])
    onto = None
    if used and used <= kept and not gathers:
        held = frozenset(n for n, variables in enumerate(statement.left) if used & variables)
        onto = Key(held, against=any(c < 0 for _, c in at))
    order = read.order + any(read.lags[k] for k in key.positions)
    return _Ask(at, order, Touch(access=read.access, key=key, onto=onto, gathers=gathers))


def _moving(expr: RankExpr) -> Iterator[tuple[object, int]]:
    """How an index changes with each of its variables: m and m+1, or m1*M0+m0 and [m1,m0], are alike, M-1-m is not."""
    if isinstance(expr, Affine):
        yield from ((var, c) for (var, _), c in symbolic(expr).items() if var is not None)
    else:
        yield from (((v, type(expr)), 1) for v in rank_variables(expr))


def _lag(written: RankExpr, read: RankExpr) -> bool:
    """Do two indices differ in their constant parts?"""
    if not isinstance(written, Affine) or not isinstance(read, Affine):
        return False
    return bool(_constants(difference(symbolic(written), symbolic(read))))


def _constants(form: Symbolic) -> Symbolic:
    return {k: c for k, c in form.items() if k == CONSTANT or k[0] is None}
