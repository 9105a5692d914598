"""A text of plain data with the place of every key and value, for located errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    """The places of one value and of the key it stands under (the value's own for list items)."""

    key: Place
    value: Place


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

    def diagnostic(self, path: Path, message: str, *, hint: str = "", key: bool = False) -> Diagnostic:
        """An error located at the value (or key) at `path`."""
        return self.place(path, key=key).diagnostic(message, hint=hint)

    def error(self, path: Path, message: str, *, hint: str = "", key: bool = False) -> InputError:
        """The same as an InputError of one diagnostic."""
        return InputError((self.diagnostic(path, message, hint=hint, key=key),))


def merge(base: Document, over: Document) -> Document:
    """Deep merge: mappings are united, any other value of `over` replaces that of `base`.

    Every part keeps the place it was written at, so errors point into the right file.
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
        if isinstance(value, dict):
            stack += [((*at, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            stack += [((*at, index), inner) for index, inner in enumerate(value)]
    return top


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
