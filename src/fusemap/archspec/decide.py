"""The few builtins that decide or convert, as functions that take a plain number or a number per lane."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fusemap.archspec.divergence import Divergence
from fusemap.archspec.lanes import INT64, Lanes, columns, gathered, operand


def is_whole(value: Any) -> bool:
    """True for an int, and for lanes of integers."""
    return value.whole if isinstance(value, Lanes) else isinstance(value, int)


def as_whole(value: Any) -> Any:
    """int(value), of a number or of every lane.

    >>> as_whole(2.5), as_whole(True)
    (2, 1)
    """
    return math.trunc(value) if isinstance(value, Lanes) else int(value)


def chosen(condition: Any, first: Any, second: Any) -> Any:
    """`first if condition else second` in every lane; Divergence where that mixes ints and floats.

    >>> chosen(2 > 1, "a", "b")
    'a'
    """
    if not isinstance(condition, Lanes):
        return first if condition else second
    mask = condition.values.astype(bool)
    if mask.all() or not mask.any():
        return first if mask.all() else second
    a, b = operand(first), operand(second)
    if a is None or b is None or a[1] != b[1]:
        raise Divergence(mask)
    if max(a[2], b[2]) >= INT64:
        return gathered([x if m else y for m, x, y in zip(*columns((mask, a[0], b[0])), strict=True)], condition.texts)
    return Lanes(np.where(mask, a[0], b[0]), condition.texts, max(a[2], b[2]))


def largest(*values: Any) -> Any:
    """The greatest number, in every lane.

    >>> largest(3, 1, 2)
    3
    """
    found = values[0]
    for value in values[1:]:
        found = chosen(value > found, value, found)
    return found


def smallest(*values: Any) -> Any:
    """The least number, in every lane."""
    found = values[0]
    for value in values[1:]:
        found = chosen(value < found, value, found)
    return found


def somewhere(condition: Any) -> bool:
    """True when a condition holds in any lane: for what does no harm in the others."""
    return bool(condition.values.astype(bool).any()) if isinstance(condition, Lanes) else bool(condition)


def everywhere(condition: Any) -> bool:
    """True when a condition holds in all lanes: for what may be left out in some."""
    return bool(condition.values.astype(bool).all()) if isinstance(condition, Lanes) else bool(condition)


def written(write: Callable[..., str], *arguments: Any) -> str:
    """`write(*arguments)`, put off until the lane is known."""
    texts = next((a.texts for a in arguments if isinstance(a, Lanes)), None)
    return write(*arguments) if texts is None else texts.mark(write, *arguments)
