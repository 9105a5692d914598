"""A program laid out by local cycle, and seen by every element at its own skew without copying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusemap.sim.cycle_types import ArrayProgram, Code, Move, Operation, Read, Slot, Tag, Target

Ints = NDArray[np.int64]

CODE = 0
READS = 1  # three operands of four fields each: slot, tag, its row and column factors
RESULT = READS + 3 * 4  # tag, row and column factors
TARGET = RESULT + 3  # register, uses, east, south, north, place, reads of the place
OPERATION = TARGET + 7
MOVE_READ = 0
MOVE_TARGET = 4
IF_THERE = MOVE_TARGET + 7
MOVE = IF_THERE + 1
ALL, INNER = 1, 2  # a link that every element uses; one that the last element does not


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How tags are numbered: word * stride + (row + 1) * pitch + column + 1, rows and columns where it has them."""

    pitch: int
    stride: int

    @staticmethod
    def of(rows: int, columns: int) -> Layout:
        """The layout for arrays of at most so many rows and columns."""
        return Layout(pitch=columns + 2, stride=(rows + 2) * (columns + 2))

    def fields(self, tag: Tag) -> tuple[int, int, int]:
        """Base, factor of the row, factor of the column."""
        base = tag.word * self.stride - tag.above * self.pitch - tag.left
        row, column = self.pitch * tag.row, int(tag.column)
        return base + row + column, row, column


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """Fields by local cycle, `pad` idle cycles before the first and after the last; `window` is each element's view.

    `window[field, t]` is an (R, C) view. `busy` says of each cycle whether any element has something to do.
    """

    fields: Ints
    window: Ints
    busy: NDArray[np.bool_]
    pad: int
    first: int

    def at(self, cycle: int) -> Ints | None:
        """(field, R, C) of what every element does in a cycle; None if nobody does anything."""
        if not 0 <= cycle < len(self.busy) or not self.busy[cycle]:
            return None
        view: Ints = self.window[:, cycle]
        return view

    def codes(self, cycle: int, field: int) -> Ints:
        """The values of a field in the local cycles that the elements are in."""
        at = cycle + self.pad
        view: Ints = self.fields[field, max(0, at - self.first) : at + 1]
        return view


def dense(rows: Sequence[tuple[int, Sequence[int]]], fields: int, shape: tuple[int, int], end: int, up: bool) -> Dense:
    """Fields of (local cycle, values) as a `Dense`, for runs of `end` cycles."""
    span = sum(shape) - 2
    pad = span + 1
    table = np.zeros((fields, end + 2 * pad), dtype=np.int64)
    active = np.zeros(end + 2 * pad, dtype=np.int64)
    for cycle, values in rows:
        table[:, cycle + pad] = values
        active[cycle + pad] = 1
    fresh, step = table.strides
    # Downward the element at (r, c) lags by r + c; upward by (R - 1 - r) + c.
    start = pad - (shape[0] - 1 if up else 0)
    window = np.lib.stride_tricks.as_strided(
        table[:, start:],
        shape=(fields, end, *shape),
        strides=(fresh, step, step if up else -step, -step),
        writeable=False,
    )
    total = np.concatenate(([0], np.cumsum(active)))
    at = np.arange(end) + pad
    return Dense(fields=table, window=window, busy=total[at + 1] > total[at - span], pad=pad, first=span)


def operation_fields(op: Operation, layout: Layout, size: int, width: int) -> list[int]:
    """The row of an operation; `size` elements in the array, `width` words in a place of the memory."""
    reads = [_read(read, layout, size) for read in op.reads] + [[0, 0, 0, 0]] * (3 - len(op.reads))
    return [int(op.code), *(f for r in reads for f in r), *layout.fields(op.result), *_target(op.target, size, width)]


def move_fields(move: Move, layout: Layout, size: int, width: int) -> list[int]:
    """The row of a move."""
    return [*_read(move.read, layout, size), *_target(move.target, size, width), int(move.if_there)]


def _read(read: Read, layout: Layout, size: int) -> list[int]:
    return [read.slot * size, *layout.fields(read.tag)]


def _target(target: Target, size: int, width: int) -> list[int]:
    links = [ALL if link in target.links else INNER * (link in target.inner) for link in ("east", "south", "north")]
    register = 0 if target.register is None else (Slot.FIRST + target.register) * size
    place = -1 if target.place is None else target.place * width
    return [register, target.uses, *links, place, target.place_uses]


def registers_used(program: ArrayProgram) -> int:
    """One more than the largest register that the program names."""
    targets = [op.target for op in program.operations] + [move.target for move in program.moves]
    return 1 + max((t.register for t in targets if t.register is not None), default=-1)


IDLE = int(Code.NOP)
