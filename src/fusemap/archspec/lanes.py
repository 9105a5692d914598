"""One number for each of many points: what the model computes with when it evaluates them all at once.

`Lanes` stands where a Python int or float stands, and every operation on it gives in each lane, bit for bit, what
Python gives there: integers are int64 while they fit and exact Python integers beyond, floats are IEEE doubles. So
the functions of the model run on it as they are; there is no second model for arrays.

Where a decision depends on the lane, no single answer exists: `bool` of a comparison that holds in some lanes only
raises `Divergence` with those lanes, and whoever started the evaluation starts it anew for each side
(`fusemap.archspec.batches`). What needs a plain number (a hash, a search over tiles) raises `OneByOne`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.archspec.divergence import Divergence, OneByOne, Texts

__all__ = ["INT64", "Divergence", "Lanes", "OneByOne", "Texts", "Values", "columns", "gathered", "operand"]

Values: TypeAlias = NDArray[Any]

_EXACT = 1 << 53  # integers up to here are doubles too
INT64 = 1 << 63


class Lanes:
    """A number per lane. `bound` is no smaller than the magnitude of any integer in it (0 for floats)."""

    __slots__ = ("bound", "texts", "values")
    __array_ufunc__ = None  # NumPy leaves an operation with this to the methods below

    def __init__(self, values: Values, texts: Texts, bound: int | None = None) -> None:
        self.values, self.texts = values, texts
        self.bound = _magnitude(values) if bound is None else bound

    @property
    def whole(self) -> bool:
        """True when the lanes hold integers (or truth values)."""
        return self.values.dtype.kind != "f"

    def lane(self, index: int) -> Any:
        """The plain number of one lane."""
        value = self.values[index]
        return value.item() if isinstance(value, np.generic) else value

    # --- arithmetic ---------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return _computed(operator.add, self, other, _summed)

    def __radd__(self, other: Any) -> Any:
        return _computed(operator.add, other, self, _summed)

    def __sub__(self, other: Any) -> Any:
        return _computed(operator.sub, self, other, _summed)

    def __rsub__(self, other: Any) -> Any:
        return _computed(operator.sub, other, self, _summed)

    def __mul__(self, other: Any) -> Any:
        return _computed(operator.mul, self, other, _multiplied)

    def __rmul__(self, other: Any) -> Any:
        return _computed(operator.mul, other, self, _multiplied)

    def __truediv__(self, other: Any) -> Any:
        return _divided(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _divided(operator.truediv, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _divided(operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _divided(operator.floordiv, other, self)

    def __mod__(self, other: Any) -> Any:
        return _divided(operator.mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return _divided(operator.mod, other, self)

    def __rshift__(self, count: int) -> Any:
        return self // (1 << count)

    def __neg__(self) -> Any:
        return self * -1

    def __abs__(self) -> Lanes:
        return Lanes(abs(self.values), self.texts, self.bound)

    def __floor__(self) -> Lanes:
        return self if self.whole else _integers(np.floor(self.values), self.texts)

    def __ceil__(self) -> Lanes:
        return self if self.whole else _integers(np.ceil(self.values), self.texts)

    def __trunc__(self) -> Lanes:
        return self if self.whole else _integers(np.trunc(self.values), self.texts)

    # --- comparisons and decisions ------------------------------------------------------------------

    def __eq__(self, other: object) -> Any:
        return _compared(operator.eq, self, other)

    def __ne__(self, other: object) -> Any:
        return _compared(operator.ne, self, other)

    def __lt__(self, other: Any) -> Any:
        return _compared(operator.lt, self, other)

    def __le__(self, other: Any) -> Any:
        return _compared(operator.le, self, other)

    def __gt__(self, other: Any) -> Any:
        return _compared(operator.gt, self, other)

    def __ge__(self, other: Any) -> Any:
        return _compared(operator.ge, self, other)

    def __bool__(self) -> bool:
        truth = self.values.astype(bool)
        if truth.all():
            return True
        if truth.any():
            raise Divergence(truth)
        return False

    # --- what has no answer for many lanes, and texts -----------------------------------------------

    def __hash__(self) -> int:
        raise OneByOne("a number per lane has no hash")

    def __int__(self) -> int:
        raise OneByOne("a number per lane is not one int")

    def __index__(self) -> int:
        raise OneByOne("a number per lane is not one index")

    def __float__(self) -> float:
        raise OneByOne("a number per lane is not one float")

    def __iter__(self) -> Iterator[Any]:
        raise OneByOne("a number per lane is not a sequence")

    def _plain(self, *others: Any) -> Any:
        raise OneByOne("an operation that lanes do not have")

    __divmod__ = __rdivmod__ = __pow__ = __rpow__ = __round__ = __lshift__ = __rlshift__ = _plain
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __invert__ = __contains__ = _plain

    def __array__(self, *arguments: Any, **options: Any) -> Values:
        raise OneByOne("lanes are points, not the candidates of a search")

    def __format__(self, spec: str) -> str:
        return self.texts.mark(lambda value: format(value, spec), self)

    def __str__(self) -> str:
        return self.texts.mark(str, self)

    def __repr__(self) -> str:
        return self.texts.mark(repr, self)


def _magnitude(values: Values) -> int:
    """The largest magnitude among integers; 0 for floats."""
    if values.dtype.kind == "f" or not values.size:
        return 0
    return max(abs(int(values.max())), abs(int(values.min())))


def _integers(values: NDArray[np.float64], texts: Texts) -> Lanes:
    """Whole doubles as integers."""
    if np.abs(values).max(initial=0) < INT64:
        return Lanes(values.astype(np.int64), texts)
    return Lanes(np.array([int(v) for v in values.tolist()], dtype=object), texts)


def operand(value: Any) -> tuple[Any, bool, int] | None:
    """An operand's values, whether they are integers, and their bound; None for what is no number."""
    if isinstance(value, Lanes):
        return value.values, value.whole, value.bound
    if isinstance(value, bool | int):
        return int(value), True, abs(int(value))
    return (value, False, 0) if isinstance(value, float) else None


