"""The levels of a Timeloop architecture, outermost first, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.archspec.arithmetic import Value
from fusemap.archspec.document import Place
from fusemap.validation.timeloop.reading.nodes import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSpec:
    """A storage: `words` None is unbounded, `block` the words of one access, `parallel` the branch it stands in.

    `shared_bandwidth` is in words per cycle.
    """

    name: str
    word_bits: int
    block: int
    words: int | None
    off_chip: bool
    parallel: tuple[int, int] | None
    shared_bandwidth: Value | None
    constraints: Node | None = field(compare=False, repr=False)
    place: Place = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSpec:
    """A fanout: `x` times `y` instances of what stands below."""

    name: str
    x: int
    y: int
    constraints: Node | None = field(compare=False, repr=False)
    place: Place = field(compare=False, repr=False)

    @property
    def dims(self) -> tuple[tuple[str, str, int], ...]:
        """Name, direction and extent of each direction that has more than one instance."""
        both = (("x", self.x), ("y", self.y))
        used = [(direction, extent) for direction, extent in both if extent > 1]
        if len(used) == 1:
            return ((self.name, *used[0]),)
        return tuple((f"{self.name}_{direction}", direction, extent) for direction, extent in used)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSpec:
    """A branch of a parallel node that stores nothing: `keep` names the data spaces that go through it."""

    parallel: tuple[int, int]
    constraints: Node | None = field(compare=False, repr=False)
    place: Place = field(compare=False, repr=False)


LevelSpec: TypeAlias = StorageSpec | MeshSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureSpec:
    """Storages and fanouts from the outermost in, then the compute unit; `cycle_s` is the length of a cycle.

    `names` are those of all nodes.
    """

    levels: tuple[LevelSpec, ...]
    passes: tuple[PassSpec, ...]
    names: tuple[str, ...]
    compute: str
    cycle_s: Value
    cycle_source: str
    place: Place = field(compare=False, repr=False)

    @property
    def storages(self) -> tuple[StorageSpec, ...]:
        """The storages, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, StorageSpec))

    @property
    def meshes(self) -> tuple[MeshSpec, ...]:
        """The fanouts, outermost first."""
        return tuple(level for level in self.levels if isinstance(level, MeshSpec))

    def outside(self, storage: StorageSpec) -> tuple[str, ...]:
        """The dimensions of the fanouts that a storage stands inside."""
        found: list[str] = []
        for level in self.levels:
            if isinstance(level, MeshSpec):
                found += [name for name, _, _ in level.dims]
            elif level is storage:
                break
        return tuple(found)

    @property
    def instances(self) -> int:
        """The number of compute units."""
        return math.prod(mesh.x * mesh.y for mesh in self.meshes)

    def instances_of(self) -> Mapping[str, int]:
        """How many there are of each storage."""
        found: dict[str, int] = {}
        count = 1
        for level in self.levels:
            if isinstance(level, MeshSpec):
                count *= level.x * level.y
            else:
                found[level.name] = count
        return found
