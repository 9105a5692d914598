"""Zones carried through statements: from the indices of a read tensor to an Einsum's variables to what it writes.

The index `p`, digit `i` of a tensor is the coordinate "@p.i". Everything here keeps to points that certainly
exist, so a zone never claims too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fusemap.einsum_cascade.passes.model import Found, Model, Reading, Slots, Statement, index_node
from fusemap.einsum_cascade.passes.zones import (
    SIZE,
    ZERO,
    Bound,
    Place,
    Space,
    Union,
    Zone,
    close,
    drop,
    reduced,
    rename,
)
from fusemap.einsum_cascade.types import TensorName

EFFORT = 350  # zones written in one analysis; most cascades of the library need a third of it


class TooHard(Exception):
    """The zones of an analysis have become too many."""


class Transfer:
    """Reads and writes of zones in a model. `ranges` are the greatest values of coordinates that no statement owns."""

    def __init__(
        self, *, model: Model, domains: Mapping[int, Union], ranges: Mapping[str, Place], limit: int = EFFORT
    ) -> None:
        self.model = model
        self.domains = domains
        self.ranges = ranges
        self.limit = limit
        self.spent = 0
        self.found = model.found.setdefault(frozenset(ranges.items()), Found(beside=Space(ranges)))

    def reads(self, union: Union, reading: Reading) -> Union:
        """Zones over a tensor's indices as zones over the reader's variables; what has no form is left out."""
        known = reading.found
        for zone in union:
            if zone not in known:
                known[zone] = _read(zone, reading.slots)
        return tuple(z for zone in union if (z := known[zone]) is not None)

    def writes(self, union: Iterable[Zone], statement: Statement) -> Union:
        """Zones over a statement's variables as zones over the indices of what it writes; reduced variables go."""
        zones = tuple(union)
        self.spent += len(zones)
        if self.spent > self.limit:
            raise TooHard
        domains = self.domains[statement.number]
        key = statement.number, domains, zones
        known = self.found.written
        if key not in known:
            known[key] = reduced(self._written(z, d, statement) for d in domains for z in zones)
        return known[key]

    def _written(self, zone: Zone, domain: Zone, statement: Statement) -> Zone | None:
        whole = self.points(statement).whole(zone | domain)
        if whole is None:
            return None
        indices = self.indices(statement.name).ranges
        places: dict[str, Place] = {}
        fixed: set[Bound] = set()
        for position, digits in enumerate(statement.writes):
            for digit, slot in enumerate(digits):
                if slot.place is None:
                    return None
                node, offset = slot.place
                mine = index_node(position, digit)
                if node in statement.ranges:
                    places[node] = (mine, -offset)
                    high, last = statement.ranges[node], indices.get(mine)
                    if offset or last != high:  # S[k+1] says nothing about S[0]
                        fixed |= {(ZERO, mine, -offset), (mine, high[0], high[1] + offset)}
                else:
                    fixed |= {(mine, node, offset), (node, mine, -offset)}
        gone = frozenset(statement.ranges.keys() - places.keys())
        moved = rename(drop(whole, gone), places)
        if moved is None:
            return None
        result = close(moved | fixed) if fixed else moved
        return None if result is None else stripped(result, indices)

    def points(self, statement: Statement) -> Space:
        """The ranges of a statement's variables and of the coordinates that no statement owns."""
        spaces = self.found.spaces
        if statement.number not in spaces:
            spaces[statement.number] = Space({**statement.ranges, **self.ranges})
        return spaces[statement.number]

    def indices(self, tensor: TensorName) -> Space:
        """The ranges of a tensor's indices and of the coordinates that no statement owns."""
        spaces = self.found.spaces
        if tensor not in spaces:
            spaces[tensor] = Space({**self.model.index_ranges[tensor], **self.ranges})
        return spaces[tensor]


def stripped(zone: Zone, ranges: Mapping[str, Place]) -> Zone:
    """A zone without the bounds that its ranges imply."""
    kept = []
    for a, b, c in zone:
        if a == ZERO and c >= (-ranges[b][1] if b[0] == SIZE and b in ranges else 0):
            continue
        high = None if a[0] == SIZE else ranges.get(a)
        if high is not None and high[0] == b and c >= high[1]:
            continue
        kept.append((a, b, c))
    return frozenset(kept)


def _read(zone: Zone, slots: Slots) -> Zone | None:
    places, free, unknown = _places(slots)
    nodes = {n for a, b, _ in zone for n in (a, b)}
    if nodes & unknown:
        return None
    return rename(drop(zone, frozenset(free)) if nodes & free else zone, places)


def _places(slots: Slots) -> tuple[dict[str, Place], set[str], set[str]]:
    """Where the digits of a read tensor lie; those that only data tell; those without a form."""
    places: dict[str, Place] = {}
    free: set[str] = set()
    unknown: set[str] = set()
    for position, digits in enumerate(slots):
        for digit, slot in enumerate(digits):
            node = index_node(position, digit)
            if slot.any:
                free.add(node)
            elif slot.place is None:
                unknown.add(node)
            else:
                places[node] = slot.place
    return places, free, unknown
