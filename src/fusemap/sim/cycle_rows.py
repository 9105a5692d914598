"""The program of Einsums on lanes, row after row, the rows overlapped so that the lanes never wait."""

from __future__ import annotations

import math
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field, replace

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Access
from fusemap.sim.cycle_micro import IDENTITY, Micro
from fusemap.sim.cycle_motion import Entrance, Motion
from fusemap.sim.cycle_numbers import Floats
from fusemap.sim.cycle_registers import assign
from fusemap.sim.cycle_tiles import Source, Steps, Tile, tile
from fusemap.sim.cycle_types import (
    ArrayProgram,
    Edge,
    Feed,
    Load,
    Move,
    Operation,
    Program,
    Read,
    Sink,
    Slot,
    Store,
    Tag,
    Target,
    WordName,
)
from fusemap.sim.fused_words import Words


@dataclass(slots=True, kw_only=True)
class Rows:
    """The program in the making."""

    words: Words
    motions: dict[str, Motion]
    ops: dict[str, tuple[Micro, ...]]
    source: Source
    needs: list[tuple[str, str]]
    outermost: str
    numbers: dict[WordName, int] = field(default_factory=dict)
    values: dict[int, Floats] = field(default_factory=dict)
    uses: dict[int, int] = field(default_factory=dict)
    kept: dict[int, list[int]] = field(default_factory=dict)  # register words: cycles of writing and reading
    places: dict[int, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    steps: dict[str, Steps] = field(default_factory=dict)
    drafts: list[tuple[Operation, tuple[int, ...], int | None]] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    sinks: list[Sink] = field(default_factory=list)
    end: int = 0
    rows: int = 1

    def __post_init__(self) -> None:
        for name, motion in self.motions.items():
            self.steps[name] = Steps(motion=motion, shared=())
            if (any(op.partial for op in self.ops[name]) and len(self.ops[name]) > 1) or motion.rows is not None:
                raise input_error(f"{name} is not a map, or a plain reduction, over lanes")
        motion = next(iter(self.motions.values()))
        across = motion.columns.rank if motion.columns is not None else ""
        self.rows = math.prod(bound for _, rank, bound in motion.steps if rank != across)
        taken = 0
        for name in self.motions:
            ready = max((self._ready(p, name) for p, c in self.needs if c == name), default=0)
            self.starts[name] = ready + (taken - ready) % self.interval
            taken += self.length(name)

    @property
    def columns(self) -> int:
        """Lanes in use."""
        return max(m.columns.bound for m in self.motions.values() if m.columns is not None)

    @property
    def interval(self) -> int:
        """Cycles per row: all operations, and one along the chain for each reduction of several words."""
        return sum(self.length(name) for name in self.motions)

    def length(self, name: str) -> int:
        """Cycles that an Einsum takes for a row."""
        count = self.steps[name].count // self.rows
        return count * len(self.ops[name]) + int(self._chained(name) and count > 1)

    def _chained(self, name: str) -> bool:
        return self.motions[name].leaves == "east"

    def _ready(self, producer: str, consumer: str) -> int:
        """The first cycle in which a reader may start."""
        end = self.starts[producer] + self.length(producer)
        if self._chained(producer):
            return end - 1 + self.columns  # the chain's last lane has it C - 1 cycles later, memory one more
        count = self.steps[consumer].count // self.rows
        return self.starts[producer] + len(self.ops[producer]) if count > 1 else end

    def word(self, tensor: str, at: Tile, part: str = "") -> int:
        """The number of a word."""
        return self.numbers.setdefault(WordName(tensor=tensor, at=at, part=part), len(self.numbers) + 1)

    def program(self) -> Program:
        """All rows of all Einsums."""
        for row in range(self.rows):
            for name in self.motions:
                self._einsum(name, row)
        lives = ((min(cycles), max(cycles), word) for word, cycles in self.kept.items())
        registers, _ = assign(lives)
        operations = tuple(self._placed(*draft, registers) for draft in self.drafts)
        self.end = max(op.cycle for op in operations) + self.columns
        array = next(iter(self.motions.values())).array
        names = {number: name for name, number in self.numbers.items()}
        return Program(
            arrays=(
                ArrayProgram(
                    array=array.name,
                    rows=1,
                    columns=self.columns,
                    depth=array.registers.depth_words,
                    operations=operations,
                    moves=tuple(self.moves),
                    feeds=tuple(self.feeds),
                    sinks=tuple(replace(s, uses=self.uses.get(s.tag.word, 0)) for s in self.sinks),
                ),
            ),
            words=(WordName(tensor=""), *(names[n] for n in range(1, len(names) + 1))),
            loads=tuple(Load(place=self._place(w), word=w, uses=self.uses[w], by_row=False) for w in self.values),
            stores=tuple(
                Store(cycle=op.cycle, memory=self.motions[op.einsum].memory or self.outermost, words=self.columns)
                for op in operations
                if op.target.place is not None
            ),
            places=len(self.places),
            iterations=self.rows,
        )

    def _placed(
        self, op: Operation, waits: tuple[int, ...], kept: int | None, registers: AbstractMapping[int, int]
    ) -> Operation:
        """An operation with the registers of its operands (0: not in one) and its result."""
        reads = tuple(
            replace(read, slot=Slot.FIRST + registers[word]) if word else read
            for read, word in zip(op.reads, waits, strict=True)
        )
        word = op.result.word
        target = op.target
        if target.place is not None:
            target = replace(target, place_uses=self.uses.get(word, 0))
        if kept is not None and len(self.kept[kept]) > 1:
            target = replace(target, register=registers[kept], uses=len(self.kept[kept]) - 1)
        return replace(op, reads=reads, target=target)

    def _place(self, word: int) -> int:
        return self.places.setdefault(word, len(self.places))

    def _einsum(self, name: str, row: int) -> None:
        motion, ops, steps = self.motions[name], self.ops[name], self.steps[name]
        count = steps.count // self.rows
        start = self.starts[name] + row * self.interval
        tensor, before = motion.computation.writes.tensor, 0
        for n in range(count):
            blocks = steps.blocks(0, row * count + n)
            at = tile(self.words, motion, motion.computation.writes.access, blocks)
            made: dict[int, int] = {}
            for m, op in enumerate(ops):
                cycle = start + n * len(ops) + m
                ports: list[Edge] = []
                last = m == len(ops) - 1
                reads = [self._read(motion, a, blocks, made, cycle, ports) for a in op.operands]
                if op.exponent is not None:
                    reads.append((Read(slot=Slot.EXPONENT, tag=Tag(word=made[op.exponent], column=True)), 0))
                if op.partial and count > 1:
                    before = self._accumulate(op, tensor, at, n, cycle, row, before, reads, name)
                    continue
                word = self.word(tensor, at, "" if last else f"part {m}")
                made[m] = word
                self._operation(name, row, n, cycle, op, reads, word, last)
        if self._chained(name) and count > 1:
            at = tile(self.words, motion, motion.computation.writes.access, steps.blocks(0, row * count))
            cycle = start + count * len(ops)
            self.kept[before].append(cycle)
            operand = (Read(slot=0, tag=Tag(word=before, column=True)), before)
            self._operation(name, row, count, cycle, ops[-1], [operand], self.word(tensor, at), True)

    def _accumulate(
        self,
        op: Micro,
        tensor: str,
        at: Tile,
        n: int,
        cycle: int,
        row: int,
        before: int,
        reads: list[tuple[Read, int]],
        name: str,
    ) -> int:
        """A lane's own sum or maximum so far; its word."""
        word = self.word(tensor, at, f"own {n}")
        if n:
            self.kept[before].append(cycle)
            reads.append((Read(slot=0, tag=Tag(word=before, column=True)), before))
        self.kept[word] = [cycle]
        self._draft(name, row, n, cycle, op if n else op.first(), reads, word, Target(), word)
        return word

    def _operation(
        self,
        name: str,
        row: int,
        n: int,
        cycle: int,
        op: Micro,
        reads: list[tuple[Read, int]],
        word: int,
        last: bool,
    ) -> None:
        """A map, or a step along the chain."""
        motion = self.motions[name]
        if op.partial:
            tag = Tag(word=word, column=True, left=1)
            reads.append((Read(slot=Slot.WEST, tag=tag), 0))
            reduce = motion.computation.einsum.reduce
            assert reduce is not None, name
            identity = IDENTITY[str(reduce.operator)]
            self.feeds.append(Feed(cycle=cycle, edge="west", tag=tag, constant=identity))
            memory = motion.memory or self.outermost
            out = Tag(word=word, left=-self.columns)
            self.sinks.append(
                Sink(cycle=cycle + self.columns, edge="east", tag=out, place=self._place(word), memory=memory)
            )
            self._draft(name, row, n, cycle, op, reads, word, Target(links=frozenset({"east"})), None)
            return
        self.kept[word] = [cycle]
        stored = last and (motion.memory is not None or not any(p == name for p, _ in self.needs))
        place = self._place(word) if stored else None
        self._draft(name, row, n, cycle, op, reads, word, Target(place=place), word)

    def _draft(
        self,
        name: str,
        row: int,
        n: int,
        cycle: int,
        op: Micro,
        reads: list[tuple[Read, int]],
        word: int,
        target: Target,
        kept: int | None,
    ) -> None:
        operation = Operation(
            cycle=cycle,
            einsum=name,
            iteration=row,
            step=n,
            code=op.code,
            reads=tuple(read for read, _ in reads),
            result=Tag(word=word, column=True),
            target=target,
        )
        self.drafts.append((operation, tuple(waits for _, waits in reads), kept))

    def _read(
        self,
        motion: Motion,
        operand: Access | int,
        blocks: AbstractMapping[str, int],
        made: dict[int, int],
        cycle: int,
        ports: list[Edge],
    ) -> tuple[Read, int]:
        """An operand, and the word if it waits in a register."""
        if isinstance(operand, int):
            word = made[operand]
            self.kept[word].append(cycle)
            return Read(slot=0, tag=Tag(word=word, column=True)), word
        e: Entrance = next(e for e in motion.entrances if e.touch.access == operand)
        at = tile(self.words, motion, operand, blocks)
        word = self.word(e.touch.operand.tensor, at)
        if e.way == "register":
            self.kept[word].append(cycle)
            return Read(slot=0, tag=Tag(word=word, column=True)), word
        if word not in self.values:
            vector = self.source.vector(e.touch.operand.tensor, operand, motion, at, e.row, e.column)
            if vector is not None:
                self.values[word] = vector
        self.uses[word] = self.uses.get(word, 0) + 1
        memory = e.memory or self.outermost
        if e.way == "west":
            tag = Tag(word=word, left=-self.columns)
            self.feeds.append(Feed(cycle=cycle, edge="west", tag=tag, place=self._place(word), memory=memory))
            read = Read(slot=Slot.WEST, tag=tag)
            self.moves.append(Move(cycle=cycle, read=read, target=Target(inner=frozenset({"east"}))))
            return read, 0
        edge: Edge = "port_b" if ports else "port_a"
        ports.append(edge)
        tag = Tag(word=word, column=True)
        self.feeds.append(Feed(cycle=cycle, edge=edge, tag=tag, place=self._place(word), memory=memory))
        return Read(slot=Slot.PORT_A if edge == "port_a" else Slot.PORT_B, tag=tag), 0
