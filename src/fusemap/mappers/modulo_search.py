"""Branch and bound over the order of tasks on each resource: is there a schedule with this interval?

Two tasks i, j on one resource do not overlap in any period when for some whole number k
    duration_i - k interval <= start_j - start_i <= (1 - k) interval - duration_j,
two difference constraints. Longest paths between all starts bound the k that are left; a pair with one k is
settled, a pair with none refutes the node, and the pair with fewest k is branched on. Whole durations give
whole starts, so that the search is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

NEVER = -(1 << 60)  # no path
Paths: TypeAlias = list[list[int]]  # longest path from one start to another
Edge: TypeAlias = tuple[int, int, int]  # start of the second >= start of the first + weight
Pair: TypeAlias = tuple[int, int]


class OutOfNodes(Exception):
    """The search stopped before it knew the answer."""


@dataclass(slots=True, kw_only=True)
class Budget:
    """Nodes that a search may still open; `used` counts them."""

    limit: int
    used: int = field(default=0)

    def spend(self) -> None:
        """Count one node; OutOfNodes past the limit."""
        self.used += 1
        if self.used > self.limit:
            raise OutOfNodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Tasks 0..n-1 by duration, the pairs that share a resource, and the interval."""

    durations: Sequence[int]
    pairs: Sequence[Pair]
    interval: int


def starts(question: Question, edges: Iterable[Edge], budget: Budget) -> tuple[int, ...] | None:
    """Starts that meet all edges without overlap; None when there are none.

    Every edge must be part of a cycle, or all tasks be tied to a common origin: else k would have no limit.
    """
    size = len(question.durations)
    paths = [[0 if i == j else NEVER for j in range(size)] for i in range(size)]
    if not all(add_edge(paths, edge) for edge in edges):
        return None
    solved = _search(question, paths, tuple(question.pairs), budget)
    return None if solved is None else _earliest(solved)


def add_edge(paths: Paths, edge: Edge) -> bool:
    """Tighten all longest paths by one edge, in place; False when it closes a cycle of positive length."""
    first, second, weight = edge
    if paths[first][second] >= weight:
        return True
    if paths[second][first] + weight > 0:
        return False
    tail = paths[second]
    for row in paths:
        if row[first] == NEVER:
            continue
        reach = row[first] + weight
        for y, onward in enumerate(tail):
            if onward != NEVER and reach + onward > row[y]:
                row[y] = reach + onward
    return True


def _search(question: Question, paths: Paths, open_pairs: tuple[Pair, ...], budget: Budget) -> Paths | None:
    budget.spend()
    left = _settle(question, paths, open_pairs)
    if left is None:
        return None
    if not left:
        return paths
    pair, options = _choose(question, paths, left)
    rest = tuple(p for p in left if p != pair)
    for k in options:
        child = [row[:] for row in paths]
        if all(add_edge(child, edge) for edge in _apart(question, pair, k)):
            found = _search(question, child, rest, budget)
            if found is not None:
                return found
    return None


def _settle(question: Question, paths: Paths, pairs: tuple[Pair, ...]) -> tuple[Pair, ...] | None:
    """The pairs with more than one k left, after all that follows from pairs with one; None: refuted."""
    changed = True
    while changed:
        changed = False
        left = []
        for pair in pairs:
            options = _options(question, paths, pair)
            if options is None:
                left.append(pair)
            elif len(options) == 0:
                return None
            elif len(options) > 1:
                left.append(pair)
            else:
                changed = True
                if not all(add_edge(paths, edge) for edge in _apart(question, pair, options[0])):
                    return None
        pairs = tuple(left)
    return pairs


def _options(question: Question, paths: Paths, pair: Pair) -> range | None:
    """The k that are left for a pair; None while nothing ties the two together."""
    i, j = pair
    ahead, behind = paths[i][j], paths[j][i]
    if ahead == NEVER or behind == NEVER:
        return None
    interval = question.interval
    largest = (interval - question.durations[j] - ahead) // interval
    smallest = -((-question.durations[i] - behind) // interval)
    return range(smallest, largest + 1)


def _choose(question: Question, paths: Paths, pairs: Sequence[Pair]) -> tuple[Pair, Sequence[int]]:
    """The pair with fewest k, the longest tasks first; untied tasks may be shifted by periods, so one k is enough."""
    best: tuple[int, int, Pair, Sequence[int]] | None = None
    for pair in pairs:
        options = _options(question, paths, pair)
        some: Sequence[int] = (0,) if options is None else options
        key = len(paths) + 1 if options is None else len(some)
        weight = -question.durations[pair[0]] - question.durations[pair[1]]
        if best is None or (key, weight) < best[:2]:
            best = (key, weight, pair, some)
    assert best is not None
    return best[2], best[3]


def _apart(question: Question, pair: Pair, k: int) -> tuple[Edge, Edge]:
    i, j = pair
    shift = k * question.interval
    return (i, j, question.durations[i] - shift), (j, i, question.durations[j] + shift - question.interval)


def _earliest(paths: Paths) -> tuple[int, ...]:
    """A solution of the difference constraints: each start at its longest path from anywhere."""
    return tuple(max(row[j] for row in paths) for j in range(len(paths)))
