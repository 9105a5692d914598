"""Random dense Einsums in TeAAL's format, and what they compute by NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import chain
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = tuple[tuple[int, str], ...]  # a sum of coefficient * variable
Factor = tuple[str, tuple[Index, ...]]  # a tensor at indices; a scalar has none
Statement = tuple[Factor, list[list[Factor]]]
VARIABLES = "hijkmnpqs"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Declared ranks, statements (output, terms), extents of all ranks, tensors and scalars that are given."""

    declaration: dict[str, tuple[str, ...]]
    statements: list[Statement]
    sizes: dict[str, int]
    scalars: dict[str, int]
    seed: int

    @property
    def given(self) -> list[str]:
        """Tensors that are read and not written."""
        written = {output[0] for output, _ in self.statements}
        return [name for name in self.declaration if name not in written]

    def inputs(self) -> dict[str, NDArray[Any]]:
        """Positive integers, so that every sum is exact and no element is left out as empty."""
        rng = np.random.default_rng(self.seed)
        return {n: rng.integers(1, 9, [self.sizes[r] for r in self.declaration[n]]).astype(float) for n in self.given}

    def yaml(self) -> str:
        """The file: the `einsum` section, and a loop order over the variables."""
        lines = ["einsum:", "  declaration:"]
        lines += [f"    {name}: [{', '.join(ranks)}]" for name, ranks in self.declaration.items()]
        lines.append("  expressions:")
        for output, terms in self.statements:
            right = " + ".join(" * ".join(self.factor(f) for f in term) for term in terms)
            lines.append(f"    - {self.factor(output)} = {right}")
        lines += ["mapping:", "  loop-order:"]
        lines += [f"    {s[0][0]}: [{', '.join(v.upper() for v in _variables(s))}]" for s in self.statements]
        return "\n".join([*lines, ""])

    def factor(self, factor: Factor) -> str:
        """A factor as TeAAL writes it."""
        name, indices = factor
        if name in self.scalars:
            return name
        return f"{name}[{', '.join(' + '.join(v if c == 1 else f'{c} * {v}' for c, v in i) for i in indices)}]"

    def expected(self) -> dict[str, NDArray[Any]]:
        """Every tensor, each statement evaluated on the grid of its variables and summed over what is not left."""
        tensors: dict[str, Any] = {**self.inputs(), **self.scalars}
        for (name, indices), terms in self.statements:
            kept = [index[0][1] for index in indices]
            variables = _variables(((name, indices), terms))
            grid = dict(zip(variables, np.indices([self.sizes[v.upper()] for v in variables]), strict=True))
            values = sum(self.product(term, tensors, grid) for term in terms)
            whole = np.broadcast_to(values, [self.sizes[v.upper()] for v in variables])
            tensors[name] = whole.sum(axis=tuple(range(len(kept), len(variables))))
        return tensors

    def product(self, term: list[Factor], tensors: dict[str, Any], grid: dict[str, NDArray[Any]]) -> Any:
        """One product at every point of the grid."""

        def value(factor: Factor) -> Any:
            at = tuple(sum(c * grid[v] for c, v in index) for index in factor[1])
            return tensors[factor[0]][at] if at else tensors[factor[0]]

        return reduce(lambda a, b: a * b, map(value, term))


def _variables(statement: Statement) -> list[str]:
    """The variables of a statement, those of its output first."""
    output, terms = statement
    return list(dict.fromkeys(v for factor in (output, *chain(*terms)) for index in factor[1] for _, v in index))


def random_case(seed: int) -> Case:
    """One to three Einsums of products and sums of products, some with affine reads and scalars."""
    return _Draw(Random(seed)).case(seed)


class _Draw:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.sizes = {v.upper(): random.randint(2, 4) for v in VARIABLES}
        self.declaration: dict[str, tuple[str, ...]] = {}
        self.scalars: dict[str, int] = {}
        self.written: list[str] = []

    def case(self, seed: int) -> Case:
        statements = [self.statement(number) for number in range(self.random.randint(1, 3))]
        return Case(
            declaration=self.declaration, statements=statements, sizes=self.sizes, scalars=self.scalars, seed=seed
        )

    def statement(self, number: int) -> Statement:
        variables = self.random.sample(VARIABLES, self.random.randint(1, 4))
        affine = self.random.random() < 0.3
        terms = [self.term(number, place, variables, affine) for place in range(self.random.choice((1, 1, 2)))]
        kept = self.random.sample(variables, self.random.randint(0, len(variables)))
        name = f"Z{number}"
        self.declaration[name] = tuple(v.upper() for v in kept)
        self.written.append(name)
        return (name, tuple(((1, v),) for v in kept)), terms

    def term(self, number: int, place: int, variables: list[str], affine: bool) -> list[Factor]:
        """Factors that together have all the variables; the last one takes what is missing."""
        factors: list[Factor] = []
        if place == 0 and self.written and self.random.random() < 0.7:
            name = self.random.choice(self.written)
            if {r.lower() for r in self.declaration[name]} <= set(variables):
                factors.append((name, tuple(((1, r.lower()),) for r in self.declaration[name])))
        if self.random.random() < 0.2:
            scalar = f"a{number}{place}"
            self.scalars[scalar] = self.random.randint(2, 5)
            factors.append((scalar, ()))
        if self.random.random() < 0.5:
            factors.append(self.tensor(number, place, len(factors), self.random.sample(variables, 1), False))
        used = {v for _, indices in factors for index in indices for _, v in index}
        rest = [v for v in variables if v not in used] or self.random.sample(variables, 1)
        factors.append(self.tensor(number, place, len(factors), rest, affine))
        return factors

    def tensor(self, number: int, place: int, position: int, variables: list[str], affine: bool) -> Factor:
        """A new tensor at the variables, two of them joined to an affine index if asked."""
        name = f"A{number}{place}{position}"
        plain: list[Index] = [((1, v),) for v in variables]
        ranks = [v.upper() for v in variables]
        if affine and len(variables) > 1:
            stride = self.random.randint(1, 2)
            plain[:2] = [((stride, variables[0]), (1, variables[1]))]
            ranks[:2] = [f"W{number}{place}{position}"]
            reach = stride * (self.sizes[variables[0].upper()] - 1) + self.sizes[variables[1].upper()]
            self.sizes[ranks[0]] = reach
        self.declaration[name] = tuple(ranks)
        return name, tuple(plain)
