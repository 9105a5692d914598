"""Distances along dependences: how far ahead in a fiber a point needs other points to have been.

Every statement that touches the fiber, or reads what stands for the outermost digit of its rank, runs when its
coordinate comes by. Statements without a coordinate are followed through. Bounds here hold for all points
(they may be too wide, never too narrow), so a schedule built on them is a schedule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.passes.model import Model, Reading, Statement, index_node
from fusemap.einsum_cascade.passes.zones import ZERO, Bound, Place, Zone, close, drop, hull, nodes_of, within
from fusemap.einsum_cascade.scope import iterative_ranks
from fusemap.einsum_cascade.types import Access, Apply, Expr, TensorName

TIME, FIRST = "last", "first"  # of the coordinates of a point: when it runs in an ascending, a descending sweep
_ANY: Zone = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`target` needs `source`: by at most `ahead` coordinates later than its own, or `behind` earlier; None: no bound.

    `steps` are the iterative
    variables along which the source is surely at an earlier step.
    """

    source: int
    target: int
    ahead: int | None
    behind: int | None
    steps: frozenset[str]
    within: bool


class Links:
    """Dependences of a model between points, in zones that hold for all of them."""

    def __init__(self, model: Model, operators: Operators = BUILTIN) -> None:
        self.model = model
        self.operators = operators
        self.iterative = tuple(iterative_ranks(model.cascade))
        self.domains = self._domains()
        self.pairs: dict[tuple[int, int, int], Zone | None] = {}
        self.sources: dict[_Way, _Source] = {}  # rows whose statements stand at the same coordinates share them

    def _domains(self) -> Mapping[int, Zone | None]:
        """For every statement a zone around its points: its conditions and what it needs of its operands."""
        supports: dict[TensorName, Zone | None] = {t: _ANY for t in self.model.frame.ranks}
        domains: dict[int, Zone | None] = {}
        for group in self.model.groups:
            for s in group:
                zone = self._around(s, s.einsum.expr, supports)
                domains[s.number] = None if zone is None else close(zone | s.cut.implied)
            for name in {s.name for s in group}:
                writers = self.model.writers(name)
                if all(w.number in domains for w in writers):
                    zones = [self._support(w, domains[w.number]) for w in writers]
                    known = [z for z in zones if z is not None]
                    supports[name] = hull(known) if known else None
        return domains

    def _around(self, s: Statement, expr: Expr, supports: Mapping[TensorName, Zone | None]) -> Zone | None:
        """A zone around the points at which a value is present; None if it never is."""
        if isinstance(expr, Access):
            support = supports[expr.tensor]
            reading = next(r for r in s.reads if r.access == expr)
            return None if support is None else _substituted(support, reading, s)
        if not isinstance(expr, Apply):
            return _ANY
        parts = [self._around(s, a, supports) for a in expr.args]
        if self.operators.map(expr.operator).union:
            known = [p for p in parts if p is not None]
            return hull(known) if known else None
        bounds: set[Bound] = set()
        for part in parts:
            if part is None:
                return None
            bounds |= part
        return close(frozenset(bounds))

    def _support(self, s: Statement, domain: Zone | None) -> Zone | None:
        if domain is None or not domain:
            return domain
        whole = close(domain | s.bounds(nodes_of(domain)) | frozenset(_equal(s, "")))
        return None if whole is None else frozenset(b for b in whole if _is_index(b[0]) and _is_index(b[1]))

    def spread(self, number: int, places: Sequence[Place]) -> int | None:
        """How far apart the coordinates that one point touches can lie; None if that has no bound."""
        domain = self.domains[number]
        statement = self.model.statements[number]
        whole = close((domain or _ANY) | statement.bounds({n for n, _ in places}))
        if whole is None:
            return 0
        known = {(a, b): c for a, b, c in whole}
        gaps = [
            c - d if a == b else None if (a, b) not in known else known[a, b] + c - d
            for a, c in places
            for b, d in places
        ]
        return None if None in gaps else max(g for g in gaps if g is not None)

    def pair(self, target: Statement, number: int, source: Statement) -> Zone | None:
        """A zone around all (reader, writer) pairs of one read; the writer's variables begin with "~"."""
        key = (target.number, number, source.number)
        if key not in self.pairs:
            self.pairs[key] = self._pair(target, target.reads[number], source)
        return self.pairs[key]

    def _pair(self, target: Statement, reading: Reading, source: Statement) -> Zone | None:
        mine, theirs = self.domains[target.number], self.domains[source.number]
        if mine is None or theirs is None:
            return None
        bounds = set(mine) | {(_old(a, source), _old(b, source), c) for a, b, c in theirs}
        for read, written in zip(reading.slots, source.writes, strict=True):
            for r, w in zip(read, written, strict=True):
                if r.place is not None and w.place is not None:
                    (a, c), (b, d) = r.place, (_old(w.place[0], source), w.place[1])
                    bounds |= {(a, b, d - c), (b, a, c - d)} if a != b else set()
                    if a == b and c != d:
                        return None
        nodes = nodes_of(bounds)
        bounds |= {b for n in nodes if n in target.ranges for b in within(n, target.ranges[n])}
        old = {_old(n, source): p for n, p in source.ranges.items()}
        bounds |= {b for n in nodes if n in old for b in within(n, old[n])}
        return close(frozenset(bounds))


