"""The schedule that footprints are counted in: at every loop the sweeps, one after another, and who runs in each.

See `footprints.footprints` for its definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusemap.einsum_cascade.passes.carriers import dependences
from fusemap.einsum_cascade.passes.edges import Links
from fusemap.einsum_cascade.passes.footprint_loops import Loops
from fusemap.einsum_cascade.passes.model import Statement
from fusemap.einsum_cascade.passes.zones import SIZE, ZERO, Bound, Zone, close, nodes_of

_SWEEP, _AFTER = 2, 1  # phases are numbers: sweeps are odd, what stands between them is even


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The phase of every statement at every loop, and its place in the innermost body; odd phases are sweeps.

    `broken` are statements that wait for themselves in this order of loops.
    """

    loops: Loops
    paths: Mapping[int, tuple[int, ...]]
    broken: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Wait:
    source: int
    target: int
    weight: int


def schedule_of(links: Links, loops: Loops) -> Schedule:
    """Sweeps of all statements in the order of the loops."""
    planner = _Planner(links, loops)
    planner.place(tuple(links.model.statements), 0, ())
    return Schedule(loops=loops, paths=planner.paths, broken=frozenset(planner.broken))


def pair_within(
    links: Links, loops: Loops, target: Statement, number: int, source: Statement, level: int
) -> Zone | None:
    """Readers and writers of one read in one iteration of the loops outside `level`; None if there are none."""
    zone = links.pair(target, number, source)
    if zone is None:
        return None
    mine, theirs = loops.nodes(target), loops.nodes(source)
    same: set[Bound] = set()
    for loop in (*loops.batch, *loops.order[:level]):
        if loop in mine and loop in theirs:
            a, b = mine[loop], f"~{theirs[loop]}"
            same |= {(a, b, 0), (b, a, 0)}
    same |= {(ZERO, n, -1) for n in nodes_of(zone) if n.startswith(SIZE)}
    return zone if same <= zone else close(zone | same)


class _Planner:
    def __init__(self, links: Links, loops: Loops) -> None:
        self.links = links
        self.loops = loops
        self.needs = dependences(links.model.cascade)
        self.paths: dict[int, tuple[int, ...]] = {s.number: () for s in links.model.statements}
        self.broken: set[int] = set()

    def place(self, group: Sequence[Statement], level: int, outer: tuple[str, ...]) -> None:
        """Give the statements that share the loops outside `level` their phases from there inwards."""
        if level == len(self.loops.order):
            self._body(group, level)
            return
        loop = self.loops.order[level]
        phases = self._phases(group, loop, level)
        for s in group:
            self.paths[s.number] += (phases[s.number],)
        for phase in sorted(set(phases.values())):
            self.place([s for s in group if phases[s.number] == phase], level + 1, (*outer, loop))

    def _phases(self, group: Sequence[Statement], loop: str, level: int) -> dict[int, int]:
        having = {s.number for s in group if loop in self.loops.nodes(s)}
        waits = [w for w in self._waits(group, loop, level) if w.source != w.target or w.weight]
        early = {s.number: int(s.number in having) for s in group}
        for _ in range(2 * len(group) + 2):
            late = [w for w in waits if early[w.source] + w.weight > early[w.target]]
            if not late:
                break
            for w in late:
                early[w.target] = _rounded(early[w.source] + w.weight, w.target in having)
        else:
            self.broken |= {s.number for s in group}
            return {s.number: int(s.number in having) for s in group}
        return self._postponed(group, loop, early, waits, having)

    def _postponed(
        self, group: Sequence[Statement], loop: str, early: dict[int, int], waits: list[_Wait], having: set[int]
    ) -> dict[int, int]:
        """What reduces nothing of the loop's rank waits for its readers."""
        fixed = {s.number for s in group if self._reduces(s, loop)}
        found = {n: p for n, p in early.items() if n in fixed}
        while len(found) < len(early):
            for _ in range(len(group) + 1):
                for w in waits:
                    if w.source not in fixed and w.target in found:
                        latest = found[w.target] - w.weight
                        latest -= latest % 2 != int(w.source in having)
                        found[w.source] = min(found.get(w.source, latest), latest)
            rest = [n for n in early if n not in found]
            last = next((n for n in rest if not any(w.source == n for w in waits if w.target != n)), None)
            for n in rest[:1] if last is None else [last]:  # nobody waits for it
                found[n] = early[n]
                fixed.add(n)
        return found

    def _reduces(self, s: Statement, loop: str) -> bool:
        """Does the statement reduce the loop or another digit of its rank, or step along the loop?"""
        nodes = self.loops.nodes(s)
        steps = nodes.get(loop) in self.links.iterative and s.name in self.needs[s.name]
        reduced = {self.loops.ranks[o] for o in nodes if o not in self.loops.left(s)}
        return steps or self.loops.ranks[loop] in reduced

    def _waits(self, group: Sequence[Statement], loop: str, level: int) -> Iterable[_Wait]:
        for target, number, source in self._reads(group):
            zone = self._pair(target, number, source, level)
            if zone is not None:
                yield _Wait(source.number, target.number, self._weight(zone, target, source, loop))

    def _weight(self, zone: Zone, target: Statement, source: Statement, loop: str) -> int:
        """How many phases after its source a statement runs."""
        having = [loop in self.loops.nodes(s) for s in (target, source)]
        if not all(having):
            return _AFTER if any(having) else 0
        ahead = self.loops.ahead(zone, target, source, loop)
        return 0 if ahead is not None and ahead <= 0 else _SWEEP

    def _body(self, group: Sequence[Statement], level: int) -> None:
        """The order of statements in one iteration of all loops: each after what it reads."""
        waits = {(s.number, t.number) for s, t in self._needs(group, level)}
        left = [s.number for s in group]
        place = 0
        while left:
            ready = [n for n in left if not any((o, n) in waits for o in left if o != n)]
            if not ready:
                self.broken |= set(left)
                ready = left
            self.paths[ready[0]] += (place,)
            left.remove(ready[0])
            place += 1

    def _needs(self, group: Sequence[Statement], level: int) -> Iterable[tuple[Statement, Statement]]:
        """The statements of a group that another one reads in the same iteration, and that one."""
        for target, number, source in self._reads(group):
            if source is not target and self._pair(target, number, source, level) is not None:
                yield source, target

    def _reads(self, group: Sequence[Statement]) -> Iterable[tuple[Statement, int, Statement]]:
        """Who reads whom within a group, and which read it is."""
        for target in group:
            for number, reading in enumerate(target.reads):
                for source in self.links.model.writers(reading.access.tensor):
                    if source in group:
                        yield target, number, source

    def _pair(self, target: Statement, number: int, source: Statement, level: int) -> Zone | None:
        return pair_within(self.links, self.loops, target, number, source, level)


def _rounded(phase: int, odd: bool) -> int:
    return phase + (phase % 2 != int(odd))
