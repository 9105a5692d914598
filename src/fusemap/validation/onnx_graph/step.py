"""One node of a graph on its way to Einsums: its operands, attributes and constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fusemap.validation.onnx_graph.builder import Builder, UnsupportedError
from fusemap.validation.onnx_graph.graph import Graph, Node
from fusemap.validation.onnx_graph.ranks import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node with the values of its operands; None where one is left out."""

    graph: Graph
    node: Node
    builder: Builder
    operands: tuple[Value | None, ...]

    def value(self, place: int) -> Value:
        """An operand that the operator needs."""
        found = self.optional(place)
        if found is None:
            raise UnsupportedError(f"operand {place} is left out")
        return found

    def optional(self, place: int) -> Value | None:
        """An operand that may be left out."""
        return self.operands[place] if place < len(self.operands) else None

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute or the operator's default."""
        return self.node.attributes.get(name, default)

    def constant(self, place: int) -> list[Any] | None:
        """The elements of an operand that must be a constant; None if it is left out."""
        name = self.node.inputs[place] if place < len(self.node.inputs) else ""
        if not name:
            return None
        if name not in self.graph.constants:
            raise UnsupportedError(f"operand {place} ({name}) is computed, and must be a constant here")
        return [item.item() for item in self.graph.constants[name].reshape(-1)]

    def keeps_integers(self) -> bool:
        """Is this a cast of integers or booleans to wide integers? (INT32 and INT64 have the numbers 6 and 7.)"""
        return self.node.inputs[0] in self.graph.integers and self.attribute("to", 0) in (6, 7)

    def axes(self, value: Value, place: int) -> set[int]:
        """The positions that `axes` names, as an attribute or an operand; all if there is none."""
        given = self.attribute("axes", None)
        found = given if given is not None else self.constant(place)
        if not found:
            return set() if self.attribute("noop_with_empty_axes", 0) else set(range(len(value.axes)))
        return {position(axis, len(value.axes)) for axis in found}

    @property
    def wanted(self) -> str:
        """What the result is called."""
        return self.node.outputs[0]


def position(axis: int, count: int) -> int:
    """An axis counted from the front; UnsupportedError if there is none such.

    >>> position(-1, 3)
    2
    """
    found = int(axis) + count if axis < 0 else int(axis)
    if not 0 <= found < count:
        raise UnsupportedError(f"axis {axis} of a tensor with {count} axes")
    return found


def turned(value: Value, order: Sequence[int]) -> Value:
    """The same tensor with its axes in another order: a view."""
    if sorted(order) != list(range(len(value.axes))):
        raise UnsupportedError(f"the order {list(order)} of {len(value.axes)} axes")
    return Value(text=value.text, axes=tuple(value.axes[place] for place in order), own=value.own)


def one_output(step: Step) -> None:
    """Refuse a node whose second output somebody wants."""
    if any(step.node.outputs[1:]):
        raise UnsupportedError(f"a second output, {next(filter(None, step.node.outputs[1:]))}")
