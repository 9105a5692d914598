"""A cascade's Einsums as folders of Timeloop v4 files, one folder per Einsum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusemap.archspec.types import Machine, Workload
from fusemap.diagnostics import DoesNotFit, Violation, did_you_mean, input_error
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow
from fusemap.sim.choose import plan_case
from fusemap.validation.timeloop.build import specification
from fusemap.validation.timeloop.projections import projections
from fusemap.validation.timeloop.refusals import refusals
from fusemap.validation.timeloop.text import files, mapper_text
from fusemap.validation.timeloop.vocabulary import identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedEinsum:
    """The files of one Einsum by name, and what Timeloop takes otherwise than our model."""

    einsum: str
    folder: str
    files: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeloopExport:
    """Einsums of one mapping as Timeloop v4 files."""

    cascade: str
    arch: str
    workload: str
    dataflow: str
    einsums: tuple[ExportedEinsum, ...]

    def to_json(self) -> dict[str, object]:
        """The document of `fusemap export timeloop --json`."""
        return {
            "schema": "fusemap/export/1",
            "format": "timeloop",
            "cascade": self.cascade,
            "arch": self.arch,
            "workload": self.workload,
            "dataflow": self.dataflow,
            "einsums": [
                {"einsum": e.einsum, "folder": e.folder, "notes": list(e.notes), "files": dict(e.files)}
                for e in self.einsums
            ],
        }


def export_einsums(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow | None = None,
    *,
    einsums: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    mapper: bool = False,
) -> TimeloopExport:
    """The Einsums of the mapping that `evaluate` would take, as Timeloop v4 files; all, or those named.

    `mapper` adds the settings and constraints for timeloop-mapper. InputError: something does not match or is not
    known; DoesNotFit: no mapping is legal, or the format has no words for what it does.
    """
    planned = plan_case(cascade, machine, workload, dataflow, sizes=sizes)
    known = [space.name for space in planned.problem.spaces]
    for name in einsums:
        if name not in known:
            raise input_error(f"{cascade.name} has no Einsum {name} to map", hint=did_you_mean(name, known))
    chosen = [space for space in planned.problem.spaces if not einsums or space.name in einsums]
    refused: list[Violation] = []
    for space in chosen:
        refused += refusals(space, planned.mapping.nest(space.name), machine)
    if refused:
        raise DoesNotFit(f"{cascade.name}, dataflow {planned.mapping.dataflow}, in Timeloop's format", tuple(refused))
    found = []
    for space in chosen:
        given = projections(cascade, space, dict(planned.problem.sizes))
        nest = planned.mapping.nest(space.name)
        spec = specification(space, nest, machine, cascade=cascade.name, projections=given)
        texts = files(spec)
        constraints = texts.pop("constraints.yaml")
        if mapper:
            texts |= {"constraints.yaml": constraints, "mapper.yaml": mapper_text()}
        found.append(ExportedEinsum(einsum=space.name, folder=identifier(space.name), files=texts, notes=spec.notes))
    return TimeloopExport(
        cascade=cascade.name,
        arch=machine.name,
        workload=planned.workload.name,
        dataflow=planned.mapping.dataflow,
        einsums=tuple(found),
    )
