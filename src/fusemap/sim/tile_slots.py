"""What happens in a slot: the tasks of all iterations under way, ready to be run, for every kind of slot there is.

A slot is one pass through the stages of the binding. In slot n a task with lag k works on iteration n - k.
Slots differ only at the first and last steps of a loop, so that a few kinds of them make up the whole run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

from fusemap.sim.tile_types import TileProgram, TileTask

Kind: TypeAlias = tuple[tuple[int, bool], ...]  # of every loop: its digit up to `most`, and whether it is at its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """A task of one slot: `needs` are (producer, distance, delay), `loads` and `stores` numbers, `uses_up` loads.

    It takes bytes of the buffer when it starts, and gives some back when it ends.
    """

    task: int
    array: int
    ticks: int
    lag: int
    needs: tuple[tuple[int, int, int], ...]
    loads: tuple[int, ...]
    uses_up: tuple[int, ...]
    stores: tuple[int, ...]
    takes: float
    gives: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotStage:
    """A stage of one slot: its tasks, the stall that follows, and the time that its accesses need at the ports."""

    number: int
    ops: tuple[Op, ...]
    stall: int
    port_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The stages of a slot. `early` are its loads, (load, lag), that wait for no task of the slot itself.

    `idle` are tasks, (task, lag), that do not run, but of which others still read what they made last.
    `port_ticks` is the time that all its accesses need at the ports, those of loads and stores included.
    """

    stages: tuple[SlotStage, ...]
    early: tuple[tuple[int, int], ...]
    idle: tuple[tuple[int, int], ...]
    port_ticks: int


class Slots:
    """The stages of every slot of a program, by the kinds of the iterations that are in it."""

    def __init__(self, program: TileProgram, *, operands: bool, ports: bool, wrapped: bool) -> None:
        self.program = program
        self.operands = operands
        self.ports = ports
        self.wrapped = wrapped
        self.lags = sorted({task.lag for task in program.tasks})
        self.bounds = [loop.bound for loop in program.loops][::-1]
        self.iterations = program.iterations
        self.read = sorted({n.producer for task in program.tasks for n in task.needs})
        self.most = max((n.digit for task in program.tasks for n in task.needs), default=1) or 1
        self._known: dict[tuple[Kind | None, ...], Slot] = {}
        self._kind = lru_cache(maxsize=64)(self._kind_of)  # an iteration is in a slot for every lag

    def at(self, slot: int) -> Slot:
        """The slot of that number."""
        return self.of(tuple([self._kind(slot - lag) for lag in self.lags]))

    def of(self, kinds: tuple[Kind | None, ...]) -> Slot:
        """A slot in which the iterations are of these kinds (None: there is none)."""
        found = self._known.get(kinds)
        if found is None:
            found = self._known[kinds] = self._made(dict(zip(self.lags, kinds, strict=True)))
        return found

    def _kind_of(self, iteration: int) -> Kind | None:
        if self.wrapped:
            iteration %= self.iterations
        elif not 0 <= iteration < self.iterations:
            return None
        kind = []
        for bound in self.bounds:
            iteration, digit = divmod(iteration, bound)
            kind.append((min(digit, self.most), digit == bound - 1))
        return tuple(kind[::-1])

    def _made(self, kinds: dict[int, Kind | None]) -> Slot:
        stages = []
        for number, stage in enumerate(self.program.stages):
            tasks = [(i, t, kinds[t.lag]) for i, t in enumerate(self.program.tasks) if t.stage == number]
            ops = tuple(self._op(i, t, kind) for i, t, kind in tasks if kind is not None and _runs(t, kind))
            stall = stage.stall if ops or self.wrapped else 0
            need = self._port_ticks(ops, moved=False)
            stages.append(SlotStage(number=number, ops=ops, stall=stall, port_ticks=need))
        ops = tuple(op for stage in stages for op in stage.ops)
        early = tuple((load, op.lag) for op in ops for load in op.loads if self._is_early(load))
        idle = tuple((i, self.program.tasks[i].lag) for i in self.read if self._is_idle(self.program.tasks[i], kinds))
        return Slot(stages=tuple(stages), early=early, idle=idle, port_ticks=self._port_ticks(ops, moved=True))

    def _is_idle(self, task: TileTask, kinds: dict[int, Kind | None]) -> bool:
        kind = kinds[task.lag]
        return kind is not None and not _runs(task, kind)

    def _is_early(self, number: int) -> bool:
        """Is what is loaded there before the slot begins? Not if a task of the same slot stores it."""
        p, load = self.program, self.program.loads[number]
        if load.stored is None:
            return True
        return p.tasks[p.stores[load.stored].task].lag - load.distance < p.tasks[load.task].lag

    def _op(self, number: int, task: TileTask, kind: Kind) -> Op:
        p = self.program
        return Op(
            task=number,
            array=task.array,
            ticks=task.ticks,
            lag=task.lag,
            needs=tuple(
                (n.producer, n.distance, n.delay)
                for n in task.needs
                if (not n.digit or kind[n.loop][0] >= n.digit) and _meets(p.tasks[n.producer], kind, n.distance)
            ),
            loads=self._chosen([(x.task, x.skips) for x in p.loads], number, kind, at_end=False),
            uses_up=self._chosen([(x.task, x.skips) for x in p.loads], number, kind, at_end=True),
            stores=self._chosen([(x.task, x.skips) for x in p.stores], number, kind, at_end=True),
            takes=sum(h.byte_count for h in p.holds if h.first == number and _there(h.skips, kind, at_end=False)),
            gives=sum(h.byte_count for h in p.holds if h.last == number and _there(h.skips, kind, at_end=True)),
        )

    def _chosen(
        self, items: Sequence[tuple[int, tuple[int, ...]]], task: int, kind: Kind, *, at_end: bool
    ) -> tuple[int, ...]:
        if not self.operands:
            return ()
        return tuple(i for i, (t, skips) in enumerate(items) if t == task and _there(skips, kind, at_end=at_end))

    def _port_ticks(self, ops: Sequence[Op], *, moved: bool) -> int:
        """Ticks that the ports need for the accesses of tasks, and for what is `moved` from and to outside."""
        if not self.ports or self.program.ports is None:
            return 0
        p = self.program
        accesses = sum((p.tasks[op.task].accesses for op in ops), Fraction(0))
        if moved and p.access_bytes:
            loaded = sum(p.loads[i].byte_count for op in ops for i in op.loads)
            stored = sum(p.stores[i].byte_count for op in ops for i in op.stores)
            accesses += Fraction(loaded + stored) / p.access_bytes
        return math.ceil(accesses * p.ticks_per_cycle / self.program.ports)


def _runs(task: TileTask, kind: Kind) -> bool:
    """Does the task run in an iteration of this kind? One without a loop runs once, at its first or last step."""
    return _there(task.skips, kind, at_end=task.at_end)


def _meets(producer: TileTask, kind: Kind, distance: int) -> bool:
    """Is there a run of the producer to wait for? What is made once at a loop's first step is read at all of them."""
    return distance > 0 or not producer.at_end or _runs(producer, kind)


def _there(skips: Sequence[int], kind: Kind, *, at_end: bool) -> bool:
    return all(kind[i][1] if at_end else kind[i][0] == 0 for i in skips)
