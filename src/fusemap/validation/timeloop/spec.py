"""One Einsum, its machine and its nest in Timeloop's terms, before any text is written.

Dimensions are letters (`vocabulary.letters`), loops run outermost first, energies are pJ per access of a
whole row of a memory (`block_words` words) and per point of the compute unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

Loops: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpace:
    """An operand: every position of `projection` is a sum of (dimension, coefficient)."""

    name: str
    label: str
    tensor: str
    projection: tuple[tuple[tuple[str, int], ...], ...]
    read_write: bool

    @property
    def dimensions(self) -> frozenset[str]:
        """The dimensions that index it."""
        return frozenset(letter for index in self.projection for letter, _ in index)

    @property
    def slides(self) -> bool:
        """True where several dimensions share a position: neighbouring tiles then share words."""
        return any(len(index) > 1 for index in self.projection)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageNode:
    """A memory level; `level` is its place in our nest, None for one that holds nothing and only carries loops."""

    name: str
    memory: str
    level: int | None
    kind: str
    instances: int
    word_bits: int
    block_words: int
    depth: int | None
    bandwidth: float | None
    read_pj: float
    write_pj: float
    area_um2: float
    loops: Loops
    keep: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialNode:
    """A fanout over one or two dimensions of an array."""

    name: str
    mesh_x: int
    mesh_y: int
    loops_x: Loops
    loops_y: Loops

    @property
    def loops(self) -> Loops:
        """The loops of both directions."""
        return (*self.loops_x, *self.loops_y)


Node: TypeAlias = StorageNode | SpatialNode


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeNode:
    """The unit that computes one point per cycle."""

    name: str
    energy_pj: float
    area_um2: float
    instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Specification:
    """All that Timeloop is told of one Einsum; `notes` say what that leaves out.

    `dimensions` are (letter, rank, extent), `cycles_per_point` what our array takes where Timeloop takes 1.
    """

    einsum: str
    cascade: str
    machine: str
    dimensions: tuple[tuple[str, str, int], ...]
    data_spaces: tuple[DataSpace, ...]
    nodes: tuple[Node, ...]
    compute: ComputeNode
    cycle_seconds: float
    cycles_per_point: int
    operators: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> int:
        """Points of the iteration space."""
        return math.prod(extent for _, _, extent in self.dimensions)

    @property
    def storages(self) -> tuple[StorageNode, ...]:
        """The memory levels, outermost first."""
        return tuple(node for node in self.nodes if isinstance(node, StorageNode))
