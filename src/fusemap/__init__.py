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
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fusemap.version import VERSION

if TYPE_CHECKING:
    from fusemap.archspec.accelergy.machine import export_accelergy
    from fusemap.archspec.accelergy.table import import_accelergy
    from fusemap.archspec.archs import load_arch
    from fusemap.archspec.types import Machine, Workload
    from fusemap.archspec.workloads import load_workload
    from fusemap.cascades import analyze, derive, graph, latex, run, taxonomy
    from fusemap.costs import evaluate, explain, export_timeloop, map, simulate, timing
    from fusemap.diagnostics import DoesNotFit, InputError
    from fusemap.einsum_cascade.analysis import Analysis
    from fusemap.einsum_cascade.catalog import load as load_cascade
    from fusemap.einsum_cascade.catalog import names as list_cascades
    from fusemap.einsum_cascade.derive.search import Derivation
    from fusemap.einsum_cascade.execution import Execution
    from fusemap.einsum_cascade.types import Cascade
    from fusemap.loading import list_archs, list_workloads
    from fusemap.mappers.dataflow import Dataflow, load_dataflow
    from fusemap.mappers.dataflow import names as list_dataflows
    from fusemap.models import inference, model_table
    from fusemap.sim.best import Best
    from fusemap.sim.best_choices import BestChoice
    from fusemap.sim.explain import Explanation
    from fusemap.sim.report import Report, Timing
    from fusemap.sim.simulation import Simulation
    from fusemap.studies import audit, reproduce
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
    from fusemap.validation.timeloop.export import TimeloopExport
    from fusemap.validation.timeloop.reading.imported import ImportedDesign, import_timeloop

__version__ = VERSION

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

_MODULES = {  # what each offers; `names:list_cascades` is offered by the second name
    "fusemap.archspec.accelergy.machine": "export_accelergy",
    "fusemap.archspec.accelergy.table": "import_accelergy",
    "fusemap.archspec.archs": "load_arch",
    "fusemap.archspec.types": "Machine Workload",
    "fusemap.archspec.workloads": "load_workload",
    "fusemap.cascades": "analyze derive graph latex run taxonomy",
    "fusemap.costs": "evaluate explain export_timeloop map simulate timing",
    "fusemap.diagnostics": "DoesNotFit InputError",
    "fusemap.einsum_cascade.analysis": "Analysis",
    "fusemap.einsum_cascade.catalog": "load:load_cascade names:list_cascades",
    "fusemap.einsum_cascade.derive.search": "Derivation",
    "fusemap.einsum_cascade.execution": "Execution",
    "fusemap.einsum_cascade.types": "Cascade",
    "fusemap.loading": "list_archs list_workloads",
    "fusemap.mappers.dataflow": "Dataflow load_dataflow names:list_dataflows",
    "fusemap.models": "inference model_table",
    "fusemap.sim.best": "Best",
    "fusemap.sim.best_choices": "BestChoice",
    "fusemap.sim.explain": "Explanation",
    "fusemap.sim.report": "Report Timing",
    "fusemap.sim.simulation": "Simulation",
    "fusemap.studies": "audit reproduce",
    "fusemap.validation.audit": "Audit",
    "fusemap.validation.config_model": "ConfigModel workload_from_config",
    "fusemap.validation.graph": "CascadeGraph",
    "fusemap.validation.hwcomponents.compare": "compare_components",
    "fusemap.validation.hwcomponents.importer": "import_hwcomponents",
    "fusemap.validation.imported": "Imported",
    "fusemap.validation.inference": "Inference",
    "fusemap.validation.model_table": "ModelTable",
    "fusemap.validation.onnx_graph.importer": "import_onnx",
    "fusemap.validation.pareto": "Pareto pareto",
    "fusemap.validation.regress": "Regression regress",
    "fusemap.validation.reproduction": "Reproduction",
    "fusemap.validation.sweep": "sweep",
    "fusemap.validation.sweep_run": "SweepRun",
    "fusemap.validation.taxonomy_rows": "Taxonomy",
    "fusemap.validation.teaal.importer": "import_teaal",
    "fusemap.validation.timeloop.export": "TimeloopExport",
    "fusemap.validation.timeloop.reading.imported": "ImportedDesign import_timeloop",
}


def _places() -> Mapping[str, tuple[str, str]]:
    """For each name that the package offers its module, and its name there."""
    offered = [(module, *entry.partition(":")[::2]) for module, names in _MODULES.items() for entry in names.split()]
    return MappingProxyType({(name or own): (module, own) for module, own, name in offered})


_ATTRIBUTES = _places()


def __getattr__(name: str) -> Any:
    if name not in _ATTRIBUTES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _ATTRIBUTES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
