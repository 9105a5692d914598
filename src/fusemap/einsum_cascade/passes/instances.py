"""Sizes of a small instance on which the definition of passes is executed."""

from __future__ import annotations

from fusemap.einsum_cascade.interpreter_defaults import fill_sizes
from fusemap.einsum_cascade.passes.model import Model
from fusemap.einsum_cascade.resolve import required_shapes
from fusemap.einsum_cascade.scope import conditions_of, rank_variables, shape_of
from fusemap.einsum_cascade.types import Cascade, ShapeName

_RANK, _OUTER, _INNER = 3, 3, 2


def small_sizes(model: Model) -> dict[str, int]:
    """Sizes for a small instance: ranks longer than any constant of the cascade, compared ranks of equal length.

    >>> from fusemap.einsum_cascade.catalog import load
    >>> from fusemap.einsum_cascade.passes.model import model_of
    >>> small_sizes(model_of(load("attention-1pass-causal")))
    {'M1': 3, 'M0': 2, 'M': 6, 'P': 6, 'E': 3, 'F': 3}
    """
    cascade = model.cascade
    longest = max((abs(b[2]) for s in model.statements for b in (*(s.cut.sure or ()), *s.cut.implied)), default=0)
    sizes: dict[str, int] = {}
    for decl in cascade.shapes:
        if decl.constant is not None:
            sizes[decl.name] = decl.constant
    for decl in cascade.shapes:
        if len(decl.factors) > 1:
            for n, factor in enumerate(decl.factors):
                sizes.setdefault(factor, _OUTER if n == 0 else _INNER)
    sizes = _implied(cascade, sizes)
    for group in _compared(cascade):
        most = max([sizes[s] for s in group if s in sizes], default=max(_RANK, longest + 2))
        for shape in group:
            if shape not in sizes:
                sizes = _implied(cascade, {**sizes, shape: most})
    for shape in required_shapes(cascade):
        if shape not in sizes:
            sizes = _implied(cascade, {**sizes, shape: _RANK})
    return sizes


def _implied(cascade: Cascade, sizes: dict[str, int]) -> dict[str, int]:
    """With what the `shape` lines say about the others."""
    full, chosen = fill_sizes(cascade, sizes)
    open_shapes = set(chosen)
    changed = True
    while changed:  # what follows from a chosen size is open as well
        changed = False
        for decl in cascade.shapes:
            family = {decl.name, *decl.factors}
            if (
                decl.factors
                and decl.name not in sizes
                and open_shapes & set(decl.factors)
                and decl.name not in open_shapes
            ):
                open_shapes.add(decl.name)
                changed = True
            elif decl.factors and family & open_shapes and len(family - open_shapes) > 0:
                for shape in family - open_shapes - sizes.keys():
                    open_shapes.add(shape)
                    changed = True
    return {s: n for s, n in full.items() if s not in open_shapes}


def _compared(cascade: Cascade) -> list[set[ShapeName]]:
    """Shapes whose variables a condition compares, directly or through others."""
    products = {f: s.name for s in cascade.shapes if len(s.factors) > 1 for f in s.factors}
    groups: list[set[ShapeName]] = []
    for einsum in (*cascade.inits, *cascade.einsums):
        for chain in conditions_of(einsum):
            sides = [{shape_of(v) for v in rank_variables(o)} for o in chain.operands]
            shapes = {products.get(s, s) if len(side) > 1 else s for side in sides for s in side}
            if len(shapes) > 1:
                joined = [g for g in groups if g & shapes]
                groups = [g for g in groups if not g & shapes] + [shapes.union(*joined)]
    return groups
