"""YAML text to plain data with the place of every key and value.

Scalars follow the YAML 1.2 core schema: `1e9` is a number, `no` and `12:30` are strings. Duplicate
keys, further documents, tags, merge keys and anything oversized are refused with a location. The tree
is built from the parser's event stream, so limits hold before anything grows.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

import yaml

from fusemap.archspec.document import Document, Entry, Path, Place
from fusemap.archspec.yamlfaults import explain, position
from fusemap.diagnostics import Diagnostic, InputError, Span

MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 50
MAX_ERRORS = 50

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How large a text may be (bytes), and how many values it may hold, aliases expanded."""

    size_bytes: int = MAX_BYTES
    nodes: int = MAX_NODES


USUAL = Limits()


def load_document(path: str | os.PathLike[str]) -> Document:
    """Read and parse a YAML file of at most 1 MiB of UTF-8; InputError names the file and the place."""
    return parse_document(read_text(path), file=str(path))


def read_text(path: str | os.PathLike[str], *, most: Limits = USUAL) -> str:
    """The text of a small UTF-8 file; InputError for a missing, unreadable, large or binary one."""
    file = str(path)
    try:
        if not FilePath(path).is_file():
            what = "no such file"
            if FilePath(path).exists():
                what = "is a directory" if FilePath(path).is_dir() else "not a regular file"
            raise _plain(file, f"cannot read the file: {what}")
        with open(path, "rb") as stream:
            content = stream.read(most.size_bytes + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _plain(file, f"cannot read the file: {reason}") from None
    if len(content) > most.size_bytes:
        raise _plain(file, f"file too large: more than {most.size_bytes} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rsplit(b"\n", 1)[-1].decode("utf-8", "replace")) + 1
        message = f"not UTF-8 text (byte 0x{content[error.start]:02x})"
        raise _plain(file, message, line=line, column=column) from None


def parse_document(text: str, *, file: str = "<text>", most: Limits = USUAL) -> Document:
    """Parse YAML text into a Document; InputError lists the faults with line and column.

    >>> parse_document("a: 1e9\\nb: [no, 12:30]").data
    {'a': 1000000000.0, 'b': ['no', '12:30']}
    """
    _check_text(text, file, most.size_bytes)
    text = text.removeprefix("\ufeff")
    builder = _Builder(file=file, lines=tuple(_LINE_BREAK.split(text)), most=most.nodes)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        at, message = explain(error, builder.lines, builder.innermost())
        raise InputError((*builder.errors, builder.place(at).diagnostic(message))) from None
    except yaml.YAMLError as error:
        raise _plain(file, f"invalid YAML: {' '.join(str(error).split())[:200]}") from None
    if builder.errors:
        raise InputError(tuple(builder.errors))
    if builder.root is None or (builder.root.kind == "scalar" and builder.root.value is None):
        raise _plain(file, "the file is empty: expected a YAML mapping")
    return _expand(builder.root, file, most.nodes)


@dataclass(slots=True, kw_only=True)
class _Node:
    """One node under construction: a scalar (`text` as written), or a collection's (key, key place, node) items."""

    place: Place
    kind: str = "scalar"
    value: object = None
    text: str = ""
    items: list[tuple[str, Place, _Node]] = field(default_factory=list)
    names: dict[str, Place] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Builder:
    """Builds the node tree from the event stream, with its own stack (no recursion)."""

    file: str
    lines: tuple[str, ...]
    most: int
    errors: list[Diagnostic] = field(default_factory=list)
    root: _Node | None = None
    stack: list[_Node] = field(default_factory=list)
    keys: list[tuple[str, Place] | None] = field(default_factory=list)
    anchors: dict[str, _Node] = field(default_factory=dict)
    nodes: int = 0
    documents: int = 0

    def place(self, position: tuple[int, int], length: int = 1) -> Place:
        line, column = position
        source = self.lines[line] if line < len(self.lines) else ""
        return Place(span=Span(file=self.file, line=line + 1, column=column + 1, length=max(1, length)), source=source)

    def innermost(self) -> tuple[int, int] | None:
        """Where the open collection that holds the next node starts."""
        if not self.stack:
            return None
        span = self.stack[-1].place.span
        return span.line - 1, span.column - 1

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.fail(self.place(position(event.start_mark)), "a second document: expected one per file")
        elif isinstance(event, yaml.ScalarEvent):
            self.add(self.scalar(event), event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.stack.pop()
            self.keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)

    def fail(self, place: Place, message: str) -> None:
        """Record an error; stop at many, because the rest is noise."""
        self.errors.append(place.diagnostic(message))
        if len(self.errors) >= MAX_ERRORS:
            raise InputError(tuple(self.errors))

    def stop(self, place: Place, message: str) -> InputError:
        return InputError((*self.errors, place.diagnostic(message)))

    def scalar(self, event: yaml.ScalarEvent) -> _Node:
        place = self.scalar_place(event)
        self.check_tag(event.tag, self.place(position(event.start_mark)))
        if not event.implicit[0]:
            return _Node(place=place, kind="quoted", value=event.value, text=event.value)
        try:
            return _Node(place=place, value=core_scalar(event.value), text=event.value)
        except ValueError as error:
            self.fail(place, str(error))
            return _Node(place=place, value=0, text=event.value)

    def scalar_place(self, event: yaml.ScalarEvent) -> Place:
        """The place of a scalar's text: inside the quotes, if the text stands there as it is."""
        (row, start), (last, end) = position(event.start_mark), position(event.end_mark)
        line = self.lines[row] if row < len(self.lines) else ""
        at = line.find(event.value, start, end) if row == last and event.value else -1
        if at >= 0:
            return self.place((row, at), len(event.value))
        place = self.place((row, start), (end if row == last else len(line)) - start)
        return replace(place, verbatim=False)

    def check_tag(self, tag: str | None, place: Place) -> None:
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")[:60]
            self.fail(place, f"tags are not supported: {shown}")

    def open(self, event: yaml.CollectionStartEvent) -> None:
        kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
        place = self.place(position(event.start_mark))
        node = _Node(place=place, kind=kind)
        self.check_tag(event.tag, place)
        if len(self.stack) >= MAX_DEPTH:
            raise self.stop(place, f"nested too deeply: more than {MAX_DEPTH} levels")
        self.add(node, event.anchor)
        self.stack.append(node)
        self.keys.append(None)

    def alias(self, event: yaml.AliasEvent) -> None:
        anchor = event.anchor or ""
        place = self.place(position(event.start_mark), len(anchor) + 1)
        node = self.anchors.get(anchor)
        if node is None:
            raise self.stop(place, f"undefined alias *{anchor}")
        if any(node is opened for opened in self.stack):
            raise self.stop(place, f"alias *{anchor} contains itself")
        self.add(node, None, place)

    def add(self, node: _Node, anchor: str | None, place: Place | None = None) -> None:
        """Hang a finished or opened node under the collection that is open."""
        place = place or node.place
        self.nodes += 1
        if self.nodes > self.most:
            raise self.stop(place, f"too many values: more than {self.most}")
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = self.root or node
            return
        parent, key = self.stack[-1], self.keys[-1]
        if parent.kind == "list":
            parent.items.append(("", place, node))
        elif key is None:
            self.keys[-1] = self.key(parent, node, place)
        else:
            self.keys[-1] = None
            parent.items.append((key[0], key[1], node))

    def key(self, parent: _Node, node: _Node, place: Place) -> tuple[str, Place]:
        """The key as written: `no` and `2` are the keys "no" and "2"."""
        if node.kind in ("mapping", "list"):
            raise self.stop(place, f"a key must be a plain word, found a {node.kind}")
        first = parent.names.get(node.text)
        if not node.text:
            self.fail(place, "empty key")
        elif node.text == "<<" and node.kind == "scalar":
            self.fail(place, "merge keys (<<) are not supported")
        elif first is not None:
            self.fail(place, f'duplicate key "{node.text[:60]}" (first given on line {first.span.line})')
        parent.names.setdefault(node.text, place)
        return node.text, place


def _expand(root: _Node, file: str, most: int) -> Document:
    """Plain data and entries of the tree; aliases are copied, within the cap on nodes."""
    entries: dict[Path, Entry] = {}

    def visit(node: _Node, path: Path, key: Place) -> object:
        if len(entries) >= most:
            raise InputError((key.diagnostic(f"too many values: aliases expand to more than {most}"),))
        if len(path) > MAX_DEPTH:
            raise InputError((key.diagnostic(f"nested too deeply: more than {MAX_DEPTH} levels"),))
        entries[path] = Entry(key=key, value=node.place)
        if node.kind == "mapping":
            return {name: visit(inner, (*path, name), at) for name, at, inner in node.items}
        if node.kind == "list":
            return [visit(inner, (*path, index), at) for index, (_, at, inner) in enumerate(node.items)]
        return node.value

    data = visit(root, (), root.place)
    return Document(file=file, data=data, entries=entries)


def core_scalar(text: str) -> object:
    """The value of a plain scalar in the YAML 1.2 core schema; ValueError for an unusable number."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > 100:
            raise ValueError("number too long: more than 100 digits")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        if math.isinf(value := float(text)):
            raise ValueError(f"number too large: {text[:40]}")
        return value
    return text


def _check_text(text: str, file: str, most: int) -> None:
    if len(text) > most:
        raise _plain(file, f"text too large: more than {most} characters")
    bad = re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", text)
    if bad is not None:
        lines = _LINE_BREAK.split(text[: bad.start()])
        message = f"not a text file: control character 0x{ord(bad.group()):02x}"
        raise _plain(file, message, line=len(lines), column=len(lines[-1]) + 1)


def _plain(file: str, message: str, *, line: int = 1, column: int = 1) -> InputError:
    """An error of a file as a whole, or at a place whose line cannot be shown."""
    return InputError((Diagnostic(message=message, span=Span(file=file, line=line, column=column)),))
