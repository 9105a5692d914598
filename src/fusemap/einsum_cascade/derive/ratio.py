"""Rule (b): how a sum over a rank changes when a statistic in its terms does.

For terms f(x; s) with h(s, s') = f(x, s') / f(x, s) free of x, a sum that was taken with s becomes the one with s'
when it is multiplied by h: (s, F), (s', F') -> (t, h(s, t) F + h(s', t) F') is then a commutative monoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import sympy as sp

from fusemap.einsum_cascade.derive.algebra import NotAlgebraicError, Symbols
from fusemap.einsum_cascade.derive.roles import Roles
from fusemap.einsum_cascade.derive.terms import with_variables
from fusemap.einsum_cascade.printer import format_access
from fusemap.einsum_cascade.scope import accesses, plain_variable, variables_of
from fusemap.einsum_cascade.types import Access, Affine, Einsum

When: TypeAlias = Literal["old", "new"]


@dataclass(frozen=True)
class Ratio:
    """h as a SymPy expression; `leaves` say which finished access each symbol is, and before or after the change."""

    value: sp.Expr
    leaves: Mapping[sp.Symbol, tuple[Access, When]]

    def __str__(self) -> str:
        """h with new values primed, as in `exp(GM[p] - GM[p]')`."""
        names = {
            s: sp.Symbol(f"{format_access(a)}{chr(39) if w == 'new' else ''}") for s, (a, w) in self.leaves.items()
        }
        return str(sp.sstr(self.value.subs(names), order="none"))

    def renamed(self, into: Mapping[str, Affine]) -> Ratio:
        """The ratio with variables replaced."""
        leaves = {s: (with_variables(a, dict(into)), when) for s, (a, when) in self.leaves.items()}
        return Ratio(value=self.value, leaves={s: (a, w) for s, (a, w) in leaves.items() if isinstance(a, Access)})


def ratio_of(roles: Roles, name: str) -> Ratio | None:
    """The factor by which a stream, or a sum, changes with the statistics; None if it changes otherwise."""
    key = ("ratio", name)
    if key not in roles.remembered:
        roles.remembered[key] = _ratio_of(roles, name)
    found = roles.remembered[key]
    return found if isinstance(found, Ratio) else None


def _ratio_of(roles: Roles, name: str) -> Ratio | None:
    einsum = roles.einsums[name]
    if einsum.reduce is not None and einsum.reduce.operator != "sum":
        return None
    try:
        found = _quotient(roles, einsum)
    except NotAlgebraicError:
        return None
    reduced = {str(v.var) for v in einsum.reduce.variables} if einsum.reduce is not None else set()
    used = {v for s in found.value.free_symbols if s in found.leaves for v in variables_of(found.leaves[s][0])}
    if not found.value.free_symbols <= set(found.leaves) or reduced & used or roles.var in used:
        return None
    return found


def _quotient(roles: Roles, einsum: Einsum) -> Ratio:
    """f(x, s') / f(x, s), simplified; symbols that are no leaves are those of x."""
    symbols = Symbols()
    leaves: dict[sp.Symbol, tuple[Access, When]] = {}
    changed: dict[str, sp.Expr] = {}
    for access in dict.fromkeys(accesses(einsum)):
        symbol, name = symbols.of(access), str(access.tensor)
        if not roles.depends(name):
            continue
        if roles.is_stream(name):
            inner = ratio_of(roles, name)
            if inner is None:
                raise NotAlgebraicError(name)
            inner = inner.renamed(_into(roles.einsums[name], access))
            leaves |= inner.leaves
            changed[format_access(access)] = symbol * inner.value
        else:
            new = sp.Dummy(f"{format_access(access)}'", real=True)
            leaves[symbol], leaves[new] = (access, "old"), (access, "new")
            changed[format_access(access)] = new
    before = symbols.algebraic(einsum.expr)
    after = symbols.algebraic(einsum.expr, changed)
    return _joined(Ratio(value=sp.simplify(sp.powsimp(after / before)), leaves=leaves))


def _joined(ratio: Ratio) -> Ratio:
    """Symbols of the same access and time made one."""
    first: dict[tuple[str, When], sp.Symbol] = {}
    same = {s: first.setdefault((format_access(a), when), s) for s, (a, when) in ratio.leaves.items()}
    value = sp.simplify(sp.powsimp(ratio.value.subs(same)))
    return Ratio(value=value, leaves={s: ratio.leaves[s] for s in dict.fromkeys(same.values())})


def _into(einsum: Einsum, access: Access) -> dict[str, Affine]:
    """The variables of an Einsum's left side as an access has them."""
    into: dict[str, Affine] = {}
    for own, given in zip(einsum.output.indices, access.indices, strict=True):
        name = plain_variable(own.expr)
        if name is None or not isinstance(given.expr, Affine):
            raise NotAlgebraicError(format_access(access))
        into[str(name)] = given.expr
    return into
