"""Levels of touches for all sizes at once: a proven lower bound on passes.

For a fiber coordinate x (digits x0, x1, ... and the tensor's other indices f...), every statement gets zones
over its variables and x: which coordinates have a touch of level >= l before a point. A point whose zones cover
all x is of level l+1 itself. Scans are closed by a guess that is then shown to follow from itself (induction
on the iterative rank).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusemap.einsum_cascade.passes.carriers import Carriers, Key, Touch, base_key
from fusemap.einsum_cascade.passes.model import Model, Reading, Statement, index_node
from fusemap.einsum_cascade.passes.presence import present
from fusemap.einsum_cascade.passes.ranks import RankOf, factors_of
from fusemap.einsum_cascade.passes.transfer import Transfer, stripped
from fusemap.einsum_cascade.passes.zones import (
    EVERYWHERE,
    Bound,
    Place,
    Space,
    Union,
    Zone,
    close,
    for_all,
    hull,
    reduced,
)
from fusemap.einsum_cascade.types import TensorName

MOST_LEVELS = 9  # levels; more only where an iterative rank repeats passes, which shows before
_ROUNDS = 4
_PLACES = 4  # zones of one carrier; a tensor that stands for more coordinates is cut off


@dataclass(frozen=True, slots=True, kw_only=True)
class Fiber:
    """The fibers of a (tensor, rank): coordinates along them and beside them, with their greatest values."""

    of: RankOf
    along: tuple[tuple[str, Place], ...]
    start: Zone

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(n for n, _ in self.along)


def fiber_of(model: Model, of: RankOf) -> tuple[Fiber, dict[str, Place]] | None:
    """The fiber's coordinates, with the ranges of all coordinates beside the statements'; None if one has no form."""
    frame = model.frame
    ranges: dict[str, Place] = {}
    along: dict[tuple[int, int], str] = {}
    bounds: set[Bound] = set()
    for position, rank in enumerate(frame.ranks[of.tensor]):
        wanted = [d.shape for d in of.digits if d.position == position]
        digits = frame.digits(of.tensor, position)
        whole = set(wanted) in ({rank}, set(factors_of(model.cascade, rank)))
        if wanted and not whole and len(digits) == 1:
            return None
        for digit, shape in enumerate(digits):
            last = frame.lasts.get((of.tensor, position)) if len(digits) == 1 else frame.size(shape, -1)
            if last is None:
                return None
            node = f"f{position}.{digit}"
            if shape in wanted or (wanted and whole):
                order = min(
                    n for n, d in enumerate(of.digits) if d.position == position and (whole or d.shape == shape)
                )
                node = f"x{order}.{digit}"
                along[order, digit] = node
            ranges[node] = last
            mine = index_node(position, digit)
            bounds |= {(mine, node, 0), (node, mine, 0)}
    start = close(frozenset(bounds))
    places = tuple((along[key], ranges[along[key]]) for key in sorted(along))
    return None if start is None else (Fiber(of=of, along=places, start=start), ranges)


class Engine:
    """The state of one analysis; see `levels_of`."""

    def __init__(
        self, model: Model, carriers: Carriers, fiber: Fiber, transfer: Transfer, most: int = MOST_LEVELS
    ) -> None:
        self.most = most
        self.model = model
        self.carriers = carriers
        self.fiber = fiber
        self.transfer = transfer
        self.carried: dict[tuple[TensorName, Key], Union] = {}
        self.outs: dict[TensorName, list[Union]] = {}
        self.touch: dict[int, Union] = {}
        self.asked: dict[int, Union] = {}  # what data-dependent reads may touch: they visit one coordinate of all
        self.levels: dict[int, list[Union]] = {}  # statement -> per level, touches of it over (variables, x, f)
        self.steps: dict[int, list[Union]] = {}  # statement -> per level, points of it over (variables, f)

    def run(self) -> None:
        """All groups of statements, each after those it needs."""
        self._carry()
        for group in self._between():
            self._group(group)

    def _between(self) -> list[Sequence[Statement]]:
        """The groups that a touch reaches and that another touch needs; the rest adds nothing to any level."""
        touching = {n for n in self.touch if self.touch[n] or self.asked[n]}
        reached: set[TensorName] = set()
        found: list[Sequence[Statement]] = []
        for group in self.model.groups:
            if any(s.number in touching or any(r.access.tensor in reached for r in s.reads) for s in group):
                found.append(group)
                reached.update(s.name for s in group)
        needed: set[TensorName] = set()
        for group in reversed(self.model.groups):
            if any(s.number in touching or s.name in needed for s in group):
                needed.update(r.access.tensor for s in group for r in s.reads)
                needed.update(s.name for s in group)
        return [g for g in found if any(s.name in needed for s in g)]

    def _carry(self) -> None:
        """The coordinate that every element of a carrier stands for, and the touches of every statement."""
        of = self.fiber.of
        here = (close(self.fiber.start | z) for z in present(self.model, self.transfer, of.tensor))
        self.carried[of.tensor, base_key(of)] = reduced(here)
        pending = True
        while pending:
            pending = False
            for statement in self.model.statements:
                for touch in self.carriers.touches.get(statement.name, ()):
                    zones = self._touched(statement, touch) if touch.onto is not None else ()
                    if touch.onto is None or not zones:
                        continue
                    known = self.carried.get((statement.name, touch.onto), ())
                    space = self.transfer.indices(statement.name)
                    new = [z for z in self.transfer.writes(zones, statement) if not space.contains(known, z)]
                    if new and len(known) < _PLACES:
                        self.carried[statement.name, touch.onto] = (*known, *new)
                        pending = True
        for statement in self.model.statements:
            touches = self.carriers.touches.get(statement.name, ())
            found = {
                g: reduced(z for t in touches if t.gathers == g for z in self._touched(statement, t))
                for g in (False, True)
            }
            self.touch[statement.number], self.asked[statement.number] = found[False], found[True]

    def _touched(self, statement: Statement, touch: Touch) -> Union:
        """Zones over the variables and the coordinate that one read touches."""
        found: list[Zone] = []
        for reading in statement.reads:
            if reading.access == touch.access:
                found += self.transfer.reads(self.carried.get((touch.access.tensor, touch.key), ()), reading)
        return tuple(found)

    def _reduced(self, tensor: TensorName, *unions: Union) -> Union:
        """Zones of a tensor's indices together."""
        filled = [u for u in unions if u]
        return self.transfer.indices(tensor).reduced(tuple(z for u in filled for z in u))

    def _group(self, group: Sequence[Statement]) -> None:
        names = {s.name for s in group}
        inner = {s.number: [r for r in s.reads if r.access.tensor in names] for s in group}
        outer = {s.number: [r for r in s.reads if r.access.tensor not in names] for s in group}
        recursive = any(inner.values())
        points: dict[int, Union] = {s.number: (EVERYWHERE,) for s in group}
        for level in range(self.most):
            touches = {s.number: _at(self.touch[s.number], points[s.number]) for s in group}
            outs = self._outs(group, inner if recursive else {}, outer, touches, level)
            for name, union in outs.items():
                known = self.outs.setdefault(name, [])
                while len(known) <= level:
                    known.append(())
                known[level] = self._reduced(name, known[level], union)
            for s in group:
                asked = _at(self.asked[s.number], points[s.number])
                self.levels.setdefault(s.number, []).append((*touches[s.number], *asked))
                self.steps.setdefault(s.number, []).append(points[s.number])
            if not any(outs.values()):
                break  # and what is asked for at this level has been noted
            points = {s.number: self._next(s, level) for s in group}

    def _before(self, statement: Statement, readings: Iterable[Reading], level: int) -> list[Zone]:
        """Zones over (variables, x, f): a touch of the level at x contributes to what these reads return."""
        found: list[Zone] = []
        for reading in readings:
            outs = self.outs.get(reading.access.tensor, [])
            if level < len(outs):
                found += self.transfer.reads(outs[level], reading)
        return found

    def _next(self, statement: Statement, level: int) -> Union:
        """Points before which every coordinate has a touch of the level."""
        union = tuple(self._before(statement, statement.reads, level))
        known = self.transfer.found.covered
        key = statement.number, self.fiber.along, union
        if key not in known:
            space = self.transfer.points(statement)
            known[key] = reduced(stripped(z, space.ranges) for z in covering(union, self.fiber.along, space))
        return known[key]

    def _outs(
        self,
        group: Sequence[Statement],
        inner: Mapping[int, Sequence[Reading]],
        outer: Mapping[int, Sequence[Reading]],
        touches: Mapping[int, Union],
        level: int,
    ) -> dict[TensorName, Union]:
        """What the elements that a group writes have behind them, recurrences closed."""
        base: dict[TensorName, Union] = {}
        for s in group:
            zones = reduced((*self._before(s, outer[s.number], level), *touches[s.number]))
            written = self.transfer.writes(zones, s) if zones else ()
            begun = self.outs.get(s.name, [])
            known = base.get(s.name, begun[level] if level < len(begun) else ())
            base[s.name] = self._reduced(s.name, known, written)
        if not any(inner.values()) or not any(base.values()):
            return base
        return self._closed(group, inner, base)

    def _step(
        self, group: Sequence[Statement], inner: Mapping[int, Sequence[Reading]], at: Mapping[TensorName, Union]
    ) -> dict[TensorName, Union]:
        """One step around a recurrence."""
        found: dict[TensorName, Union] = {}
        for s in group:
            zones = [z for r in inner[s.number] for z in self.transfer.reads(at.get(r.access.tensor, ()), r)]
            if zones:
                found[s.name] = (*found.get(s.name, ()), *self.transfer.writes(reduced(zones), s))
        return found

    def _around(
        self,
        group: Sequence[Statement],
        inner: Mapping[int, Sequence[Reading]],
        last: Mapping[TensorName, Union],
        total: Mapping[TensorName, Union],
    ) -> dict[TensorName, Union]:
        """What one round of a recurrence adds to `total`, its statements one after another."""
        fresh: dict[TensorName, Union] = {}
        first = last is total or all(last.get(t) == u for t, u in total.items())
        for s in group:
            zones: list[Zone] = []
            for reading in inner[s.number]:
                name = reading.access.tensor
                source = (*fresh.get(name, ()), *(last.get(name, ()) if first or name not in fresh else ()))
                zones += self.transfer.reads(source, reading)
            written = self.transfer.writes(reduced(zones), s) if zones else ()
            known = (*total.get(s.name, ()), *fresh.get(s.name, ()))
            space = self.transfer.indices(s.name)
            added = tuple(z for z in written if not space.contains(known, z))
            fresh[s.name] = reduced((*fresh.get(s.name, ()), *added))
        return fresh

    def _closed(
        self, group: Sequence[Statement], inner: Mapping[int, Sequence[Reading]], base: Mapping[TensorName, Union]
    ) -> dict[TensorName, Union]:
        """The least solution of outs = base + step(outs), or a part of it."""
        total = dict(base)
        rounds: list[dict[TensorName, Union]] = []
        new: Mapping[TensorName, Union] = base
        for _ in range(_ROUNDS):
            new = self._around(group, inner, new, total)
            if not any(new.values()):
                return total
            rounds.append(dict(new))
            total = {t: self._reduced(t, total.get(t, ()), new.get(t, ())) for t in {*total, *new}}
        guesses = self._guesses(rounds, base)
        while guesses:
            tried = {t: (*base.get(t, ()), *guesses.get(t, ())) for t in {*base, *guesses}}
            step = self._step(group, inner, tried)
            wrong = [
                t
                for t, u in guesses.items()
                if not all(self.transfer.indices(t).contains((*base.get(t, ()), *step.get(t, ())), z) for z in u)
            ]
            if not wrong:
                return {t: self._reduced(t, total.get(t, ()), tried.get(t, ())) for t in total}
            guesses = {t: u for t, u in guesses.items() if t not in wrong}
        return total

    def _guesses(
        self, rounds: Sequence[Mapping[TensorName, Union]], base: Mapping[TensorName, Union]
    ) -> dict[TensorName, Union]:
        """For every tensor a zone that keeps the bounds that stay the same from round to round."""
        found: dict[TensorName, Union] = {}
        half = len(rounds) - 2
        for tensor in {t for r in rounds[-2:] for t, u in r.items() if u}:
            space = self.transfer.indices(tensor)
            zones = [[space.whole(z) for z in r.get(tensor, ())] for r in rounds]
            first = [z for part in zones[: half + 1] for z in part if z is not None]
            every = [z for part in zones for z in part if z is not None]
            if first and every:
                around, later = hull(first), hull(every)
                closed = space.whole(around & later)
                if closed is not None:
                    found[tensor] = (stripped(closed, space.ranges),)
        return found


def covering(union: Union, along: Sequence[tuple[str, Place]], space: Space) -> Union:
    """Points at which every coordinate is in some zone of the union."""
    for node, last in reversed(along):
        if not union:
            return ()
        bounds = space.bounds(*union)
        closed = reduced(close(z | bounds) for z in union) if bounds else union
        union = for_all(closed, node, last)
    return union


def _at(touches: Union, points: Union) -> Union:
    """The touches at some points."""
    if points == (EVERYWHERE,) or not touches:
        return touches
    return reduced(close(z | p) for z in touches for p in points)
