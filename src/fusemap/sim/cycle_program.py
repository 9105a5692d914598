"""Drafts become a program: registers and places by lifetime, moves along the links, feeds at the edges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fusemap.diagnostics import input_error
from fusemap.sim.cycle_draft import Book, Draft, Use
from fusemap.sim.cycle_reads import Reads, Wait, reads_of
from fusemap.sim.cycle_registers import assign
from fusemap.sim.cycle_types import (
    ArrayProgram,
    Edge,
    Feed,
    Link,
    Load,
    Move,
    Operation,
    Program,
    Read,
    Slot,
    Store,
    Tag,
    Target,
    WordName,
)

ENTRANCES: Mapping[Slot, Edge] = {
    Slot.WEST: "west",
    Slot.NORTH: "north",
    Slot.PORT_A: "port_a",
    Slot.PORT_B: "port_b",
}
FOREVER = 1 << 60  # an output stays
UP, LEFT = "south", "east"  # ways of a partial result


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An array as the program uses it."""

    name: str
    rows: int
    columns: int
    depth: int


def assemble(book: Book, arrays: Sequence[Shape], outermost: str, iterations: int) -> tuple[Program, dict[int, int]]:
    """The program, and the place in memory of every word that has one."""
    return _Assembly(book, arrays, outermost).program(iterations)


