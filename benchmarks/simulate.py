"""How fast tile-level runs are: event by event, beside plain event loops, and with repetition skipped.

    python benchmarks/simulate.py [--repeat N] [--models BERT,XLM] [--lengths 1K,4K,...] [--sides 2,4,...]

CPU times are of this process after its imports; the best of `--repeat`. The first table runs every event of +Binding
at BERT@1K. The loops beside it run the same tasks with the same stages and dependences, without loads and stores: one
has a heap of ready tasks, one a heap of generators that wait for each other, as general simulation kernels do. All end
at the same tick, which is checked. The second table skips what repeats; memory is the peak of Python objects, in a run
of its own. The third is the cycle level: operation cycles of all elements, for arrays that grow.
"""

from __future__ import annotations

import argparse
import heapq
import os
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Generator
from typing import TypeVar

from fusemap.archspec.archs import load_arch
from fusemap.archspec.workloads import load_workload, parse_workload
from fusemap.cli.output import table
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.dataflow import load_dataflow
from fusemap.sim.cost import operand_traffic
from fusemap.sim.cycle_run import run_cycles
from fusemap.sim.evaluate import plan
from fusemap.sim.tile_program import tile_programs
from fusemap.sim.tile_run import run_tiles
from fusemap.sim.tile_types import EFFECTS, TileProgram, TileTask

EVENTS_PER_S_LIMIT, EVENTS_LIMIT, CPU_S_LIMIT = 300_000, 1_000_000, 5.0
PLAIN = ("start", "drain")
_T = TypeVar("_T")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each case (default 3)")
    parser.add_argument("--models", default="BERT,XLM")
    parser.add_argument("--lengths", default="1K,4K,16K,64K,256K,1M")
    parser.add_argument("--sides", default="2,4,8,16,32,64", help="of the arrays at the cycle level")
    options = parser.parse_args()
    load_average = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load_average}, Python {sys.version.split()[0]}, best of {options.repeat}\n")
    head = ["event by event, BERT@1K", "events", "CPU s", "events/s", "limit", ""]
    print(table(list(one_by_one(options.repeat)), head, "lrrrrl"))
    rows = [
        skipped(f"{model}@{length}", options.repeat)
        for model in options.models.split(",")
        for length in options.lengths.split(",")
    ]
    head = ["skipping repetition", "represented", "executed", "limit", "CPU s", "limit", "peak MiB", ""]
    print(f"\n{table(rows, head, 'lrrrrrrl')}")
    head = ["cycle level, 16 iterations", "cycles", "operations", "CPU s", "cycles/s", "operations/s", "peak MiB"]
    print(f"\n{table([in_cycles(int(side)) for side in options.sides.split(',')], head, 'lrrrrrr')}")


def program_of(workload: str, effects: tuple[str, ...] = EFFECTS) -> TileProgram:
    """FuseMax's +Binding as tile tasks."""
    cascade, machine = load("attention-1pass"), load_arch("fusemax-cloud")
    problem, mapping = plan(cascade, machine, load_workload(workload), load_dataflow("fusemax-binding"))
    (program,) = tile_programs(cascade, problem, mapping, machine, effects=effects)
    return program


def one_by_one(repeat: int) -> list[list[str]]:
    """Rows of the first table."""
    full, plain = program_of("BERT@1K"), program_of("BERT@1K", PLAIN)
    whole, run = best(lambda: run_tiles(full, extrapolate=False), repeat)
    rows = [rate("fusemap, all effects", run.executed, whole, EVENTS_PER_S_LIMIT)]
    seconds, run = best(lambda: run_tiles(plain, effects=PLAIN, extrapolate=False), repeat)
    rows.append(rate("fusemap, tasks only", run.executed, seconds, EVENTS_PER_S_LIMIT))
    kernels = {"a heap of tasks, tasks only": heap_of_tasks, "a heap of generators, tasks only": heap_of_generators}
    for name, kernel in kernels.items():
        seconds, ticks = best(lambda kernel=kernel: kernel(plain), repeat)  # type: ignore[misc]
        if ticks != run.ticks:
            raise AssertionError(f"{name} ends at {ticks}, not {run.ticks}")
        rows.append(rate(name, run.executed, seconds, None))
    return rows


