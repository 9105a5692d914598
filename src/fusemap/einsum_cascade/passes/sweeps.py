"""A schedule of monotone sweeps over a fiber: an upper bound on passes.

In one sweep, in ascending or descending order, a statement runs at its own coordinate plus a constant delay. All of
a sweep's statements get the data they need if what they need lies a bounded distance ahead (in the same sweep) or
was finished in an earlier sweep. A carrier that a later sweep needs is stored or computed again: either way its
coordinate is brought in by that sweep, which is what a pass counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusemap.einsum_cascade.passes.carriers import Carriers, carriers_of
from fusemap.einsum_cascade.passes.edges import Edge, Links, edges_of
from fusemap.einsum_cascade.passes.levels import fiber_of
from fusemap.einsum_cascade.passes.places import places_of
from fusemap.einsum_cascade.passes.ranks import Digit, RankOf
from fusemap.einsum_cascade.passes.types import PassCount
from fusemap.einsum_cascade.passes.zones import ZERO, Place
from fusemap.einsum_cascade.types import ShapeName

_STATES = 16  # ways to go on that are followed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Upper:
    """Sweeps that suffice, and how many coordinates beyond the current one are kept meanwhile."""

    passes: PassCount
    lookahead: str


@dataclass(frozen=True, slots=True)
class _Sweep:
    """The statements that one sweep can run, and the greatest delay among them."""

    runs: frozenset[int]
    delay: int
    chunk: bool


def upper_bound(links: Links, of: RankOf, *, direct: bool = False) -> Upper | None:
    """A schedule of sweeps for (tensor, rank); None if none of this form was found."""
    found = fiber_of(links.model, of)
    if found is None:
        return None
    carriers = carriers_of(links.model.cascade, of, direct=direct, facts=links.model.facts)
    best: Upper | None = None
    parts = _digits(links, of)
    for outer in range(len(parts)):
        plan = _Plan(links, of, carriers, parts, outer)
        answer = plan.answer()
        if answer is not None and (best is None or _shorter(answer, best)):
            best = answer
        if best is not None and str(best.passes) == "1":
            break
    return best


def _shorter(one: Upper, other: Upper) -> bool:
    return (one.passes.steps, one.passes.constant) < (other.passes.steps, other.passes.constant)


def _digits(links: Links, of: RankOf) -> tuple[Digit, ...]:
    """The digits of the rank as the model has them: a product that nothing splits is one."""
    frame = links.model.frame
    found: list[Digit] = []
    for digit in of.digits:
        parts = frame.digits(of.tensor, digit.position)
        if len(parts) > 1 or not any(d.position == digit.position for d in found):
            whole = len(parts) == 1
            shape = parts[0] if whole else digit.shape
            found.append(Digit(position=digit.position, shape=shape, inner=() if whole else digit.inner, whole=whole))
    return tuple(found)


class _Plan:
    """Sweeps in the order of one digit of the rank."""

    def __init__(self, links: Links, of: RankOf, carriers: Carriers, parts: Sequence[Digit], outer: int) -> None:
        self.links = links
        self.carriers = carriers
        self.parts = parts
        self.outer = outer
        along = RankOf(tensor=of.tensor, rank=parts[outer].shape, digits=(parts[outer],))
        places = places_of(links.model, along)
        self.forms: dict[int, tuple[Place, ...]] = {n: p for n, p in places.known.items() if p}
        self.wild = places.wild
        self.kept = len(places.kept)
        spreads = {n: links.spread(n, at) for n, at in self.forms.items()}
        self.stuck = places.stuck | {n for n, spread in spreads.items() if spread is None}
        self.spread = max((spread or 0 for spread in spreads.values()), default=0)
        inner = parts[outer + 1] if outer + 1 < len(parts) else None
        nothing: Mapping[int, tuple[Place, ...]] = {}
        self.inner = (
            places_of(links.model, RankOf(tensor=of.tensor, rank=inner.shape, digits=(inner,))).known
            if inner is not None
            else nothing
        )
        self.touching = frozenset(
            s.number
            for s in links.model.statements
            if any(t.access in {r.access for r in s.reads} for t in carriers.touches.get(s.name, ()))
            and s.number in {*self.forms, *self.wild, *self.stuck}
        )
        forms: dict[int, tuple[Place, ...]] = {**self.forms, **{n: () for n in self.wild | places.stuck}}
        self.edges = edges_of(links, forms, self.inner)
        self.into: dict[int, list[Edge]] = {}
        for edge in self.edges:
            self.into.setdefault(edge.target, []).append(edge)

    def answer(self) -> Upper | None:
        """The fewest sweeps, else sweeps repeated by an iterative rank."""
        everything = frozenset((*self.forms, *self.wild, *self.stuck))
        plain = self._sweeps(frozenset(), everything, self.into)
        if plain is None:
            return self._repeated(everything)
        lookahead = self._lookahead(plain)
        if lookahead.isdigit() and lookahead != "0" and not self.wild:
            lookahead = str(min(int(lookahead), self._by_rows(len(plain), everything, int(lookahead))))
        return Upper(passes=PassCount(constant=max(1, len(plain))), lookahead=lookahead)

    def _by_rows(self, sweeps: int, everything: frozenset[int], otherwise: int) -> int:
        """What is kept if statements run when their row comes by (p of a window p-W < m <= p), not their coordinate."""
        rows: dict[int, tuple[Place, ...]] = {}
        spread = [0, 0]
        for number, places in self.forms.items():
            node, offset = places[-1]
            if len(places) > 1:
                return otherwise
            domain = self.links.domains[number]
            known = {(a, b): c for a, b, c in domain or ()}
            near = [v for v in self.links.model.statements[number].ranges if {(node, v), (v, node)} <= known.keys()]
            if not near:
                return otherwise
            rows[number] = ((near[0], 0),)
            if number in self.touching:
                spread[0] = max(spread[0], known[near[0], node] - offset)
                spread[1] = max(spread[1], known[node, near[0]] + offset)
        edges: dict[int, list[Edge]] = {}
        for edge in edges_of(self.links, rows, self.inner):
            edges.setdefault(edge.target, []).append(edge)
        found = self._sweeps(frozenset(), everything, edges)
        if found is None or len(found) > sweeps:
            return otherwise
        return max((s.delay for s in found), default=0) + sum(spread) + self.kept

    def _repeated(self, everything: frozenset[int]) -> Upper | None:
        """Sweeps before, in every step of, and after a loop over an iterative rank beside the fiber."""
        used = {node for places in self.forms.values() for node, _ in places}
        for var in self.links.iterative:
            place = self.links.model.frame.bound(var)
            if var in used or place is None or place[0] == ZERO:
                continue
            loop = self._loop(var)
            if not loop:
                continue
            inner = {t: [e for e in es if not (e.source in loop and var in e.steps)] for t, es in self.into.items()}
            after = self._needing(loop) - loop
            before = everything - loop - after
            first = self._sweeps(frozenset(), before, self.into)
            body = self._sweeps(before, loop & everything, inner)
            last = self._sweeps(before | loop, after & everything, self.into)
            if first is None or body is None or last is None or not body:
                continue
            offset = place[1] * len(body)
            count = PassCount(constant=len(first) + len(last) + offset, steps=len(body), shape=ShapeName(place[0][1:]))
            return Upper(passes=count, lookahead=self._lookahead([*first, *body, *last]))
        return None

    def _loop(self, var: str) -> frozenset[int]:
        """Statements with a coordinate in the loop of an iterative variable: they come back to themselves by it."""
        stepping = {e.source for e in self.edges if var in e.steps} | {e.target for e in self.edges if var in e.steps}
        found = set()
        for number in stepping:
            if var in self.links.model.statements[number].ranges and number in self._needing(frozenset({number})):
                found.add(number)
        return frozenset(
            n
            for n in (*self.forms, *self.wild, *self.stuck)
            if n in found
            or (
                var in self.links.model.statements[n].ranges
                and n in self._needing(frozenset(found))
                and self._reaches(n, found)
            )
        )

    def _reaches(self, number: int, wanted: set[int]) -> bool:
        return bool(self._needing(frozenset({number})) & wanted)

    def _needing(self, sources: frozenset[int]) -> frozenset[int]:
        """Statements that need one of these, directly or not."""
        reached: set[int] = set()
        new = set(sources)
        while new:
            new = {e.target for e in self.edges if e.source in new} - reached
            reached |= new
        return frozenset(reached)

    def _sweeps(
        self, done: frozenset[int], wanted: frozenset[int], into: Mapping[int, Sequence[Edge]]
    ) -> list[_Sweep] | None:
        """The fewest sweeps after which all of `wanted` that touch the fiber have run, breadth first."""
        start = self._free(done, wanted, into)
        if (wanted & self.touching) <= start:
            return []
        level: dict[frozenset[int], list[_Sweep]] = {start: []}
        for _ in range(len(wanted & self.touching)):
            further: dict[frozenset[int], list[_Sweep]] = {}
            for state, sweeps in level.items():
                for descending in (False, True):
                    sweep = self._sweep(state, wanted | done, into, descending)
                    reached = self._free(state | sweep.runs, wanted, into)
                    if (wanted & self.touching) <= reached:
                        return [*sweeps, sweep]
                    if reached != state:
                        further.setdefault(reached, [*sweeps, sweep])
            level = dict(list(further.items())[:_STATES])
        return None

    def _free(self, done: frozenset[int], wanted: frozenset[int], into: Mapping[int, Sequence[Edge]]) -> frozenset[int]:
        """With what can run on finished data alone, without the fiber."""
        reached = set(done)
        changed = True
        while changed:
            changed = False
            for n in wanted - self.touching - reached:
                if all(e.source in reached or e.source == n for e in into.get(n, ())):
                    reached.add(n)
                    changed = True
        return frozenset(reached)

    def _sweep(
        self, done: frozenset[int], wanted: frozenset[int], into: Mapping[int, Sequence[Edge]], descending: bool
    ) -> _Sweep:
        """The most that one more sweep can run."""
        runs = set(wanted - self.stuck)
        while True:
            stuck = {n for n in runs if not self._served(n, runs, done, into, descending)}
            if stuck:
                runs -= stuck
                continue
            delays = self._delays(runs, done, into, descending)
            if isinstance(delays, dict):
                break
            runs -= delays
        chunk = any(
            not e.within
            for n in runs & self.touching
            for e in into.get(n, ())
            if e.source in runs and e.source not in done
        )
        return _Sweep(frozenset(runs), max(delays.values(), default=0) - min(delays.values(), default=0), chunk)

    def _served(
        self,
        number: int,
        runs: set[int],
        done: frozenset[int],
        into: Mapping[int, Sequence[Edge]],
        descending: bool,
    ) -> bool:
        """Does a statement get all it needs, from this sweep or earlier ones?"""
        for edge in into.get(number, ()):
            bounded = (edge.behind if descending else edge.ahead) is not None
            here = edge.source in runs and bounded and edge.source not in self.wild and number not in self.wild
            if not here and edge.source not in done:
                return False
        return True

    def _delays(
        self, runs: set[int], done: frozenset[int], into: Mapping[int, Sequence[Edge]], descending: bool
    ) -> dict[int, int] | set[int]:
        """Delays that let every statement wait for what lies ahead; else the statements that wait for themselves."""
        edges = [
            (e.source, n, (e.behind if descending else e.ahead) or 0)
            for n in runs
            for e in into.get(n, ())
            if e.source in runs and e.source not in done
        ]
        delays = dict.fromkeys(runs, 0)
        changed: set[int] = set()
        for _ in range(len(runs) + 1):
            changed = set()
            for source, target, ahead in edges:
                if delays[source] + ahead > delays[target]:
                    delays[target] = delays[source] + ahead
                    changed.add(target)
            if not changed:
                return delays
        return changed

    def _lookahead(self, sweeps: Iterable[_Sweep]) -> str:
        """Coordinates beyond the current one that are kept: delays, and the rest of a chunk if it is needed whole."""
        delay = max((s.delay for s in sweeps), default=0) + self.spread + self.kept
        inner = [d.shape for d in self.parts[self.outer + 1 :]] or [d.shape for d in self.parts[: self.outer]]
        if not inner:
            return str(delay)
        product = "*".join(inner)
        if any(s.chunk for s in sweeps):
            return f"{product} - 1" if not delay else f"{delay + 1}*{product} - 1"
        return "0" if not delay else f"{delay}*{product}"