class _Assembly:
    def __init__(self, book: Book, arrays: Sequence[Shape], outermost: str) -> None:
        self.book, self.arrays, self.outermost = book, arrays, outermost
        self.reads: Reads = reads_of(book.drafts)
        self.made = {d.word: d for d in book.drafts}
        self.preset = self._preset()
        self.registers = [self._registers(n) for n in range(len(arrays))]
        self.stored = self._stored()
        self.kept: dict[str, int] = {}
        self.places, self.count = self._places()

    def program(self, iterations: int) -> tuple[Program, dict[int, int]]:
        """Everything together."""
        operations: list[list[Operation]] = [[] for _ in self.arrays]
        moves: list[list[Move]] = [[] for _ in self.arrays]
        feeds: list[list[Feed]] = [[] for _ in self.arrays]
        for i, draft in enumerate(self.book.drafts):
            operations[draft.array].append(self._operation(i, draft))
            moves[draft.array] += self._passed_on(draft)
            feeds[draft.array] += self._feeds(draft)
        for word in sorted(self.reads.climbs):
            moves[0].append(self._climb(word))
        for word in sorted(self.reads.feet):
            moves[1].append(self._foot(word))
        for wait, cycle in sorted(self.reads.loaded.items()):
            moves[wait[0]].append(self._load(wait, cycle))
        for wait, cycle in sorted(self.preset.items()):
            tag, place = Tag(word=wait[1], column=True), self.places[wait[1]]
            feeds[wait[0]].append(Feed(cycle=cycle, edge="south", tag=tag, place=place, memory=self.outermost))
            moves[wait[0]].append(Move(cycle=cycle, read=Read(slot=Slot.SOUTH, tag=tag), target=self._into(wait)))
        names = {number: name for name, number in self.book.names.items()}
        program = Program(
            arrays=tuple(
                ArrayProgram(
                    array=shape.name,
                    rows=shape.rows,
                    columns=shape.columns,
                    depth=shape.depth,
                    operations=tuple(sorted(ops, key=lambda op: op.cycle)),
                    moves=tuple(sorted(moved, key=lambda m: m.cycle)),
                    feeds=tuple(sorted(fed, key=lambda f: f.cycle)),
                )
                for shape, ops, moved, fed in zip(self.arrays, operations, moves, feeds, strict=True)
            ),
            words=(WordName(tensor=""), *(names[n] for n in range(1, len(names) + 1))),
            loads=tuple(
                Load(
                    place=self.places[word],
                    word=word,
                    uses=self._fetched(word),
                    by_row=self.book.by_row[word],
                )
                for word in sorted(self.book.vectors)
            ),
            stores=tuple(
                Store(cycle=self.made[w].cycle, memory=memory, words=self.arrays[self.made[w].array].columns)
                for w, memory in self.stored.items()
            ),
            places=self.count,
            kept=tuple(self.kept.items()),
            iterations=iterations,
        )
        return program, self.places

    def _registers(self, array: int) -> dict[tuple[int, int], int]:
        """The register of every (home word, time it came)."""
        lives: dict[tuple[int, int], list[int]] = defaultdict(list)
        for wait, cycles in self.reads.registers.items():
            if wait[0] == array:
                lives[self._home(wait)] += [self._arrives(wait), *cycles]
        return assign((min(cycles), max(cycles), key) for key, cycles in lives.items())[0]

    def _preset(self) -> dict[Wait, int]:
        """Start values that a lane expects in a register, and the cycle in which they come in from the outside."""
        waits = (w for w in self.reads.registers if not w[2] and w[1] not in self.made)
        found = {w: min(self.reads.registers[w]) - 1 for w in waits}
        bad = [self.book.name(w[1]) for w in found if self.arrays[w[0]].rows > 1 or w[1] not in self.book.vectors]
        if bad:
            raise input_error(f"{bad[0]} is expected in registers, and nobody brings it there")
        return found

    def _home(self, wait: Wait) -> tuple[int, int]:
        """Steps of one sum share a register."""
        made = self.made.get(wait[1])
        return (made.home if made is not None and made.array == wait[0] and not wait[2] else wait[1]), wait[2]

    def _arrives(self, wait: Wait) -> int:
        """The local cycle in which a word is written to registers, at the element where it comes first."""
        array, word, time = wait
        if time:
            return self.reads.loaded[wait]
        if wait in self.preset:
            return self.preset[wait]
        made = self.made[word]
        if made.array == array:
            return made.cycle
        rows = self.arrays[0].rows
        # Up: the last row has it one cycle after the lane, and is R - 1 local cycles behind. Down: R rows of one cycle.
        return made.cycle + 1 - (rows - 1) if array == 0 else made.cycle + rows

    def _stored(self) -> dict[int, str]:
        """The memory of each word that a lane writes to one: kept there, read from there, or read by nobody."""
        found = {}
        for word, d in self.made.items():
            if not d.final or d.leaves != "stay":
                continue
            read = any((a, word, 0) in self.reads.registers for a in range(len(self.arrays)))
            if d.memory is not None or word in self.reads.memory or not read:
                found[word] = d.memory or self.outermost
        return found

    def _places(self) -> tuple[dict[int, int], int]:
        """A place of its own for what is there from the start; computed words share places when they are done."""
        lives: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for word, memory in self.stored.items():
            start, reads = self.made[word].cycle, self.reads.memory.get(word, ())
            forever = memory == self.outermost and not reads
            lives[memory].append((start, FOREVER if forever else max([start, *reads]), word))
        places: dict[int, int] = {}
        count = 0
        for memory, found in lives.items():
            given, needed = assign(found)
            places |= {word: count + place for word, place in given.items()}
            self.kept[memory] = needed
            count += needed
        for word in sorted(self.book.vectors):
            places[word] = count
            count += 1
        return places, count

    def _operation(self, i: int, d: Draft) -> Operation:
        return Operation(
            cycle=d.cycle,
            einsum=d.einsum,
            iteration=d.iteration,
            step=d.step,
            code=d.code,
            reads=tuple(Read(slot=self._slot(i, k, use), tag=self._tag(d.array, use)) for k, use in enumerate(d.uses)),
            result=Tag(word=d.word, row=d.row, column=d.column),
            target=self._target(d),
        )

    def _slot(self, i: int, k: int, use: Use) -> int:
        wait = self.reads.waits.get((i, k))
        return use.slot if wait is None else Slot.FIRST + self.registers[wait[0]][self._home(wait)]

    def _tag(self, array: int, use: Use) -> Tag:
        if use.way == UP:
            return Tag(word=use.word, row=True, column=True, above=1)
        if use.way == LEFT:
            return Tag(word=use.word, row=use.row, column=True, left=1)
        if use.way == "foot":
            return self._footed(use.word)
        return Tag(word=use.word, row=use.row, column=use.column)

    def _footed(self, word: int) -> Tag:
        """What the last row sent to the foot."""
        made = self.made[word]
        return Tag(word=made.word, column=True, above=-self.arrays[0].rows)

    def _target(self, d: Draft) -> Target:
        wait = (d.array, d.word, 0)
        uses = len(self.reads.registers.get(wait, ()))
        stays = uses and d.leaves == "stay"
        links: set[Link] = {d.leaves} if d.leaves != "stay" else set()
        if d.word in self.reads.climbs and d.array == 1:
            links.add("north")
        return Target(
            register=self.registers[d.array][self._home(wait)] if stays else None,
            uses=uses if stays else 0,
            links=frozenset(links),
            place=self.places[d.word] if d.word in self.stored else None,
            place_uses=len(self.reads.memory.get(d.word, ())) if d.word in self.stored else 0,
        )

    def _passed_on(self, d: Draft) -> list[Move]:
        """What enters at an edge goes on to the next element while this one uses it."""
        shape, found = self.arrays[d.array], []
        for use in d.uses:
            tag = self._tag(d.array, use)
            if use.way == "west" and shape.columns > 1:
                found.append(Move(cycle=d.cycle, read=Read(slot=Slot.WEST, tag=tag), target=_onward("east")))
            if use.way == "north" and shape.rows > 1:
                found.append(Move(cycle=d.cycle, read=Read(slot=Slot.NORTH, tag=tag), target=_onward("south")))
        return found

    def _feeds(self, d: Draft) -> list[Feed]:
        found = []
        for use in d.uses:
            tag = self._tag(d.array, use)
            if use.way in (UP, LEFT):
                edge: Edge = "north" if use.way == UP else "west"
                found.append(Feed(cycle=d.cycle, edge=edge, tag=tag, constant=self.book.identities[use.word]))
            if use.way in ("west", "north", "port"):
                edge = ENTRANCES[use.slot]
                place = self.places[use.word]
                found.append(Feed(cycle=d.cycle, edge=edge, tag=tag, place=place, memory=use.memory or self.outermost))
        return found

    def _into(self, wait: Wait) -> Target:
        """The register in which a word waits for its reads."""
        return Target(register=self.registers[wait[0]][self._home(wait)], uses=len(self.reads.registers[wait]))

    def _fetched(self, word: int) -> int:
        """Reads of a word's place."""
        return len(self.reads.memory.get(word, ())) + sum(w[1] == word for w in self.preset)

    def _climb(self, word: int) -> Move:
        """Up the column, a row a cycle; every row keeps it for its own reads."""
        wait = (0, word, 0)
        return Move(
            cycle=self.made[word].cycle + 1,
            read=Read(slot=Slot.SOUTH, tag=Tag(word=word, column=True)),
            target=replace(self._into(wait), inner=frozenset({"north"})),
            up=True,
        )

    def _foot(self, word: int) -> Move:
        """Out of the last row into a register of the lane."""
        wait = (1, word, 0)
        return Move(
            cycle=self.made[word].cycle + self.arrays[0].rows,
            read=Read(slot=Slot.NORTH, tag=self._footed(word)),
            target=self._into(wait),
        )

    def _load(self, wait: Wait, cycle: int) -> Move:
        """A word that an operation takes through a port stays in a register for later ones."""
        array, word, _ = wait
        ports = (
            (use, d)
            for d in self.book.drafts
            if d.array == array and d.cycle == cycle
            for use in d.uses
            if use.way == "port" and use.word == word
        )
        use, _ = next(ports)
        return Move(
            cycle=cycle,
            read=Read(slot=use.slot, tag=Tag(word=word, column=True)),
            target=self._into(wait),
        )


def _onward(link: Link) -> Target:
    return Target(inner=frozenset({link}))
