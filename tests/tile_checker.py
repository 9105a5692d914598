"""A tile-level run checked from its recorded events and the program alone; shares no code with the simulator.

Every start is compared with the largest of its lower bounds. Below it a rule is broken, which the fault names;
above it the run is legal but later than it could be: `late`. With no fault at all the run is the earliest one for
the order in which its channel serves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

from fusemap.sim.tile_run import TileEvent, TileRun
from fusemap.sim.tile_types import Load, Need, Store, TileProgram, TileTask

Bound: TypeAlias = tuple[int, str]  # not before this time, by this rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A broken rule: `gap` ticks too early (negative: too late)."""

    rule: str
    where: str
    gap: int = 0


def distinct_names(program: TileProgram) -> TileProgram:
    """The program with a name of its own for every transfer, so that recorded events can be told apart."""
    loads = tuple(replace(x, tensor=f"{x.tensor} {i}") for i, x in enumerate(program.loads))
    stores = tuple(replace(x, tensor=f"{x.tensor} {i}") for i, x in enumerate(program.stores))
    return replace(program, loads=loads, stores=stores)


@dataclass(frozen=True, kw_only=True)
class Iterations:
    """The digits of all iterations of a program, and what happens in each."""

    program: TileProgram

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Bounds of the loops, outermost first."""
        return tuple(loop.bound for loop in self.program.loops)

    def digits(self, iteration: int) -> list[int]:
        """The digits of an iteration, outermost first."""
        found = []
        for bound in reversed(self.bounds):
            found.append(iteration % bound)
            iteration //= bound
        return found[::-1]

    def number(self, digits: Sequence[int]) -> int:
        """The iteration with these digits."""
        number = 0
        for digit, bound in zip(digits, self.bounds, strict=True):
            number = number * bound + digit
        return number

    def runs(self, task: TileTask, iteration: int) -> bool:
        """Does the task run in this iteration?"""
        digits = self.digits(iteration)
        return all(digits[k] == (self.bounds[k] - 1 if task.at_end else 0) for k in task.skips)

    def loaded(self, load: Load, iteration: int) -> bool:
        """Is a tile fetched for this iteration?"""
        digits = self.digits(iteration)
        return self.runs(self.program.tasks[load.task], iteration) and not any(digits[k] for k in load.skips)

    def used_up(self, item: Load | Store, iteration: int) -> bool:
        """Is a tile used (or written) for the last time in this iteration?"""
        digits = self.digits(iteration)
        ended = all(digits[k] == self.bounds[k] - 1 for k in item.skips)
        return self.runs(self.program.tasks[item.task], iteration) and ended

    def tile_of(self, load: Load, iteration: int) -> int:
        """The iteration in which the tile came that this one uses."""
        return self.number([0 if k in load.skips else d for k, d in enumerate(self.digits(iteration))])

    def made_in(self, need: Need, iteration: int) -> int | None:
        """The iteration whose run of the producer is waited for; None where a start value is read."""
        if need.digit and self.digits(iteration)[need.loop] < need.digit:
            return None
        source, producer = iteration - need.distance, self.program.tasks[need.producer]
        if producer.at_end and not need.distance and not self.runs(producer, source):
            return None
        while source >= 0 and not self.runs(producer, source):
            source -= 1  # what it made last
        return source if source >= 0 else None


class Checker:
    """Looks events up by what they are, and compares each start with its lower bounds."""

    def __init__(self, program: TileProgram, run: TileRun, events: Sequence[TileEvent]) -> None:
        self.program, self.run = program, run
        self.it = Iterations(program=program)
        self.every = range(program.iterations)
        self.events = [e for e in events if e.kind != "stall"]
        self.stalls = [e for e in events if e.kind == "stall"]
        self.work = {(e.number, e.iteration): e for e in self.events if e.kind == "work"}
        self.moves = {(e.name, e.iteration): e for e in self.events if e.kind == "transfer"}
        self.operands = "operands" in run.effects
        self.latency = program.latency or 0 if "latency" in run.effects and self.operands else 0
        self.ports = program.ports if "ports" in run.effects else None
        moved = sorted(self.moves.values(), key=lambda e: (e.start, e.end))
        self.before = {(b.name, b.iteration): a.end for a, b in pairwise(moved)}
        self.retired = {n: self._retired(x) for n, x in enumerate(program.loads)}
        self.count = {n: self._numbered(x) for n, x in enumerate(program.loads)}

    def faults(self) -> list[Fault]:
        """All faults, of all rules."""
        missing = list(self._missing())
        if missing:
            return missing
        return [*self._overlaps(), *self._tasks(), *self._transfers(), *self._order(), *self._accounts()]

    # --- everything there, once, as long as it takes -----------------------------------------------------

    def _missing(self) -> Iterator[Fault]:
        p = self.program
        wanted: dict[tuple[str, str, int], tuple[str, int]] = {}
        for i in self.every:
            for n, task in enumerate(p.tasks):
                if self.it.runs(task, i):
                    wanted["work", str(n), i] = (p.arrays[task.array], task.ticks)
            for load in p.loads if self.operands else ():
                if self.it.loaded(load, i):
                    wanted["transfer", f"load {load.tensor}", i] = (p.channel, load.ticks)
            for store in p.stores if self.operands else ():
                if self.it.used_up(store, i):
                    wanted["transfer", f"store {store.tensor}", i] = (p.channel, store.ticks)
        seen: dict[tuple[str, str, int], list[tuple[str, int]]] = defaultdict(list)
        for e in self.events:
            name = str(e.number) if e.kind == "work" else e.name
            seen[e.kind, name, e.iteration].append((e.track, e.end - e.start))
        for key in {**wanted, **seen}:
            there = key in wanted and (key[0] == "work" or wanted[key][1])  # transfers of no bytes are not recorded
            if seen.get(key, []) != ([wanted[key]] if there else []):
                yield Fault(rule="complete", where=f"{key}: {seen.get(key)}, not {wanted.get(key)}")

    def _overlaps(self) -> Iterator[Fault]:
        tracks: dict[str, list[TileEvent]] = defaultdict(list)
        for e in (*self.events, *self.stalls):
            tracks[e.track].append(e)
        for track, events in tracks.items():
            for a, b in pairwise(sorted(events, key=lambda e: (e.start, e.end))):
                if b.start < a.end:
                    rule = "channel" if track == self.program.channel else "array"
                    yield Fault(rule=rule, where=f"{a} {b}", gap=a.end - b.start)

    # --- tasks ------------------------------------------------------------------------------------------

    def _tasks(self) -> Iterator[Fault]:
        """Slot after slot, stage after stage: all arrays begin together, after stalls and ports."""
        p, begin = self.program, 0
        for slot in range(p.iterations + p.lag):
            first = begin
            there = [
                (n, t, slot - t.lag)
                for n, t in enumerate(p.tasks)
                if 0 <= slot - t.lag < p.iterations and self.it.runs(t, slot - t.lag)
            ]
            for number, stage in enumerate(p.stages):
                mine = [(n, t, i) for n, t, i in there if t.stage == number]
                if not mine:
                    continue
                free = [begin] * len(p.arrays)
                for n, task, i in mine:
                    event = self.work[n, i]
                    bounds = [(begin, "stage"), (free[task.array], "array"), *self._inputs(n, task, i)]
                    yield from _compared(f"{task.einsum} of {i}", event.start, bounds)
                    free[task.array] = event.end
                end = max(free)
                end = max(end, begin + self._port_ticks(sum((t.accesses for _, t, _ in mine), Fraction(0))))
                begin = end + stage.stall
            begin = max(begin, first + self._port_ticks(self._accesses(there)))
        if begin > self.run.ticks:
            yield Fault(rule="end", where=f"{self.run.ticks}, not {begin}", gap=begin - self.run.ticks)

    def _inputs(self, number: int, task: TileTask, iteration: int) -> Iterator[Bound]:
        for need in task.needs:
            source = self.it.made_in(need, iteration)
            if source is not None and (made := self.work.get((need.producer, source))) is not None:
                yield made.end + need.delay, "need"
        for load in self.program.loads if self.operands else ():
            if load.task == number:
                moved = self.moves.get((f"load {load.tensor}", self.it.tile_of(load, iteration)))
                if moved is not None:
                    yield moved.end + self.latency, "load"

    def _port_ticks(self, accesses: Fraction) -> int:
        return 0 if self.ports is None else math.ceil(accesses * self.program.ticks_per_cycle / self.ports)

    def _accesses(self, there: Sequence[tuple[int, TileTask, int]]) -> Fraction:
        p = self.program
        total = sum((t.accesses for _, t, _ in there), Fraction(0))
        if self.operands and p.access_bytes:
            for n, _, i in there:
                moved = [x.byte_count for x in p.loads if x.task == n and self.it.loaded(x, i)]
                moved += [x.byte_count for x in p.stores if x.task == n and self.it.used_up(x, i)]
                total += sum((Fraction(b) for b in moved), Fraction(0)) / p.access_bytes
        return total

    # --- the channel ------------------------------------------------------------------------------------

    def _retired(self, load: Load) -> list[tuple[int, int]]:
        """(task, iteration) of the last use of every tile, in order."""
        return [(load.task, i) for i in self.every if self.it.used_up(load, i)]

    def _numbered(self, load: Load) -> dict[int, int]:
        """How many tiles came before that of an iteration."""
        return {i: n for n, i in enumerate(i for i in self.every if self.it.loaded(load, i))}

    def ready(self, number: int, iteration: int) -> list[Bound]:
        """What a load waits for, the channel apart."""
        load = self.program.loads[number]
        bounds: list[Bound] = [(0, "start")]
        old = self.count[number][iteration] - load.depth
        if old >= 0 and (used := self.work.get(self.retired[number][old])) is not None:
            bounds.append((used.end, "room"))
        if load.stored is not None:
            store = self.program.stores[load.stored]
            if (moved := self.moves.get((f"store {store.tensor}", iteration - load.distance))) is not None:
                bounds.append((moved.end, "stored"))
        return bounds

    def _transfers(self) -> Iterator[Fault]:
        for number, load in enumerate(self.program.loads if self.operands else ()):
            for i in self.count[number]:
                if (event := self.moves.get((f"load {load.tensor}", i))) is not None:
                    bounds = [(self.before.get((event.name, i), 0), "channel"), *self.ready(number, i)]
                    yield from _compared(f"{event.name} of {i}", event.start, bounds)
        for store in self.program.stores if self.operands else ():
            for i in self.every:
                if (event := self.moves.get((f"store {store.tensor}", i))) is not None:
                    bounds = [(self.before.get((event.name, i), 0), "channel")]
                    if (made := self.work.get((store.task, i))) is not None:
                        bounds.append((made.end, "made"))
                    yield from _compared(f"{event.name} of {i}", event.start, bounds)

    def _order(self) -> Iterator[Fault]:
        """No load goes before a store that was ready earlier (of the same or an earlier slot)."""
        stores = [
            (made.end, store.tensor, e.start, self.program.tasks[store.task].lag + i)
            for store in self.program.stores
            for i in self.every
            if (e := self.moves.get((f"store {store.tensor}", i))) is not None
            and (made := self.work.get((store.task, i))) is not None
        ]
        for number, load in enumerate(self.program.loads):
            for i in self.count[number]:
                event = self.moves.get((f"load {load.tensor}", i))
                if event is None:
                    continue
                slot = i + self.program.tasks[load.task].lag
                ready = max(time for time, _ in self.ready(number, i))
                for made, tensor, start, of in stores:
                    if of < slot and made <= ready and start > event.start:
                        yield Fault(rule="order", where=f"load {load.tensor} of {i} before store {tensor}")

    # --- counts -----------------------------------------------------------------------------------------

    def _accounts(self) -> Iterator[Fault]:
        """Work and waits of every resource make up the whole time."""
        for resource, busy in self.run.busy:
            waits = sum(n for r, _, n in self.run.waits if r == resource)
            if busy + waits != self.run.ticks:
                yield Fault(rule="accounts", where=f"{resource}: {busy} + {waits} is not {self.run.ticks}")
            done = sum(e.end - e.start for e in self.events if e.track == resource)
            if busy != done and (resource != self.program.channel or self.operands):
                yield Fault(rule="accounts", where=f"{resource} is busy {busy}, its events take {done}")
        last = max((e.end for e in self.events), default=0)
        if last > self.run.ticks:
            yield Fault(rule="end", where=f"{last} is after the end, {self.run.ticks}", gap=last - self.run.ticks)


def _compared(where: str, start: int, bounds: Sequence[Bound]) -> Iterator[Fault]:
    for time, rule in bounds:
        if start < time:
            yield Fault(rule=rule, where=where, gap=time - start)
    latest = max(time for time, _ in bounds)
    if start > latest:
        yield Fault(rule="late", where=where, gap=latest - start)


def faults(program: TileProgram, run: TileRun, events: Sequence[TileEvent] | None = None) -> list[Fault]:
    """The faults of a run with the effect `start` that was recorded from end to end."""
    return Checker(program, run, run.events if events is None else events).faults()


def rules(found: Sequence[Fault]) -> set[str]:
    """The rules that are broken."""
    return {fault.rule for fault in found}


def earliest(program: TileProgram) -> dict[tuple[int, int], int]:
    """The earliest starts of all (task, iteration) where all data are there in time.

    A plain longest-path iteration over the constraint graph: nodes are runs of tasks and the beginnings of stages,
    and passes over all edges are repeated until nothing changes.
    """
    it, p = Iterations(program=program), program
    edges: list[tuple[tuple[str, int, int], tuple[str, int, int], int]] = []
    previous: list[tuple[tuple[str, int, int], int]] = []  # what the next stage waits for
    there = {(n, i) for n, t in enumerate(p.tasks) for i in range(p.iterations) if it.runs(t, i)}
    for slot in range(p.iterations + p.lag):
        for number, stage in enumerate(p.stages):
            mine = [
                (n, t, slot - t.lag) for n, t in enumerate(p.tasks) if t.stage == number and (n, slot - t.lag) in there
            ]
            if not mine:
                continue
            begin = ("stage", number, slot)
            edges += [(node, begin, weight) for node, weight in previous]
            last: dict[int, tuple[str, int, int]] = {}
            for n, task, i in mine:
                node = ("task", n, i)
                edges.append((begin, node, 0))
                if task.array in last:
                    edges.append((last[task.array], node, p.tasks[last[task.array][1]].ticks))
                last[task.array] = node
            previous = [(("task", n, i), t.ticks + stage.stall) for n, t, i in mine]
    for n, i in sorted(there):
        for need in p.tasks[n].needs:
            source = it.made_in(need, i)
            if source is not None and (need.producer, source) in there:
                weight = p.tasks[need.producer].ticks + need.delay
                edges.append((("task", need.producer, source), ("task", n, i), weight))
    time: dict[tuple[str, int, int], int] = defaultdict(int)
    changed = True
    while changed:
        changed = False
        for u, v, weight in edges:
            if time[u] + weight > time[v]:
                time[v], changed = time[u] + weight, True
    return {(n, i): time["task", n, i] for n, i in there}
