"""Machines, component tables and workloads as YAML data, with located errors.

Names are imported when first used, so that `import fusemap.archspec` loads neither pydantic nor yaml.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusemap.archspec.document import Document as Document
    from fusemap.archspec.document import Path as Path
    from fusemap.archspec.document import Place as Place
    from fusemap.archspec.document import merge as merge
    from fusemap.archspec.expressions import Expression as Expression
    from fusemap.archspec.expressions import parse_expression as parse_expression
    from fusemap.archspec.schema import ExpressionField as ExpressionField
    from fusemap.archspec.schema import SpecModel as SpecModel
    from fusemap.archspec.schema import load_model as load_model
    from fusemap.archspec.schema import parse_model as parse_model
    from fusemap.archspec.schema import validate as validate
    from fusemap.archspec.units import parse_quantity as parse_quantity
    from fusemap.archspec.yamlnodes import load_document as load_document
    from fusemap.archspec.yamlnodes import parse_document as parse_document

_HOME = {
    "Document": "document",
    "Path": "document",
    "Place": "document",
    "merge": "document",
    "Expression": "expressions",
    "parse_expression": "expressions",
    "ExpressionField": "schema",
    "SpecModel": "schema",
    "load_model": "schema",
    "parse_model": "schema",
    "validate": "schema",
    "parse_quantity": "units",
    "load_document": "yamlnodes",
    "parse_document": "yamlnodes",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
