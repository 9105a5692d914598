"""How far behind each task of a pipelined binding works: the least lags that meet all dependences."""

from __future__ import annotations

from dataclasses import replace

from fusemap.sim.tile_types import TileProgram, TileTask


def with_lags(program: TileProgram, *, operands: bool) -> TileProgram:
    """The program with the least lag per task such that, in the steady state, no task waits for another one.

    In every iteration of the steady state stage follows stage, T ticks long in all. Task v, at offset o(v), has what
    it needs from u of `distance` iterations before if

        lag(v) - lag(u) >= ceil((o(u) + ticks(u) + delay - o(v)) / T) - distance.

    A task on another array in the same stage thus works on an earlier iteration. With `operands`, what goes through
    the outer memory takes all transfers of an iteration and two latencies longer. Where these contradict each other
    around a recurrence, only the order of the stages is kept and tasks wait.
    """
    offsets, total = _offsets(program)
    waits = [
        (n.producer, v, -(-(offsets[n.producer] + program.tasks[n.producer].ticks + n.delay - offsets[v]) // total), n)
        for v, task in enumerate(program.tasks)
        for n in task.needs
    ]
    exact = [(u, v, weight - n.distance) for u, v, weight, n in waits]
    if operands:
        exact += _through_memory(program, offsets, total)
    ordered = [(u, v, int(not _before(program, u, v)) - n.distance) for u, v, _, n in waits]
    lags = _least(len(program.tasks), exact) or _least(len(program.tasks), ordered) or [0] * len(program.tasks)
    tasks = tuple(replace(task, lag=lag) for task, lag in zip(program.tasks, lags, strict=True))
    return replace(program, tasks=tasks)


def _through_memory(program: TileProgram, offsets: list[int], total: int) -> list[tuple[int, int, int]]:
    """The lag of each task behind the one that stores what it loads."""
    delay = sum(x.ticks for x in program.transfers if not x.skips) + 2 * (program.latency or 0)
    found = []
    for load in program.loads:
        if load.stored is not None and program.stores[load.stored].task != load.task:
            u, v = program.stores[load.stored].task, load.task
            wait = -(-(offsets[u] + program.tasks[u].ticks + delay - offsets[v]) // total)
            found.append((u, v, wait - load.distance))
    return found


def _offsets(program: TileProgram) -> tuple[list[int], int]:
    """When each task starts within an iteration of the steady state, and how long that is; no two stages overlap.

    A task that runs in few iterations only takes no time here.
    """
    starts = [0] * len(program.tasks)
    begin = 0
    for number, stage in enumerate(program.stages):
        ends = [begin] * len(program.arrays)
        for i, task in enumerate(program.tasks):
            if task.stage == number:
                starts[i] = ends[task.array]
                ends[task.array] += 0 if task.skips else task.ticks
        begin = max(ends) + stage.stall
    return starts, max(begin, 1)


def _before(program: TileProgram, u: int, v: int) -> bool:
    """Does u end before v starts when both work on the same iteration?"""
    first, second = program.tasks[u], program.tasks[v]
    return first.stage < second.stage or (_same_list(first, second) and u < v)


def _same_list(first: TileTask, second: TileTask) -> bool:
    return first.stage == second.stage and first.array == second.array


def _least(size: int, edges: list[tuple[int, int, int]]) -> list[int] | None:
    """The least x >= 0 with x[v] >= x[u] + w for all (u, v, w); None if there is none (Bellman-Ford)."""
    found = [0] * size
    for _ in range(size + 1):
        late = [(u, v, w) for u, v, w in edges if found[u] + w > found[v]]
        if not late:
            return found
        for u, v, w in late:
            found[v] = max(found[v], found[u] + w)
    return None
