"""Mappings for tests of the tile-level simulator: the published configurations, every dataflow small, every cascade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from dataflow_cases import MACHINES, attention, dataflow, open_sizes, pairs
from studies import bench

import fusemap as fm
from fusemap.archspec.types import Machine
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade import catalog
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import Mapping, Problem
from fusemap.sim.accounting import PRINCIPLED, Accounting
from fusemap.sim.evaluate import plan
from fusemap.sim.tile_program import tile_programs
from fusemap.sim.tile_run import TileRun, run_tiles
from fusemap.sim.tile_types import EFFECTS, Effect, TileProgram
from fusemap.validation.accounting import accounting

UNMAPPED = frozenset(  # named here, as finding out takes seconds in every process that collects tests
    [
        "acmil",
        "acmil-stkim",
        "acmil-stkim-streaming",
        "acmil-streaming",
        "act",
        "act-streaming",
        "aem",
        "aem-streaming",
        "attentive-statistics",
        "cascade-3",
        "cross-entropy",
        "distillation",
        "dma",
        "dma-streaming",
        "ela",
        "entropy-attention",
        "gaam",
        "gaam-streaming",
        "graph-of-tokens",
        "graph-of-tokens-streaming",
        "layernorm",
        "layernorm-matmul",
        "layernorm-moments",
        "lightning",
        "lightning-chunked",
        "linear-attention-causal",
        "linear-attention-causal-streaming",
        "logsumexp",
        "mala",
        "mala-streaming",
        "mamba2-ssd",
        "mamba2-ssd-chunked",
        "miras-memora",
        "miras-moneta",
        "miras-yaad",
        "moba",
        "moba-streaming",
        "moh",
        "moh-streaming",
        "power-iteration",
        "qk-norm-attention",
        "rmsnorm-matmul",
        "rmsnorm-matmul-deferred",
        "router-z-loss",
        "sea",
        "sea-streaming",
        "var",
        "var-streaming",
        "variance",
        "variance-moments",
        "vmoba",
        "vmoba-streaming",
        "waad",
        "waad-streaming",
    ]
)
ALL = 10**9  # slots to record: all of them
LENGTHS = ("1K", "4K", "16K", "64K", "256K", "1M")
MODELS = ("BERT", "TrXL", "T5", "XLM")


@dataclass(frozen=True, kw_only=True)
class TileCase:
    """A mapping with all that it answers."""

    cascade: Cascade
    problem: Problem
    mapping: Mapping
    machine: Machine
    accounting: Accounting = PRINCIPLED

    def programs(self, effects: tuple[Effect, ...] = EFFECTS) -> tuple[TileProgram, ...]:
        """The phases as tile tasks."""
        parts = (self.cascade, self.problem, self.mapping, self.machine)
        return tile_programs(*parts, accounting=self.accounting, effects=effects)

    def runs(self, effects: tuple[Effect, ...] = EFFECTS) -> list[TileRun]:
        """All phases, recorded from end to end."""
        programs = self.programs(effects)
        return [run_tiles(p, effects=effects, extrapolate=False, record=ALL) for p in programs]


def configurations() -> list[str]:
    """The configurations of the study."""
    return list(bench().study.model.configurations)


@cache
def published_case(configuration: str, workload: str, rules: str = "principled") -> TileCase:
    """A configuration of the study under one accounting."""
    part = bench().study.model.parts[configuration]
    chosen = accounting(rules, part.dataflow)
    cascade, machine = catalog.load(part.cascade), bench().machine(configuration)
    flow, sized = bench().dataflow(configuration), bench().workload(workload)
    problem, mapping = plan(cascade, machine, sized, flow, accounting=chosen)
    return TileCase(cascade=cascade, problem=problem, mapping=mapping, machine=machine, accounting=chosen)


@cache
def small_machine(base: str, pe: int, bandwidth: float = 1.0, latency: float = 1.0) -> Machine:
    """A built-in machine with pe x pe elements, its bandwidth and latency multiplied."""
    machine = fm.load_arch(base, parameters={"pe": pe})
    channel = machine.memories[0]
    known = channel.bandwidth_bytes_per_s, channel.latency_s
    channel = replace(
        channel,
        bandwidth_bytes_per_s=None if known[0] is None else known[0] * bandwidth,
        latency_s=None if known[1] is None else known[1] * latency,
    )
    return replace(machine, memories=(channel, *machine.memories[1:]))


SMALL = {flow: name if "fusemax" in name else "flat-cloud" for flow, name in MACHINES.items()}


@cache
def small(
    flow: str,
    sizes: tuple[int, int, int, int] = (4, 4, 16, 16),
    pe: int = 4,
    bandwidth: float = 1.0,
    latency: float = 1.0,
) -> TileCase:
    """A dataflow on (E, F, M, P), 2 batches and 3 heads."""
    cascade, machine = catalog.load(dict(pairs())[flow]), small_machine(SMALL[flow], pe, bandwidth, latency)
    problem, mapping = plan(cascade, machine, attention(*sizes), dataflow(flow))
    return TileCase(cascade=cascade, problem=problem, mapping=mapping, machine=machine)


@cache
def mapped(cascade_name: str) -> TileCase | str:
    """A registered cascade on a small machine, each Einsum on its own, or why it does not map."""
    cascade, machine = catalog.load(cascade_name), small_machine("fusemax-cloud", 4)
    why = ""
    for queries in (8, 128):  # self-attention has as many queries as keys
        workload = attention(4, 4, 128, queries, heads=2, batch=1)
        try:
            known = open_sizes(cascade, workload)
            sizes = {name: {"K": 8, "N": 8, "I": 4, "J": 4}.get(name, size) for name, size in known.items()}
            problem, mapping = plan(cascade, machine, workload, dataflow("search"), sizes=sizes)
        except (InputError, DoesNotFit) as error:
            why = str(error).splitlines()[0]
            continue
        return TileCase(cascade=cascade, problem=problem, mapping=mapping, machine=machine)
    return why


def mapped_cascades() -> list[str]:
    """The registered cascades that the search maps on the small machine."""
    return [name for name in catalog.names() if name not in UNMAPPED]


def mapped_case(cascade_name: str) -> TileCase:
    """One of them."""
    found = mapped(cascade_name)
    assert not isinstance(found, str)
    return found


def most_events(program: TileProgram) -> int:
    """No more tile events than these."""
    return program.iterations * (len(program.tasks) + len(program.transfers))


def even_ticks(program: TileProgram) -> int:
    """Ticks without any effect, slot by slot: the sum over iterations and stages of the busiest array, plus stalls."""
    total = 0
    for iteration in range(program.iterations):
        digits = list(digits_of(program, iteration))
        for number, stage in enumerate(program.stages):
            busy = dict.fromkeys(range(len(program.arrays)), 0)
            for task in program.tasks:
                ends = [program.loops[k].bound - 1 if task.at_end else 0 for k in task.skips]
                if task.stage == number and [digits[k] for k in task.skips] == ends:
                    busy[task.array] += task.ticks
            total += max(busy.values()) + stage.stall
    return total


def digits_of(program: TileProgram, iteration: int) -> Iterator[int]:
    """The digits of an iteration, outermost first."""
    inner = program.iterations
    for loop in program.loops:
        inner //= loop.bound
        yield iteration // inner % loop.bound


def whole(ticks: Fraction) -> int:
    """Rounded up."""
    return -(-ticks.numerator // ticks.denominator)
