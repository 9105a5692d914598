"""What the cases of a baseline name, each read once, with a digest that says whether it changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from types import MappingProxyType
from typing import Any

from fusemap.archspec.archs import find_arch
from fusemap.archspec.components import Entry, Size
from fusemap.archspec.document import Document, Path
from fusemap.archspec.registry import is_path
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import find_workload, load_workload
from fusemap.diagnostics import Diagnostic, InputError
from fusemap.einsum_cascade.catalog import SUFFIX
from fusemap.einsum_cascade.catalog import load as load_cascade
from fusemap.einsum_cascade.printer import format_cascade
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow, read_table
from fusemap.validation.regress_model import CaseModel

BEST = "best"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One evaluation that is held against a baseline, and where in which file it is asked for."""

    name: str
    cascade: str
    arch: str
    workload: str
    dataflow: str
    accounting: str
    model: CaseModel = field(repr=False)
    document: Document = field(repr=False)
    path: Path

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the case names, as the digests of a baseline call it."""
        model, at, _ = self.workload.rpartition("@")
        named = (f"cascade {self.cascade}", f"arch {self.arch}", f"workload {model if at else self.workload}")
        return named if self.dataflow == BEST else (*named, f"dataflow {self.dataflow}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What an evaluation is asked about; without a dataflow the fastest built-in one that fits."""

    cascade: Cascade
    machine: Machine
    workload: Workload
    dataflow: Dataflow | None


@dataclass(slots=True, kw_only=True)
class Loader:
    """Reads each name once and notes its digest; `finish` raises all that went wrong."""

    digests: dict[str, str] = field(default_factory=dict)
    errors: list[Diagnostic] = field(default_factory=list)
    read: dict[tuple[str, str], Any] = field(default_factory=dict)

    def finish(self) -> None:
        """InputError with every fault so far."""
        if self.errors:
            raise InputError(tuple(self.errors))

    def fail(self, case: Case, path: Path, error: InputError) -> None:
        """Note a fault: one of a file stays where it is, one of a name (or of none) is at `path` of the case's file."""
        prefix = f"case {case.name}: " if path == case.path else ""
        for found in error.diagnostics:
            if found.span is not None and not found.span.file.startswith("<"):
                self.errors.append(found)
            else:
                key = path == case.path
                self.errors.append(case.document.diagnostic(path, prefix + found.message, hint=found.hint, key=key))

    def inputs(self, case: Case) -> Inputs | None:
        """What the case names; None after a fault."""
        before = len(self.errors)
        cascade = self.load(case, "cascade", case.cascade, _cascade)
        machine = self.load(case, "arch", case.arch, _arch)
        workload = self.load(case, "workload", case.workload, _workload)
        dataflow = None if case.dataflow == BEST else self.load(case, "dataflow", case.dataflow, _dataflow)
        if len(self.errors) > before:
            return None
        return Inputs(cascade=cascade, machine=machine, workload=workload, dataflow=dataflow)

    def load(self, case: Case, kind: str, name: str, load: Callable[[str], tuple[Any, object]]) -> Any:
        """What a name stands for, seen from the file that names it; None after a fault."""
        path = is_path(name) or (kind == "cascade" and name.endswith(SUFFIX))
        reference = str(FilePath(case.document.file).parent / name) if path else name
        if (kind, reference) not in self.read:
            try:
                self.read[kind, reference] = load(reference)
            except InputError as error:
                self.read[kind, reference] = error
        found = self.read[kind, reference]
        if isinstance(found, InputError):
            self.fail(case, _place(case, kind, name), found)
            return None
        label = name.rpartition("@")[0] if kind == "workload" and "@" in name else name
        self.digests.setdefault(f"{kind} {label}", _digest(found[1]))
        return found[0]


def _place(case: Case, kind: str, name: str) -> Path:
    """Where a case names something, also in a list; its workload may be put together from a name and a length."""
    given = getattr(case.model, kind)
    if isinstance(given, list):
        named = name if name in given else name.rpartition("@")[0]
        return (*case.path, kind, given.index(named))
    return (*case.path, kind)


def _digest(content: object) -> str:
    """A short hash of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _cascade(reference: str) -> tuple[Cascade, object]:
    found = load_cascade(reference)
    return found, format_cascade(found)


def _arch(reference: str) -> tuple[Machine, object]:
    source = find_arch(reference)
    machine = source.machine()
    return machine, [source.document.data, [_prices(entry) for entry in machine.table.entries]]


def _prices(entry: Entry) -> list[object]:
    """The numbers of a component as its table writes them."""
    energies = [[action, price.text.text] for action, price in entry.energies]
    return [entry.name, energies, entry.area and entry.area.text.text, [_size(size) for size in entry.sizes]]


def _size(size: Size) -> list[object]:
    energies = [[action, price.text.text] for action, price in size.energies]
    return [str(size.capacity_bytes), str(size.width_bits), energies, size.area and size.area.text.text]


def _workload(reference: str) -> tuple[Workload, object]:
    model, at, _ = reference.rpartition("@")
    return load_workload(reference), find_workload(model if at else reference).document.data


def _dataflow(reference: str) -> tuple[Dataflow, object]:
    found = load_dataflow(reference)
    return found, [found.document.data, [sorted(row.items()) for row in read_table(found)]]


_READERS: Mapping[str, Callable[[str], tuple[Any, object]]] = MappingProxyType(
    {"cascade": _cascade, "arch": _arch, "workload": _workload, "dataflow": _dataflow}
)


def digest(kind: str, reference: str) -> str:
    """The digest of what a name or file stands for, with what it extends: the one that a baseline has.

    >>> digest("workload", "BERT@4K") == digest("workload", "BERT@8K")
    True
    """
    return _digest(_READERS[kind](reference)[1])
