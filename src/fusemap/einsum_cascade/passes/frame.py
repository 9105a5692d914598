"""Coordinates of a cascade for difference bounds: digits, sizes and the direction that each index runs in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fusemap.einsum_cascade.linear import CONSTANT, Symbolic, symbolic
from fusemap.einsum_cascade.passes.ranks import extended_positions, factors_of, tensor_ranks
from fusemap.einsum_cascade.passes.zones import ZERO, Place
from fusemap.einsum_cascade.scope import (
    accesses,
    conditions_of,
    iterative_ranks,
    rank_variables,
    shape_of,
    variables_of,
)
from fusemap.einsum_cascade.types import (
    Affine,
    Cascade,
    Einsum,
    FloorDiv,
    Lookup,
    Modulo,
    RankExpr,
    ShapeName,
    TensorName,
    VarName,
)

Dimension = tuple[str, int]  # a tensor and the number of an index, or a variable and the number of its statement


@dataclass(frozen=True, slots=True)
class Slot:
    """The form of one digit of an index: a coordinate plus an offset; `any`: only data tell; neither: no form."""

    place: Place | None = None
    any: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Names and directions of coordinates; see `frame_of`."""

    cascade: Cascade
    numbers: Mapping[ShapeName, int]
    same: Mapping[ShapeName, ShapeName]
    split: frozenset[ShapeName]
    mirrored: Mapping[Dimension, bool]
    ranks: Mapping[TensorName, tuple[ShapeName, ...]]
    extended: Mapping[TensorName, frozenset[int]]
    lasts: Mapping[tuple[TensorName, int], Place | None] = field(default_factory=dict)

    def size(self, shape: ShapeName, offset: int = 0) -> Place:
        """The size of a shape plus an offset: a number if it is constant."""
        shape = self.same.get(shape, shape)
        if shape in self.numbers:
            return ZERO, self.numbers[shape] + offset
        return f"#{shape}", offset

    def factors(self, shape: ShapeName) -> tuple[ShapeName, ...]:
        """The digits of a shape: more than one where the cascade reads it in digits."""
        return factors_of(self.cascade, shape) if shape in self.split else (shape,)

    def bound(self, var: VarName, offset: int = 0) -> Place | None:
        """The number of coordinates of a variable, plus an offset."""
        stop = iterative_ranks(self.cascade).get(var)
        if stop is None:
            return self.size(shape_of(var), offset)
        return self.place_of(symbolic(stop.bound), offset)

    def place_of(self, form: Symbolic, offset: int = 0) -> Place | None:
        """A form without variables as a place: at most one symbolic size, with coefficient 1."""
        constant, sizes = offset, dict[str, int]()
        for (_, shape), c in form.items():
            node, value = (ZERO, 1) if shape is None else self.size(shape)
            constant += c * value
            if node != ZERO:
                sizes[node] = sizes.get(node, 0) + c
        left = [n for n, c in sizes.items() if c]
        if not left:
            return ZERO, constant
        return (left[0], constant) if len(left) == 1 and sizes[left[0]] == 1 else None

    def digits(self, tensor: TensorName, position: int) -> tuple[ShapeName, ...]:
        """The digits of an index of a tensor, outer to inner."""
        rank = self.ranks[tensor][position]
        return (rank,) if position in self.extended.get(tensor, ()) else self.factors(rank)

    def parts(self, var: VarName) -> tuple[ShapeName, ...]:
        """The digits of a variable."""
        shape = shape_of(var)
        return (shape,) if var in iterative_ranks(self.cascade) else self.factors(shape)

    def node(self, var: VarName, digit: ShapeName) -> str:
        """The coordinate of a digit of a variable."""
        return var if len(self.parts(var)) == 1 else f"{var}.{digit}"

    def ranges(self, number: int, var: VarName) -> Iterator[tuple[str, Place]]:
        """The greatest value of each digit of a variable."""
        parts = self.parts(var)
        if len(parts) == 1:
            high = self.bound(var, -1)
            if high is not None:
                yield var, high
        else:
            for part in parts:
                yield self.node(var, part), self.size(part, -1)

    def slots(self, number: int, tensor: TensorName, position: int, expr: RankExpr) -> tuple[Slot, ...]:
        """The form of every digit of an index in the variables of a statement."""
        digits = self.digits(tensor, position)
        if len(digits) > 1:
            return self._split_slots(digits, expr)
        if isinstance(expr, Affine):
            return (self._slot(number, (tensor, position), expr),)
        if isinstance(expr, Lookup):
            return (Slot(any=True),)
        parts = self.parts(expr.var)
        wanted = parts[:-1] if isinstance(expr, FloorDiv) else parts[-1:]
        fits = len(parts) == 2 and expr.shape == parts[-1] and not self.mirrored.get((tensor, position), False)
        return (Slot(place=(self.node(expr.var, wanted[0]), 0)),) if fits else (Slot(),)

    def _split_slots(self, digits: tuple[ShapeName, ...], expr: RankExpr) -> tuple[Slot, ...]:
        """m, or m1*M0+m0, by the stride of each digit."""
        nothing = (Slot(),) * len(digits)
        if not isinstance(expr, Affine):
            return nothing
        form = symbolic(expr)
        if len(form) == 1 and (key := next(iter(form)))[1] is None and form[key] == 1 and key[0] is not None:
            fits = self.parts(key[0]) == digits
            return tuple(Slot(place=(self.node(key[0], d), 0)) for d in digits) if fits else nothing
        if len(digits) != 2 or any(c != 1 for c in form.values()) or CONSTANT in form:
            return nothing
        found: dict[ShapeName, VarName] = {}
        for var, stride in form:
            digit = digits[1] if stride is None else digits[0]
            if var is None or digit in found or stride not in (None, digits[1]) or not self._ranges_over(var, digit):
                return nothing
            found[digit] = var
        return tuple(Slot(place=(found[d], 0) if d in found else (ZERO, 0)) for d in digits)

    def _ranges_over(self, var: VarName, digit: ShapeName) -> bool:
        """Does a variable run over just this digit, by its name or an equal one?"""
        parts = self.parts(var)
        return len(parts) == 1 and self.same.get(parts[0], parts[0]) == self.same.get(digit, digit)

    def _slot(self, number: int, dimension: tuple[TensorName, int], expr: Affine) -> Slot:
        """An index of one variable: along it, or against it where exactly one of both is mirrored."""
        form = symbolic(expr)
        variables = rank_variables(expr)
        mirrored = self.mirrored.get(dimension, False)
        sign = 1
        if variables:
            key = next((k for k in form if k[0] is not None), CONSTANT)
            if len(variables) > 1 or key[1] is not None or abs(form[key]) != 1 or len(self.parts(variables[0])) > 1:
                return Slot()
            sign = form.pop(key)
            if self.mirrored.get((variables[0], number), False):  # v = last - v'
                stop = iterative_ranks(self.cascade).get(variables[0])
                last: Symbolic = symbolic(stop.bound) if stop is not None else {(None, shape_of(variables[0])): 1}
                form = _plus(form, last, sign)
                form = _plus(form, {CONSTANT: 1}, -sign)
                sign = -sign
        if mirrored:  # d' = last - d
            last_place = self.lasts.get(dimension)
            if last_place is None:
                return Slot()
            node, offset = last_place
            form = {k: -c for k, c in form.items()}
            form = _plus(form, {CONSTANT: offset}, 1)
            if node != ZERO:
                form = _plus(form, {(None, ShapeName(node[1:])): 1}, 1)
            sign = -sign
        rest = self.place_of({k: c for k, c in form.items() if c})
        if rest is None or (variables and (sign != 1 or rest[0] != ZERO)):
            return Slot()
        return Slot(place=(variables[0], rest[1]) if variables else rest)


