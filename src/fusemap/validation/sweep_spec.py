"""A sweep's file read: its axes and conditions, and every file that it names, loaded; every fault with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path as FilePath
from typing import Any

from fusemap.archspec.archs import find_arch
from fusemap.archspec.document import Document, Path, TextFault
from fusemap.archspec.registry import is_path
from fusemap.archspec.schema import validate
from fusemap.archspec.types import Machine
from fusemap.archspec.workloads import WorkloadSource, find_workload, parse_length
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.einsum_cascade.catalog import load as load_cascade
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow
from fusemap.validation.sweep_axes import KINDS, Axis, axis_values, column_of
from fusemap.validation.sweep_conditions import conditions_of
from fusemap.validation.sweep_model import Names, SweepModel, Values, listed
from fusemap.validation.sweep_sources import Sources, digest_of
from fusemap.validation.sweep_space import Space

BEST = "best"
TEXTS = ("cascade", "dataflow", "arch", "workload")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep as it is evaluated: its points, what they name, how they are charged, and the digest of all that."""

    name: str
    space: Space
    sources: Sources
    accounting: str
    energy: bool
    arrays: tuple[str, ...]
    digest: str


def load_sweep(path: str | PathLike[str]) -> Sweep:
    """The sweep of a YAML file; InputError lists every fault of the stage that refuses it, located."""
    return sweep_of(load_document(path))


def parse_sweep(text: str, *, file: str = "sweep.yaml") -> Sweep:
    """The sweep of a YAML text that is named `file` in errors (paths in it are relative to `file`)."""
    return sweep_of(parse_document(text, file=file))


def sweep_of(document: Document) -> Sweep:
    """The sweep that a document describes."""
    model = validate(document, SweepModel)
    reader = _Reader(document=document)
    sources = reader.sources(model)
    reader.finish()
    machines = {name: source.machine() for name, source in sources.archs.items()}
    axes = reader.axes(model, sources, machines)
    reader.finish()
    space = Space(axes=axes, conditions=conditions_of(document, model, axes))
    return Sweep(
        name=FilePath(document.file).stem,
        space=space,
        sources=sources,
        accounting=model.accounting,
        energy=model.energy,
        arrays=tuple(dict.fromkeys(a.name for machine in machines.values() for a in machine.arrays)),
        digest=digest_of(model, space, sources),
    )


