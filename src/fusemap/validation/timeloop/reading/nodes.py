"""YAML as Timeloop's front end writes it: tags, anchors, merge keys `<<` and `<<<`; every node knows its place.

`<<: *a` adds the keys of a mapping that are not there, `<<<: *a` does so at every depth and joins lists
(accelergy/utils/yaml.py). Quoted texts are texts, others are expressions where a number is expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import yaml

from fusemap.archspec.document import Place
from fusemap.archspec.yamlfaults import explain, position
from fusemap.archspec.yamlnodes import MAX_DEPTH, core_scalar
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.validation.timeloop.reading.text import Composed

MAX_SIZE = 200_000
TAGS = ("!Component", "!Container", "!Hierarchical", "!Parallel", "!Pipelined", "!Nothing")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD = "tag:yaml.org,2002:"


@dataclass(slots=True, kw_only=True)
class Node:
    """A scalar (`value`, `text` as written, `quoted`), a list of nodes, or a mapping of keys to nodes.

    `size` counts the nodes in it, those of aliases too.
    """

    kind: str
    place: Place
    tag: str = ""
    value: object = None
    text: str = ""
    quoted: bool = False
    items: list[Node] = field(default_factory=list)
    fields: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    size: int = 1

    def get(self, key: str) -> Node | None:
        """The node under a key; None without it, or when it is empty."""
        found = self.fields.get(key)
        return None if found is None or found.empty else found

    @property
    def empty(self) -> bool:
        """True for a key without a value."""
        return self.kind == "scalar" and self.value is None

    def key(self, name: str) -> Place:
        """The place of a key, or of the node if it is not there."""
        return self.keys.get(name, self.place)

    def diagnostic(self, message: str, *, hint: str = "") -> Diagnostic:
        """An error here."""
        return self.place.diagnostic(message, hint=hint)

    def error(self, message: str, *, hint: str = "") -> InputError:
        """The same, to be raised."""
        return self.place.error(message, hint=hint)

    def mapping(self, what: str) -> Node:
        """The node itself, which must be a mapping."""
        if self.kind != "mapping":
            raise self.error(f"expected {what} as a mapping, found {self.described()}")
        return self

    def listed(self, what: str) -> Sequence[Node]:
        """The items of the node, which must be a list."""
        if self.kind != "list":
            raise self.error(f"expected {what} as a list, found {self.described()}")
        return self.items

    def name(self, what: str) -> str:
        """The text of the node, which must be a word."""
        if self.kind != "scalar" or not self.text:
            raise self.error(f"expected {what} as a text, found {self.described()}")
        return self.text

    def described(self) -> str:
        """The node in the words of a message."""
        if self.kind != "scalar":
            return f"a {self.kind}"
        return f'"{self.text[:60]}"' if self.text else "nothing"

    def known(self, valid: Sequence[str], what: str) -> Iterator[Diagnostic]:
        """An error for each key that is not among the valid ones."""
        for key in self.fields:
            if key not in valid and "ignore" not in key:
                hint = did_you_mean(key, valid, noun="keys")
                yield self.key(key).diagnostic(f'{what} has an unknown key "{key[:60]}"', hint=hint)


def parse(text: Composed, *, tags: Mapping[str, object] | None = None) -> Node:
    """The tree of a YAML text; InputError for every fault, located in the files that the text comes from.

    `tags` are further tags that may stand before a scalar.
    """
    builder = _Builder(text=text, tags=frozenset(tags or ()))
    try:
        for event in yaml.parse(text.text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        at, message = explain(error, text.text.split("\n"), builder.innermost())
        raise InputError((*builder.errors, builder.place(at).diagnostic(message))) from None
    except yaml.YAMLError as error:
        message = f"invalid YAML: {' '.join(str(error).split())[:200]}"
        raise text.place(0).error(message) from None
    if builder.errors:
        raise InputError(tuple(builder.errors))
    if builder.root is None:
        raise text.place(0).error("the file is empty: expected a YAML mapping")
    return builder.root


def merged(into: Node, other: Node, *, deep: bool) -> None:
    """Add to a mapping what another one has: its keys that are absent, and with `deep` what is inside those present."""
    for key, node in other.fields.items():
        if key not in into.fields:
            into.fields[key], into.keys[key] = node, other.key(key)
            continue
        own = into.fields[key]
        if deep and own.kind == node.kind == "mapping":
            copied = replace(own, fields=dict(own.fields), keys=dict(own.keys))
            merged(copied, node, deep=True)
            into.fields[key] = copied
        elif deep and own.kind == node.kind == "list":
            into.fields[key] = replace(own, items=[*own.items, *node.items])


@dataclass(slots=True, kw_only=True)
class _Builder:
    """Builds the tree from the parser's events, with its own stack (no recursion)."""

    text: Composed
    tags: frozenset[str]
    errors: list[Diagnostic] = field(default_factory=list)
    root: Node | None = None
    stack: list[Node] = field(default_factory=list)
    opened: list[tuple[int, int]] = field(default_factory=list)
    pending: list[tuple[str, Place] | None] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    starts: list[int] = field(init=False)
    documents: int = 0

    def __post_init__(self) -> None:
        self.starts = [0, *(i + 1 for i, c in enumerate(self.text.text) if c == "\n")]

    def place(self, at: tuple[int, int], length: int = 1) -> Place:
        row, column = min(at[0], len(self.starts) - 1), at[1]
        return self.text.place(min(self.starts[row] + column, self.text.length), length)

    def innermost(self) -> tuple[int, int] | None:
        """Where the open collection that holds the next node starts."""
        return self.opened[-1] if self.opened else None

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise self.stop(self.place(position(event.start_mark)), "a second document: expected one per file")
        elif isinstance(event, yaml.ScalarEvent):
            self.add(self.scalar(event), event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self.open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self.close()
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)

    def stop(self, place: Place, message: str, hint: str = "") -> InputError:
        return InputError((*self.errors, place.diagnostic(message, hint=hint)))

    def scalar(self, event: yaml.ScalarEvent) -> Node:
        start, end = position(event.start_mark), position(event.end_mark)
        length = end[1] - start[1] if start[0] == end[0] else 1
        place, tag = self.place(start, length), self.tag(event.tag, position(event.start_mark))
        quoted = event.style in ("'", '"')
        if quoted and place.source[place.span.column :].startswith(event.value):
            span = replace(place.span, column=place.span.column + 1, length=max(1, len(event.value)))
            place = replace(place, span=span)
        try:
            value = event.value if quoted else core_scalar(event.value)
        except ValueError as error:
            self.errors.append(place.diagnostic(str(error)))
            value = 0
        if isinstance(value, float) and not math.isfinite(value):
            value = event.value
        return Node(kind="scalar", place=place, tag=tag, value=value, text=event.value, quoted=quoted)

    def tag(self, tag: str | None, at: tuple[int, int]) -> str:
        if tag is None or tag in ("!", f"{_STANDARD}str"):
            return ""
        shown = tag.replace(_STANDARD, "!!")
        if tag not in TAGS and tag not in self.tags:
            hint = did_you_mean(shown[:60], TAGS, noun="tags")
            self.errors.append(self.place(at, len(shown)).diagnostic(f"unknown tag {shown[:60]}", hint=hint))
        return tag

    def open(self, event: yaml.CollectionStartEvent) -> None:
        at = position(event.start_mark)
        kind = "mapping" if isinstance(event, yaml.MappingStartEvent) else "list"
        node = Node(kind=kind, place=self.place(at), tag=self.tag(event.tag, at))
        if len(self.stack) >= MAX_DEPTH:
            raise self.stop(node.place, f"nested too deeply: more than {MAX_DEPTH} levels")
        self.add(node, event.anchor)
        self.stack.append(node)
        self.opened.append(at)
        self.pending.append(None)

    def close(self) -> None:
        node = self.stack.pop()
        self.opened.pop()
        self.pending.pop()
        self.merge(node)
        node.size = 1 + sum(n.size for n in (*node.items, *node.fields.values()))
        if node.size > MAX_SIZE:
            raise self.stop(node.place, f"too many values: aliases expand to more than {MAX_SIZE}")

    def merge(self, node: Node) -> None:
        found = [key for key in ("<<", "<<<") if key in node.fields]
        if len(found) > 1:
            raise self.stop(node.key("<<<"), "a mapping has either << or <<<, not both")
        for key in found:
            place, value = node.keys.pop(key), node.fields.pop(key)
            others = value.items if value.kind == "list" else [value]
            for other in others:
                if other.kind != "mapping":
                    raise self.stop(
                        place, f"expected a mapping (or a list of them) under {key}, found {other.described()}"
                    )
                merged(node, other, deep=key == "<<<")

    def alias(self, event: yaml.AliasEvent) -> None:
        anchor = event.anchor or ""
        place = self.place(position(event.start_mark), len(anchor) + 1)
        node = self.anchors.get(anchor)
        if node is None:
            raise self.stop(place, f"undefined alias *{anchor[:60]}", did_you_mean(anchor, sorted(self.anchors)))
        if any(node is opened for opened in self.stack):
            raise self.stop(place, f"alias *{anchor[:60]} contains itself")
        self.add(node, None, place)

    def add(self, node: Node, anchor: str | None, place: Place | None = None) -> None:
        """Hang a finished or opened node under the collection that is open."""
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = self.root or node
            return
        parent, key = self.stack[-1], self.pending[-1]
        if parent.kind == "list":
            parent.items.append(node)
        elif key is None:
            self.pending[-1] = self.named(parent, node, place or node.place)
        else:
            self.pending[-1] = None
            parent.fields[key[0]], parent.keys[key[0]] = node, key[1]

    def named(self, parent: Node, node: Node, place: Place) -> tuple[str, Place]:
        if node.kind != "scalar" or not node.text:
            raise self.stop(place, f"a key must be a plain word, found {node.described()}")
        first = parent.keys.get(node.text)
        if first is not None:
            message = f'duplicate key "{node.text[:60]}" (first given on line {first.span.line})'
            self.errors.append(place.diagnostic(message))
        return node.text, place
