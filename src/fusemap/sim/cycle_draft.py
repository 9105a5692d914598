"""The operations of a timetable before registers have numbers: who makes each word, and who reads it where and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.sim.cycle_micro import IDENTITY, Micro, micros
from fusemap.sim.cycle_motion import Entrance, Exit, Motion
from fusemap.sim.cycle_numbers import Floats
from fusemap.sim.cycle_tiles import Source, Steps, tile
from fusemap.sim.cycle_times import Timetable
from fusemap.sim.cycle_types import Code, Edge, Slot, WordName
from fusemap.sim.fused_words import Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """An operand of an operation: word `word` of array `array` by `way`."""

    way: str  # an Entry of the motion, or "own" for what the unit made before, "partial", "exponent"
    word: int
    row: bool
    column: bool
    slot: Slot = Slot.NONE
    memory: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An operation without places; `home` is the word whose register takes the result."""

    cycle: int
    array: int
    einsum: str
    iteration: int
    step: int
    code: Code
    uses: tuple[Use, ...]
    word: int
    home: int
    row: bool
    column: bool
    leaves: Exit
    final: bool
    memory: str | None


@dataclass(slots=True, kw_only=True)
class Book:
    """Everything that the drafts say, in the making."""

    names: dict[WordName, int] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    vectors: dict[int, Floats] = field(default_factory=dict)
    by_row: dict[int, bool] = field(default_factory=dict)
    identities: dict[int, float] = field(default_factory=dict)  # of a partial result before the first element

    def word(self, name: WordName) -> int:
        """The number of a word, from 1 on."""
        return self.names.setdefault(name, len(self.names) + 1)

    def name(self, word: int) -> str:
        """What a word is called."""
        return next(str(name) for name, number in self.names.items() if number == word)


