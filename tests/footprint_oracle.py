"""Footprints counted: the schedule is executed point by point on a small instance and live elements are counted.

Shared with the formulas are the names of the loops and the rule of carriers; who waits for whom, in which sweep a
statement runs and when an element is live come from the points alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from fusemap.einsum_cascade.passes.carriers import carriers_of
from fusemap.einsum_cascade.passes.footprint_loops import Loops, loops_of
from fusemap.einsum_cascade.passes.instance import Element, Instance, Point, instance_of
from fusemap.einsum_cascade.passes.model import Model, model_of
from fusemap.einsum_cascade.passes.ranks import owned_ranks
from fusemap.einsum_cascade.scope import (
    accesses,
    conditions_of,
    input_names,
    iterative_ranks,
    output_variables,
    variables_of,
)
from fusemap.einsum_cascade.types import Cascade, Einsum

Step = tuple[Point, Mapping[str, int]]  # a point and its coordinate in every loop


class Stuck(Exception):
    """A statement waits for itself in this order of loops."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Deliberate mistakes, to show that the comparison finds them."""

    merged: bool = False  # an Einsum joins the sweep that it waits for
    early: bool = False  # every Einsum runs as early as it can
    once: bool = False  # an element is dropped after its first use
    ahead: int = 0  # a sweep has finished what lies this many coordinates behind, no more


@dataclass(frozen=True, slots=True)
class Counted:
    """The most elements live at once: by tensor, by input if the rest is made again, and of all tensors."""

    store: Mapping[str, int]
    recompute: Mapping[str, int]
    joint: int


@dataclass(slots=True)
class _Peak:
    """The greatest sum of intervals that cover one moment."""

    changes: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, first: int, last: int) -> None:
        if first <= last:
            self.changes[first] += 1
            self.changes[last + 1] -= 1

    def most(self) -> int:
        now = best = 0
        for moment in sorted(self.changes):
            now += self.changes[moment]
            best = max(best, now)
        return best


NO_FAULTS = Faults()


def counted(
    cascade: Cascade, sizes: Mapping[str, int], order: Sequence[str] | None = None, faults: Faults = NO_FAULTS
) -> Counted:
    """Run the schedule for every coordinate of the loops that are fixed, and count."""
    model = model_of(cascade)
    loops = loops_of(model, order)
    instance = instance_of(cascade, sizes)
    steps = list(_coordinates(model, loops, instance))
    spans = [sorted({at[loop] for _, at in steps if loop in at}) for loop in loops.batch]
    if not any(conditions_of(e) for e in (*cascade.inits, *cascade.einsums)):
        spans = [span[-1:] for span in spans]  # without a filter all coordinates of a fixed rank are alike
    store: dict[str, int] = defaultdict(int)
    again: dict[str, int] = defaultdict(int)
    joint = 0
    scheduler = _Scheduler(cascade, loops, faults)
    uses = [_uses_of(cascade, loops, instance, tensor) for tensor in input_names(cascade)]
    for fixed in product(*spans):
        chosen = dict(zip(loops.batch, fixed, strict=True))
        here = [s for s in steps if all(s[1].get(loop, n) == n for loop, n in chosen.items())]
        timeline = scheduler.run(here)
        peaks, most = _stored(cascade, timeline, faults)
        for tensor, n in peaks.items():
            store[tensor] = max(store[tensor], n)
        joint = max(joint, most)
        for tensor, by_point in zip(input_names(cascade), uses, strict=True):
            again[tensor] = max(again[tensor], _kept(timeline, by_point))
    return Counted(store=store, recompute=again, joint=joint)


def _coordinates(model: Model, loops: Loops, instance: Instance) -> Iterator[Step]:
    """Every point with its coordinate in every loop: that of a variable, or of its digits."""
    statements = (*instance.cascade.inits, *instance.cascade.einsums)
    parts = {id(e): [(v, model.frame.parts(v)) for v in variables_of(e)] for e in statements}
    for point in instance.points:
        found: dict[str, int] = {}
        for (var, digits), value in zip(parts[id(point.einsum)], point.at, strict=True):
            rest = value
            for part in reversed(digits[1:]):
                rest, digit = divmod(rest, instance.sizes[part])
                found[loops.of[f"{var}.{part}"]] = digit
            found[loops.of[var if len(digits) == 1 else f"{var}.{digits[0]}"]] = rest
        yield point, found


