"""Reading TeAAL's YAML: which keys there are, what each must hold, and every fault with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.document import Document, Path, Place, TextFault
from fusemap.archspec.errors import describe
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.validation.imported import Note

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}", re.ASCII)


@dataclass(slots=True, kw_only=True)
class Reader:
    """A document under inspection: faults and notes are collected, so that all come at once."""

    document: Document
    faults: list[Diagnostic] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def fault(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Record what is wrong at a value, or at its key."""
        self.faults.append(self.document.diagnostic(path, message, hint=hint, key=key))

    def text_fault(self, path: Path, fault: TextFault) -> None:
        """Record what is wrong inside a text."""
        self.faults += fault.at(self.document.place(path)).diagnostics

    def note(self, path: Path, message: str) -> None:
        """Record what is left out, and why that is right."""
        self.notes.append(Note(message=message, span=self.document.span(path, key=True)))

    def place(self, path: Path) -> Place:
        """Where a value stands."""
        return self.document.place(path)

    def known_keys(self, path: Path, mapping: Mapping[str, object], valid: Sequence[str]) -> None:
        """A fault for every key that is not a valid one."""
        for key in mapping:
            if key not in valid:
                hint = did_you_mean(key, valid, noun="keys")
                self.fault((*path, key), f'unknown key "{key}"', hint, key=True)

    def mapping(self, path: Path, value: object) -> dict[str, object]:
        """The value as a mapping; nothing is an empty one, anything else a fault and an empty one."""
        if value is None or isinstance(value, dict):
            return value or {}
        self.fault(path, f"expected a mapping, found {describe(value)}")
        return {}

    def sequence(self, path: Path, value: object) -> list[object]:
        """The value as a list; anything else is a fault and an empty list."""
        if isinstance(value, list):
            return value
        self.fault(path, f"expected a list, found {describe(value)}")
        return []

    def names(self, path: Path, value: object, what: str) -> tuple[str, ...]:
        """The value as a list of different names; `what` says what they are."""
        found: list[str] = []
        for index, item in enumerate(self.sequence(path, value)):
            if not isinstance(item, str) or not _NAME.fullmatch(item):
                self.fault((*path, index), f"expected {what}, found {describe(item)}")
            elif item in found:
                self.fault((*path, index), f"{item} stands here twice")
            else:
                found.append(item)
        return tuple(found)

    def items(self, path: Path, value: object, valid: Sequence[str], noun: str) -> Iterator[tuple[str, object]]:
        """The entries of a mapping whose keys are valid names; a fault for every other key."""
        for key, inner in self.mapping(path, value).items():
            if key in valid:
                yield key, inner
            else:
                hint = did_you_mean(key, valid, noun=noun)
                self.fault((*path, key), f"{key} is none of the {noun} of this file", hint, key=True)

    def finish(self) -> None:
        """Raise all faults that were found."""
        if self.faults:
            raise InputError(tuple(self.faults))
