"""The steady state of a run: a stretch that repeats is skipped and counted.

After every iteration of every loop the state is compared with earlier ones of the same loop. Between two equal states
the same tasks ran if no first or last step of the loop was among them, nor in the lag of the pipeline; then all
further steps but the last one take the same time again.
"""

from __future__ import annotations

import math
from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from fusemap.sim.tile_state import State, relative
from fusemap.sim.tile_types import TileProgram

FEWEST_STEPS = 5  # of a loop in which repetition is looked for
Counted: TypeAlias = Tally[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """So many slots are skipped, which take `ticks` and count as `counts`."""

    slots: int
    ticks: int
    counts: Counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    real: int
    digit: int
    time: int
    counts: Counted


class Steady:
    """Looks for equal states at the ends of the loops' iterations."""

    def __init__(self, program: TileProgram, *, wrapped: bool) -> None:
        self.program, self.iterations = program, program.iterations
        self.wrapped = wrapped
        bounds = [loop.bound for loop in program.loops]
        self.inner = [math.prod(bounds[i + 1 :]) for i in range(len(bounds))]
        steps = max((n.digit for task in program.tasks for n in task.needs), default=1) or 1
        self.guard = [steps + -(-program.lag // inner) for inner in self.inner]
        self.levels = [i for i, bound in enumerate(bounds) if bound >= max(FEWEST_STEPS, self.guard[i] + 3)][::-1]
        self.seen: list[dict[tuple[int, ...], _Seen]] = [{} for _ in bounds]
        self.every = [1] * len(bounds)

    def jump(
        self, real: int, slot: int, state: State, now: Callable[[], tuple[int, Counted]], operands: bool
    ) -> Jump | None:
        """What can be skipped after slot `real` - 1; None while nothing repeats."""
        if real >= self.iterations:
            return None
        known: tuple[int, ...] | None = None
        for level in self.levels:
            inner, bound = self.inner[level], self.program.loops[level].bound
            if real % inner:
                continue
            digit = real // inner % bound
            if digit == 0:
                self.seen[level].clear()
            if digit < self.guard[level] or digit % self.every[level]:
                continue
            if known is None:
                known = relative(state, slot, operands=operands)
                if inner == 1:
                    self.every[level] = max(1, len(known) // 64)
            found = self._found(level, digit, known, real, now)
            if found is not None:
                return found
        return None

    def _found(
        self,
        level: int,
        digit: int,
        known: tuple[int, ...],
        real: int,
        now: Callable[[], tuple[int, Counted]],
    ) -> Jump | None:
        before = self.seen[level].get(known)
        time, counts = now()
        if before is None:
            self.seen[level][known] = _Seen(real=real, digit=digit, time=time, counts=counts)
            return None
        times = (self.program.loops[level].bound - 1 - digit) // (digit - before.digit)
        if times < 1:
            return None
        self.seen[level].clear()
        grown = Tally(counts)
        grown.subtract(before.counts)
        return Jump(
            slots=times * (real - before.real),
            ticks=times * (time - before.time),
            counts=Tally({key: times * n for key, n in grown.items() if n}),
        )
