"""Attention as cascades of extended Einsums, mapped on spatial-array accelerators: cycles, energy, traffic.

>>> import fusemap as fm
>>> report = fm.evaluate("attention-1pass", arch="fusemax-cloud", workload="BERT@4K", dataflow="fusemax-binding")
>>> f"{report.latency_s:.4f} s, limited by {report.bottleneck}"
'0.0297 s, limited by array_1d'

A cascade, arch, workload or dataflow is a built-in name, a path, or the loaded object. The `.to_json()` of a
result is the document that the command of the same name prints with `--json`. Everything is imported when
it is first used: `import fusemap` alone loads no other package.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fusemap.loading import (
    ArchLike,
    CascadeLike,
    DataflowLike,
    WorkloadLike,
    as_cascade,
    as_workload,
    list_archs,
    list_workloads,
    load_bench,
    load_parts,
    rules_of,
)
from fusemap.version import VERSION

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fusemap.archspec.accelergy.machine import export_accelergy
    from fusemap.archspec.accelergy.table import import_accelergy
    from fusemap.archspec.archs import load_arch
    from fusemap.archspec.types import Machine, Workload
    from fusemap.archspec.workloads import load_workload
    from fusemap.cascades import derive, graph, latex, taxonomy
    from fusemap.diagnostics import DoesNotFit, InputError
    from fusemap.einsum_cascade.analysis import Analysis
    from fusemap.einsum_cascade.catalog import load as load_cascade
    from fusemap.einsum_cascade.catalog import names as list_cascades
    from fusemap.einsum_cascade.derive.search import Derivation
    from fusemap.einsum_cascade.execution import Execution
    from fusemap.einsum_cascade.types import Cascade
    from fusemap.mappers.dataflow import Dataflow, load_dataflow
    from fusemap.mappers.dataflow import names as list_dataflows
    from fusemap.mappers.mapspace.front import Objective
    from fusemap.mappers.mapspace.space import Mapspace
    from fusemap.models import inference, model_table
    from fusemap.sim.accounting import Accounting
    from fusemap.sim.best import Best
    from fusemap.sim.best_choices import BestChoice
    from fusemap.sim.choose import Evaluation
    from fusemap.sim.explain import Explanation
    from fusemap.sim.report import Report, Timing
    from fusemap.sim.simulation import Simulation
    from fusemap.validation.audit import Audit
    from fusemap.validation.config_model import ConfigModel, workload_from_config
    from fusemap.validation.graph import CascadeGraph
    from fusemap.validation.hwcomponents.compare import compare_components
    from fusemap.validation.hwcomponents.importer import import_hwcomponents
    from fusemap.validation.imported import Imported
    from fusemap.validation.inference import Inference
    from fusemap.validation.model_table import ModelTable
    from fusemap.validation.onnx_graph.importer import import_onnx
    from fusemap.validation.pareto import Pareto, pareto
    from fusemap.validation.regress import Regression, regress
    from fusemap.validation.reproduction import Reproduction
    from fusemap.validation.sweep import sweep
    from fusemap.validation.sweep_run import SweepRun
    from fusemap.validation.taxonomy_rows import Taxonomy
    from fusemap.validation.teaal.importer import import_teaal
    from fusemap.validation.timeloop.export import TimeloopExport, export_timeloop
    from fusemap.validation.timeloop.reading.imported import ImportedDesign, import_timeloop


__version__ = VERSION

_ATTRIBUTES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "Analysis": ("fusemap.einsum_cascade.analysis", "Analysis"),
        "Derivation": ("fusemap.einsum_cascade.derive.search", "Derivation"),
        "derive": ("fusemap.cascades", "derive"),
        "graph": ("fusemap.cascades", "graph"),
        "latex": ("fusemap.cascades", "latex"),
        "taxonomy": ("fusemap.cascades", "taxonomy"),
        "Best": ("fusemap.sim.best", "Best"),
        "BestChoice": ("fusemap.sim.best_choices", "BestChoice"),
        "ConfigModel": ("fusemap.validation.config_model", "ConfigModel"),
        "Inference": ("fusemap.validation.inference", "Inference"),
        "ModelTable": ("fusemap.validation.model_table", "ModelTable"),
        "inference": ("fusemap.models", "inference"),
        "model_table": ("fusemap.models", "model_table"),
        "workload_from_config": ("fusemap.validation.config_model", "workload_from_config"),
        "Audit": ("fusemap.validation.audit", "Audit"),
        "CascadeGraph": ("fusemap.validation.graph", "CascadeGraph"),
        "Cascade": ("fusemap.einsum_cascade.types", "Cascade"),
        "Dataflow": ("fusemap.mappers.dataflow", "Dataflow"),
        "DoesNotFit": ("fusemap.diagnostics", "DoesNotFit"),
        "Execution": ("fusemap.einsum_cascade.execution", "Execution"),
        "Explanation": ("fusemap.sim.explain", "Explanation"),
        "InputError": ("fusemap.diagnostics", "InputError"),
        "Machine": ("fusemap.archspec.types", "Machine"),
        "Pareto": ("fusemap.validation.pareto", "Pareto"),
        "Report": ("fusemap.sim.report", "Report"),
        "Taxonomy": ("fusemap.validation.taxonomy_rows", "Taxonomy"),
        "Timing": ("fusemap.sim.report", "Timing"),
        "Reproduction": ("fusemap.validation.reproduction", "Reproduction"),
        "Simulation": ("fusemap.sim.simulation", "Simulation"),
        "SweepRun": ("fusemap.validation.sweep_run", "SweepRun"),
        "Workload": ("fusemap.archspec.types", "Workload"),
        "Regression": ("fusemap.validation.regress", "Regression"),
        "regress": ("fusemap.validation.regress", "regress"),
        "pareto": ("fusemap.validation.pareto", "pareto"),
        "sweep": ("fusemap.validation.sweep", "sweep"),
        "list_cascades": ("fusemap.einsum_cascade.catalog", "names"),
        "list_dataflows": ("fusemap.mappers.dataflow", "names"),
        "load_arch": ("fusemap.archspec.archs", "load_arch"),
        "load_cascade": ("fusemap.einsum_cascade.catalog", "load"),
        "load_dataflow": ("fusemap.mappers.dataflow", "load_dataflow"),
        "load_workload": ("fusemap.archspec.workloads", "load_workload"),
        "Imported": ("fusemap.validation.imported", "Imported"),
        "import_onnx": ("fusemap.validation.onnx_graph.importer", "import_onnx"),
        "compare_components": ("fusemap.validation.hwcomponents.compare", "compare_components"),
        "export_accelergy": ("fusemap.archspec.accelergy.machine", "export_accelergy"),
        "import_accelergy": ("fusemap.archspec.accelergy.table", "import_accelergy"),
        "import_hwcomponents": ("fusemap.validation.hwcomponents.importer", "import_hwcomponents"),
        "import_teaal": ("fusemap.validation.teaal.importer", "import_teaal"),
        "ImportedDesign": ("fusemap.validation.timeloop.reading.imported", "ImportedDesign"),
        "TimeloopExport": ("fusemap.validation.timeloop.export", "TimeloopExport"),
        "export_timeloop": ("fusemap.validation.timeloop.export", "export_timeloop"),
        "import_timeloop": ("fusemap.validation.timeloop.reading.imported", "import_timeloop"),
    }
)

__all__ = [
    "Analysis",
    "Audit",
    "Best",
    "BestChoice",
    "Cascade",
    "CascadeGraph",
    "ConfigModel",
    "Dataflow",
    "Derivation",
    "DoesNotFit",
    "Execution",
    "Explanation",
    "Imported",
    "ImportedDesign",
    "Inference",
    "InputError",
    "Machine",
    "ModelTable",
    "Pareto",
    "Regression",
    "Report",
    "Reproduction",
    "Simulation",
    "SweepRun",
    "Taxonomy",
    "TimeloopExport",
    "Timing",
    "Workload",
    "analyze",
    "audit",
    "compare_components",
    "derive",
    "evaluate",
    "explain",
    "export_accelergy",
    "export_timeloop",
    "graph",
    "import_accelergy",
    "import_hwcomponents",
    "import_onnx",
    "import_teaal",
    "import_timeloop",
    "inference",
    "latex",
    "list_archs",
    "list_cascades",
    "list_dataflows",
    "list_workloads",
    "load_arch",
    "load_cascade",
    "load_dataflow",
    "load_workload",
    "map",
    "model_table",
    "pareto",
    "regress",
    "reproduce",
    "run",
    "simulate",
    "sweep",
    "taxonomy",
    "timing",
    "workload_from_config",
]


def analyze(
    cascade: CascadeLike,
    sizes: Mapping[str, int] | None = None,
    workload: WorkloadLike | None = None,
    *,
    tensor: str | None = None,
    rank: str | None = None,
    loops: Sequence[str] | None = None,
) -> Analysis:
    """How often every tensor must be traversed along every rank, whatever the mapping, with the proof.

    With it the live footprints and the operation counts. A workload gives sizes, `sizes` further ones or
    others; shapes may stay open. `tensor` and `rank` restrict the passes. `loops` are rank variables,
    outermost first, in whose order live elements are counted. Raises InputError for what the cascade does
    not have.

    >>> found = analyze("attention-3pass")
    >>> str(found.label["M"]), [barrier.before for barrier in found.row("QK", "M").barriers]
    ('3', [('SN',), ('A',)])
    """
    from fusemap.einsum_cascade.analysis import analyze_cascade
    from fusemap.einsum_cascade.analysis_sizes import workload_sizes

    loaded, given = as_cascade(cascade), dict(sizes or {})
    if workload is None:
        return analyze_cascade(loaded, sizes=given, tensor=tensor, rank=rank, order=loops)
    found = as_workload(workload)
    ranks = workload_sizes(loaded, found.sizes, found.name)
    return analyze_cascade(loaded, sizes={**ranks, **given}, workload=found.name, tensor=tensor, rank=rank, order=loops)


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


def run(
    cascade: CascadeLike,
    sizes: Mapping[str, int] | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    *,
    seed: int = 0,
    **options: Any,
) -> Execution:
    """Execute a cascade on NumPy arrays, or on standard normal inputs; a mapping from its outputs to their arrays.

    Sizes that are left open follow from the inputs or are chosen small. Options (`dtype`, `operators`) and
    errors as `fusemap.einsum_cascade.run`.

    >>> run("softmax", {"N": 1, "K": 2}, {"X": [[0.0, 0.0]]})["Y"].tolist()
    [[0.5, 0.5]]
    """
    from fusemap.einsum_cascade.execution import run_cascade

    return run_cascade(as_cascade(cascade), sizes, inputs, seed=seed, **options)


def reproduce(study: str, *, accounting: str = "published") -> Reproduction:
    """Recompute a published study, as it charged (`published`) or with its slips corrected (`principled`).

    The result holds every row, the headline claims, and how they agree with the published values.
    """
    from fusemap.validation.reproduction import reproduce as reproduced

    return reproduced(load_bench(study), accounting)


def audit(study: str) -> Audit:
    """The known slips of a published study's accounting: what each is, and its effect on every headline claim."""
    from fusemap.validation.audit import audit as audited

    return audited(load_bench(study))


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


def __getattr__(name: str) -> Any:
    if name not in _ATTRIBUTES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _ATTRIBUTES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
