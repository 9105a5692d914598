"""Is a mapping legal? Coverage of every iteration space, capacity, fanout, dependences; answers as data."""

from __future__ import annotations

import math
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence

from fusemap.archspec.arithmetic import largest_divisor
from fusemap.archspec.decide import largest, smallest
from fusemap.archspec.types import Machine
from fusemap.diagnostics import DoesNotFit, Violation, did_you_mean
from fusemap.mappers.room import group_words
from fusemap.mappers.types import (
    EinsumMapping,
    EinsumSpace,
    Fanout,
    Mapping,
    Operand,
    Phase,
    Problem,
    Storage,
    distinct,
)


def require_legal(
    problem: Problem, mapping: Mapping, machine: Machine, *, in_place: Sequence[Sequence[str]] = ()
) -> None:
    """Raise DoesNotFit with every violation of `violations`, if there is one."""
    found = violations(problem, mapping, machine, in_place=in_place)
    if found:
        raise DoesNotFit(
            f"{problem.cascade} for {problem.workload} on {machine.name}, dataflow {mapping.dataflow}", found
        )


def violations(
    problem: Problem, mapping: Mapping, machine: Machine, *, in_place: Sequence[Sequence[str]] = ()
) -> tuple[Violation, ...]:
    """Everything that is wrong with a mapping; empty if it is legal.

    Each rank's bounds multiply to its extent; each array dimension is wide enough; what an Einsum keeps in
    registers and what a phase keeps in a memory fits (tensors of one `in_place` group share their space, a
    spilled fraction takes none); every operand is kept somewhere; a recurrence is not spread over lanes;
    each Einsum runs once, on its array, not before what it reads.
    """
    found: list[Violation] = []
    for space in problem.spaces:
        nest = mapping.nest(space.name)
        found += _coverage(space, nest)
        found += _fanout(nest, machine)
        found += _sequence(space, nest)
        found += _registers(space, nest, machine)
        found += _homeless(space, nest)
        found += _unstored(problem, space, nest)
    for i, phase in enumerate(mapping.binding):
        if mapping.fusion:
            found += _fused_capacity(problem, mapping, i, machine)
        else:
            found += _capacity(problem, mapping, phase, machine, in_place)
    return (*found, *_order(problem, mapping))


def _coverage(space: EinsumSpace, nest: EinsumMapping) -> list[Violation]:
    done: dict[str, int] = {}
    for level in nest.levels:
        for loop in level.loops:
            done[loop.rank] = done.get(loop.rank, 1) * loop.bound
    extents = dict(space.ranks)
    found = []
    for rank in sorted({*done, *extents}):
        need, covered = extents.get(rank, 1), done.get(rank, 1)
        if need != covered:
            what, hint = f"{space.name}: loops over {rank}", f"their bounds must multiply to {need}"
            found.append(Violation(what=what, need=need, limit=covered, unit="coordinates", hint=hint))
    return found


def _fanout(nest: EinsumMapping, machine: Machine) -> list[Violation]:
    used: dict[tuple[str, str], int] = {}
    for level in nest.levels:
        if isinstance(level, Fanout):
            key = (level.array, level.dim)
            used[key] = used.get(key, 1) * math.prod(loop.bound for loop in level.loops)
    found = []
    for (array, dim), need in used.items():
        limit = machine.array(array).dim(dim).extent
        if need > limit:
            what, hint = f"{nest.einsum}: fanout over {array}.{dim}", f"{largest_divisor(need, limit)} fits"
            found.append(Violation(what=what, need=need, limit=limit, unit=dim, hint=hint))
    return found


def _sequence(space: EinsumSpace, nest: EinsumMapping) -> list[Violation]:
    """Ranks that a recurrence steps through one by one must not be spread."""
    found = []
    for level in nest.levels:
        for loop in level.loops:
            if isinstance(level, Fanout) and loop.rank in space.sequential and loop.bound > 1:
                what = f"{space.name}: {loop.rank} steps through a recurrence, but {level.array}.{level.dim} spreads it"
                found.append(
                    Violation(what=what, need=loop.bound, limit=1, unit=level.dim, hint="a temporal loop fits")
                )
    return found


