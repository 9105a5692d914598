"""The numbers behind a tile-level run: every task computes its tile, in the order of the simulated time.

The check on the schedule: it knows when tasks started and ended, the loops of the nests and the words of the
tensors, and nothing of the dependences that the schedule was made from. For small shapes only: it visits every point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.interpreter import run as interpret
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.types import Access, Cascade
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Mapping, Problem, Storage
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.fused_stream import combine
from fusemap.sim.fused_words import POINT, Computation, Floats, Index, Ints, Touch, Words, value
from fusemap.sim.tile_program import tile_programs
from fusemap.sim.tile_run import TileEvent, TileRun, run_tiles
from fusemap.sim.tile_types import EFFECTS, Effect, TileLoop

MOST_POINTS = 1 << 24  # of all Einsums together
START = -1  # when inputs and start values are there


@dataclass(frozen=True, slots=True, kw_only=True)
class TileFault:
    """A task that starts before `words` of a tensor are made (`early`), or words that nothing makes (`missing`)."""

    kind: str
    einsum: str
    tensor: str
    words: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileValues:
    """Inputs and outputs by name, batch ranks first; `faults` is empty where every task had what it reads."""

    inputs: AbstractMapping[str, Floats]
    outputs: AbstractMapping[str, Floats]
    faults: tuple[TileFault, ...]


def run_values(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    runs: Sequence[TileRun],
    *,
    seed: int = 0,
    inputs: AbstractMapping[str, ArrayLike] | None = None,
) -> TileValues:
    """Compute the cascade's outputs tile by tile, in the order in which the recorded tasks started.

    `runs` are those of all phases, recorded from end to end. Inputs that are not given are standard normal.
    InputError: too many points, a run that was not recorded in full or lacks the effect `start`, or a cascade with
    filters or indices that are data.
    """
    _require_few(problem)
    return _Values(cascade, problem, mapping, seed, inputs or {}).run(runs)


def simulate_values(
    cascade: Cascade,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    *,
    accounting: Accounting = PRINCIPLED,
    effects: Sequence[Effect] = EFFECTS,
    seed: int = 0,
    inputs: AbstractMapping[str, ArrayLike] | None = None,
) -> TileValues:
    """As `run_values`, of the mapping's tile-level run under the given effects."""
    _require_few(problem)
    programs = tile_programs(cascade, problem, mapping, machine, accounting=accounting, effects=effects)
    runs = [run_tiles(p, effects=effects, extrapolate=False, record=p.iterations + p.lag) for p in programs]
    return run_values(cascade, problem, mapping, runs, seed=seed, inputs=inputs)


def largest_difference(cascade: Cascade, problem: Problem, values: TileValues) -> float:
    """max |simulated - interpreted| / max |interpreted| over all outputs, the interpreter run for every batch index."""
    shapes = scope.known_shapes(cascade)
    sizes = {name: size for name, size in problem.sizes if name in shapes}
    words = Words(cascade, problem)
    largest = 0.0
    for at in np.ndindex(*(extent for _, extent in words.batch)):
        expected = interpret(cascade, sizes, {name: array[at] for name, array in values.inputs.items()})
        for name, array in expected.items():
            scale = float(np.max(np.abs(array), initial=0.0)) or 1.0
            off = float(np.max(np.abs(values.outputs[name][at] - array), initial=0.0)) / scale
            largest = float(np.maximum(largest, off))  # not a number stays so
    return largest


def _require_few(problem: Problem) -> None:
    points = sum(space.points for space in problem.spaces)
    if points > MOST_POINTS:
        raise input_error(
            f"the tiles of {problem.cascade} have {points:,} points: too many to compute (at most {MOST_POINTS:,})",
            hint="give smaller sizes, such as --size B=1 --size H=1, or a smaller machine",
        )


