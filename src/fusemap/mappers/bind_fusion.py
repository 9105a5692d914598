"""Copies of Einsums, and what the phases of a dataflow do in time: the parts of a file that a search writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fusemap.archspec.decide import as_whole
from fusemap.archspec.document import Path
from fusemap.archspec.expressions import Expression
from fusemap.diagnostics import Diagnostic, InputError
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, DataflowModel, Loops
from fusemap.mappers.mapspace.flow import Edge, flow_of
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fusion, Group, Level, Loop, Operand, Problem, Storage


def with_copies(problem: Problem, model: DataflowModel) -> Problem:
    """The problem with the Einsums that a file computes again, in its order; the same object if there are none.

    A copy has the space of its Einsum and makes a tensor of its own name; `reads` renames what an entry reads.
    Entries that are at fault are passed over (`name_faults` reports them).
    """
    if not any(entry.copy_of or entry.reads for entry in model.einsums.values()):
        return problem
    known = {s.name: s for s in problem.spaces}
    spaces = []
    for name, entry in model.einsums.items():
        space = known.get(entry.copy_of if entry.copy_of is not None else name)
        if space is not None and (entry.copy_of is None or name not in known):
            spaces.append(_renamed(space, name, entry.reads))
    left = [s for s in problem.spaces if s.name not in model.einsums]
    return dataclasses.replace(problem, spaces=(*spaces, *left))


def _renamed(space: EinsumSpace, name: str, reads: Mapping[str, str]) -> EinsumSpace:
    made = {space.output.tensor: name} if name != space.name else {}

    def operand(o: Operand) -> Operand:
        new = made.get(o.tensor, o.tensor) if o.is_output else reads.get(o.tensor, o.tensor)
        return dataclasses.replace(o, tensor=new, label=o.label.replace(o.tensor, new, 1))

    return dataclasses.replace(space, name=name, operands=tuple(operand(o) for o in space.operands))


def loop_bound(dataflow: Dataflow, names: Mapping[str, float], expression: Expression, path: Path) -> int:
    """The bound of a loop; InputError at `path` (which ends with its rank) unless it is a positive whole number."""
    value = dataflow.located(expression, *path).evaluate(names)
    if value != as_whole(value) or value < 1:
        message = f"loop bound {expression} of {path[-1]} is {value:g}, expected a positive integer"
        raise dataflow.document.error(path, message)
    whole: int = as_whole(value)
    return whole


def fusions(
    dataflow: Dataflow,
    cascade: Cascade,
    problem: Problem,
    nests: Sequence[EinsumMapping],
    names: Mapping[str, float],
) -> tuple[Fusion, ...]:
    """What each phase does in time, in the order of the file; empty where the file does not say.

    InputError where a nest does not run the loops of its phase and group, or a loop holds back what it needs itself:
    an Einsum that reads what is complete only after the loop belongs to a later group.
    """
    found = tuple(_fusion(dataflow, i, names) for i in range(len(dataflow.model.fusion)))
    own = {nest.einsum: nest for nest in nests}
    checker = _Checker(dataflow=dataflow, problem=problem, nests=own, edges=_edges(cascade, problem) if found else {})
    faults = [d for i, fusion in enumerate(found) for d in (*checker.loops(i, fusion), *checker.barriers(i, fusion))]
    if faults:
        raise InputError(tuple(faults))
    return tuple(dataclasses.replace(f, twice=f.twice | checker.read_late(f)) for f in found)


def _fusion(dataflow: Dataflow, index: int, names: Mapping[str, float]) -> Fusion:
    model = dataflow.model.fusion[index]

    def loops(items: Loops, *path: str | int) -> tuple[Loop, ...]:
        at = ("fusion", index, *path)
        return tuple(
            Loop(rank=rank, bound=loop_bound(dataflow, names, expression, (*at, i, rank)))
            for i, item in enumerate(items)
            for rank, expression in item.items()
        )

    groups = tuple(
        Group(loops=loops(group.loops, "groups", g, "loops"), einsums=tuple(group.einsums))
        for g, group in enumerate(model.groups)
    )
    return Fusion(
        loops=loops(model.loops, "loops"), groups=groups, held=frozenset(model.held), twice=frozenset(model.twice)
    )


def _edges(cascade: Cascade, problem: Problem) -> dict[tuple[str, str], tuple[Edge, ...]]:
    """The dependences between two Einsums of the cascade (for copies those of their originals)."""
    plain = {s.name for s in problem.spaces} & {str(e.name) for e in cascade.einsums}
    originals = dataclasses.replace(problem, spaces=tuple(s for s in problem.spaces if s.name in plain))
    found: dict[tuple[str, str], tuple[Edge, ...]] = {}
    for edge in flow_of(cascade, originals).edges:
        found[edge.producer, edge.consumer] = (*found.get((edge.producer, edge.consumer), ()), edge)
    return found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Checker:
    """Holds what phases do in time against their nests and the dependences of the cascade."""

    dataflow: Dataflow
    problem: Problem
    nests: Mapping[str, EinsumMapping]
    edges: Mapping[tuple[str, str], tuple[Edge, ...]]

    def _fault(self, path: Path, message: str, hint: str = "") -> Diagnostic:
        return self.dataflow.document.diagnostic(path, message, hint=hint)

    def loops(self, index: int, fusion: Fusion) -> Iterator[Diagnostic]:
        """Nests that do not run the loops of their phase outermost, and below them those of their group."""
        places = [(g, k, e) for g, group in enumerate(fusion.groups) for k, e in enumerate(group.einsums)]
        for g, k, einsum in places if len(places) > 1 else ():
            levels = self.nests[einsum].levels
            ranks = {rank for rank, _ in self.problem.space(einsum).ranks}
            for level, loops, whose in ((0, fusion.loops, "its phase"), (1, fusion.groups[g].loops, "its group")):
                expected = _listed(loop for loop in loops if loop.rank in ranks)
                runs = _listed(_temporal(levels, level))
                if runs != expected:
                    message = f"the nest of {einsum} has the loops ({runs}) where {whose} shares ({expected})"
                    yield self._fault(("fusion", index, "groups", g, "einsums", k), message)

    def barriers(self, index: int, fusion: Fusion) -> Iterator[Diagnostic]:
        """Einsums that read what is complete only after a loop that they share with its maker."""
        home = {e: g for g, group in enumerate(fusion.groups) for e in group.einsums}
        places = [(g, k, e) for g, group in enumerate(fusion.groups) for k, e in enumerate(group.einsums)]
        makers = {self.problem.space(e).output.tensor: e for e in home}
        for g, k, reader in places:
            path: Path = ("fusion", index, "groups", g, "einsums", k)
            for operand in self.problem.space(reader).inputs:
                maker = makers.get(self.problem.shown(operand.tensor))
                if maker is None:
                    continue
                shared = (*fusion.loops, *(fusion.groups[g].loops if home[maker] == g else ()))
                for edge in self.edges.get((self._original(maker), self._original(reader)), ()):
                    yield from self._barrier(path, edge, maker, reader, home[maker] - g, shared)

    def _barrier(
        self, path: Path, edge: Edge, maker: str, reader: str, after: int, shared: Iterable[Loop]
    ) -> Iterator[Diagnostic]:
        if after > 0 and not edge.carried:
            yield self._fault(path, f"{reader} reads {edge.tensor} in an earlier group than {maker} makes it")
        has = {rank for rank, _ in self.problem.space(maker).ranks}
        reads = {rank for rank, _ in self.problem.space(reader).ranks}
        for loop in shared:
            carried = loop.rank in edge.carried or edge.carried
            if (
                loop.bound > 1
                and loop.rank in has
                and not carried
                and not (loop.rank in reads and edge.aligned(loop.rank))
            ):
                message = f"{reader} reads {edge.tensor}, which is complete only after the loop over {loop.rank}"
                yield self._fault(path, message, "a later group may read it, or a copy of its Einsum be made there")

    def read_late(self, fusion: Fusion) -> frozenset[str]:
        """Tensors whose old tile is read in an iteration of the loops after the new one was made."""
        order = [e for group in fusion.groups for e in group.einsums]
        stepped = {loop.rank for loops in (fusion.loops, *(g.loops for g in fusion.groups)) for loop in loops}
        pairs = [(maker, reader) for i, maker in enumerate(order) for reader in order[i + 1 :]]
        edges = [edge for pair in pairs for edge in self.edges.get(pair, ())]
        return frozenset(edge.tensor for edge in edges if edge.carried & stepped)

    def _original(self, einsum: str) -> str:
        entry = self.dataflow.model.einsums.get(einsum)
        return einsum if entry is None or entry.copy_of is None else entry.copy_of


def _temporal(levels: Sequence[Level], index: int) -> tuple[Loop, ...]:
    level = levels[index] if index < len(levels) else None
    return level.loops if isinstance(level, Storage) else ()


def _listed(loops: Iterable[Loop]) -> str:
    return ", ".join(f"{loop.rank}: {loop.bound}" for loop in loops)
