"""Where the points of every statement certainly exist, as zones over its variables.

A point exists where its conditions hold and its expression is present. Filters by data (`only`) leave out points
that nobody can know before: they are taken to keep everything, the case in which most is touched.
"""

from __future__ import annotations

from collections.abc import Mapping

from fusemap.einsum_cascade.operators import BUILTIN, Operators
from fusemap.einsum_cascade.passes.model import Model, Statement
from fusemap.einsum_cascade.passes.transfer import Transfer
from fusemap.einsum_cascade.passes.zones import EVERYWHERE, Union, close, reduced
from fusemap.einsum_cascade.types import Access, Apply, Expr, TensorName

_ROUNDS = 8
_MOST = 6  # zones of a domain; more are left out, so that it claims less
_ALL: Union = (EVERYWHERE,)


def sure_domains(model: Model, operators: Operators = BUILTIN) -> Mapping[int, Union]:
    """Zones of the variables of each statement in which its points are present.

    In a recurrence, what earlier steps wrote is first taken to be present; the guess shrinks until it follows
    from itself, which is enough because every chain of steps has a beginning.
    """
    if all(s.cut.sure == frozenset() for s in model.statements):
        return {s.number: _ALL for s in model.statements}
    domains: dict[int, Union] = {s.number: _ALL for s in model.statements}
    transfer = Transfer(model=model, domains=domains, ranges={})
    ordered = [s for group in model.groups for s in group]
    for _ in range(_ROUNDS):
        changed = False
        for statement in ordered:
            new = _domain(model, transfer, statement, operators)
            changed = changed or new != domains[statement.number]
            domains[statement.number] = new
        if not changed:
            return domains
    return dict.fromkeys(domains, ())


def present(model: Model, transfer: Transfer, tensor: TensorName) -> Union:
    """Where the elements of a tensor certainly are, over its indices."""
    writers = model.writers(tensor)
    if all(transfer.domains[w.number] == _ALL for w in writers):
        return _ALL
    return reduced(z for w in writers for z in transfer.writes(_ALL, w))


def _domain(model: Model, transfer: Transfer, statement: Statement, operators: Operators) -> Union:
    """Points of a statement: its conditions, and whatever its expression needs of its operands."""
    if statement.cut.sure is None:
        return ()
    cut = close(statement.cut.sure)
    if cut is None:
        return ()
    where = _where(model, transfer, statement, statement.einsum.expr, operators)
    return reduced(close(cut | z) for z in where)


def _where(model: Model, transfer: Transfer, statement: Statement, expr: Expr, operators: Operators) -> Union:
    """Where a value is present: a union operator needs any of its operands, every other one all of them."""
    if isinstance(expr, Access):
        union = present(model, transfer, expr.tensor)
        reading = next(r for r in statement.reads if r.access == expr)
        return union if union == _ALL else transfer.reads(union, reading)
    if not isinstance(expr, Apply):
        return _ALL
    parts = [_where(model, transfer, statement, a, operators) for a in expr.args]
    if operators.map(expr.operator).union:
        return reduced(z for p in parts for z in p)[:_MOST]
    found: Union = _ALL
    for part in parts:
        if part != _ALL:
            found = reduced(close(a | b) for a in found for b in part)[:_MOST]
    return found