def _is_index(node: str) -> bool:
    return node == ZERO or node[0] in "@#"


def _old(node: str, source: Statement) -> str:
    return f"~{node}" if node in source.ranges else node


def _equal(s: Statement, prefix: str) -> Iterator[Bound]:
    for position, digits in enumerate(s.writes):
        for digit, slot in enumerate(digits):
            if slot.place is not None:
                node, offset = slot.place
                mine = index_node(position, digit)
                yield mine, prefix + node, offset
                yield prefix + node, mine, -offset


def _substituted(support: Zone, reading: Reading, s: Statement) -> Zone | None:
    """A tensor's support at the indices of a read; bounds on indices without a form are left out."""
    places = {index_node(p, d): slot.place for p, digits in enumerate(reading.slots) for d, slot in enumerate(digits)}
    bounds: set[Bound] = set()
    for a, b, c in support:
        x, y = places.get(a, (a, 0)), places.get(b, (b, 0))
        if x is None or y is None:
            continue
        if x[0] == y[0]:
            if x[1] - y[1] > c:
                return None
        else:
            bounds.add((x[0], y[0], c - x[1] + y[1]))
    return close(frozenset(bounds))


@dataclass(frozen=True, slots=True)
class _Source:
    """A statement with a coordinate that another one needs: bounds on `time` in the other's variables."""

    statement: int
    zone: Zone
    steps: frozenset[str]


_Way: TypeAlias = tuple[int, int, int, tuple[Place, ...] | _Source]  # reader, its read, writer, see `_through`


def edges_of(
    links: Links, forms: Mapping[int, Sequence[Place]], inner: Mapping[int, Sequence[Place]]
) -> tuple[Edge, ...]:
    """Edges between statements that have a coordinate; `forms` are the coordinates, `inner` those of the next digit."""
    model = links.model
    reach: dict[int, list[_Source]] = {s.number: [] for s in model.statements}
    found: list[Edge] = []
    for group in model.groups:
        loose = [s for s in group if s.number not in forms]
        for _ in range(len(loose) + 1):  # through statements without a coordinate, around a recurrence if need be
            before = [reach[s.number] for s in loose]
            for s in loose:
                reach[s.number] = _merged(_sources(links, s, forms, reach))
            if before == [reach[s.number] for s in loose]:
                break
    for target in model.statements:
        if target.number not in forms:
            continue
        for number in range(len(target.reads)):
            for source in _sources(links, target, forms, reach, only=number):
                ahead = [_bound(source.zone, TIME, p) for p in forms[target.number]]
                behind = [_bound(source.zone, FIRST, p, swap=True) for p in forms[target.number]]
                found.append(
                    Edge(
                        source=source.statement,
                        target=target.number,
                        ahead=_least(ahead),
                        behind=_least(behind),
                        steps=source.steps,
                        within=_inside(source.zone, inner.get(target.number, ())),
                    )
                )
    return tuple(found)


