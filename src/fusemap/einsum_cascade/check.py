"""Static well-formedness of a cascade."""

from __future__ import annotations

from fusemap.diagnostics import Diagnostic
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.types import Cascade

MAX_ERRORS = 100


def check(cascade: Cascade, operators: Operators = BUILTIN) -> tuple[Diagnostic, ...]:
    """Every static error of the cascade."""
    return check_partial(cascade, operators, frozenset())


def check_partial(cascade: Cascade, operators: Operators, broken: frozenset[str]) -> tuple[Diagnostic, ...]:
    """Every static error except those about the names in `broken`."""
    return ()
