"""A phase as tile tasks: what every resource does in one iteration, and what it waits for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

# What a simulation takes into account beyond the closed form, in the order in which it is added.
EFFECTS = ("start", "drain", "operands", "latency", "ports")
Effect: TypeAlias = str
WORDS_OF: dict[Effect, str] = {
    "start": "the pipeline fills and empties",
    "drain": "results travel through an array",
    "operands": "loads and stores, double-buffered",
    "latency": "latency of the outermost memory",
    "ports": "ports of the buffer",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TileLoop:
    """A loop that all tile tasks of the phase share; one iteration of all of them is an iteration of the phase."""

    rank: str
    bound: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A task of iteration i starts after `producer` of iteration i - distance has ended, and `delay` ticks more.

    Only in iterations whose digit of loop `loop` is at least `digit` (before that an initial value is read).
    """

    producer: int
    tensor: str
    distance: int = 0
    delay: int = 0
    loop: int = 0
    digit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A tile that is fetched before `task` uses it first, in iterations where the digits of loops `skips` are 0.

    `ticks` occupy the channel. `depth` tiles have room (double buffering, and as many more as the latency of the
    channel covers): tile n waits for the last use of tile n - depth, where the digits of `skips` are at their ends.
    `buffered`: it rests in the buffer. `stored` is the store that makes it, if the phase itself writes it to the outer
    memory: that of `distance` iterations before.
    """

    task: int
    tensor: str
    ticks: int
    byte_count: float
    skips: tuple[int, ...]
    depth: int
    buffered: bool = True
    stored: int | None = None
    distance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A tile that is written after `task` of iterations where the digits of loops `skips` are at their ends."""

    task: int
    tensor: str
    ticks: int
    byte_count: float
    skips: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """`byte_count` of the buffer are taken from the first start of `first` to the last end of `last`.

    First and last: digits of loops `skips` are 0, at their ends.
    """

    tensor: str
    byte_count: float
    first: int
    last: int
    skips: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileTask:
    """An Einsum's work in one iteration: `ticks` on array `array`, in stage `stage` of the binding.

    It works `lag` iterations behind the first tasks (software pipelining). `skips` are loops that the Einsum
    lacks: it runs where their digits are 0, or at their ends with `at_end`. `accesses` of the buffer take place.
    """

    einsum: str
    array: int
    stage: int
    ticks: int
    lag: int = 0
    skips: tuple[int, ...] = ()
    at_end: bool = True
    needs: tuple[Need, ...] = ()
    accesses: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileStage:
    """A stage of the binding: all arrays begin it together; `stall` ticks follow when they are done."""

    name: str
    stall: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileProgram:
    """A phase of a mapping as tile tasks; what all three fidelities read, in ticks of 1 / `ticks_per_cycle` cycle.

    Tasks are in the order of stages, within a stage in the order of each array. `memory_ticks` is the exact time of
    all transfers at full bandwidth. `latency` is that of the outermost memory, `ports` the accesses of `access_bytes`
    per cycle of the buffer; None where the machine does not say. `inner_memory` is the one on the chip whose bandwidth
    takes longest, `inner_ticks`, if any has one: no phase is shorter.
    """

    phase: str
    ticks_per_cycle: int
    loops: tuple[TileLoop, ...]
    arrays: tuple[str, ...]
    stages: tuple[TileStage, ...]
    tasks: tuple[TileTask, ...]
    loads: tuple[Load, ...]
    stores: tuple[Store, ...]
    holds: tuple[Hold, ...]
    channel: str
    buffer: str
    memory_ticks: Fraction
    latency: int | None
    ports: int | None
    access_bytes: Fraction
    buffer_bytes: int | None
    inner_memory: str = ""
    inner_ticks: Fraction = Fraction(0)

    @property
    def transfers(self) -> tuple[Load | Store, ...]:
        """All loads, then all stores."""
        return (*self.loads, *self.stores)

    @property
    def iterations(self) -> int:
        """How often the tasks run: the product of the loops' bounds."""
        return math.prod(loop.bound for loop in self.loops)

    @property
    def task_runs(self) -> int:
        """How many runs of tasks there are: one without a loop runs once in it."""
        return sum(self.iterations // math.prod(self.loops[k].bound for k in task.skips) for task in self.tasks)

    @property
    def lag(self) -> int:
        """How many iterations the last tasks are behind the first ones."""
        return max((task.lag for task in self.tasks), default=0)