def _texts(left: Any, right: Any) -> Texts:
    found: Texts = left.texts if isinstance(left, Lanes) else right.texts
    return found


def _summed(left: int, right: int) -> int:
    return left + right


def _multiplied(left: int, right: int) -> int:
    return max(left * right, left, right)


def _computed(apply: Callable[[Any, Any], Any], left: Any, right: Any, reach: Callable[[int, int], int]) -> Any:
    """A sum, difference or product; `reach` bounds the result of integers by the bounds of the operands."""
    a, b = operand(left), operand(right)
    if a is None or b is None:
        return NotImplemented
    texts = _texts(left, right)
    if not (a[1] and b[1]):
        return Lanes(apply(_doubles(a[0]), _doubles(b[0])), texts, 0)
    bound = reach(a[2], b[2])
    if bound >= INT64:
        bound = reach(_tight(left), _tight(right))
    if bound < INT64:
        return Lanes(apply(_int64(a[0]), _int64(b[0])), texts, bound)
    return _exactly(apply, a[0], b[0], texts)


def _divided(apply: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """A quotient or remainder; ZeroDivisionError where all lanes divide by zero."""
    a, b = operand(left), operand(right)
    if a is None or b is None:
        return NotImplemented
    if right == 0:  # bool of lanes: some zeros diverge
        raise ZeroDivisionError("division by zero")
    texts = _texts(left, right)
    if not (a[1] and b[1]):
        if apply is operator.truediv:
            return Lanes(_doubles(a[0]) / _doubles(b[0]), texts, 0)
        return _exactly(apply, _doubles(a[0]), _doubles(b[0]), texts)
    if apply is operator.truediv:
        if max(a[2], b[2]) <= _EXACT or max(_tight(left), _tight(right)) <= _EXACT:
            return Lanes(_doubles(a[0]) / _doubles(b[0]), texts, 0)
    elif max(a[2], b[2]) < INT64 or max(_tight(left), _tight(right)) < INT64:
        return Lanes(apply(_int64(a[0]), _int64(b[0])), texts, a[2] if apply is operator.floordiv else b[2])
    return _exactly(apply, a[0], b[0], texts)


def _compared(apply: Callable[[Any, Any], Any], left: Lanes, right: Any) -> Any:
    b = operand(right)
    if b is None:
        return NotImplemented
    values, whole, bound = left.values, left.whole, left.bound
    mixed = whole != b[1]
    if (mixed and max(bound, b[2]) > _EXACT) or max(bound, b[2]) >= INT64:
        found = _exactly(apply, values, b[0], left.texts).values
        return Lanes(found.astype(bool), left.texts, 1)
    return Lanes(apply(values, b[0]), left.texts, 1)


def _doubles(values: Any) -> Any:
    return values.astype(np.float64) if isinstance(values, np.ndarray) else float(values)


def _int64(values: Any) -> Any:
    return values.astype(np.int64) if isinstance(values, np.ndarray) and values.dtype != np.int64 else values


def _tight(value: Any) -> int:
    """The bound of an operand as it is, remembered."""
    if not isinstance(value, Lanes):
        return abs(int(value))
    value.bound = _magnitude(value.values)
    return value.bound


def _exactly(apply: Callable[[Any, Any], Any], left: Any, right: Any, texts: Texts) -> Lanes:
    """The operation on Python numbers, lane by lane."""
    return gathered([apply(a, b) for a, b in zip(*columns((left, right)), strict=True)], texts)


def columns(operands: tuple[Any, ...]) -> list[list[Any]]:
    """Plain numbers per lane of every operand."""
    lanes = next(v.size for v in operands if isinstance(v, np.ndarray))
    return [v.tolist() if isinstance(v, np.ndarray) else [v] * lanes for v in operands]


def gathered(values: list[Any], texts: Texts) -> Lanes:
    """Python numbers as lanes; Divergence where some are ints and some are floats.

    >>> gathered([1, 2**70], Texts()).values.dtype, gathered([0.5, 1.5], Texts()).values.dtype
    (dtype('O'), dtype('float64'))
    """
    floats = [isinstance(v, float) for v in values]
    if all(floats):
        return Lanes(np.array(values, dtype=np.float64), texts, 0)
    if any(floats):
        raise Divergence(np.array(floats))
    bound = max(map(abs, values))
    kind = np.int64 if bound < INT64 else object
    return Lanes(np.array(values, dtype=kind), texts, int(bound))
