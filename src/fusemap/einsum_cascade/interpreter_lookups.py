"""Coordinates that are data: the values of an index tensor, checked before anything is read at them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fusemap.diagnostics import Diagnostic, InputError, Span
from fusemap.einsum_cascade.interpreter_cells import Value
from fusemap.einsum_cascade.interpreter_space import Booleans, Integers, Space
from fusemap.einsum_cascade.printer import format_rank_expr
from fusemap.einsum_cascade.types import NOWHERE, Access, Cascade, Lookup

_MADE = "an index tensor holds integers from 0: see where its values are computed or given"


def coordinates(
    cascade: Cascade, lookup: Lookup, value: Value, space: Space, cut: Booleans | None, target: tuple[Access, int, int]
) -> Integers:
    """The values of a lookup as coordinates, 0 where they do not count: absent, or outside `cut`.

    `target` is the access that reads by them, at which rank, and how many coordinates that has. Raises
    InputError where a value that counts is no integer or not among them.
    """
    access, rank, extent = target
    require_exact(cascade, lookup.span, f"rank {rank + 1} of {access.tensor}", extent, value.values.dtype)
    fits = (value.values >= 0) & (value.values < extent) & (value.values == np.floor(value.values))
    counts = both(value.present, cut)
    wrong = ~fits if counts is None else ~fits & counts
    if wrong.any():
        shape = np.broadcast_shapes(value.values.shape, wrong.shape)
        point = tuple(int(i) for i in np.argwhere(np.broadcast_to(wrong, shape))[0])
        found = float(np.broadcast_to(value.values, shape)[point])
        message = f"index {format_rank_expr(lookup)} is {found:g} at {space.place(point)}"
        expected = f"{message}, but rank {rank + 1} of {access.tensor} has the coordinates 0..{extent - 1}"
        raise located(cascade, lookup.span, expected, _MADE)
    return np.where(fits, value.values, 0).astype(np.int64)


def require_exact(cascade: Cascade, span: Span, what: str, extent: int, dtype: np.dtype[Any]) -> None:
    """InputError unless every coordinate below `extent` is a number of its own in `dtype`."""
    limit = 1 << (np.finfo(dtype).nmant + 1)
    if extent > limit:
        message = f"{what} has {extent} coordinates, more than {dtype} tells apart ({limit})"
        raise located(cascade, span, message, "run the cascade on float64")


def both(left: Booleans | None, right: Booleans | None) -> Booleans | None:
    """Where both masks hold; None stands for everywhere."""
    if left is None or right is None:
        return right if left is None else left
    return left & right


def located(cascade: Cascade, span: Span, message: str, hint: str) -> InputError:
    """An error at a place of the cascade's text, which it quotes."""
    if span == NOWHERE:
        return InputError((Diagnostic(message=message, hint=hint),))
    lines = cascade.text.split("\n")
    source = lines[span.line - 1] if span.line <= len(lines) else ""
    return InputError((Diagnostic(span=span, message=message, source=source, hint=hint),))
