"""A steady-state iteration of a cascade that has no mapping: tiles by rule, the array of each Einsum by search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from fusemap.archspec.arithmetic import largest_divisor
from fusemap.archspec.types import Array, Machine, OperatorCost, Workload
from fusemap.diagnostics import did_you_mean, input_error
from fusemap.einsum_cascade.scope import iterative_ranks
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.auto import require_arrays
from fusemap.mappers.modulo_assign import Assignment, least_interval
from fusemap.mappers.modulo_handoff import handoffs
from fusemap.mappers.modulo_types import Schedule, TaskGraph
from fusemap.mappers.space import make_problem
from fusemap.mappers.tasks import Piece, reduced_across, task_graph
from fusemap.mappers.types import EinsumSpace, Loop, Problem
from fusemap.mappers.units import find_units


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Ranks that are stepped from iteration to iteration: (rank, steps, extent of the tile), outside in."""

    over: str
    ranks: tuple[tuple[str, int, int], ...]

    def tile(self, space: EinsumSpace) -> tuple[tuple[str, int], ...]:
        """The ranks of one Einsum with what an iteration does of them."""
        tile = {rank: extent for rank, _, extent in self.ranks}
        return tuple((rank, tile.get(rank, extent)) for rank, extent in space.ranks)

    def every(self, space: EinsumSpace) -> int:
        """Iterations per run of an Einsum that lacks some of the ranks."""
        own = {rank for rank, _ in space.ranks}
        return math.prod(steps for rank, steps, _ in self.ranks if rank not in own)


def steady_schedule(
    cascade: Cascade,
    workload: Workload,
    machine: Machine,
    *,
    over: str | None = None,
    sizes: Mapping[str, int] | None = None,
    assume: Mapping[str, int] | None = None,
    drain: bool = True,
) -> Schedule:
    """The least initiation interval over all choices of an array for each Einsum, with its schedule.

    Rules. A split rank (M = M1*M0) without sizes gets the inner size that is its largest divisor on the first
    dimension of the largest array. An iteration is one step of the iterative rank (chunk), or a tile of a rank
    that is longer than the arrays' dimensions; `over` names it (default: the first of `step_ranks`). Ranks that no
    Einsum of the phase lacks or reduces are tiled as well, at their largest divisor on an array. One tile goes
    through all steps before the next one starts, so that a recurrence has distance 1. Every Einsum is spread over
    the dimensions of its array by the largest divisors; one without the stepped ranks is shared out.
    Operators in `assume` take that many cycles on arrays which lack them. InputError: no array has an operator, a
    size is missing, or a phase reads a result that is complete only after all its iterations.
    """
    machine = _with_operators(machine, assume or {})
    problem = make_problem(
        cascade, workload, {**_inner_tiles(cascade, workload, machine, sizes or {}), **(sizes or {})}
    )
    require_arrays(cascade, problem.spaces, machine)
    phases = _phases(cascade, problem, workload, machine)
    if not phases:
        raise input_error(f"no rank of {cascade.name} is iterative or longer than an array of {machine.name}")
    if over is not None and over not in phases:
        raise input_error(
            f'no Einsum of {cascade.name} is stepped over "{over}"', hint=did_you_mean(over, tuple(phases))
        )
    chosen = over if over is not None else next(iter(phases))
    spaces = {s.name: s for s in phases[chosen]}
    steps = _steps(chosen, tuple(spaces.values()), problem, cascade, workload, machine)
    passed = handoffs(cascade)
    assumed = tuple(f"assumed: {name} takes {cycles} cycles" for name, cycles in (assume or {}).items())

    def graph(pieces: Sequence[Piece]) -> TaskGraph:
        ranks = [rank for rank, _, _ in steps.ranks]
        made = task_graph(f"{cascade.name} over {chosen}", pieces, passed, spaces, {}, ranks)
        loops = tuple((rank, count) for rank, count, _ in steps.ranks)
        return replace(made, loops=loops, notes=(*made.notes, *problem.notes, *assumed))

    options = tuple(tuple(_pieces(s, machine, steps, drain)) for s in spaces.values())
    return least_interval(Assignment(options=options, graph=graph))


def steady_graph(
    cascade: Cascade,
    workload: Workload,
    machine: Machine,
    *,
    over: str | None = None,
    sizes: Mapping[str, int] | None = None,
    assume: Mapping[str, int] | None = None,
    drain: bool = True,
) -> TaskGraph:
    """The task graph of `steady_schedule`."""
    return steady_schedule(cascade, workload, machine, over=over, sizes=sizes, assume=assume, drain=drain).graph


def step_ranks(
    cascade: Cascade,
    workload: Workload,
    machine: Machine,
    *,
    sizes: Mapping[str, int] | None = None,
) -> tuple[str, ...]:
    """The ranks that phases of the cascade are stepped over: iterative ones, then long ones."""
    problem = make_problem(
        cascade, workload, {**_inner_tiles(cascade, workload, machine, sizes or {}), **(sizes or {})}
    )
    return tuple(_phases(cascade, problem, workload, machine))


def _with_operators(machine: Machine, assume: Mapping[str, int]) -> Machine:
    def extended(array: Array) -> Array:
        lacking = {name: cycles for name, cycles in assume.items() if array.find((name,)) is None}
        costs = (
            OperatorCost(pattern=(name,), cycles=cycles, actions=(), source="assumed", where=array.where)
            for name, cycles in lacking.items()
        )
        return replace(array, operators=(*array.operators, *costs))

    return replace(machine, arrays=tuple(extended(array) for array in machine.arrays))


