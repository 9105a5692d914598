"""Places for values by their lifetimes: as few registers (or places of a memory) as live at once."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def assign(lives: Iterable[tuple[int, int, Key]]) -> tuple[dict[Key, int], int]:
    """(place of each value, number of places) for lives (written in cycle, last read in cycle, value).

    A place may be written in the cycle of the last read of what it held: the left-edge rule, which needs no more
    places than values live at once.

    >>> assign([(0, 3, "a"), (1, 2, "b"), (3, 5, "c")])
    ({'a': 0, 'b': 1, 'c': 0}, 2)
    """
    found: dict[Key, int] = {}
    busy: list[tuple[int, int]] = []  # (end, place)
    free: list[int] = []
    count = 0
    for start, end, key in sorted(lives, key=lambda life: life[:2]):
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            place = heapq.heappop(free)
        else:
            place, count = count, count + 1
        found[key] = place
        heapq.heappush(busy, (max(end, start + 1), place))
    return found, count
