"""An operational oracle of passes: the least number of loads of one fiber, by search over all schedules.

It shares nothing with the analysis but the parser: it enumerates points, dependences and touches itself, and knows
no levels. A state is (points that have run, coordinates of the fiber that are resident, at most `room`). Loading a
coordinate costs 1, evicting is free. A point that touches coordinates of the fiber runs only while all of them are
resident and all points that contribute to what it reads have run; a point that touches none needs only the latter.

Best-first search over the loads finds the least number L*(room). In between, everything runnable runs at once.
That loses nothing: what has run stays run, since values that the rank does not index are kept for free and others
come back with their coordinate, and running a point never takes a resident coordinate away. So by induction over
the loads, the state that ran everything runnable has run a superset of any other state's points after the same
loads and evictions, and every continuation of the other state is open to it too. For the same reason it evicts only
when full, and loads no coordinate that no waiting point touches.

Theorem 1 says L*(b) >= P*n - (P-1)*b for P passes; a schedule of P sweeps with look-ahead a says L*(a+1) <= P*n.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from math import prod

from passes_points import Element, Point, Program
from passes_touches import Carriers, Coordinates, Fiber, rank_positions, told_by

State = tuple[int, int]  # groups that have run, coordinates that are resident
Came = dict[State, tuple[State, int, int | None] | None]  # from which state, by which load, for which eviction


@dataclass(frozen=True, slots=True)
class Group:
    """Points that touch the same coordinates and need the same groups: they run together. Sets are bit masks."""

    touches: int
    needs: int
    points: list[Point]


@dataclass(frozen=True, slots=True)
class Step:
    """One load, what was evicted for it, the points that then run, and the Einsums that then need no more loads."""

    load: int
    evicted: int | None
    runs: tuple[Point, ...]
    done: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The fewest loads of a fiber with room for `room` of its `length` coordinates, and in which order."""

    fiber: Fiber
    length: int
    room: int
    steps: tuple[Step, ...]

    @property
    def loads(self) -> int:
        """L*(room)."""
        return len(self.steps)


class TooLarge(Exception):
    """The search would see too many states."""


