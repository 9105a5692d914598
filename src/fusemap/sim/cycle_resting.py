"""Tiles that rest in the elements: how they come and go on the upward links, a row a cycle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fusemap.sim.cycle_types import Feed, Move, Read, Sink, Slot, Tag, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """Tiles on `rows` rows that are worked on for `steps` cycles each; they are loaded (`comes`) or drained.

    The links take a row a cycle, so that tiles follow each other every max(steps, rows) cycles.
    """

    rows: int
    steps: int
    comes: bool

    @property
    def interval(self) -> int:
        """Cycles from tile to tile."""
        return max(self.steps, self.rows)

    @property
    def start(self) -> int:
        """The local cycle of the first operation: the first tile must be there in row 0, which it reaches last."""
        return 2 * self.rows - 1 if self.comes else 0

    @property
    def copies(self) -> int:
        """Tiles that an element holds at once, at most, those that are coming or going included."""
        life = self.steps + (3 * self.rows - 2 if self.comes else 2 * self.rows - 1)
        return -(-life // self.interval)

    def register(self, number: int) -> int:
        """The register of a tile."""
        return number % self.copies


def loaded(
    rest: Resting, number: int, word: int, place: Callable[[int], int], uses: int, memory: str
) -> tuple[list[Move], list[Feed]]:
    """Rows enter at the foot, that of row 0 first, and all move up by one a cycle until each is where it belongs.

    In upward local cycle u + k element (r, c) gets row k - (R - 1 - r), if there is one.
    """
    rows, register = rest.rows, rest.register(number)
    first = rest.start + number * rest.interval - (2 * rows - 1)
    moves, feeds = [], []
    for k in range(rows):
        feeds.append(
            Feed(
                cycle=first + k,
                edge="south",
                tag=Tag(word=word, column=True, above=-(k + 1)),
                place=place(k),
                memory=memory,
            )
        )
        if k:
            gone = Tag(word=word, row=True, column=True, above=rows - k)
            up = Target(inner=frozenset({"north"}))
            read = Read(slot=Slot.FIRST + register, tag=gone)
            moves.append(Move(cycle=first + k, read=read, target=up, up=True, if_there=True))
        came = Tag(word=word, row=True, column=True, above=rows - 1 - k)
        kept = Target(register=register, uses=1 if k < rows - 1 else uses)
        read = Read(slot=Slot.SOUTH, tag=came)
        moves.append(Move(cycle=first + k, read=read, target=kept, up=True, if_there=True))
    return moves, feeds


def drained(
    rest: Resting, number: int, word: int, place: Callable[[int], int], memory: str
) -> tuple[list[Move], list[Sink]]:
    """All rows move up by one a cycle and leave at the top, row 0 first; one more register holds what passes.

    It begins when row R - 1 has its result, R cycles after the last step of row 0.
    """
    rows, shift = rest.rows, rest.copies
    first = number * rest.interval + rest.steps - 1 + rows
    moves, sinks = [], []
    for d in range(rows):
        slot = Slot.FIRST + (shift if d else rest.register(number))
        sent = Read(slot=slot, tag=Tag(word=word, row=True, column=True, above=-d))
        up = Target(links=frozenset({"north"}))
        moves.append(Move(cycle=first + d, read=sent, target=up, up=True, if_there=d > 0))
        if d < rows - 1:
            came = Read(slot=Slot.SOUTH, tag=Tag(word=word, row=True, column=True, above=-(d + 1)))
            kept = Target(register=shift, uses=1)
            moves.append(Move(cycle=first + d, read=came, target=kept, up=True, if_there=True))
        tag = Tag(word=word, column=True, above=-(d + 1))
        sinks.append(Sink(cycle=first + d + rows, edge="north", tag=tag, place=place(d), memory=memory))
    return moves, sinks