def rate(name: str, events: int, seconds: float, limit: int | None) -> list[str]:
    """A row of the first table."""
    over = "UNDER" if limit is not None and events / seconds < limit else ""
    shown = f"{limit:,}" if limit is not None else ""
    return [name, f"{events:,}", f"{seconds:.2f}", f"{events / seconds:,.0f}", shown, over]


def skipped(workload: str, repeat: int) -> list[str]:
    """A row of the second table: all effects."""
    program = program_of(workload)
    seconds, run = best(lambda: run_tiles(program), repeat)
    tracemalloc.start()
    run_tiles(program)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    over = "OVER" if run.executed > EVENTS_LIMIT or seconds > CPU_S_LIMIT else ""
    counts = [f"{run.represented:,}", f"{run.executed:,}", f"{EVENTS_LIMIT:,}"]
    return [workload, *counts, f"{seconds:.2f}", f"{CPU_S_LIMIT:g}", f"{peak / 2**20:.1f}", over]


def in_cycles(side: int) -> list[str]:
    """A row of the third table: E = F = 16, four chunks of keys, four tiles of queries; compiled and executed."""
    cascade, machine = load("attention-1pass"), load_arch("fusemax-cloud", parameters={"pe": side})
    ranks = f"{{B: 1, H: 1, E: 16, F: 16, M: {4 * side}, P: {4 * side}}}"
    sizes = parse_workload(f"description: a benchmark\nsource: chosen\nbatch: [B, H]\nranks: {ranks}\n")
    problem, mapping = plan(cascade, machine, sizes, load_dataflow("fusemax-binding"), cost=operand_traffic)
    seconds, run = best(lambda: run_cycles(cascade, problem, mapping, machine), 1)
    tracemalloc.start()
    run_cycles(cascade, problem, mapping, machine)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    done = sum(array.busy for array in run.arrays)
    rates = [f"{run.cycles / seconds:,.0f}", f"{done / seconds:,.0f}"]
    return [f"{side} x {side}", f"{run.cycles:,}", f"{done:,}", f"{seconds:.2f}", *rates, f"{peak / 2**20:.1f}"]


