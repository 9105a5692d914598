"""What is asked of both: counts of one Einsum on a given nest, and the best mapping that each search finds."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fusemap.archspec.archs import parse_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import load_workload, parse_workload
from fusemap.diagnostics import InputError
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.parser import parse
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import load_dataflow
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Storage
from fusemap.sim.evaluate import plan
from fusemap.validation.accelforge.machine import peer_architecture
from fusemap.validation.accelforge.mapping import peer_mapping
from fusemap.validation.accelforge.peer import Job
from fusemap.validation.accelforge.workload import single_workload

DRAWN = 60  # random nests; 150 of other seeds were compared once, and all agreed
_EXTENTS = {"M": 24, "N": 16, "K": 12}
_SMALL = """extends: flat-cloud
description: 8 x 8 processing elements whose registers hold tiles, and a buffer whose bandwidth is a limit
source: made up for random nests
parameters: {pe: 8, depth_2d: 4096}
memories:
  global_buffer: {bandwidth: 10 GB/s}
"""


@dataclass(frozen=True, kw_only=True)
class NestCase:
    """One Einsum of a cascade on one nest; texts or built-in names of its machine and workload."""

    name: str
    cascade: str
    arch: str
    workload: str
    sizes: Mapping[str, int]
    nest: EinsumMapping

    @cached_property
    def machine(self) -> Machine:
        """The machine."""
        return parse_arch(self.arch, file=f"{self.name}.yaml")

    @cached_property
    def space(self) -> EinsumSpace:
        """The Einsum with sizes."""
        from fusemap.mappers.space import make_problem

        return make_problem(_cascade(self.cascade), _workload(self.workload), self.sizes).space(self.nest.einsum)

    def job(self) -> Job:
        """What AccelForge is given. InputError: its nodes cannot say this nest."""
        alone = single_workload(self.space, self.workload.splitlines()[0], self.machine.word_bytes)
        return Job(
            name=self.name,
            arch=peer_architecture(self.machine, alone),
            workload=alone.to_yaml(),
            mapping=peer_mapping(self.space, self.nest),
        )

    def to_json(self) -> dict[str, object]:
        """The case as a recording has it."""
        shared = {"cascade": self.cascade, "arch": self.arch, "workload": self.workload, "sizes": dict(self.sizes)}
        levels = [_level_json(level) for level in self.nest.levels]
        return {"name": self.name, **shared, "einsum": self.nest.einsum, "array": self.nest.array, "levels": levels}


def nest_case(document: Mapping[str, Any]) -> NestCase:
    """A case from what `to_json` gave."""
    shared = {key: document[key] for key in ("name", "cascade", "arch", "workload", "sizes")}
    levels = tuple(_level(item, document["array"]) for item in document["levels"])
    return NestCase(**shared, nest=EinsumMapping(einsum=document["einsum"], array=document["array"], levels=levels))


def _level_json(level: Level) -> list[object]:
    loops = [[loop.rank, loop.bound] for loop in level.loops]
    if isinstance(level, Fanout):
        return ["spatial", level.dim, loops]
    return ["memory", level.memory, loops, None if level.keep is None else sorted(level.keep)]


def _level(item: Sequence[Any], array: str) -> Level:
    loops = tuple(Loop(rank=rank, bound=bound) for rank, bound in item[2])
    if item[0] == "spatial":
        return Fanout(array=array, dim=item[1], loops=loops)
    return Storage(memory=item[1], loops=loops, keep=None if item[3] is None else frozenset(item[3]))


def _cascade(text: str) -> Cascade:
    return parse(text) if "\n" in text else load(text)


def _workload(text: str) -> Workload:
    return parse_workload(text, file="case.yaml") if "\n" in text else load_workload(text)


def nest_cases() -> list[NestCase]:
    """Random nests of a product, and the Einsums of FuseMax's study on the nests of its dataflows."""
    return [*drawn_nests(DRAWN), *library_nests()]


# --- random nests ---------------------------------------------------------------------------------


