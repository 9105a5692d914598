"""The operations of a timetable before registers have numbers: who makes each word, and who reads it where and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusemap.archspec.types import Machine
from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.types import Access
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
        _run(book, words, steps[einsum], compiled[einsum], run, cycles, arrays, source)
    return book


def _run(
    book: Book,
    words: Words,
    steps: Steps,
    ops: Sequence[Micro],
    run: int,
    cycles: Sequence[int],
    arrays: Sequence[str],
    source: Source,
) -> None:
    motion = steps.motion
    if len(cycles) != steps.count * len(ops):
        raise input_error(f"{motion.space.name} has {len(cycles)} cycles for {steps.count} steps of {len(ops)}")
    blocks = [steps.blocks(run, n) for n in range(steps.count)]
    targets = [tile(words, motion, motion.computation.writes.access, b) for b in blocks]
    for n, (at, target) in enumerate(zip(blocks, targets, strict=True)):
        before = [i for i in range(n) if targets[i] == target] if motion.leaves == "stay" else []
        after = motion.leaves == "stay" and target in targets[n + 1 :]
        if before and before[-1] != n - 1:
            raise input_error(f"{motion.space.name} leaves a sum unfinished to work on another: not executed")
        _step(book, words, motion, ops, run, n, at, target, bool(before), after, cycles, arrays, source)


def _step(
    book: Book,
    words: Words,
    motion: Motion,
    ops: Sequence[Micro],
    run: int,
    n: int,
    blocks: Mapping[str, int],
    target: tuple[int, ...],
    begun: bool,
    unfinished: bool,
    cycles: Sequence[int],
    arrays: Sequence[str],
    source: Source,
) -> None:
    """The operations of one point of every element."""
    tensor = motion.computation.writes.tensor
    row, column = motion.rows is not None, motion.columns is not None
    final = book.word(WordName(tensor=tensor, at=target))
    made: dict[int, int] = {}
    ports: dict[str, Edge] = {}
    for m, op in enumerate(ops):
        last = m == len(ops) - 1
        reducing = op.partial and motion.leaves != "stay"
        accumulating = op.partial and not reducing
        part = "" if last and not unfinished else f"part {n}.{m}"  # rows tell partial results down a column apart
        word = book.word(WordName(tensor=tensor, at=target, part=part))
        uses = [
            _own(made[a], row, column)
            if isinstance(a, int)
            else _entrance(book, words, motion, _of(motion, a), blocks, ports, source)
            for a in op.operands
        ]
        if op.exponent is not None:
            uses.append(Use(way="exponent", word=made[op.exponent], row=row, column=column, slot=Slot.EXPONENT))
        code = op.code
        if accumulating:
            if begun:
                previous = book.word(WordName(tensor=tensor, at=target, part=f"part {n - 1}.{m}"))
                uses.append(Use(way="accumulated", word=previous, row=row, column=column))
            else:
                code = op.first().code
        if reducing:
            slot = Slot.NORTH if motion.leaves == "south" else Slot.WEST
            uses.append(Use(way=motion.leaves, word=word, row=row, column=column, slot=slot))
            book.identities[word] = _identity(motion)
        made[m] = word
        book.drafts.append(
            Draft(
                cycle=cycles[n * len(ops) + m],
                array=arrays.index(motion.array.name),
                einsum=motion.space.name,
                iteration=run,
                step=n,
                code=code,
                uses=tuple(uses),
                word=word,
                home=final if accumulating or part == "" else word,
                row=row,
                column=column,
                leaves=motion.leaves if last else "stay",
                final=last and not unfinished,
                memory=motion.memory if last and not unfinished else None,
            )
        )


def _identity(motion: Motion) -> float:
    reduce = motion.computation.einsum.reduce
    assert reduce is not None, motion.space.name
    return IDENTITY[str(reduce.operator)]


def _of(motion: Motion, access: Access) -> Entrance:
    return next(e for e in motion.entrances if e.touch.access == access)


def _own(word: int, row: bool, column: bool) -> Use:
    return Use(way="own", word=word, row=row, column=column)


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
