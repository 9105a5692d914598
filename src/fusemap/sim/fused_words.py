"""The words of a cascade's tensors by number: which one an access touches at a point, and what it takes to make it.

A word's number is its place in the tensor, batch ranks first, row by row. A view's coordinates are those of its
source, by a table with an entry for every point of the view. Everything is found by enumerating points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade import linear, scope
from fusemap.einsum_cascade.interpreter_sizes import Extents, extents_of
from fusemap.einsum_cascade.operators import BUILTIN
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.types import (
    Access,
    Affine,
    Apply,
    Cascade,
    Einsum,
    Expr,
    FloorDiv,
    Modulo,
    Number,
    RankExpr,
    SizeOf,
)
from fusemap.mappers.types import EinsumSpace, Operand, Problem

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Index: TypeAlias = Mapping[str, Ints]  # the coordinate of every rank variable at some points, in arrays of one shape
POINT = ""  # a rank that every index has, with the coordinate 0: an Einsum of scalars has no other


def original(name: str) -> str:
    """The name that the cascade has for an Einsum or tensor of which the problem may hold copies.

    >>> original("QK@2"), original("QK")
    ('QK', 'QK')
    """
    return name.partition("@")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """An access of one Einsum: the operand, the tensor whose words it touches, and the access as the cascade has it."""

    operand: Operand
    tensor: str
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Computation:
    """An Einsum of the problem with its text: `reads` in the order of its operands, and what it writes."""

    space: EinsumSpace
    einsum: Einsum
    reads: tuple[Touch, ...]
    writes: Touch


class Words:
    """The tensors of a problem, word by word; `shapes` are those of the tensors that hold words of their own."""

    def __init__(self, cascade: Cascade, problem: Problem) -> None:
        """InputError for a cascade that this executor does not run: see `_refuse`."""
        _refuse(cascade)
        self.cascade = cascade
        self.sizes = dict(problem.sizes)
        known = scope.known_shapes(cascade)
        self.extents: Extents = extents_of(cascade, {k: v for k, v in problem.sizes if k in known})
        self.batch = _batch(cascade, problem)
        self.views = dict(problem.views)
        self._views = {str(e.name): e for e in cascade.einsums if is_view(e)}
        self._tables: dict[str, Ints] = {}
        self.computations = {s.name: self._computation(s) for s in problem.spaces}
        made = {c.writes.tensor for c in self.computations.values()} | {str(e.name) for e in cascade.inits}
        inputs = {str(name) for name in scope.input_names(cascade)}
        self.shapes = {tensor: self.shape(tensor) for tensor in sorted(made | inputs)}

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The extents of a tensor (or view, or copy), batch ranks first."""
        batch = tuple(extent for _, extent in self.batch)
        return (*batch, *next(s for t, s in self.extents.tensors.items() if t == original(tensor)))

    def source(self, tensor: str) -> str:
        """The tensor that holds the words: views are traced to what they show."""
        while tensor in self.views:
            tensor = self.views[tensor]
        return tensor

    def grid(self, ranks: Sequence[tuple[str, int]]) -> Index:
        """Every point of a space of these ranks and extents."""
        every = (*ranks, (POINT, 1))
        grid = np.indices([extent for _, extent in every]).reshape(len(every), -1)
        return {rank: grid[i] for i, (rank, _) in enumerate(every)}

    def number(self, touch: Touch, index: Index) -> Ints:
        """The numbers of the words that the access touches at the points."""
        return self.located(touch.operand.tensor, touch.access, index)

    def coordinate(self, tensor: str, word: int) -> tuple[int, ...]:
        """The coordinate of a word, batch ranks first."""
        return tuple(int(i) for i in np.unravel_index(word, self.shapes[tensor]))

    def seen_as(self, tensor: str, values: Floats) -> Floats:
        """The values of a tensor as an array, given those of its source word by word."""
        shape = self.shape(tensor)
        return values.reshape(shape) if tensor not in self.views else values[self._table(tensor)].reshape(shape)

    def _computation(self, space: EinsumSpace) -> Computation:
        name = original(space.name)
        einsum = next(e for e in self.cascade.einsums if e.name == name)
        reads = tuple(dict.fromkeys(scope.accesses(einsum)))
        touches = tuple(
            Touch(operand=o, tensor=self.source(o.tensor), access=a)
            for o, a in zip((*space.inputs, space.output), (*reads, einsum.output), strict=True)
        )
        wrong = [t for t in touches if original(t.operand.tensor) != t.access.tensor]
        if wrong:
            raise ValueError(f"{space.name} has the operand {wrong[0].operand.tensor} for {wrong[0].access.tensor}")
        return Computation(space=space, einsum=einsum, reads=touches[:-1], writes=touches[-1])

    def located(self, tensor: str, access: Access, index: Index) -> Ints:
        """The numbers of the words of a tensor (or view, or copy) that stand at an access's indices."""
        flat = self._flat(tensor, access, index)
        return self._table(tensor)[flat] if tensor in self.views else flat

    def _flat(self, tensor: str, access: Access, index: Index) -> Ints:
        """The places of elements in a tensor or view, row by row."""
        parts = [index[rank] for rank, _ in self.batch]
        parts += [rank_values(i.expr, index, self.sizes) for i in access.indices]
        flat = np.zeros(index[POINT].shape, dtype=np.int64)
        for part, extent in zip(parts, self.shape(tensor), strict=True):
            flat = flat * extent + part
        return flat

    def _table(self, view: str) -> Ints:
        """The number of the source's word for every element of a view; -1 where the view has none."""
        if view not in self._tables:
            einsum = self._views[original(view)]
            ranks = [(str(v), self.extents.ranges[v]) for v in scope.variables_of(einsum)]
            index = self.grid((*self.batch, *ranks))
            table = np.full(math.prod(self.shape(view)), -1, dtype=np.int64)
            source = self.located(self.views[view], scope.accesses(einsum)[0], index)
            table[self._flat(view, einsum.output, index)] = source
            self._tables[view] = table
        return self._tables[view]


