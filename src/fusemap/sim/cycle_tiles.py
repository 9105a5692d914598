"""Which tile of each tensor a unit step touches, and the values of tiles that are there from the start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade import linear
from fusemap.einsum_cascade.types import Access, Affine, ShapeName
from fusemap.mappers.types import Problem
from fusemap.sim.cycle_motion import Motion
from fusemap.sim.cycle_numbers import Floats
from fusemap.sim.cycle_types import Program
from fusemap.sim.fused_words import POINT, Words, value

Tile = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The unit steps of one run of an Einsum: its loops split into those of the iteration and those inside."""

    motion: Motion
    shared: tuple[tuple[str, str, int], ...]

    @property
    def own(self) -> tuple[tuple[str, str, int], ...]:
        """The loops inside an iteration."""
        return tuple(loop for loop in self.motion.steps if loop not in self.shared)

    @property
    def count(self) -> int:
        """Unit steps of one run."""
        return math.prod(bound for *_, bound in self.own)

    @property
    def runs(self) -> int:
        """Runs in all iterations."""
        return math.prod(bound for *_, bound in self.shared) // self.every

    @property
    def every(self) -> int:
        """Iterations from run to run."""
        return math.prod(loop[2] for loop in self.shared if loop not in self.motion.steps)

    def blocks(self, run: int, step: int) -> dict[str, int]:
        """The tile number of every rank: its temporal loops as digits, the outermost first."""
        outer = [loop for loop in self.shared if loop in self.motion.steps]
        digits = dict(zip(outer, _digits(run, [b for *_, b in outer]), strict=True))
        digits |= dict(zip(self.own, _digits(step, [b for *_, b in self.own]), strict=True))
        found: dict[str, int] = {rank: 0 for rank, _ in self.motion.space.ranks}
        for loop in self.motion.steps:
            found[loop[1]] = found[loop[1]] * loop[2] + digits[loop]
        return found


def _sizes(words: Words) -> dict[ShapeName, int]:
    return {ShapeName(name): size for name, size in words.sizes.items()}


def _digits(number: int, bounds: Sequence[int]) -> tuple[int, ...]:
    digits = []
    for bound in reversed(bounds):
        digits.append(number % bound)
        number //= bound
    return tuple(reversed(digits))


def tile(words: Words, motion: Motion, access: Access, blocks: Mapping[str, int]) -> Tile:
    """The tile that an access touches: batch ranks first, then its indices, in tiles of the array.

    InputError for an index that mixes ranks, or shifts one that lies across the array.
    """
    at = [blocks[rank] for rank, _ in words.batch]
    for index in access.indices:
        if not isinstance(index.expr, Affine):
            raise input_error(f"{motion.space.name} reads {access.tensor} at a group: not executed cycle by cycle")
        coefficients, constant = linear.value(index.expr, _sizes(words))
        total = constant
        for rank, factor in coefficients.items():
            if motion.bound(str(rank)) > 1 and (factor != 1 or constant or len(coefficients) > 1):
                raise input_error(f"{motion.space.name} reads {access.tensor} shifted across {motion.array.name}")
            total += factor * blocks[str(rank)]
        at.append(total)
    return tuple(at)


class Source:
    """Values of inputs, of views on them, and of start values, tile by tile."""

    def __init__(self, words: Words, problem: Problem, inputs: Mapping[str, ArrayLike]) -> None:
        self.words = words
        self.arrays: dict[str, Floats] = {}
        for name in {words.source(o.tensor) for s in problem.spaces for o in s.inputs} & {*inputs}:
            array = np.asarray(inputs[name], dtype=np.float64)
            if array.shape != words.shape(name):
                raise input_error(f"{name} has the shape {array.shape}, the problem has {words.shape(name)}")
            self.arrays[name] = array

    def vector(self, tensor: str, access: Access, motion: Motion, at: Tile, row: bool, column: bool) -> Floats | None:
        """The words of a tile that lie along the rows or columns; None if they are computed."""
        sides = {p.rank: p.bound for p, used in ((motion.rows, row), (motion.columns, column)) if p and used}
        start = self._array(tensor, at)
        if start is None:
            return None
        where: list[int | slice] = list(at[: len(self.words.batch)])
        for index, number in zip(access.indices, at[len(self.words.batch) :], strict=True):
            assert isinstance(index.expr, Affine), index
            coefficients, _ = linear.value(index.expr, _sizes(self.words))
            bound = next((sides[str(r)] for r in coefficients if str(r) in sides), None)
            where.append(number if bound is None else slice(number * bound, (number + 1) * bound))
        return np.atleast_1d(start[tuple(where)])

    def _array(self, tensor: str, at: Tile) -> Floats | None:
        """The array of an input or view, or the start values if the tile is one of them."""
        source = self.words.source(tensor)
        if source in self.arrays:
            if tensor not in self.arrays:
                self.arrays[tensor] = self.words.seen_as(tensor, self.arrays[source].reshape(-1))
            return self.arrays[tensor]
        for init in self.words.cascade.inits:
            if str(init.name) == tensor and self._starts(init.output, at):
                index = {POINT: np.zeros(1, dtype=np.int64)}
                number = value(init.expr, _no_read, index, self.words.sizes)
                return np.broadcast_to(number.reshape(-1)[0], self.words.shape(tensor))
        return None

    def _starts(self, output: Access, at: Tile) -> bool:
        """Has the tile the constant indices of an initial value?"""
        for index, number in zip(output.indices, at[len(self.words.batch) :], strict=True):
            assert isinstance(index.expr, Affine), index
            coefficients, constant = linear.value(index.expr, _sizes(self.words))
            if not coefficients and constant != number:
                return False
        return True


def _no_read(access: Access) -> Floats:
    raise input_error(f"the start value reads {access.tensor}: not executed cycle by cycle")


def gathered(words: Words, motion: Motion, places: Mapping[Tile, int], memory: Floats) -> Floats:
    """The result of an Einsum from the places of its tiles, each a vector along one rank; NaN where there is none."""
    found = np.full(words.shape(motion.computation.writes.tensor), np.nan)
    batch = len(words.batch)
    for at, place in places.items():
        where = [slice(n, n + 1) for n in at[:batch]]
        for index, number in zip(motion.computation.writes.access.indices, at[batch:], strict=True):
            assert isinstance(index.expr, Affine), index
            bound = math.prod(motion.bound(str(t.var)) for t in index.expr.terms if t.var is not None)
            where.append(slice(number * bound, (number + 1) * bound))
        piece = found[tuple(where)]
        piece[...] = memory[place, : piece.size].reshape(piece.shape)
    return found


def places_of(program: Program, places: Mapping[int, int], tensor: str) -> dict[tuple[int, ...], int]:
    """Tiles of a tensor and the places that hold them at the end."""
    return {w.at: places[n] for n, w in enumerate(program.words) if w.tensor == tensor and not w.part and n in places}
