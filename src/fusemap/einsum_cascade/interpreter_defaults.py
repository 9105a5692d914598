"""Small sizes for shapes that the user leaves open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fusemap.einsum_cascade.resolve import required_shapes
from fusemap.einsum_cascade.scope import output_variables, shape_of
from fusemap.einsum_cascade.types import Cascade, ShapeDecl, ShapeName

DEFAULT_RANK, DEFAULT_SHAPE, DEFAULT_PLACES = 16, 4, 2


def fill_sizes(cascade: Cascade, sizes: Mapping[str, int]) -> tuple[dict[str, int], tuple[ShapeName, ...]]:
    """All sizes, with small ones chosen for the open shapes so that the `shape` lines hold; and which were chosen.

    A rank of an input gets 16, and the places of a `topk` 2, so that it leaves some out. Every other shape gets
    4: a width, a number of steps, a factor of a partition (the largest divisor up to 4 where the whole is given).

    >>> from fusemap.einsum_cascade.catalog import load
    >>> fill_sizes(load("attention-1pass"), {"M": 18})
    ({'M': 18, 'E': 16, 'P': 16, 'F': 16, 'M0': 3, 'M1': 6}, ('E', 'P', 'F', 'M0'))
    """
    known = dict(sizes)
    _imply(cascade, known)
    defaults = _defaults(cascade)
    parts = {f for s in cascade.shapes if len(s.factors) > 1 for f in s.factors}
    declared = [f for s in cascade.shapes for f in reversed(s.factors)]
    ranks = [s for s in required_shapes(cascade) if s not in {d.name for d in cascade.shapes if d.factors}]
    chosen: list[ShapeName] = []
    for shape in dict.fromkeys((*(s for s in ranks if s not in parts), *declared, *ranks)):
        if shape not in known:
            known[shape] = _choice(cascade, known, shape, defaults.get(shape, DEFAULT_SHAPE))
            chosen.append(shape)
            _imply(cascade, known)
    return known, tuple(chosen)


def _defaults(cascade: Cascade) -> dict[ShapeName, int]:
    """What ranks of inputs, factors, and places and their factors get; a shape and its alias get the same."""
    ranked = [e.reduce.places for e in cascade.einsums if e.reduce is not None and e.reduce.places is not None]
    sizes = {shape_of(v): DEFAULT_RANK for a in cascade.inputs for v in output_variables(a)}
    sizes |= {f: DEFAULT_SHAPE for s in cascade.shapes if len(s.factors) > 1 for f in s.factors}
    sizes |= {shape_of(v): DEFAULT_PLACES for v in ranked}
    sizes |= {f: DEFAULT_PLACES for s in cascade.shapes if sizes.get(s.name) == DEFAULT_PLACES for f in s.factors}
    aliases = [(s.name, *s.factors) for s in cascade.shapes if len(s.factors) == 1]
    for names in (*aliases, *reversed(aliases)):
        known = [sizes[name] for name in names if name in sizes]
        sizes |= dict.fromkeys(names, min(known)) if known else {}
    return sizes


def _choice(cascade: Cascade, known: Mapping[str, int], shape: ShapeName, default: int) -> int:
    for decl in cascade.shapes:
        if shape in decl.factors and decl.name in known:
            rest = known[decl.name]
            for factor in decl.factors:
                rest //= known.get(factor, 1)
            return max((d for d in range(1, DEFAULT_SHAPE + 1) if rest % d == 0), default=1)
    return default


def _imply(cascade: Cascade, known: dict[str, int]) -> None:
    """Add what the `shape` lines say about the others; contradictions are left for the check of sizes."""
    while added := next((a for s in cascade.shapes for a in _implied(s, known)), None):
        known[added[0]] = added[1]


def _implied(decl: ShapeDecl, known: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    if decl.constant is not None and decl.name not in known:
        yield decl.name, decl.constant
    absent = [f for f in decl.factors if f not in known]
    product = 1
    for factor in decl.factors:
        product *= known.get(factor, 1)
    if decl.factors and not absent and decl.name not in known:
        yield decl.name, product
    if len(absent) == 1 and known.get(decl.name, 0) >= product > 0:
        yield absent[0], known[decl.name] // product