def drawn_nests(count: int, seed: int = 1) -> Iterator[NestCase]:
    """Random nests that AccelForge's nodes can say: bounds, orders, fanouts and what the buffer keeps are drawn."""
    draw = random.Random(seed)
    sizes = ", ".join(f"{rank}: {n}" for rank, n in _EXTENTS.items())
    made = 0
    while made < count:
        workload = f"source: made up for random nests\nranks: {{{sizes}}}\n"
        case = NestCase(
            name=f"nest {made + 1}", cascade="linear-layer", arch=_SMALL, workload=workload, sizes={}, nest=_drawn(draw)
        )
        try:
            case.job()
        except InputError:
            continue
        made += 1
        yield case


def _drawn(draw: random.Random) -> EinsumMapping:
    left = {rank.lower(): n for rank, n in _EXTENTS.items()}
    fanouts = []
    for dim, rank in zip(("columns", "rows"), draw.sample(sorted(left), 2), strict=True):
        bound = draw.choice([d for d in _divisors(left[rank]) if d <= 8])
        left[rank] //= bound
        fanouts.append(Fanout(array="array_2d", dim=dim, loops=(Loop(rank=rank, bound=bound),)))
    loops: list[list[Loop]] = [[], [], []]
    for rank, n in left.items():
        outer = draw.choice(_divisors(n))
        middle = draw.choice(_divisors(n // outer)) if draw.random() < 0.3 else n // outer
        for at, bound in enumerate((outer, middle, n // outer // middle)):
            loops[at].append(Loop(rank=rank, bound=bound))
    for level in loops:
        draw.shuffle(level)
    keep = frozenset(tensor for tensor in "ABZ" if draw.random() < 0.6)
    return EinsumMapping(
        einsum="Z",
        array="array_2d",
        levels=(
            Storage(memory="dram", loops=tuple(loops[0]), keep=frozenset("ABZ")),
            Storage(memory="global_buffer", loops=tuple(loops[1]), keep=keep),
            *fanouts,
            Storage(memory="array_2d.registers", loops=tuple(loops[2]), keep=None),
        ),
    )


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


# --- the Einsums of FuseMax's study ---------------------------------------------------------------

STUDIED = (
    ("linear-layer", "flat-cloud", "linear", "source: a square product\nranks: {M: 4096, N: 4096, K: 4096}\n"),
    ("attention-3pass", "unfused-cloud", "unfused", "BERT@1K"),
    ("attention-3pass", "flat-cloud", "flat", "BERT@1K"),
    ("attention-1pass", "flat-cloud", "fusemax-cascade", "BERT@4K"),
    ("attention-1pass", "fusemax-cloud", "fusemax-binding", "BERT@4K"),
)


def library_nests() -> Iterator[NestCase]:
    """Every Einsum of the studied dataflows that AccelForge can say alone on its nest."""
    for name, arch, dataflow, workload in STUDIED:
        text = f"extends: {arch}\n"
        cascade, sized = _cascade(name), _workload(workload)
        problem, mapping = plan(cascade, parse_arch(text, file=f"{arch}.yaml"), sized, load_dataflow(dataflow))
        sizes = dict(problem.sizes)
        for space in problem.spaces:
            case = NestCase(
                name=f"{name} {dataflow} {space.name}",
                cascade=name,
                arch=text,
                workload=workload,
                sizes={k: v for k, v in sizes.items() if k not in sized.sizes},
                nest=dataclasses.replace(mapping.nest(space.name), spills=()),
            )
            if not _inexpressible(space, mapping.nest(space.name)):
                try:
                    case.job()
                except InputError:
                    continue
                yield case


def _inexpressible(space: EinsumSpace, nest: EinsumMapping) -> bool:
    """An Einsum that reads what it writes, or a memory that holds a fraction of a tensor."""
    names = [operand.tensor for operand in space.operands]
    return len(set(names)) < len(names) or any(spill.fraction for spill in nest.spills)
