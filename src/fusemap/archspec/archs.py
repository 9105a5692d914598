"""Machines from files: `load_arch`, with `extends` resolved by a deep merge."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path as FilePath

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.document import Document, Path, merge, with_sources
from fusemap.archspec.extension import extension_faults, unused_parameters
from fusemap.archspec.machines import build_machine
from fusemap.archspec.registry import find, is_path
from fusemap.archspec.types import Machine
from fusemap.archspec.yamlnodes import load_document, parse_document
from fusemap.diagnostics import Diagnostic, InputError

MAX_CHAIN = 20


def load_arch(reference: str | os.PathLike[str], *, parameters: Mapping[str, Value] | None = None) -> Machine:
    """The machine of a built-in name or a path, with some of its parameters replaced.

    InputError lists every fault of the stage that refuses it, located.

    >>> machine = load_arch("fusemax-cloud", parameters={"pe": 128})
    >>> machine.array("array_2d").pes, machine.memory("global_buffer").capacity_bytes
    (16384, 16777216)
    """
    if isinstance(reference, str) and not is_path(reference) and not parameters:
        return _built_in(reference)
    return find_arch(reference).machine(parameters)


@cache
def _built_in(name: str) -> Machine:
    return _built_in_source(name).machine()


@cache
def _built_in_source(name: str) -> ArchSource:
    identity, document = find("arch", name)
    return _source(document, identity, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchSource:
    """An arch file that was read and merged over what it extends, from which many machines are made."""

    name: str
    document: Document = field(repr=False)
    unused: tuple[Diagnostic, ...] = ()

    def machine(
        self, parameters: Mapping[str, Value] | None = None, given: Mapping[Path, Value] | None = None
    ) -> Machine:
        """The machine with some parameters replaced, and numbers `given` in place of those at paths of the file.

        >>> source = find_arch("fusemax-cloud")
        >>> source.machine({"pe": 128}, {("memories", "dram", "bandwidth"): 10**12}).memories[0].bandwidth_bytes_per_s
        1000000000000
        """
        machine = build_machine(self.document, name=self.name, parameters=parameters, given=given)
        if self.unused:  # last, because a parameter is often unused where its use is the fault
            raise InputError(self.unused)
        return machine


def find_arch(reference: str | os.PathLike[str]) -> ArchSource:
    """The file of a built-in name or a path, read but not yet a machine; InputError where it is none."""
    if not isinstance(reference, str):
        document = with_sources(load_document(reference))
        return _source(document, str(FilePath(reference).resolve()), FilePath(reference).stem)
    if not is_path(reference):
        return _built_in_source(reference)
    identity, document = find("arch", reference)
    return _source(document, identity, FilePath(reference).stem)


def parse_arch(text: str, *, file: str = "<arch>", parameters: Mapping[str, Value] | None = None) -> Machine:
    """The machine of a YAML text that is named `file` in errors (paths in it are relative to `file`)."""
    document = with_sources(parse_document(text, file=file))
    return _source(document, file, FilePath(file).stem).machine(parameters)


def _source(document: Document, identity: str, name: str) -> ArchSource:
    merged, unused = _extended(document, (identity,))
    return ArchSource(name=name, document=merged, unused=unused)


def _extended(document: Document, chain: tuple[str, ...]) -> tuple[Document, tuple[Diagnostic, ...]]:
    """The document merged over the one it extends, and the parameters of each file that nothing uses.

    A base's name and description are not inherited. InputError for keys that the base does not have
    where it must.
    """
    own = _without(document, "extends")
    reference = document.data.get("extends") if isinstance(document.data, dict) else None
    if not isinstance(reference, str):
        if reference is not None:
            raise document.error(("extends",), "expected a built-in name or a path")
        return own, unused_parameters(own, own)
    place = document.place(("extends",))
    identity, base = find("arch", reference, beside=document.file, place=place)
    if identity in chain:
        raise place.error(f'"extends" forms a cycle through "{reference}"')
    if len(chain) >= MAX_CHAIN:
        raise place.error(f'"extends" goes through more than {MAX_CHAIN} files')
    below, unused = _extended(base, (*chain, identity))
    if faults := extension_faults(below, own):
        raise InputError(faults)
    merged = merge(_without(below, "name", "description"), own)
    return merged, (*unused, *unused_parameters(own, merged))


def _without(document: Document, *dropped: str) -> Document:
    """The document without some top-level keys."""
    if not isinstance(document.data, dict):
        return document
    data = {key: value for key, value in document.data.items() if key not in dropped}
    entries = {path: entry for path, entry in document.entries.items() if not path or path[0] not in dropped}
    return Document(file=document.file, data=data, entries=entries)
