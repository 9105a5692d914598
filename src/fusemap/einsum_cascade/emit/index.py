"""Accesses as NumPy expressions: slices, reshapes and index arrays, and their axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fusemap.einsum_cascade.emit.names import Names
from fusemap.einsum_cascade.emit.storage import Stored
from fusemap.einsum_cascade.linear import symbolic
from fusemap.einsum_cascade.scope import plain_variable, rank_variables
from fusemap.einsum_cascade.types import Access, Affine, Chain, Coordinate, FloorDiv, Index, Lookup, Modulo, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A Python expression and the variables of its axes, in order; `binding` as of Python's operators (9: an atom)."""

    text: str
    axes: tuple[VarName, ...] = ()
    binding: int = 9

    def at(self, binding: int) -> str:
        """The text, in parentheses where an operator of that binding would tear it apart."""
        return self.text if self.binding >= binding else f"({self.text})"

    def aligned(self, space: Sequence[VarName]) -> Piece:
        """The piece with its axes in the order of a space, length 1 where it lacks one behind its first."""
        order = [v for v in space if v in self.axes]
        text = self.text
        if order != list(self.axes):
            text = self.at(9)
            turned = [self.axes.index(v) for v in order]
            text += ".T" if turned == list(range(len(turned)))[::-1] else f".transpose({', '.join(map(str, turned))})"
        if order:
            behind = list(space)[list(space).index(order[0]) :]
            if behind != order:
                keys = ", ".join(":" if v in order else "None" for v in behind)
                text = f"{text if text != self.text else self.at(9)}[{keys}]"
        changed = text != self.text
        return replace(self, text=text, axes=tuple(order), binding=9 if changed else self.binding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a statement stands: in loops over `held`.

    `exact` says that no index of the statement leaves its tensor, which a filter alone may see to.
    """

    names: Names
    stored: Mapping[str, Stored]
    extents: Mapping[VarName, str]
    held: tuple[VarName, ...] = ()
    exact: bool = True

    def scalar(self, expr: Coordinate) -> bool:
        """Is the coordinate one number here?"""
        return all(v in self.held for v in rank_variables(expr))

    def extent(self, var: VarName) -> str:
        """The number of coordinates of a variable."""
        return self.extents[var]

    def coordinate(self, expr: Coordinate, space: Sequence[VarName]) -> Piece:
        """The value of a coordinate for all points of a space: an integer, or an array of them."""
        axes = tuple(v for v in space if v in rank_variables(expr) and v not in self.held)
        if isinstance(expr, FloorDiv | Modulo):
            sign = "//" if isinstance(expr, FloorDiv) else "%"
            return Piece(
                text=f"{self._variable(expr.var, space)} {sign} {self.names.sizes[expr.shape]}", axes=axes, binding=5
            )
        terms = [(self._term(var, shape, n, space), n < 0) for (var, shape), n in symbolic(expr).items() if n]
        text = ""
        for term, negative in sorted(terms, key=lambda t: t[1]):
            sign = " - " if negative else " + "
            text += (sign if text else "-" if negative else "") + term
        return Piece(
            text=text or "0", axes=axes, binding=9 if len(terms) < 2 and "*" not in text and "-" not in text else 4
        )

    def _term(self, var: VarName | None, shape: str | None, factor: int, space: Sequence[VarName]) -> str:
        parts = [str(abs(factor))] if abs(factor) != 1 or (var is None and shape is None) else []
        parts += [self._variable(var, space)] if var is not None else []
        parts += [self.names.sizes[shape]] if shape is not None else []
        return "*".join(parts)

    def _variable(self, var: VarName, space: Sequence[VarName]) -> str:
        if var in self.held:
            return self.names.variables[var]
        behind = list(space)[list(space).index(var) :]
        shape = f"[{', '.join([':', *['None'] * (len(behind) - 1)])}]" if len(behind) > 1 else ""
        return f"np.arange({self.extent(var)}){shape}"

    def condition(self, chain: Chain, space: Sequence[VarName]) -> list[Piece]:
        """A chained comparison as comparisons of two, each a mask over part of the space."""
        found = []
        for left, relation, right in zip(chain.operands, chain.relations, chain.operands[1:], strict=False):
            first, second = self.coordinate(left, space), self.coordinate(right, space)
            axes = tuple(v for v in space if v in first.axes or v in second.axes)
            found.append(Piece(text=f"{first.at(4)} {relation} {second.at(4)}", axes=axes, binding=1))
        return found

    def read(self, access: Access, *, mask: bool = False) -> Piece:
        """An element at every point: the tensor's array (or its mask) with its axes in the order of the indices."""
        stored = self.stored[str(access.tensor)]
        name = stored.name_at(access, self.held, self.names, mask=mask)
        indices = [i for n, i in enumerate(access.indices) if n not in stored.dropped]
        dims = [d for n, d in enumerate(stored.dims) if n not in stored.dropped]
        free = [v for i in indices for v in rank_variables(_coordinate(i)) if v not in self.held]
        if len(set(free)) < len(free):
            return self._gathered(name, indices, dims)
        return self._sliced(name, indices, dims)

    def _gathered(self, name: str, indices: Sequence[Index], dims: Sequence[str]) -> Piece:
        """Index arrays for all ranks: the way for what names a variable twice."""
        axes = tuple(dict.fromkeys(v for i in indices for v in rank_variables(_coordinate(i)) if v not in self.held))
        texts = [
            self._clipped(self.coordinate(_coordinate(i), axes), i, d).text for i, d in zip(indices, dims, strict=True)
        ]
        return Piece(text=f"{name}[{', '.join(texts)}]", axes=axes)

    def _sliced(self, name: str, indices: Sequence[Index], dims: Sequence[str]) -> Piece:
        """Slices where they do, then one reshape, then index arrays one rank at a time."""
        keys: list[str] = []
        late: list[tuple[int, str]] = []
        shape: list[str] = []
        axes: list[VarName] = []
        rank = 0
        split = False
        for index, dim in zip(indices, dims, strict=True):
            expr = _coordinate(index)
            own = [v for v in rank_variables(expr) if v not in self.held]
            parts = self.partition(expr, dim)
            key = self._slice(expr, own, index, dim)
            keys.append(":" if key is None else key)
            if not own:
                continue
            axes += parts or own
            split = split or parts is not None
            shape += [self.extent(v) for v in parts] if parts else [dim if key is None else self.extent(own[0])]
            if key is None and parts is None:
                late.append((rank, self._clipped(self.coordinate(expr, own), index, dim).text))
            rank += 1 if parts is None else len(parts)
        while keys and keys[-1] == ":":
            keys.pop()
        text = f"{name}[{', '.join(keys)}]" if keys else name
        text = f"{text}.reshape({', '.join(shape)})" if split else text
        for at, key in reversed(late):
            text = f"{text}[{', '.join([*[':'] * at, key])}]"
        return Piece(text=text, axes=tuple(axes))

    def _slice(self, expr: Coordinate, own: Sequence[VarName], index: Index, dim: str) -> str | None:
        """A number, a slice, or None where neither says it."""
        if not own:
            return self._clipped(self.coordinate(expr, ()), index, dim).text
        found = self.slice_of(expr, own)
        if found == f":{dim}":
            return ":"
        return found if found is None or found[0] == ":" or self.exact or self._chunk(expr, own[0], dim) else None

    def slice_of(self, expr: Coordinate, own: Sequence[VarName]) -> str | None:
        """The slice of `v + ...` with a variable alone and what is a number here, else None."""
        if len(own) > 1 or not isinstance(expr, Affine):
            return None
        terms = tuple(t for t in expr.terms if t.var != own[0])
        only = [t for t in expr.terms if t.var == own[0]]
        if len(only) != 1 or only[0].sign != 1 or only[0].shape is not None or only[0].constant is not None:
            return None
        extent = self.extent(own[0])
        if not terms:
            return f":{extent}"
        start = self.coordinate(replace(expr, terms=terms), ()).text
        return f"{start}:{start} + {extent}"

    def _chunk(self, expr: Coordinate, inner: VarName, dim: str) -> bool:
        """Is it `m1*M0+m0` of a rank M, which no coordinate leaves?"""
        return self.partition(expr, dim, held=True) is not None and inner in rank_variables(expr)

    def partition(self, expr: Coordinate, dim: str, *, held: bool = False) -> tuple[VarName, ...] | None:
        """The variables of a partitioned rank, outer to inner, where together they are the whole rank."""
        if not isinstance(expr, Affine) or len(expr.terms) != 2 or any(t.sign < 0 or t.var is None for t in expr.terms):
            return None
        outer = next((t for t in expr.terms if t.shape is not None), None)
        inner = next((t for t in expr.terms if t.shape is None), None)
        if outer is None or inner is None or outer.var is None or inner.var is None or outer.var == inner.var:
            return None
        if not held and (outer.var in self.held or inner.var in self.held):
            return None
        assert outer.shape is not None
        chunk, count = self.names.sizes[outer.shape], self.extent(outer.var)
        if self.extent(inner.var) != chunk or dim not in self.stored_products(count, chunk):
            return None
        return outer.var, inner.var

    def stored_products(self, count: str, chunk: str) -> tuple[str, ...]:
        """How the product of two sizes is called."""
        return (f"{count}*{chunk}", *(n for n, parts in self.names.products.items() if parts == (count, chunk)))

    def _clipped(self, piece: Piece, index: Index, dim: str) -> Piece:
        """The index kept within its tensor where a filter leaves out what would not be."""
        if self.exact or plain_variable(index.expr) is not None or not rank_variables(index.expr):
            return piece
        return replace(piece, text=f"np.clip({piece.text}, 0, {dim} - 1)", binding=9)


def _coordinate(index: Index) -> Coordinate:
    assert not isinstance(index.expr, Lookup), index
    return index.expr