def frame_of(cascade: Cascade, sizes: Mapping[ShapeName, int]) -> Frame:
    """Which shapes are numbers, equal or split, and which variables and indices are mirrored."""
    statements = (*cascade.inits, *cascade.einsums)
    ranging = {shape_of(v) for e in statements for v in variables_of(e)} | {
        s for stop in cascade.stops for _, s in symbolic(stop.bound) if s is not None
    }
    numbers = {s.name: s.constant for s in cascade.shapes if s.constant is not None}
    numbers |= {s: n for s, n in sizes.items() if s not in ranging and s not in numbers}
    frame = Frame(
        cascade=cascade,
        numbers=numbers,
        same={s.name: s.factors[0] for s in cascade.shapes if len(s.factors) == 1},
        split=frozenset(_split_shapes(cascade, statements)),
        mirrored=_mirrored(statements),
        ranks=tensor_ranks(cascade),
        extended=extended_positions(cascade),
    )
    places = {(t, n): _last_of(frame, t, n) for t, ranks in frame.ranks.items() for n in range(len(ranks))}
    return replace(frame, lasts=places)


def _last_of(frame: Frame, tensor: TensorName, position: int) -> Place | None:
    """The last coordinate of an index: the greatest that any statement writes."""
    places: list[Place | None] = [
        frame.size(frame.ranks[tensor][position], -1) for a in frame.cascade.inputs if a.tensor == tensor
    ]
    for einsum in (*frame.cascade.inits, *frame.cascade.einsums):
        if einsum.name == tensor:
            places.append(_last(frame, einsum.output.indices[position].expr))
    known = [p for p in places if p is not None]
    nodes = {n for n, _ in known if n != ZERO}
    if len(known) < len(places) or len(nodes) > 1:
        return None
    node = next(iter(nodes), ZERO)
    return node, max(c for n, c in known if n == node)


