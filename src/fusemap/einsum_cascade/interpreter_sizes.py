"""Extents of shapes, variables and tensors under given sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from fusemap.diagnostics import input_error
from fusemap.einsum_cascade.resolve import Sizes, extent
from fusemap.einsum_cascade.scope import variables_of
from fusemap.einsum_cascade.sized import check_sizes, written_boxes
from fusemap.einsum_cascade.types import Cascade, TensorName, VarName

MAX_ELEMENTS = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Extents:
    """Extents of shapes, of the variables of Einsums (which run from 0), and of every tensor's ranks."""

    shapes: Sizes
    ranges: Mapping[VarName, int]
    tensors: Mapping[TensorName, tuple[int, ...]]


def extents_of(cascade: Cascade, sizes: Mapping[str, int]) -> Extents:
    """The extents under `sizes`, for which the cascade is shown to be executable; InputError if it is not.

    A tensor reaches as far as it is written, filters left out. Also refused: more than MAX_ELEMENTS
    elements in all tensors.
    """
    shapes = check_sizes(cascade, sizes)
    variables = {v for einsum in (*cascade.inits, *cascade.einsums) for v in variables_of(einsum)}
    ends = {
        tensor: tuple(max(last for _, last in sides) + 1 for sides in zip(*boxes, strict=True))
        for tensor, boxes in written_boxes(cascade, shapes).items()
    }
    elements = sum(prod(shape) for shape in ends.values())
    if elements > MAX_ELEMENTS:
        message = f"the tensors of {cascade.name} have {elements} elements at these sizes"
        raise input_error(message, hint=f"the limit is {MAX_ELEMENTS}: choose smaller sizes")
    return Extents(shapes=shapes, ranges={v: extent(cascade, shapes, v) for v in variables}, tensors=ends)
