"""The footprint of a computed tensor in a schedule of sweeps, and when it is live; see `footprints.footprints`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fusemap.einsum_cascade.passes.footprint_extents import NONE, ONE, Count, Extents
from fusemap.einsum_cascade.passes.footprint_schedule import Schedule, pair_within
from fusemap.einsum_cascade.passes.model import Statement
from fusemap.einsum_cascade.passes.zones import SIZE, ZERO, Place
from fusemap.einsum_cascade.types import TensorName


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A tensor's footprint, held in one iteration of the loops outside `level`, from phase `first` to `last` there.

    `user` is a statement in that iteration, `makers` are those that make it in the first phase, `enders` those that
    use it in the last. `slab`: what one iteration of the loop at `level` makes or frees,
    where the tensor grows by such slabs in its first sweep (`grows`) or shrinks by them in its last.
    """

    size: Count
    user: int
    level: int
    first: int
    last: int
    makers: frozenset[int]
    enders: frozenset[int]
    slab: Count | None = None
    grows: bool = False
    shrinks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A read of a tensor: the statement and which of its reads it is."""

    statement: Statement
    number: int


def derived_live(extents: Extents, schedule: Schedule, tensor: TensorName) -> Live:
    """When and how much of a computed tensor is live."""
    *inits, main = extents.model.writers(tensor)
    reads = tuple(
        Read(statement=s, number=n)
        for s in extents.model.statements
        for n, r in enumerate(s.reads)
        if r.access.tensor == tensor
    )
    users = {main.number, *(i.number for i in inits), *(r.statement.number for r in reads)}
    paths = {n: schedule.paths[n] for n in users}
    live = _Sizer(extents, schedule).size(main, reads, 0)
    if schedule.broken & users:
        live = replace(live, size=extents.whole(main, 0).bound(), level=0, slab=None)
    apart = next((n for n in range(live.level + 1) if len({p[n] for p in paths.values()}) > 1), live.level)
    first, last = min(p[apart] for p in paths.values()), max(p[apart] for p in paths.values())
    if apart < live.level:  # an init before the loop, or a read of the last state after it
        live = replace(live, level=apart, slab=None)
    makers = frozenset(n for n, p in paths.items() if p[apart] == first)
    enders = frozenset(n for n, p in paths.items() if p[apart] == last)
    return replace(live, first=first, last=last, makers=makers, enders=enders)


class _Sizer:
    def __init__(self, extents: Extents, schedule: Schedule) -> None:
        self.extents = extents
        self.links = extents.links
        self.loops = extents.loops
        self.paths = schedule.paths

    def size(self, w: Statement, reads: Sequence[Read], level: int) -> Live:
        """The footprint of what `w` writes, in one iteration of the loops outside `level`, which all reads share."""
        if level == len(self.loops.order):
            return self._live(w, ONE, level)
        mine = self.paths[w.number][level]
        loop = self.loops.order[level]
        along = loop in self.loops.left(w)
        apart = [r for r in reads if self.paths[r.statement.number][level] != mine]
        late = [r for r in apart if not (mine % 2 and along and self._constant(w, r, loop))]
        if late:
            return self._apart(w, late, level)
        kept = self.extents.whole(w, level + 1, loop) if apart else NONE
        together = [r for r in reads if r not in apart]
        if mine % 2 and not along:
            return self._live(w, self.extents.whole(w, level + 1, loop), level)
        lags = [self._lag(w, r, level) if mine % 2 else 0 for r in together]
        if None in lags:
            return self._live(w, self.extents.whole(w, level).bound(), level)
        most = max((d for d in lags if d is not None), default=0)
        if most <= 0:
            inside = self.size(w, [r for r, d in zip(together, lags, strict=True) if d == 0], level + 1)
            return replace(inside, size=kept.at_least(inside.size))
        oldest = [r for r, d in zip(together, lags, strict=True) if d == most]
        slab = self.extents.whole(w, level + 1, loop)
        old = Count(most * slab.count, slab.exact and most == 1)
        return self._live(w, kept.at_least(old.plus(self._new(w, oldest, level + 1))), level)

    def _live(self, w: Statement, size: Count, level: int) -> Live:
        phase = self.paths[w.number][level]
        own = frozenset({w.number})
        return Live(size=size, user=w.number, level=level, first=phase, last=phase, makers=own, enders=own)

    def _apart(self, w: Statement, reads: Sequence[Read], level: int) -> Live:
        """All of the tensor in one iteration outside, with the init if a later sweep reads it."""
        size = self.extents.whole(w, level)
        for init in self.extents.model.writers(w.name):
            if init.number != w.number and any(self._meets(r, init, level) for r in reads):
                size = size.plus(self.extents.whole(init, level))
        inner = [loop for loop in self.loops.order[level:] if loop in self.loops.left(w)]
        partly = any(self._constant(w, r, loop) for r in reads for loop in inner)
        if partly or not self.extents.alike([w, *(r.statement for r in reads)]):
            size = size.bound()
        loop = self.loops.order[level]
        last = max(self.paths[r.statement.number][level] for r in reads)
        ends = [r for r in reads if self.paths[r.statement.number][level] == last]
        plain = not self.links.domains[w.number]
        grows = plain and loop in self.loops.left(w)
        shrinks = plain and grows and last % 2 == 1 and all(self._offset(w, r, level) == (0, 0) for r in ends)
        slab = self.extents.whole(w, level + 1) if grows else None
        return replace(self._live(w, size, level), slab=slab, grows=grows, shrinks=shrinks)

    def _meets(self, read: Read, writer: Statement, level: int) -> bool:
        return pair_within(self.links, self.loops, read.statement, read.number, writer, level) is not None

    def _new(self, w: Statement, reads: Iterable[Read], level: int) -> Count:
        """Elements of this iteration that are written before an earlier iteration's are read for the last time."""
        mine = self.paths[w.number][level]
        phases = [(r, self.paths[r.statement.number][level]) for r in reads]
        if level == len(self.loops.order):
            return ONE if any(p > mine for _, p in phases) else NONE
        if any(p > mine for _, p in phases):
            return self.extents.whole(w, level)
        equal = [r for r, p in phases if p == mine]
        if not equal:
            return NONE
        if not mine % 2:
            return self._new(w, equal, level + 1)
        if self.loops.order[level] not in self.loops.left(w):
            return self.extents.whole(w, level + 1)
        if any(self._offset(w, r, level) != (0, 0) for r in equal):
            return self.extents.whole(w, level).bound()
        return self._new(w, equal, level + 1)

    def _lag(self, w: Statement, read: Read, level: int) -> int | None:
        """How many iterations of the loop after the write a read may be; None if there is no bound, -1 if never."""
        zone = pair_within(self.links, self.loops, read.statement, read.number, w, level)
        return -1 if zone is None else self.loops.lag(zone, read.statement, w, self.loops.order[level])

    def _offset(self, w: Statement, read: Read, level: int) -> tuple[int | None, int | None]:
        """How far a read is behind the write along a loop, and ahead of it, in any iteration."""
        zone = self.links.pair(read.statement, read.number, w)
        loop = self.loops.order[level]
        if zone is None or loop not in self.loops.nodes(read.statement):
            return None, None
        return self.loops.lag(zone, read.statement, w, loop), self.loops.ahead(zone, read.statement, w, loop)

    def _constant(self, w: Statement, read: Read, loop: str) -> bool:
        """Does a read ask for one coordinate of the loop that the tensor is written along?"""
        slots = read.statement.reads[read.number].slots
        for made, used in zip(w.writes, slots, strict=True):
            for m, u in zip(made, used, strict=True):
                if m.place is not None and self.loops.of.get(m.place[0]) == loop:
                    return _is_constant(u.place)
        return False


def _is_constant(place: Place | None) -> bool:
    return place is not None and (place[0] == ZERO or place[0].startswith(SIZE))