def drafts(
    words: Words,
    motions: Mapping[str, Motion],
    arrays: Sequence[str],
    shared: tuple[tuple[str, str, int], ...],
    machine: Machine,
    times: Timetable,
    source: Source,
) -> Book:
    """The drafts of all operations of a timetable, in no order."""
    book = Book()
    steps = {name: Steps(motion=motion, shared=shared) for name, motion in motions.items()}
    compiled = {name: micros(motion, machine) for name, motion in motions.items()}
    for (einsum, run), cycles in times.cycles:
        one = _Run(
            book=book,
            words=words,
            steps=steps[einsum],
            ops=compiled[einsum],
            number=run,
            cycles=cycles,
            array=arrays.index(motions[einsum].array.name),
            source=source,
        )
        one.draft()
    return book


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A unit step: the tiles of its ranks, its result, and whether that sum was begun before and is finished here."""

    step: int
    blocks: Mapping[str, int]
    target: tuple[int, ...]
    begun: bool
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of an Einsum, to be written into the book."""

    book: Book
    words: Words
    steps: Steps
    ops: Sequence[Micro]
    number: int
    cycles: Sequence[int]
    array: int
    source: Source

    def draft(self) -> None:
        """All its steps; InputError for sums that are left unfinished, or that have steps and elements to add up."""
        motion, count = self.steps.motion, self.steps.count
        if len(self.cycles) != count * len(self.ops):
            raise input_error(f"{motion.space.name} has {len(self.cycles)} cycles for {count} steps of {len(self.ops)}")
        blocks = [self.steps.blocks(self.number, n) for n in range(count)]
        targets = [tile(self.words, motion, motion.computation.writes.access, b) for b in blocks]
        for n, (at, target) in enumerate(zip(blocks, targets, strict=True)):
            before = [i for i in range(n) if targets[i] == target]
            if before and (before[-1] != n - 1 or motion.leaves != "stay"):
                raise input_error(f"{motion.space.name} leaves a sum unfinished to work on another: not executed")
            finished = target not in targets[n + 1 :]
            self._step(_Point(step=n, blocks=at, target=target, begun=bool(before), finished=finished))

    def _step(self, point: _Point) -> None:
        """The operations of one point of every element."""
        motion, made = self.steps.motion, dict[int, int]()
        final = self._word(point, "")
        ports: dict[str, Edge] = {}
        for m, op in enumerate(self.ops):
            last = m == len(self.ops) - 1
            done = last and point.finished
            word = final if done else self._word(point, _part(point.step, m))
            summing = op.partial and motion.leaves == "stay"
            made[m] = word
            self.book.drafts.append(
                Draft(
                    cycle=self.cycles[point.step * len(self.ops) + m],
                    array=self.array,
                    einsum=motion.space.name,
                    iteration=self.number,
                    step=point.step,
                    code=op.first().code if summing and not point.begun else op.code,
                    uses=(*self._operands(op, point, made, ports), *self._partial(op, m, point, word)),
                    word=word,
                    home=final if summing or done else word,
                    row=motion.rows is not None,
                    column=motion.columns is not None,
                    leaves=motion.leaves if last else "stay",
                    final=done,
                    memory=motion.memory if done else None,
                )
            )

    def _word(self, point: _Point, part: str) -> int:
        tensor = self.steps.motion.computation.writes.tensor
        return self.book.word(WordName(tensor=tensor, at=point.target, part=part))

    def _operands(self, op: Micro, point: _Point, made: dict[int, int], ports: dict[str, Edge]) -> list[Use]:
        """What an operation reads, but for a partial result."""
        motion = self.steps.motion
        row, column = motion.rows is not None, motion.columns is not None
        uses = []
        for operand in op.operands:
            if isinstance(operand, int):
                uses.append(Use(way="own", word=made[operand], row=row, column=column))
            else:
                entrance = next(e for e in motion.entrances if e.touch.access == operand)
                uses.append(_entrance(self.book, self.words, motion, entrance, point.blocks, ports, self.source))
        if op.exponent is not None:
            uses.append(Use(way="exponent", word=made[op.exponent], row=row, column=column, slot=Slot.EXPONENT))
        return uses

    def _partial(self, op: Micro, m: int, point: _Point, word: int) -> list[Use]:
        """The sum so far: the element's own, or that of the element before in its row or column."""
        motion = self.steps.motion
        row, column = motion.rows is not None, motion.columns is not None
        if not op.partial:
            return []
        if motion.leaves == "stay":
            previous = [self._word(point, _part(point.step - 1, m))] if point.begun else []
            return [Use(way="accumulated", word=w, row=row, column=column) for w in previous]
        self.book.identities[word] = _identity(motion)
        slot = Slot.NORTH if motion.leaves == "south" else Slot.WEST
        return [Use(way=motion.leaves, word=word, row=row, column=column, slot=slot)]


def _part(step: int, m: int) -> str:
    return f"part {step}.{m}"


def _identity(motion: Motion) -> float:
    reduce = motion.computation.einsum.reduce
    assert reduce is not None, motion.space.name
    return IDENTITY[str(reduce.operator)]


def _entrance(
    book: Book,
    words: Words,
    motion: Motion,
    entrance: Entrance,
    blocks: Mapping[str, int],
    ports: dict[str, Edge],
    source: Source,
) -> Use:
    """An access as an operand, with its values if it is an input or a start value."""
    tensor = entrance.touch.operand.tensor
    access = entrance.touch.access
    at = tile(words, motion, access, blocks)
    word = book.word(WordName(tensor=tensor, at=at))
    if word not in book.vectors:
        vector = source.vector(tensor, access, motion, at, entrance.row, entrance.column)
        if vector is not None:
            book.vectors[word] = vector
            book.by_row[word] = entrance.row and not entrance.column
    slot = {"west": Slot.WEST, "north": Slot.NORTH}.get(entrance.way, Slot.NONE)
    if entrance.way == "port":
        slot = Slot.PORT_A if not ports else Slot.PORT_B
        ports[str(access)] = "port_a" if not ports else "port_b"
    return Use(way=entrance.way, word=word, row=entrance.row, column=entrance.column, slot=slot, memory=entrance.memory)
