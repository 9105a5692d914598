"""Reshapes that a cascade can say: axes that stay, are cut in two, or are joined from two neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from fusemap.validation.onnx_graph.builder import Builder, UnsupportedError
from fusemap.validation.onnx_graph.graph import Extent
from fusemap.validation.onnx_graph.ranks import Axis, Value


def reshaped(builder: Builder, wanted: str, value: Value, extents: Sequence[Extent]) -> Value:
    """The value with other extents: a view if only extents of 1 come or go, else one Einsum; UnsupportedError."""
    wide = [axis for axis in value.axes if axis.extent != 1]
    old, new = [axis.extent for axis in wide], [extent for extent in extents if extent != 1]
    groups = _groups(old, new)
    if groups is None:
        raise UnsupportedError(
            f"a reshape of {_shown(old)} to {_shown(new)}, which cuts no axis in two and joins no two"
        )
    if all(group == (1, 1) for group in groups):
        rest = iter(wide)
        axes = tuple(Axis(extent=1) if extent == 1 else next(rest) for extent in extents)
        return Value(text=value.text, axes=axes, own=value.own)
    return builder.reshape(wanted, value, groups, extents)


def rest_of(old: Sequence[Extent], new: Sequence[Extent]) -> Extent:
    """The extent that -1 stands for: what is left of the old extents without the new ones."""
    names = [extent for extent in old if isinstance(extent, str)]
    for extent in new:
        if isinstance(extent, str) and extent in names:
            names.remove(extent)
    number, rest = divmod(prod(e for e in old if isinstance(e, int)), prod(e for e in new if isinstance(e, int)) or 1)
    if rest or len(names) > 1 or (names and number != 1):
        raise UnsupportedError(f"a reshape of {_shown(old)} to {_shown(new)} and a rest that is no number or name")
    return names[0] if names else number


def _groups(old: Sequence[Extent], new: Sequence[Extent]) -> list[tuple[int, int]] | None:
    """Which extents stay, are cut in two or joined from two, from left to right; None if it is neither."""
    groups, i, j = [], 0, 0
    while i < len(old) and j < len(new):
        group = next((g for g in ((1, 1), (1, 2), (2, 1)) if _same(old[i : i + g[0]], new[j : j + g[1]], g)), None)
        if group is None:
            return None
        groups.append(group)
        i, j = i + group[0], j + group[1]
    return groups if (i, j) == (len(old), len(new)) else None


def _same(old: Sequence[Extent], new: Sequence[Extent], group: tuple[int, int]) -> bool:
    if (len(old), len(new)) != group:
        return False
    if group == (1, 1):
        return old[0] == new[0]
    numbers = [extent for extent in (*old, *new) if isinstance(extent, int)]
    return len(numbers) == 3 and prod(numbers[: len(old)]) == prod(numbers[len(old) :])


def _shown(extents: Sequence[Extent]) -> str:
    return "x".join(map(str, extents)) or "a scalar"
