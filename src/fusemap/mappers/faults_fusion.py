"""The `fusion` of a dataflow held against its binding: every phase, with each of its Einsums in one group."""

from __future__ import annotations

from collections.abc import Iterator

from fusemap.archspec.document import Path
from fusemap.diagnostics import Diagnostic, did_you_mean
from fusemap.mappers.dataflow import Dataflow, FusionModel, PhaseModel
from fusemap.mappers.types import Problem


def fusion_faults(dataflow: Dataflow, problem: Problem) -> Iterator[Diagnostic]:
    """Phases without a fusion, Einsums in no or in two groups, ranks and tensors that are not there."""
    model, document = dataflow.model, dataflow.document
    if not model.fusion:
        return
    unmapped = sorted({s.name for s in problem.spaces} - {*model.einsums})
    if unmapped:
        message = f"fusion says what every phase does, but the file maps no Einsum {unmapped[0]}"
        yield document.diagnostic(("fusion",), message, hint="map it too, or leave fusion out", key=True)
    if len(model.fusion) != len(model.binding):
        message = f"fusion has {len(model.fusion)} entries for {len(model.binding)} phases"
        yield document.diagnostic(
            ("fusion",), message, hint="one for each phase of the binding, in its order", key=True
        )
        return
    for i, (fusion, phase) in enumerate(zip(model.fusion, model.binding, strict=True)):
        yield from _groups(dataflow, i, fusion, phase)
        yield from _names(dataflow, problem, i, fusion)


def _groups(dataflow: Dataflow, index: int, fusion: FusionModel, phase: PhaseModel) -> Iterator[Diagnostic]:
    """Every Einsum of the phase is in one group."""
    document = dataflow.document
    bound = [e for stage in phase.stages for einsums in stage.work.values() for e in einsums]
    placed: set[str] = set()
    for g, group in enumerate(fusion.groups):
        for k, einsum in enumerate(group.einsums):
            path: Path = ("fusion", index, "groups", g, "einsums", k)
            if einsum not in bound:
                message = f'phase "{phase.phase}" runs no Einsum {einsum[:60]}'
                yield document.diagnostic(path, message, hint=did_you_mean(einsum, bound))
            elif einsum in placed:
                yield document.diagnostic(path, f"Einsum {einsum} is in two groups")
            placed.add(einsum)
    left = [einsum for einsum in bound if einsum not in placed]
    if left:
        message = f'Einsum {left[0]} of phase "{phase.phase}" is in no group'
        yield document.diagnostic(("fusion", index, "groups"), message, key=True)


def _names(dataflow: Dataflow, problem: Problem, index: int, fusion: FusionModel) -> Iterator[Diagnostic]:
    """Loops are over ranks of the Einsums, and what is held they touch."""
    document = dataflow.document
    inside = {e for group in fusion.groups for e in group.einsums}
    spaces = [s for s in problem.spaces if s.name in inside]
    shared = set.intersection(*({r for r, _ in s.ranks} for s in spaces)) if spaces else set()
    for i, item in enumerate(fusion.loops):
        for rank in item:
            if rank not in shared:
                message = f"not every Einsum of the phase has a rank {rank[:60]}"
                path: Path = ("fusion", index, "loops", i, rank)
                yield document.diagnostic(path, message, hint=did_you_mean(rank, sorted(shared)), key=True)
    touched = sorted({o.tensor for s in spaces for o in s.operands})
    for key, tensors in (("held", fusion.held), ("twice", fusion.twice)):
        for i, tensor in enumerate(tensors):
            if tensor not in touched:
                message = f'no Einsum of the phase touches "{tensor[:60]}"'
                yield document.diagnostic(("fusion", index, key, i), message, hint=did_you_mean(tensor, touched))
