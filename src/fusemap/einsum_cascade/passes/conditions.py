"""Conditions of an Einsum as difference bounds: what implies them, and what they imply.

m <= p is a bound itself. Of m1*M0+m0 <= p only p >= M-1 is a bound that implies it; of p-W < m with a
symbolic width, m >= p. A lower bound on passes may look at those points alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fusemap.einsum_cascade.linear import Symbolic, ordered, symbolic
from fusemap.einsum_cascade.passes.frame import Frame
from fusemap.einsum_cascade.passes.zones import ZERO, Bound, Place
from fusemap.einsum_cascade.scope import iterative_ranks, shape_of
from fusemap.einsum_cascade.types import Affine, Chain, FloorDiv, Lookup, RankExpr, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Bounds that imply all conditions of an Einsum (None if none are known), and bounds that they imply."""

    sure: frozenset[Bound] | None = frozenset()
    implied: frozenset[Bound] = frozenset()

    @property
    def exact(self) -> bool:
        """Are the conditions bounds?"""
        return self.sure == self.implied


@dataclass(frozen=True, slots=True)
class _Atom:
    """A signed term of an inequality: a coordinate, or a flattened index from `pins` (its digits' last values)."""

    sign: int
    place: Place
    pins: tuple[tuple[str, Place], ...] = ()
    variable: bool = True


def cuts_of(frame: Frame, number: int, chains: Iterable[Chain]) -> Cut:
    """The conditions of a statement in bounds of its coordinates."""
    sure: set[Bound] | None = set()
    implied: set[Bound] = set()
    for chain in chains:
        for high, low, gap in ordered(chain):
            atoms = _atoms(frame, number, high, 1), _atoms(frame, number, low, -1)
            if atoms[0] is None or atoms[1] is None:
                same = _same_function(high, low) if chain.relations == ("==",) else None
                sure = None if sure is None or same is None else sure | same
                continue
            terms = [*atoms[0], *atoms[1]]
            stronger = _stronger(terms, -gap)
            sure = None if sure is None or stronger is None else sure | stronger
            implied |= _weaker(terms, -gap)
    return Cut(sure=None if sure is None else frozenset(sure), implied=frozenset(implied))


def _same_function(high: RankExpr, low: RankExpr) -> frozenset[Bound] | None:
    """v//S == u//S holds where v == u."""
    if (
        isinstance(high, Affine | Lookup)
        or isinstance(low, Affine | Lookup)
        or type(high) is not type(low)
        or high.shape != low.shape
    ):
        return None
    return frozenset({(high.var, low.var, 0), (low.var, high.var, 0)})


def _atoms(frame: Frame, number: int, expr: RankExpr, sign: int) -> list[_Atom] | None:
    """The terms of an operand; None where it has another form."""
    if isinstance(expr, Lookup):
        return None
    if not isinstance(expr, Affine):
        parts = frame.parts(expr.var)
        if len(parts) != 2 or expr.shape != parts[1]:
            return None
        return [_Atom(sign, (frame.node(expr.var, parts[0 if isinstance(expr, FloorDiv) else 1]), 0))]
    form: Symbolic = dict(symbolic(expr))
    atoms = list(_flattened(frame, form, sign))
    for (var, shape), c in form.items():
        if var is None:
            node, value = (ZERO, 1) if shape is None else frame.size(shape)
            if node == ZERO:
                atoms.append(_Atom(sign, (ZERO, sign * c * value), variable=False))
            elif abs(c) == 1:
                atoms.append(_Atom(sign * c, (node, 0), variable=False))
            else:
                return None
        elif shape is not None or abs(c) != 1 or len(frame.parts(var)) > 1:
            return None
        else:
            atoms += _variable(frame, number, var, sign * c)
    return atoms


