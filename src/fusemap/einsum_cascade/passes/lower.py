"""From levels to a count: the most passes that every mapping needs, and the sizes for which that holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fusemap.einsum_cascade.analysis_sizes import open_factors
from fusemap.einsum_cascade.passes.carriers import carriers_of
from fusemap.einsum_cascade.passes.levels import MOST_LEVELS, Engine, Fiber, covering, fiber_of
from fusemap.einsum_cascade.passes.model import Model, Statement
from fusemap.einsum_cascade.passes.presence import sure_domains
from fusemap.einsum_cascade.passes.ranks import RankOf
from fusemap.einsum_cascade.passes.transfer import EFFORT, Transfer
from fusemap.einsum_cascade.passes.types import PassCount
from fusemap.einsum_cascade.passes.zones import (
    SIZE,
    ZERO,
    Bound,
    Union,
    Zone,
    bounds_of,
    close,
    drop,
    nodes_of,
    reduced,
    rename,
)
from fusemap.einsum_cascade.resolve import Sizes
from fusemap.einsum_cascade.scope import iterative_ranks
from fusemap.einsum_cascade.types import ShapeName, TensorName, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Lower:
    """A proven number of passes; relations between shapes it needs; the pass of every Einsum that covers a fiber."""

    passes: PassCount
    when: tuple[str, ...]
    assignment: tuple[tuple[TensorName, int], ...]


@dataclass(frozen=True, slots=True)
class _Case:
    """Sizes for which a level covers a fiber: least steps of iterative ranks, and relations."""

    steps: tuple[tuple[str, int], ...]
    when: tuple[str, ...]


def domains_of(model: Model) -> Mapping[int, Union]:
    """See `presence.sure_domains`; here so that it is computed once for all ranks of a cascade."""
    return sure_domains(model)


def lower_bound(
    model: Model,
    domains: Mapping[int, Union],
    of: RankOf,
    *,
    direct: bool = False,
    sizes: Sizes | None = None,
    least: int | None = None,
    most: int | None = None,
) -> Lower | None:
    """A lower bound on passes of (tensor, rank): at `sizes`, for all others of at least `least` (by `least_size`).

    Open factors of a given size may be shorter, for it may have no factor that long; what needs them long is
    in `when`.

    Levels above `most`, an upper bound known before, are not looked for.
    None if the rank has no difference-bound form. Raises `TooHard` where the zones become too many.
    """
    found = fiber_of(model, of)
    if found is None:
        return None
    fiber, ranges = found
    stepping = _stepping(model, fiber)
    known = {f"{SIZE}{s}": n for s, n in (sizes or {}).items()}
    floors = _floors(model, stepping, known, least_size(model) if least is None else least)
    ranges.update((node, (ZERO, floor)) for node, floor in floors.items())
    carriers = carriers_of(model.cascade, of, direct=direct, facts=model.facts)
    levels = MOST_LEVELS if stepping else len(model.statements) + 1  # without a loop every level needs a statement
    levels = levels if most is None else min(most, levels)
    effort = EFFORT if stepping else EFFORT + levels * len(model.statements)
    transfer = Transfer(model=model, domains=domains, ranges=ranges, limit=effort)
    engine = Engine(model, carriers, fiber, transfer, levels)
    engine.run()
    return _Count(model, engine, stepping, known).result()


class _Count:
    def __init__(self, model: Model, engine: Engine, stepping: Mapping[VarName, str], known: Mapping[str, int]) -> None:
        self.known = {ZERO: 0, **known}
        self.model = model
        self.engine = engine
        self.stepping = stepping
        self.cases: dict[Union, _Case | None] = {}
        self.covers: dict[tuple[int, Union], Union] = {}

    def result(self) -> Lower:
        levels = max((len(u) for u in self.engine.levels.values()), default=0)
        covers = [{s.name: self._cover(s, n) for s in self.model.statements} for n in range(levels)]
        cases = [self._shown(z for u in c.values() for z in u) for c in covers]
        passes = 1
        while passes < len(cases) and cases[passes] is not None:
            passes += 1
        first = cases[0] if cases else None
        chosen = cases[passes - 1] if passes > 1 else first
        count = self._steady(cases[:passes]) if passes == MOST_LEVELS else None
        own: dict[TensorName, int] = {}
        for n in range(passes):
            for name, union in covers[n].items() if covers else ():
                case = self._shown(union) if union else None
                if case is not None and all(least <= 1 for _, least in case.steps):
                    own[name] = n + 1
        when = chosen.when if chosen is not None and passes > 1 else ()
        if chosen is not None and count is None:
            when = (*when, *(f"{n[1:]} >= {least}" for n, least in chosen.steps if least > 1 and n not in self.known))
        return Lower(passes=count or PassCount(constant=passes), when=when, assignment=tuple(own.items()))

    def _cover(self, statement: Statement, level: int) -> Union:
        """Coordinates (x, f) with a touch of the level by this statement."""
        zones = self.engine.levels.get(statement.number, [])
        if level >= len(zones) or not zones[level]:
            return ()
        key = statement.number, zones[level]
        if key not in self.covers:
            space = self.engine.transfer.points(statement)
            wholes = [space.whole(z | d) for d in self.engine.transfer.domains[statement.number] for z in zones[level]]
            mine = frozenset(statement.ranges)
            self.covers[key] = reduced(None if z is None else drop(z, mine) for z in wholes)
        return self.covers[key]

    def _shown(self, zones: Iterable[Zone]) -> _Case | None:
        """When some fiber is covered; the same zones come back at the next level."""
        union = tuple(dict.fromkeys(zones))
        if union not in self.cases:
            self.cases[union] = self._case(self._fibers(union))
        return self.cases[union]

    def _fibers(self, union: Union) -> Union:
        """Sizes at which some fiber is covered."""
        space = self.engine.transfer.found.beside
        found = []
        for zone in covering(reduced(union), self.engine.fiber.along, space):
            whole = space.whole(zone)
            if whole is not None:
                found.append(drop(whole, frozenset(n for n in nodes_of(zone) if n[0] != SIZE and n != ZERO)))
        return reduced(found)

    def _case(self, union: Union) -> _Case | None:
        """The weakest of several conditions on sizes that large sizes can meet."""
        found: list[_Case] = []
        floors = self.engine.transfer.ranges
        for zone in union:
            told = {bound for bound in zone if bound[0] in self.known and bound[1] in self.known}
            zone -= told
            large = bounds_of((n for n in nodes_of(zone) if n[0] == SIZE), floors) | self._values(zone)
            capped = any(a[0] == SIZE and b in self.known for a, b, _ in zone)  # by a number or a given size
            if capped or not all(self._holds(b) for b in told) or close(zone | large) is None:
                continue
            steps = tuple(sorted((b, -c) for a, b, c in (*zone, *told) if a == ZERO and b in self.stepping.values()))
            found.append(_Case(steps, self._when(zone, large)))
        return min(found, key=lambda c: (len(c.when), max((n for _, n in c.steps), default=0)), default=None)

    def _when(self, zone: Zone, large: Zone) -> tuple[str, ...]:
        """The relations between sizes, and least values of some, that do not follow from what all sizes have."""
        between = frozenset(b for b in zone if ZERO not in b[:2])
        known = {(a, b): c for a, b, c in close(large) or ()}
        found = {bound for bound in between if known.get(bound[:2], bound[2] + 1) > bound[2]}
        known = {(a, b): c for a, b, c in close(large | between) or ()}
        found |= {
            (a, b, c)
            for a, b, c in zone
            if a == ZERO and b not in self.stepping.values() and known.get((a, b), c + 1) > c
        }
        return tuple(sorted(_relation(*bound) for bound in found))

    def _values(self, zone: Zone) -> Zone:
        """The given sizes that a zone names, as upper bounds; the floors are the lower ones."""
        return frozenset((n, ZERO, self.known[n]) for n in nodes_of(zone) if n in self.known and n != ZERO)

    def _holds(self, bound: Bound) -> bool:
        """Is a bound between known sizes met?"""
        a, b, c = bound
        return self.known[a] - self.known[b] <= c

    def _steady(self, cases: list[_Case | None]) -> PassCount | None:
        """Passes that an iterative rank repeats: every further step needs the same number of further levels."""
        for var, size in self.stepping.items():
            needs = [dict(c.steps).get(size, 1) if c is not None else 0 for c in cases]
            for period in range(1, 5):
                tail = needs[-2 * period - 1 :]
                if (
                    len(tail) == 2 * period + 1
                    and all(b == a + 1 for a, b in zip(tail, tail[period:], strict=False))
                    and self._repeats(var, period)
                ):
                    last = max(n for n, need in enumerate(needs, start=1) if need == needs[-1 - period])
                    return PassCount(
                        constant=last - period * needs[-1 - period], steps=period, shape=ShapeName(size[1:])
                    )
        return None

    def _repeats(self, var: VarName, period: int) -> bool:
        """The induction step: the points of a level, one step later, are those of the level `period` above."""
        for statement in self.model.statements:
            steps = self.engine.steps.get(statement.number, [])
            if var not in statement.ranges or len(steps) < 2 * period + 1 or not self.engine.touch[statement.number]:
                continue
            for lower, upper in ((-1 - period, -1), (-1 - 2 * period, -1 - period)):
                for zones in (steps, self.engine.levels[statement.number]):
                    moved = {_beside_sizes(rename(z, {var: (var, -1)}) or z) for z in zones[lower]}
                    if moved != {_beside_sizes(z) for z in zones[upper]}:
                        return False
        return True


def _stepping(model: Model, fiber: Fiber) -> dict[VarName, str]:
    """Iterative variables, and their sizes, beside the rank of the fiber."""
    along = {p[0] for _, p in fiber.along}
    bounds = {v: model.frame.bound(v) for v in iterative_ranks(model.cascade)}
    return {v: b[0] for v, b in bounds.items() if b is not None and b[0] not in along and b[0] != ZERO}


def _floors(model: Model, stepping: Mapping[VarName, str], known: Mapping[str, int], least: int) -> dict[str, int]:
    """The least value of every size: its own if given, 1 of steps and of open factors of given ones, else `least`."""
    short = {model.frame.size(s)[0] for s in open_factors(model.cascade, {ShapeName(n[1:]) for n in known})}
    return {
        node: 1 if node in stepping.values() else known.get(node, 1 if node in short else least)
        for node in size_nodes(model)
    }


def size_nodes(model: Model) -> set[str]:
    """The coordinates that stand for sizes."""
    places = [p for s in model.statements for p in s.ranges.values()]
    places += [p for r in model.index_ranges.values() for p in r.values()]
    cuts = [b for s in model.statements for b in (*(s.cut.sure or ()), *s.cut.implied)]
    return {n for n in (*(n for n, _ in places), *nodes_of(cuts)) if n[0] == SIZE}


def least_size(model: Model) -> int:
    """An extent above every constant of the cascade taken together: ranks at least that long are not special."""
    offsets = [abs(c) for s in model.statements for b in (*(s.cut.sure or ()), *s.cut.implied) for c in (b[2],)]
    for statement in model.statements:
        for slots in (*(r.slots for r in statement.reads), statement.writes):
            offsets += [abs(slot.place[1]) for digits in slots for slot in digits if slot.place is not None]
    return 2 + int(sum(offsets))


def _beside_sizes(zone: Zone) -> Zone:
    """A zone without the sizes that its other bounds and ranges imply."""
    return frozenset(b for b in zone if not all(n == ZERO or n[0] == SIZE for n in b[:2]))


def _relation(a: str, b: str, c: int) -> str:
    """a - b <= c between two sizes, the larger first; of a size alone its least value."""
    if a == ZERO:
        return f"{b[1:]} >= {-c}"
    right = a[1:] if not c else f"{a[1:]} {'-' if c > 0 else '+'} {abs(c)}"
    return f"{b[1:]} >= {right}"
