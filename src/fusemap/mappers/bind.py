"""Apply a dataflow to a cascade, a workload and a machine: expressions become numbers, nests become loops."""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

from fusemap.archspec.types import Array, Machine, Workload, environment
from fusemap.diagnostics import Diagnostic, InputError, did_you_mean
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.auto import single_einsum_nest
from fusemap.mappers.dataflow import Dataflow, EinsumModel, Kept, read_table
from fusemap.mappers.names import LazyNames
from fusemap.mappers.search import SplitCost, best_split
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import (
    EinsumMapping,
    EinsumSpace,
    Fanout,
    Level,
    Loop,
    Mapping,
    Phase,
    Problem,
    Spill,
    Stage,
    Stall,
    Storage,
)


def map_cascade(
    cascade: Cascade,
    workload: Workload,
    machine: Machine,
    dataflow: Dataflow,
    *,
    cost: SplitCost,
    overrides: AbstractMapping[str, float] | None = None,
    sizes: AbstractMapping[str, int] | None = None,
) -> tuple[Problem, Mapping]:
    """The sized problem and its mapping under a dataflow.

    `cost` prices candidate mappings where the dataflow asks for a search. `overrides` replace names of
    the dataflow's expressions (what-if); `sizes` add sizes that the workload does not have. InputError:
    the dataflow does not match the cascade, a bound is not a positive integer, a name is unknown.
    """
    names = _names(dataflow, {**workload.sizes, **(sizes or {})}, machine, overrides or {})
    shapes = scope.known_shapes(cascade)
    tiles = {str(s): _whole(names, s, dataflow) for s in shapes if s in dataflow.model.tiles or s in (sizes or {})}
    problem = make_problem(cascade, workload, tiles)
    binder = _Binder(dataflow=dataflow, machine=machine, problem=problem, names=names, cost=cost, bounds={})
    return problem, binder.mapping()


def _names(
    dataflow: Dataflow, sizes: AbstractMapping[str, int], machine: Machine, overrides: AbstractMapping[str, float]
) -> LazyNames:
    model = dataflow.model
    values = {**environment(machine), **sizes, **overrides}
    expressions = {n: dataflow.located(e, "tiles", n) for n, e in model.tiles.items()}
    if model.parameters is not None:
        rules = model.parameters.rules
        expressions |= {n: dataflow.located(e, "parameters", "rules", n) for n, e in rules.items()}
        key = model.parameters.key
        for row in read_table(dataflow):
            if all(values.get(k) == row.get(k) for k in key):
                values = {**row, **values}
                break
    return LazyNames(values, expressions)


