"""What the operators and functions of an expression compute: exact on integers, finite on floats."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np

from fusemap.archspec.batches import by_value
from fusemap.archspec.decide import as_whole, is_whole, largest, smallest
from fusemap.archspec.divergence import Divergence
from fusemap.archspec.document import TextFault
from fusemap.archspec.lanes import Lanes

Value: TypeAlias = int | float
Operation: TypeAlias = Callable[[Mapping[str, Value]], Value]

MAX_BITS = 1000  # so that every integer converts to a finite float
MAX_TRIAL = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Arity:
    """How many arguments a function takes."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """An operator or function on values; `apply` raises ValueError or ArithmeticError with its reason."""

    arity: Arity
    apply: Callable[..., Value]


def checked(apply: Callable[..., Value], operands: tuple[Operation, ...], offset: int, length: int) -> Operation:
    """The operation that applies a function to its operands' values; a failure is a TextFault."""

    def fault(error: Exception) -> TextFault:
        return TextFault(_reason(error), offset=offset, length=length)

    if len(operands) == 2:
        left, right = operands

        def two(names: Mapping[str, Value]) -> Value:
            x, y = left(names), right(names)
            try:
                return _finite(apply(x, y))
            except (ArithmeticError, ValueError) as error:
                raise fault(error) from None

        return two

    def any_number(names: Mapping[str, Value]) -> Value:
        values = [operand(names) for operand in operands]
        try:
            return _finite(apply(*values))
        except (ArithmeticError, ValueError) as error:
            raise fault(error) from None

    return any_number


def _reason(error: Exception) -> str:
    if isinstance(error, ZeroDivisionError):
        return "division by zero"
    if isinstance(error, OverflowError):
        return "the result is too large"
    return str(error)


def _finite(value: Value) -> Value:
    if isinstance(value, Lanes):
        return _finite_lanes(value)
    if value.bit_length() > MAX_BITS if isinstance(value, int) else not math.isfinite(value):
        raise OverflowError
    return value


def _finite_lanes(value: Lanes) -> Lanes:
    """The lanes, if all of them are finite; where integers are as long as checked here they are short of the limit."""
    if value.whole:
        long = value.bound.bit_length() > MAX_BITS and np.array([abs(v) >> MAX_BITS > 0 for v in value.values.tolist()])
    else:
        long = ~np.isfinite(value.values)
    if np.all(long):
        raise OverflowError
    if np.any(long):
        raise Divergence(np.asarray(long))
    return value


def divide(x: Value, y: Value) -> Value:
    """x / y: an int when both are ints and it divides exactly.

    >>> divide(12, 4), divide(1, 4)
    (3, 0.25)
    """
    if is_whole(x) and is_whole(y) and y and x % y == 0:
        return x // y
    return x / y


def floor_divide(x: Value, y: Value) -> Value:
    """The integer floor(x / y), also for floats."""
    return x // y if is_whole(x) and is_whole(y) else math.floor(x // y)


def power(x: Value, y: Value) -> Value:
    """x ** y for a real result of bounded size."""
    if isinstance(x, int) and isinstance(y, int) and y >= 0:
        if (x.bit_length() - 1) * y > MAX_BITS:
            raise OverflowError
        return int(x**y)
    if x < 0 and y != math.floor(y):
        raise ValueError("a fractional power of a negative number")
    return float(float(x) ** y)


def log2(x: Value) -> Value:
    """The binary logarithm; an int for an integer power of two.

    >>> log2(1024), log2(0.5)
    (10, -1.0)
    """
    if x <= 0:
        raise ValueError("log2 of a number that is not positive")
    if isinstance(x, int) and x & (x - 1) == 0:
        return x.bit_length() - 1
    return math.log2(x)


def round_to(x: Value, digits: Value = 0) -> Value:
    """x rounded to a number of decimal digits (ties to even); an int when no digits are asked."""
    if not isinstance(digits, int) or abs(digits) > 30:
        raise ValueError("round takes a whole number of digits, at most 30")
    return round(x) if digits == 0 else round(x, digits)


