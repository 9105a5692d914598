"""Extents of variables and tensors under given sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.interpreter_space import linear
from fusemap.einsum_cascade.scope import all_variables, known_shapes, shape_of
from fusemap.einsum_cascade.types import Affine, Cascade, RankExpr, ShapeName, TensorName, VarName


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """Extents of shapes, of variables (which run from 0), and of every tensor's ranks."""

    shapes: Mapping[ShapeName, int]
    ranges: Mapping[VarName, int]
    tensors: Mapping[TensorName, tuple[int, ...]]


def extents_of(cascade: Cascade, sizes: Mapping[str, int]) -> Extents:
    shapes = {ShapeName(k): v for k, v in sizes.items()}
    for _ in range(4):
        for s in cascade.shapes:
            if s.constant is not None:
                shapes[s.name] = s.constant
            elif s.factors and all(f in shapes for f in s.factors):
                n = 1
                for f in s.factors:
                    n *= shapes[f]
                shapes[s.name] = n
            elif s.name in shapes and sum(f not in shapes for f in s.factors) == 1:
                n = shapes[s.name]
                for f in s.factors:
                    n //= shapes.get(f, 1)
                shapes[next(f for f in s.factors if f not in shapes)] = n
    missing = [s for s in known_shapes(cascade) if s not in shapes]
    bounds = {s.var: linear(s.bound, shapes).offset for s in cascade.stops}
    ranges = {v: bounds[v] if v in bounds else shapes.get(shape_of(v), 0) for v in all_variables(cascade)}
    if missing:
        raise input_error(f"missing sizes {missing}")
    tensors: dict[TensorName, tuple[int, ...]] = {}
    for a in (*cascade.inputs, *(e.output for e in (*cascade.inits, *cascade.einsums))):
        now = tuple(_top(i.expr, ranges, shapes) + 1 for i in a.indices)
        old = tensors.get(a.tensor, now)
        tensors[a.tensor] = tuple(max(x, y) for x, y in zip(now, old, strict=True))
    return Extents(shapes=shapes, ranges=ranges, tensors=tensors)


def _top(expr: RankExpr, ranges: Mapping[VarName, int], shapes: Mapping[ShapeName, int]) -> int:
    assert isinstance(expr, Affine)
    form = linear(expr, shapes)
    return form.offset + sum(max(0, c * (ranges[v] - 1)) for v, c in form.coefficients)