class _Scheduler:
    """Sweeps at every loop, from the points that are there."""

    def __init__(self, cascade: Cascade, loops: Loops, faults: Faults) -> None:
        self.cascade, self.loops, self.faults = cascade, loops, faults
        self.statements = (*cascade.inits, *cascade.einsums)
        self.number = {id(e): n for n, e in enumerate(self.statements)}
        self.shrinking = {(n, o): self._shrinks(e, o) for n, e in enumerate(self.statements) for o in loops.order}

    def run(self, steps: list[Step], level: int = 0) -> list[Point]:
        if not steps:
            return []
        by: dict[int, list[Step]] = defaultdict(list)
        for step in steps:
            by[self.number[id(step[0].einsum)]].append(step)
        if level == len(self.loops.order):
            return self._body(by)
        loop = self.loops.order[level]
        phases = self._phases(by, loop)
        done: list[Point] = []
        for phase in sorted(set(phases.values())):
            here = [s for n, group in by.items() if phases[n] == phase for s in group]
            if phase % 2:
                for at in sorted({s[1][loop] for s in here}):
                    done += self.run([s for s in here if s[1][loop] == at], level + 1)
            else:
                done += self.run(here, level + 1)
        return done

    def _body(self, by: Mapping[int, list[Step]]) -> list[Point]:
        """One iteration of all loops: of what is ready, the first of the text."""
        left, done = sorted(by), []
        needs = self._needs(by)
        while left:
            ready = [n for n in left if not any((o, n) in needs for o in left if o != n)]
            if not ready:
                raise Stuck
            done += [p for p, _ in by[ready[0]]]
            left.remove(ready[0])
        return done

    def _needs(self, by: Mapping[int, list[Step]]) -> dict[tuple[int, int], list[tuple[Step, Step]]]:
        """Pairs of a point and one that reads what it writes, by statements."""
        writing: dict[Element, list[tuple[int, Step]]] = defaultdict(list)
        for n, group in by.items():
            for step in group:
                writing[step[0].writes].append((n, step))
        found: dict[tuple[int, int], list[tuple[Step, Step]]] = defaultdict(list)
        for n, group in by.items():
            for step in group:
                for element in (e for r in step[0].reads for e in r.elements):
                    for source, writer in writing.get(element, ()):
                        found[source, n].append((writer, step))
        return found

    def _phases(self, by: Mapping[int, list[Step]], loop: str) -> dict[int, int]:
        """Odd: a sweep of the loop; even: between sweeps."""
        running = {n for n, group in by.items() if loop in group[0][1]}
        gaps: dict[tuple[int, int], int] = {}
        for (source, target), pairs in self._needs(by).items():
            both = (source in running) + (target in running)
            later = both == 2 and any(w[1][loop] > r[1][loop] - self.faults.ahead for w, r in pairs)
            gaps[source, target] = 2 * later if both == 2 else both % 2
            if self.faults.merged and both == 2:
                gaps[source, target] = 0
        first = {n: n in running for n in by}
        early = {n: int(odd) for n, odd in first.items()}
        for _ in range(4 * len(by) + 4):
            before = dict(early)
            for (source, target), gap in gaps.items():
                least = early[source] + gap
                early[target] = max(early[target], least + (least % 2 != int(target in running)))
            if before == early:
                break
        else:
            if not self.faults.merged:
                raise Stuck
        late: dict[int, int] = {}
        if self.faults.early:
            return early
        for n in by:
            self._late(n, loop, early, gaps, running, late, frozenset())
        return late

    def _late(
        self,
        n: int,
        loop: str,
        early: Mapping[int, int],
        gaps: Mapping[tuple[int, int], int],
        running: set[int],
        late: dict[int, int],
        above: frozenset[int],
    ) -> int:
        """The first phase for what shrinks the rank of the loop, the last that its readers allow for all else."""
        if n in late:
            return late[n]
        readers = [t for s, t in gaps if s == n and t != n and t not in above]
        if self.shrinking[n, loop] or not readers:
            late[n] = early[n]
        else:
            more = above | {n}
            most = min(self._late(t, loop, early, gaps, running, late, more) - gaps[n, t] for t in readers)
            late[n] = most - (most % 2 != int(n in running))
        return late[n]

    def _shrinks(self, einsum: Einsum, loop: str) -> bool:
        """Does it reduce a part of the loop's rank, or step along the loop?"""
        left = set(output_variables(einsum.output))
        gone = {v for v in variables_of(einsum) if v not in left}
        steps = {self.loops.of[v] for v in variables_of(einsum) if v in iterative_ranks(self.cascade)}
        if loop in steps and self._recurs(einsum.name):
            return True
        ranks = {self.loops.ranks[o] for n, o in self.loops.of.items() if n.split(".")[0] in gone}
        return self.loops.ranks[loop] in ranks

    def _recurs(self, tensor: str) -> bool:
        seen: set[str] = set()
        new = {tensor}
        while new:
            new = {a for e in self.statements if e.name in new for a in _read(e)} - seen
            seen |= new
        return tensor in seen


