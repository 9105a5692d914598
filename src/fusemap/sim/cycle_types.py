"""What the cycle level executes, as data: operations, moves and feeds by local cycle, and the faults it finds.

A *local cycle* j of an array is what processing element (0, 0) does in cycle j; element (r, c) does it in cycle
j + r + c. Moves of the upward stream have the skew (R - 1 - r) + c instead: they start at the foot of the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeAlias

Edge: TypeAlias = Literal["west", "north", "south", "port_a", "port_b"]
Link: TypeAlias = Literal["east", "south", "north"]
FaultKind: TypeAlias = Literal[
    "absent", "stale", "double_link", "double_unit", "overwritten", "lost", "registers", "ports"
]


class Slot(IntEnum):
    """Where an element finds an operand; register k is `FIRST + k`."""

    NONE = 0
    WEST = 1
    NORTH = 2
    SOUTH = 3
    PORT_A = 4
    PORT_B = 5
    EXPONENT = 6  # the exponent adder of the unit: exp's integer part
    FIRST = 7


class Code(IntEnum):
    """What a unit does in one cycle with operands a, b, c; EXP0 to EXP5 are the six cycles of exp."""

    NOP = 0
    COPY = 1
    ADD = 2
    SUB = 3
    MUL = 4
    DIV = 5
    MAX = 6
    MAC = 7
    EXP0 = 8
    EXP1 = 9
    EXP2 = 10
    EXP3 = 11
    EXP4 = 12
    EXP5 = 13
    EXP = 14
    EXPSUB = 15  # exp(a - b) in a pipelined unit


@dataclass(frozen=True, slots=True, kw_only=True)
class WordName:
    """A vector of words: a tensor, or a partial result or temporary (`part`) of it, at coordinates of tiles."""

    tensor: str
    at: tuple[int, ...] = ()
    part: str = ""
    iteration: int = 0

    def __str__(self) -> str:
        inside = ",".join(str(i) for i in self.at)
        return f"{self.tensor}[{inside}]" + (f" {self.part}" if self.part else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """The word expected or made: number `word` of the program, at the element's own row and column where it has them.

    `above` (`left`) says how many rows (columns) before this one the value belongs to; a word without a row and with
    `above` -R is what row R - 1 sent on.
    """

    word: int
    row: bool = False
    column: bool = False
    above: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """An operand: the place it is in and the word that must be there."""

    slot: int
    tag: Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a value goes: a register with so many reads to come, links, a place in the memory.

    `inner` links pass a value on to the next element and not beyond the last one.
    """

    register: int | None = None
    uses: int = 0
    links: frozenset[Link] = frozenset()
    inner: frozenset[Link] = frozenset()
    place: int | None = None
    place_uses: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the units do in local cycle `cycle`: `code` on the reads, its rounded result to the target."""

    cycle: int
    einsum: str
    iteration: int
    step: int
    code: Code
    reads: tuple[Read, ...]
    result: Tag
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A value that changes place without a unit; `up` moves have the skew of the upward stream.

    With `if_there` an element that has no value in that place does nothing: a valid bit travels with every value.
    """

    cycle: int
    read: Read
    target: Target
    up: bool = False
    if_there: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A vector that enters at an edge in local cycle `cycle`: from a place in memory, or a constant."""

    cycle: int
    edge: Edge
    tag: Tag
    place: int | None = None
    constant: float | None = None
    memory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """A vector that leaves at an edge in local cycle `cycle` and is written to a place in memory."""

    cycle: int
    edge: Link
    tag: Tag
    place: int
    uses: int = 0
    memory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayProgram:
    """What one array of `rows` x `columns` elements does."""

    array: str
    rows: int
    columns: int
    depth: int
    operations: tuple[Operation, ...]
    moves: tuple[Move, ...] = ()
    feeds: tuple[Feed, ...] = ()
    sinks: tuple[Sink, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An access that writes a memory in a local cycle (what `Target.place` does, said for the count of accesses)."""

    cycle: int
    memory: str
    words: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A vector that is in memory from the start, with the reads to come; values come with the run.

    `row`: it is that row of a tile that lies across the array.
    """

    place: int
    word: int
    uses: int
    by_row: bool
    row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The programs of all arrays; the first one's columns end at the second one's lanes.

    `kept` says how many vectors of computed words each memory holds at most at once.
    """

    arrays: tuple[ArrayProgram, ...]
    words: tuple[WordName, ...]
    loads: tuple[Load, ...]
    stores: tuple[Store, ...]
    places: int
    iterations: int
    kept: tuple[tuple[str, int], ...] = ()

    @property
    def rows(self) -> int:
        """Rows of the largest array: what tags count with."""
        return max(a.rows for a in self.arrays)

    @property
    def columns(self) -> int:
        """Columns of the widest array."""
        return max(a.columns for a in self.arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A rule that was broken: `kind`, in which cycle, at which unit, for which word; `count` elements at once."""

    kind: FaultKind
    cycle: int
    unit: str
    tensor: str
    count: int = 1
    expected: str = ""

    def __str__(self) -> str:
        wanted = f", expected {self.expected}" if self.expected else ""
        return f"{self.kind} in cycle {self.cycle} at {self.unit}: {self.tensor or 'nothing'}{wanted}"
