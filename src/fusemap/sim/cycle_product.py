"""The program of one matrix product on a 2D array: streams from the edges, and tiles that rest."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Access, Affine
from fusemap.sim.cycle_motion import Entrance, Motion
from fusemap.sim.cycle_numbers import Floats
from fusemap.sim.cycle_resting import Resting, drained, loaded
from fusemap.sim.cycle_tiles import Source, Steps, Tile, tile
from fusemap.sim.cycle_types import (
    ArrayProgram,
    Code,
    Edge,
    Feed,
    Link,
    Load,
    Move,
    Operation,
    Program,
    Read,
    Sink,
    Slot,
    Tag,
    Target,
    WordName,
)
from fusemap.sim.fused_words import Words


@dataclass(slots=True, kw_only=True)
class Product:
    """The program in the making."""

    motion: Motion
    words: Words
    source: Source
    outermost: str
    names: dict[WordName, int] = field(default_factory=dict)
    values: dict[int, Floats] = field(default_factory=dict)
    places: dict[tuple[int, int], int] = field(default_factory=dict)  # (word, row of it; -1 for a vector)
    uses: dict[int, int] = field(default_factory=dict)
    by_row: dict[int, bool] = field(default_factory=dict)
    operations: list[Operation] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    sinks: list[Sink] = field(default_factory=list)
    groups: list[tuple[Tile, list[int]]] = field(default_factory=list)
    rest: Resting = field(init=False)
    end: int = 0
    _blocks: list[dict[str, int]] = field(init=False, default_factory=list)
    _outputs: list[Tile] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        motion = self.motion
        if motion.rows is None or motion.columns is None or len(motion.entrances) != 2:
            raise input_error(f"{motion.space.name} is no product of two tensors on a 2D array")
        if motion.space.operators != ("mul", "sum"):
            raise input_error(f"{motion.space.name} is no sum of products")
        steps = Steps(motion=motion, shared=())
        blocks = [steps.blocks(0, n) for n in range(steps.count)]
        self._blocks = blocks
        access = self.resting.touch.access if self.resting else motion.computation.writes.access
        tiles = [tile(self.words, motion, access, b) for b in blocks]
        self.groups = [
            (at, [n for n, _ in run]) for at, run in itertools.groupby(enumerate(tiles), lambda item: item[1])
        ]
        outputs = [tile(self.words, motion, motion.computation.writes.access, b) for b in blocks]
        again = len({at for at, _ in self.groups}) < len(self.groups)  # a tile that rests comes only once
        if again or (self.resting is not None and len({*outputs}) < len(outputs)):
            raise input_error(f"{motion.space.name} leaves sums unfinished: it is not executed cycle by cycle")
        self._outputs = outputs
        length = len(self.groups[0][1])
        self.rest = Resting(rows=motion.rows.bound, steps=length, comes=self.resting is not None)

    @property
    def resting(self) -> Entrance | None:
        """The operand that rests in the elements, if one does."""
        return next((e for e in self.motion.entrances if e.way == "register"), None)

    @property
    def rests(self) -> str:
        """The tensor that rests."""
        found = self.resting
        return self.motion.computation.writes.tensor if found is None else found.touch.operand.tensor

    def word(self, tensor: str, at: Tile, part: str = "") -> int:
        """The number of a word."""
        return self.names.setdefault(WordName(tensor=tensor, at=at, part=part), len(self.names) + 1)

    def place(self, word: int, row: int = -1) -> int:
        """The place of a vector, or of one row of a tile."""
        return self.places.setdefault((word, row), len(self.places))

    def program(self, machine: Machine) -> Program:
        """All tiles one after another."""
        for number, (_, group) in enumerate(self.groups):
            self._tile(number, group)
        shape = self.motion
        assert shape.rows is not None and shape.columns is not None, shape
        self.end = max(
            [op.cycle + shape.rows.bound + shape.columns.bound - 1 for op in self.operations]
            + [sink.cycle + (shape.rows if sink.edge == "east" else shape.columns).bound for sink in self.sinks]
        )
        names = {number: name for name, number in self.names.items()}
        array = ArrayProgram(
            array=shape.array.name,
            rows=shape.rows.bound,
            columns=shape.columns.bound,
            depth=shape.array.registers.depth_words,
            operations=tuple(self.operations),
            moves=tuple(self.moves),
            feeds=tuple(self.feeds),
            sinks=tuple(self.sinks),
        )
        return Program(
            arrays=(array,),
            words=(WordName(tensor=""), *(names[n] for n in range(1, len(names) + 1))),
            loads=tuple(
                Load(
                    place=place,
                    word=word,
                    uses=self.uses[word],
                    by_row=self.by_row[word],
                    row=None if row < 0 else row,
                )
                for (word, row), place in self.places.items()
                if word in self.values
            ),
            stores=(),
            places=len(self.places),
            iterations=len(self.groups),
        )

    def _tile(self, number: int, group: list[int]) -> None:
        start = self.rest.start + number * self.rest.interval
        for k, n in enumerate(group):
            self._step(number, start + k, k, n, k == len(group) - 1)
        memory = self.motion.memory or self.outermost
        if self.resting is not None:
            word = self._value(self.resting, self._blocks[group[0]])
            self.uses[word] = 1
            source = self.resting.memory or memory
            moves, feeds = loaded(self.rest, number, word, lambda row: self.place(word, row), len(group), source)
            self.moves += moves
            self.feeds += feeds
        else:
            word = self.word(self.motion.computation.writes.tensor, self._outputs[group[0]])
            moves, sinks = drained(self.rest, number, word, lambda row: self.place(word, row), memory)
            self.moves += moves
            self.sinks += sinks

    def _step(self, number: int, cycle: int, k: int, n: int, last: bool) -> None:
        """One multiply-accumulate of every element."""
        tensor = self.motion.computation.writes.tensor
        uses = [self._operand(e, number, cycle, self._blocks[n]) for e in self.motion.entrances]
        out = self._outputs[n]
        code, links = Code.MAC, frozenset[Link]()
        if self.resting is None:
            result = self.word(tensor, out, "" if last else f"part {k}")
            register = self.rest.register(number)
            target = Target(register=register, uses=1)
            if k:
                before = self.word(tensor, out, f"part {k - 1}")
                uses.append(Read(slot=Slot.FIRST + register, tag=Tag(word=before, row=True, column=True)))
            else:
                code = Code.MUL
        else:
            result, east = self.word(tensor, out), self.motion.leaves == "east"
            links = frozenset({"east" if east else "south"})
            target = Target(links=links)
            tag = Tag(word=result, row=True, column=True, above=int(not east), left=int(east))
            uses.append(Read(slot=Slot.WEST if east else Slot.NORTH, tag=tag))
            self.feeds.append(Feed(cycle=cycle, edge="west" if east else "north", tag=tag, constant=0.0))
            self.sinks.append(self._leaving(cycle, result, east))
        self.operations.append(
            Operation(
                cycle=cycle,
                einsum=tensor,
                iteration=number,
                step=k,
                code=code,
                reads=tuple(uses),
                result=Tag(word=result, row=True, column=True),
                target=target,
            )
        )

    def _leaving(self, cycle: int, word: int, east: bool) -> Sink:
        assert self.motion.rows is not None and self.motion.columns is not None
        across = (self.motion.columns if east else self.motion.rows).bound
        tag = Tag(word=word, row=east, column=not east, left=-across if east else 0, above=0 if east else -across)
        return Sink(
            cycle=cycle + across,
            edge="east" if east else "south",
            tag=tag,
            place=self.place(word),
            memory=self.motion.memory or self.outermost,
        )

    def _operand(self, e: Entrance, number: int, cycle: int, blocks: dict[str, int]) -> Read:
        """A resting operand in its register, or one that streams in and is passed on."""
        word = self._value(e, blocks)
        if e.way == "register":
            return Read(slot=Slot.FIRST + self.rest.register(number), tag=Tag(word=word, row=True, column=True))
        west = e.way == "west"
        tag = Tag(word=word, row=e.row, column=e.column)
        read = Read(slot=Slot.WEST if west else Slot.NORTH, tag=tag)
        self.uses[word] = self.uses.get(word, 0) + 1
        edge: Edge = "west" if west else "north"
        link: Link = "east" if west else "south"
        self.feeds.append(
            Feed(cycle=cycle, edge=edge, tag=tag, place=self.place(word), memory=e.memory or self.outermost)
        )
        target = Target(inner=frozenset({link}))
        self.moves.append(Move(cycle=cycle, read=read, target=target))
        return read

    def _value(self, e: Entrance, blocks: dict[str, int]) -> int:
        tensor, access = e.touch.operand.tensor, e.touch.access
        at = tile(self.words, self.motion, access, blocks)
        word = self.word(tensor, at)
        if word not in self.values:
            vector = self.source.vector(tensor, access, self.motion, at, e.row, e.column)
            if vector is None:
                raise input_error(f"{self.motion.space.name} reads {tensor}, which has no values")
            self.values[word] = self._rows_first(vector, access) if e.way == "register" else vector
            self.by_row[word] = e.row and not e.column
        return word

    def _rows_first(self, block: Floats, access: Access) -> Floats:
        """A tile with the rank of the rows first."""
        assert self.motion.rows is not None
        assert self.motion.columns is not None
        sides = (self.motion.rows.rank, self.motion.columns.rank)
        first = next(rank for rank in ranks_of(access) if rank in sides)
        block = block.reshape([self.motion.bound(r) for r in ranks_of(access) if r in sides])
        return block if first == sides[0] else block.T


def ranks_of(access: Access) -> list[str]:
    """The ranks that index an access, one per index."""
    return [str(t.var) for i in access.indices if isinstance(i.expr, Affine) for t in i.expr.terms if t.var is not None]
