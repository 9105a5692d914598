"""Writes the Einsums of a cascade from values with axes: each method is one Einsum, or none where a view is enough."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.validation.onnx_graph.graph import Extent
from fusemap.validation.onnx_graph.ranks import Axis, Ranks, Value

Slot: TypeAlias = tuple[int, Axis]  # an operand's number and one of its axes
Bound: TypeAlias = tuple[Extent, str | None]  # an extent and its variable


class UnsupportedError(Exception):
    """Something that the cascade language, or this importer, does not have; whoever knows the node says where."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """How one Einsum reads its operands: the index of every axis by operand, and the variables it uses."""

    taken: set[str] = field(default_factory=set)
    at: dict[tuple[int, int], str] = field(default_factory=dict)

    def text(self, operand: int, value: Value) -> str:
        """The operand at its indices, in the order of the cascade's tensor."""
        return _access(value.text, [self.at[operand, id(axis)] for axis in value.own])


def literal(number: float) -> Value:
    """A number as a value without axes; UnsupportedError for NaN.

    >>> literal(-0.5).text
    '(-0.5)'
    """
    if math.isnan(number):
        raise UnsupportedError("NaN as a constant")
    text = "inf" if math.isinf(number) else repr(abs(number))
    return Value(text=f"(-{text})" if math.copysign(1, number) < 0 else text)


