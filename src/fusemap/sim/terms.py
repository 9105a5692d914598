"""A number and how it is computed: a tree of sums, products, differences, quotients and maxima over given numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import sub, truediv
from types import MappingProxyType
from typing import Literal, TypeAlias

Number: TypeAlias = int | float
Operation: TypeAlias = Literal["given", "sum", "product", "difference", "quotient", "max"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """`value` = `operation` over the values of `parts`; a given number has none.

    A given number has the `source` that published it, or the `place` in the mapping where it stands.

    >>> total = product("words", given("b", 64), given("m", 16))
    >>> total.value, recomputed(total)
    (1024, 1024)
    """

    name: str
    value: Number
    operation: Operation
    unit: str = ""
    parts: tuple[Term, ...] = ()
    source: str = ""
    place: str = ""

    def walk(self) -> Iterator[Term]:
        """This term and all below it, parents first."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def to_json(self) -> dict[str, object]:
        """The tree as a JSON object; parts that are not there are left out."""
        fields: dict[str, object] = {"name": self.name, "value": self.value, "operation": self.operation}
        fields |= {"unit": self.unit} if self.unit else {}
        fields |= {"source": self.source} if self.source else {}
        fields |= {"place": self.place} if self.place else {}
        fields |= {"parts": [part.to_json() for part in self.parts]} if self.parts else {}
        return fields


def given(name: str, value: Number, unit: str = "", *, source: str = "", place: str = "") -> Term:
    """A number that is not computed here: a loop bound, a price, a clock."""
    return Term(name=name, value=value, operation="given", unit=unit, source=source, place=place)


def total(name: str, parts: Sequence[Term], unit: str = "") -> Term:
    """The sum of the parts."""
    return _computed("sum", name, parts, unit)


def product(name: str, *parts: Term, unit: str = "") -> Term:
    """The product of the parts, from the left; 1 without parts."""
    return _computed("product", name, parts, unit)


def difference(name: str, minuend: Term, subtrahend: Term, unit: str = "") -> Term:
    """minuend - subtrahend."""
    return _computed("difference", name, (minuend, subtrahend), unit)


def quotient(name: str, dividend: Term, divisor: Term, unit: str = "") -> Term:
    """dividend / divisor, as a float."""
    return _computed("quotient", name, (dividend, divisor), unit)


def largest(name: str, parts: Sequence[Term], unit: str = "") -> Term:
    """The greatest of the parts; 0 without parts."""
    return _computed("max", name, parts, unit)


def recomputed(term: Term) -> Number:
    """The value that the given numbers at the leaves lead to."""
    if term.operation == "given":
        return term.value
    return _COMPUTE[term.operation]([recomputed(part) for part in term.parts])


def _computed(operation: Operation, name: str, parts: Sequence[Term], unit: str) -> Term:
    value = _COMPUTE[operation]([part.value for part in parts])
    return Term(name=name, value=value, operation=operation, unit=unit, parts=tuple(parts))


_COMPUTE: Mapping[str, Callable[[Sequence[Number]], Number]] = MappingProxyType(
    {
        "sum": sum,
        "product": math.prod,
        "difference": lambda values: reduce(sub, values),
        "quotient": lambda values: reduce(truediv, values),
        "max": lambda values: max(values, default=0),
    }
)
