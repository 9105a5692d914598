"""The functions of the package for component tables of other tools."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fusemap.loading import ArchLike

if TYPE_CHECKING:
    from fusemap.archspec.accelergy.machine import ExportedTables
    from fusemap.archspec.accelergy.table import ImportedTable
    from fusemap.validation.hwcomponents.compare import Comparison
    from fusemap.validation.hwcomponents.peer import Peer, Question


def export_accelergy(arch: ArchLike) -> ExportedTables:
    """The energies (pJ per action) and areas (um^2) of a machine's components as ERT.yaml and ART.yaml, format 0.4.

    InputError for a memory or register file without an energy for reading or writing.

    >>> [name for name, text in export_accelergy("fusemax-cloud").files]
    ['ERT.yaml', 'ART.yaml']
    """
    from fusemap.archspec.accelergy.machine import export_tables
    from fusemap.archspec.archs import load_arch
    from fusemap.archspec.types import Machine

    return export_tables(arch if isinstance(arch, Machine) else load_arch(arch))


def import_accelergy(
    files: Sequence[str | os.PathLike[str]],
    *,
    technology: str = "",
    technologies: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    sizes: Mapping[str, str] | None = None,
) -> ImportedTable:
    """The component table that Accelergy's ERT.yaml, ART.yaml, summaries and flattened architecture make.

    `technology` is that of all components ("45nm"), `technologies` of single ones (`none`: not the chip's), `rename`
    calls components and actions otherwise, `sizes` are memories whose numbers hold for one size ("16MiB_4096", or ""
    for what the architecture says). InputError for what is not supported, with file, line and column.
    """
    from fusemap.archspec.accelergy.read import read_tables
    from fusemap.archspec.accelergy.table import Choices, component_table

    choices = Choices(technology=technology, technologies=technologies or {}, names=rename or {}, sizes=sizes or {})
    return component_table(read_tables(files), choices)


def import_hwcomponents(spec: str | os.PathLike[str], *, python: str | None = None) -> ImportedTable:
    """The component table of the models that a file names, asked of the hwcomponents of another Python.

    InputError for a model of another technology than the one asked for, unless the file states the factors, and
    where no Python is named by the argument or by FUSEMAP_HWCOMPONENTS_PYTHON.
    """
    from fusemap.diagnostics import input_error
    from fusemap.validation.hwcomponents.importer import import_models
    from fusemap.validation.hwcomponents.peer import HOW_TO_GET, ask, named_python

    found = named_python(python)

    def asked(questions: Sequence[Question]) -> Peer:
        if found is None:
            raise input_error("no Python with hwcomponents is named", hint=HOW_TO_GET)
        return ask(found, questions)

    return import_models(spec, asked)


def compare_components(*, python: str | None = None) -> Comparison:
    """The shipped 45 nm table beside hwcomponents, as recorded or, with `python`, as another interpreter answers now.

    >>> compare_components().agrees
    True
    """
    from fusemap.validation.hwcomponents.compare import compare, questions
    from fusemap.validation.hwcomponents.peer import ask, named_python

    found = named_python(python) if python else None
    return compare(ask(found, questions()) if found is not None else None)
