"""Mappings as data: dataflow files applied to a cascade and a machine, search, legality."""

from __future__ import annotations


def dataflow_names() -> tuple[str, ...]:
    """Names of the built-in dataflows (imports pydantic only when asked).

    >>> "fusemax-binding" in dataflow_names()
    True
    """
    from fusemap.mappers.dataflow import names

    return names()
