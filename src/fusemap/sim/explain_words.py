"""Derive the words that an operand moves at a level from the bounds of the loops (the relations of `sim.reuse`).

This builds every product anew from the loop nest; that it equals the simulator's count is a test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.mappers.types import EinsumMapping, Fanout, Level, Operand, Storage
from fusemap.sim.actions import Moved
from fusemap.sim.terms import Term, difference, given, product, total

Direction: TypeAlias = Literal["read", "write"]


def steps_term(nest: EinsumMapping) -> Term:
    """The steps that one processing element takes: the product of all temporal bounds."""
    return product("temporal steps", *_loops(nest.levels, temporal=True))


def words_term(nest: EinsumMapping, moved: Moved, direction: Direction) -> Term:
    """The words that `moved` charges to its memory in one direction, from loop bounds up.

    A level's words times the instances that are charged, times the fraction that is charged there.
    """
    operand = moved.count.operand
    reuse = _Reuse(nest=nest, operand=operand, moved=moved)
    words = reuse.reads() if direction == "read" else reuse.writes()
    if moved.copies != 1:
        words = product(f"words {_past(direction)}", reuse.copies(), dataclasses.replace(words, name="each"))
    if moved.share != 1:
        words = product(f"words {_past(direction)}", given(_share_name(moved, nest), moved.share), words)
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reuse:
    """One operand of a nest at the level where `moved` was counted."""

    nest: EinsumMapping
    operand: Operand
    moved: Moved

    @property
    def memory(self) -> str:
        return self.moved.spilled_from or self.moved.count.memory

    @property
    def keepers(self) -> list[int]:
        levels = self.nest.levels
        return [i for i, lv in enumerate(levels) if isinstance(lv, Storage) and lv.keeps(self.operand.tensor)]

    @property
    def level(self) -> int:
        return next(i for i in self.keepers if _name(self.nest.levels[i]) == self.memory)

    def reads(self) -> Term:
        """Words that one instance gives: all accesses; of an output, all but the first to each word."""
        access = self.access()
        if not self.operand.is_output:
            return access
        return difference("words read", access, self.first_writes())

    def writes(self) -> Term:
        """Words that one instance takes: updates of an output, and what is filled from outside."""
        parts = [self.access()] if self.operand.is_output else []
        if self.level != self.keepers[0] and not self.moved.spilled_from:
            own = self.exchanged(self.level)
            parts.append(difference("words filled", own, self.first_writes()) if self.operand.is_output else own)
        return parts[0] if len(parts) == 1 else total("words written", parts)

    def access(self) -> Term:
        """What the next level inside, or the array, asks for, times the instances that ask for different words."""
        inner = [i for i in self.keepers if i > self.level]
        child = min(inner, default=len(self.nest.levels))
        asked = self.exchanged(child) if inner else steps_term(self.nest)
        between = [lv for lv in self.nest.levels[self.level + 1 : child] if isinstance(lv, Fanout)]
        spread = list(_loops(between, self.operand.ranks))
        name = "words updated" if self.operand.is_output else "words read"
        if not spread:
            return dataclasses.replace(asked, name=name)
        return product(name, asked, product("distinct lanes", *spread))

    def exchanged(self, level: int) -> Term:
        """tile * visits: the words that one instance of a level exchanges with the next keeper outside."""
        levels, ranks = self.nest.levels, self.operand.ranks
        tile = product("words per tile", *_loops(levels[level:], ranks))
        outer = list(_loops(levels[:level], temporal=True))
        innermost = max((i for i, loop in enumerate(outer) if loop.name in ranks), default=-1)
        visits = product("visits", *outer[: innermost + 1])
        return product(f"words per {_name(levels[level])}", tile, visits)

    def copies(self) -> Term:
        """The instances that are charged: those in use, unless the accounting says otherwise."""
        above = [lv for lv in self.nest.levels[: self.level] if isinstance(lv, Fanout)]
        in_use = product("register files in use", *_loops(above))
        if in_use.value == self.moved.copies:
            return in_use
        return given("register files charged", self.moved.copies)

    def first_writes(self) -> Term:
        """Words of the output that one instance is responsible for: nothing is there to be read at first."""
        name, levels, ranks = "first writes", self.nest.levels, self.operand.ranks
        above = [lv for lv in levels[: self.level] if isinstance(lv, Storage)]
        term = product(name, *_loops((*above, *levels[self.level :]), ranks))
        counted = self.moved.count.partition
        if counted == term.value:
            return term
        return given(f"{name} in wrapping arithmetic", counted)


def _loops(levels: Sequence[Level], ranks: frozenset[str] | None = None, *, temporal: bool = False) -> Iterator[Term]:
    """The loops that iterate, as given bounds; only over `ranks`, only temporal ones, if asked."""
    for level in levels:
        if temporal and isinstance(level, Fanout):
            continue
        for loop in level.loops:
            if loop.bound != 1 and (ranks is None or loop.rank in ranks):
                yield given(loop.rank, loop.bound, place=_name(level))


def _name(level: Level) -> str:
    return level.memory if isinstance(level, Storage) else f"{level.array}.{level.dim}"


def _past(direction: Direction) -> str:
    return "read" if direction == "read" else "written"


def _share_name(moved: Moved, nest: EinsumMapping) -> str:
    if moved.spilled_from:
        return f"share spilled by {moved.spilled_from}"
    return f"share that {', '.join(spill.memory for spill in nest.spills)} holds"