def _registers(space: EinsumSpace, nest: EinsumMapping, machine: Machine) -> list[Violation]:
    """Tiles in registers; a level above the fanout uses the registers of the whole array.

    Where no loop runs at or below the level, words only pass through it.
    """
    files = {f"{a.name}.registers": a for a in machine.arrays}
    found = []
    for i, level in enumerate(nest.levels):
        array = files.get(level.memory) if isinstance(level, Storage) else None
        if array is None or not any(lv.loops for lv in nest.levels[i:]):
            continue
        inside = [lv for lv in nest.levels[:i] if isinstance(lv, Fanout) and lv.array == array.name]
        instances = math.prod(loop.bound for lv in inside for loop in lv.loops)
        limit = array.registers.depth_words * largest(1, array.pes // instances)
        held = {o.label: _held(nest, f"{array.name}.registers", o) for o in distinct(space.operands)}
        if sum(held.values()) > limit:
            what = f"{space.name} in {array.name}.registers"
            need = sum(held.values())
            found.append(Violation(what=what, need=need, limit=limit, unit="words", hint=f"holds {_listed(held)}"))
    return found


def _homeless(space: EinsumSpace, nest: EinsumMapping) -> list[Violation]:
    return [
        Violation(
            what=f"{space.name}: no memory keeps {o.tensor}", need=1, limit=0, unit="keeper", hint="the outermost could"
        )
        for o in space.operands
        if not any(isinstance(lv, Storage) and lv.keeps(o.tensor) for lv in nest.levels)
    ]


def _unstored(problem: Problem, space: EinsumSpace, nest: EinsumMapping) -> list[Violation]:
    """An output that only shows another tensor needs that one in the outermost memory."""
    made, outermost = space.output.tensor, nest.levels[0]
    shown = [v for v, _ in problem.views if v in problem.external and problem.shown(v) == made]
    if not shown or made in problem.external or (isinstance(outermost, Storage) and outermost.keeps(made)):
        return []
    what = f"{space.name}: the outermost memory does not keep {made}, which the output {shown[0]} shows"
    return [Violation(what=what, need=1, limit=0, unit="keeper", hint=f"keep {made} there")]


def _capacity(
    problem: Problem, mapping: Mapping, phase: Phase, machine: Machine, in_place: Sequence[Sequence[str]]
) -> list[Violation]:
    found = []
    for memory in machine.memories:
        if memory.capacity_bytes is None:
            continue
        held = resident_words(problem, mapping, phase, memory.name, in_place)
        need = sum(held.values()) * machine.word_bytes
        if need > memory.capacity_bytes * (1 + 1e-12):
            parts = _listed({tensor: words * machine.word_bytes for tensor, words in held.items()})
            what, hint = f"{memory.name} in phase {phase.name}", f"holds {parts}"
            found.append(Violation(what=what, need=need, limit=memory.capacity_bytes, unit="B", hint=hint))
    return found


def _fused_capacity(problem: Problem, mapping: Mapping, index: int, machine: Machine) -> list[Violation]:
    """As `_capacity`, group by group: Einsums of different groups are not there at once."""
    found = []
    for memory in machine.memories:
        for group in group_words(problem, mapping, mapping.fusion[index], memory.name):
            need = sum(group.values()) * machine.word_bytes
            if memory.capacity_bytes is not None and need > memory.capacity_bytes * (1 + 1e-12):
                parts = _listed({tensor: words * machine.word_bytes for tensor, words in group.items()})
                what = f"{memory.name} in phase {mapping.binding[index].name}"
                found.append(
                    Violation(what=what, need=need, limit=memory.capacity_bytes, unit="B", hint=f"holds {parts}")
                )
    return found


def _listed(held: AbstractMapping[str, float]) -> str:
    """What takes how much, the largest first."""
    return ", ".join(f"{name} {amount:,.0f}" for name, amount in sorted(held.items(), key=lambda i: -i[1]) if amount)


def resident_words(
    problem: Problem, mapping: Mapping, phase: Phase, memory: str, in_place: Sequence[Sequence[str]] = ()
) -> dict[str, float]:
    """Words of each tensor (or in-place group, joined by +) that the phase keeps in a memory at once."""
    group = {tensor: "+".join(tensors) for tensors in in_place for tensor in tensors}
    held: dict[str, float] = {}
    known = {s.name for s in problem.spaces}
    for einsum in (e for e in phase.einsums if e in known):
        nest = mapping.nest(einsum)
        own: dict[str, float] = {}
        for operand in distinct(problem.space(einsum).operands):
            own[operand.tensor] = own.get(operand.tensor, 0) + _held(nest, memory, operand)
        for tensor, words in own.items():
            name = group.get(tensor, tensor)
            if words:
                held[name] = largest(held.get(name, 0), words)
    return held


def _held(nest: EinsumMapping, memory: str, operand: Operand) -> float:
    for i, level in enumerate(nest.levels):
        if isinstance(level, Storage) and level.memory == memory and level.keeps(operand.tensor):
            words = _tile_words(nest, i, operand)
            spilled = sum(s.fraction for s in nest.spills if s.memory == memory and operand.tensor in s.tensors)
            return words * (1 - spilled)
    return 0


def _tile_words(nest: EinsumMapping, at: int, operand: Operand) -> float:
    """Distinct words of the tile below a level; ranks that share an index reach 1 + sum of (bound - 1) * factor."""
    bounds: dict[str, int] = {}
    for level in nest.levels[at:]:
        for loop in level.loops:
            bounds[loop.rank] = bounds.get(loop.rank, 1) * loop.bound
    words = math.prod(bounds.get(rank, 1) for rank in operand.ranks)
    for terms in operand.sums:
        each = math.prod(bounds.get(rank, 1) for rank, _ in terms)
        reach = 1 + sum((bounds.get(rank, 1) - 1) * factor for rank, factor in terms)
        words = words // each * smallest(each, reach)
    return words


def _order(problem: Problem, mapping: Mapping) -> list[Violation]:
    """Each Einsum once and on its array; producers before consumers unless the phase is pipelined."""
    found = []
    reads = problem.reads
    place: dict[str, tuple[int, int]] = {}
    for i, phase in enumerate(mapping.binding):
        for j, stage in enumerate(phase.stages):
            for array, einsums in stage.work:
                for einsum in einsums:
                    found += _placed(problem, mapping, place, einsum, array)
                    place[einsum] = (i, j)
    for space in problem.spaces:
        if space.name not in place:
            hint = f"a stage on {mapping.nest(space.name).array} could run it"
            found.append(Violation(what=f"{space.name} is bound to no stage", need=1, limit=0, unit="stage", hint=hint))
            continue
        for producer in sorted({*reads[space.name]} & set(place) - {space.name}):
            found += _precedence(mapping, producer, space.name, place)
    return found


def _placed(
    problem: Problem, mapping: Mapping, place: dict[str, tuple[int, int]], einsum: str, array: str
) -> list[Violation]:
    known = {s.name for s in problem.spaces}
    if einsum not in known:
        what, hint = f"the binding runs {einsum}, which the cascade lacks", did_you_mean(einsum, sorted(known))
        return [Violation(what=what, need=1, limit=0, unit="Einsum", hint=hint)]
    if einsum in place:
        return [Violation(what=f"{einsum} is bound twice", need=2, limit=1, unit="stage", hint="one is enough")]
    mapped = mapping.nest(einsum).array
    if mapped != array:
        what, hint = f"{einsum} is bound to {array} but mapped on {mapped}", f"bind it to {mapped}"
        return [Violation(what=what, need=1, limit=0, unit="array", hint=hint)]
    return []


def _precedence(mapping: Mapping, producer: str, reader: str, place: dict[str, tuple[int, int]]) -> list[Violation]:
    made, read = place[producer], place[reader]
    same = made[0] == read[0]
    if made < read or (same and mapping.binding[made[0]].pipelined):
        return []
    where = {name: _stage_name(mapping, at) for name, at in ((producer, made), (reader, read))}
    what = f"{reader} in {where[reader]} reads {producer}, made in {where[producer]}"
    hint = f"run {producer} in an earlier stage{', or pipeline the phase' if same else ''}"
    return [Violation(what=what, need=1, limit=0, unit="stage in between", hint=hint)]


def _stage_name(mapping: Mapping, at: tuple[int, int]) -> str:
    phase = mapping.binding[at[0]]
    return f'stage "{phase.stages[at[1]].name}" of phase "{phase.name}"'
