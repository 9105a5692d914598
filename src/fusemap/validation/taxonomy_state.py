"""The running state of a cascade: what a step of an iterative rank hands to the next."""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from fusemap.einsum_cascade.passes.footprint_loops import loops_of
from fusemap.einsum_cascade.passes.footprints import footprints
from fusemap.einsum_cascade.passes.model import model_of
from fusemap.einsum_cascade.passes.ranks import factors_of
from fusemap.einsum_cascade.types import Cascade, ShapeName


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Elements that are live at once, for one coordinate of each rank in `each`; an upper bound if not `exact`."""

    elements: str
    each: tuple[str, ...]
    exact: bool

    @property
    def text(self) -> str:
        """The state as text.

        >>> State(elements="F + 3", each=("p",), exact=True).text
        'F + 3 per p'
        """
        per = f" per {', '.join(self.each)}" if self.each else ""
        return f"{'' if self.exact else 'at most '}{self.elements}{per}"

    def to_json(self) -> dict[str, object]:
        """The fields."""
        return {"elements": self.elements, "per": list(self.each), "exact": self.exact}


def running_state(cascade: Cascade, rank: str) -> State | None:
    """The sum of the live footprints of all tensors that have an `init`, if it does not grow with the sequence.

    Order of the loops and what is fixed are those of `footprints`: by default ranks that no Einsum couples, such as
    queries and heads. None if the cascade has no init, or if under that order the state grows with `rank` or with
    the number P of queries: then the order is not one that streams, and says nothing of the cascade.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> running_state(load("attention-1pass"), "M").text
    'F + 3 per p'
    """
    states = {einsum.name for einsum in cascade.inits}
    if not states:
        return None
    found = [footprint for footprint in footprints(cascade) if footprint.tensor in states]
    elements = sympy.Add(*(footprint.store for footprint in found))
    lengths = {rank, "P", *(f for s in (rank, "P") for f in factors_of(cascade, ShapeName(s)))}
    if lengths & {symbol.name for symbol in elements.free_symbols}:
        return None
    fixed = (loop.split(".")[0] for loop in loops_of(model_of(cascade), None).batch)
    exact = all(footprint.exact for footprint in found)
    return State(elements=str(elements), each=tuple(dict.fromkeys(fixed)), exact=exact)
