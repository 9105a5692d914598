"""A dataflow held against the cascade and the machine that it is applied to: every fault, located in its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fusemap.archspec.document import Path
from fusemap.archspec.types import Machine, Memory
from fusemap.diagnostics import Diagnostic, did_you_mean, nearest
from fusemap.mappers.dataflow import Dataflow, EinsumModel, NestModel, StageModel
from fusemap.mappers.faults_fusion import fusion_faults
from fusemap.mappers.types import Problem
from fusemap.mappers.units import cannot_compute, find_units


def name_faults(dataflow: Dataflow, problem: Problem) -> tuple[Diagnostic, ...]:
    """Einsums of the file that the cascade lacks, and tensors that their Einsums do not touch."""
    checker = _Checker(dataflow=dataflow, problem=problem)
    for einsum, model in dataflow.model.einsums.items():
        checker.einsum(einsum, model)
    return tuple(checker.found)


def nest_faults(dataflow: Dataflow, problem: Problem, machine: Machine) -> tuple[Diagnostic, ...]:
    """Every fault of the nests in use, of the binding and of the memories.

    Memories and arrays that the machine lacks or that stand in the wrong order, loops over no rank, ranks
    without a loop, keep sets and searches at levels that are not there, arrays without a unit that is
    needed, and a binding that does not run each Einsum once on its array. What follows from another fault
    is left out.
    """
    checker = _Checker(dataflow=dataflow, problem=problem)
    model = dataflow.model
    known = {s.name for s in problem.spaces}
    entries = {einsum: entry for einsum, entry in model.einsums.items() if einsum in known}
    used = dict.fromkeys(n for entry in entries.values() for n in _nests(entry) if n in model.nests)
    sound = [nest for nest in used if checker.nest(nest, model.nests[nest], machine)]
    for einsum, entry in entries.items():
        checker.levels(einsum, entry, machine, sound)
    checker.binding(machine)
    checker.memories(machine)
    return (*checker.found, *fusion_faults(dataflow, problem))


def storage_names(machine: Machine) -> tuple[str, ...]:
    """Names of the levels that can hold tensors: memories and each array's registers."""
    return (*(m.name for m in machine.memories), *(f"{a.name}.registers" for a in machine.arrays))


def _nests(model: EinsumModel) -> tuple[str, ...]:
    """Names of the nests that an Einsum may use."""
    return (model.nest,) if isinstance(model.nest, str) else tuple(choice.use for choice in model.nest)


