"""Elements that the threads of a mapped kernel move, and operations that they execute."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias

from fusemap.einsum_cascade.counts import operation_counts
from fusemap.einsum_cascade.counts_record import OperationCount
from fusemap.einsum_cascade.scope import accesses
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Operand, Problem
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.sim.reuse import LevelCount, analyse

GRID = "grid"  # the dimension whose coordinates are blocks
SHARED = "shared"  # the memory of a block
Operation: TypeAlias = Literal["mul+add", "max", "exp", "div", "log"]
KINDS: tuple[Operation, ...] = ("mul+add", "max", "exp", "div", "log")
# What an operator is on a GPU: a logarithm is one to base 2 and a product.
_EXECUTED: Mapping[str, tuple[Operation, ...]] = MappingProxyType(
    {
        "mul": ("mul+add",),
        "add": ("mul+add",),
        "sub": ("mul+add",),
        "sum": ("mul+add",),
        "max": ("max",),
        "exp": ("exp",),
        "div": ("div",),
        "log": ("log", "mul+add"),
    }
)
_CONTINUES = {"sum": "add", "max": "max"}  # a reduction, and the operator that takes its result into a running value


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPrediction:
    """Elements of a tensor that threads load from and store to memory; `passes` as in `TensorCounts`.

    `launches` load it. `exact` is False where the model counts a rectangle around a filtered space: an upper bound.
    `shared`: all that is loaded goes through shared memory, each element by one thread of the block.
    """

    tensor: str
    loads: int
    stores: int
    passes: float
    launches: int
    exact: bool
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Touch:
    tensor: str
    loads: int
    stores: int
    in_blocks: int  # elements that blocks touch, each block's once
    launch: str
    exact: bool
    into: str


def tensors(
    problem: Problem, mapping: CascadeMapping, outer: str, entries: Collection[str] = ()
) -> tuple[dict[str, TensorPrediction], int, int]:
    """What threads load and store per tensor, and words read from and written to `outer` if all blocks work at once.

    A phase of the mapping with the name of one of `entries` is that launch; others are parts of one.

    A word that several blocks read at the same time then comes from memory once (a multicast), but each of them loads
    it: loads are the fills of the level next to memory, times its instances.
    """
    touched: dict[str, list[_Touch]] = {}
    launch = {e: phase.name for phase in mapping.binding if phase.name in entries for e in phase.einsums}
    read = written = 0
    for space in problem.spaces:
        nest = mapping.nest(space.name)
        for counts in _by_operand(analyse(space, nest)):
            if counts[0].memory == outer:
                read += int(counts[0].reads) * int(counts[0].instances)
                written += int(counts[0].updates) * int(counts[0].instances)
                touch = _touch(problem, space, nest, counts, launch.get(space.name, ""))
                touched.setdefault(touch.tensor, []).append(touch)
    return {tensor: _total(tensor, found) for tensor, found in touched.items()}, read, written


def _by_operand(counts: tuple[LevelCount, ...]) -> Iterator[tuple[LevelCount, ...]]:
    """The levels of each operand, outermost first."""
    for label in dict.fromkeys(c.operand.label for c in counts):
        yield tuple(c for c in counts if c.operand.label == label)


def _touch(
    problem: Problem, space: EinsumSpace, nest: EinsumMapping, counts: tuple[LevelCount, ...], launch: str
) -> _Touch:
    memory, inside = counts[0], counts[1]
    operand = memory.operand
    return _Touch(
        tensor=problem.shown(operand.tensor),
        loads=0 if operand.is_output else int(inside.fills) * int(inside.instances),
        stores=int(memory.updates) * int(memory.instances) if operand.is_output else 0,
        in_blocks=_in_blocks(space, nest, operand),
        launch=launch,
        exact=not space.notes,
        into=inside.memory,
    )


def _in_blocks(space: EinsumSpace, nest: EinsumMapping, operand: Operand) -> int:
    """Words of the operand times the blocks that share each of them."""
    extents = dict(space.ranks)
    grid = [loop for level in nest.levels if isinstance(level, Fanout) and level.dim == GRID for loop in level.loops]
    shared = math.prod(loop.bound for loop in grid if loop.rank not in operand.ranks)
    return shared * math.prod(extents[rank] for rank in operand.ranks)


def _total(tensor: str, touches: list[_Touch]) -> TensorPrediction:
    loads = sum(t.loads for t in touches)
    read: dict[str, int] = {}
    for touch in touches:
        if touch.loads:
            read[touch.launch] = max(touch.in_blocks, read.get(touch.launch, 0))
    return TensorPrediction(
        tensor=tensor,
        loads=loads,
        stores=sum(t.stores for t in touches),
        passes=loads / sum(read.values()) if read else 0.0,
        launches=len(read),
        exact=all(t.exact for t in touches),
        shared=all(t.into == SHARED for t in touches if t.loads),
    )


def operations(cascade: Cascade, problem: Problem, copies: Mapping[str, str]) -> dict[Operation, int]:
    """Operations by kind, of every Einsum as often as the mapping has it; `copies` names originals.

    Each reduction of n values starts from its identity and takes n operations, one more than its value needs; one
    whose result the same operator takes into a running value starts from that and takes n - 1.
    """
    sizes = dict(problem.sizes)
    found: Counter[Operation] = Counter(dict.fromkeys(KINDS, 0))
    going_on = continued(cascade)
    for space in problem.spaces:
        name = copies.get(space.name, space.name)
        counts = {c.kind + c.operator: c for c in _counts(cascade) if c.einsum == name}
        mapped = [c.at(sizes) for c in counts.values() if c.kind == "map"]
        for count in counts.values():
            number = count.at(sizes)
            if count.kind == "reduce" and name not in going_on:
                number = max(mapped, default=space.points)  # operators are applied to each value that is reduced
            found.update(dict.fromkeys(_EXECUTED[count.operator], number))
    return dict(found)


def counted_exactly(cascade: Cascade, problem: Problem, copies: Mapping[str, str]) -> bool:
    """Whether `operations` is no bound: filters are counted, save those of a reduction of what is there already."""
    counts = _counts(cascade)
    bare = {c.einsum for c in counts if c.kind == "reduce"} - {c.einsum for c in counts if c.kind == "map"}
    filtered = {copies.get(space.name, space.name) for space in problem.spaces if space.notes}
    return all(c.exact for c in counts) and filtered.isdisjoint(bare)


@lru_cache(maxsize=64)
def _counts(cascade: Cascade) -> tuple[OperationCount, ...]:
    return operation_counts(cascade)


def continued(cascade: Cascade) -> frozenset[str]:
    """Einsums whose reduction goes on from a running value, into which its result is taken by the same operator.

    Where an operator takes the results of reductions alone, the first of them is what the others go on from.
    """
    reduces = {str(c.einsum): _CONTINUES.get(c.operator) for c in _counts(cascade) if c.kind == "reduce"}
    maps = {(str(c.einsum), c.operator) for c in _counts(cascade) if c.kind == "map"}
    found: set[str] = set()
    for einsum in cascade.einsums:
        taken = [str(access.tensor) for access in accesses(einsum)]
        reduced = [tensor for tensor in taken if (str(einsum.name), reduces.get(tensor)) in maps]
        found.update(reduced if len(reduced) < len(taken) else reduced[1:])
    return frozenset(found)
