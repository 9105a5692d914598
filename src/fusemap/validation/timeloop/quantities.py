"""The quantities that are compared, and how one of ours becomes Timeloop's: the causes, with the amount of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

CAUSES = MappingProxyType(
    {
        "64-bit partition": (
            "The words of an output that a level writes for the first time are computed in Timeloop as (words * tile) "
            "mod 2^64 / tile: beyond 2^64 they come out too small, and reads and fills that much too large."
        ),
        "first-read elision": (
            "Run with TIMELOOP_ENABLE_FIRST_READ_ELISION=0, Timeloop reads a partial sum also before its first update: "
            "reads = updates, and fills = what the parent gives. By default neither tool does."
        ),
        "overlapping tiles": (
            "Of I[p+r] Timeloop fetches only what a tile does not hold from the step before, and reads a word once for "
            "children that take the same words at once; fusemap takes p and r as independent (an upper bound)."
        ),
        "whole rows": (
            "Timeloop rounds the accesses of a memory with rows of several words up to whole rows, per instance and "
            "action; fusemap divides the words by the words per row."
        ),
        "one cycle per point": (
            "A point takes one cycle in Timeloop; on our array the operators of a point follow one another."
        ),
        "whole cycles": (
            "Timeloop rounds cycles that a bandwidth limits up; fusemap keeps the quotient words / bandwidth."
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One number of ours and of Timeloop's; `causes` are what is added to ours, in this order.

    Counts must be met exactly, energies as far as Timeloop prints them (0.01 pJ).
    """

    what: str
    place: str
    tensor: str
    ours: float
    timeloop: float
    causes: tuple[tuple[str, float], ...] = ()
    unit: str = "words"

    @property
    def predicted(self) -> float:
        """Timeloop's number as the causes have it."""
        return self.ours + sum(amount for _, amount in self.causes)

    @property
    def explained(self) -> bool:
        """True where ours and the causes give Timeloop's number."""
        if self.unit != "pJ":
            return self.predicted == self.timeloop
        return abs(self.predicted - self.timeloop) <= 0.006 + 1e-11 * abs(self.timeloop)

    @property
    def equal(self) -> bool:
        """True where it needs no cause."""
        return not self.causes and self.explained

    def __str__(self) -> str:
        where = " ".join(part for part in (self.place, self.tensor) if part)
        return f"{where} {self.what}".strip()

    def to_json(self) -> dict[str, Any]:
        """The row as values of JSON."""
        return {
            "quantity": str(self),
            "unit": self.unit,
            "fusemap": self.ours,
            "timeloop": self.timeloop,
            "causes": [{"cause": cause, "amount": amount} for cause, amount in self.causes],
            "explained": self.explained,
        }


def steps(values: Iterator[tuple[str, float]], start: float) -> tuple[tuple[str, float], ...]:
    """Causes from a chain of values, each reached from the one before; those that change nothing are left out.

    >>> steps(iter([("a", 5), ("b", 5), ("c", 4)]), 3)
    (('a', 2), ('c', -1))
    """
    found = []
    before = start
    for cause, value in values:
        if value != before:
            found.append((cause, value - before))
        before = value
    return tuple(found)
