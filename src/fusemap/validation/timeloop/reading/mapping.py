"""A Timeloop mapping on an architecture: the loops of every level, and what each storage keeps.

Defaults are those of src/mapping/parser.cpp: a factor that is not given is 1, a dimension that a permutation leaves out
comes last (outermost), a data space that is neither kept nor bypassed is kept, all spatial loops run along X.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.document import Place
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.validation.timeloop import vocabulary as words
from fusemap.validation.timeloop.reading.directives import Directive, DirectiveReader
from fusemap.validation.timeloop.reading.keeping import kept
from fusemap.validation.timeloop.reading.levels import ArchitectureSpec, MeshSpec, StorageSpec
from fusemap.validation.timeloop.reading.nodes import Node
from fusemap.validation.timeloop.reading.notes import Note
from fusemap.validation.timeloop.reading.problem import ProblemSpec

Loops = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLoops:
    """Temporal loops of a storage, outermost first, and the data spaces that it keeps."""

    storage: StorageSpec
    loops: Loops
    keep: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshLoops:
    """Spatial loops of a fanout along X and along Y, outermost first."""

    mesh: MeshSpec
    x: Loops
    y: Loops


MappedLevel = StorageLoops | MeshLoops


def read_mapping(
    problem: ProblemSpec,
    architecture: ArchitectureSpec,
    mapping: Sequence[Node],
    constraints: Sequence[Node],
) -> tuple[tuple[MappedLevel, ...] | None, list[Note]]:
    """The mapped levels, outermost first (None without a mapping); InputError lists every fault.

    With a mapping, constraints add to it what it does not say, as in Timeloop's front end; without one they say where
    a mapper may look, which a note lists. Constraints that leave nothing open are a mapping.
    """
    errors: list[Diagnostic] = []
    reader = DirectiveReader(problem=problem, errors=errors)
    merger = _Merger(problem=problem, architecture=architecture, errors=errors)
    for node in mapping:
        if (directive := reader.entry(node)) is not None:
            merger.take(directive, mapped=True)
    for level in architecture.levels:
        for directive in reader.group(level.constraints, level.name):
            merger.take(directive, mapped=False)
    for node in constraints:
        if (directive := reader.entry(node)) is not None:
            merger.take(directive, mapped=False)
    passing = [
        (part.parallel, name)
        for part in architecture.passes
        for directive in reader.group(part.constraints, "nothing")
        for name in directive.keep
    ]
    if not mapping and (errors or not merger.fixed()):
        if errors:
            raise InputError(tuple(errors))
        return None, merger.search_notes()
    levels = merger.levels(passing)
    if errors:
        raise InputError(tuple(errors))
    return levels, merger.notes


@dataclass(slots=True, kw_only=True)
class _Merged:
    """All that is said of one level."""

    temporal: dict[str, int] = field(default_factory=dict)
    spatial: dict[str, int] = field(default_factory=dict)
    permutation: dict[str, list[str]] = field(default_factory=dict)
    ones: dict[str, list[str]] = field(default_factory=dict)
    split: int | None = None
    keep: dict[str, bool] = field(default_factory=dict)
    said_at: dict[str, Place] = field(default_factory=dict)
    limits: list[tuple[str, Directive]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class _Merger:
    problem: ProblemSpec
    architecture: ArchitectureSpec
    errors: list[Diagnostic]
    said: dict[str, _Merged] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    constrained: list[Directive] = field(default_factory=list)

    def take(self, directive: Directive, *, mapped: bool) -> None:
        """Add what a directive says to its level; what a mapping says comes first."""
        if not mapped:
            self.constrained.append(directive)
        kind, level = self.level(directive)
        if level is None:
            return
        own = self.said.setdefault(level, _Merged())
        if kind == words.DATASPACE:
            self.told(own, directive)
        elif kind in (words.TEMPORAL, words.SPATIAL):
            self.iterated(own, kind, directive)
        for key in directive.search if mapped else ():
            text = f"{directive.target}: {key} is no part of a mapping"
            self.notes.append(Note(affects="nothing", text=text, place=directive.place))

    def level(self, directive: Directive) -> tuple[str, str | None]:
        """The kind of a directive and the level that it is for: a storage, or a fanout by one of its names."""
        target, kind = directive.target, directive.kind
        storages = [s.name for s in self.architecture.storages]
        meshes = {m.name: m.name for m in self.architecture.meshes}
        meshes |= {f"inter_{m.name}_spatial": m.name for m in self.architecture.meshes}
        if kind == words.SPATIAL:
            found = self.mesh_of(target, meshes)
            if found is None:
                idle = all(f.value == 1 for f in directive.factors if f.relation == "=")
                if not (idle and target in self.architecture.names):  # a level of one instance has no spatial loops
                    self.unknown(directive, [*meshes], "no fanout for the target")
                return kind, None
            return kind, f"mesh {found}"
        if target in storages:
            return kind, f"storage {target}"
        if target in meshes and not directive.keep and all(f.value == 1 for f in directive.factors):
            return kind, None  # a fanout stores nothing and has no loops in time
        if target in meshes:
            message = f"{target} is a fanout: it keeps nothing and has no loops in time"
            self.errors.append(directive.place.diagnostic(message))
            return kind, None
        self.unknown(directive, storages, "no storage for the target")
        return kind, None

    def unknown(self, directive: Directive, valid: Sequence[str], what: str) -> None:
        hint = did_you_mean(directive.target, valid, noun="targets")
        self.errors.append(directive.place.diagnostic(f'{what} "{directive.target[:60]}"', hint=hint))

    def mesh_of(self, target: str, meshes: Mapping[str, str]) -> str | None:
        """The fanout of a target: by name, or the one right inside a storage."""
        if target in meshes:
            return meshes[target]
        levels = self.architecture.levels
        for level, inner in itertools.pairwise(levels):
            if level.name == target and isinstance(level, StorageSpec) and isinstance(inner, MeshSpec):
                return inner.name
        return None

    def told(self, own: _Merged, directive: Directive) -> None:
        for name, keeps in [*((n, True) for n in directive.keep), *((n, False) for n in directive.bypass)]:
            first = own.said_at.setdefault(name, directive.place)
            if own.keep.setdefault(name, keeps) is not keeps:
                message = f"{directive.target} is told both to keep and to bypass {name}"
                self.errors.append(directive.place.diagnostic(message, hint=f"the other stands at {first.span}"))

    def iterated(self, own: _Merged, kind: str, directive: Directive) -> None:
        bounds = own.temporal if kind == words.TEMPORAL else own.spatial
        for factor in directive.factors:
            if factor.relation != "=":
                own.limits.append((kind, directive))
                continue
            if factor.value == 1:
                own.ones.setdefault(kind, []).append(factor.dimension)
            if bounds.setdefault(factor.dimension, factor.value) != factor.value:
                given = bounds[factor.dimension]
                message = f"{directive.target}: {factor.dimension} is {factor.value} here and {given} elsewhere"
                self.errors.append(factor.place.diagnostic(message))
        if directive.permutation is not None and kind not in own.permutation:
            own.permutation[kind] = directive.permutation
        if kind == words.SPATIAL and own.split is None:
            own.split = directive.split

    def levels(self, passing: Sequence[tuple[tuple[int, int], str]]) -> tuple[MappedLevel, ...]:
        """The mapped levels; every dimension must be covered exactly."""
        told = {s.name: self.said.get(f"storage {s.name}", _Merged()).keep for s in self.architecture.storages}
        keeps = kept(self.problem, self.architecture, told, passing, self.errors)
        found: list[MappedLevel] = []
        for level in self.architecture.levels:
            if isinstance(level, StorageSpec):
                own = self.said.get(f"storage {level.name}", _Merged())
                loops = self.loops(own, words.TEMPORAL)
                found.append(StorageLoops(storage=level, loops=loops, keep=keeps[level.name]))
            else:
                own = self.said.get(f"mesh {level.name}", _Merged())
                found.append(self.mesh(own, level))
            self.limited(own, level.name)
        if not self.errors:
            self.covered(found)
        return tuple(found)

    def order(self, own: _Merged, kind: str) -> list[str]:
        """All dimensions, innermost first: those of size 1 that no permutation names, the permutation, the others."""
        order = list(own.permutation.get(kind, ()))
        for name in own.ones.get(kind, ()):
            order = order if name in order else [name, *order]
        for name, size in self.problem.sizes:
            order = order if name in order or size != 1 else [name, *order]
        return [*order, *(name for name in self.problem.dimensions if name not in order)]

    def loops(self, own: _Merged, kind: str, among: Sequence[str] | None = None) -> Loops:
        bounds = own.temporal if kind == words.TEMPORAL else own.spatial
        order = self.order(own, kind) if among is None else among
        return tuple((name, bounds[name]) for name in reversed(order) if bounds.get(name, 1) > 1)

    def mesh(self, own: _Merged, level: MeshSpec) -> MeshLoops:
        order = self.order(own, words.SPATIAL)
        split = len(order) if own.split is None else min(own.split, len(order))
        x = self.loops(own, words.SPATIAL, order[:split])
        y = self.loops(own, words.SPATIAL, order[split:])
        for direction, loops, extent in (("X", x, level.x), ("Y", y, level.y)):
            used = math.prod(bound for _, bound in loops)
            if used > extent:
                shown = ", ".join(f"{name}={bound}" for name, bound in loops)
                message = f"{level.name}: {shown} along {direction} take {used} of {extent} instances"
                hint = "split: the number of dimensions of the permutation that run along X; the others run along Y"
                self.errors.append(level.place.diagnostic(message, hint=hint))
        return MeshLoops(mesh=level, x=x, y=y)

    def limited(self, own: _Merged, name: str) -> None:
        """Constraints that are inequalities, held against the mapping."""
        for kind, directive in own.limits:
            bounds = own.temporal if kind == words.TEMPORAL else own.spatial
            for factor in directive.factors:
                have = bounds.get(factor.dimension, 1)
                if (factor.relation == "<=" and have > factor.value) or (
                    factor.relation == ">=" and have < factor.value
                ):
                    limit = f"{factor.relation}{factor.value}"
                    message = f"{name}: the mapping has {factor.dimension}={have}, the constraint is {limit}"
                    self.errors.append(factor.place.diagnostic(message))

    def covered(self, levels: Sequence[MappedLevel]) -> None:
        done = dict.fromkeys(self.problem.dimensions, 1)
        for level in levels:
            for name, bound in level.loops if isinstance(level, StorageLoops) else (*level.x, *level.y):
                done[name] *= bound
        for name, size in self.problem.sizes:
            if done[name] != size:
                message = f"the factors of {name} multiply to {done[name]}, its size is {size}"
                self.errors.append(self.problem.place.diagnostic(message))

    def fixed(self) -> bool:
        """True when the constraints leave no bound, no order of loops and no data space of any level open."""
        done = dict.fromkeys(self.problem.dimensions, 1)
        names = {t.name for t in self.problem.tensors}
        for level in self.architecture.levels:
            storage = isinstance(level, StorageSpec)
            own = self.said.get(f"{'storage' if storage else 'mesh'} {level.name}", _Merged())
            kind = words.TEMPORAL if storage else words.SPATIAL
            bounds = {name: b for name, b in (own.temporal if storage else own.spatial).items() if b > 1}
            if len(bounds) > 1 and not set(bounds) <= set(own.permutation.get(kind, ())):
                return False
            if storage and level is not self.architecture.levels[0] and not names <= set(own.keep):
                return False
            for name, bound in bounds.items():
                done[name] *= bound
        found = done == dict(self.problem.sizes)
        if found and self.constrained:
            text = "the constraints leave nothing open: they are taken as the mapping"
            self.notes.append(Note(affects="nothing", text=text, place=self.constrained[0].place))
        return found

    def search_notes(self) -> list[Note]:
        """One note for the constraints that only a mapper would use."""
        if not self.constrained:
            return []
        targets = ", ".join(dict.fromkeys(d.target for d in self.constrained))
        text = f"constraints on {targets} are not carried over: fusemap map searches its own space"
        return [Note(affects="search", text=text, place=self.constrained[0].place)]
