"""The footprint of an input in a schedule of sweeps, and when it is live; see `footprints.footprints`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from fusemap.einsum_cascade.passes.carriers import carriers_of
from fusemap.einsum_cascade.passes.footprint_derived import Live
from fusemap.einsum_cascade.passes.footprint_extents import NONE, ONE, Count, Extents
from fusemap.einsum_cascade.passes.footprint_schedule import Schedule
from fusemap.einsum_cascade.passes.model import Statement
from fusemap.einsum_cascade.passes.places import places_of
from fusemap.einsum_cascade.passes.ranks import Digit, RankOf, owned_ranks
from fusemap.einsum_cascade.passes.zones import Place
from fusemap.einsum_cascade.types import TensorName


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A statement that uses a tensor, and the coordinate it uses, by index and digit; any, where there is none."""

    statement: Statement
    at: Mapping[tuple[int, int], Place | None]


def reads_of(extents: Extents, tensor: TensorName) -> tuple[Use, ...]:
    """Direct reads of an input."""
    return tuple(
        Use(statement=s, at={(p, d): slot.place for p, ds in enumerate(r.slots) for d, slot in enumerate(ds)})
        for s in extents.model.statements
        for r in s.reads
        if r.access.tensor == tensor
    )


def touches_of(extents: Extents, tensor: TensorName) -> tuple[Use, ...]:
    """Reads, and what touches the input through a carrier of the outermost of its coupled ranks."""
    loops = extents.loops
    direct = reads_of(extents, tensor)
    found = {loops.of[p[0]]: n for u in direct for (n, _), p in u.at.items() if p is not None and p[0] in loops.of}
    outermost = next((found[loop] for loop in loops.order if loop in found and loop in loops.coupled), None)
    ranks = (r for r in owned_ranks(extents.model.cascade) if r.tensor == tensor)
    of = next((r for r in ranks if outermost in {d.position for d in r.digits}), None)
    if of is None:
        return direct
    known = {u.statement.number for u in direct}
    return (*direct, *(u for u in _carried(extents, of) if u.statement.number not in known))


def _carried(extents: Extents, of: RankOf) -> tuple[Use, ...]:
    """The statements that touch a rank of an input, with the coordinates that have a form."""
    touching = carriers_of(extents.model.cascade, of).touches
    at: dict[int, dict[tuple[int, int], Place | None]] = {
        s.number: {}
        for s in extents.model.statements
        if {t.access for t in touching.get(s.name, ())} & {r.access for r in s.reads}
    }
    for position in range(len(extents.model.frame.ranks[of.tensor])):
        parts = extents.model.frame.digits(of.tensor, position)
        for number, shape in enumerate(parts):
            digit = Digit(position=position, shape=shape, inner=parts[number + 1 :], whole=len(parts) == 1)
            along = RankOf(tensor=of.tensor, rank=shape, digits=(digit,))
            for statement, places in places_of(extents.model, along).known.items():
                if statement in at and len(places) == 1:
                    at[statement][position, number] = places[0]
    return tuple(Use(statement=s, at=at[s.number]) for s in extents.model.statements if s.number in at)


def input_live(extents: Extents, schedule: Schedule, tensor: TensorName, uses: Sequence[Use]) -> Live | None:
    """When and how much of an input with these uses is live; None if it has none."""
    if not uses:
        return None
    holder = _Holder(extents, schedule, tensor)
    if schedule.broken & {u.statement.number for u in uses}:
        return holder.live(uses, holder.all(uses, 0).bound(), 0)
    return holder.held(uses, 0)


class _Holder:
    def __init__(self, extents: Extents, schedule: Schedule, tensor: TensorName) -> None:
        self.extents = extents
        self.loops = extents.loops
        self.paths = schedule.paths
        self.tensor = tensor

    def live(self, uses: Sequence[Use], size: Count, level: int) -> Live:
        """From the first to the last use in one iteration of the loops outside `level`."""
        phases = {u.statement.number: self.paths[u.statement.number][level] for u in uses}
        first, last = min(phases.values()), max(phases.values())
        return Live(
            size=size,
            user=uses[0].statement.number,
            level=level,
            first=first,
            last=last,
            makers=frozenset(n for n, p in phases.items() if p == first),
            enders=frozenset(n for n, p in phases.items() if p == last),
        )

    def held(self, uses: Sequence[Use], level: int) -> Live:
        """The footprint of what is used in one iteration of the loops outside `level`."""
        if level == len(self.loops.order):
            return self.live(uses, ONE, level)
        phases = {self.paths[u.statement.number][level] for u in uses}
        if len(phases) > 1:
            return self._apart(uses, level)
        if not phases.pop() % 2:
            return self.held(uses, level + 1)
        places = [self._at(u, self.loops.order[level]) for u in uses]
        if all(p is None for p in places):  # the same elements in every iteration
            return self.live(uses, self.all(uses, level + 1, self.loops.order[level]), level)
        offsets = [p[1] for p in places if p is not None]
        if len(offsets) < len(places):
            return self.live(uses, self.all(uses, level), level)
        lag = max(offsets) - min(offsets)
        if not lag:
            return self.held(uses, level + 1)
        slab = self.all(uses, level + 1)
        return self.live(uses, Count((lag + 1) * slab.count, False), level)

    def _apart(self, uses: Sequence[Use], level: int) -> Live:
        live = self.live(uses, self.all(uses, level), level)
        loop = self.loops.order[level]
        ends = {
            phase: [self._at(u, loop) for u in uses if self.paths[u.statement.number][level] == phase]
            for phase in (live.first, live.last)
        }
        plain = not any(self.extents.links.domains[u.statement.number] for u in uses)
        along = {p: plain and p % 2 == 1 and None not in at and len(set(at)) == 1 for p, at in ends.items()}
        slab = self.all(uses, level + 1) if any(along.values()) else None
        return replace(live, slab=slab, grows=along[live.first], shrinks=along[live.last])

    def _at(self, use: Use, loop: str) -> Place | None:
        node = self.loops.nodes(use.statement).get(loop)
        return next((p for p in use.at.values() if p is not None and p[0] == node), None)

    def all(self, uses: Sequence[Use], level: int, across: str = "") -> Count:
        """All of the input that is used in one iteration of the loops outside `level`."""
        reads = reads_of(self.extents, self.tensor)
        used = {u.statement.number for u in uses}
        loops = self.loops.order[level:]
        found: list[Count] = []
        for read in reads:
            places = [p for p in read.at.values() if p is not None]
            if read.statement.number not in used or len(places) < len(read.at):
                return Count(self.extents.everything(self.tensor), False)
            inner = {p[0] for p in places if self.loops.of.get(p[0]) in loops}
            count = self.extents.of(read.statement, inner, level, across)
            found += [count] if count.count not in [c.count for c in found] else []
        if len(found) == 1:
            return found[0] if self.extents.alike(u.statement for u in uses) else found[0].bound()
        total = sum((c.count for c in found), NONE.count)
        return Count(sp.Min(self.extents.everything(self.tensor), total), False)