@dataclass(slots=True, kw_only=True)
class Builder:
    """A cascade in the making: ranks, the lines of its Einsums, and the names that are taken."""

    ranks: Ranks = field(default_factory=Ranks)
    lines: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    inputs: dict[str, Value] = field(default_factory=dict)

    def name(self, wanted: str) -> str:
        """A tensor name near the wanted one that is not taken, now taken."""
        base = re.sub(r"[^A-Za-z0-9]+", "_", wanted).strip("_")[-40:].strip("_") or "T"
        base = base[0].upper() + base[1:] if base[0].isalpha() else f"T{base}"
        found, number = base, 2
        while found in self.names:
            found, number = f"{base}_{number}", number + 1
        self.names.add(found)
        return found

    def given(self, wanted: str, extents: Sequence[Extent]) -> Value:
        """An input of the cascade; its ranks are named when it is first read."""
        beside: set[str] = set()
        axes = tuple(Axis(extent=extent, beside=beside) for extent in extents)
        value = Value(text=self.name(wanted), axes=axes, own=tuple(a for a in axes if a.extent != 1))
        self.inputs[value.text] = value
        return value

    def bind(self, group: Sequence[Slot], reading: Reading) -> Bound:
        """Read axes of several operands at one variable: the extent and the variable, (1, None) if all are 1.

        The first axis that has a rank which this Einsum does not use yet gives the variable, else a new one is
        made. Raises UnsupportedError for extents that differ.
        """
        wide = [(operand, axis) for operand, axis in group if axis.extent != 1]
        if not wide:
            return 1, None
        extent = wide[0][1].extent
        for _, axis in wide[1:]:
            if axis.extent != extent:
                raise UnsupportedError(f"extents {extent} and {axis.extent} at one axis")
        known = [axis.var for _, axis in wide if axis.var is not None]
        var = next((name for name in known if name not in reading.taken), None) or self.ranks.fresh(extent)
        reading.taken.add(var)
        for operand, axis in wide:
            if axis.var is None:
                axis.var = self.ranks.fresh(extent) if var in axis.beside else var
                axis.beside.add(axis.var)
            self.ranks.tie(axis.var, var)
            reading.at[operand, id(axis)] = var
        return extent, var

    def write(self, wanted: str, axes: Sequence[Bound], right: str) -> Value:
        """One Einsum; `axes` are the extents and variables of what it writes, without a variable at extent 1."""
        found = tuple(Axis(extent=extent, var=var) for extent, var in axes)
        own = tuple(axis for axis in found if axis.extent != 1)
        name = self.name(wanted)
        self.lines.append(f"{_access(name, [str(axis.var) for axis in own])} = {right}")
        return Value(text=name, axes=found, own=own)

    def map(self, wanted: str, form: str, *values: Value, not_above: tuple[int, int] | None = None) -> Value:
        """An elementwise Einsum with ONNX's broadcasting; `form` has a place {} for every value.

        With `not_above` the coordinate at its first position is at most that at its second: a causal filter.
        """
        reading = Reading()
        depth = max((len(value.axes) for value in values), default=0)
        axes = [self.bind(_column(values, position), reading) for position in range(depth, 0, -1)]
        right = form.format(*(reading.text(i, value) for i, value in enumerate(values)))
        below = [axes[place][1] or "0" for place in not_above or ()]
        return self.write(wanted, axes, f"{right} for {'<='.join(below)}" if below else right)

    def repeat(self, wanted: str, value: Value, place: int, times: int) -> Value:
        """Each coordinate of one axis `times` times, one after the other: read at `h//G`, a view."""
        reading = Reading()
        extent = value.axes[place].extent
        assert isinstance(extent, int), extent
        var, group = self.ranks.fresh(extent * times), self.ranks.fresh(times)
        bound = [
            (extent * times, var) if p == place else self.bind([(0, a)], reading) for p, a in enumerate(value.axes)
        ]
        self.bind([(0, value.axes[place])], reading)
        reading.at[0, id(value.axes[place])] = f"{var}//{group.upper()}"
        return self.write(wanted, bound, reading.text(0, value))

    def einsum(self, wanted: str, terms: Sequence[str], right: str, values: Sequence[Value]) -> Value:
        """The product of the values, whose axes are the letters of their terms, summed over those not on the right."""
        reading = Reading()
        slots = [
            (letter, (i, axis))
            for i, term in enumerate(terms)
            for letter, axis in zip(term, values[i].axes, strict=True)
        ]
        letters = dict.fromkeys(right + "".join(terms))
        bound = {letter: self.bind([slot for name, slot in slots if name == letter], reading) for letter in letters}
        product = " * ".join(reading.text(i, value) for i, value in enumerate(values))
        return self.write(wanted, [bound[letter] for letter in right], product)

    def reduce(
        self, wanted: str, operator: str, form: str, value: Value, over: Set[int], *, keep: bool = True
    ) -> Value:
        """A reduction over the axes at some positions; `form` has a place for the value and {sizes} for its extents."""
        reading = Reading()
        bound = [self.bind([(0, axis)], reading) for axis in value.axes]
        reduced = [var for position, (_, var) in enumerate(bound) if position in over and var is not None]
        axes: list[Bound] = [
            (1, None) if p in over else found for p, found in enumerate(bound) if keep or p not in over
        ]
        sizes = "*".join(f"size({var.upper()})" for var in reduced) or "1"
        head = f"{operator}[{','.join(reduced)}] " if reduced else ""
        return self.write(wanted, axes, head + form.format(reading.text(0, value), sizes=f"({sizes})"))

    def contract(self, wanted: str, left: Value, right: Value) -> Value:
        """ONNX's MatMul: rows of the left with columns of the right, the axes before them broadcast."""
        reading = Reading()
        columns = right.axes[-1:] if len(right.axes) > 1 else ()
        inner = (left.axes[-1], right.axes[-2] if len(right.axes) > 1 else right.axes[-1])
        batch = [Value(text="", axes=value.axes[:-2]) for value in (left, right)]
        depth = max(len(value.axes) for value in batch)
        axes = [self.bind(_column(batch, position), reading) for position in range(depth, 0, -1)]
        axes += [self.bind([(0, axis)], reading) for axis in left.axes[-2:-1]]
        axes += [self.bind([(1, axis)], reading) for axis in columns]
        if inner[0].extent != inner[1].extent:
            raise UnsupportedError(f"inner extents {inner[0].extent} and {inner[1].extent}")
        self.bind(list(enumerate(inner)), reading)
        return self.write(wanted, axes, f"{reading.text(0, left)} * {reading.text(1, right)}")

    def reshape(self, wanted: str, value: Value, groups: Sequence[tuple[int, int]], extents: Sequence[Extent]) -> Value:
        """Groups of (axes before, axes after), each 1 to 1, 1 to 2 or 2 to 1; axes of extent 1 belong to none."""
        reading = Reading()
        before = iter([axis for axis in value.axes if axis.extent != 1])
        after = iter([extent for extent in extents if extent != 1])
        left: list[str] = []
        own: list[Axis] = []
        for old, new in groups:
            index, made = self._regroup([next(before) for _ in range(old)], [next(after) for _ in range(new)], reading)
            left.append(index)
            own += made
        text = self.name(wanted)
        self.lines.append(f"{_access(text, left)} = {reading.text(0, value)}")
        ordered = iter(own)
        axes = tuple(Axis(extent=1) if extent == 1 else next(ordered) for extent in extents)
        return Value(text=text, axes=axes, own=tuple(own))

    def _regroup(self, old: Sequence[Axis], new: Sequence[Extent], reading: Reading) -> tuple[str, list[Axis]]:
        """What stands on the left for one group, and the axes that come out."""
        if len(new) == 2:
            outer, inner = self.ranks.fresh(new[0]), self.ranks.fresh(new[1])
            reading.taken.update((outer, inner))
            old[0].var = old[0].var or self.ranks.fresh(old[0].extent)
            old[0].beside.add(old[0].var)
            reading.at[0, id(old[0])] = f"{outer}*{inner.upper()}+{inner}"
            self.ranks.product(old[0].var, outer, inner)
            return f"{outer},{inner}", [Axis(extent=new[0], var=outer), Axis(extent=new[1], var=inner)]
        found = [str(self.bind([(0, axis)], reading)[1]) for axis in old]
        if len(old) == 1:
            return found[0], [Axis(extent=new[0], var=found[0])]
        whole = self.ranks.fresh(new[0])
        self.ranks.product(whole, found[0], found[1])
        return f"{found[0]}*{found[1].upper()}+{found[1]}", [Axis(extent=new[0], var=whole)]


def _column(values: Sequence[Value], position: int) -> list[Slot]:
    """The axes of all values that stand at a position, counted from the last."""
    return [(i, value.axes[-position]) for i, value in enumerate(values) if len(value.axes) >= position]


def _access(name: str, indices: Sequence[str]) -> str:
    return f"{name}[{','.join(indices)}]" if indices else name
