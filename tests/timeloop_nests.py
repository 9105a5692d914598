"""A Timeloop mapping walked step by step in Timeloop's own terms: the oracle of what an import must mean.

It knows nothing of our nests: a level is (name, kind, factors, permutation as Timeloop writes it: innermost first).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Level:
    """A storage with what it keeps, or a fanout (`keep` None)."""

    name: str
    factors: Mapping[str, int]
    permutation: Sequence[str]
    keep: frozenset[str] | None


def fills(levels: Sequence[Level], tensor: str, dims: frozenset[str]) -> dict[str, tuple[int, int]]:
    """Words that each instance of a storage takes in of an input, and the words that it holds at once.

    A storage's tile is named by the indices of all loops further out that index the tensor; it comes whole when that
    name changes from one step to the next. The outermost keeper takes nothing in.
    """
    found: dict[str, tuple[int, int]] = {}
    first = True
    for at, level in enumerate(levels):
        if level.keep is None or tensor not in level.keep:
            continue
        tile = math.prod(b for inner in levels[at:] for d, b in inner.factors.items() if d in dims)
        changes, before = 0, None
        outer = [
            (d, out.factors.get(d, 1)) for out in levels[:at] if out.keep is not None for d in reversed(out.permutation)
        ]
        for step in itertools.product(*(range(bound) for _, bound in outer)):
            name = tuple(index for (d, _), index in zip(outer, step, strict=True) if d in dims)
            changes += name != before
            before = name
        found[level.name] = (0 if first else changes * tile, tile)
        first = False
    return found


def written(levels: Sequence[Level]) -> str:
    """The `mapping` of a v4 file."""
    lines = ["mapping:"]
    for level in levels:
        kind = "spatial" if level.keep is None else "temporal"
        factors = ", ".join(f"{d}={b}" for d, b in level.factors.items())
        order = ", ".join(level.permutation)
        lines.append(f"- {{target: {level.name}, type: {kind}, factors: [{factors}], permutation: [{order}]}}")
        if level.keep is not None:
            lines.append(f"- {{target: {level.name}, type: dataspace, keep: [{', '.join(sorted(level.keep))}]}}")
            bypass = sorted({"A", "B", "Z"} - level.keep)
            lines.append(f"- {{target: {level.name}, type: dataspace, bypass: [{', '.join(bypass)}]}}")
    return "\n".join(lines) + "\n"