@dataclass(slots=True, kw_only=True)
class _Reader:
    document: Document
    errors: list[Diagnostic] = field(default_factory=list)

    def fail(self, path: Path, message: str, *, hint: str = "", key: bool = False) -> None:
        self.errors.append(self.document.diagnostic(path, message, hint=hint, key=key))

    def finish(self) -> None:
        if self.errors:
            raise InputError(tuple(self.errors))

    # --- names --------------------------------------------------------------------------------------

    def sources(self, model: SweepModel) -> Sources:
        return Sources(
            cascades=self.each("cascade", model.cascade, self.cascade),
            dataflows=self.each("dataflow", model.dataflow, self.dataflow),
            archs=self.each("arch", model.arch, lambda name: find_arch(self.beside(name))),
            workloads=self.each("workload", model.workload, lambda name: self.workload(name, model)),
        )

    def each(self, section: str, names: Names, load: Any) -> dict[str, Any]:
        """What each name of a section stands for; a name that stands for nothing is an error at its place."""
        found: dict[str, Any] = {}
        for i, name in enumerate(listed(names)):
            path: Path = (section, i) if isinstance(names, list) else (section,)
            if name in found:
                self.fail(path, f'"{name}" is listed twice')
                continue
            try:
                found[name] = load(name)
            except InputError as error:
                for d in error.diagnostics:  # of a name the place is here, of a fault in a file it is there
                    here = d.span is None or d.span.file.startswith("<")
                    self.errors.append(self.document.diagnostic(path, d.message, hint=d.hint) if here else d)
        if not listed(names):
            self.fail((section,), "expected at least one name")
        return {name: value for name, value in found.items() if value is not None}

    def beside(self, name: str) -> str:
        """A path as seen from the file that names it."""
        return str(FilePath(self.document.file).parent / name) if is_path(name) else name

    def cascade(self, name: str) -> Cascade:
        return load_cascade(self.beside(name) if is_path(name) or not name.endswith(".cascade") else f"./{name}")

    def dataflow(self, name: str) -> Dataflow | None:
        return None if name == BEST else load_dataflow(self.beside(name))

    def workload(self, name: str, model: SweepModel) -> tuple[WorkloadSource, int | None]:
        base, at, length = name.rpartition("@")
        source = find_workload(self.beside(base if at else name))
        try:
            fixed = parse_length(length, offset=len(base) + 1) if at else None
        except TextFault as fault:
            raise InputError((Diagnostic(message=fault.message, hint=fault.hint),)) from None
        message = ""
        if fixed is not None and model.length is not None:
            message = f'"{name}" names a length, and "length" gives others: keep one of them'
        elif source.takes_length and fixed is None and model.length is None:
            message = f'"{name}" has no length: write {name}@4K, or give "length"'
        elif not source.takes_length and (at or model.length is not None):
            message = f'"{base or name}" takes no length: none of its ranks uses LENGTH'
        if message:
            raise InputError((Diagnostic(message=message),))
        return source, fixed

    # --- axes ---------------------------------------------------------------------------------------

    def axes(self, model: SweepModel, sources: Sources, machines: dict[str, Machine]) -> tuple[Axis, ...]:
        axes = [
            Axis(column=section, section=section, key=section, values=tuple(listed(getattr(model, section))))
            for section in TEXTS
        ]
        if model.length is not None:
            axes += self.axis(("length",), "length", "length", model.length)
        for key, values in model.parameters.items():
            self.known(("parameters", key), key, {n: [p for p, _ in m.parameters] for n, m in machines.items()})
            axes += self.axis(("parameters", key), "parameters", key, values)
        for key, values in model.machine.items():
            self.known(("machine", key), key, {name: _numbers(machine) for name, machine in machines.items()})
            axes += self.axis(("machine", key), "machine", key, values)
        for key, values in model.sizes.items():
            self.size(key, sources)
            axes += self.axis(("sizes", key), "sizes", key, values)
        self.distinct(axes)
        return tuple(axes)

    def axis(self, path: Path, section: str, key: str, values: Values) -> list[Axis]:
        try:
            found = axis_values(section, key, values)
        except TextFault as fault:
            self.fail(path, fault.message, hint=fault.hint)
            return []
        return [Axis(column=column_of(section, key), section=section, key=key, values=found)]

    def known(self, path: Path, key: str, valid: dict[str, list[str]]) -> None:
        for arch, names in valid.items():
            if key not in names:
                what = "parameter" if path[0] == "parameters" else "number"
                self.fail(path, f"{arch} has no {what} {key}", hint=did_you_mean(key, names, noun="names"), key=True)
                return

    def size(self, key: str, sources: Sources) -> None:
        """A size has to mean something for one of the combinations."""
        valid = {str(s.name) for c in sources.cascades.values() for s in c.shapes}
        valid |= {str(shape) for c in sources.cascades.values() for shape in known_shapes(c)}
        valid |= {tile for d in sources.dataflows.values() for tile in d.model.tiles}
        valid |= {rank for source, _ in sources.workloads.values() for rank in _ranks(source)}
        if key not in valid:
            message = f"no rank or tile is named {key}"
            self.fail(("sizes", key), message, hint=did_you_mean(key, sorted(valid), noun="names"), key=True)

    def distinct(self, axes: Sequence[Axis]) -> None:
        first: dict[str, Axis] = {}
        for axis in axes:
            other = first.setdefault(axis.column, axis)
            if other is not axis:
                message = f"{axis.key} stands under {other.section} and under {axis.section}: a column has one of them"
                self.fail((axis.section, axis.key), message, key=True)


def _numbers(machine: Machine) -> list[str]:
    """The numbers of a machine that a sweep can replace."""
    found = ["clock", "word"]
    found += [f"{m.name}.{what}" for m in machine.memories for what in KINDS if what not in ("clock", "word")]
    return found + [f"{a.name}.{dim.name}" for a in machine.arrays for dim in a.dims]


def _ranks(source: WorkloadSource) -> list[str]:
    data = source.document.data
    return list(data["ranks"]) if isinstance(data, dict) and isinstance(data.get("ranks"), dict) else []
