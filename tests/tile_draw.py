"""Random tile programs that can be run: nothing is read that no task of an earlier turn made."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from fusemap.sim.tile_types import Load, Need, Store, TileLoop, TileProgram, TileStage, TileTask

Draw = st.DrawFn


@st.composite
def tile_programs_drawn(
    draw: Draw, most_steps: int = 4, most_iterations: int = 60, most_ticks: int = 20, digits: int = 2
) -> TileProgram:
    """Loops, tasks on arrays in stages, needs, loads and stores, all drawn."""
    bounds = draw(st.lists(st.integers(1, most_steps), min_size=1, max_size=3))
    while math.prod(bounds) > most_iterations:
        bounds[bounds.index(max(bounds))] -= 1
    tasks = draw_tasks(draw, bounds, most_ticks)
    tasks = [replace(t, needs=draw_needs(draw, bounds, tasks, n, most_ticks, digits)) for n, t in enumerate(tasks)]
    stores = draw_stores(draw, bounds, tasks, most_ticks)
    loads = draw_loads(draw, bounds, tasks, stores, most_ticks)
    stages = [
        TileStage(name=f"s{i}", stall=draw(st.sampled_from([0, 0, 3])), why="drains")
        for i in range(max(t.stage for t in tasks) + 1)
    ]
    return TileProgram(
        phase="drawn",
        ticks_per_cycle=draw(st.sampled_from([1, 4])),
        loops=tuple(TileLoop(rank=f"r{i}", bound=bound) for i, bound in enumerate(bounds)),
        arrays=("a0", "a1", "a2")[: max(t.array for t in tasks) + 1],
        stages=tuple(stages),
        tasks=tuple(tasks),
        loads=tuple(loads),
        stores=tuple(stores),
        holds=(),
        channel="dram",
        buffer="buffer",
        memory_ticks=Fraction(draw(st.integers(0, 300)), draw(st.integers(1, 3))),
        latency=draw(st.integers(0, 2 * most_ticks)),
        ports=draw(st.integers(1, 3)),
        access_bytes=Fraction(4),
        buffer_bytes=None,
    )


def draw_tasks(draw: Draw, bounds: list[int], most_ticks: int) -> list[TileTask]:
    """Tasks in the order of stages, with lags."""
    count = draw(st.integers(1, 5))
    arrays, stages = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    found = sorted(draw(st.tuples(st.integers(0, stages - 1), st.integers(0, arrays - 1))) for _ in range(count))
    used = sorted({stage for stage, _ in found})
    return [
        TileTask(
            einsum=f"T{n}",
            array=array,
            stage=used.index(stage),
            ticks=draw(st.integers(1, most_ticks)),
            lag=draw(st.sampled_from([0, 0, 1, 2, 5])),
            skips=draw(subset(range(len(bounds)))) if draw(st.integers(0, 3)) == 0 else (),
            at_end=draw(st.booleans()),
            accesses=Fraction(draw(st.integers(0, 4 * most_ticks)), 3),
        )
        for n, (stage, array) in enumerate(found)
    ]


def draw_needs(
    draw: Draw, bounds: list[int], tasks: list[TileTask], reader: int, most_ticks: int, digits: int
) -> tuple[Need, ...]:
    """What a task reads: made in an earlier slot, or earlier in the same one."""
    found = []
    for producer in draw(st.lists(st.integers(0, len(tasks) - 1), max_size=2, unique=True)):
        least = max(0, tasks[producer].lag - tasks[reader].lag + int(producer >= reader))
        loop, digit, distance = 0, 0, draw(st.integers(least, least + 2))
        if draw(st.booleans()):
            loop, digit = draw(st.integers(0, len(bounds) - 1)), draw(st.integers(1, digits))
            distance = draw(st.sampled_from([digit * math.prod(bounds[loop + 1 :]), distance]))
            if distance < least:
                continue
        delay = draw(st.sampled_from([0, 0, 1, most_ticks, 3 * most_ticks]))
        found.append(
            Need(producer=producer, tensor=f"N{producer}", distance=distance, delay=delay, loop=loop, digit=digit)
        )
    return tuple(found)


def draw_stores(draw: Draw, bounds: list[int], tasks: list[TileTask], most_ticks: int) -> list[Store]:
    """What goes to the outer memory."""
    found = []
    for n in draw(st.lists(st.integers(0, len(tasks) - 1), max_size=2)):
        skips = draw(subset(k for k in range(len(bounds)) if k not in tasks[n].skips))
        size = draw(st.integers(1, 64))
        found.append(
            Store(task=n, tensor=f"Y{len(found)}", ticks=draw(st.integers(1, most_ticks)), byte_count=size, skips=skips)
        )
    return found


def draw_loads(
    draw: Draw, bounds: list[int], tasks: list[TileTask], stores: list[Store], most_ticks: int
) -> list[Load]:
    """What comes from the outer memory; there is room at least for the tiles that are in use at once."""
    found = []
    for n in draw(st.lists(st.integers(0, len(tasks) - 1), max_size=3)):
        task = tasks[n]
        skips = draw(subset(k for k in range(len(bounds)) if k not in task.skips))
        at_once = math.prod(b for k, b in enumerate(bounds) if skips and k > min(skips) and k not in skips + task.skips)
        whole = [i for i, s in enumerate(stores) if not s.skips and not tasks[s.task].skips]
        stored = draw(st.sampled_from([None, *whole]))
        least = 0
        if stored is not None:  # stored in an earlier slot, or earlier in the same one
            maker = stores[stored].task
            least = max(0, tasks[maker].lag - task.lag + int(maker >= n))
        found.append(
            Load(
                task=n,
                tensor=f"X{len(found)}",
                ticks=draw(st.integers(1, most_ticks)),
                byte_count=draw(st.integers(1, 64)),
                skips=skips,
                depth=at_once * draw(st.integers(1, 2)) + draw(st.integers(0, 2)),
                stored=stored,
                distance=least + draw(st.integers(0, 2)),
            )
        )
    return found


def subset(of: object) -> st.SearchStrategy[tuple[int, ...]]:
    """Some of them, in order."""
    return (
        st.sets(st.sampled_from(items), max_size=2).map(lambda s: tuple(sorted(s)))
        if (items := list(of))
        else st.just(())
    )  # type: ignore[call-overload]


def chained(
    ticks: list[int], *, bound: int, arrays: int = 1, delay: int = 0, needs: bool = True, latency: int = 3
) -> TileProgram:
    """Tasks T0, T1, ... in a stage each, every one reading the one before, on arrays in turn."""
    tasks = tuple(
        TileTask(
            einsum=f"T{n}",
            array=n % arrays,
            stage=n,
            ticks=length,
            needs=(Need(producer=n - 1, tensor=f"N{n - 1}", delay=delay),) if n and needs else (),
        )
        for n, length in enumerate(ticks)
    )
    return TileProgram(
        phase="chained",
        ticks_per_cycle=1,
        loops=(TileLoop(rank="m", bound=bound),),
        arrays=tuple(f"a{i}" for i in range(arrays)),
        stages=tuple(TileStage(name=f"s{n}") for n in range(len(ticks))),
        tasks=tasks,
        loads=(),
        stores=(),
        holds=(),
        channel="dram",
        buffer="buffer",
        memory_ticks=Fraction(0),
        latency=latency,
        ports=4,
        access_bytes=Fraction(4),
        buffer_bytes=None,
    )