def best(work: Callable[[], _T], repeat: int) -> tuple[float, _T]:
    """Least CPU seconds of some runs, and what the last one gives."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        found = work()
        seconds.append(time.process_time() - start)
    return min(seconds), found


# --- the same tasks in plain event loops ------------------------------------------------------------------


def runs(program: TileProgram, task: TileTask, iteration: int) -> bool:
    """Whether the task runs in this iteration."""
    inner, digits = program.iterations, []
    for loop in program.loops:
        inner //= loop.bound
        digits.append(iteration // inner % loop.bound)
    return all(digits[k] == (program.loops[k].bound - 1 if task.at_end else 0) for k in task.skips)


def reads(program: TileProgram, task: TileTask, iteration: int) -> list[tuple[int, int, int]]:
    """(producer, iteration, delay) of what a run needs."""
    found = []
    for need in task.needs:
        inner = 1
        for loop in program.loops[need.loop + 1 :]:
            inner *= loop.bound
        if need.digit and iteration // inner % program.loops[need.loop].bound < need.digit:
            continue
        source = iteration - need.distance
        if source >= 0 and runs(program, program.tasks[need.producer], source):
            found.append((need.producer, source, need.delay))
    return found


def stage_list(program: TileProgram) -> list[list[tuple[int, TileTask, int]]]:
    """(number, task, iteration) of every stage of every slot, in order."""
    found = []
    for slot in range(program.iterations + program.lag):
        at = [(n, t, slot - t.lag) for n, t in enumerate(program.tasks) if 0 <= slot - t.lag < program.iterations]
        there = [(n, t, i) for n, t, i in at if runs(program, t, i)]
        for stage in range(len(program.stages)):
            mine = [item for item in there if item[1].stage == stage]
            if mine:
                found.append(mine)
    return found


def heap_of_tasks(program: TileProgram) -> int:
    """When all are done: an event is the end of a task, popped from a heap; the last one of a stage begins the next."""
    stages = stage_list(program)
    ends: dict[tuple[int, int], int] = {}
    heap: list[tuple[int, int, int, int]] = []  # end, array, task, iteration
    now = 0
    for mine in stages:
        queues: dict[int, list[tuple[int, TileTask, int]]] = defaultdict(list)
        for item in reversed(mine):
            queues[item[1].array].append(item)
        blocked = list(queues)
        while heap or blocked:
            still = []
            for array in blocked:
                number, task, iteration = queues[array][-1]
                sources = reads(program, task, iteration)
                if any((p, i) not in ends for p, i, _ in sources):
                    still.append(array)
                    continue
                queues[array].pop()
                start = max([now, *(ends[p, i] + delay for p, i, delay in sources)])
                heapq.heappush(heap, (start + task.ticks, array, number, iteration))
            blocked = still
            if heap:
                now, array, number, iteration = heapq.heappop(heap)
                ends[number, iteration] = now
                if queues[array]:
                    blocked.append(array)
        now += program.stages[mine[0][1].stage].stall
    return now


class Kernel:
    """Generators that yield a time to wait, or a signal to wait for; as SimPy has it, with nothing else."""

    def __init__(self) -> None:
        self.now, self.order = 0, 0
        self.heap: list[tuple[int, int, Generator[object, None, None]]] = []
        self.waiting: dict[object, list[Generator[object, None, None]]] = defaultdict(list)
        self.fired: dict[object, int] = {}

    def at(self, when: int, process: Generator[object, None, None]) -> None:
        """Go on with a process then."""
        self.order += 1
        heapq.heappush(self.heap, (when, self.order, process))

    def fire(self, signal: object) -> None:
        """Wake up who waits."""
        self.fired[signal] = self.now
        for process in self.waiting.pop(signal, []):
            self.at(self.now, process)

    def run(self) -> int:
        """The time at which nothing is left to do."""
        while self.heap:
            self.now, _, process = heapq.heappop(self.heap)
            wanted = next(process, None)
            if isinstance(wanted, int):
                self.at(self.now + wanted, process)
            elif wanted is not None:
                if wanted in self.fired:
                    self.at(self.now, process)
                else:
                    self.waiting[wanted].append(process)
        return self.now


def heap_of_generators(program: TileProgram) -> int:
    """When all are done: a process per array, which waits for signals of other ones."""
    kernel, stages = Kernel(), stage_list(program)
    left = [len({t.array for _, t, _ in mine}) for mine in stages]
    used = [
        {array: [x for x in mine if x[1].array == array] for array in range(len(program.arrays))} for mine in stages
    ]

    def array(which: int) -> Generator[object, None, None]:
        for number, mine in enumerate(used):
            if not mine[which]:
                continue
            if number:
                yield ("stage", number - 1)
            for task_number, task, iteration in mine[which]:
                for producer, source, delay in reads(program, task, iteration):
                    yield ("task", producer, source)
                    late = kernel.fired["task", producer, source] + delay - kernel.now
                    if late > 0:
                        yield late
                yield task.ticks
                kernel.fire(("task", task_number, iteration))
            left[number] -= 1
            if not left[number]:
                stall = program.stages[mine[which][0][1].stage].stall
                if stall:
                    yield stall
                kernel.fire(("stage", number))

    for which in range(len(program.arrays)):
        kernel.at(0, array(which))
    return kernel.run()


if __name__ == "__main__":
    main()
