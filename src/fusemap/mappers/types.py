"""A mapping: where each Einsum's loops run, what each memory keeps, and what runs concurrently.

Every type is a frozen value with all sizes resolved; nothing here knows how a mapping was made.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A tensor as one Einsum touches it; `ranks` are the rank variables that index it.

    `label` tells two accesses of one tensor apart (`RM[m1]` and `RM[m1+1]`). `sums` are the indices in which ranks
    share a position, each as (rank, coefficient): `I[c, p*2+r]` has ((p, 2), (r, 1)).
    """

    tensor: str
    label: str
    ranks: frozenset[str]
    is_output: bool = False
    sums: tuple[tuple[tuple[str, int], ...], ...] = ()


def distinct(operands: Iterable[Operand]) -> tuple[Operand, ...]:
    """The operands without those that share the words of another one.

    `RM[m1+1]` overwrites `RM[m1]` in place: same tensor, same ranks. `X[k,m]` and `X[k,n]` are two tiles.
    """
    return tuple({(o.tensor, o.ranks): o for o in operands}.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class EinsumSpace:
    """An Einsum with sizes: its iteration space, operands and operators per point.

    `ranks` are (variable, extent) in the order of the cascade, batch ranks first. `operators` are the
    map operators in evaluation order, then the reduction if there is one. `sequential` ranks are stepped
    one by one, in a recurrence. `notes` say where the rectangular space is an upper bound (a filter, a
    shared group index).
    """

    name: str
    ranks: tuple[tuple[str, int], ...]
    operands: tuple[Operand, ...]
    operators: tuple[str, ...]
    notes: tuple[str, ...] = ()
    sequential: frozenset[str] = frozenset()

    @property
    def points(self) -> int:
        """Number of points of the iteration space."""
        return math.prod(extent for _, extent in self.ranks)

    @property
    def output(self) -> Operand:
        """The operand that is written."""
        return next(o for o in self.operands if o.is_output)

    @property
    def inputs(self) -> tuple[Operand, ...]:
        """The operands that are read."""
        return tuple(o for o in self.operands if not o.is_output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A cascade bound to a workload: the Einsums that compute (views are read through), with sizes.

    `sizes` are the extents of all known ranks by shape name (`M`, `M0`, `B`), `external` the tensors
    that are inputs or outputs of the cascade, `views` maps a re-indexed tensor to its source.
    """

    cascade: str
    workload: str
    spaces: tuple[EinsumSpace, ...]
    sizes: tuple[tuple[str, int], ...]
    external: frozenset[str]
    views: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def shown(self, tensor: str) -> str:
        """The tensor that a view shows, through other views; the tensor itself if it is none."""
        source = dict(self.views)
        while tensor in source:
            tensor = source[tensor]
        return tensor

    @property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """The tensors that each Einsum reads, views traced to what they show."""
        return {s.name: tuple(self.shown(o.tensor) for o in s.inputs) for s in self.spaces}

    def space(self, einsum: str) -> EinsumSpace:
        """The space of one Einsum; KeyError if the cascade has none of that name."""
        for space in self.spaces:
            if space.name == einsum:
                return space
        raise KeyError(einsum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A loop over (part of) a rank variable."""

    rank: str
    bound: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A memory level: its temporal loops outside in, and the tensors it keeps (None: all of them).

    The loops step the tiles that the levels below hold; `keep` holds tensor names.
    """

    memory: str
    loops: tuple[Loop, ...] = ()
    keep: frozenset[str] | None = frozenset()

    def keeps(self, tensor: str) -> bool:
        """True when this memory holds the tensor for this Einsum."""
        return self.keep is None or tensor in self.keep


@dataclass(frozen=True, slots=True, kw_only=True)
class Fanout:
    """Spatial loops over one dimension of an array: inputs are multicast, outputs reduced."""

    array: str
    dim: str
    loops: tuple[Loop, ...] = ()


Level: TypeAlias = Storage | Fanout


@dataclass(frozen=True, slots=True, kw_only=True)
class Spill:
    """A memory holds only part of the listed tensors: this fraction of their accesses goes outward."""

    memory: str
    fraction: float
    tensors: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EinsumMapping:
    """The loop nest of one Einsum, outermost level first, on the array that computes it."""

    einsum: str
    array: str
    levels: tuple[Level, ...]
    spills: tuple[Spill, ...] = ()

    @property
    def temporal_steps(self) -> int:
        """Product of all temporal bounds: the steps one processing element takes."""
        return math.prod(p.bound for level in self.levels if isinstance(level, Storage) for p in level.loops)

    @property
    def lanes(self) -> int:
        """Product of all spatial bounds: processing elements in use."""
        return math.prod(p.bound for level in self.levels if isinstance(level, Fanout) for p in level.loops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Cycles in which a stage waits, as a multiple of one Einsum's time (a drain between arrays)."""

    einsum: str
    factor: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Einsums that run at the same time: each array works through its own list; stalls come on top."""

    name: str
    work: tuple[tuple[str, tuple[str, ...]], ...]
    stalls: tuple[Stall, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Stages one after another, overlapped with the phase's memory traffic.

    `pipelined`: consumers work on tiles of an earlier iteration than their producers.
    """

    name: str
    stages: tuple[Stage, ...]
    pipelined: bool = False

    @property
    def einsums(self) -> tuple[str, ...]:
        """All Einsums of the phase in binding order."""
        return tuple(e for stage in self.stages for _, einsums in stage.work for e in einsums)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Einsums that share a loop over chunks: in every iteration each of them runs on its tile, in this order."""

    loops: tuple[Loop, ...]
    einsums: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """What a phase does in time: for every iteration of `loops`, the groups one after another.

    Every Einsum of the phase has the ranks of `loops`; a group's loops are chunks of one further rank. The
    tensors in `held` stay on chip from the group that makes (or first reads) them to the last that reads them. Of
    those in `twice` two successive tiles are there at once.
    """

    loops: tuple[Loop, ...]
    groups: tuple[Group, ...]
    held: frozenset[str] = frozenset()
    twice: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """The nests of all Einsums and their binding in time; `tiles` are the resolved tile sizes.

    `fusion` holds, for a mapping that was searched, the loops that each phase of the binding shares.
    """

    dataflow: str
    einsums: tuple[EinsumMapping, ...]
    binding: tuple[Phase, ...]
    tiles: tuple[tuple[str, float | str], ...] = ()
    notes: tuple[str, ...] = ()
    fusion: tuple[Fusion, ...] = ()

    def nest(self, einsum: str) -> EinsumMapping:
        """The nest of one Einsum; KeyError if it has none."""
        for nest in self.einsums:
            if nest.einsum == einsum:
                return nest
        raise KeyError(einsum)