def _whole(names: LazyNames, name: str, dataflow: Dataflow) -> int:
    value = names[name]
    if value != int(value) or value < 1:
        raise dataflow.document.error(("tiles", name), f"{name} is {value:g}, expected a positive integer")
    return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binder:
    """One application of a dataflow; `bounds` remembers evaluated loop bounds."""

    dataflow: Dataflow
    machine: Machine
    problem: Problem
    names: LazyNames
    cost: SplitCost
    bounds: dict[tuple[str, int, int], int]

    def mapping(self) -> Mapping:
        model = self.dataflow.model
        covered, notes = self._covered()
        nests = tuple(self._nest(s) if s.name in covered else self._searched(s) for s in self.problem.spaces)
        tiles = tuple((n, self.names[n]) for n in model.tiles if self.names.known(n))
        return Mapping(
            dataflow=self.dataflow.name, einsums=nests, binding=self._binding(covered, nests), tiles=tiles, notes=notes
        )

    def _covered(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """Einsums that the file maps; all or none of its entries must match the cascade."""
        model = self.dataflow.model
        present = {s.name for s in self.problem.spaces}
        faults = [f for e in model.einsums for f in self._faults(e)]
        unmapped = sorted(present - set(model.einsums))
        if not faults and (not unmapped or model.otherwise == "search"):
            return frozenset(model.einsums), ()
        if model.otherwise == "search":
            meant = ", ".join(model.cascades)
            note = f"{self.dataflow.name}: its nests are for {meant}; every Einsum is mapped on its own by search"
            return frozenset(), (note,)
        if faults:
            raise InputError(tuple(faults))
        valid = f"dataflow {self.dataflow.name} maps {', '.join(model.cascades)}"
        message = (
            f"dataflow {self.dataflow.name} has no nest for {', '.join(unmapped)} of cascade {self.problem.cascade}"
        )
        raise self.dataflow.document.error(("einsums",), message, hint=valid)

    def _faults(self, einsum: str) -> list[Diagnostic]:
        document, model = self.dataflow.document, self.dataflow.model
        present = [s.name for s in self.problem.spaces]
        if einsum not in present:
            message = f"cascade {self.problem.cascade} has no Einsum {einsum}"
            return [document.diagnostic(("einsums", einsum), message, hint=did_you_mean(einsum, present), key=True)]
        touched = sorted({o.tensor for o in self.problem.space(einsum).operands})
        faults = []
        for memory, kept in model.einsums[einsum].keep.items():
            for i, item in enumerate(kept):
                for tensor in [item] if isinstance(item, str) else item:
                    if tensor not in touched:
                        message = f"Einsum {einsum} does not touch {tensor}"
                        path = ("einsums", einsum, "keep", memory, i)
                        faults.append(document.diagnostic(path, message, hint=did_you_mean(tensor, touched)))
        return faults

    def _nest(self, space: EinsumSpace) -> EinsumMapping:
        model = self.dataflow.model.einsums[space.name]
        name = self._chosen(space.name, model)
        nest = self.dataflow.model.nests[name]
        array = self.machine.array(nest.array)
        ranks = {rank for rank, _ in space.ranks}
        kept = {memory: self._kept(space.name, memory, items) for memory, items in model.keep.items()}
        last = max(i for i, level in enumerate(nest.levels) if level.memory is not None)
        levels: list[Level] = []
        for i, level in enumerate(nest.levels):
            loops = tuple(
                Loop(rank=rank, bound=self._bound(name, i, j, rank))
                for j, item in enumerate(level.loops)
                for rank in item
                if rank in ranks
            )
            if level.spatial is not None:
                levels.append(Fanout(array=array.name, dim=array.dim(level.spatial).name, loops=loops))
                continue
            memory = self._memory(name, i, level.memory or "")
            keep = kept.get(memory, frozenset())
            if memory == self.machine.memories[0].name:
                keep |= self.problem.external & {o.tensor for o in space.operands}
            levels.append(Storage(memory=memory, loops=loops, keep=None if i == last else keep))
        mapped = EinsumMapping(einsum=space.name, array=array.name, levels=tuple(levels))
        if model.search is not None:
            mapped = best_split(space, mapped, self.machine, model.search.at, tuple(model.search.split), self.cost)
        return self._with_spill(mapped, model)

    def _chosen(self, einsum: str, model: EinsumModel) -> str:
        if isinstance(model.nest, str):
            return self._known_nest(model.nest, ("einsums", einsum, "nest"))
        for i, choice in enumerate(model.nest):
            path = ("einsums", einsum, "nest", i)
            if choice.when is None or self.dataflow.located(choice.when, *path, "when").evaluate(self.names):
                return self._known_nest(choice.use, (*path, "use"))
        raise self.dataflow.document.error(("einsums", einsum, "nest"), f"no choice of nest applies to {einsum}")

    def _known_nest(self, name: str, path: tuple[str | int, ...]) -> str:
        if name not in self.dataflow.model.nests:
            hint = did_you_mean(name, list(self.dataflow.model.nests), noun="nests")
            raise self.dataflow.document.error(path, f"unknown nest {name}", hint=hint)
        return name

    def _bound(self, nest: str, level: int, index: int, rank: str) -> int:
        key = (nest, level, index)
        if key not in self.bounds:
            path = ("nests", nest, "levels", level, "loops", index, rank)
            expression = self.dataflow.model.nests[nest].levels[level].loops[index][rank]
            value = self.dataflow.located(expression, *path).evaluate(self.names)
            if value != int(value) or value < 1:
                message = f"loop bound {expression} of {rank} is {value:g}, expected a positive integer"
                raise self.dataflow.document.error(path, message)
            self.bounds[key] = int(value)
        return self.bounds[key]

    def _memory(self, nest: str, level: int, name: str) -> str:
        valid = storage_names(self.machine)
        if name not in valid:
            path = ("nests", nest, "levels", level, "memory")
            hint = did_you_mean(name, valid, noun="memories")
            raise self.dataflow.document.error(path, f"machine {self.machine.name} has no memory {name}", hint=hint)
        return name

    def _kept(self, einsum: str, memory: str, items: Kept) -> frozenset[str]:
        self._check_keep_memory(einsum, memory)
        kept: list[str] = []
        for i, item in enumerate(items):
            if isinstance(item, str):
                kept.append(item)
                continue
            for tensor, expression in item.items():
                path = ("einsums", einsum, "keep", memory, i, tensor)
                if self.dataflow.located(expression, *path).evaluate(self.names):
                    kept.append(tensor)
        return frozenset(kept)

    def _check_keep_memory(self, einsum: str, memory: str) -> None:
        valid = storage_names(self.machine)
        if memory not in valid:
            hint = did_you_mean(memory, valid, noun="memories")
            path = ("einsums", einsum, "keep", memory)
            raise self.dataflow.document.error(path, f"{self.machine.name} has no memory {memory}", hint=hint, key=True)

    def _with_spill(self, nest: EinsumMapping, model: EinsumModel) -> EinsumMapping:
        if model.spill is None:
            return nest
        path = ("einsums", nest.einsum, "spill", "fraction")
        fraction = self.dataflow.located(model.spill.fraction, *path).evaluate(self.names)
        if not 0 <= fraction <= 1:
            raise self.dataflow.document.error(path, f"spilled fraction is {fraction:g}, expected 0 to 1")
        storage = next((lv for lv in nest.levels if isinstance(lv, Storage) and lv.memory == model.spill.memory), None)
        kept = storage.keep if storage is not None and storage.keep is not None else frozenset()
        tensors = kept if model.spill.tensors is None else frozenset(model.spill.tensors)
        spill = Spill(memory=model.spill.memory, fraction=fraction, tensors=tensors)
        return EinsumMapping(einsum=nest.einsum, array=nest.array, levels=nest.levels, spills=(spill,))

    def _searched(self, space: EinsumSpace) -> EinsumMapping:
        nest, at, split = single_einsum_nest(space, self.machine)
        return best_split(space, nest, self.machine, at, split, self.cost)

    def _binding(self, covered: frozenset[str], nests: tuple[EinsumMapping, ...]) -> tuple[Phase, ...]:
        """The file's phases, and one phase for each Einsum that was mapped on its own, in cascade order."""
        order = {s.name: i for i, s in enumerate(self.problem.spaces)}
        phases = [self._phase(i) for i in range(len(self.dataflow.model.binding))] if covered else []
        for nest in nests:
            if nest.einsum not in covered:
                stage = Stage(name=nest.einsum, work=((nest.array, (nest.einsum,)),))
                phases.append(Phase(name=nest.einsum, stages=(stage,), pipelined=False))
        return tuple(sorted(phases, key=lambda p: max((order[e] for e in p.einsums), default=0)))

    def _phase(self, index: int) -> Phase:
        model = self.dataflow.model.binding[index]
        stages = []
        for j, stage in enumerate(model.stages):
            stalls = []
            for k, stall in enumerate(stage.stalls):
                path = ("binding", index, "stages", j, "stalls", k, "factor")
                factor = int(self.dataflow.located(stall.factor, *path).evaluate(self.names))
                stalls.append(Stall(einsum=stall.einsum, factor=factor, why=stall.why))
            work = tuple((self._array(a, (index, j)).name, tuple(es)) for a, es in stage.work.items())
            stages.append(Stage(name=stage.name, work=work, stalls=tuple(stalls)))
        return Phase(name=model.phase, stages=tuple(stages), pipelined=model.pipelined)

    def _array(self, name: str, at: tuple[int, int]) -> Array:
        valid = [array.name for array in self.machine.arrays]
        if name not in valid:
            path = ("binding", at[0], "stages", at[1], "work", name)
            hint = did_you_mean(name, valid, noun="arrays")
            raise self.dataflow.document.error(path, f"{self.machine.name} has no array {name}", hint=hint, key=True)
        return self.machine.array(name)


def storage_names(machine: Machine) -> tuple[str, ...]:
    """Names of the levels that can hold tensors: memories and each array's registers."""
    return (*(m.name for m in machine.memories), *(f"{a.name}.registers" for a in machine.arrays))
