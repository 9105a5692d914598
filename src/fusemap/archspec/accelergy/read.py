"""Files of Accelergy, in any order: each is known by its top-level key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from fusemap.archspec.accelergy.estimates import actions_of, estimators_in
from fusemap.archspec.accelergy.types import PART, VERSIONS, Estimate, Tables
from fusemap.archspec.arithmetic import Value
from fusemap.archspec.document import Document, Path
from fusemap.archspec.errors import describe
from fusemap.archspec.yamlnodes import parse_document, read_text
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error

KINDS: Mapping[str, str] = {
    "ERT": "tables",
    "ART": "tables",
    "ERT_summary": "table_summary",
    "ART_summary": "table_summary",
    "architecture": "local",
}
_KEYS: Mapping[str, tuple[str, ...]] = {"ERT": ("name", "actions"), "ART": ("name", "area")}


def read_tables(paths: Sequence[str | os.PathLike[str]]) -> Tables:
    """The tables of an ERT.yaml, an ART.yaml, their summaries and flattened_architecture.yaml.

    InputError lists what is wrong or not supported, with file, line and column.
    """
    texts = [(str(path), read_text(path)) for path in paths]
    return parse_tables(texts)


def parse_tables(texts: Sequence[tuple[str, str]]) -> Tables:
    """The tables of pairs of a file's name and its text."""
    reader = _Reader()
    for file, text in texts:
        reader.take(parse_document(text, file=file))
    if reader.errors:
        raise InputError(tuple(reader.errors))
    if not {"ERT", "ART"} & reader.seen.keys():
        given = ", ".join(file for file, _ in texts) or "nothing"
        raise input_error(f"no energies and no areas are given: {given}", hint="give an ERT.yaml, an ART.yaml or both")
    digests = [(FilePath(file).name, hashlib.sha256(text.encode()).hexdigest()[:12]) for file, text in texts]
    return Tables(
        version=reader.version,
        components=tuple(reader.found[name] for name in reader.order()),
        files=tuple(f"{name} (sha256 {digest})" for name, digest in digests),
    )


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Collects what the files say of each component; `seen` has the components of each kind of file."""

    found: dict[str, Estimate] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=dict)
    errors: list[Diagnostic] = field(default_factory=list)
    version: str = VERSIONS[-1]

    def order(self) -> list[str]:
        """The priced components: those of the ERT, then what only the ART has."""
        return list(dict.fromkeys((*self.seen.get("ERT", ()), *self.seen.get("ART", ()))))

    def take(self, document: Document) -> None:
        """One file, which may hold several kinds."""
        if not isinstance(document.data, dict):
            self.errors.append(document.diagnostic((), f"expected a mapping, found {describe(document.data)}"))
            return
        for key, content in document.data.items():
            if key not in KINDS:
                hint = did_you_mean(key, list(KINDS), noun="keys")
                message = f'"{key[:60]}" is no table of Accelergy'
                self.errors.append(document.diagnostic((key,), message, hint=hint, key=True))
            elif key in self.seen:
                self.errors.append(document.diagnostic((key,), f"a second {key}: give one", key=True))
            else:
                self.table(document, key, content)

    def table(self, document: Document, kind: str, content: object) -> None:
        """The components of one kind of file."""
        self.seen[kind] = []
        rows = content.get(KINDS[kind]) if isinstance(content, dict) else None
        if not isinstance(rows, list):
            hint = "it is written by accelergy as flattened_architecture.yaml" if kind == "architecture" else ""
            message = f'expected {kind} with a list "{KINDS[kind]}"'
            self.errors.append(document.diagnostic((kind,), message, hint=hint, key=True))
            return
        if kind in _KEYS:
            self.check_version(document, kind, content)
        for index, row in enumerate(rows):
            at: Path = (kind, KINDS[kind], index)
            name = row.get("name") if isinstance(row, dict) else None
            if self.check_name(document, at, name) and isinstance(row, dict) and isinstance(name, str):
                if name in self.seen[kind]:
                    self.fail(document, (*at, "name"), f"component given twice: {name}")
                self.seen[kind].append(name)
                self.row(document, kind, at, row, name)

    def check_version(self, document: Document, kind: str, content: object) -> None:
        version = content.get("version") if isinstance(content, dict) else None
        if str(version) not in VERSIONS:
            found = "no version" if version is None else f"version {version}"
            message = f"{found} of {kind} is not supported: expected {' or '.join(VERSIONS)}"
            self.fail(document, (kind, "version"), message)
        else:
            self.version = str(version)

    def check_name(self, document: Document, at: Path, name: object) -> bool:
        """Whether a name is one of the format: words with dots, each with a range `[1..8]` or none."""
        if not isinstance(name, str):
            self.fail(document, at, f"expected a component with a name, found {describe(name)}")
            return False
        matches = [PART.fullmatch(part.replace("\0", "..")) for part in name.replace("..", "\0").split(".")]
        if not all(matches):
            hint = "a name is words with dots between them, each with a range or none"
            self.fail(document, (*at, "name"), f'"{name[:60]}" is no component such as chip.mac[1..8]', hint=hint)
            return False
        empty = [m for m in matches if m and m["last"] is not None and int(m["last"]) < int(m["first"])]
        if empty:
            self.fail(document, (*at, "name"), f"the range of {empty[0].group()} has no component in it")
        return not empty

    def row(self, document: Document, kind: str, at: Path, row: Mapping[str, object], name: str) -> None:
        """What one row says of its component."""
        old = self.found.get(name, Estimate(name=name, place=document.place((*at, "name"))))
        if kind in _KEYS:
            for key in row:
                if key not in _KEYS[kind]:
                    hint = did_you_mean(key, _KEYS[kind], noun="keys")
                    message = f'unknown key "{key[:60]}" of a component of an {kind}'
                    self.errors.append(document.diagnostic((*at, key), message, hint=hint, key=True))
        if kind == "ERT":
            energies, notes = actions_of(document, at, row, self.errors)
            old = replace(old, energies=energies, notes=notes)
        elif kind == "ART":
            old = replace(old, area_um2=self.area(document, at, row))
        elif kind == "architecture":
            attributes = row.get("attributes")
            pairs = attributes.items() if isinstance(attributes, dict) else ()
            old = replace(old, attributes=tuple((key, str(value)) for key, value in pairs))
        else:
            found = [text for key, value in row.items() if key.startswith("primitive") for text in estimators_in(value)]
            old = replace(old, estimators=tuple(dict.fromkeys((*old.estimators, *found))))
        self.found[name] = old

    def area(self, document: Document, at: Path, row: Mapping[str, object]) -> Value | None:
        area = row.get("area")
        if isinstance(area, bool) or not isinstance(area, int | float) or not 0 <= area < float("inf"):
            message = f"expected an area in um^2, a number, found {describe(area)}"
            self.fail(document, (*at, "area"), message)
            return None
        return area

    def fail(self, document: Document, path: Path, message: str, *, hint: str = "") -> None:
        self.errors.append(document.diagnostic(path, message, hint=hint))
