"""The files of a design as one specification: templates rendered, includes resolved, top-level keys put together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fusemap.archspec.arithmetic import Value
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean, input_error
from fusemap.validation.timeloop.reading import phrases
from fusemap.validation.timeloop.reading.nodes import Node, parse
from fusemap.validation.timeloop.reading.template import Include, Library, Template
from fusemap.validation.timeloop.reading.values import Scope

# Keys of which a longer one may contain the name (`compound_components`, `mapspace_constraints`), in this order.
_LONGER = ("components", "constraints", "mapping", "globals")
_EXACT = ("architecture", "problem", "variables", "mapper", "mapspace", "sparse_optimizations", "ERT", "ART")
_ONCE = ("problem", "architecture")
_PRICES = ("ERT", "ART", "ERT_summary", "ART_summary")
MAX_DEPTH = 20


@dataclass(slots=True, kw_only=True)
class Specification:
    """What the files say, by top-level key; every key maps to the nodes of the files that have it.

    `prices` are the files that hold nothing but tables of Accelergy.
    """

    files: tuple[str, ...]
    parts: dict[str, list[Node]] = field(default_factory=dict)
    prices: list[str] = field(default_factory=list)
    defines: Mapping[str, phrases.Value] = field(default_factory=dict)

    def only(self, key: str, what: str) -> Node:
        """The one node of a key; InputError when no file has it."""
        found = self.parts.get(key, [])
        if not found:
            raise input_error(f"no file has the key {key}: {what}", hint=f"given: {', '.join(self.files)}")
        return found[0].mapping(key)

    def entries(self, key: str, *inner: str) -> list[Node]:
        """The items of the lists of a key in all files, or of what stands under `inner` in them."""
        found: list[Node] = []
        for part in self.parts.get(key, []):
            node: Node | None = part
            for name in inner if part.kind == "mapping" else ():
                node = node.get(name) if node is not None and node.kind == "mapping" else None
            if node is not None and not node.empty:
                found += node.listed(".".join((key, *inner)))
        return found

    def variables(self) -> Scope:
        """The variables of all files; what is defined on the command line replaces them."""
        fields: dict[str, Node] = {}
        for part in self.parts.get("variables", []):
            fields |= part.mapping("variables").fields
        given: dict[str, Value] = {
            name: value
            for name, value in self.defines.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return Scope(fields={k: v for k, v in fields.items() if k != "version"}, given=given)


def load(paths: Sequence[str], defines: Mapping[str, phrases.Value]) -> Specification:
    """The specification of some files; InputError for every key that is not known, and what cannot be read."""
    library = Library()
    given = tuple(dict.fromkeys(os.path.normpath(path) for path in paths))
    specification = Specification(files=given, defines=defines)
    errors: list[Diagnostic] = []
    for path in given:
        root = load_file(path, library, defines).mapping("a specification")
        if root.fields and set(root.fields) <= set(_PRICES):
            specification.prices.append(path)
        else:
            errors += _distribute(root, specification)
    if errors:
        raise InputError(tuple(errors))
    return specification


def load_file(path: str, library: Library, variables: Mapping[str, phrases.Value]) -> Node:
    """The tree of one file with everything that it includes."""
    return _load(path, library, dict(variables), [], (), None)


def _distribute(root: Node, specification: Specification) -> list[Diagnostic]:
    """Put the keys of a file where they belong; errors for those that are unknown or given twice."""
    errors = []
    for key, node in root.fields.items():
        name = _canonical(key)
        if name is None:
            valid = sorted((*_EXACT, *_LONGER))
            errors.append(root.key(key).diagnostic(f'unknown key "{key[:60]}"', hint=did_you_mean(key, valid)))
        elif name:
            known = specification.parts.setdefault(name, [])
            if known and name in _ONCE:
                first = known[0].place.span
                errors.append(root.key(key).diagnostic(f"a second {name}: the first stands at {first}"))
            known.append(node)
    return errors


def _canonical(key: str) -> str | None:
    """The key of the specification that a top-level key is for; empty for one to be ignored."""
    if key in _EXACT:
        return key
    if "ignore" in key:
        return ""
    return next((name for name in _LONGER if name in key), None)


def _load(
    path: str,
    library: Library,
    variables: dict[str, phrases.Value],
    folders: list[str],
    chain: tuple[str, ...],
    at: Node | None,
) -> Node:
    absolute = os.path.abspath(path)
    if at is not None and (absolute in chain or len(chain) >= MAX_DEPTH):
        raise at.error(f"{path} includes itself", hint=" -> ".join((*chain, absolute)))
    source = library.source(path)
    rendered = Template(source=source, library=library, variables=variables, folders=folders).rendered()
    if not rendered.text.strip():
        raise source.place(0).error("the file is empty: expected a YAML mapping")
    root = parse(rendered, tags=library.includes)
    return _resolved(root, library, (*chain, absolute), {})


def _resolved(node: Node, library: Library, chain: tuple[str, ...], done: dict[int, Node]) -> Node:
    """The tree with the included values in place of their tags."""
    if id(node) in done:
        return done[id(node)]
    done[id(node)] = node
    if node.tag in library.includes:
        done[id(node)] = _included(node, library.includes[node.tag], library, chain)
        return done[id(node)]
    node.items = [_resolved(item, library, chain, done) for item in node.items]
    node.fields = {key: _resolved(item, library, chain, done) for key, item in node.fields.items()}
    return node


def _included(node: Node, include: Include, library: Library, chain: tuple[str, ...]) -> Node:
    found = []
    for path in include.paths:
        inner = _load(path, library, dict(include.variables), list(include.folders), chain, node)
        for key in include.keys:
            value = inner.get(key) if inner.kind == "mapping" else None
            if value is None:
                hint = did_you_mean(key, list(inner.fields), noun="keys")
                raise node.error(f'{path} has no "{key}" to include', hint=hint)
            inner = value
        found.append(inner)
    if not include.several:
        return found[0]
    items = [item for part in found for item in part.listed("what include_all joins")]
    return replace(node, kind="list", tag="", value=None, items=items)
