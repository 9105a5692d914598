"""The functions of the package about a cascade on a machine: its cost, its best mapping, its run in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

from fusemap.loading import ArchLike, CascadeLike, DataflowLike, WorkloadLike, load_parts, rules_of

if TYPE_CHECKING:
    from fusemap.mappers.mapspace.front import Objective
    from fusemap.mappers.mapspace.space import Mapspace
    from fusemap.sim.accounting import Accounting
    from fusemap.sim.best import Best
    from fusemap.sim.best_choices import BestChoice
    from fusemap.sim.choose import Evaluation
    from fusemap.sim.explain import Explanation
    from fusemap.sim.report import Report, Timing
    from fusemap.sim.simulation import Simulation
    from fusemap.validation.timeloop.export import TimeloopExport


def evaluate(
    cascade: CascadeLike,
    *,
    arch: ArchLike,
    workload: WorkloadLike,
    dataflow: DataflowLike | None = None,
    accounting: str | Accounting = "principled",
    without: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
) -> Report:
    """Latency, energy, area, traffic and utilization of a cascade on a machine, in closed form.

    Without a dataflow the fastest built-in one that is meant for the cascade and legal on the machine, else
    the fastest other one. `sizes` replace ranks of the workload and tiles of the dataflow, and give further
    shapes of the cascade. `without` switches slips of the published accounting off. Raises InputError for
    what does not match or is not known, DoesNotFit when no mapping is legal.
    """
    return _evaluation(cascade, arch, workload, dataflow, accounting, without, sizes).report


def timing(
    cascade: CascadeLike,
    *,
    arch: ArchLike,
    workload: WorkloadLike,
    dataflow: DataflowLike | None = None,
    accounting: str | Accounting = "principled",
    without: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
) -> Timing:
    """As `evaluate` without energy and area, so that the machine may lack their prices.

    >>> timing("attention-3pass", arch="flat-edge", workload="BERT@4K", dataflow="flat").bottleneck
    'dram'
    """
    from fusemap.sim.choose import time_case

    return time_case(
        *load_parts(cascade, arch, workload, dataflow), accounting=rules_of(accounting, without), sizes=sizes
    )


def explain(
    cascade: CascadeLike,
    *,
    arch: ArchLike,
    workload: WorkloadLike,
    dataflow: DataflowLike | None = None,
    accounting: str | Accounting = "principled",
    without: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
) -> Explanation:
    """As `evaluate`, with the derivation of every number from loop bounds, unit energies and their sources."""
    from fusemap.sim.explain import explain as explained

    return explained(_evaluation(cascade, arch, workload, dataflow, accounting, without, sizes))


def map(
    cascade: CascadeLike,
    *,
    arch: ArchLike,
    workload: WorkloadLike,
    objective: Objective = "latency",
    dataflow: DataflowLike | None = None,
    sizes: Mapping[str, int] | None = None,
    space: str | PathLike[str] | Mapspace | None = None,
    budget: int | None = None,
    seed: int | None = None,
) -> Best | BestChoice:
    """The best mapping of a cascade on a machine, over all mappings of a space, with the proof or the gap.

    `objective`: latency, energy, edp, or pareto (whose `front` has the mappings that no other beats in both). `space`
    narrows the space, `sizes` replace ranks of the workload and give parts of ranks (`M0`). A `budget` of tile
    sizes ends the search early; with a `seed` they are explored in a random order. With a dataflow, only its
    `choices` are searched. InputError: something does not match or is not known; DoesNotFit: nothing fits.

    >>> found = map("attention-3pass", arch="flat-cloud", workload="BERT@1K")
    >>> found.proven, found.best.name
    (True, 'searched')
    """
    from fusemap.mappers.mapspace.space import load_mapspace
    from fusemap.sim.best_case import map_case

    limits = load_mapspace(str(space)) if isinstance(space, str | PathLike) else space
    parts = load_parts(cascade, arch, workload, dataflow)
    return map_case(*parts, objective=objective, sizes=sizes, space=limits, budget=budget, seed=seed)


def simulate(
    cascade: CascadeLike,
    *,
    arch: ArchLike,
    workload: WorkloadLike,
    dataflow: DataflowLike | None = None,
    effects: Sequence[str] | None = None,
    accounting: str | Accounting = "principled",
    without: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    record: int | None = None,
) -> Simulation:
    """A mapping and its binding run in time, tile by tile, and what each effect adds to the closed form.

    `effects` are some of `start`, `drain`, `operands`, `latency`, `ports` (default: all that the machine has numbers
    for). The first `record` iterations of a phase are kept as its `timeline`. Raises InputError and
    DoesNotFit as `evaluate`.

    >>> found = simulate("attention-1pass", arch="fusemax-cloud", workload="BERT@4K", dataflow="fusemax-binding")
    >>> round(found.cycles - found.closed_form_cycles)
    1070
    """
    from fusemap.sim.choose import plan_case
    from fusemap.sim.simulate import RECORDED, simulate_tiles

    parts = load_parts(cascade, arch, workload, dataflow)
    planned = plan_case(*parts, accounting=rules_of(accounting, without), sizes=sizes)
    return simulate_tiles(
        parts[0],
        planned.problem,
        planned.mapping,
        planned.machine,
        accounting=planned.accounting,
        effects=effects,
        record=RECORDED if record is None else record,
        dataflow_choice=planned.dataflow_choice,
    )


def export_timeloop(
    cascade: CascadeLike,
    *,
    arch: ArchLike,
    workload: WorkloadLike,
    dataflow: DataflowLike | None = None,
    einsums: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    mapper: bool = False,
) -> TimeloopExport:
    """Each Einsum of a cascade with its machine and mapping as Timeloop v4 files.

    Without a dataflow the one that `evaluate` takes. `einsums` are those to write (default: all); `mapper` adds
    constraints and settings for timeloop-mapper. Raises InputError as `evaluate`, DoesNotFit also for what the
    format has no words for (a spill).

    >>> found = export_timeloop("attention-1pass", arch="fusemax-cloud", workload="BERT@1K", einsums=["BQK"])
    >>> sorted(found.einsums[0].files)
    ['architecture.yaml', 'energy.yaml', 'mapping.yaml', 'problem.yaml']
    """
    from fusemap.validation.timeloop.export import export_einsums

    return export_einsums(*load_parts(cascade, arch, workload, dataflow), einsums=einsums, sizes=sizes, mapper=mapper)


def _evaluation(
    cascade: CascadeLike,
    arch: ArchLike,
    workload: WorkloadLike,
    dataflow: DataflowLike | None,
    accounting: str | Accounting,
    without: Sequence[str],
    sizes: Mapping[str, int] | None,
) -> Evaluation:
    from fusemap.sim.choose import evaluate_case

    parts = load_parts(cascade, arch, workload, dataflow)
    return evaluate_case(*parts, accounting=rules_of(accounting, without), sizes=sizes)
