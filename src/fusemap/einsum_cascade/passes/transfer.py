"""Zones carried through statements: from the indices of a read tensor to an Einsum's variables to what it writes.

The index `p`, digit `i` of a tensor is the coordinate "@p.i". Everything here keeps to points that certainly
exist, so a zone never claims too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fusemap.einsum_cascade.passes.model import Model, Reading, Slots, Statement, index_node
from fusemap.einsum_cascade.passes.zones import (
    SIZE,
    ZERO,
    Bound,
    Place,
    Ranges,
    Union,
    Zone,
    bounds_of,
    close,
    drop,
    nodes_of,
    reduced,
    rename,
)
from fusemap.einsum_cascade.types import TensorName

EFFORT = 350  # zones written in one analysis; most cascades of the library need a third of it


class TooHard(Exception):
    """The zones of an analysis have become too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Reads and writes of zones in a model. `ranges` are the greatest values of coordinates that no statement owns."""

    model: Model
    domains: Mapping[int, Union]
    ranges: Mapping[str, Place]
    limit: int = EFFORT
    spent: list[int] = field(default_factory=lambda: [0])

    def reads(self, union: Iterable[Zone], reading: Reading) -> Union:
        """Zones over a tensor's indices as zones over the reader's variables; what has no form is left out."""
        places, free, unknown = _places(reading.slots)
        found: list[Zone | None] = []
        for zone in union:
            nodes = {n for a, b, _ in zone for n in (a, b)}
            if nodes & unknown:
                continue
            if nodes & free:
                zone = drop(zone, frozenset(free))
            found.append(rename(zone, places))
        return tuple(z for z in found if z is not None)

    def writes(self, union: Iterable[Zone], statement: Statement) -> Union:
        """Zones over a statement's variables as zones over the indices of what it writes; reduced variables go."""
        found: list[Zone | None] = []
        zones = tuple(union)
        self.spent[0] += len(zones)
        if self.spent[0] > self.limit:
            raise TooHard
        for domain in self.domains[statement.number]:
            for zone in zones:
                found.append(self._written(zone, domain, statement))
        return reduced(found)

    def _written(self, zone: Zone, domain: Zone, statement: Statement) -> Zone | None:
        nodes = nodes_of(zone, domain)
        whole = close(zone | domain | bounds_of(nodes, self.points_of(statement))) if nodes else zone
        if whole is None:
            return None
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
                    high, last = statement.ranges[node], self.ranges_of(statement.name).get(mine)
                    if offset or last != high:  # S[k+1] says nothing about S[0]
                        fixed |= {(ZERO, mine, -offset), (mine, high[0], high[1] + offset)}
                else:
                    fixed |= {(mine, node, offset), (node, mine, -offset)}
        gone = frozenset(statement.ranges.keys() - places.keys())
        moved = rename(drop(whole, gone), places)
        if moved is None:
            return None
        result = close(moved | fixed) if fixed else moved
        return None if result is None else stripped(result, self.ranges_of(statement.name))

    def points_of(self, statement: Statement) -> Ranges:
        """The ranges of a statement's variables and of the coordinates that no statement owns."""
        return {**statement.ranges, **self.ranges}

    def ranges_of(self, tensor: TensorName) -> Ranges:
        """The ranges of a tensor's indices and of the coordinates that no statement owns."""
        return {**self.model.index_ranges[tensor], **self.ranges}


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
