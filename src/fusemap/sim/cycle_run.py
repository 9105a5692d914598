"""Run a cascade on an accelerator cycle by cycle, and say what came out: cycles, faults, numbers.

>>> import fusemap as fm
>>> from fusemap.archspec.workloads import parse_workload
>>> from fusemap.sim.evaluate import plan
>>> tiny = parse_workload(
...     "description: tiny\\nsource: made up\\nbatch: [B, H]\\nranks: {B: 1, H: 1, E: 2, F: 2, M: 6, P: 4}"
... )
>>> cascade, machine = fm.load_cascade("attention-1pass"), fm.load_arch("fusemax-cloud", parameters={"pe": 2})
>>> problem, mapping = plan(cascade, machine, tiny, fm.load_dataflow("fusemax-binding"))
>>> run = run_cycles(cascade, problem, mapping, machine)
>>> run.faults, run.interval, run.iterations, run.outputs["AV"].shape
((), 14, 6, (1, 1, 2, 4))
>>> run.rounding["AV"] < 1e-14, run.exp_error["AV"] < 1e-6
(True, True)
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusemap.archspec.types import Machine
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.modulo_types import TaskGraph
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.cycle_accesses import Accesses, accesses
from fusemap.sim.cycle_compile import Compiled, compile_cascade, random_inputs
from fusemap.sim.cycle_errors import errors
from fusemap.sim.cycle_machine import ArrayRun, Executed, execute
from fusemap.sim.cycle_numbers import Floats, number_format
from fusemap.sim.cycle_stages import Wait
from fusemap.sim.cycle_tiles import gathered, places_of
from fusemap.sim.cycle_timeline import timeline
from fusemap.sim.cycle_times import Order, Timetable
from fusemap.sim.cycle_types import Fault, Program
from fusemap.sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleRun:
    """What a run at the cycle level was: all times in cycles.

    `interval` is what the schedule promises without divisions (None for stages), `inserted` the cycles that these add
    while iterations begin. `ends` says when element (0, 0) is done with iteration n: cycles = fill + interval +
    (ends[-1] - ends[0]) + drain. `words` has a row (read, written) per cycle, all memories together. `rounding` is
    the largest difference to the cascade's meaning with the same exp, `exp_error` what that exp changes, both
    relative to the largest element.
    """

    cascade: str
    arch: str
    order: Order
    number: str
    cycles: int
    iterations: int
    interval: int | None
    inserted: int
    ends: tuple[int, ...]
    fill: Fraction
    drain: Fraction
    arrays: tuple[ArrayRun, ...]
    depths: tuple[int, ...]
    accesses: tuple[Accesses, ...]
    words: NDArray[np.int64]
    waits: tuple[Wait, ...]
    faults: tuple[Fault, ...]
    outputs: AbstractMapping[str, Floats]
    rounding: AbstractMapping[str, float]
    exp_error: AbstractMapping[str, float]
    timetable: Timetable
    program: Program
    clock_hz: float

    @property
    def steady(self) -> Fraction:
        """Cycles per iteration in the middle half of the run, from end to end of iterations."""
        n = len(self.ends)
        low, high = n // 4, max(n // 4 + 1, n - 1 - n // 4)
        return Fraction(self.ends[high] - self.ends[low], high - low) if n > 1 else Fraction(self.cycles)

    def timeline(self, first: int = 0, last: int | None = None) -> Timeline:
        """What single elements did from the end of iteration `first` - 1 to that of iteration `last`, and why not."""
        last = min(first + 2, self.iterations - 1) if last is None else last
        return timeline(
            self.program,
            self.accesses,
            self.waits,
            name=f"{self.cascade} on {self.arch}, {self.order}",
            clock_hz=self.clock_hz,
            first=self.ends[first - 1] if first else 0,
            last=self.ends[last],
        )

    def utilization(self, array: str) -> float:
        """Operation cycles of all elements / (elements x cycles of the run)."""
        found = next(a for a in self.arrays if a.array == array)
        return found.busy / (found.rows * found.columns * self.cycles)


def run_cycles(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    *,
    number: str = "float64",
    order: Order = "interleaved",
    inputs: AbstractMapping[str, ArrayLike] | None = None,
    seed: int = 0,
    graph: TaskGraph | None = None,
) -> CycleRun:
    """Compile and execute a mapped cascade; inputs are drawn with `seed` if none are given.

    `order`: the paper's interleaving of unit steps ("interleaved"), tile tasks in one go ("whole"), or the stages of
    the mapping's binding one after another ("stages"). InputError for what the cycle level cannot run.
    """
    given = random_inputs(problem, cascade, seed) if inputs is None else inputs
    rounded = {name: number_format(number).round(np.asarray(v, dtype=np.float64)) for name, v in given.items()}
    compiled = compile_cascade(cascade, problem, mapping, machine, rounded, order=order, graph=graph)
    executed = execute(compiled.program, compiled.values, number=number_format(number))
    names = tuple(name for name, _ in compiled.motions if name in problem.external)
    outputs = {name: output(compiled, executed, name) for name in names}
    rounding, exp_error = errors(cascade, compiled.words, rounded, outputs)
    return _result(cascade, machine, number, compiled, executed, outputs, rounding, exp_error)


def _result(
    cascade: Cascade,
    machine: Machine,
    number: str,
    compiled: Compiled,
    executed: Executed,
    outputs: AbstractMapping[str, Floats],
    rounding: AbstractMapping[str, float],
    exp_error: AbstractMapping[str, float],
) -> CycleRun:
    times = compiled.timetable
    used = accesses(compiled.program, machine)
    ends = _ends(times, executed.first)
    interval = Fraction(times.interval) if times.interval else Fraction(ends[-1] - ends[0], max(1, len(ends) - 1))
    return CycleRun(
        cascade=cascade.name,
        arch=machine.name,
        order=times.order,
        number=number,
        cycles=executed.cycles,
        iterations=times.iterations,
        interval=times.interval,
        inserted=times.inserted,
        ends=ends,
        fill=ends[0] - interval,
        drain=Fraction(executed.cycles - ends[-1]),
        arrays=executed.arrays,
        depths=tuple(a.depth for a in compiled.program.arrays),
        accesses=used,
        words=executed.words,
        waits=compiled.waits,
        faults=(*executed.faults, *(fault for a in used for fault in a.faults())),
        outputs=outputs,
        rounding=rounding,
        exp_error=exp_error,
        timetable=times,
        program=compiled.program,
        clock_hz=machine.clock_hz,
    )


def _ends(times: Timetable, first: int) -> tuple[int, ...]:
    """When each iteration's last operation ends at element (0, 0), from the first cycle of the run on."""
    ends: dict[int, int] = {}
    recurring = {name for (name, run), _ in times.cycles if run == times.iterations - 1}
    for (name, run), cycles in times.cycles:
        if name in recurring:
            ends[run] = max(ends.get(run, 0), cycles[-1] + 1 - first)
    return tuple(ends[run] for run in sorted(ends))


def output(compiled: Compiled, executed: Executed, tensor: str) -> Floats:
    """A tensor that is in memory at the end; NaN where it was never written."""
    places = places_of(compiled.program, dict(compiled.places), tensor)
    return gathered(compiled.words, dict(compiled.motions)[tensor], places, executed.memory)