class Search:
    """All schedules of one fiber."""

    def __init__(self, fiber: Fiber) -> None:
        self.fiber = fiber
        self.length = prod(fiber.extents)
        self.groups: list[Group] = []
        self.free: list[tuple[str, int]] = []
        self._ready: dict[Element, int] = {}
        numbers: dict[tuple[int, int], int] = {}
        for element in dict.fromkeys(fiber.program.element(p.einsum.output, p.at) for p in fiber.program.all_points()):
            self._make_ready(element, numbers)

    @property
    def covered(self) -> bool:
        """Is every coordinate touched?"""
        return self._union(range(len(self.groups))) == self.length

    def _make_ready(self, element: Element, numbers: dict[tuple[int, int], int]) -> int:
        """The groups that must have run before an element is ready."""
        if element in self._ready:
            return self._ready[element]
        ready = 0
        for point in self.fiber.program.points(element):
            needs = 0
            for _, read in point.reads:
                needs |= self._make_ready(read, numbers)
            touches = sum(1 << c for c in self.fiber.touched(point))
            if touches:
                number = numbers.setdefault((touches, needs), len(numbers))
                if number == len(self.groups):
                    self.groups.append(Group(touches, needs, []))
                self.groups[number].points.append(point)
                needs |= 1 << number
            else:
                self.free.append((element[0], needs))
            ready |= needs
        self._ready[element] = ready
        return ready

    def levels(self) -> int:
        """The definition read literally: level(z) = 1 + max{l : touches of level >= l before z cover the fiber}; the
        largest level whose touches, and those above, cover the fiber; 1 if none does. The search does not use it."""
        found: list[int] = []
        for group in self.groups:
            found.append(1 + self._covering(n for n in enumerate(found) if group.needs >> n[0] & 1))
        return max(1, self._covering(enumerate(found)))

    def _covering(self, levels: Iterable[tuple[int, int]]) -> int:
        """The largest l for which the given groups of level >= l cover the fiber; 0 if they do not at all."""
        known = list(levels)
        most = 0
        while self._union(n for n, level in known if level > most) == self.length:
            most += 1
        return most

    def _union(self, numbers: Iterable[int]) -> int:
        """The number of coordinates that the groups touch."""
        union = 0
        for number in numbers:
            union |= self.groups[number].touches
        return union.bit_count()

    def run(self, done: int, resident: int) -> int:
        """Everything that can run, has run. A group needs only groups before it."""
        for number, group in enumerate(self.groups):
            if group.touches & ~resident == 0 and group.needs & ~done == 0:
                done |= 1 << number
        return done

    def least_loads(self, room: int, *, at_most: int | None = None, most_states: int = 100_000) -> Schedule | None:
        """The schedule with the fewest loads; None where a point touches more coordinates than there is room for, or
        where no schedule has `at_most` that many.

        States come in the order of loads so far plus the waiting coordinates that are not resident: each of these
        takes a load more, so that the first state in which all has run has the fewest.
        """
        if any(g.touches.bit_count() > room for g in self.groups):
            return None
        goal = (1 << len(self.groups)) - 1
        came: Came = {(0, 0): None}
        fewest = {(0, 0): 0}
        heap = [(self._waiting(0, 0).bit_count(), 0, 0, (0, 0))]
        while heap:
            bound, negative, _, (done, resident) = heappop(heap)
            loads = fewest[done, resident]
            if at_most is not None and bound > at_most:
                return None
            if done == goal:
                return self._schedule(came, (done, resident), room)
            if -negative > loads:
                continue
            for load, evicted, kept in self._loads(done, resident, room):
                after = (self.run(done, kept), kept)
                if loads + 1 < fewest.get(after, loads + 2):
                    fewest[after], came[after] = loads + 1, ((done, resident), load, evicted)
                    still = self._waiting(*after).bit_count()
                    heappush(heap, (loads + 1 + still, -loads - 1, len(came), after))
            if len(came) > most_states:
                raise TooLarge
        raise AssertionError("some point never becomes ready")

    def _waiting(self, done: int, resident: int) -> int:
        """The coordinates that have to be loaded for points that have not run."""
        waiting = 0
        for number, group in enumerate(self.groups):
            waiting |= 0 if done >> number & 1 else group.touches
        return waiting & ~resident

    def _loads(self, done: int, resident: int, room: int) -> Iterator[tuple[int, int | None, int]]:
        waiting = self._waiting(done, resident)
        for load in range(self.length):
            if waiting >> load & 1:
                if resident.bit_count() < room:
                    yield load, None, resident | 1 << load
                    continue
                for old in range(self.length):
                    if resident >> old & 1:
                        yield load, old, resident & ~(1 << old) | 1 << load

    def _schedule(
        self,
        came: Came,
        last: tuple[int, int],
        room: int,
    ) -> Schedule:
        steps: list[Step] = []
        state = last
        while (origin := came[state]) is not None:
            before, load, evicted = origin
            new = state[0] & ~before[0]
            runs = tuple(p for n, g in enumerate(self.groups) if new >> n & 1 for p in g.points)
            steps.append(Step(load, evicted, runs, tuple(self._finished(before[0], state[0]))))
            state = before
        return Schedule(self.fiber, self.length, room, tuple(reversed(steps)))

    def _finished(self, before: int, after: int) -> Iterator[str]:
        needs: dict[str, int] = {}
        for name, need in self.free:
            needs[name] = needs.get(name, 0) | need
        yield from (name for name, need in needs.items() if need & ~after == 0 and need & ~before)


