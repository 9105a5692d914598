"""Exponentials, divisions and multiplications of a cascade as formulas that fit a table.

Filters are not exploited, as on the built-in dataflows, so the formulas are upper bounds; exact ones are
those of `einsum_cascade.counts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fusemap.einsum_cascade.points import is_constant
from fusemap.einsum_cascade.scope import shape_of, variables_of, walk
from fusemap.einsum_cascade.types import Apply, Cascade, Einsum, ShapeName

Product = tuple[str, ...]  # of shapes, sorted
COUNTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"exp": ("exp", "expsub"), "div": ("div", "safediv", "recip"), "mul": ("mul",)}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Formulas of the shapes; `0` where there are none."""

    exp: str
    div: str
    mul: str

    def to_json(self) -> dict[str, object]:
        """The three formulas."""
        return {"exp": self.exp, "div": self.div, "mul": self.mul}


def operations(cascade: Cascade) -> Operations:
    """How often a cascade applies exp, division and multiplication, if nothing is filtered out.

    An operator is applied once per point of its Einsum's iteration space; an init's too.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> found = operations(load("attention-1pass"))
    >>> found.exp, found.div
    ('M*P + M1*P', 'F*P')
    """
    sums = {kind: Counter[Product]() for kind in COUNTED}
    for einsum in (*cascade.inits, *cascade.einsums):
        space = _space(cascade, einsum)
        for kind, operators in COUNTED.items():
            applied = sum(
                isinstance(e, Apply) and e.operator in operators and not is_constant(e) for e in walk(einsum.expr)
            )
            if applied:
                sums[kind][space] += applied
    return Operations(**{kind: _formula(terms) for kind, terms in sums.items()})


def _space(cascade: Cascade, einsum: Einsum) -> Product:
    """The shapes whose product is the size of an iteration space, partitioned ones joined (M1*M0 is M)."""
    places = None if einsum.reduce is None else einsum.reduce.places
    shapes = [shape_of(v) for v in variables_of(einsum) if v != places]
    bounds = dict(_iterative(cascade))
    shapes = [bounds.get(s, s) for s in shapes]
    for declared in cascade.shapes:
        if len(declared.factors) > 1 and all(f in shapes for f in declared.factors):
            for factor in declared.factors:
                shapes.remove(factor)
            shapes.append(declared.name)
    return tuple(sorted(shapes))


def _iterative(cascade: Cascade) -> Iterator[tuple[ShapeName, ShapeName]]:
    """The extent of an iterative rank where it is another shape (`stop: j >= K`)."""
    for stop in cascade.stops:
        terms = stop.bound.terms
        if len(terms) == 1 and terms[0].shape is not None and terms[0].var is None:
            yield shape_of(stop.var), terms[0].shape


def _formula(terms: Counter[Product]) -> str:
    """A sum of products, the longest first.

    >>> _formula(Counter({("F", "P"): 1, ("E", "M", "P"): 2, (): 1}))
    '2*E*M*P + F*P + 1'
    """
    ordered = sorted(terms.items(), key=lambda term: (-len(term[0]), term[0]))
    return " + ".join("*".join([*([str(n)] if n > 1 or not shapes else []), *shapes]) for shapes, n in ordered) or "0"