def _flattened(frame: Frame, form: Symbolic, sign: int) -> Iterator[_Atom]:
    """Take m1*M0+m0, or m of a split M, out of a form."""
    for decl in frame.cascade.shapes:
        if decl.name not in frame.split:
            continue
        parts = frame.factors(decl.name)
        whole = (VarName(decl.name.lower()), None)
        if form.get(whole) in (1, -1) and frame.parts(whole[0]) == parts:
            c = form.pop(whole)
            pins = tuple((frame.node(whole[0], p), frame.size(p, -1)) for p in parts)
            yield _Atom(sign * c, frame.size(decl.name, -1), pins)
        if len(parts) == 2:
            outer, inner = (VarName(p.lower()) for p in parts)
            keys = (outer, parts[1]), (inner, None)
            if form.get(keys[0]) == form.get(keys[1]) and form.get(keys[0]) in (1, -1):
                c = form.pop(keys[0])
                form.pop(keys[1])
                pins = tuple((v, frame.size(p, -1)) for v, p in zip((outer, inner), parts, strict=True))
                yield _Atom(sign * c, frame.size(decl.name, -1), pins)
            elif keys[1] not in form and form.get(keys[0]) == -sign:  # m1*M0 alone, where it is subtracted
                form.pop(keys[0])
                yield _Atom(-1, frame.size(decl.name, -1), ((outer, frame.size(parts[0], -1)),))


def _variable(frame: Frame, number: int, var: VarName, sign: int) -> list[_Atom]:
    """A variable, or last - v' where it is mirrored."""
    if not frame.mirrored.get((var, number), False):
        return [_Atom(sign, (var, 0))]
    stop = iterative_ranks(frame.cascade).get(var)
    last: Symbolic = symbolic(stop.bound) if stop is not None else {(None, shape_of(var)): 1}
    place = frame.place_of(last, -1)
    if place is None:
        return [_Atom(-sign, (var, 0)), _Atom(sign, ("?", 0), variable=False)]
    sized = [_Atom(sign, (place[0], 0), variable=False)] if place[0] != ZERO else []
    return [_Atom(-sign, (var, 0)), *sized, _Atom(sign, (ZERO, sign * place[1]), variable=False)]


def _stronger(atoms: list[_Atom], constant: int) -> frozenset[Bound] | None:
    """Bounds that imply sum >= 0: flattened indices at their last value where they help, their greatest where not."""
    bounds: set[Bound] = set()
    plus: list[tuple[Place, bool]] = []
    minus: list[Place] = []
    for atom in atoms:
        node, offset = atom.place
        if node == ZERO and not atom.pins:
            constant += offset
            continue
        if atom.sign > 0:
            plus.append((atom.place, atom.variable and not atom.pins))
            bounds.update(b for n, (last, c) in atom.pins for b in ((n, last, c), (last, n, -c)))
        else:
            minus.append(atom.place)
    constant += sum(c for (_, c), _ in plus) - sum(c for _, c in minus)
    while len(plus) > 1:  # a size is at least 1, a variable at least 0
        spare = next((p for p in reversed(plus) if not p[1]), plus[-1])
        plus.remove(spare)
        constant += 0 if spare[1] else 1
    return _bound([p for p, _ in plus], minus, constant, bounds)


def _weaker(atoms: list[_Atom], constant: int) -> frozenset[Bound]:
    """Bounds that sum >= 0 implies; none where it has too many terms."""
    plus: list[Place] = []
    minus: list[Place] = []
    for atom in atoms:
        node, offset = atom.place
        if node == ZERO and not atom.pins:
            constant += offset
        elif atom.sign > 0:
            plus.append(atom.place)
        elif not atom.pins:  # a flattened index is at least 0
            minus.append(atom.place)
    if "?" in {n for n, _ in (*plus, *minus)}:
        return frozenset()
    constant += sum(c for _, c in plus) - sum(c for _, c in minus)
    return _bound(plus, minus, constant, set()) or frozenset()


def _bound(plus: list[Place], minus: list[Place], constant: int, more: set[Bound]) -> frozenset[Bound] | None:
    """plus - minus + constant >= 0 as one bound."""
    if len(plus) > 1 or len(minus) > 1 or "?" in {n for n, _ in (*plus, *minus)}:
        return None
    high, low = (plus[0][0] if plus else ZERO), (minus[0][0] if minus else ZERO)
    if high == low:
        return frozenset(more) if constant >= 0 else None
    return frozenset(more | {(low, high, constant)})
