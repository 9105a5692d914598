"""Ways to run a set of Einsums together: shared loops, groups between barriers, and what crosses from group to group.

A segment is a set of Einsums that share the loops of ranks which all of them have and along which none waits for
another (`Plan.outer`). Inside, one further rank may be cut into chunks: the Einsums of one epoch share that loop,
those of the next begin when it has ended. A tensor that is needed in several groups is held on chip whole,
moved through the outer memory (spilled, or read again), or computed again by a copy of its Einsum (`QK@1`).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fusemap.mappers.mapspace.flow import Flow, consumers, epochs, in_order
from fusemap.mappers.mapspace.space import EVERYTHING, Mapspace
from fusemap.mappers.types import EinsumSpace, Operand, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The Einsums of one group; `looped` if they share the loop over chunks."""

    looped: bool
    spaces: tuple[EinsumSpace, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One way to fuse a segment.

    `outer` are the ranks of the shared loops, those that index every operand (`common`) first; `last` must be the
    innermost of them, if it is not empty. `single` ranks are stepped one by one. `held` tensors stay on chip over
    several groups; `outside` are the tensors that live in the outer memory.
    """

    outer: tuple[str, ...]
    common: frozenset[str]
    last: str
    chunk: str
    single: frozenset[str]
    parts: tuple[Part, ...]
    held: frozenset[str]
    outside: frozenset[str]

    @property
    def spaces(self) -> tuple[EinsumSpace, ...]:
        """The spaces of all Einsums and copies in order."""
        return tuple(s for part in self.parts for s in part.spaces)

    @property
    def free(self) -> tuple[str, ...]:
        """The outer ranks whose order and tiles matter."""
        return tuple(r for r in self.outer if r not in self.common)


def segments(flow: Flow) -> tuple[tuple[frozenset[str], ...], Mapping[frozenset[str], tuple[frozenset[str], ...]]]:
    """All sets of Einsums that can have run before a point in time, and for each those that can come after it.

    A way through them from the empty set to all Einsums is a sequence of segments.
    """
    blocks = [*flow.recurrences]
    blocks += [frozenset({n}) for n in flow.einsums if not any(n in b for b in flow.recurrences)]
    needs = {b: {e.producer for e in flow.edges if e.consumer in b and e.producer not in b} for b in blocks}
    found: dict[frozenset[str], None] = {frozenset(): None}
    pending: list[frozenset[str]] = [frozenset()]
    while pending:
        done = pending.pop()
        for block in blocks:
            if not block <= done and needs[block] <= done and done | block not in found:
                found[done | block] = None
                pending.append(done | block)
    ordered = sorted(found, key=lambda d: (len(d), sorted(d)))
    after = {d: tuple(later for later in ordered if d < later) for d in ordered}
    return tuple(ordered), after


def plans(flow: Flow, problem: Problem, members: frozenset[str], space: Mapspace = EVERYTHING) -> Iterator[Plan]:
    """All ways to fuse the members; none if they cannot share a loop that a recurrence needs.

    Every plan is legal: Einsums share a loop only within an epoch of its rank (see `epochs`).
    """
    if not space.fuse and not any(members <= group for group in (*flow.recurrences, *map(_alone, members))):
        return
    spaces = {name: problem.space(name) for name in in_order(flow, members)}
    shared = frozenset.intersection(*(frozenset(r for r, _ in s.ranks) for s in spaces.values()))
    outer = [r for r in _ordered(spaces.values()) if r in shared and not _waits(epochs(flow, members, r))]
    carried, stepped = flow.carried(members), flow.stepped(members)
    candidates = _chunks(flow, spaces, outer) if len(spaces) > 1 else []
    for chunk in candidates or [""]:
        loops = {*outer, chunk}
        inside = carried & loops
        if len(inside) > 1 or not stepped <= loops or (chunk and inside - {chunk}):
            continue
        yield from _fused(flow, problem, spaces, outer, chunk, inside, stepped, space)


def _alone(einsum: str) -> frozenset[str]:
    return frozenset({einsum})


def _waits(epoch: Mapping[str, int] | None) -> bool:
    return epoch is None or any(epoch.values())


def _ordered(spaces: Collection[EinsumSpace]) -> list[str]:
    return list(dict.fromkeys(r for s in spaces for r, _ in s.ranks))


def _chunks(flow: Flow, spaces: Mapping[str, EinsumSpace], outer: Sequence[str]) -> list[str]:
    """Ranks besides the outer ones that several members have, cut into chunks in a loop of their own."""
    count: dict[str, int] = {}
    for space in spaces.values():
        for rank, _ in space.ranks:
            count[rank] = count.get(rank, 0) + 1
    return [r for r, n in count.items() if n > 1 and r not in outer and epochs(flow, spaces, r) is not None]


def _fused(
    flow: Flow,
    problem: Problem,
    spaces: Mapping[str, EinsumSpace],
    outer: Sequence[str],
    chunk: str,
    carried: frozenset[str],
    stepped: frozenset[str],
    space: Mapspace,
) -> Iterator[Plan]:
    """The plans of one choice of loops: every choice of copies, and of what is held."""
    after = consumers(flow, spaces)
    needed = {e.tensor for e in flow.edges if e.producer in spaces and e.consumer in after}
    given = {e.tensor for e in flow.edges if e.producer not in spaces and e.consumer in spaces}
    outside = _with_views(problem, problem.external | needed | given)
    groups = _grouped(flow, spaces, chunk)
    for parts in _recomputed(flow, spaces, groups, chunk, space.recompute):
        touched = _touched(parts)
        crossing = [t for t, at in touched.items() if len(at) > 1]
        always = {t for t in crossing if _free_to_hold(t, touched[t], parts, chunk, flow)}
        choice = [t for t in crossing if t not in always]
        for n in range(len(choice) + 1):
            for held in itertools.combinations(choice, n):
                kept = frozenset({*held, *always})
                spilled = {t for t in crossing if t not in kept}
                if (held and not space.hold) or (spilled - outside and not space.spill):
                    continue
                every = [o.ranks for part in parts for s in part.spaces for o in s.operands]
                common = frozenset(outer).intersection(*every) - carried
                first = [r for r in outer if r in common]
                yield Plan(
                    outer=(*first, *(r for r in outer if r not in common)),
                    common=common,
                    last=next(iter(carried & set(outer)), ""),
                    chunk=chunk,
                    single=stepped & {*outer, chunk},
                    parts=parts,
                    held=kept,
                    outside=outside | spilled,
                )


def _with_views(problem: Problem, tensors: Collection[str]) -> frozenset[str]:
    """The tensors, what shows them under new indices, and what they show."""
    found = set(tensors)
    pairs = [{view, of} for view, of in problem.views]
    while more := {t for pair in pairs if pair & found for t in pair} - found:
        found |= more
    return frozenset(found)


def _grouped(flow: Flow, spaces: Mapping[str, EinsumSpace], chunk: str) -> tuple[tuple[bool, tuple[str, ...]], ...]:
    """(looped, Einsums) of every group in order of time: before each loop the Einsums that lack its rank."""
    if not chunk:
        return ((False, tuple(spaces)),)
    epoch = epochs(flow, spaces, chunk) or {}
    found = []
    for at in range(max(epoch.values()) + 1):
        for looped in (False, True):
            names = tuple(n for n, s in spaces.items() if epoch[n] == at and _has(s, chunk) == looped)
            if names:
                found.append((looped, names))
    return tuple(found)


def _has(space: EinsumSpace, rank: str) -> bool:
    return any(r == rank for r, _ in space.ranks)


def _recomputed(
    flow: Flow,
    spaces: Mapping[str, EinsumSpace],
    groups: Sequence[tuple[bool, tuple[str, ...]]],
    chunk: str,
    most: int,
) -> Iterator[tuple[Part, ...]]:
    """The groups with no copies, and with every set of copies of Einsums whose results a later group reads."""
    home = {name: g for g, (_, names) in enumerate(groups) for name in names}
    producers = {e.tensor: e.producer for e in flow.edges}
    pending: list[frozenset[tuple[str, int]]] = [frozenset()]
    seen = {pending[0]}
    while pending:
        copies = pending.pop(0)
        yield tuple(_part(flow, spaces, looped, names, g, copies) for g, (looped, names) in enumerate(groups))
        if len(copies) >= most:
            continue
        for einsum, g in _repeatable(spaces, groups, home, producers, copies, chunk):
            more = copies | {(einsum, g)}
            if more not in seen:
                seen.add(more)
                pending.append(more)


def _repeatable(
    spaces: Mapping[str, EinsumSpace],
    groups: Sequence[tuple[bool, tuple[str, ...]]],
    home: Mapping[str, int],
    producers: Mapping[str, str],
    copies: frozenset[tuple[str, int]],
    chunk: str,
) -> Iterator[tuple[str, int]]:
    """(Einsum, group) whose result a group reads from an earlier one, chunk by chunk, and no copy of it is there."""
    for g, (looped, names) in enumerate(groups):
        readers = [*names, *(e for e, at in copies if at == g)]
        for reader in readers if looped else ():
            for operand in spaces[reader].inputs:
                einsum = producers.get(operand.tensor, "")
                if einsum in home and home[einsum] < g and (einsum, g) not in copies and chunk in operand.ranks:
                    space = spaces[einsum]
                    if chunk in space.output.ranks and chunk not in space.sequential:
                        yield einsum, g


def _part(
    flow: Flow,
    spaces: Mapping[str, EinsumSpace],
    looped: bool,
    names: tuple[str, ...],
    group: int,
    copies: frozenset[tuple[str, int]],
) -> Part:
    again = {e for e, g in copies if g == group}
    order = [n for n in in_order(flow, spaces) if n in names or n in again]
    label = {spaces[e].output.tensor: f"{spaces[e].output.tensor}@{group}" for e in again}
    return Part(looped=looped, spaces=tuple(_copied(spaces[n], n in again, label, group) for n in order))


def _copied(space: EinsumSpace, copy: bool, label: Mapping[str, str], group: int) -> EinsumSpace:
    """The space reading the copies that its group has; itself a copy of another name if `copy`."""
    operands = tuple(
        dataclasses.replace(o, tensor=label[o.tensor], label=o.label.replace(o.tensor, label[o.tensor], 1))
        if o.tensor in label and (copy or not o.is_output)
        else o
        for o in space.operands
    )
    return dataclasses.replace(space, name=f"{space.name}@{group}" if copy else space.name, operands=operands)


def _touched(parts: Sequence[Part]) -> dict[str, tuple[int, ...]]:
    """The groups that touch each tensor."""
    found: dict[str, dict[int, None]] = {}
    for g, part in enumerate(parts):
        for space in part.spaces:
            for operand in space.operands:
                found.setdefault(operand.tensor, {})[g] = None
    return {tensor: tuple(at) for tensor, at in found.items()}


def _free_to_hold(tensor: str, at: Sequence[int], parts: Sequence[Part], chunk: str, flow: Flow) -> bool:
    """True where holding costs no room: the tensor lacks the chunk's rank, or is the last slice of a state.

    Its tile is then the same in every group, so that if they follow one another nothing is gained by moving it.
    """
    operands = [o for g in at for s in parts[g].spaces for o in s.operands if o.tensor == tensor]
    adjacent = at[-1] - at[0] == len(at) - 1
    return adjacent and (all(chunk not in o.ranks for o in operands) or is_state(tensor, at, parts, chunk, flow))


def is_state(tensor: str, at: Sequence[int], parts: Sequence[Part], chunk: str, flow: Flow) -> bool:
    """Is the tensor written chunk after chunk and carried on, while later groups read but its last slice?"""
    later: list[Operand] = [o for g in at[1:] for s in parts[g].spaces for o in s.operands if o.tensor == tensor]
    carried = any(e.tensor == tensor and chunk in e.carried for e in flow.edges)
    return carried and bool(later) and all(chunk not in o.ranks for o in later)