def _last(frame: Frame, expr: RankExpr) -> Place | None:
    """The greatest value of a written index of at most one variable."""
    if not isinstance(expr, Affine):
        return None
    form = dict(symbolic(expr))
    variables = rank_variables(expr)
    if not variables:
        return frame.place_of(form)
    products = (s.name for s in frame.cascade.shapes if len(s.factors) > 1)
    whole = next((n for n in products if {shape_of(v) for v in variables} == set(factors_of(frame.cascade, n))), None)
    if whole is not None:
        return frame.size(whole, -1)
    if len(variables) > 1 or form.pop((variables[0], None), 0) != 1 or any(k[1] is not None for k in form):
        return None
    return frame.bound(variables[0], form.get(CONSTANT, 0) - 1)


def _split_shapes(cascade: Cascade, statements: tuple[Einsum, ...]) -> Iterator[ShapeName]:
    """Products that some index reads in digits: by m1*M0+m0, h//G or h%G."""
    exprs = [i.expr for e in statements for a in (e.output, *accesses(e)) for i in a.indices]
    exprs += [o for e in statements for c in conditions_of(e) for o in c.operands]
    strides = {s for e in exprs if isinstance(e, Affine) for v, s in symbolic(e) if v is not None and s is not None}
    strides |= {e.shape for e in exprs if isinstance(e, FloorDiv | Modulo)}
    for decl in cascade.shapes:
        if len(factors_of(cascade, decl.name)) > 1 and strides & set(factors_of(cascade, decl.name)):
            yield decl.name


def _mirrored(statements: tuple[Einsum, ...]) -> Mapping[Dimension, bool]:
    """A direction for every variable and index such that as many indices as possible run along their variable."""
    links: dict[Dimension, list[tuple[Dimension, bool]]] = {}
    for number, einsum in enumerate(statements):
        for access in (einsum.output, *accesses(einsum)):
            for position, index in enumerate(access.indices):
                sign = _sign(index.expr)
                if sign is not None:
                    var, against = sign
                    ends: tuple[Dimension, Dimension] = (access.tensor, position), (var, number)
                    links.setdefault(ends[0], []).append((ends[1], against))
                    links.setdefault(ends[1], []).append((ends[0], against))
    turned: dict[Dimension, bool] = {}
    for first in links:
        pending = [first] if first not in turned else []
        turned.setdefault(first, False)
        while pending:
            here = pending.pop()
            for there, against in links[here]:
                if there not in turned:
                    turned[there] = turned[here] ^ against
                    pending.append(there)
    return {d: True for d, t in turned.items() if t}


def _sign(expr: RankExpr) -> tuple[VarName, bool] | None:
    """The only variable of an index, and whether the index runs against it."""
    if not isinstance(expr, Affine) or len(rank_variables(expr)) != 1:
        return None
    form = symbolic(expr)
    var = rank_variables(expr)[0]
    c = form.get((var, None))
    return (var, c < 0) if c in (1, -1) else None


def _plus(form: Symbolic, other: Symbolic, factor: int) -> Symbolic:
    total = dict(form)
    for key, c in other.items():
        total[key] = total.get(key, 0) + factor * c
    return total
