"""Is a dataflow for this cascade at all? Asked before any size is known, so that the answer names the real mistake."""

from __future__ import annotations

from fusemap.diagnostics import did_you_mean
from fusemap.einsum_cascade.points import is_view
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow


def matches(cascade: Cascade, dataflow: Dataflow) -> bool:
    """True when the cascade has every Einsum that the dataflow maps, or the dataflow can map any by search."""
    return dataflow.model.otherwise == "search" or not _absent(cascade, dataflow)


def require_match(cascade: Cascade, dataflow: Dataflow) -> None:
    """InputError unless the dataflow `matches` the cascade."""
    if matches(cascade, dataflow):
        return
    absent = _absent(cascade, dataflow)
    meant = f"dataflow {dataflow.name} is for {', '.join(dataflow.model.cascades)}"
    hint = did_you_mean(absent[0], _present(cascade), noun="Einsums") if len(absent) == 1 else meant
    message = f"cascade {cascade.name} has no Einsum {', '.join(absent)}"
    raise dataflow.document.error(("einsums", absent[0]), message, hint=hint, key=True)


def _absent(cascade: Cascade, dataflow: Dataflow) -> list[str]:
    present = _present(cascade)
    return [e for e, model in dataflow.model.einsums.items() if model.copy_of is None and e not in present]


def _present(cascade: Cascade) -> list[str]:
    return [str(e.name) for e in cascade.einsums if not is_view(e)]