def _inner_tiles(cascade: Cascade, workload: Workload, machine: Machine, sizes: Mapping[str, int]) -> dict[str, int]:
    """Inner sizes of the ranks that are split in two, where none is given."""
    known = {**workload.sizes, **sizes}
    alias = {str(s.name): str(s.factors[0]) for s in cascade.shapes if len(s.factors) == 1}
    rows = max(machine.arrays, key=lambda a: a.pes).dims[0].extent
    tiles: dict[str, int] = {}
    for shape in cascade.shapes:
        factors = [str(f) for f in shape.factors]
        whole = known.get(str(shape.name), known.get(alias.get(str(shape.name), "")))
        if len(factors) == 2 and whole is not None and not known.keys() & {*factors}:
            tiles[factors[1]] = largest_divisor(whole, rows)
    return tiles


def _phases(
    cascade: Cascade, problem: Problem, workload: Workload, machine: Machine
) -> dict[str, tuple[EinsumSpace, ...]]:
    """Einsums by the rank that they are stepped over; one without such a rank goes with what it reads."""
    iterative = [str(v) for v in iterative_ranks(cascade)]
    longest = max(dim.extent for array in machine.arrays for dim in array.dims)
    batch = {rank.lower() for rank in workload.batch}
    written = [r for s in problem.spaces for r in s.output.ranks]
    long = {r for s in problem.spaces for r, extent in s.ranks if extent > longest and r not in batch}
    ranks = [*iterative, *sorted(long - {*iterative}, key=lambda r: (-written.count(r), r))]
    step: dict[str, str] = {}
    for space in problem.spaces:
        own = {r for r, _ in space.ranks}
        found = next((r for r in ranks if r in own), None)
        if found is not None:
            step[space.name] = found
    _join(step, problem, set(iterative))
    _attach(step, problem)
    order = sorted({*step.values()}, key=ranks.index)
    return {r: tuple(s for s in problem.spaces if step.get(s.name) == r) for r in order}


def _join(step: dict[str, str], problem: Problem, iterative: set[str]) -> None:
    """What divides or scales the result of a recurrence, tile by tile, goes with the recurrence."""
    outputs = {s.name: s.output.ranks for s in problem.spaces}
    for space in problem.spaces:
        for tensor in problem.reads[space.name]:
            own, made = step.get(space.name), step.get(tensor)
            if own not in iterative and own is not None and made in iterative and made is not None:
                mates = [outputs[n] for n, r in step.items() if r == made and made in outputs[n]]
                if all(own in ranks for ranks in mates):
                    step[space.name] = made


def _attach(step: dict[str, str], problem: Problem) -> None:
    """Give the other Einsums the step of the last one they read, else of the first that reads them."""
    reads = problem.reads
    names = [s.name for s in problem.spaces]
    for name in names:
        made = [step[t] for t in reads[name] if t in step]
        if name not in step and made:
            step[name] = made[-1]
    for name in reversed(names):
        readers = [step[r] for r in names if r in step and name in reads[r]]
        if name not in step and readers:
            step[name] = readers[0]


def _steps(
    over: str,
    spaces: Sequence[EinsumSpace],
    problem: Problem,
    cascade: Cascade,
    workload: Workload,
    machine: Machine,
) -> Steps:
    batch = tuple(rank.lower() for rank in workload.batch)
    extent = {r: n for s in spaces for r, n in s.ranks}
    widest = max(dim.extent for array in machine.arrays for dim in array.dims)
    inside = [s for s in spaces if any(r == over for r, _ in s.ranks)]
    shared = set.intersection(*({*s.output.ranks} for s in inside)) - {over, *batch}
    stepped = [(r, extent[r], 1) for r in batch if r in extent]
    for rank in sorted(shared):
        tile = largest_divisor(extent[rank], widest)
        if tile < extent[rank]:
            stepped.append((rank, extent[rank] // tile, tile))
    iterative = {str(v) for v in iterative_ranks(cascade)}
    tile = 1 if over in iterative else largest_divisor(extent[over], widest)
    return Steps(over=over, ranks=(*stepped, (over, extent[over] // tile, tile)))


def _pieces(space: EinsumSpace, machine: Machine, steps: Steps, drain: bool) -> list[Piece]:
    """The Einsum on each array that can compute it."""
    tile, every = steps.tile(space), steps.every(space)
    points = math.prod(extent for _, extent in tile)
    pieces = []
    for array in machine.arrays:
        found = find_units(array, space.operators)
        if found is None:
            continue
        spread = _spread(space, tile, array)
        lanes = math.prod(loop.bound for loop in spread)
        cycles = Fraction(points * sum(unit.cycles for unit in found), lanes * every)
        left = sum(reduced_across(space, [loop]) for loop in spread if loop.bound > 1) if drain else 0
        pieces.append(Piece(einsum=space.name, array=array.name, cycles=cycles, every=every, drain=left))
    return pieces


def _spread(space: EinsumSpace, tile: Sequence[tuple[str, int]], array: Array) -> tuple[Loop, ...]:
    """Ranks on the array's dimensions with most lanes in use; ranks of the output first among equals."""
    free = sorted((item for item in tile if item[1] > 1), key=lambda item: item[0] not in space.output.ranks)
    best: tuple[Loop, ...] = ()
    for chosen in itertools.permutations(free, min(len(array.dims), len(free))):
        spread = tuple(
            Loop(rank=rank, bound=largest_divisor(extent, dim.extent))
            for (rank, extent), dim in zip(chosen, array.dims, strict=False)
        )
        if not best or math.prod(p.bound for p in spread) > math.prod(p.bound for p in best):
            best = spread
    return best
