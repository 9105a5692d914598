"""`import_timeloop`: the files of a Timeloop v4 design as a cascade, a machine, a workload and a dataflow."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusemap.archspec.workloads import parse_workload
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade import parse
from fusemap.mappers.dataflow_text import dataflow_text
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import EinsumMapping, Fanout, Level, Loop, Phase, Stage, Storage
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.validation.timeloop.reading.design import Design, read_design
from fusemap.validation.timeloop.reading.einsum import EinsumText, einsum_text
from fusemap.validation.timeloop.reading.machine import MachineText, identifier, machine_text, quoted
from fusemap.validation.timeloop.reading.mapping import MappedLevel, MeshLoops
from fusemap.validation.timeloop.reading.notes import Note
from fusemap.validation.timeloop.reading.phrases import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedDesign:
    """The files that an import makes: pairs of a name and a text, and what they leave out.

    `storages` maps Timeloop's storages to our memories, `tensors` its data spaces to our tensors.
    """

    name: str
    sources: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    levels: tuple[tuple[str, str], ...]
    storages: tuple[tuple[str, str], ...]
    tensors: tuple[tuple[str, str], ...]
    priced: bool
    notes: tuple[Note, ...]

    @property
    def mapped(self) -> bool:
        """True when there is a dataflow, because the design had a mapping."""
        return any(name.endswith("-dataflow.yaml") for name, _ in self.files)

    def to_json(self) -> dict[str, object]:
        """The document that the command prints with --json."""
        return {
            "schema": "fusemap/import/1",
            "format": "timeloop",
            "name": self.name,
            "sources": list(self.sources),
            "files": dict(self.files),
            "levels": [{"level": name, "is": what} for name, what in self.levels],
            "storages": dict(self.storages),
            "tensors": dict(self.tensors),
            "mapped": self.mapped,
            "priced": self.priced,
            "notes": [note.to_json() for note in self.notes],
        }


def import_timeloop(
    *files: str,
    defines: Mapping[str, Value] | None = None,
    prices: Sequence[str] = (),
    name: str = "imported",
) -> ImportedDesign:
    """The cascade, machine, component table, workload and (with a mapping) dataflow of a Timeloop v4 design.

    `files` are problem, architecture, components, variables, mapping and constraints, or templates that include
    them; `prices` files of Accelergy (ERT, ART). `defines` are variables of templates, which replace `variables` of
    the specification too. InputError lists what is wrong, and what changes counts and ours cannot say, with file,
    line and column; `notes` of the result say what else is left out.
    """
    design = read_design(files, defines=defines, prices=prices)
    return written(design, name=name)


def written(design: Design, *, name: str) -> ImportedDesign:
    """The files of a design that was read."""
    label = identifier(name).replace("_", "-").strip("-") or "imported"
    origin = f"Timeloop v4 design ({', '.join(os.path.basename(f) for f in design.files)})"
    einsum = einsum_text(design.problem, label, origin)
    workload = _workload(einsum, origin)
    try:
        problem = make_problem(parse(einsum.text, file=f"{name}.cascade"), parse_workload(workload), {})
    except InputError as error:
        message = f"the problem cannot be written as a cascade: {error.diagnostics[0].message}"
        raise design.problem.place.error(message, hint=einsum.text.splitlines()[-1]) from None
    operators = problem.spaces[0].operators
    machine = machine_text(design, name=name, operators=operators, origin=origin)
    files = [
        (f"{name}.cascade", einsum.text),
        (f"{name}-workload.yaml", workload),
        (f"{name}-components.yaml", machine.components),
        (f"{name}-machine.yaml", machine.machine),
    ]
    if design.mapping is not None:
        mapping = _mapping(design.mapping, einsum, machine)
        text = dataflow_text(problem, mapping, tiles={}, description=f"the mapping of a {origin}", source=origin)
        files.append((f"{name}-dataflow.yaml", text))
    return ImportedDesign(
        name=name,
        sources=design.files,
        files=tuple(files),
        levels=tuple(_levels(design, machine)),
        storages=tuple(machine.storage.items()),
        tensors=tuple(einsum.names.items()),
        priced=design.tables is not None,
        notes=(*design.notes, *machine.notes, *_of_inputs(einsum)),
    )


def _workload(einsum: EinsumText, origin: str) -> str:
    lines = [f"description: {quoted(f'sizes of a {origin}')}", f"source: {quoted(origin)}", "ranks:"]
    return "\n".join([*lines, *(f"  {rank}: {size}" for rank, size in einsum.ranks)]) + "\n"


def _mapping(levels: Sequence[MappedLevel], einsum: EinsumText, machine: MachineText) -> CascadeMapping:
    """The nest of the Einsum, and a binding of one phase."""
    nest = EinsumMapping(
        einsum=einsum.einsum,
        array=machine.array,
        levels=tuple(found for level in levels for found in _level(level, einsum, machine)),
    )
    stage = Stage(name=einsum.einsum, work=((machine.array, (einsum.einsum,)),))
    return CascadeMapping(
        dataflow=einsum.cascade, einsums=(nest,), binding=(Phase(name=einsum.einsum, stages=(stage,)),)
    )


def _level(level: MappedLevel, einsum: EinsumText, machine: MachineText) -> Sequence[Level]:
    if isinstance(level, MeshLoops):
        loops = {"x": level.x, "y": level.y}
        return [
            Fanout(array=machine.array, dim=machine.dims[name], loops=_loops(loops[direction], einsum))
            for name, direction, _ in level.mesh.dims
        ]
    keep = frozenset(einsum.names[name] for name in level.keep)
    return [Storage(memory=machine.storage[level.storage.name], loops=_loops(level.loops, einsum), keep=keep)]


def _loops(loops: Sequence[tuple[str, int]], einsum: EinsumText) -> tuple[Loop, ...]:
    return tuple(Loop(rank=einsum.variables[name], bound=bound) for name, bound in loops)


def _levels(design: Design, machine: MachineText) -> Sequence[tuple[str, str]]:
    """Every level of the architecture and what it is in our machine."""
    found: list[tuple[str, str]] = []
    instances = design.architecture.instances_of()
    for level in design.architecture.levels:
        if level.name in instances:
            storage = next(s for s in design.architecture.storages if s.name == level.name)
            words = "unbounded" if storage.words is None else f"{storage.words} words"
            found.append((level.name, f"{machine.storage[level.name]}: {words}, {instances[level.name]} of it"))
        else:
            mesh = next(m for m in design.architecture.meshes if m.name == level.name)
            dims = ", ".join(f"{machine.dims[name]}: {extent}" for name, _, extent in mesh.dims)
            found.append((level.name, f"dimensions of {machine.array}: {dims}"))
    return [*found, (design.architecture.compute, f"{machine.array}: {design.architecture.instances} of it")]


def _of_inputs(einsum: EinsumText) -> Sequence[Note]:
    if not einsum.slides:
        return []
    text = (
        f"{', '.join(einsum.slides)}: an index is a sum of dimensions; fusemap moves a tile as the product of its "
        "sizes, so what overlaps is counted again (an upper bound of words moved; the room of a tile is exact)"
    )
    return [Note(affects="inputs", text=text)]
