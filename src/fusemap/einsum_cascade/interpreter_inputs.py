"""Input tensors: from what the user gives to checked arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.einsum_cascade.interpreter_cells import Cells
from fusemap.einsum_cascade.interpreter_sizes import Extents
from fusemap.einsum_cascade.scope import input_names, output_variables
from fusemap.einsum_cascade.types import Access, Cascade, TensorName


def input_cells(
    cascade: Cascade, extents: Extents, inputs: Mapping[str, ArrayLike], dtype: np.dtype[Any]
) -> dict[TensorName, Cells]:
    """The inputs of a cascade; InputError with every missing, unknown or unfit one."""
    names = input_names(cascade)
    errors = [
        Diagnostic(message=f"{cascade.name} has no input {name}", hint=did_you_mean(name, names, noun="inputs"))
        for name in inputs
        if name not in names
    ]
    cells: dict[TensorName, Cells] = {}
    for access in cascade.inputs:
        if access.tensor not in inputs:
            errors.append(Diagnostic(message=f"input {access.tensor} of {cascade.name} is missing"))
            continue
        try:
            cells[access.tensor] = _cells(access, extents, inputs[access.tensor], dtype)
        except InputError as error:
            errors += error.diagnostics
    if errors:
        raise InputError(tuple(errors))
    return cells


def _cells(access: Access, extents: Extents, given: ArrayLike, dtype: np.dtype[Any]) -> Cells:
    array = _numbers(access.tensor, given, dtype)
    shape = extents.tensors[access.tensor]
    if array.shape != shape:
        ranks = ", ".join(f"{v.upper()}={n}" for v, n in zip(output_variables(access), shape, strict=True))
        raise _unfit(f"input {access.tensor} has shape {array.shape}, expected {shape} ({ranks or 'a scalar'})")
    mask = np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
    present = None if mask is None else ~mask
    bad = np.isnan(array) if present is None else np.isnan(array) & present
    if bad.any():
        place = ", ".join(str(int(i)) for i in np.argwhere(bad)[0]) if array.ndim else ""
        raise _unfit(f"input {access.tensor} is NaN at [{place}] ({int(bad.sum())} such elements)")
    values = array if present is None else np.where(present, array, dtype.type(0))
    return Cells(values=values, written=None, present=None if present is None or present.all() else present)


def _numbers(name: str, given: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise _unfit(f"input {name} is no array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise _unfit(f"input {name} holds {array.dtype}, expected real numbers")
    with np.errstate(all="ignore"):
        return array.astype(dtype)


def _unfit(message: str) -> InputError:
    return InputError((Diagnostic(message=message),))
