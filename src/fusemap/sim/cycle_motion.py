"""How operands move: read off the loop nest of an Einsum and the ranks that index each tensor, by one rule.

| indexed by | and | enters |
|---|---|---|
| rows only | | at the west edge, moves east |
| columns only | comes from a memory | at the north edge, moves south (in an array of lanes: through a port) |
| columns only | made by, or kept in the registers of, the array at the foot | at the foot, moves north |
| both | | is in the element's registers |
| neither | | at the west edge, moves east |

A result indexed by both stays in its element, one by columns only is reduced on its way south, one by rows only (or
none) on its way east.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.archspec.types import Array, Machine
from fusemap.diagnostics import input_error
from fusemap.mappers.tasks import shared_loops
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Loop, Mapping, Problem, Storage
from fusemap.sim.fused_words import Computation, Touch, Words

Entry: TypeAlias = Literal["west", "north", "port", "climb", "foot", "register"]
Exit: TypeAlias = Literal["stay", "south", "east"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """How one access gets to the units: by which way, from which memory (if from one), indexed by rows, columns."""

    touch: Touch
    way: Entry
    memory: str | None
    row: bool
    column: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """An Einsum on its array: entrances of its reads, the way of its result and the memory that keeps that."""

    computation: Computation
    nest: EinsumMapping
    array: Array
    rows: Loop | None
    columns: Loop | None
    steps: tuple[tuple[str, str, int], ...]  # all temporal loops: (memory, rank, bound)
    entrances: tuple[Entrance, ...]
    leaves: Exit
    memory: str | None

    @property
    def space(self) -> EinsumSpace:
        """The iteration space."""
        return self.computation.space

    def bound(self, rank: str) -> int:
        """Elements of a rank that lie side by side on the array."""
        return next((p.bound for p in (self.rows, self.columns) if p is not None and p.rank == rank), 1)


def extent(array: Array) -> tuple[int, int]:
    """Rows and columns of an array; lanes are columns of one row."""
    sizes = [dim.extent for dim in array.dims]
    return (sizes[0], sizes[1]) if len(sizes) > 1 else (1, sizes[0])


def motion_of(words: Words, problem: Problem, mapping: Mapping, machine: Machine, einsum: str) -> Motion:
    """The motion of an Einsum; InputError for a nest that no rule covers."""
    computation, nest = words.computations[einsum], mapping.nest(einsum)
    array = machine.array(nest.array)
    along = {level.dim: level.loops for level in nest.levels if isinstance(level, Fanout)}
    sides = [_one(einsum, along.get(dim.name, ())) for dim in array.dims]
    rows, columns = sides if len(sides) > 1 else (None, sides[0])
    output = computation.writes.operand.ranks
    by_row, by_column = _by(rows, output), _by(columns, output)
    leaves: Exit = "stay" if by_column and (by_row or rows is None) else "south" if by_column else "east"
    return Motion(
        computation=computation,
        nest=nest,
        array=array,
        rows=rows,
        columns=columns,
        steps=shared_loops([nest]),
        entrances=tuple(_entrance(t, problem, mapping, machine, nest, (rows, columns)) for t in computation.reads),
        leaves=leaves,
        memory=kept_in(nest, computation.writes.operand.tensor, machine),
    )


def kept_in(nest: EinsumMapping, tensor: str, machine: Machine) -> str | None:
    """The innermost memory of the machine that is said to keep the tensor for this Einsum."""
    memories = {memory.name for memory in machine.memories}
    levels = [n for n in nest.levels if isinstance(n, Storage) and n.memory in memories and n.keep is not None]
    return next((n.memory for n in reversed(levels) if n.keep is not None and tensor in n.keep), None)


def _entrance(
    touch: Touch,
    problem: Problem,
    mapping: Mapping,
    machine: Machine,
    nest: EinsumMapping,
    sides: tuple[Loop | None, Loop | None],
) -> Entrance:
    ranks, tensor = touch.operand.ranks, touch.operand.tensor
    row, column = _by(sides[0], ranks), _by(sides[1], ranks)
    memory = kept_in(nest, tensor, machine)
    made = {space.name for space in problem.spaces}
    if memory is None and touch.tensor not in made:
        memory = machine.memories[0].name
    way = _way(touch.tensor, mapping, nest, row, column, memory, sides[0] is None)
    return Entrance(touch=touch, way=way, memory=memory, row=row, column=column)


def _way(
    tensor: str, mapping: Mapping, nest: EinsumMapping, row: bool, column: bool, memory: str | None, lanes: bool
) -> Entry:
    """The table of this module."""
    if not column:
        return "west"
    if row:
        return "register"
    if memory is not None:
        return "port" if lanes else "north"
    made_on = mapping.nest(tensor).array
    if lanes:
        return "register" if made_on == nest.array else "foot"
    if made_on == nest.array:
        raise input_error(f"{nest.einsum} reads {tensor} along the columns, where it left them: no way back is known")
    return "climb"


def _by(side: Loop | None, ranks: frozenset[str]) -> bool:
    return side is not None and side.rank in ranks


def _one(einsum: str, loops: tuple[Loop, ...]) -> Loop | None:
    found = [loop for loop in loops if loop.bound > 1] or list(loops[:1])
    if len(found) > 1:
        raise input_error(f"{einsum} has {len(found)} loops on one dimension of its array: the cycle level has one")
    return found[0] if found else None
