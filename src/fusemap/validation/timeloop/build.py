"""From an Einsum's space and nest on a machine to Timeloop's specification."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from fusemap.archspec.components import Component
from fusemap.archspec.types import Array, Machine
from fusemap.diagnostics import DoesNotFit
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Loop, Storage
from fusemap.mappers.units import units
from fusemap.validation.timeloop import vocabulary as words
from fusemap.validation.timeloop.notes import notes_of, too_full
from fusemap.validation.timeloop.projections import Projection
from fusemap.validation.timeloop.refusals import refusals
from fusemap.validation.timeloop.spec import (
    ComputeNode,
    DataSpace,
    Loops,
    Node,
    SpatialNode,
    Specification,
    StorageNode,
)

# A tensor without ranks is indexed by a dimension of extent 1: the format has no empty projection.
UNIT = "one coordinate"


def specification(
    space: EinsumSpace,
    nest: EinsumMapping,
    machine: Machine,
    *,
    cascade: str = "",
    projections: Mapping[str, Projection] | None = None,
) -> Specification:
    """What Timeloop is told of the Einsum; `projections` are by operand label (default: one position per rank).

    DoesNotFit names everything that Timeloop's format has no words for.
    """
    refused = refusals(space, nest, machine)
    if refused:
        raise DoesNotFit(f"{space.name} in Timeloop's format", refused)
    scalars = any(not operand.ranks for operand in space.operands)
    letter = words.letters((*(rank for rank, _ in space.ranks), *((UNIT,) if scalars else ())))
    spaces = data_spaces(space, letter, projections or {})
    found = units(machine, machine.array(nest.array), space)
    energy = sum(a.count * machine.action_energy(a).value for unit in found for a in unit.actions)
    unit = ((UNIT, 1),) if scalars else ()
    nodes = _nodes(nest, machine, letter, spaces)
    compute = ComputeNode(
        name=f"{words.identifier(nest.array)}_compute",
        energy_pj=float(energy),
        area_um2=0.0,
        instances=_instances(nodes),
    )
    return Specification(
        einsum=space.name,
        cascade=cascade,
        machine=machine.name,
        dimensions=tuple((letter[rank], rank, extent) for rank, extent in (*space.ranks, *unit)),
        data_spaces=spaces,
        nodes=nodes,
        compute=compute,
        cycle_seconds=float(1 / machine.clock_hz),
        cycles_per_point=sum(unit.cycles for unit in found),
        operators=space.operators,
        notes=(*notes_of(space, spaces, sum(unit.cycles for unit in found)), *too_full(space, nest, nodes)),
    )


def data_spaces(
    space: EinsumSpace, letter: Mapping[str, str], projections: Mapping[str, Projection]
) -> tuple[DataSpace, ...]:
    """The operands, the output read and written."""
    order = [rank for rank, _ in space.ranks]
    result = []
    for operand in space.operands:
        plain: Projection = tuple(((rank, 1),) for rank in order if rank in operand.ranks) or (((UNIT, 1),),)
        given = projections.get(operand.label, plain)
        result.append(
            DataSpace(
                name=words.identifier(operand.label),
                label=operand.label,
                tensor=operand.tensor,
                projection=tuple(tuple((letter[rank], factor) for rank, factor in index) for index in given),
                read_write=operand.is_output,
            )
        )
    return tuple(result)


def _nodes(
    nest: EinsumMapping, machine: Machine, letter: Mapping[str, str], spaces: Sequence[DataSpace]
) -> tuple[Node, ...]:
    """Storage levels and fanouts from the outermost in; neighbouring fanouts share a mesh where they can."""
    nodes: list[Node] = []
    taken: set[str] = set()
    for i, level in enumerate(nest.levels):
        if isinstance(level, Fanout):
            _add_fanout(nodes, level, machine, letter, taken)
            continue
        instances = _instances(nodes)
        for n, part in enumerate(_parts(level.loops, letter)):
            kept = tuple(s.name for s in spaces if level.keeps(s.tensor)) if n == 0 else ()
            name = _fresh(words.identifier(level.memory) + ("_loops" if n else ""), taken)
            if n:
                nodes.append(_pass_through(name, level.memory, part, instances, machine))
            else:
                outside = [lv for lv in nest.levels[:i] if isinstance(lv, Fanout)]
                nodes.append(_storage(name, i, level, machine, outside, instances, part, kept))
    return tuple(nodes)


def _parts(loops: Sequence[Loop], letter: Mapping[str, str]) -> list[Loops]:
    """The loops in groups in which no rank repeats: a level of Timeloop has one factor per dimension."""
    parts: list[list[tuple[str, int]]] = [[]]
    for loop in loops:
        if loop.bound == 1:
            continue
        if any(name == letter[loop.rank] for name, _ in parts[-1]):
            parts.append([])
        parts[-1].append((letter[loop.rank], loop.bound))
    return [tuple(part) for part in parts]


def _storage(
    name: str,
    index: int,
    level: Storage,
    machine: Machine,
    outside: Sequence[Fanout],
    instances: int,
    loops: Loops,
    keep: tuple[str, ...],
) -> StorageNode:
    registers = {f"{array.name}.registers": array for array in machine.arrays}
    component: Component
    depth: int | None
    if level.memory in registers:
        array = registers[level.memory]
        component, block, bandwidth = array.registers.component, 1, None
        kind, depth = words.REGISTERS, _register_words(array, outside)
    else:
        memory = machine.memory(level.memory)
        component, block = memory.component, int(memory.words_per_access)
        per_second = memory.bandwidth_bytes_per_s
        if per_second is not None:
            per_second = per_second / machine.instances(memory)
        bandwidth = None if per_second is None else float(per_second / machine.word_bytes / machine.clock_hz)
        kind = words.SRAM if memory.on_chip else words.DRAM
        capacity = memory.capacity_bytes
        depth = None if capacity is None else capacity // machine.word_bytes // block
    return StorageNode(
        name=name,
        memory=level.memory,
        level=index,
        kind=kind,
        instances=instances,
        word_bits=machine.word_bytes * 8,
        block_words=block,
        depth=depth,
        bandwidth=bandwidth,
        read_pj=float(component.energy("read").value),
        write_pj=float(component.energy("write").value),
        area_um2=0.0 if component.area_um2 is None else float(component.area_um2.value),
        loops=loops,
        keep=keep,
    )


def _register_words(array: Array, outside: Sequence[Fanout]) -> int:
    """Words that one instance of the register level has: above the fanout it is the file of the whole array."""
    inside = [array.dim(f.dim).extent for f in outside if f.array == array.name]
    return array.registers.depth_words * array.pes // math.prod(inside)


def _pass_through(name: str, memory: str, loops: Loops, instances: int, machine: Machine) -> StorageNode:
    """A level that keeps nothing: it carries a second factor of a dimension."""
    return StorageNode(
        name=name,
        memory=memory,
        level=None,
        kind=words.SRAM,
        instances=instances,
        word_bits=machine.word_bytes * 8,
        block_words=1,
        depth=1,
        bandwidth=None,
        read_pj=0.0,
        write_pj=0.0,
        area_um2=0.0,
        loops=loops,
        keep=(),
    )


def _add_fanout(nodes: list[Node], level: Fanout, machine: Machine, letter: Mapping[str, str], taken: set[str]) -> None:
    """A fanout as the second direction of the mesh before it, where no dimension repeats, else as its own."""
    extent = machine.array(level.array).dim(level.dim).extent
    loops = tuple((letter[loop.rank], loop.bound) for loop in level.loops if loop.bound > 1)
    last = nodes[-1] if nodes else None
    if isinstance(last, SpatialNode) and last.mesh_y == 1 and not last.loops_y and not _shared(last.loops_x, loops):
        nodes[-1] = dataclasses.replace(last, mesh_y=extent, loops_y=loops)
        return
    name = _fresh(f"{words.identifier(level.array)}_{words.identifier(level.dim)}", taken)
    nodes.append(SpatialNode(name=name, mesh_x=extent, mesh_y=1, loops_x=loops, loops_y=()))


def _shared(one: Loops, other: Loops) -> bool:
    """True when a dimension has a loop in both."""
    return bool({name for name, _ in one} & {name for name, _ in other})


def _instances(nodes: Sequence[Node]) -> int:
    return math.prod(node.mesh_x * node.mesh_y for node in nodes if isinstance(node, SpatialNode))


def _fresh(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken."""
    n, found = 1, name
    while found in taken:
        n += 1
        found = f"{name}_{n}"
    taken.add(found)
    return found