@dataclass(slots=True, kw_only=True)
class _Checker:
    """Collects the faults of one dataflow."""

    dataflow: Dataflow
    problem: Problem
    found: list[Diagnostic] = field(default_factory=list)

    def fail(self, path: Path, message: str, *, hint: str = "", key: bool = False) -> None:
        self.found.append(self.dataflow.document.diagnostic(path, message, hint=hint, key=key))

    def known(self, path: Path, name: str, valid: Sequence[str], what: str, *, key: bool = False) -> bool:
        """Whether a name is valid; a fault that says `what` is missing otherwise."""
        if name not in valid:
            self.fail(path, f'{what} "{name[:60]}"', hint=did_you_mean(name, valid), key=key)
        return name in valid

    def einsum(self, einsum: str, model: EinsumModel) -> None:
        at: Path = ("einsums", einsum)
        present = [s.name for s in self.problem.spaces]
        copies = self.dataflow.model.einsums
        plain = [name for name in present if name not in copies or copies[name].copy_of is None]
        if model.copy_of is not None and not self.known((*at, "copy_of"), model.copy_of, plain, "no Einsum to copy"):
            return
        if einsum not in present:
            meant = f"dataflow {self.dataflow.name} is for {', '.join(self.dataflow.model.cascades)}"
            hint = f"{did_you_mean(einsum, present)} ({meant})"
            self.fail(at, f"cascade {self.problem.cascade} has no Einsum {einsum[:60]}", hint=hint, key=True)
            return
        touched = sorted({o.tensor for o in self.problem.space(einsum).operands})
        absent = f"Einsum {einsum} does not touch"
        self.reads(einsum, model)
        for memory, kept in model.keep.items():
            for i, item in enumerate(kept):
                path: Path = (*at, "keep", memory, i)
                if isinstance(item, str):
                    self.known(path, item, touched, absent)
                    continue
                for tensor in item:
                    self.known((*path, tensor), tensor, touched, absent, key=True)
        if model.spill is not None:
            for i, tensor in enumerate(model.spill.tensors or ()):
                self.known((*at, "spill", "tensors", i), tensor, touched, absent)

    def reads(self, einsum: str, model: EinsumModel) -> None:
        """Each tensor that an entry reads in place of another is that of a copy of the Einsum that makes it."""
        entries = self.dataflow.model.einsums
        copies = {name: entry.copy_of for name, entry in entries.items() if entry.copy_of is not None}
        touched = {o.tensor for o in self.problem.space(einsum).operands}
        for tensor, copy in model.reads.items():
            path: Path = ("einsums", einsum, "reads", tensor)
            if not self.known(path, copy, list(copies), "no entry copies an Einsum as"):
                continue
            if copies[copy] != tensor:
                self.fail(path, f"{copy} is a copy of {copies[copy]}, not of {tensor}")
            elif copy not in touched:
                self.fail(path, f"Einsum {einsum} does not read {tensor}", key=True)

    def levels(self, einsum: str, model: EinsumModel, machine: Machine, sound: Sequence[str]) -> None:
        """Nests, memories and ranks that the entry of an Einsum names."""
        at: Path = ("einsums", einsum)
        nests = self.dataflow.model.nests
        for i, name in enumerate(_nests(model)):
            path: Path = (*at, "nest") if isinstance(model.nest, str) else (*at, "nest", i, "use")
            self.known(path, name, list(nests), "unknown nest")
            if name in sound:
                self._covers(einsum, name, path)
                self._computes(einsum, nests[name].array, path, machine)
        for memory in model.keep:
            self.known((*at, "keep", memory), memory, storage_names(machine), _lacks(machine, "memory"), key=True)
        if all(name in sound for name in _nests(model)):
            self._within(einsum, model, machine, [nests[name] for name in _nests(model)])

    def _within(self, einsum: str, model: EinsumModel, machine: Machine, nests: Sequence[NestModel]) -> None:
        """Levels and loops of its nests that the entry of an Einsum names."""
        at: Path = ("einsums", einsum)
        there = [level.memory for nest in nests for level in nest.levels if level.memory is not None]
        inner = [memory for memory in dict.fromkeys(there) if memory != machine.memories[0].name]
        for memory in model.keep:
            if memory in storage_names(machine):
                self.known((*at, "keep", memory), memory, there, f"the nest of {einsum} has no level", key=True)
        if model.spill is not None:
            self.known((*at, "spill", "memory"), model.spill.memory, inner, f"the nest of {einsum} has no inner level")
        if model.search is not None:
            path: Path = (*at, "search", "at")
            there_is = self.known(path, model.search.at, inner, f"the nest of {einsum} has no inner level")
            if there_is and "order" in model.search.free:
                self._is_free(path, model.search.at, nests)
            split = [rank for nest in nests for item in nest.levels[0].loops for rank in item]
            for i, rank in enumerate(model.search.split):
                absent = f"the outermost level of the nest of {einsum} has no loop over"
                self.known((*at, "search", "split", i), rank, split, absent)

    def _is_free(self, path: Path, memory: str, nests: Sequence[NestModel]) -> None:
        """A search for the order sets the loops of its level, so the level must not have any."""
        loops = [rank for nest in nests for level in nest.levels if level.memory == memory for rank in level.loops]
        if loops:
            self.fail(path, f"a search sets the loops of {memory}, but the nest gives it loops")

    def _covers(self, einsum: str, name: str, path: Path) -> None:
        """Every rank that has more than one coordinate needs a loop; one over no rank is its misspelling."""
        loops: dict[str, list[Path]] = {}
        for i, level in enumerate(self.dataflow.model.nests[name].levels):
            for j, item in enumerate(level.loops):
                for rank in item:
                    loops.setdefault(rank, []).append(("nests", name, "levels", i, "loops", j, rank))
        ranks = {rank for space in self.problem.spaces for rank, _ in space.ranks}
        stray = [rank for rank in loops if rank not in ranks]
        for rank, extent in self.problem.space(einsum).ranks:
            if rank in loops or extent == 1:
                continue
            close = nearest(rank, stray)
            if close is not None:
                message = f"no Einsum of cascade {self.problem.cascade} has a rank {close}"
                for loop in loops[close]:
                    self.fail(loop, message, hint=f"did you mean {rank}?", key=True)
                continue
            hint = f"its loops over {', '.join(stray)} match no rank of the cascade" if stray else ""
            self.fail(path, f"nest {name} has no loop over {rank}, which Einsum {einsum} needs", hint=hint)

    def _computes(self, einsum: str, name: str, path: Path, machine: Machine) -> None:
        """The nest's array (where the machine has it) needs units for all operators."""
        array = next((a for a in machine.arrays if a.name == name), None)
        space = self.problem.space(einsum)
        if array is not None and find_units(array, space.operators) is None:
            message, hint = cannot_compute(machine, array, space)
            self.fail(path, message, hint=hint)

    def nest(self, name: str, nest: NestModel, machine: Machine) -> bool:
        """Whether a nest is sound in itself."""
        at: Path = ("nests", name)
        before = len(self.found)
        arrays = {array.name: [dim.name for dim in array.dims] for array in machine.arrays}
        self.known((*at, "array"), nest.array, list(arrays), _lacks(machine, "array"))
        order = {name: i for i, name in enumerate(storage_names(machine))}
        last, spread = -1, list[str]()
        for i, level in enumerate(nest.levels):
            path: Path = (*at, "levels", i)
            if (level.memory is None) == (level.spatial is None):
                self.fail(path, 'a level is either a "memory" or "spatial"')
            elif level.spatial is not None:
                spread.append(level.spatial)
                if nest.array in arrays:
                    absent = f"array {nest.array} has no dimension"
                    self.known((*path, "spatial"), level.spatial, arrays[nest.array], absent)
            elif self.known((*path, "memory"), level.memory or "", list(order), _lacks(machine, "memory")):
                inside = nest.levels[i - 1] if i else level
                again = level.memory == inside.memory and None not in (level.keep, inside.keep) and i > 0
                last = self._in_order((*path, "memory"), order, level.memory or "", last, machine, again=again)
                if last < len(machine.memories):
                    self._owner((*path, "memory"), machine.memories[last], spread)
            if level.keep is not None:
                self._keeps((*path, "keep"), name, nest, i)
        if last < 0 and len(self.found) == before:
            self.fail((*at, "levels"), f"nest {name} has no memory level")
        return len(self.found) == before

    def _owner(self, path: Path, memory: Memory, spread: list[str]) -> None:
        """A memory stands inside the fanouts over the dimensions that it is per, and inside no other."""
        per = ", ".join(memory.per)
        for dim in spread:
            if dim not in memory.per:
                one = f"there is one per {per}" if per else "there is only one"
                self.fail(path, f"{memory.name} stands inside the fanout over {dim}, but {one}")
                return
        absent = [dim for dim in memory.per if dim not in spread]
        if absent:
            hint = f"a level {{spatial: {absent[0]}}} before it would do"
            message = f"{memory.name}, of which there is one per {per}, needs that fanout outside"
            self.fail(path, message, hint=hint)

    def _keeps(self, path: Path, name: str, nest: NestModel, index: int) -> None:
        """A level's own keep set: of a memory, and of tensors that are there."""
        level = nest.levels[index]
        users = [e for e, entry in self.dataflow.model.einsums.items() if name in _nests(entry)]
        if level.memory is None:
            self.fail(path, "only a memory keeps tensors", key=True)
        elif any(level.memory in self.dataflow.model.einsums[e].keep for e in users):
            self.fail(path, f"what {level.memory} keeps is said here and in the entry of an Einsum", key=True)
        touched = sorted({o.tensor for s in self.problem.spaces if s.name in users for o in s.operands})
        for i, tensor in enumerate(level.keep or ()):
            self.known((*path, i), tensor, touched, "no Einsum of this nest touches")

    def _in_order(
        self, path: Path, order: dict[str, int], memory: str, last: int, machine: Machine, *, again: bool = False
    ) -> int:
        """Memories stand from the outermost in, each once, registers (in any order) after them.

        `again`: the level follows one of the same memory, and both say what they keep.
        """
        memories = len(machine.memories)
        position = min(order[memory], memories)
        if last < 0 and position:
            self.fail(path, f"the outermost level must be {machine.memories[0].name}, found {memory}")
        elif position < last or (position == last and position < memories and not again):
            valid = ", ".join(m.name for m in machine.memories)
            self.fail(path, f"{memory} is out of order", hint=f"memories from the outermost in, each once: {valid}")
        return max(position, last)

    def memories(self, machine: Machine) -> None:
        """Memories that need something, and tensors that share a place."""
        valid = [memory.name for memory in machine.memories]
        for i, need in enumerate(self.dataflow.model.needs):
            self.known(("needs", i, "memory"), need.memory, valid, _lacks(machine, "memory"))
        tensors = sorted({o.tensor for space in self.problem.spaces for o in space.operands})
        for i, group in enumerate(self.dataflow.model.in_place):
            for j, tensor in enumerate(group):
                self.known(("in_place", i, j), tensor, tensors, f"cascade {self.problem.cascade} has no tensor")

    def binding(self, machine: Machine) -> None:
        """Each Einsum of the file runs once, on its array; stalls name Einsums."""
        bound: set[str] = set()
        for i, phase in enumerate(self.dataflow.model.binding):
            for j, stage in enumerate(phase.stages):
                self._stage(("binding", i, "stages", j), stage, machine, bound)
        for einsum in self.dataflow.model.einsums:
            if einsum not in bound:
                self.fail(("binding",), f"the binding does not run Einsum {einsum}", key=True)

    def _stage(self, at: Path, stage: StageModel, machine: Machine, bound: set[str]) -> None:
        model = self.dataflow.model
        valid = list(model.einsums)
        for array, einsums in stage.work.items():
            arrays = [a.name for a in machine.arrays]
            array_known = self.known((*at, "work", array), array, arrays, _lacks(machine, "array"), key=True)
            for k, einsum in enumerate(einsums):
                path: Path = (*at, "work", array, k)
                if not self.known(path, einsum, valid, f"dataflow {self.dataflow.name} maps no Einsum"):
                    continue
                if einsum in bound:
                    self.fail(path, f"Einsum {einsum} is bound twice")
                bound.add(einsum)
                on = {model.nests[n].array for n in _nests(model.einsums[einsum]) if n in model.nests}
                if array_known and on and array not in on and on <= {*arrays}:
                    self.fail(path, f"Einsum {einsum} runs on {array}, but its nest is for {', '.join(sorted(on))}")
        for k, stall in enumerate(stage.stalls):
            absent = f"dataflow {self.dataflow.name} maps no Einsum"
            self.known((*at, "stalls", k, "einsum"), stall.einsum, valid, absent)


def _lacks(machine: Machine, what: str) -> str:
    return f"machine {machine.name} has no {what}"
