"""Cascades executed in two ways: direct against streaming, and interpreted against their NumPy function.

Source: the definition of a cascade's value (docs/language.md); nothing here knows a formula of costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load, names
from fusemap.einsum_cascade.emit.names import names_of
from fusemap.einsum_cascade.emit.numpy_text import numpy_source
from fusemap.einsum_cascade.emit.sizes import sizes_of
from fusemap.einsum_cascade.execution import Execution, run_cascade
from fusemap.einsum_cascade.scope import output_variables, outputs
from fusemap.einsum_cascade.types import Cascade
from fusemap.validation.taxonomy import load_families

TOLERANCE = 1e-10  # float64 on standard normal inputs; the library's largest difference is below 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A cascade executed twice: the largest difference over the largest value of an output.

    `against` is a second cascade of the same algorithm, or "NumPy" for the exported function. `error` is None
    where the second way does not exist, and `absent` says why.
    """

    cascade: str
    against: str
    sizes: tuple[tuple[str, int], ...]
    error: float | None
    absent: str = ""

    @property
    def agrees(self) -> bool:
        """True when both ways give the same values, or there is only one."""
        return self.error is None or self.error <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Functional:
    """All executions of the library."""

    rows: tuple[Executed, ...]

    @property
    def agrees(self) -> bool:
        """True when no two executions differ."""
        return all(row.agrees for row in self.rows)

    def to_json(self) -> dict[str, object]:
        """The rows as values of JSON."""
        return {
            "tolerance": TOLERANCE,
            "rows": [
                {
                    "cascade": row.cascade,
                    "against": row.against,
                    "sizes": dict(row.sizes),
                    "max_relative_error": row.error if row.error is None or np.isfinite(row.error) else str(row.error),
                    "absent": row.absent or None,
                    "agrees": row.agrees,
                }
                for row in self.rows
            ],
        }


def check_functional(seed: int = 0) -> Functional:
    """Every pair of forms of an algorithm, then every cascade of the library against its NumPy function."""
    pairs = dict.fromkeys(
        (entry.direct, entry.streaming)
        for family in load_families()
        for entry in family.model.encoded
        if entry.streaming is not None
    )
    compared = [compare_forms(load(direct), load(streaming), seed) for direct, streaming in pairs]
    return Functional((*compared, *(compare_numpy(load(name), seed) for name in names())))


def compare_forms(direct: Cascade, streaming: Cascade, seed: int = 0) -> Executed:
    """Both cascades on the inputs of the streaming one, which has the more sizes."""
    second = run_cascade(streaming, seed=seed)
    inputs = {str(access.tensor): second.tensors[access.tensor].array() for access in streaming.inputs}
    known = {name: size for name, size in second.sizes.items() if _takes(direct, name)}
    first = run_cascade(direct, known, inputs)
    worst = max(_difference(second[name], first[name]) for name in outputs(direct))
    return Executed(cascade=direct.name, against=streaming.name, sizes=tuple(second.sizes.items()), error=worst)


def compare_numpy(cascade: Cascade, seed: int = 0, *, text: str | None = None) -> Executed:
    """The interpreter's outputs and those of the exported function (or of `text`), on the same inputs.

    >>> compare_numpy(load("softmax")).agrees
    True
    """
    found = run_cascade(cascade, seed=seed)
    sizes = tuple(found.sizes.items())
    try:
        source = numpy_source(cascade) if text is None else text
    except InputError as refusal:
        why = refusal.diagnostics[0].message
        return Executed(cascade=cascade.name, against="NumPy", sizes=sizes, error=None, absent=why)
    made = _call(cascade, source, found)
    worst = max(_difference(made[name], found[name]) for name in outputs(cascade))
    return Executed(cascade=cascade.name, against="NumPy", sizes=sizes, error=worst)


def _takes(cascade: Cascade, size: str) -> bool:
    """True for a rank or a factor that the cascade has."""
    declared = {str(name) for shape in cascade.shapes for name in (shape.name, *shape.factors)}
    return size in declared | {str(v).upper() for a in cascade.inputs for v in output_variables(a)}


def _call(cascade: Cascade, source: str, found: Execution) -> Mapping[str, Any]:
    """The outputs of the exported function; the text is fusemap's own, made from the parsed cascade."""
    scope: dict[str, Any] = {}
    exec(source, scope)
    named = names_of(cascade)
    given = {n: found.sizes[s] for s, n in named.sizes.items() if n in sizes_of(cascade, named).given}
    made = scope[named.function](*(found.tensors[a.tensor].array() for a in cascade.inputs), **given)
    return dict(zip(outputs(cascade), made if isinstance(made, tuple) else (made,), strict=True))


def _difference(found: Any, wanted: Any) -> float:
    """The largest difference over the largest finite value; infinite where shape or presence differ."""
    if np.shape(found) != np.shape(wanted):
        return np.inf
    if not np.array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(wanted)):
        return np.inf
    one, other = np.ma.filled(found, 0.0), np.ma.filled(wanted, 0.0)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        error = float(np.where(same, 0.0, np.abs(one - other)).max(initial=0.0))
    largest = float(np.abs(other).max(initial=0.0, where=np.isfinite(other)))
    return np.inf if np.isnan(error) else error / (largest or 1.0)
