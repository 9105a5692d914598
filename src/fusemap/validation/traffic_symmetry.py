"""Ranks whose coordinates are interchangeable: to permute them leaves the cascade as it is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from fusemap.einsum_cascade.scope import (
    accesses,
    conditions_of,
    iterative_ranks,
    lookups,
    plain_variable,
    rank_variables,
    variables_of,
    walk,
)
from fusemap.einsum_cascade.types import Access, Cascade, Einsum, TensorName, ValueOf, VarName

Node = Hashable
_FIXED: Node = "fixed"


class Symmetry:
    """Classes of tensor positions and variables that range over the same coordinates.

    Two are in one class if a plain index ties them (`K[e,m]` ties m to position 1 of K). A class is free if
    nothing tells its coordinates apart: no condition, `val`, sum of indices, constant index, quotient,
    remainder, lookup or `stop:` mentions them. Any permutation of a free class's coordinates, in all
    positions and variables of the class at once, maps the cascade onto itself.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> symmetry = Symmetry(load("attention-3pass-causal"))
    >>> symmetry.is_free(("K", 0)), symmetry.is_free(("K", 1))
    (True, False)
    """

    def __init__(self, cascade: Cascade) -> None:
        self._parent: dict[Node, Node] = {}
        for declared in cascade.inputs:
            self._tie("input " + declared.tensor, declared)
        for number, einsum in enumerate(statements(cascade)):
            self._statement(number, einsum)
        for number, einsum in enumerate(statements(cascade)):
            for var in iterative_ranks(cascade):
                if var in variables_of(einsum):
                    self._unite((number, var), _FIXED)

    def of(self, node: Node) -> Node:
        """The class of a position (tensor, index) or of a variable (statement's number, name)."""
        while (parent := self._parent.get(node, node)) != node:
            node = parent
        return node

    def is_free(self, node: Node) -> bool:
        """Are the coordinates of its class interchangeable?"""
        return self.of(node) != self.of(_FIXED)

    def _statement(self, number: int, einsum: Einsum) -> None:
        for access in (einsum.output, *accesses(einsum)):
            self._tie(number, access)
        told = [v for c in conditions_of(einsum) for o in c.operands for v in rank_variables(o)]
        told += [v for n in walk(einsum.expr) if isinstance(n, ValueOf) for v in rank_variables(n.expr)]
        if einsum.reduce is not None and einsum.reduce.places is not None:
            told += [einsum.reduce.places, *(v.var for v in einsum.reduce.variables)]
        for var in told:
            self._unite((number, var), _FIXED)

    def _tie(self, statement: Node, access: Access) -> None:
        for position, index in enumerate(access.indices):
            place: Node = (access.tensor, position)
            var = plain_variable(index.expr)
            if var is not None:
                self._unite(place, (statement, var))
                continue
            for node in (place, *((statement, v) for v in rank_variables(index.expr))):
                self._unite(node, _FIXED)

    def _unite(self, left: Node, right: Node) -> None:
        self._parent[self.of(left)] = self.of(right)


def statements(cascade: Cascade) -> tuple[Einsum, ...]:
    """All statements, `init` first; their numbers name the variables of a `Symmetry`."""
    return (*cascade.inits, *cascade.einsums)


def is_dense(cascade: Cascade) -> bool:
    """True where every element of every tensor is present: no condition, and no coordinate that data tell."""
    operators = {getattr(n, "operator", None) for e in statements(cascade) for n in walk(e.expr)}
    return "only" not in operators and not any(
        conditions_of(e)
        or (e.reduce is not None and e.reduce.places is not None)
        or any(lookups(a) for a in accesses(e))
        for e in statements(cascade)
    )


def variables_in(symmetry: Symmetry, number: int, einsum: Einsum, wanted: Node) -> tuple[VarName, ...]:
    """The variables of a statement that are of a class."""
    return tuple(v for v in variables_of(einsum) if symmetry.of((number, v)) == wanted)


def positions_in(symmetry: Symmetry, access: Access, wanted: Node) -> tuple[int, ...]:
    """The positions of a tensor that are of a class."""
    return tuple(n for n in range(len(access.indices)) if symmetry.of((access.tensor, n)) == wanted)


def writers(cascade: Cascade, tensor: TensorName) -> Iterator[tuple[int, Einsum]]:
    """The statements that write a tensor, with their numbers."""
    yield from ((n, e) for n, e in enumerate(statements(cascade)) if e.name == tensor)
