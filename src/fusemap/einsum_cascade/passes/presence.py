"""Where the points of every statement certainly exist, as zones over its variables.

A point exists where its conditions hold and everything it reads is present. That a union operator needs only
one of its operands is not used: it would only add points.
"""

from __future__ import annotations

from collections.abc import Mapping

from fusemap.einsum_cascade.passes.model import Model, Statement, groups_of
from fusemap.einsum_cascade.passes.transfer import Transfer
from fusemap.einsum_cascade.passes.zones import EVERYWHERE, Union, Zone, close, reduced
from fusemap.einsum_cascade.types import TensorName

_ROUNDS = 8
_ALL: Union = (EVERYWHERE,)


def sure_domains(model: Model) -> Mapping[int, Union]:
    """Zones of the variables of each statement in which its points are present.

    In a recurrence, what earlier steps wrote is first taken to be present; the guess shrinks until it follows
    from itself, which is enough because every chain of steps has a beginning.
    """
    if all(s.cut.sure == frozenset() for s in model.statements):
        return {s.number: _ALL for s in model.statements}
    domains: dict[int, Union] = {s.number: _ALL for s in model.statements}
    transfer = Transfer(model=model, domains=domains, ranges={})
    ordered = [s for group in groups_of(model) for s in group]
    for _ in range(_ROUNDS):
        changed = False
        for statement in ordered:
            present = {r.access.tensor: _present(model, transfer, r.access.tensor) for r in statement.reads}
            new = _domain(transfer, present, statement)
            changed = changed or new != domains[statement.number]
            domains[statement.number] = new
        if not changed:
            return domains
    return dict.fromkeys(domains, ())


def _present(model: Model, transfer: Transfer, tensor: TensorName) -> Union:
    writers = model.writers(tensor)
    if all(transfer.domains[w.number] == _ALL for w in writers):
        return _ALL
    return reduced(z for w in writers for z in transfer.writes(_ALL, w))


def _domain(transfer: Transfer, present: Mapping[TensorName, Union], statement: Statement) -> Union:
    if statement.cut.sure is None:
        return ()
    found: list[Zone | None] = [close(statement.cut.sure)]
    for reading in statement.reads:
        union = present[reading.access.tensor]
        if union != _ALL:
            read = transfer.reads(union, reading)
            found = [close(z | r) for z in found if z is not None for r in read]
    return reduced(found)