def _inside(zone: Zone, inner: Sequence[Place]) -> bool:
    """Does the source never lie ahead in the next digit either?"""
    return any((b := _bound(zone, "inner", p)) is not None and b <= 0 for p in inner)


def _least(bounds: Iterable[int | None]) -> int | None:
    return min((b for b in bounds if b is not None), default=None)


def _bound(zone: Zone, node: str, place: Place, *, swap: bool = False) -> int | None:
    """The greatest value of node - place (or of place - node)."""
    ends = (place[0], node) if swap else (node, place[0])
    found = [c for a, b, c in zone if (a, b) == ends]
    return (found[0] + place[1] if swap else found[0] - place[1]) if found else None


def _sources(
    links: Links,
    target: Statement,
    forms: Mapping[int, Sequence[Place]],
    reach: Mapping[int, Sequence[_Source]],
    *,
    only: int | None = None,
) -> Iterator[_Source]:
    """The statements with a coordinate that a statement needs, directly or through others without one."""
    for number, reading in enumerate(target.reads):
        if only is not None and number != only:
            continue
        for writer in links.model.writers(reading.access.tensor):
            pair = links.pair(target, number, writer)
            if pair is None:
                continue
            through: Iterable[tuple[Place, ...] | _Source] = reach[writer.number]
            if writer.number in forms:
                through = (tuple(forms[writer.number]),)
            for way in through:
                key = target.number, number, writer.number, way
                if key not in links.sources:
                    links.sources[key] = _through(links, target, pair, writer, way)
                yield links.sources[key]


def _through(
    links: Links, target: Statement, pair: Zone, writer: Statement, way: tuple[Place, ...] | _Source
) -> _Source:
    """What a statement needs by one read: the writer at its coordinates, or a source that the writer needs."""
    if isinstance(way, _Source):
        moved = frozenset((_old(a, writer), _old(b, writer), c) for a, b, c in way.zone)
        return _source(links, target, way.statement, close(pair | moved), way.steps)
    bounds = _times(pair, [(_old(n, writer), c) for n, c in way])
    return _source(links, target, writer.number, close(pair | bounds), frozenset())


def _times(pair: Zone, places: Sequence[Place]) -> set[Bound]:
    """Bounds on the last and first coordinate of a writer."""
    known = {(a, b): c for a, b, c in pair}
    bounds: set[Bound] = set()
    for node, offset in places:
        bounds |= {(node, TIME, -offset), (FIRST, node, offset)}
        ahead = [c if n == node else None if (n, node) not in known else known[n, node] + c for n, c in places]
        back = [-c if n == node else None if (node, n) not in known else known[node, n] - c for n, c in places]
        if None not in ahead:
            bounds.add((TIME, node, max(a for a in ahead if a is not None)))
        if None not in back:
            bounds.add((node, FIRST, max(b for b in back if b is not None)))
    return bounds


def _source(links: Links, target: Statement, number: int, zone: Zone | None, steps: frozenset[str]) -> _Source:
    if zone is None:
        return _Source(number, frozenset(), steps | frozenset(links.iterative))
    earlier = {v for v in links.iterative if any(a == f"~{v}" and b == v and c < 0 for a, b, c in zone)}
    gone = frozenset(n for n in nodes_of(zone) if n.startswith("~"))
    return _Source(number, drop(zone, gone), steps | frozenset(earlier))


def _merged(sources: Iterable[_Source]) -> list[_Source]:
    """One zone around those of the same statement; steps that all of them take."""
    by: dict[int, list[_Source]] = {}
    for source in sources:
        by.setdefault(source.statement, []).append(source)
    return [
        _Source(n, hull([s.zone for s in many]), frozenset.intersection(*(s.steps for s in many)))
        for n, many in by.items()
    ]
