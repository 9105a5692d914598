"""Ranks as digits: which parts of a tensor's coordinates make up the rank that a fiber runs along.

A rank M that is declared as `M = M1*M0` is the pair of digits (M1, M0), whether a tensor holds it as one
index m, as `m1*M0+m0`, or as two indices. A fiber's rank is one digit, or all digits of a shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.einsum_cascade.linear import symbolic
from fusemap.einsum_cascade.scope import iterative_ranks, plain_variable, rank_variables, shape_of
from fusemap.einsum_cascade.types import Cascade, Modulo, RankExpr, ShapeName, TensorName


@dataclass(frozen=True, slots=True, kw_only=True)
class Digit:
    """One digit of the index at `position` of a tensor; `inner` are the digits below it in that index."""

    position: int
    shape: ShapeName
    inner: tuple[ShapeName, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOf:
    """A rank of a tensor: the digits, outer to inner, that a fiber runs along; the others are fixed."""

    tensor: TensorName
    rank: ShapeName
    digits: tuple[Digit, ...]


def factors_of(cascade: Cascade, shape: ShapeName) -> tuple[ShapeName, ...]:
    """The digits of a shape, outer to inner, those of M for P = M; the shape itself if it is no product.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> factors_of(load("attention-1pass"), ShapeName("M"))
    ('M1', 'M0')
    """
    decl = next((s for s in cascade.shapes if s.name == shape and s.factors), None)
    if decl is None or (len(decl.factors) == 1 and len(factors_of(cascade, decl.factors[0])) == 1):
        return (shape,)
    return tuple(f for factor in decl.factors for f in factors_of(cascade, factor))


def tensor_ranks(cascade: Cascade) -> Mapping[TensorName, tuple[ShapeName, ...]]:
    """The name of the rank at every index of every tensor, from the statement that names it with a variable.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> ranks = tensor_ranks(load("attention-1pass"))
    >>> ranks["BQK"], ranks["RM"]
    (('M1', 'M0', 'P'), ('M1', 'P'))
    """
    found: dict[TensorName, tuple[ShapeName, ...]] = {}
    written = [*cascade.inputs, *(e.output for e in cascade.einsums), *(e.output for e in cascade.inits)]
    for access in written:
        known = found.get(access.tensor, (ShapeName(""),) * len(access.indices))
        found[access.tensor] = tuple(
            k or _rank_name(cascade, i.expr) for k, i in zip(known, access.indices, strict=True)
        )
    return {t: tuple(r or ShapeName(f"#{n}") for n, r in enumerate(ranks)) for t, ranks in found.items()}


def _rank_name(cascade: Cascade, expr: RankExpr) -> ShapeName:
    variables = rank_variables(expr)
    if not variables:
        return ShapeName("")
    if isinstance(expr, Modulo):
        return expr.shape
    names = tuple(shape_of(v) for v in variables)
    if len(names) == 1:
        return names[0]
    whole = (
        s.name
        for s in cascade.shapes
        if set(factors_of(cascade, s.name)) == {f for n in names for f in factors_of(cascade, n)}
    )
    return next(whole, ShapeName("*".join(names)))


def digits_of(cascade: Cascade, ranks: tuple[ShapeName, ...], extended: frozenset[int]) -> tuple[Digit, ...]:
    """The digits of all indices of a tensor with these rank names.

    The indices in `extended` reach beyond their shape (S[k+1]) and are not split.
    """
    digits: list[Digit] = []
    for position, rank in enumerate(ranks):
        parts = (rank,) if position in extended else factors_of(cascade, rank)
        digits += [
            Digit(position=position, shape=part, inner=parts[n + 1 :], whole=len(parts) == 1)
            for n, part in enumerate(parts)
        ]
    return tuple(digits)


def extended_positions(cascade: Cascade) -> Mapping[TensorName, frozenset[int]]:
    """Indices that reach beyond the shape of their variable: RM[m1+1], S[0], or i where `stop: i >= K`."""
    found: dict[TensorName, set[int]] = {}
    iterative = iterative_ranks(cascade)
    for einsum in (*cascade.inits, *cascade.einsums):
        for position, index in enumerate(einsum.output.indices):
            steps = [v for v in rank_variables(index.expr) if v in iterative]
            plain = plain_variable(index.expr)
            own = plain in iterative and symbolic(iterative[plain].bound) == {(None, shape_of(plain)): 1}
            if not rank_variables(index.expr) or (steps and not own):
                found.setdefault(einsum.name, set()).add(position)
    return {t: frozenset(p) for t, p in found.items()}


def owned_ranks(cascade: Cascade, *, parts: bool = False) -> tuple[RankOf, ...]:
    """Every (tensor, rank) with a fiber: ranks of its own, and a product M that it owns as M1 and M0.

    With `parts` also M1 and M0 of a tensor that owns M as one index.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> [r.rank for r in owned_ranks(load("attention-1pass")) if r.tensor == "BQK"]
    ['M1', 'M0', 'P', 'M']
    """
    extended = extended_positions(cascade)
    found: list[RankOf] = []
    for tensor, ranks in tensor_ranks(cascade).items():
        digits = digits_of(cascade, ranks, extended.get(tensor, frozenset()))
        listed: dict[ShapeName, tuple[Digit, ...]] = {}
        for position, rank in enumerate(ranks):
            listed.setdefault(rank, tuple(d for d in digits if d.position == position))
        products = [s.name for s in cascade.shapes if len(s.factors) > 1]
        for shape in products:
            of = {
                f: [d for d in digits if d.shape == f and d.whole and d.position not in extended.get(tensor, ())]
                for f in factors_of(cascade, shape)
            }
            if all(of.values()):
                listed.setdefault(shape, tuple(d[0] for d in of.values()))
        if parts:
            for digit in digits:
                listed.setdefault(digit.shape, (digit,))
        found += [RankOf(tensor=tensor, rank=r, digits=d) for r, d in listed.items()]
    return tuple(found)
