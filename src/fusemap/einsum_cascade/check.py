"""Static well-formedness of a cascade: every error that needs no sizes."""

from __future__ import annotations

from itertools import chain, islice

from fusemap.diagnostics import Diagnostic
from fusemap.einsum_cascade.check_context import Context, context_of
from fusemap.einsum_cascade.check_declarations import check_inputs, check_outputs, check_shapes, check_stops
from fusemap.einsum_cascade.check_einsum import check_read_side
from fusemap.einsum_cascade.check_left import check_left_side, check_self_reference
from fusemap.einsum_cascade.check_lookups import check_lookups
from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.types import Cascade

MAX_ERRORS = 100


def check(cascade: Cascade, operators: Operators = BUILTIN) -> tuple[Diagnostic, ...]:
    """Every static error of the cascade (the first MAX_ERRORS), in no particular order."""
    return check_partial(cascade, operators, frozenset())


def check_partial(cascade: Cascade, operators: Operators, broken: frozenset[str]) -> tuple[Diagnostic, ...]:
    """Static errors except those that a name in `broken` (a word of a line with a syntax error) may explain."""
    context = context_of(cascade, operators, broken)
    declarations = chain(check_shapes(context), check_inputs(context), check_stops(context), check_outputs(context))
    found = chain(declarations, _einsums(context), check_lookups(context))
    return tuple(dict.fromkeys(islice(found, MAX_ERRORS)))


def _einsums(context: Context) -> chain[Diagnostic]:
    cascade = context.cascade
    inits = chain.from_iterable(
        chain(check_left_side(context, e, init=True), check_read_side(context, e)) for e in cascade.inits
    )
    einsums = chain.from_iterable(
        chain(check_left_side(context, e, init=False), check_read_side(context, e), check_self_reference(context, e))
        for e in cascade.einsums
    )
    return chain(inits, einsums)
