"""Machines, component tables and workloads as YAML data, with located errors.

`load_arch`, `load_components` and `load_workload` read a built-in name or a path; `load_model` reads any
other YAML file by a pydantic model (`SpecModel`) with the same errors, and `parse_expression` and
`parse_quantity` read the arithmetic and the units in it.

Names are imported when first used, so that `import fusemap.archspec` loads neither pydantic nor yaml.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusemap.archspec.archs import load_arch, parse_arch
    from fusemap.archspec.area import AreaRow, area_rows, area_um2
    from fusemap.archspec.components import Component, ComponentTable, Quantity
    from fusemap.archspec.document import Document, Path, Place, TextFault, merge, text_place, with_sources
    from fusemap.archspec.expressions import Expression, parse_expression
    from fusemap.archspec.reader import Reader
    from fusemap.archspec.registry import json_schema, names
    from fusemap.archspec.schema import (
        AreaField,
        BandwidthField,
        CapacityField,
        EnergyField,
        ExpressionField,
        FrequencyField,
        SpecModel,
        TimeField,
        WidthField,
        load_model,
        parse_model,
        validate,
    )
    from fusemap.archspec.tables import load_components, parse_components
    from fusemap.archspec.types import (
        Action,
        Array,
        Dim,
        Machine,
        Memory,
        OperatorCost,
        Part,
        Rank,
        RegisterFile,
        Workload,
        absent_names,
        environment,
    )
    from fusemap.archspec.units import QuantityText, parse_quantity
    from fusemap.archspec.workloads import load_workload, parse_length, parse_workload
    from fusemap.archspec.yamlnodes import load_document, parse_document

_EXPORTS = {
    "archs": ("load_arch", "parse_arch"),
    "area": ("AreaRow", "area_rows", "area_um2"),
    "components": ("Component", "ComponentTable", "Quantity"),
    "document": ("Document", "Path", "Place", "TextFault", "merge", "text_place", "with_sources"),
    "expressions": ("Expression", "parse_expression"),
    "reader": ("Reader",),
    "registry": ("json_schema", "names"),
    "schema": (
        *("AreaField", "BandwidthField", "CapacityField", "EnergyField", "ExpressionField", "FrequencyField"),
        *("SpecModel", "TimeField", "WidthField", "load_model", "parse_model", "validate"),
    ),
    "tables": ("load_components", "parse_components"),
    "types": (
        *("Action", "Array", "Dim", "Machine", "Memory", "OperatorCost", "Part", "Rank", "RegisterFile"),
        *("Workload", "absent_names", "environment"),
    ),
    "units": ("QuantityText", "parse_quantity"),
    "workloads": ("load_workload", "parse_length", "parse_workload"),
    "yamlnodes": ("load_document", "parse_document"),
}
_HOME = {name: module for module, exported in _EXPORTS.items() for name in exported}

__all__ = [
    "Action",
    "AreaField",
    "AreaRow",
    "Array",
    "BandwidthField",
    "CapacityField",
    "Component",
    "ComponentTable",
    "Dim",
    "Document",
    "EnergyField",
    "Expression",
    "ExpressionField",
    "FrequencyField",
    "Machine",
    "Memory",
    "OperatorCost",
    "Part",
    "Path",
    "Place",
    "Quantity",
    "QuantityText",
    "Rank",
    "Reader",
    "RegisterFile",
    "SpecModel",
    "TextFault",
    "TimeField",
    "WidthField",
    "Workload",
    "absent_names",
    "area_rows",
    "area_um2",
    "environment",
    "json_schema",
    "load_arch",
    "load_components",
    "load_document",
    "load_model",
    "load_workload",
    "merge",
    "names",
    "parse_arch",
    "parse_components",
    "parse_document",
    "parse_expression",
    "parse_length",
    "parse_model",
    "parse_quantity",
    "parse_workload",
    "text_place",
    "validate",
    "with_sources",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_HOME)
