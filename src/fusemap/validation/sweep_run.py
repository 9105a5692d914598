"""Run a sweep: blocks of its points to workers, their results into the store, in bounded memory."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fusemap.archspec.batches import Index
from fusemap.einsum_cascade.notebook import table_html
from fusemap.validation.sweep_points import OK, UNPRICED
from fusemap.validation.sweep_spec import Sweep
from fusemap.validation.sweep_store import Store
from fusemap.validation.sweep_workers import DEATHS, Done, WorkerError, Workers
from fusemap.version import VERSION

BLOCK = 1 << 14  # points of a block: many enough to share one evaluation, few enough to be written often
WAIT_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a sweep is: `done` of `points` have a row, `new` of them since the start; `plain` went one by one."""

    points: int
    done: int
    new: int
    plain: int
    seconds: float

    @property
    def rate(self) -> float:
        """New points per second."""
        return self.new / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRun:
    """What a run of a sweep did: `statuses` counts all rows of the store by their status."""

    name: str
    store: str
    digest: str
    progress: Progress
    statuses: dict[str, int]
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """True when every point has a row."""
        return self.progress.done == self.progress.points

    @property
    def useful(self) -> bool:
        """True when some point has numbers."""
        return any(self.statuses.get(status) for status in (OK, UNPRICED))

    def _repr_html_(self) -> str:
        """What a notebook shows: how many points have which status."""
        caption = f"{self.name}: {self.progress.done:,} of {self.progress.points:,} points"
        return table_html(caption, ["status", "points"], [[s, f"{n:,}"] for s, n in self.statuses.items()])

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/sweep/1`."""
        return {
            "schema": "fusemap/sweep/1",
            "sweep": self.name,
            "store": self.store,
            "digest": self.digest,
            "version": VERSION,
            "points": self.progress.points,
            "done": self.progress.done,
            "new": self.progress.new,
            "one_by_one": self.progress.plain,
            "statuses": self.statuses,
            "seconds": round(self.progress.seconds, 3),
            "points_per_s": round(self.progress.rate, 1),
            "interrupted": self.interrupted,
        }


def no_watch(progress: Progress) -> None:
    """Follow nothing."""


def run_sweep(
    sweep: Sweep,
    store: Store,
    workers: Workers,
    *,
    points: int,
    block: int = BLOCK,
    watch: Callable[[Progress], None] = no_watch,
) -> SweepRun:
    """Evaluate the points that the store lacks; an interruption (Ctrl-C) ends it with what was written by then."""
    have = sum(store.statuses().values())
    driver = _Driver(sweep=sweep, store=store, workers=workers, points=points, have=have, watch=watch)
    interrupted = False
    try:
        driver.drive(_tasks(sweep, store, _block_size(block, points, workers)))
    except KeyboardInterrupt:
        interrupted = True
    statuses = store.statuses()
    return SweepRun(
        name=sweep.name,
        store=store.path,
        digest=sweep.digest,
        progress=dataclasses.replace(driver.progress(), done=sum(statuses.values())),
        statuses=statuses,
        interrupted=interrupted,
    )


def _block_size(block: int, points: int, workers: Workers) -> int:
    """Blocks so small that every worker gets some, and none larger than asked for."""
    return max(1, min(block, -(-points // (workers.rounds * workers.slots))))


def _tasks(sweep: Sweep, store: Store, size: int) -> Iterator[Index]:
    """The points without a row, block by block."""
    for index in sweep.space.blocks(max(size, BLOCK)):
        missing = store.missing(index)
        yield from (missing[at : at + size] for at in range(0, len(missing), size))


@dataclass(slots=True, kw_only=True)
class _Driver:
    sweep: Sweep
    store: Store
    workers: Workers
    points: int
    have: int
    watch: Callable[[Progress], None]
    start: float = field(default_factory=time.perf_counter)
    new: int = 0
    plain: int = 0
    left: deque[Index] = field(default_factory=deque)
    flying: dict[int, Index] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    blocks: int = 0

    def progress(self) -> Progress:
        seconds = time.perf_counter() - self.start
        return Progress(points=self.points, done=self.have + self.new, new=self.new, plain=self.plain, seconds=seconds)

    def drive(self, tasks: Iterator[Index]) -> None:
        self.watch(self.progress())
        while True:
            while len(self.flying) < self.workers.slots and (task := self._next(tasks)) is not None:
                self.blocks += 1
                self.flying[self.blocks] = task
                self.workers.submit(self.blocks, task)
            if not self.flying:
                return
            for done in self.workers.finished(WAIT_S):
                self._take(done)
            self.watch(self.progress())

    def _next(self, tasks: Iterator[Index]) -> Index | None:
        return self.left.popleft() if self.left else next(tasks, None)

    def _take(self, done: Done) -> None:
        """Write what a block gave; its other points wait for their turn again, shared out among the workers."""
        task = self.flying.pop(done.block)
        if done.results is None:
            first = int(task[0])
            self.deaths[first] = self.deaths.get(first, 0) + 1
            if self.deaths[first] >= DEATHS:
                raise WorkerError(f"{DEATHS} workers ended on the points from {first}, without an answer")
            self.left.append(task)
            return
        self.store.add(done.results)
        self.new += len(done.results.index)
        self.plain += done.results.plain
        rest = np.setdiff1d(task, done.results.index, assume_unique=True)
        if len(rest):
            self.left += [part for part in np.array_split(rest, self.workers.slots) if len(part)]
