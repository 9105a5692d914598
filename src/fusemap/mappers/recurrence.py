"""Einsums that feed each other around an iterative rank run in step; everything else runs after what it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fusemap.einsum_cascade.interpreter_schedule import components
from fusemap.einsum_cascade.scope import accesses, iterative_ranks, variables_of
from fusemap.einsum_cascade.types import Cascade


def sequential_ranks(cascade: Cascade) -> Mapping[str, frozenset[str]]:
    """The iterative ranks that each Einsum of a recurrence steps through; they cannot be spread over lanes.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> {name: set(ranks) for name, ranks in sequential_ranks(load("softmax-online")).items()}
    {'RM': {'k'}, 'SPD': {'k'}, 'RD': {'k'}}
    """
    reads = {str(e.name): {str(a.tensor) for a in accesses(e)} for e in cascade.einsums}
    iterative = {str(v) for v in iterative_ranks(cascade)}
    inside = {name for group in recurrences(reads) for name in group}
    return {
        str(e.name): frozenset(str(v) for v in variables_of(e)) & iterative
        for e in cascade.einsums
        if str(e.name) in inside
    }


def recurrences(reads: Mapping[str, Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Sets of Einsums that need each other (or themselves), given the tensors that each one reads.

    >>> recurrences({"LM": ["QK"], "RM": ["RM", "LM"], "SPD": ["RD", "RM"], "RD": ["SPD"]})
    (('RM',), ('SPD', 'RD'))
    """
    names = list(reads)
    groups = (tuple(names[i] for i in sorted(group)) for group in components(_edges(reads)))
    return tuple(group for group in groups if len(group) > 1 or group[0] in reads[group[0]])


def in_order(groups: Sequence[Sequence[str]], reads: Mapping[str, Iterable[str]]) -> tuple[int, ...]:
    """The numbers of the groups, each after those that make what it reads, else in the order of the Einsums.

    >>> in_order([["B", "D"], ["A"], ["C"]], {"A": [], "B": ["A", "D"], "C": ["D"], "D": ["B"]})
    (1, 0, 2)
    """
    rank = {name: i for i, name in enumerate(reads)}
    left = sorted(range(len(groups)), key=lambda g: max((rank[e] for e in groups[g]), default=0))
    done: list[int] = []
    while left:
        waiting = {e for g in left for e in groups[g]}
        needs = {g: {t for e in groups[g] for t in reads[e]} & waiting - {*groups[g]} for g in left}
        ready = next((g for g in left if not needs[g]), left[0])
        done.append(ready)
        left.remove(ready)
    return tuple(done)


def _edges(reads: Mapping[str, Iterable[str]]) -> list[set[int]]:
    number = {name: i for i, name in enumerate(reads)}
    return [{number[t] for t in tensors if t in number} for tensors in reads.values()]
