"""Three fidelities on one grid: the formula, tile events, and every processing element in every cycle."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import resources
from typing import Any

from fusemap.archspec.archs import load_arch
from fusemap.archspec.schema import SpecModel, validate
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import parse_workload
from fusemap.archspec.yamlnodes import parse_document
from fusemap.einsum_cascade.catalog import load
from fusemap.mappers.dataflow import load_dataflow
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.cost import operand_traffic
from fusemap.sim.cycle_run import CycleRun, run_cycles
from fusemap.sim.cycle_times import Order
from fusemap.sim.evaluate import plan, time_mapping
from fusemap.sim.tile_program import tile_programs
from fusemap.sim.tile_run import run_tiles

ROUNDING = 1e-12  # of the largest output: what adding up in float64 may lose


class SizesModel(SpecModel):
    """One configuration: arrays, head sizes, chunks of keys, tiles of queries, heads."""

    rows: int
    columns: int
    E: int
    F: int
    chunks: int
    tiles: int
    heads: int = 1


class GridModel(SpecModel):
    """The configurations that are run; `dataflows` say in which order the cycle level takes their steps."""

    description: str
    source: str
    cascade: str
    arch: str
    dataflows: dict[str, Order]
    sizes: list[SizesModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One configuration at three fidelities, in cycles.

    `formula` is that of `evaluate` without memory. `tile` is the tile-level run without effects, `tile_filled` with
    the pipeline's start and the ways through the arrays. `steady` are the cycles per iteration that the cycle level
    takes in the middle of the run, `inserted` those of divisions between iterations. `rounding`: see `CycleRun`.
    """

    dataflow: str
    order: str
    rows: int
    columns: int
    E: int
    F: int
    chunks: int
    tiles: int
    heads: int
    iterations: int
    formula: int
    tile: int
    tile_filled: int
    cycle: int
    steady: float
    fill: float
    drain: float
    inserted: int
    registers_2d: int
    registers_1d: int
    ports: int
    stalled: int
    faults: tuple[str, ...]
    rounding: float
    exp_error: float

    @property
    def per_iteration(self) -> Fraction:
        """Cycles per iteration by the formula."""
        return Fraction(self.formula, self.iterations)

    @property
    def over(self) -> int:
        """Cycles that the cycle level takes beyond the formula."""
        return self.cycle - self.formula

    @property
    def explained(self) -> int | None:
        """`over` in closed form, where there is one: +Binding with E = F >= 2 and at least two chunks.

        2F + R + C - 1 cycles of skew and ways; k (2F + 1), in which the lanes have no work yet while LM goes down and
        RM comes back up, k = ceil((2R + 1) / (2F + 10)) iterations. In the last k of these the lanes lack 9 cycles of
        work each, which only divisions of finished tiles can fill that were not `inserted` before. With several heads
        of few tiles one more cycle can be idle.
        """
        if self.order != "interleaved" or self.E != self.F or self.chunks < 2 or self.F < 2:
            return None
        behind = -(-(2 * self.rows + 1) // (2 * self.F + 10))
        idle = divided = 0
        for period in range(behind):
            finished = (self.heads - 1) * self.tiles + max(0, self.tiles - behind + period)
            filled = min(9, self.F * finished - self.inserted - divided)
            divided, idle = divided + filled, idle + 9 - filled
        return 2 * self.F + self.rows + self.columns - 1 + behind * (2 * self.F + 1) + idle

    @property
    def expected_steady(self) -> Fraction | None:
        """Cycles per iteration that the stages take when they are executed, in closed form.

        The formula's, R more until RM is back at the top row, and until the first word of SLNV has come down the
        rows where that takes longer than SPNV.
        """
        if self.order != "stages" or self.E != self.F:
            return None
        return self.per_iteration + self.rows + max(0, self.rows + 1 - self.F)

    @property
    def fits_registers(self) -> bool:
        """False where more words wait at an element than its registers hold."""
        return not any(fault.startswith("registers") for fault in self.faults)

    def disagreements(self) -> tuple[str, ...]:
        """What does not hold; empty where the three agree. That registers do not suffice is a finding, not here."""
        return tuple(self._disagreements())

    def _disagreements(self) -> Iterator[str]:
        if self.tile != self.formula and self.E == self.F:
            yield f"tile level without effects: {self.tile} cycles, formula {self.formula}"
        for fault in (f for f in self.faults if not f.startswith("registers")):
            yield f"cycle level: {fault}"
        if not self.rounding < ROUNDING:
            yield f"output {self.rounding:.2g} from the interpreter"
        slack = 0 if self.heads == 1 else 1
        if self.explained is not None and not 0 <= self.over - self.explained <= slack:
            yield f"cycle level: {self.over} cycles over the formula, fill and drain explain {self.explained}"
        if self.expected_steady is not None and self.expected_steady != Fraction(self.steady):
            yield f"cycle level: {self.steady} cycles per iteration, {float(self.expected_steady)} explained"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossCheck:
    """All configurations of a grid."""

    rows: tuple[Agreement, ...]

    @property
    def agrees(self) -> bool:
        """True where nothing disagrees."""
        return not any(row.disagreements() for row in self.rows)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/validate-simulators/1`."""
        return {
            "schema": "fusemap/validate-simulators/1",
            "agrees": self.agrees,
            "rows": [
                asdict(row)
                | {"over_cycles": row.over, "explained_cycles": row.explained, "fits_registers": row.fits_registers}
                | {"disagreements": list(row.disagreements())}
                for row in self.rows
            ],
        }


def load_grid(name: str = "grid") -> GridModel:
    """A built-in grid.

    >>> len(load_grid().sizes) * len(load_grid().dataflows) >= 30
    True
    """
    file = f"{name}.yaml"
    text = (resources.files("fusemap.validation") / "simulators_grid" / file).read_text(encoding="utf-8")
    return validate(parse_document(text, file=file), GridModel)


def cross_check(grid: GridModel, watch: Any = None) -> CrossCheck:
    """Run every configuration of a grid under each of its dataflows; `watch` is told of each (number, of all)."""
    cases = [(dataflow, order, sizes) for dataflow, order in grid.dataflows.items() for sizes in grid.sizes]
    rows = []
    for number, (dataflow, order, sizes) in enumerate(cases):
        if watch is not None:
            watch(number + 1, len(cases))
        rows.append(agreement(grid, dataflow, order, sizes))
    return CrossCheck(rows=tuple(rows))


def agreement(grid: GridModel, dataflow: str, order: Order, sizes: SizesModel) -> Agreement:
    """One configuration at three fidelities."""
    cascade, machine = load(grid.cascade), machine_of(grid, sizes)
    problem, mapping = plan(cascade, machine, workload_of(sizes), load_dataflow(dataflow), cost=operand_traffic)
    timing = time_mapping(problem, mapping, machine)
    run = run_cycles(cascade, problem, mapping, machine, order=order)
    registers = {a.array: int(a.registers.max()) for a in run.arrays}
    return Agreement(
        dataflow=dataflow,
        order=order,
        **sizes.model_dump(),
        iterations=run.iterations,
        formula=sum(stage.cycles for phase in timing.phases for stage in phase.stages),
        tile=_tiles(grid, problem, mapping, machine, ()),
        tile_filled=_tiles(grid, problem, mapping, machine, ("start", "drain")),
        cycle=run.cycles,
        steady=float(run.steady),
        fill=float(run.fill),
        drain=float(run.drain),
        inserted=run.inserted,
        registers_2d=registers["array_2d"],
        registers_1d=registers["array_1d"],
        ports=max(m.peak for m in run.accesses if m.ports is not None),
        stalled=_stalled(run),
        faults=tuple(map(str, run.faults)),
        rounding=max(run.rounding.values()),
        exp_error=max(run.exp_error.values()),
    )


def _tiles(grid: GridModel, problem: Problem, mapping: Mapping, machine: Machine, effects: tuple[str, ...]) -> int:
    """Cycles of the arrays at the tile level; transfers are not waited for."""
    programs = tile_programs(load(grid.cascade), problem, mapping, machine, effects=effects)
    runs = (run_tiles(p, effects=effects) for p in programs)
    return sum(math.ceil(Fraction(run.computed, run.program.ticks_per_cycle)) for run in runs)


def _stalled(run: CycleRun) -> int:
    """Cycles for which any array waits for another one, summed."""
    return sum(w.end - w.start for w in run.waits)


def machine_of(grid: GridModel, sizes: SizesModel) -> Machine:
    """The grid's machine with arrays of that size."""
    return load_arch(grid.arch, parameters={"rows": sizes.rows, "columns": sizes.columns, "lanes": sizes.columns})


def workload_of(sizes: SizesModel) -> Workload:
    """The workload whose keys make that many chunks, and whose queries that many tiles."""
    ranks = {"B": 1, "H": sizes.heads, "E": sizes.E, "F": sizes.F}
    ranks |= {"M": sizes.rows * sizes.chunks, "P": sizes.columns * sizes.tiles}
    listed = ", ".join(f"{name}: {size}" for name, size in ranks.items())
    return parse_workload(
        f"description: a configuration of the grid\nsource: chosen\nbatch: [B, H]\nranks: {{{listed}}}\n",
        file=f"M={ranks['M']}.yaml",
    )