def rank_values(expr: RankExpr, index: Index, sizes: Mapping[Any, int]) -> Ints:
    """The coordinate that a rank expression names at the points."""
    if isinstance(expr, FloorDiv):
        return index[expr.var] // sizes[expr.shape]
    if isinstance(expr, Modulo):
        return index[expr.var] % sizes[expr.shape]
    assert isinstance(expr, Affine), expr
    coefficients, constant = linear.value(expr, sizes)
    total = np.full(index[POINT].shape, constant, dtype=np.int64)
    for var, factor in coefficients.items():
        total += factor * index[var]
    return total


def value(expr: Expr, read: Callable[[Access], Floats], index: Index, sizes: Mapping[Any, int]) -> Floats:
    """The value of an expression at the points, of whose accesses `read` gives the words."""
    if isinstance(expr, Access):
        return read(expr)
    if isinstance(expr, Apply):
        args = [value(arg, read, index, sizes) for arg in expr.args]
        return np.asarray(BUILTIN.map(expr.operator).function()(*args), dtype=np.float64)
    if isinstance(expr, Number):
        return np.asarray(float(expr.text))
    if isinstance(expr, SizeOf):
        return np.asarray(float(sizes[expr.shape]))
    return rank_values(expr.expr, index, sizes).astype(np.float64)  # val(...)


def _refuse(cascade: Cascade) -> None:
    """InputError for filters, for coordinates that are data, and for start values that need computing."""
    for einsum in (*cascade.inits, *cascade.einsums):
        filtered = scope.conditions_of(einsum) or "only" in {
            e.operator for e in scope.walk(einsum.expr) if isinstance(e, Apply)
        }
        if filtered or scope.depends_on_data(einsum):
            raise input_error(f"{cascade.name}: {einsum.name} has a filter or an index that is data: not executed")
    started = {str(e.name) for e in cascade.inits}
    for view in (str(e.name) for e in cascade.einsums if is_view(e)):
        if view in started:
            raise input_error(f"{cascade.name}: {view} shows another tensor and has a start value: not executed")
    for einsum in cascade.inits:
        made = {str(a.tensor) for a in scope.accesses(einsum)} - {str(n) for n in scope.input_names(cascade)}
        if made:
            raise input_error(f"{cascade.name}: the start of {einsum.name} reads {min(made)}: not executed")


def _batch(cascade: Cascade, problem: Problem) -> tuple[tuple[str, int], ...]:
    known = {str(v) for v in scope.all_variables(cascade)}
    first = problem.spaces[0].ranks if problem.spaces else ()
    return tuple((rank, extent) for rank, extent in first if rank not in known)
