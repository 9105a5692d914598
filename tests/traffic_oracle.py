"""An operational oracle of the traffic bound: the least words that tiny attention loads, by search over schedules.

Cascade: S[m,p] = sum over e of Q[e,p]*K[e,m], then every query p visits all of S[:,p] in `passes` passes, the next
one not before the last is complete (as max, sum of exponentials and quotient do). It shares nothing with the bound or
the analysis. What it allows beyond a real machine only makes it cheaper, so that a bound holds below it:
words of K and S alone take room; stores are free, and all that was ever computed is stored, also parts of a sum, which
are loaded as one word; a score that is computed from words on chip is used at once without room of its own.

A load costs 1 and takes the place of any word; a score that can be computed may take the place of any word for
nothing. Best-first search; what is still missing of a key is a lower bound on its loads. Keys are interchangeable, and
so are queries: states that differ by their order are one state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import permutations
from typing import TypeVar

T = TypeVar("T")
Score = tuple[
    int, int, bool
]  # of a key and a query: e summed on chip, e summed in the store (bit masks), is it visited
Key = tuple[int, tuple[Score, ...]]  # K[:,m] on chip (a bit mask), its score for every query
State = tuple[tuple[Key, ...], tuple[int, ...]]  # all keys, and the passes that each query has done


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Extents of m, e and p, the passes of each query, and the words that fit on chip."""

    keys: int
    features: int
    queries: int
    passes: int
    room: int

    @property
    def whole(self) -> int:
        """The mask of a complete score."""
        return (1 << self.features) - 1

    def least_loads(self, most_states: int = 100_000) -> int:
        """The fewest loads of K and of stored scores."""
        empty: Key = (0, ((0, 0, False),) * self.queries)
        start: State = ((empty,) * self.keys, (0,) * self.queries)
        fewest = {start: 0}
        heap = [(self._missing(start), 0, start)]
        while heap:
            _, loads, state = heappop(heap)
            if min(state[1]) == self.passes:
                return loads
            if loads > fewest[state]:
                continue
            for price, after in self._moves(state):
                if loads + price < fewest.get(after, loads + price + 1):
                    fewest[after] = loads + price
                    heappush(heap, (loads + price + self._missing(after), loads + price, after))
            assert len(fewest) < most_states, "too many states"
        raise AssertionError("no schedule")

    def _missing(self, state: State) -> int:
        """Loads that every continuation needs: of each key K's words, or the scores of the queries that wait for it."""
        keys, done = state
        total = 0
        for chip, scores in keys:
            waiting = [
                s for s, n in zip(scores, done, strict=True) if n < self.passes - 1 or (n < self.passes and not s[2])
            ]
            bare = [s for s in waiting if not s[0]]
            fresh = [self.whole & ~(chip | s[0] | s[1]) for s in waiting]
            unseen = max((mask.bit_count() for mask in fresh), default=0)
            total += max(unseen, min(len(bare), (self.whole & ~chip).bit_count()))
        return total

    def _moves(self, state: State) -> Iterator[tuple[int, State]]:
        keys, done = state
        used = sum(chip.bit_count() + sum(s[0] > 0 for s in scores) for chip, scores in keys)
        for base in (keys,) if used < self.room else tuple(self._evictions(keys)):
            for m, (chip, scores) in enumerate(base):
                for e in range(self.features):
                    if not chip >> e & 1:
                        yield 1, self._settled(_put(base, m, (chip | 1 << e, scores)), done)
                for p, (own, stored, seen) in enumerate(scores):
                    if not own and stored:
                        yield 1, self._settled(_put(base, m, (chip, _put(scores, p, (stored, stored, seen)))), done)
                    if not own and keys[m][0]:
                        made = _put(scores, p, (keys[m][0], stored, seen))
                        yield 0, self._settled(_put(base, m, (chip, made)), done)

    def _evictions(self, keys: tuple[Key, ...]) -> Iterator[tuple[Key, ...]]:
        for m, (chip, scores) in enumerate(keys):
            for e in range(self.features):
                if chip >> e & 1:
                    yield _put(keys, m, (chip & ~(1 << e), scores))
            for p, (own, stored, seen) in enumerate(scores):
                if own:
                    yield _put(keys, m, (chip, _put(scores, p, (0, stored, seen))))

    def _settled(self, keys: tuple[Key, ...], done: tuple[int, ...]) -> State:
        """All that is free and never harms: sum further in place, store, visit."""
        made = [[(chip | own, stored, seen) for own, stored, seen in scores] for chip, scores in keys]
        after = list(done)
        for p in range(self.queries):
            here = [row[p][0] == self.whole for row in made]
            now = [row[p][2] or h for row, h in zip(made, here, strict=True)]
            while all(now) and after[p] < self.passes:
                now, after[p] = here, after[p] + 1
            for row, visited in zip(made, now, strict=True):
                mask, stored, _ = row[p]
                row[p] = mask, stored | mask, visited and after[p] < self.passes
        rows = [
            (chip, tuple((row[p][0] if scores[p][0] else 0, *row[p][1:]) for p in range(self.queries)))
            for (chip, scores), row in zip(keys, made, strict=True)
        ]
        return min(
            (tuple(sorted((chip, tuple(s[p] for p in order)) for chip, s in rows)), tuple(after[p] for p in order))
            for order in permutations(range(self.queries))
        )


def _put(items: tuple[T, ...], at: int, item: T) -> tuple[T, ...]:
    """The items with another one at a place."""
    return (*items[:at], item, *items[at + 1 :])
