"""What makes a searched mapping illegal, found before it is executed (its nests) or while it is."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.archspec.types import Machine
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Fusion, Group, Loop, Mapping, Problem, Storage

Kind: TypeAlias = Literal["nest", "absent", "lost", "incomplete", "repeated", "missing", "capacity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One reason why a mapping is illegal.

    `nest`: its loops or levels are no searched mapping of the problem. `absent`: an Einsum reads a word that
    is in no memory of its nest. `lost`: partial sums left the buffer and are not in DRAM. `incomplete`: a word
    is read before all points that add to it have run. `repeated`: a point runs twice. `missing`: a point does
    not run, or an output is not in DRAM at the end. `capacity`: the buffer is too small. `coordinate` (batch
    ranks first; a point of the Einsum where `tensor` is empty) is the first of `words` such words.
    """

    kind: Kind
    einsum: str
    tensor: str
    coordinate: tuple[int, ...]
    words: int
    message: str

    def __str__(self) -> str:
        return self.message


class Faults:
    """Faults in the order in which they are met, one for each kind, Einsum and tensor."""

    def __init__(self) -> None:
        self._found: dict[tuple[Kind, str, str], Fault] = {}

    def add(
        self, kind: Kind, message: str, *, einsum: str = "", tensor: str = "", at: tuple[int, ...] = (), words: int = 1
    ) -> None:
        """Add a fault of so many words; of a fault that is known, only the words."""
        key = (kind, einsum, tensor)
        old = self._found.get(key)
        fault = Fault(kind=kind, einsum=einsum, tensor=tensor, coordinate=at, words=words, message=message)
        self._found[key] = fault if old is None else dataclasses.replace(old, words=old.words + words)

    def all(self) -> tuple[Fault, ...]:
        """The faults so far."""
        return tuple(self._found.values())


def nest_faults(problem: Problem, mapping: Mapping, machine: Machine) -> tuple[Fault, ...]:
    """Where a mapping does not have the form of a searched one, so that it cannot be executed."""
    messages = [*_bound(problem, mapping)]
    nested = {nest.einsum for nest in mapping.einsums}
    for space in problem.spaces:
        if space.name not in nested:
            messages.append((space.name, "has no nest"))
            continue
        nest = mapping.nest(space.name)
        form = [*_levels(nest, machine), *_covered(space, nest)]
        messages += [(space.name, text) for text in form or _shared(nest, space, mapping)]
    if not messages:
        messages += _buffers(mapping)
    return tuple(
        Fault(kind="nest", einsum=einsum, tensor="", coordinate=(), words=1, message=f"{einsum} {text}")
        for einsum, text in dict.fromkeys(messages)
    )


def _bound(problem: Problem, mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Every Einsum is in one group of one phase."""
    runs = Counter(e for fusion in mapping.fusion for group in fusion.groups for e in group.einsums)
    names = {space.name for space in problem.spaces}
    for space in problem.spaces:
        if runs[space.name] != 1:
            yield space.name, f"is in {runs[space.name]} groups of the phases, not in one"
    for einsum in runs:
        if einsum not in names:
            yield einsum, "is in a group, but the problem has no such Einsum"
    bound = [{*phase.einsums} for phase in mapping.binding]
    for number, fusion in enumerate(mapping.fusion):
        for einsum in (e for group in fusion.groups for e in group.einsums):
            if number >= len(bound) or einsum not in bound[number]:
                yield einsum, f"is in a group of phase {number}, to which it is not bound"


def _levels(nest: EinsumMapping, machine: Machine) -> Iterator[str]:
    """DRAM, twice the buffer, the fanouts, the registers."""
    levels, outermost = nest.levels, machine.memories[0].name
    buffers = {memory.name for memory in machine.memories[1:]}
    storages = [level for level in levels if isinstance(level, Storage)]
    if len(levels) < 4 or len(storages) != 4 or not all(isinstance(levels[i], Storage) for i in (0, 1, 2, -1)):
        yield "must have the levels DRAM, buffer, buffer, any fanouts, registers"
        return
    dram, whole, tile, registers = storages
    if dram.memory != outermost or whole.memory != tile.memory or whole.memory not in buffers:
        yield f"must have {outermost} outside and one buffer inside, not {dram.memory}, {whole.memory}, {tile.memory}"
    if registers.memory != f"{nest.array}.registers" or registers.loops or registers.keep is not None:
        yield f"must end with {nest.array}.registers, without loops and keeping everything"
    if any(level.array != nest.array for level in levels if isinstance(level, Fanout)):
        yield f"spreads over another array than {nest.array}"
    if nest.spills:
        yield "spills a fraction of a tensor, which is not executed"


def _buffers(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """All nests keep words in the same buffer."""
    inner = [level for nest in mapping.einsums for level in nest.levels[1:3] if isinstance(level, Storage)]
    names = sorted({level.memory for level in inner})
    if len(names) > 1:
        yield mapping.einsums[0].einsum, f"and the others keep words in several buffers: {', '.join(names)}"


def _covered(space: EinsumSpace, nest: EinsumMapping) -> Iterator[str]:
    """The bounds of every rank multiply to its extent."""
    covered = dict.fromkeys((rank for rank, _ in space.ranks), 1)
    for loop in (loop for level in nest.levels for loop in level.loops):
        if loop.rank not in covered:
            yield f"has a loop over {loop.rank}, which is not a rank of it"
        else:
            covered[loop.rank] *= loop.bound
    for rank, extent in space.ranks:
        if covered[rank] != extent:
            yield f"covers {covered[rank]} of the {extent} coordinates of {rank}"


def _shared(nest: EinsumMapping, space: EinsumSpace, mapping: Mapping) -> Iterator[str]:
    """The outer loops are those of the phase and the group; an Einsum that is alone in its phase has its own."""
    fusion, group = _home(mapping.fusion, space.name)
    if fusion is None or group is None or sum(len(g.einsums) for g in fusion.groups) == 1:
        return
    ranks = {rank for rank, _ in space.ranks}
    inner = tuple(loop for loop in group.loops if loop.rank in ranks)
    for name, own, shared in (
        ("its phase shares", nest.levels[0].loops, fusion.loops),
        ("its group shares", nest.levels[1].loops, inner),
    ):
        if own != shared:
            yield f"runs the loops {_listed(own)} where {name} {_listed(shared)}"


def _home(phases: Sequence[Fusion], einsum: str) -> tuple[Fusion, Group] | tuple[None, None]:
    for fusion in phases:
        for group in fusion.groups:
            if einsum in group.einsums:
                return fusion, group
    return None, None


def _listed(loops: Sequence[Loop]) -> str:
    return f"({', '.join(f'{loop.rank}:{loop.bound}' for loop in loops)})"
