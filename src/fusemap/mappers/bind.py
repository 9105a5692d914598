"""Apply a dataflow to a cascade, a workload and a machine: expressions become numbers, nests become loops."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass

from fusemap.archspec.decide import as_whole
from fusemap.archspec.expressions import Expression
from fusemap.archspec.types import Machine, Workload, absent_names, environment
from fusemap.diagnostics import Diagnostic, DoesNotFit, InputError, Violation
from fusemap.einsum_cascade import scope
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.auto import require_arrays, single_einsum_nest
from fusemap.mappers.bind_fusion import fusions, loop_bound, with_copies
from fusemap.mappers.dataflow import Dataflow, EinsumModel, Kept, read_table
from fusemap.mappers.faults import name_faults, nest_faults
from fusemap.mappers.names import LazyNames
from fusemap.mappers.recurrence import in_order, recurrences
from fusemap.mappers.search import SplitCost, best_split
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import (
    EinsumMapping,
    EinsumSpace,
    Fanout,
    Fusion,
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
from fusemap.mappers.unused import unused_names


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
    the dataflow does not match the cascade or the machine, a bound is not a positive integer, a name is
    unknown. DoesNotFit: a memory is smaller than the dataflow `needs` for its smallest tiles.
    """
    names = _names(dataflow, {**workload.sizes, **(sizes or {})}, machine, overrides or {})
    shapes = scope.known_shapes(cascade)
    tiles = {str(s): _whole(names, s, dataflow) for s in shapes if s in dataflow.model.tiles or s in (sizes or {})}
    problem = make_problem(cascade, workload, tiles)
    binder = _Binder(
        cascade=cascade, dataflow=dataflow, machine=machine, problem=problem, names=names, cost=cost, bounds={}
    )
    copied = with_copies(problem, dataflow.model)
    if copied is not problem:
        with_them = dataclasses.replace(binder, problem=copied)
        binder = with_them if with_them.covers() else binder
    return binder.problem, binder.mapping()


def map_einsum(
    einsum: str,
    cascade: Cascade,
    problem: Problem,
    machine: Machine,
    dataflow: Dataflow,
    *,
    names: LazyNames,
    cost: SplitCost,
) -> EinsumMapping:
    """The nest of one Einsum that the dataflow maps, as in `map_cascade`, under values of the dataflow's names.

    The dataflow must have been found sound for this cascade and machine.
    """
    binder = _Binder(
        cascade=cascade, dataflow=dataflow, machine=machine, problem=problem, names=names, cost=cost, bounds={}
    )
    return binder._nest(problem.space(einsum))


def _names(
    dataflow: Dataflow, sizes: AbstractMapping[str, int], machine: Machine, overrides: AbstractMapping[str, float]
) -> LazyNames:
    return LazyNames(*given_names(dataflow, sizes, machine, overrides), absent=absent_names(machine))


def given_names(
    dataflow: Dataflow, sizes: AbstractMapping[str, int], machine: Machine, overrides: AbstractMapping[str, float]
) -> tuple[dict[str, float], dict[str, Expression]]:
    """What a dataflow's expressions may use: the numbers that are given, and the expressions of the other names.

    `overrides` come before sizes, these before the machine's numbers, and all before a table's row.
    """
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
    return values, expressions


