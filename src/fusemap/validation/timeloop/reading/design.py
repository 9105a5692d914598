"""A Timeloop design as it was read: problem, levels, mapping and prices, before anything of ours is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.accelergy.read import read_tables
from fusemap.archspec.accelergy.types import Estimate, Tables
from fusemap.diagnostics import Diagnostic, InputError, input_error
from fusemap.validation.timeloop.reading.architecture import read_architecture
from fusemap.validation.timeloop.reading.files import Specification, load
from fusemap.validation.timeloop.reading.levels import ArchitectureSpec
from fusemap.validation.timeloop.reading.mapping import MappedLevel, read_mapping
from fusemap.validation.timeloop.reading.notes import Note
from fusemap.validation.timeloop.reading.phrases import Value
from fusemap.validation.timeloop.reading.problem import ProblemSpec, read_problem

_STEERING = ("mapper", "mapspace", "components")


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What the files of a design say; `mapping` and `tables` are None where no file has them."""

    files: tuple[str, ...]
    problem: ProblemSpec
    architecture: ArchitectureSpec
    mapping: tuple[MappedLevel, ...] | None
    tables: Tables | None
    notes: tuple[Note, ...] = field(default=(), compare=False)

    def estimate(self, name: str) -> Estimate | None:
        """The prices of a component, whose name in the tables ends with its own."""
        found = [e for e in (self.tables.components if self.tables else ()) if e.parts[-1:] == (name,)]
        if len(found) > 1:
            raise input_error(f"the energy table has {name} {len(found)} times", hint="give the table of this design")
        return found[0] if found else None


def read_design(
    files: Sequence[str], *, defines: Mapping[str, Value] | None = None, prices: Sequence[str] = ()
) -> Design:
    """The design of some files of Timeloop's v4 format; `prices` are files of Accelergy (ERT, ART).

    `defines` are variables of templates, and where they are numbers also replace `variables` of the specification.
    InputError lists what is wrong or not supported, with file, line and column.
    """
    specification = load(files, defines or {})
    _refuse(specification)
    variables = specification.variables()
    errors: list[Diagnostic] = []
    problem = architecture = None
    notes: list[Note] = []
    try:
        problem, found = read_problem(specification.only("problem", "the Einsum and its sizes"), variables)
        notes += found
    except InputError as error:
        errors.extend(error.diagnostics)
    try:
        architecture, found = read_architecture(
            specification.only("architecture", "storages, fanouts and a compute unit"), variables
        )
        notes += found
    except InputError as error:
        errors.extend(error.diagnostics)
    if errors or problem is None or architecture is None:
        raise InputError(tuple(errors))
    mapping, found = read_mapping(
        problem,
        architecture,
        specification.entries("mapping"),
        specification.entries("constraints", "targets"),
    )
    given = (*specification.prices, *prices)
    return Design(
        files=specification.files,
        problem=problem,
        architecture=architecture,
        mapping=mapping,
        tables=read_tables(given) if given else None,
        notes=(*notes, *found, *_left_out(specification)),
    )


def _refuse(specification: Specification) -> None:
    """InputError for parts of a specification that change its results and that ours cannot say."""
    errors = []
    for node in specification.parts.get("sparse_optimizations", []):
        if node.get("targets") is not None or [key for key in node.fields if key != "version"]:
            hint = "supported: dense hardware; no gating, skipping or compression"
            errors.append(node.diagnostic("sparse optimizations are not supported", hint=hint))
    for node in specification.parts.get("globals", []):
        functions = node.get("expression_custom_functions")
        if functions is not None and functions.items:
            message = "functions of Python files are not run"
            errors.append(functions.diagnostic(message, hint="expressions have the functions of fusemap's files"))
    for key in ("ERT", "ART"):
        for node in specification.parts.get(key, []):
            hint = "a file with nothing else is read as prices"
            errors.append(
                node.diagnostic(f"{key} stands among other keys: expected it in a file of its own", hint=hint)
            )
    if errors:
        raise InputError(tuple(errors))


def _left_out(specification: Specification) -> list[Note]:
    """A note for keys that steer Timeloop's search and Accelergy's estimates."""
    keys = [key for key in _STEERING if specification.parts.get(key)]
    if not keys:
        return []
    text = f"keys that steer Timeloop's mapper and Accelergy are not used: {', '.join(keys)}"
    return [Note(affects="nothing", text=text, place=specification.parts[keys[0]][0].place)]