def largest_divisor(n: Value, limit: Value) -> int:
    """The largest divisor of n that is <= limit.

    >>> largest_divisor(4096, 1000), largest_divisor(97, 96)
    (512, 1)
    """
    if not is_whole(n) or n < 1:
        raise ValueError(f"largest_divisor takes a positive whole number, found {n}")
    if limit < 1:
        raise ValueError(f"nothing fits: the largest divisor of {n} that is <= {limit} does not exist")
    if isinstance(n, Lanes) or isinstance(limit, Lanes):
        return _largest_divisors(n, limit)
    if n <= limit:
        return int(n)
    return max(d for d in divisors(n) if d <= limit)


def _largest_divisors(n: Any, limit: Any) -> Any:
    """`largest_divisor` in every lane, of numbers known to be positive: one table of divisors for each number."""
    lanes = n if isinstance(n, Lanes) else limit
    numbers, limits = (v.values if isinstance(v, Lanes) else np.full(lanes.values.shape, v) for v in (n, limit))
    found = numbers.copy()
    for number in set(numbers[numbers > limits].tolist()):
        smaller = (numbers == number) & (numbers > limits)
        table = divisors(number)
        places = np.searchsorted(np.array(table, dtype=limits.dtype), limits[smaller], side="right")
        found[smaller] = np.array(table, dtype=numbers.dtype)[places - 1]
    return Lanes(found, lanes.texts)


@lru_cache(maxsize=1024)
def divisors(n: int) -> tuple[int, ...]:
    """All divisors of n >= 1, in increasing order.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    found = [1]
    rest, factor = n, 2
    while rest > 1:
        if factor * factor > rest:
            factor = rest
        elif factor > MAX_TRIAL:
            raise ValueError(f"{n} is too large to find its divisors")
        powers = [1]
        while rest % factor == 0:
            rest //= factor
            powers.append(powers[-1] * factor)
        if len(powers) > 1:
            found = [d * p for p in powers for d in found]
        factor += 1 if factor == 2 else 2
    return tuple(sorted(found))


_TWO = Arity(least=2, most=2)
_ONE = Arity(least=1, most=1)

BINARY: Mapping[str, Function] = {
    "+": Function(arity=_TWO, apply=lambda x, y: x + y),
    "-": Function(arity=_TWO, apply=lambda x, y: x - y),
    "*": Function(arity=_TWO, apply=lambda x, y: x * y),
    "/": Function(arity=_TWO, apply=divide),
    "//": Function(arity=_TWO, apply=floor_divide),
    "%": Function(arity=_TWO, apply=lambda x, y: x % y),
    "**": Function(arity=_TWO, apply=partial(by_value, power)),
    "==": Function(arity=_TWO, apply=lambda x, y: as_whole(x == y)),
    "!=": Function(arity=_TWO, apply=lambda x, y: as_whole(x != y)),
    "<": Function(arity=_TWO, apply=lambda x, y: as_whole(x < y)),
    "<=": Function(arity=_TWO, apply=lambda x, y: as_whole(x <= y)),
    ">": Function(arity=_TWO, apply=lambda x, y: as_whole(x > y)),
    ">=": Function(arity=_TWO, apply=lambda x, y: as_whole(x >= y)),
    "neg": Function(arity=_ONE, apply=lambda x: -x),
}

FUNCTIONS: Mapping[str, Function] = {
    "min": Function(arity=Arity(least=1, most=20), apply=smallest),
    "max": Function(arity=Arity(least=1, most=20), apply=largest),
    "ceil": Function(arity=_ONE, apply=math.ceil),
    "floor": Function(arity=_ONE, apply=math.floor),
    "log2": Function(arity=_ONE, apply=partial(by_value, log2)),
    "round": Function(arity=Arity(least=1, most=2), apply=partial(by_value, round_to)),
    "largest_divisor": Function(arity=_TWO, apply=largest_divisor),
    "if": Function(arity=Arity(least=3, most=3), apply=lambda cond, a, b: a if cond else b),
}
