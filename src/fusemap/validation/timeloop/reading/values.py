"""Numbers of a specification: literals, and expressions over variables and attributes.

Expressions are those of `fusemap.archspec.expressions`, which is what public designs use of Python's; anything else is
refused where it stands. Nothing is executed as code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.expressions import NoValueError, parse_expression
from fusemap.archspec.reader import LARGEST
from fusemap.diagnostics import InputError
from fusemap.validation.timeloop.reading.nodes import Node

_CIRCLE = "depends on itself"
_SUPPORTED = "supported: + - * / // % **, comparisons, if(c, a, b), min max ceil floor log2 round, and names"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Names with a value: the fields of a mapping, then those of the scope around it, then numbers that are given."""

    fields: Mapping[str, Node] = field(default_factory=dict)
    outer: Scope | None = None
    given: Mapping[str, Value] = field(default_factory=dict)

    def inside(self, node: Node | None) -> Scope:
        """The scope of what stands in a mapping."""
        return self if node is None else Scope(fields=node.fields, outer=self)

    def find(self, name: str) -> tuple[Node | Value, Scope] | None:
        """What a name stands for, and the scope that its own names are looked up in."""
        if name in self.given:
            return self.given[name], self
        if name in self.fields:
            return self.fields[name], self
        return self.outer.find(name) if self.outer is not None else None

    def names(self) -> tuple[str, ...]:
        """All names."""
        return (*self.fields, *self.given, *(self.outer.names() if self.outer is not None else ()))

    def without(self, name: str) -> Scope:
        """The scope for the value of one of its names: `width: width * 2` means the width further out."""
        return Scope(fields={k: v for k, v in self.fields.items() if k != name}, outer=self.outer, given=self.given)


def number(node: Node, scope: Scope, what: str) -> Value:
    """The number that a node stands for; InputError at the node, or inside its expression."""
    return _number(node, scope, what, ())


def whole(node: Node, scope: Scope, what: str, *, least: int = 1) -> int:
    """The same, which must be a whole number and not below `least`."""
    value = number(node, scope, what)
    if value != int(value) or value < least:
        raise node.error(f"expected {what} as a whole number from {least} on, found {value:g}")
    if value > LARGEST:
        raise node.error(f"{what} is too large: more than 2^40")
    return int(value)


def flag(node: Node, what: str) -> bool:
    """The truth value of a node."""
    if isinstance(node.value, bool):
        return node.value
    raise node.error(f"expected {what} as true or false, found {node.described()}")


def _number(node: Node, scope: Scope, what: str, active: tuple[tuple[int, str], ...]) -> Value:
    if node.kind == "scalar" and isinstance(node.value, bool | int | float):
        return int(node.value) if isinstance(node.value, bool) else node.value
    if node.kind != "scalar" or node.value is None:
        raise node.error(f"expected {what}, found {node.described()}")
    if node.quoted:
        hint = "without quotes it is a number or an expression"
        raise node.error(f"expected {what}, found the text {node.described()}", hint=hint)
    try:
        return parse_expression(node.text, place=node.place).evaluate(_Names(scope=scope, active=active))
    except InputError as error:
        raise InputError(
            tuple(
                d if d.hint or _CIRCLE in d.message else dataclasses.replace(d, hint=_SUPPORTED)
                for d in error.diagnostics
            )
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names(Mapping[str, Value]):
    """A scope as the names of an expression; `active` are the names whose values are being computed."""

    scope: Scope
    active: tuple[tuple[int, str], ...]

    def __getitem__(self, name: str) -> Value:
        found = self.scope.find(name)
        if found is None:
            raise KeyError(name)
        node, scope = found
        if not isinstance(node, Node):
            return node
        key = (id(node), name)
        if key in self.active:
            chain = " -> ".join([*(n for _, n in self.active[self.active.index(key) :]), name])
            raise node.error(f"{name} {_CIRCLE}: {chain}")
        if node.kind != "scalar" or node.quoted:
            raise NoValueError(name, f"it is {node.described()}, not a number")
        own = scope.without(name) if _refers(node, name) and _further(scope, name) else scope
        return _number(node, own, name, (*self.active, key))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self.scope.names()))

    def __len__(self) -> int:
        return len(dict.fromkeys(self.scope.names()))


def _refers(node: Node, name: str) -> bool:
    return isinstance(node.value, str) and name in node.text


def _further(scope: Scope, name: str) -> bool:
    """True when a scope further out has the name too."""
    return scope.outer is not None and scope.outer.find(name) is not None