class _Values:
    def __init__(
        self,
        cascade: Cascade,
        problem: Problem,
        mapping: Mapping,
        seed: int,
        inputs: AbstractMapping[str, ArrayLike],
    ) -> None:
        self.words = Words(cascade, problem)
        self.problem = problem
        self.mapping = mapping
        self.value = {t: np.full(math.prod(shape), np.nan) for t, shape in self.words.shapes.items()}
        self.ready = {t: np.full(v.size, START, dtype=object) for t, v in self.value.items()}
        self.missing = {t: np.zeros(v.size, np.int64) for t, v in self.value.items()}
        self.faults: list[TileFault] = []
        self.inputs = self._inputs(seed, inputs)
        self._start_values()
        for computation in self.words.computations.values():
            numbers = self.words.number(computation.writes, self.words.grid(computation.space.ranks)).ravel()
            tensor = computation.writes.tensor
            self.missing[tensor] += np.bincount(numbers, minlength=self.missing[tensor].size)

    def run(self, runs: Sequence[TileRun]) -> TileValues:
        """All phases, one after another."""
        begin = 0
        for run in runs:
            tasks = [e for e in run.events if e.kind == "work"]
            if len(tasks) < run.program.task_runs:
                raise input_error(f"the run of {run.program.phase} was not recorded from end to end")
            if "start" not in run.effects:
                raise input_error(
                    "without the effect start the first iterations follow the last ones: their numbers mean nothing",
                    hint="simulate with --effect start, or with all effects",
                )
            for event in sorted(tasks, key=lambda e: (e.start, e.end)):
                self._tile(run.program.loops, event, begin)
            begin += run.ticks
        return TileValues(inputs=self.inputs, outputs=self._outputs(), faults=tuple(self.faults))

    def _inputs(self, seed: int, given: AbstractMapping[str, ArrayLike]) -> dict[str, Floats]:
        generator = np.random.default_rng(seed)
        found = {}
        for name in (str(n) for n in scope.input_names(self.words.cascade)):
            drawn = generator.standard_normal(self.words.shape(name))
            found[name] = np.broadcast_to(np.asarray(given.get(name, drawn), np.float64), drawn.shape).copy()
            self.value[name][:] = found[name].ravel()
        return found

    def _start_values(self) -> None:
        for einsum in self.words.cascade.inits:
            name = str(einsum.name)
            ranks = (*self.words.batch, *((str(v), self.words.extents.ranges[v]) for v in scope.variables_of(einsum)))
            index = self.words.grid(ranks)
            read = {a: self.value[a.tensor][self.words.located(a.tensor, a, index)] for a in scope.accesses(einsum)}
            here = self.words.located(name, einsum.output, index)
            self.value[name][here] = value(einsum.expr, read.__getitem__, index, self.words.sizes)

    def _tile(self, loops: Sequence[TileLoop], event: TileEvent, begin: int) -> None:
        computation = self.words.computations[event.name]
        index = tile_index(computation.space, self.mapping.nest(event.name), loops, event.iteration)
        factors: dict[Access, Floats] = {}
        for touch in computation.reads:
            numbers = self.words.number(touch, index)
            self._check(event, touch, numbers, begin + event.start)
            factors[touch.access] = self.value[touch.tensor][numbers]
        with np.errstate(all="ignore"):
            result = value(computation.einsum.expr, factors.__getitem__, index, self.words.sizes)
        self._write(computation, index, result, begin + event.end)

    def _check(self, event: TileEvent, touch: Touch, numbers: Ints, start: int) -> None:
        tensor, wanted = touch.tensor, np.unique(numbers)
        late = wanted[(self.missing[tensor][wanted] > 0) | (self.ready[tensor][wanted] > start)]
        if late.size:
            at = list(self.words.coordinate(tensor, int(late[0])))
            message = f"{event.name} of iteration {event.iteration} starts before {tensor}{at} is made"
            self.faults.append(
                TileFault(kind="early", einsum=event.name, tensor=tensor, words=late.size, message=message)
            )

    def _write(self, computation: Computation, index: Index, result: Floats, end: int) -> None:
        tensor, reduce = computation.writes.tensor, computation.einsum.reduce
        operator = None if reduce is None else BUILTIN.reduction(reduce.operator)
        numbers = self.words.number(computation.writes, index)
        begun = np.unique(numbers)
        empty = begun[np.isnan(self.value[tensor][begun])]
        self.value[tensor][empty] = 0.0 if operator is None or operator.identity is None else operator.identity
        with np.errstate(all="ignore"):
            combine(operator, self.value[tensor], numbers.ravel(), np.broadcast_to(result, numbers.shape).ravel())
        np.subtract.at(self.missing[tensor], numbers.ravel(), 1)
        self.ready[tensor][begun] = end

    def _outputs(self) -> dict[str, Floats]:
        found = {}
        for name in (str(n) for n in scope.outputs(self.words.cascade)):
            tensor = self.words.source(name)
            lacking = np.flatnonzero(self.missing[tensor] > 0)
            if lacking.size:
                at = list(self.words.coordinate(tensor, int(lacking[0])))
                message = f"the output {name}{at} is never made ({lacking.size} such words)"
                self.faults.append(
                    TileFault(kind="missing", einsum="", tensor=name, words=lacking.size, message=message)
                )
            found[name] = self.words.seen_as(name, self.value[tensor])
        return found


def tile_index(space: EinsumSpace, nest: EinsumMapping, loops: Sequence[TileLoop], iteration: int) -> Index:
    """The coordinates of every rank at all points of one tile: the loops are digits, outermost first.

    A loop that the nest shares with its phase stands at the iteration's digit, where it has the same rank.
    """
    digits: list[int] = []
    for loop in reversed(loops):
        iteration, digit = divmod(iteration, loop.bound)
        digits.insert(0, digit)
    ranks = {rank for rank, _ in space.ranks}
    shared = [(loop, digit) for loop, digit in zip(loops, digits, strict=True) if loop.rank in ranks]
    weight, fixed = dict(space.ranks), {rank: 0 for rank in ranks}
    inner: list[tuple[str, int, int]] = []  # rank, bound, weight of a step
    for level in nest.levels:
        for p in level.loops:
            bound = p.bound
            if isinstance(level, Storage) and bound > 1 and shared and _same(shared[0][0], p.rank, bound):
                loop, digit = shared.pop(0)
                weight[p.rank] //= loop.bound
                fixed[p.rank] += digit * weight[p.rank]
                bound //= loop.bound
            if bound > 1:
                weight[p.rank] //= bound
                inner.append((p.rank, bound, weight[p.rank]))
    grid = np.indices([bound for _, bound, _ in inner] or [1]).reshape(max(len(inner), 1), -1)
    index = {rank: np.full(grid.shape[1], at, dtype=np.int64) for rank, at in fixed.items()}
    for (rank, _, step), at in zip(inner, grid, strict=False):
        index[rank] = index[rank] + at * step
    return index | {POINT: np.zeros(grid.shape[1], dtype=np.int64)}


def _same(loop: TileLoop, rank: str, bound: int) -> bool:
    return loop.rank == rank and bound % loop.bound == 0
