"""Rule (b) for sums of polynomials in a statistic: an accumulator per power, shifted when the statistic changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from fusemap.einsum_cascade.derive.algebra import NotAlgebraicError, Symbols
from fusemap.einsum_cascade.derive.hoist import MAX_DEGREE, inlined
from fusemap.einsum_cascade.derive.roles import Roles
from fusemap.einsum_cascade.scope import conditions_of, variables_of, walk
from fusemap.einsum_cascade.types import Access, Expr


@dataclass(frozen=True)
class Shifted:
    """f(x; s) of degree d in s, f_k = (d/ds)^k f / k!; `parts` are their expressions, the first as it is written."""

    statistic: Access
    parts: tuple[Expr, ...]
    constants: tuple[sp.Expr | None, ...]

    def terms(self, power: int) -> Iterator[tuple[int, int]]:
        """Powers from `power` on, with their binomial coefficients."""
        yield from ((k, math.comb(k, power)) for k in range(power, len(self.parts)))

    def constant(self, power: int) -> sp.Expr | None:
        """The value of f_k where it does not depend on x."""
        return self.constants[power]

    def body(self, power: int) -> Expr:
        """The expression of f_k."""
        return self.parts[power]


def shifted(roles: Roles, name: str) -> Shifted | None:
    """A sum over the rank whose terms are a polynomial in one finished value; None otherwise, or under a filter."""
    einsum = roles.einsums[name]
    if einsum.reduce is None or einsum.reduce.operator != "sum" or len(einsum.reduce.variables) > 1:
        return None
    if any(conditions_of(e) for e in roles.einsums.values()):
        return None  # how many terms there are is then not known
    body = inlined(roles, einsum.expr)
    finished = [a for a in dict.fromkeys(n for n in walk(body) if isinstance(n, Access)) if _is_finished(roles, a)]
    if len(finished) != 1:
        return None
    symbols = Symbols()
    try:
        value, s = symbols.algebraic(body), symbols.of(finished[0])
        if not value.is_polynomial(s) or not 1 <= sp.degree(value, s) <= MAX_DEGREE:
            return None
        derived = [sp.factor(sp.diff(value, s, k) / sp.factorial(k)) for k in range(sp.degree(value, s) + 1)]
        parts = (body, *(symbols.expression(d) for d in derived[1:]))
    except NotAlgebraicError:
        return None
    constants = tuple(d if not d.free_symbols else None for d in derived)
    lonely = [k for k, d in enumerate(derived) if d.free_symbols and roles.var not in variables_of(parts[k])]
    return None if lonely else Shifted(statistic=finished[0], parts=parts, constants=constants)


def _is_finished(roles: Roles, access: Access) -> bool:
    return roles.depends(str(access.tensor)) and not roles.is_stream(str(access.tensor))
