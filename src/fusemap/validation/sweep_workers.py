"""Who evaluates the points of a sweep: this process, processes beside it, or a cluster; always a block at a time.

A worker process is a plain child that reads blocks from its standard input, so it needs nothing of the program that
started it, and ends when its input does: with the parent, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from fusemap.archspec.batches import Index
from fusemap.validation.sweep_child import SLICE_S, read, write
from fusemap.validation.sweep_points import Results, evaluate_points
from fusemap.validation.sweep_spec import Sweep

DEATHS = 3  # of workers on one block, before the sweep gives up


class WorkerError(Exception):
    """A worker failed in a way that is no result of a point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a block: results of some or all of its points, or None where the worker was lost."""

    block: int
    results: Results | None


class Workers(Protocol):
    """Takes blocks of points and gives results back, in any order."""

    @property
    def slots(self) -> int:
        """How many blocks it has use for at once."""

    @property
    def rounds(self) -> int:
        """How often each slot is to get a block at least, where there are few points."""

    def submit(self, block: int, index: Index) -> None:
        """Hand a block over."""

    def finished(self, timeout_s: float) -> list[Done]:
        """What was finished since, after waiting for at most that long."""

    def close(self) -> None:
        """Stop; what is being evaluated is dropped."""


@dataclass(slots=True, kw_only=True)
class Here:
    """This process."""

    sweep: Sweep
    slots: int = 1
    rounds: int = 4
    waiting: deque[tuple[int, Index]] = field(default_factory=deque)

    def submit(self, block: int, index: Index) -> None:
        self.waiting.append((block, index))

    def finished(self, timeout_s: float) -> list[Done]:
        block, index = self.waiting.popleft()
        return [Done(block=block, results=evaluate_points(self.sweep, index, limit_s=SLICE_S))]

    def close(self) -> None:
        self.waiting.clear()


class Processes:
    """Worker processes, each with a thread that talks to it."""

    rounds = 2

    def __init__(self, sweep: Sweep, jobs: int) -> None:
        self.slots = 2 * jobs  # so that none waits for the writer
        self._sweep = pickle.dumps(sweep)
        self._asked: queue.Queue[tuple[int, Index] | None] = queue.Queue()
        self._done: queue.Queue[Done | BaseException] = queue.Queue()
        self._children = [_child() for _ in range(jobs)]
        self._closing = False
        self._threads = [threading.Thread(target=self._serve, args=(i,), daemon=True) for i in range(jobs)]
        for thread in self._threads:
            thread.start()

    def submit(self, block: int, index: Index) -> None:
        self._asked.put((block, index))

    def finished(self, timeout_s: float) -> list[Done]:
        found: list[Done] = []
        try:
            first = self._done.get(timeout=timeout_s)
            while True:
                if isinstance(first, BaseException):
                    raise first
                found.append(first)
                first = self._done.get_nowait()
        except queue.Empty:
            return found

    def close(self) -> None:
        self._closing = True
        for _ in self._threads:
            self._asked.put(None)
        for child in self._children:
            child.kill()
        for thread in self._threads:
            thread.join()
        for child in self._children:
            _reaped(child)

    def _serve(self, place: int) -> None:
        """Feed one child; a child that is lost is replaced, and its block reported."""
        fresh = True
        while (task := self._asked.get()) is not None:
            child = self._children[place]
            try:
                assert child.stdin is not None
                assert child.stdout is not None
                if fresh:
                    write(child.stdin, self._sweep)
                fresh = False
                write(child.stdin, pickle.dumps(task[1]))
                answer = pickle.loads(read(child.stdout))
            except (OSError, EOFError):
                if self._closing:
                    return
                _reaped(child)
                self._children[place], fresh = _child(), True
                answer = None
            if isinstance(answer, str):
                self._done.put(WorkerError(answer))
            else:
                self._done.put(Done(block=task[0], results=answer))


def _child() -> subprocess.Popen[bytes]:
    """A worker process, in a session of its own: a Ctrl-C is for the parent, which then stops it."""
    command = [sys.executable, "-c", "from fusemap.validation.sweep_child import serve; serve()"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)


def _reaped(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # what was buffered for a dead child
                stream.close()


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes(sweep: Sweep, jobs: int) -> Any:
    """This process for one job, else worker processes."""
    return Here(sweep=sweep) if jobs == 1 else Processes(sweep, jobs)
