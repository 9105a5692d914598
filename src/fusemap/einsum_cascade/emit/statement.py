"""One Einsum as a few lines of NumPy: its value, where it is present, and where both go."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusemap.einsum_cascade.emit.index import Piece, Place
from fusemap.einsum_cascade.emit.refusal import CannotEmitError
from fusemap.einsum_cascade.emit.storage import Stored
from fusemap.einsum_cascade.emit.value import all_of, filled_with, masks, merged, value
from fusemap.einsum_cascade.interpreter_contract import factors
from fusemap.einsum_cascade.scope import (
    accesses,
    conditions_of,
    output_variables,
    plain_variable,
    rank_variables,
    variables_of,
)
from fusemap.einsum_cascade.types import Access, Einsum, Expr, Lookup, RankExpr, VarName

_FOLD = {
    "sum": ("np.sum", "0.0"),
    "max": ("np.max", "-np.inf"),
    "min": ("np.min", "np.inf"),
    "prod": ("np.prod", "1.0"),
}


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the statements of one Einsum; `lacking` are the tensors that may lack elements."""

    einsum: Einsum
    place: Place
    lacking: frozenset[str]

    def lines(self) -> list[str]:
        """The statements."""
        found, absent = self._reduced() if self.einsum.reduce is not None else self._mapped()
        stored = self.place.stored[str(self.einsum.name)]
        names = self.place.names
        target = stored.name_at(self.einsum.output, self.place.held, names)
        mask = stored.name_at(self.einsum.output, self.place.held, names, mask=True)
        lacks = str(self.einsum.name) in self.lacking
        if stored.kind == "grown":
            return self._grown(stored, target, mask if lacks else None, found, absent)
        lines = [f"{target} = {self._shaped(found, stored)}"]
        if lacks:
            lines.append(f"{mask} = {self._shaped(all_of(absent) if absent else Piece(text='True'), stored)}")
        return lines

    @property
    def kept(self) -> tuple[VarName, ...]:
        """The variables of the left side that are no loop's."""
        return tuple(v for v in output_variables(self.einsum.output) if v not in self.place.held)

    def _conditions(self, space: Sequence[VarName]) -> list[Piece]:
        return merged([p for chain in conditions_of(self.einsum) for p in self.place.condition(chain, space)])

    def _value(self, expr: Expr, space: Sequence[VarName]) -> Piece:
        return value(expr, self.place, space, self.lacking)

    def _masks(self, expr: Expr, space: Sequence[VarName]) -> list[Piece]:
        return masks(expr, self.place, space, self.lacking)

    def _mapped(self) -> tuple[Piece, list[Piece]]:
        expr, space = self.einsum.expr, self.kept
        return self._value(expr, space), merged([*self._conditions(space), *self._masks(expr, space)])

    # --- reductions -----------------------------------------------------------------------------

    def _reduced(self) -> tuple[Piece, list[Piece]]:
        reduce = self.einsum.reduce
        assert reduce is not None
        gone = [v.var for v in reduce.variables]
        parts = factors(self.einsum.expr)
        product = reduce.operator == "sum" and len(parts) > 1
        return self._contracted(parts, gone) if product else self._folded(str(reduce.operator), gone), self._any(gone)

    def _folded(self, operator: str, gone: Sequence[VarName]) -> Piece:
        """A fold of a whole array along axes, absent elements replaced by the identity."""
        space = self._space()
        absent = merged([*self._conditions(space), *self._masks(self.einsum.expr, space)])
        function, identity = _FOLD[operator]
        filled = filled_with(self._value(self.einsum.expr, space), absent, identity)
        text = filled.text if set(gone) <= set(filled.axes) else self._broadcast(filled, space)
        return Piece(text=f"{function}({text}{_axes(space, gone)})", axes=self.kept)

    def _space(self, only: Sequence[VarName] | None = None) -> tuple[VarName, ...]:
        """An order of the variables in which the largest operand lies as it is, and the left side keeps its order."""
        everything = [v for v in variables_of(self.einsum) if v not in self.place.held and (only is None or v in only)]
        kept = [v for v in self.kept if v in everything]
        for access in accesses(self.einsum):
            order = [plain_variable(i.expr) for i in access.indices]
            free = [v for v in order if v is not None and v not in self.place.held]
            if set(free) == set(everything) and [v for v in free if v in kept] == kept:
                return tuple(free)
        return (*kept, *(v for v in everything if v not in kept))

    def _any(self, gone: Sequence[VarName]) -> list[Piece]:
        """Where any point of what is reduced is present."""
        expr, space = self.einsum.expr, self._space()
        found = [*self._conditions(space), *self._masks(expr, space)]
        space = self._space([v for v in space if any(v in m.axes for m in found)])
        found = merged([*self._conditions(space), *self._masks(expr, space)])
        if not found or not set(gone) & set(space):
            return merged([*self._conditions(self.kept), *self._masks(expr, self.kept)])
        text = f"np.any({all_of(found).text}{_axes(space, [v for v in gone if v in space])})"
        return [Piece(text=text, axes=tuple(v for v in space if v not in gone)).aligned(self.kept)]

    # --- sums of products -----------------------------------------------------------------------

    def _contracted(self, parts: Sequence[Expr], gone: Sequence[VarName]) -> Piece:
        """A sum of products by np.einsum, each factor as it lies, with zeros where it is absent."""
        filled = [self._factor(part) for part in parts]
        limits = [p for p in self._conditions(self._space()) if set(p.axes) & set(gone)]
        if limits:
            filled = self._restricted(filled, {v for p in limits for v in p.axes})
        letters = _letters([v for v in variables_of(self.einsum) if v not in self.place.held])
        terms = ",".join("".join(letters[v] for v in p.axes) for p in filled)
        kept = "".join(letters[v] for v in self.kept)
        more = ", optimize=True" if len(filled) > 2 else ""
        return Piece(text=f'np.einsum("{terms}->{kept}", {", ".join(p.text for p in filled)}{more})', axes=self.kept)

    def _factor(self, expr: Expr) -> Piece:
        own = tuple(v for v in self._space() if v in variables_of(expr))
        lies = self.place.read(expr).axes if isinstance(expr, Access) else own
        found = self._value(expr, lies)
        return replace(filled_with(found, self._masks(expr, lies), "0.0"), axes=lies)

    def _restricted(self, filled: list[Piece], limited: set[VarName]) -> list[Piece]:
        """The factors, one of them (or one more) with zeros where the conditions do not hold."""
        for n, piece in enumerate(filled):
            if limited <= set(piece.axes):
                text = filled_with(piece, self._limits(piece.axes), "0.0").text
                return [*filled[:n], Piece(text=text, axes=piece.axes), *filled[n + 1 :]]
        space = tuple(v for v in self._space() if v in limited)
        return [*filled, Piece(text=filled_with(Piece(text="1.0"), self._limits(space), "0.0").text, axes=space)]

    def _limits(self, space: Sequence[VarName]) -> list[Piece]:
        """The conditions on these variables alone."""
        found = [p for c in conditions_of(self.einsum) for p in self.place.condition(c, space)]
        return merged([p for p in found if p.axes])

    # --- results --------------------------------------------------------------------------------

    def _broadcast(self, piece: Piece, space: Sequence[VarName]) -> str:
        dims = ", ".join(self.place.extent(v) for v in space)
        return f"np.broadcast_to({piece.text}, ({dims}{',' if len(space) == 1 else ''}))"

    def _full(self, piece: Piece) -> str:
        dims = ", ".join(self.place.extent(v) for v in self.kept)
        return f"np.full({dims if len(self.kept) == 1 else f'({dims})'}, {piece.text})"

    def _shaped(self, piece: Piece, stored: Stored) -> str:
        """The value with all axes of the left side, partitions of a rank as that rank."""
        text = piece.text
        if set(self.kept) - set(piece.axes):
            text = self._broadcast(piece, self.kept) if piece.axes else self._full(piece)
        flat = any(
            plain_variable(i.expr) is None and len(_free(i.expr, self.place)) > 1 for i in self.einsum.output.indices
        )
        if flat:
            dims = [d for n, d in enumerate(stored.dims) if n not in stored.dropped]
            text = f"{text if text != piece.text else piece.at(9)}.reshape({', '.join(dims)})"
        return text

    def _grown(self, stored: Stored, target: str, mask: str | None, found: Piece, absent: Sequence[Piece]) -> list[str]:
        """A part of an array: an element that is absent stays as it was."""
        keys = ", ".join(self._key(n, dim) for n, dim in enumerate(stored.dims))
        if not absent:
            return [f"{target}[{keys}] = {found.text}", *([f"{mask}[{keys}] = True"] if mask else [])]
        here = all_of(absent)
        return [
            f"{target}[{keys}] = np.where({here.text}, {found.text}, {target}[{keys}])",
            f"{mask}[{keys}] |= {here.text}",
        ]

    def _key(self, at: int, dim: str) -> str:
        """Where a part of a rank is written: a number or a slice."""
        expr = self.einsum.output.indices[at].expr
        assert not isinstance(expr, Lookup)
        free = _free(expr, self.place)
        found = self.place.slice_of(expr, free) if free else self.place.coordinate(expr, ()).text
        if found is None:
            raise CannotEmitError("it writes part of a tensor at an index that is no slice")
        return ":" if found == f":{dim}" else found


def _free(expr: RankExpr, place: Place) -> list[VarName]:
    return [v for v in rank_variables(expr) if v not in place.held]


def _axes(space: Sequence[VarName], gone: Sequence[VarName]) -> str:
    """The argument that names the axes to reduce; none where all are."""
    at = sorted(space.index(v) for v in gone)
    if len(at) == len(space):
        return ""
    return f", axis={at[0]}" if len(at) == 1 else f", axis={tuple(at)}"


def _letters(variables: Sequence[VarName]) -> dict[VarName, str]:
    """A letter for each variable: its own, its first, or the next one that is free."""
    found = {v: v for v in variables if len(v) == 1}
    for var in variables:
        if var not in found:
            taken = set(found.values())
            found[var] = next(c for c in (var[0], *string.ascii_letters) if c not in taken)
    return {v: str(c) for v, c in found.items()}
