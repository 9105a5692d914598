"""Which Einsums may share a loop: dependences with their alignment along every rank, and barriers between passes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Access, Affine, Cascade, Einsum, Index
from fusemap.mappers.recurrence import recurrences
from fusemap.mappers.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`consumer` reads what `producer` writes.

    `distance` says, for every rank of the producer along which both are aligned, how many iterations later an
    element is read; a rank of the producer that is missing there is reduced, or read at other coordinates.
    """

    producer: str
    consumer: str
    tensor: str
    distance: tuple[tuple[str, int], ...]

    @property
    def carried(self) -> frozenset[str]:
        """Ranks along which the element is read in a later iteration."""
        return frozenset(rank for rank, steps in self.distance if steps > 0)

    def aligned(self, rank: str) -> bool:
        """True when an iteration of the rank reads only what that or an earlier iteration wrote."""
        return any(r == rank for r, _ in self.distance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """The ranks of every Einsum and the dependences between them; `recurrences` are sets that need each other."""

    ranks: tuple[tuple[str, frozenset[str]], ...]
    edges: tuple[Edge, ...]
    recurrences: tuple[frozenset[str], ...]

    @property
    def einsums(self) -> tuple[str, ...]:
        """The Einsums in the order of the cascade."""
        return tuple(name for name, _ in self.ranks)

    def carried(self, members: Collection[str]) -> frozenset[str]:
        """Ranks that carry a dependence from one iteration to a later one among the members."""
        inside = (e for e in self.edges if e.producer in members and e.consumer in members)
        return frozenset(rank for edge in inside for rank in edge.carried)

    def stepped(self, members: Collection[str]) -> frozenset[str]:
        """Ranks that several Einsums, needing each other, can only step through together, one by one."""
        return frozenset(r for group in self.recurrences if group <= set(members) for r in self.carried(group))


def flow_of(cascade: Cascade, problem: Problem) -> Flow:
    """The dependences between the Einsums of a problem.

    >>> from fusemap.archspec.workloads import load_workload
    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.mappers.space import make_problem
    >>> cascade = load("attention-3pass")
    >>> flow = flow_of(cascade, make_problem(cascade, load_workload("BERT@1K"), {}))
    >>> [dict(e.distance) for e in flow.edges if (e.producer, e.consumer) == ("GM", "SN")]
    [{'b': 0, 'h': 0, 'p': 0}]
    """
    einsums = {str(e.name): e for e in cascade.einsums}
    known = {s.name: frozenset(r for r, _ in s.ranks) for s in problem.spaces}
    batch = {name: known[name] - {str(v) for v in scope.variables_of(einsums[name])} for name in known}
    source = dict(problem.views)
    edges: dict[Edge, None] = {}
    for consumer in known:
        for access in scope.accesses(einsums[consumer]):
            producer, direct = str(access.tensor), True
            while producer in source:
                producer, direct = source[producer], False
            if producer not in known:
                continue
            along = {rank: 0 for rank in sorted(batch[producer] & batch[consumer])}
            if direct:
                along |= _distances(einsums[producer].output, access)
            edge = Edge(producer=producer, consumer=consumer, tensor=producer, distance=tuple(along.items()))
            edges[edge] = None
    groups = tuple(frozenset(g) for g in recurrences(problem.reads) if len(g) > 1)
    return Flow(ranks=tuple(known.items()), edges=tuple(edges), recurrences=groups)


def epochs(flow: Flow, members: Collection[str], rank: str) -> Mapping[str, int] | None:
    """For a loop over `rank`: how many such loops must have ended before each member can run; None if no number does.

    A member that has the rank runs inside its own loop; where it reads what a loop completes only at its end
    (a reduction over the rank, or other coordinates), it belongs to the next one. Members of one epoch may
    share the loop, those of different epochs may not: a barrier lies between them.
    """
    has = {name: rank in ranks for name, ranks in flow.ranks}
    inside = [e for e in flow.edges if e.producer in members and e.consumer in members]
    epoch = dict.fromkeys(members, 0)
    for _ in range(len(epoch) + 1):
        changed = False
        for edge in inside:
            if rank in edge.carried or _steps_back(flow, edge, rank):
                continue
            ends = has[edge.producer] and not (has[edge.consumer] and edge.aligned(rank))
            least = epoch[edge.producer] + ends
            if epoch[edge.consumer] < least:
                epoch[edge.consumer], changed = least, True
        if not changed:
            return epoch
    return None


def in_order(flow: Flow, members: Collection[str]) -> tuple[str, ...]:
    """The members, each after those it reads from in the same iteration."""
    left = [name for name in flow.einsums if name in members]
    needs = {name: set[str]() for name in left}
    for edge in flow.edges:
        if edge.producer in needs and edge.consumer in needs and not edge.carried:
            needs[edge.consumer].add(edge.producer)
    done: list[str] = []
    while left:
        ready = next((name for name in left if not needs[name] - {*done, name}), left[0])
        done.append(ready)
        left.remove(ready)
    return tuple(done)


def _steps_back(flow: Flow, edge: Edge, rank: str) -> bool:
    """Is the edge the back edge of a recurrence that another rank steps through, and aligned along this one?"""
    return bool(edge.carried) and edge.aligned(rank)


def _distances(written: Access, read: Access) -> dict[str, int]:
    """Per rank variable that indexes both at one position: iterations from writing to reading, if not negative."""
    found: dict[str, int] = {}
    for out, at in zip(written.indices, read.indices, strict=True):
        here, there = _shifted(out), _shifted(at)
        if here is not None and there is not None and here[0] == there[0] and here[1] >= there[1]:
            found[here[0]] = here[1] - there[1]
    return found


def _shifted(index: Index) -> tuple[str, int] | None:
    """(variable, offset) of an index `r`, `r+1` or `r-2`; None for any other."""
    if not isinstance(index.expr, Affine):
        return None
    variables = [t for t in index.expr.terms if t.var is not None]
    constants = [t for t in index.expr.terms if t.var is None]
    if len(variables) != 1 or variables[0].sign != 1 or variables[0].shape is not None:
        return None
    if any(t.shape is not None or t.constant is None for t in constants):
        return None
    return str(variables[0].var), sum(t.sign * (t.constant or 0) for t in constants)


def consumers(flow: Flow, names: Iterable[str]) -> frozenset[str]:
    """The Einsums outside `names` that read from them."""
    inside = set(names)
    return frozenset(e.consumer for e in flow.edges if e.producer in inside and e.consumer not in inside)


def einsum_of(cascade: Cascade, name: str) -> Einsum:
    """The Einsum that a node stands for (`QK@1` is a copy of QK)."""
    return next(e for e in cascade.einsums if str(e.name) == name.split("@")[0])