def _whole(names: LazyNames, name: str, dataflow: Dataflow) -> int:
    value = names[name]
    if value != as_whole(value) or value < 1:
        raise dataflow.document.error(("tiles", name), f"{name} is {value:g}, expected a positive integer")
    whole: int = as_whole(value)
    return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binder:
    """One application of a dataflow; `bounds` remembers evaluated loop bounds."""

    cascade: Cascade
    dataflow: Dataflow
    machine: Machine
    problem: Problem
    names: LazyNames
    cost: SplitCost
    bounds: dict[tuple[str, int, int], int]

    def mapping(self) -> Mapping:
        model = self.dataflow.model
        covered, notes = self._covered()
        if covered:
            self._require_sound()
            self._require_needs()
        require_arrays(self.cascade, (s for s in self.problem.spaces if s.name not in covered), self.machine)
        mates = {einsum: len(group) for group in self._alone(covered) for einsum in group}
        nests = tuple(
            self._nest(s) if s.name in covered else self._searched(s, mates[s.name]) for s in self.problem.spaces
        )
        tiles = tuple((n, self.names[n]) for n in model.tiles if self.names.known(n))
        binding, fusion = self._binding(covered, nests)
        return Mapping(
            dataflow=self.dataflow.name, einsums=nests, binding=binding, tiles=tiles, notes=notes, fusion=fusion
        )

    def covers(self) -> bool:
        """True when the file maps Einsums of the cascade, rather than leaving all of them to a search."""
        return bool(self._covered()[0])

    def _require_sound(self, found: tuple[Diagnostic, ...] = ()) -> None:
        """InputError for faults of the file: those `found`, and those of its nests and binding on this machine."""
        found += nest_faults(self.dataflow, self.problem, self.machine)
        found = found or unused_names(self.dataflow, self.problem)
        if found:
            raise InputError(found)

    def _require_needs(self) -> None:
        """DoesNotFit when a memory cannot hold even the smallest tiles of this dataflow."""
        found = []
        for i, need in enumerate(self.dataflow.model.needs):
            least = self.dataflow.located(need.bytes, "needs", i, "bytes").evaluate(self.names)
            limit = self.machine.memory(need.memory).capacity_bytes
            if limit is not None and least > limit:
                what = f"{need.memory} for {need.what}"
                hint = f"the smallest {need.memory} that fits is {least:,.0f} B"
                found.append(Violation(what=what, need=least, limit=limit, unit="B", hint=hint))
        if found:
            subject = f"{self.problem.cascade} for {self.problem.workload} on {self.machine.name}"
            raise DoesNotFit(f"{subject}, dataflow {self.dataflow.name}", tuple(found))

    def _covered(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """Einsums that the file maps; all or none of its entries must match the cascade."""
        model = self.dataflow.model
        present = {s.name for s in self.problem.spaces}
        faults = name_faults(self.dataflow, self.problem)
        unmapped = sorted(present - set(model.einsums))
        if not faults and (not unmapped or model.otherwise == "search"):
            return frozenset(model.einsums), ()
        if model.otherwise == "search" and self.problem.cascade not in model.cascades:
            meant = ", ".join(model.cascades)
            note = f"{self.dataflow.name}: its nests are for {meant}; every Einsum is mapped on its own by search"
            return frozenset(), (note,)
        if faults:
            self._require_sound(faults)
        valid = f"dataflow {self.dataflow.name} maps {', '.join(model.cascades)}"
        message = (
            f"dataflow {self.dataflow.name} has no nest for {', '.join(unmapped)} of cascade {self.problem.cascade}"
        )
        raise self.dataflow.document.error(("einsums",), message, hint=valid)

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
            memory, touched = level.memory or "", frozenset(o.tensor for o in space.operands)
            keep = kept.get(memory, frozenset())
            if level.keep is not None:
                keep = touched & frozenset(level.keep)
            elif memory == self.machine.memories[0].name:
                keep |= self.problem.external & touched
            everything = i == last and level.keep is None
            levels.append(Storage(memory=memory, loops=loops, keep=None if everything else keep))
        mapped = EinsumMapping(einsum=space.name, array=array.name, levels=tuple(levels))
        if model.search is not None:
            found = model.search
            split, free = tuple(found.split), frozenset(found.free)
            mapped = best_split(space, mapped, self.machine, found.at, split, self.cost, free=free)
        return self._with_spill(mapped, model)

    def _chosen(self, einsum: str, model: EinsumModel) -> str:
        if isinstance(model.nest, str):
            return model.nest
        for i, choice in enumerate(model.nest):
            path = ("einsums", einsum, "nest", i)
            if choice.when is None or self.dataflow.located(choice.when, *path, "when").evaluate(self.names):
                return choice.use
        raise self.dataflow.document.error(("einsums", einsum, "nest"), f"no choice of nest applies to {einsum}")

    def _bound(self, nest: str, level: int, index: int, rank: str) -> int:
        key = (nest, level, index)
        if key not in self.bounds:
            path = ("nests", nest, "levels", level, "loops", index, rank)
            expression = self.dataflow.model.nests[nest].levels[level].loops[index][rank]
            self.bounds[key] = loop_bound(self.dataflow, self.names, expression, path)
        return self.bounds[key]

    def _kept(self, einsum: str, memory: str, items: Kept) -> frozenset[str]:
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

    def _searched(self, space: EinsumSpace, mates: int) -> EinsumMapping:
        """The best nest of an Einsum on its own; with mates in a recurrence it gets its share of the memory."""
        nest, at, split = single_einsum_nest(space, self.machine)
        return best_split(space, nest, _share(self.machine, at, mates), at, split, self.cost)

    def _binding(
        self, covered: frozenset[str], nests: tuple[EinsumMapping, ...]
    ) -> tuple[tuple[Phase, ...], tuple[Fusion, ...]]:
        """The file's phases, and one for each Einsum (or recurrence) that was mapped on its own, in order.

        With them what they do in time, where the file says it (for all phases, or none).
        """
        phases = [self._phase(i) for i in range(len(self.dataflow.model.binding))] if covered else []
        array = {nest.einsum: nest.array for nest in nests}
        for group in self._alone(covered):
            stages = tuple(Stage(name=e, work=((array[e], (e,)),)) for e in group)
            phases.append(Phase(name=", ".join(group), stages=stages, pipelined=len(group) > 1))
        order = in_order([p.einsums for p in phases], self.problem.reads)
        fusion = fusions(self.dataflow, self.cascade, self.problem, nests, self.names) if covered else ()
        return tuple(phases[i] for i in order), tuple(fusion[i] for i in order if fusion)

    def _alone(self, covered: frozenset[str]) -> tuple[tuple[str, ...], ...]:
        """The Einsums that the file does not map; those of a recurrence together."""
        reads = {einsum: tensors for einsum, tensors in self.problem.reads.items() if einsum not in covered}
        cycles = [group for group in recurrences(reads) if len(group) > 1]
        inside = {einsum for group in cycles for einsum in group}
        return (*cycles, *((einsum,) for einsum in reads if einsum not in inside))

    def _phase(self, index: int) -> Phase:
        model = self.dataflow.model.binding[index]
        stages = []
        for j, stage in enumerate(model.stages):
            stalls = []
            for k, stall in enumerate(stage.stalls):
                path = ("binding", index, "stages", j, "stalls", k, "factor")
                factor = self.dataflow.located(stall.factor, *path).evaluate(self.names)
                if factor != as_whole(factor) or factor < 0:
                    message = f"stall factor is {factor:g}, expected a whole number from 0"
                    raise self.dataflow.document.error(path, message)
                stalls.append(Stall(einsum=stall.einsum, factor=as_whole(factor), why=stall.why))
            work = tuple((array, tuple(einsums)) for array, einsums in stage.work.items())
            stages.append(Stage(name=stage.name, work=work, stalls=tuple(stalls)))
        return Phase(name=model.phase, stages=tuple(stages), pipelined=model.pipelined)


def _share(machine: Machine, name: str, mates: int) -> Machine:
    """The machine with an equal share of one memory."""
    memories = tuple(
        dataclasses.replace(m, capacity_bytes=m.capacity_bytes // mates) if m.name == name and m.capacity_bytes else m
        for m in machine.memories
    )
    return machine if mates == 1 else dataclasses.replace(machine, memories=memories)
