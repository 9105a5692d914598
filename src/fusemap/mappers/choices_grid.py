"""Values of a dataflow's expressions at all points of its choices, each computed once per different input.

What is computed is the same as at one point (`ChoiceSpace.names`); an expression is evaluated for every different
combination of the numbers that it names, and the values are spread over the points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fusemap.archspec.expressions import Expression, NoValueError
from fusemap.mappers.choices import ChoiceSpace, Point

Numbers: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]


class Grid:
    """The points of a space in order, and the values of names and expressions at them.

    A name that no choice reaches is one number (an array of size 1).
    """

    def __init__(self, space: ChoiceSpace) -> None:
        self.space = space
        self._fixed = {n: v for n, v in space.values.items() if n not in {s for c in space.choices for s in c.sets}}
        self._of_choice = {name: i for i, choice in enumerate(space.choices) for name in choice.sets}
        self._arrays: dict[str, Numbers] = {}
        self.axes: tuple[Indices, ...] = tuple(
            axis.ravel() for axis in np.meshgrid(*(np.arange(n) for n in space.radices), indexing="ij")
        )

    def point(self, index: int) -> Point:
        """The point at an index."""
        return tuple(int(axis[index]) for axis in self.axes)

    def index(self, point: Point) -> int:
        """The index of a point."""
        return int(np.ravel_multi_index(point, self.space.radices)) if point else 0

    def name(self, name: str) -> Numbers:
        """The values of a name; KeyError when it has none."""
        if name not in self._arrays:
            self._arrays[name] = self._computed(name)
        return self._arrays[name]

    def values(self, expression: Expression) -> Numbers:
        """The values of an expression."""
        inputs = {n: self.name(n) for n in sorted(expression.names()) if self._has(n)}
        varying = [array for array in inputs.values() if array.size > 1]
        first, inverse = distinct_rows(varying)
        needed = {n: array if array.size == 1 else array[first] for n, array in inputs.items()}
        rows = (_Row(needed, i, self.space.absent) for i in range(len(first)))
        found = np.array([expression.evaluate(row) for row in rows], dtype=np.float64)
        return found[inverse] if varying else found

    def _has(self, name: str) -> bool:
        return name in self._fixed or name in self._of_choice or name in self.space.expressions

    def _computed(self, name: str) -> Numbers:
        if name in self._fixed:
            return np.array([self._fixed[name]], dtype=np.float64)
        if name not in self._of_choice:
            return self.values(self.space.expressions[name])
        axis = self._of_choice[name]
        options = [dict(option)[name] for option in self.space.choices[axis].options]
        result = np.zeros(self.space.count)
        for i, expression in enumerate(options):
            here = self.axes[axis] == i
            values = self.values(expression)
            result[here] = values if values.size == 1 else values[here]
        return result


class _Row(Mapping[str, float]):
    """The names of one expression at one point, whole numbers as ints (expressions tell them apart)."""

    def __init__(self, arrays: Mapping[str, Numbers], row: int, absent: Mapping[str, str]) -> None:
        self._arrays = arrays
        self._row = row
        self._absent = absent

    def __getitem__(self, name: str) -> float:
        if name not in self._arrays and name in self._absent:
            raise NoValueError(name, self._absent[name])
        array = self._arrays[name]
        value = float(array[0] if array.size == 1 else array[self._row])
        return int(value) if value.is_integer() else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def distinct_rows(columns: list[Numbers]) -> tuple[Indices, Indices]:
    """For rows of equally long columns: where each different row stands first, and which of these every row equals.

    >>> import numpy as np
    >>> first, inverse = distinct_rows([np.array([1.0, 1.0, 2.0]), np.array([3.0, 3.0, 3.0])])
    >>> first.tolist(), inverse.tolist()
    ([0, 2], [0, 0, 1])
    """
    if not columns:
        return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    code = np.zeros(columns[0].size, dtype=np.int64)
    for column in columns:
        values, place = np.unique(column, return_inverse=True)
        code = np.unique(code * values.size + place.ravel(), return_inverse=True)[1].ravel()
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    return first.astype(np.int64), inverse.ravel().astype(np.int64)
