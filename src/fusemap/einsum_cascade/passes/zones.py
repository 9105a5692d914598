"""Difference-bound zones: sets of integer points given by bounds `a - b <= c` between named coordinates.

Projection, intersection and renaming are exact on integers (D. Dill, "Timing assumptions and verification of
finite-state concurrent systems", 1989). A set is a union of zones. The coordinate ZERO is always 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

ZERO = "0"
SIZE = "#"  # what the names of sizes begin with
Bound: TypeAlias = tuple[str, str, int]
Zone: TypeAlias = frozenset[Bound]  # closed: every implied bound between two named coordinates is listed
Union: TypeAlias = tuple[Zone, ...]
Place: TypeAlias = tuple[str, int]  # a coordinate plus an offset
Table: TypeAlias = Mapping[tuple[str, str], int]  # a closed zone by its pairs of coordinates
Ranges: TypeAlias = Mapping[str, Place]  # the greatest value of coordinates from 0 on; of a size (ZERO, its least)

EVERYWHERE: Zone = frozenset()
NO_RANGES: Ranges = MappingProxyType({})
_CHAIN = 3  # zones that may together cover a line
_MANY = 8  # zones of a union
_CUTS = 30  # to show that a zone lies in a union
_WIDEST = 5  # unions up to this size are searched for such chains


@lru_cache(maxsize=1 << 16)
def close(bounds: frozenset[Bound]) -> Zone | None:
    """All bounds that follow; None if no point satisfies them.

    >>> sorted(close(frozenset({("x", "y", 1), ("y", "0", 2)})))
    [('x', '0', 3), ('x', 'y', 1), ('y', '0', 2)]
    """
    table: dict[str, dict[str, int]] = {}
    for a, b, c in bounds:
        row = table.setdefault(a, {})
        known = row.get(b)
        if known is None or c < known:
            row[b] = c
    for k in {b for row in table.values() for b in row} & table.keys():
        through = table[k].items()
        for a, row in table.items():
            first = row.get(k)
            if first is None or a == k:
                continue
            for b, second in through:
                known = row.get(b)
                if known is None or first + second < known:
                    row[b] = first + second
    if any(row.get(a, 0) < 0 for a, row in table.items()):
        return None
    return frozenset((a, b, c) for a, row in table.items() for b, c in row.items() if a != b)


def meet(zone: Zone, bounds: Iterable[Bound]) -> Zone | None:
    """The part of a zone where further bounds hold."""
    more = frozenset(bounds)
    return zone if more <= zone else close(zone | more)


def drop(zone: Zone, nodes: frozenset[str]) -> Zone:
    """The projection of a closed zone that forgets some coordinates."""
    return frozenset(b for b in zone if b[0] not in nodes and b[1] not in nodes)


def rename(zone: Zone, places: Mapping[str, Place]) -> Zone | None:
    """The zone in new coordinates: each `a` in `places` is another coordinate plus an offset."""
    moved = set()
    merged = len({n for n, _ in places.values()}) < len(places)
    for a, b, c in zone:
        u, shift_a = places.get(a, (a, 0))
        v, shift_b = places.get(b, (b, 0))
        bound = c - shift_a + shift_b
        if u != v:
            moved.add((u, v, bound))
        elif bound < 0:
            return None
    others = {n for a, b, _ in zone for n in (a, b)} - places.keys()
    if merged or any(n in others for n, _ in places.values()):
        return close(frozenset(moved))
    return frozenset(moved)


def within(node: str, high: Place) -> tuple[Bound, Bound]:
    """The bounds of 0 <= node <= high."""
    return ((ZERO, node, 0), (node, high[0], high[1]))


def bounds_of(nodes: Iterable[str], ranges: Ranges) -> frozenset[Bound]:
    """The ranges of those of the coordinates that have one, and the least sizes that come with them."""
    known = [n for n in nodes if n in ranges]
    sizes = {ranges[n][0] for n in known} | set(known)
    bounds = {b for n in known if n[0] != SIZE for b in within(n, ranges[n])}
    bounds.update((ZERO, n, -ranges[n][1]) for n in sizes if n[0] == SIZE and n in ranges)
    return frozenset(bounds)


def nodes_of(*zones: Iterable[Bound]) -> set[str]:
    """The coordinates that zones name."""
    return {n for z in zones for a, b, _ in z for n in (a, b)}


def contains(union: Iterable[Zone], zone: Zone, ranges: Ranges = NO_RANGES) -> bool:
    """Is every point of `zone` within the ranges in one of the zones of `union`? No where that is too hard to show."""
    among = tuple(union)
    if any(k <= zone for k in among):
        return True
    if not among:
        return False
    whole = close(zone | bounds_of(nodes_of(zone, *among), ranges)) if ranges else zone
    if whole is None:
        return True
    table = {(a, b): c for a, b, c in whole}
    return any(_implied(k, table) for k in among) or (len(among) > 1 and _covered(table, among, [_CUTS]))


def _covered(rest: Table, union: Union, left: list[int]) -> bool:
    """Does cutting the zones of the union off leave nothing? No where that takes more than `left` cuts."""
    if not union:
        return False
    beyond = [bound for bound in union[0] if bound[:2] not in rest or rest[bound[:2]] > bound[2]]
    left[0] -= len(beyond)
    parts = (_cut(rest, b, a, -c - 1) for a, b, c in beyond)  # one by one: most often the first is not covered
    return left[0] > 0 and all(part is None or _covered(part, union[1:], left) for part in parts)


def _cut(table: Table, a: str, b: str, c: int) -> Table | None:
    """A closed zone with one bound more: what follows goes through that bound, which is less than to close again."""
    back = table.get((b, a))
    if back is not None and back + c < 0:
        return None
    before, after = [(a, 0)], [(b, 0)]
    for (u, v), d in table.items():
        if v == a:
            before.append((u, d))
        if u == b:
            after.append((v, d))
    found = dict(table)
    for u, first in before:
        for v, second in after:
            known = table.get((u, v))
            if u != v and (known is None or first + c + second < known):
                found[u, v] = first + c + second
    return found


def reduced(zones: Iterable[Zone | None], ranges: Ranges = NO_RANGES) -> Union:
    """The zones without those inside another one; of very many, those with the fewest bounds (a smaller set)."""
    distinct = dict.fromkeys(z for z in zones if z is not None)
    if len(distinct) < 2:
        return tuple(distinct)
    if EVERYWHERE in distinct:
        return (EVERYWHERE,)
    kept: list[tuple[Zone, Table]] = []
    for zone in sorted(distinct, key=len)[:_MANY]:
        whole = close(zone | bounds_of(nodes_of(zone), ranges)) if ranges else zone
        table = None if whole is None else {(a, b): c for a, b, c in whole}
        if table is not None and not any(_implied(k, table) for k, _ in kept):
            kept = [(k, t) for k, t in kept if not _implied(zone, t)]
            kept.append((zone, table))
    return tuple(k for k, _ in kept)


def _implied(zone: Zone, table: Table) -> bool:
    """Do all bounds of a zone follow from a closed one?"""
    for a, b, c in zone:
        known = table.get((a, b))
        if known is None or known > c:
            return False
    return True


def for_all(union: Union, node: str, high: Place) -> Union:
    """Where every value 0 <= node <= high is in some zone of the union, in the other coordinates.

    A chain of zones covers the line if the first begins at 0, each begins at most one past the end of the one
    before, and the last ends at `high`; each condition is a difference bound again. A subset of the true set
    where more than three zones are needed.

    >>> prefix, suffix = close(frozenset({("x", "k", 0)})), close(frozenset({("k", "x", 0)}))
    >>> for_all((prefix, suffix), "x", ("#K", -1))
    (frozenset(),)
    """
    pieces = tuple(_piece(zone, node) for zone in union)
    longest = _CHAIN if len(union) <= _WIDEST else 1 if len(union) > 4 * _WIDEST else 2
    found: list[Zone | None] = []
    chains = [_Chain((), frozenset(), ((ZERO, -1),))]
    for _ in range(longest):
        chains = [
            longer
            for chain in chains
            for n in range(len(pieces))
            if n not in chain.zones and (longer := _longer(chain, n, pieces[n])) is not None
        ]
        for chain in chains:
            found.append(_ended(chain, high))
            if found[-1] == EVERYWHERE:
                return (EVERYWHERE,)
    return reduced(found)


class _Piece(NamedTuple):
    """A zone along a line: the lower and upper bounds of the coordinate, and its bounds between the others."""

    starts: tuple[Place, ...]
    ends: tuple[Place, ...]
    others: frozenset[Bound]


class _Chain(NamedTuple):
    """Zones one after another: conditions for each to begin where the one before ends, and where the last ends."""

    zones: tuple[int, ...]
    conditions: frozenset[Bound]
    ends: tuple[Place, ...]


def _piece(zone: Zone, node: str) -> _Piece:
    return _Piece(
        starts=tuple((a, -c) for a, b, c in zone if b == node),
        ends=tuple((b, c) for a, b, c in zone if a == node),
        others=frozenset(bound for bound in zone if node not in bound[:2]),
    )


def _longer(chain: _Chain, number: int, piece: _Piece) -> _Chain | None:
    """A chain with one zone more; None if that never begins where the chain ends."""
    conditions: set[Bound] = set()
    for start, s in piece.starts:
        for end, e in chain.ends:
            if start != end:
                conditions.add((start, end, e + 1 - s))
            elif s > e + 1:
                return None
    return _Chain((*chain.zones, number), chain.conditions | conditions | piece.others, piece.ends)


def _ended(chain: _Chain, high: Place) -> Zone | None:
    """Where a chain ends at the end of the line."""
    conditions: set[Bound] = set()
    for end, e in chain.ends:
        if end != high[0]:
            conditions.add((high[0], end, e - high[1]))
        elif high[1] > e:
            return None
    return close(chain.conditions | conditions)


def hull(zones: Iterable[Zone]) -> Zone:
    """The least zone around all of them, made of bounds that each of them has."""
    tables = [{(a, b): c for a, b, c in z} for z in zones]
    common = set(tables[0]).intersection(*tables[1:]) if tables else set()
    return frozenset((a, b, max(t[a, b] for t in tables)) for a, b in common)


class Space:
    """Ranges of coordinates, and what was found within them: the same zones come back level by level, row by row."""

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges
        self._whole: dict[Zone, Zone | None] = {}
        self._reduced: dict[Union, Union] = {}
        self._contained: dict[tuple[Union, Zone], bool] = {}

    def bounds(self, *zones: Iterable[Bound]) -> frozenset[Bound]:
        """The ranges of the coordinates that zones name."""
        return bounds_of(nodes_of(*zones), self.ranges)

    def whole(self, zone: Zone) -> Zone | None:
        """A zone with the ranges of its coordinates, closed."""
        if zone not in self._whole:
            self._whole[zone] = close(zone | self.bounds(zone))
        return self._whole[zone]

    def reduced(self, union: Union) -> Union:
        """See `reduced`."""
        if len(union) < 2:
            return union
        if union not in self._reduced:
            self._reduced[union] = reduced(union, self.ranges)
        return self._reduced[union]

    def contains(self, union: Union, zone: Zone) -> bool:
        """See `contains`."""
        key = union, zone
        if key not in self._contained:
            self._contained[key] = zone in union or contains(union, zone, self.ranges)
        return self._contained[key]
