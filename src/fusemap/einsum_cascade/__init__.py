"""Cascades of extended Einsums: language, meaning, operation counts and the built-in library.

The names below are loaded when they are first used, so that importing this package loads neither
NumPy nor SymPy.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusemap.einsum_cascade.catalog import load, names
    from fusemap.einsum_cascade.counts import operation_counts
    from fusemap.einsum_cascade.counts_record import OperationCount
    from fusemap.einsum_cascade.interpreter import Tensor, execute, run
    from fusemap.einsum_cascade.operators import BUILTIN, Operators
    from fusemap.einsum_cascade.parser import parse, parse_file
    from fusemap.einsum_cascade.points import PointOperators, is_view, point_operators
    from fusemap.einsum_cascade.printer import format_cascade
    from fusemap.einsum_cascade.types import Access, Apply, Cascade, Einsum

__all__ = [
    "BUILTIN",
    "Access",
    "Apply",
    "Cascade",
    "Einsum",
    "OperationCount",
    "Operators",
    "PointOperators",
    "Tensor",
    "execute",
    "format_cascade",
    "is_view",
    "load",
    "names",
    "operation_counts",
    "parse",
    "parse_file",
    "point_operators",
    "run",
]

_MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "counts": ("operation_counts",),
        "counts_record": ("OperationCount",),
        "interpreter": ("Tensor", "execute", "run"),
        "catalog": ("load", "names"),
        "operators": ("BUILTIN", "Operators"),
        "parser": ("parse", "parse_file"),
        "points": ("PointOperators", "is_view", "point_operators"),
        "printer": ("format_cascade",),
        "types": ("Access", "Apply", "Cascade", "Einsum"),
    }
)


def __getattr__(name: str) -> Any:
    module = next((m for m, exported in _MODULES.items() if name in exported), None)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