def _read(einsum: Einsum) -> Iterator[str]:
    yield from (a.tensor for a in accesses(einsum))


def _stored(cascade: Cascade, timeline: Sequence[Point], faults: Faults) -> tuple[dict[str, int], int]:
    """The peak of every tensor and of all; an element may take the place of one of its tensor that dies with it."""
    born: dict[Element, int] = {}
    dead: dict[Element, int] = {}
    used: set[Element] = set()
    for moment, point in enumerate(timeline):
        for element in (e for r in point.reads for e in r.elements):
            born.setdefault(element, moment)
            if not (faults.once and element in used):
                dead[element] = moment
            used.add(element)
        born.setdefault(point.writes, moment)
        dead[point.writes] = moment
    peaks: dict[str, _Peak] = defaultdict(_Peak)
    joint = _Peak()
    for element, first in born.items():
        last = dead[element]
        written = timeline[last].writes
        if written != element and written[0] == element[0] and born[written] == last > first:
            last -= 1
        peaks[element[0]].add(first, last)
        joint.add(first, last)
    return {tensor: peak.most() for tensor, peak in peaks.items()}, joint.most()


def _uses_of(cascade: Cascade, loops: Loops, instance: Instance, tensor: str) -> dict[int, set[Element]]:
    """The elements of an input that every point needs if all that carries its outermost rank is made again."""
    direct = {id(p): {e for r in p.reads for e in r.elements if e[0] == tensor} for p in instance.points}
    model = model_of(cascade)
    places: dict[str, int] = {}
    for s in model.statements:
        for reading in s.reads:
            if reading.access.tensor == tensor:
                for position, slots in enumerate(reading.slots):
                    places.update({loops.of[d.place[0]]: position for d in slots if d.place and d.place[0] in loops.of})
    outermost = next((places[loop] for loop in loops.order if loop in places and loop in loops.coupled), None)
    of = next(
        (r for r in owned_ranks(cascade) if r.tensor == tensor and outermost in {d.position for d in r.digits}), None
    )
    if of is None:
        return direct
    touches = carriers_of(cascade, of).touches
    carried: dict[Element, set[Element]] = defaultdict(set)
    for point in instance.points:  # each after what it needs
        for touch in touches.get(point.einsum.name, ()):
            for element in (e for r in point.reads if r.access == touch.access for e in r.elements):
                needed = {element} if element[0] == tensor else carried[element]
                direct[id(point)] |= needed
                if touch.onto is not None:
                    carried[point.writes] |= needed
    return direct


def _kept(timeline: Sequence[Point], uses: Mapping[int, Iterable[Element]]) -> int:
    first: dict[Element, int] = {}
    last: dict[Element, int] = {}
    for moment, point in enumerate(timeline):
        for element in uses[id(point)]:
            first.setdefault(element, moment)
            last[element] = moment
    peak = _Peak()
    for element in first:
        peak.add(first[element], last[element])
    return peak.most()
