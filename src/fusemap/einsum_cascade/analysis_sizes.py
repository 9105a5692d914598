"""Sizes for an analysis: what is given and what follows from it; the rest may stay open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.resolve import Sizes, resolve_sizes
from fusemap.einsum_cascade.scope import known_shapes
from fusemap.einsum_cascade.types import Cascade, ShapeName

if TYPE_CHECKING:
    import sympy


def known_sizes(cascade: Cascade, sizes: Mapping[str, int]) -> tuple[Sizes, tuple[ShapeName, ...]]:
    """The extents that `sizes` and the `shape` lines tell, and the shapes that they leave open.

    InputError for an unknown name, an extent below 1 and sizes that contradict a `shape` line.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> known_sizes(load("attention-1pass"), {"M": 8, "M0": 2, "E": 4})
    ({'M': 8, 'M1': 4, 'M0': 2, 'E': 4}, ('P', 'F'))
    """
    given = {name: size for name, size in sizes.items() if isinstance(size, int) and size >= 1}
    filled, chosen = fill_sizes(cascade, given)  # so that nothing is missing; what is given is checked as it stands
    resolved = resolve_sizes(cascade, {**{name: filled[name] for name in chosen}, **sizes})
    told = _told(cascade, given)
    known = {name: resolved[name] for name in known_shapes(cascade) if name in told and name in resolved}
    return known, tuple(name for name in resolved if name not in told)


def _told(cascade: Cascade, given: Mapping[str, int]) -> set[str]:
    """The shapes whose extents follow: all but one of an equation tell the last."""
    told = set(given)
    while True:
        more = {s.name for s in cascade.shapes if s.constant is not None}
        for equation in ((s.name, *s.factors) for s in cascade.shapes if s.factors):
            absent = [name for name in equation if name not in told]
            more |= set(absent) if len(absent) == 1 else set()
        if more <= told:
            return told
        told |= more


def open_factors(cascade: Cascade, known: Collection[str]) -> frozenset[ShapeName]:
    """The shapes of which a given one is a multiple: how long they can be depends on it.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> sorted(open_factors(load("attention-1pass"), {"M", "P"})), open_factors(load("attention-1pass"), {"P"})
    (['M0', 'M1'], frozenset())
    """
    wholes, found = set(known), set[ShapeName]()
    while True:
        more = {f for s in cascade.shapes if s.name in wholes for f in s.factors} - found
        if not more:
            return frozenset(found - set(known))
        found |= more
        wholes |= more


def workload_sizes(cascade: Cascade, ranks: Mapping[str, int], workload: str) -> dict[str, int]:
    """The ranks of a workload that the cascade has; InputError if there are none."""
    shapes = known_shapes(cascade)
    found = {name: size for name, size in ranks.items() if name in shapes}
    if not found:
        message = f"workload {workload} sizes no rank of {cascade.name}: it has {', '.join(ranks)}"
        raise input_error(message, hint=f"the ranks of {cascade.name}: {', '.join(shapes)}; --size gives theirs")
    return found


def at_sizes(formula: sympy.Expr, sizes: Mapping[str, int]) -> int | str:
    """The value of a formula, or its text with the known sizes put in where others are open."""
    from fusemap.einsum_cascade.counts_closed import evaluate  # SymPy loads only where formulas are asked for

    symbols = {symbol: sizes[symbol.name] for symbol in formula.free_symbols if symbol.name in sizes}
    if len(symbols) == len(formula.free_symbols):
        return evaluate(formula, symbols)
    return str(formula.subs(symbols))