def searches(program: Program, tensor: str, rank: str, *, direct: bool = False) -> Iterator[Search]:
    """A search for every fiber of (tensor, rank) that is touched; with `direct` no derived tensor carries it."""
    elements = program.elements.get(tensor, frozenset[tuple[int, ...]]())
    positions = rank_positions(program, tensor, rank)
    carriers = Carriers(program, tensor, positions, direct=direct)
    for fixed in sorted({tuple(c for n, c in enumerate(at) if n not in positions) for at in elements}):
        search = Search(Fiber(carriers, positions, fixed))
        if search.groups:
            yield search


def least_loads(
    text: str, sizes: Mapping[str, int], tensor: str, rank: str, fixed: tuple[int, ...] = (), *, room: int
) -> Schedule | None:
    """The schedule with the fewest loads of the fiber of (tensor, rank) whose other coordinates are `fixed`."""
    program = Program(text, sizes)
    positions = rank_positions(program, tensor, rank)
    return Search(Fiber(Carriers(program, tensor, positions), positions, fixed)).least_loads(room)


def is_valid(schedule: Schedule) -> bool:
    """Replay the loads and runs: never too much resident, all that a point needs is there, in the end all has run."""
    fiber = schedule.fiber
    resident: set[int] = set()
    ran: set[int] = set()

    def is_ready(element: Element) -> bool:
        """Have the points that contribute run, or could they, where they touch nothing?"""
        return all(
            id(p) in ran if fiber.touched(p) else all(is_ready(e) for _, e in p.reads)
            for p in fiber.program.points(element)
        )

    for step in schedule.steps:
        resident = resident - {step.evicted} | {step.load}
        if len(resident) > schedule.room:
            return False
        for point in step.runs:
            if not (fiber.touched(point) <= resident and all(is_ready(e) for _, e in point.reads)):
                return False
            ran.add(id(point))
    return all(id(p) in ran or not fiber.touched(p) for p in fiber.program.all_points())


def render(schedule: Schedule) -> str:
    """The schedule as text, one load a line: `load K[2]; run QK(2), GM(2); then MU`.

    An Einsum that runs only in part at a coordinate also tells its other variables; after `then` stand Einsums that
    touch nothing and are now done. Several coordinates of one point are joined by `+`.
    """
    tensor = schedule.fiber.carriers.tensor
    whole = Counter[tuple[str, Coordinates]](
        (p.einsum.name, schedule.fiber.touched(p)) for step in schedule.steps for p in step.runs
    )
    lines = []
    for step in schedule.steps:
        old = "" if schedule.room == 1 or step.evicted is None else f"drop {tensor}[{step.evicted}], "
        runs = "; run " + ", ".join(_runs(schedule.fiber, step.runs, whole)) if step.runs else ""
        done = f"; then {', '.join(step.done)}" if step.done else ""
        lines.append(f"{old}load {tensor}[{step.load}]{runs}{done}")
    return "\n".join(lines) + "\n"


def _runs(fiber: Fiber, points: tuple[Point, ...], whole: Counter[tuple[str, Coordinates]]) -> Iterator[str]:
    found: dict[tuple[str, Coordinates], list[Point]] = {}
    for point in points:
        found.setdefault((point.einsum.name, fiber.touched(point)), []).append(point)
    split = {name for (name, touched), group in found.items() if len(group) < whole[name, touched]}
    coordinates: dict[tuple[str, str], list[str]] = {}
    for (name, touched), group in found.items():
        part = _part(fiber, group) if name in split else ""
        coordinates.setdefault((name, part), []).append("+".join(map(str, sorted(touched))))
    yield from (f"{name}({','.join(where)}{part})" for (name, part), where in coordinates.items())


def _part(fiber: Fiber, points: list[Point]) -> str:
    """`; p=1,2`: which points of an Einsum these are, by the variables that do not tell the coordinate."""
    told = {v for t in fiber.carriers.of(points[0].einsum) for v in told_by(t)}
    others = [v for v in points[0].at if v not in told and fiber.program.extent(v) > 1]
    values = {v: sorted({p.at[v] for p in points}) for v in others}
    return "; " + " ".join(f"{v}={','.join(map(str, at))}" for v, at in values.items())
