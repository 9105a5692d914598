"""A text of plain data with the place of every key and value, for located errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from fusemap.diagnostics import Diagnostic, InputError, Span

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a piece of text stands: its span and source line.

    `verbatim` says that the text stands in the line as it is, so that a caret may point inside it
    (a folded block scalar or an escape does not).
    """

    span: Span
    source: str
    verbatim: bool = True

    def diagnostic(self, message: str, *, hint: str = "", offset: int = 0, length: int = 0) -> Diagnostic:
        """An error at this place, or at `length` characters from `offset` inside its text."""
        span = self.span
        if self.verbatim and length:
            span = Span(file=span.file, line=span.line, column=span.column + offset, length=length)
        return Diagnostic(message=message, span=span, source=self.source, hint=hint)

    def error(self, message: str, *, hint: str = "", offset: int = 0, length: int = 0) -> InputError:
        """The same as an InputError of one diagnostic."""
        return InputError((self.diagnostic(message, hint=hint, offset=offset, length=length),))


class TextFault(ValueError):
    """What is wrong with a piece of text, at `length` characters from `offset`; its place is not known yet."""

    def __init__(self, message: str, *, offset: int = 0, length: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.length = length
        self.hint = hint

    def at(self, place: Place) -> InputError:
        """The located error."""
        return place.error(self.message, hint=self.hint, offset=self.offset, length=self.length)


def text_place(text: str, name: str) -> Place:
    """The place of a text that comes from no file (a command argument), under the given name."""
    line = text.splitlines()[0] if text.splitlines() else ""
    return Place(span=Span(file=name, line=1, column=1, length=max(1, len(line))), source=line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The places of one value and of the key it stands under (the value's own for list items).

    `source` is the nearest enclosing `source:` text of the file the value is written in.
    """

    key: Place
    value: Place
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and the place of each part of it."""

    file: str
    data: object
    entries: Mapping[Path, Entry]

    def place(self, path: Path = (), *, key: bool = False) -> Place:
        """The place of the value at `path` (or of its key); of the nearest enclosing one if it is absent."""
        while path not in self.entries and path:
            path, key = path[:-1], False
        entry = self.entries[path]
        return entry.key if key else entry.value

    def span(self, path: Path = (), *, key: bool = False) -> Span:
        """The span of the value at `path`, or of its key."""
        return self.place(path, key=key).span

    def source(self, path: Path) -> str:
        """The `source:` that holds for the value at `path`; empty without one (see `with_sources`)."""
        while path not in self.entries and path:
            path = path[:-1]
        return self.entries[path].source

    def diagnostic(self, path: Path, message: str, *, hint: str = "", key: bool = False) -> Diagnostic:
        """An error located at the value (or key) at `path`."""
        return self.place(path, key=key).diagnostic(message, hint=hint)

    def error(self, path: Path, message: str, *, hint: str = "", key: bool = False) -> InputError:
        """The same as an InputError of one diagnostic."""
        return InputError((self.diagnostic(path, message, hint=hint, key=key),))


def with_sources(document: Document) -> Document:
    """The document, each entry knowing the `source:` of the nearest enclosing mapping that has one."""
    entries = dict(document.entries)
    stack: list[tuple[Path, object, str]] = [((), document.data, "")]
    while stack:
        path, value, source = stack.pop()
        if isinstance(value, dict) and isinstance(own := value.get("source"), str) and own.strip():
            source = " ".join(own.split())
        entries[path] = replace(entries[path], source=source)
        stack += [((*path, part), inner, source) for part, inner in _children(value)]
    return replace(document, entries=entries)


def select(document: Document, key: str) -> Document:
    """The document of one top-level key alone; an empty mapping when it lacks the key."""
    entries: dict[Path, Entry] = {(): document.entries[()]}
    data: dict[str, object] = {}
    if isinstance(document.data, dict) and key in document.data:
        data[key] = _copy(document, (key,), entries)
    return Document(file=document.file, data=data, entries=entries)


def merge(base: Document, over: Document) -> Document:
    """Deep merge: mappings are united, any other value of `over` replaces that of `base`, null removes a mapping.

    Every part keeps the place and the source it was written with, so errors point into the right file.
    """
    entries: dict[Path, Entry] = {}
    data = _merge(base, over, (), entries)
    return Document(file=over.file, data=data, entries=entries)


def _merge(base: Document, over: Document, path: Path, entries: dict[Path, Entry]) -> object:
    below, above = value_at(base.data, path), value_at(over.data, path)
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return _copy(over, path, entries)
    entries[path] = over.entries[path]
    data: dict[str, object] = {}
    for key in {**below, **above}:
        inner = (*path, key)
        if key in above and above[key] is None and isinstance(below.get(key), dict):
            continue
        if key in above and key in below:
            data[key] = _merge(base, over, inner, entries)
        else:
            data[key] = _copy(over if key in above else base, inner, entries)
    return data


def _copy(document: Document, path: Path, entries: dict[Path, Entry]) -> object:
    """The value at `path`; its entries and those below it are copied."""
    top = value_at(document.data, path)
    stack: list[tuple[Path, object]] = [(path, top)]
    while stack:
        at, value = stack.pop()
        entries[at] = document.entries[at]
        stack += [((*at, part), inner) for part, inner in _children(value)]
    return top


def leaves(document: Document) -> Iterator[tuple[Path, object]]:
    """The path and value of every part that is neither a mapping nor a list."""
    stack: list[tuple[Path, object]] = [((), document.data)]
    while stack:
        path, value = stack.pop()
        stack += [((*path, part), inner) for part, inner in _children(value)]
        if not isinstance(value, (dict, list)):
            yield path, value


def _children(value: object) -> Iterable[tuple[str | int, object]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def value_at(data: object, path: Path) -> object:
    """The part of plain data at `path`; KeyError when it has none."""
    for part in path:
        if isinstance(data, dict) and part in data:
            data = data[part]
            continue
        if isinstance(data, list) and isinstance(part, int) and 0 <= part < len(data):
            data = data[part]
            continue
        raise KeyError(path)
    return data
