"""The single-Einsum cases that are held against Timeloop, from `cases/cases.yaml`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from fusemap.archspec.archs import load_arch
from fusemap.archspec.types import Machine, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.einsum_cascade import load
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import EinsumMapping, EinsumSpace, Fanout, Level, Loop, Storage
from fusemap.sim.choose import plan_case
from fusemap.validation.timeloop.build import specification
from fusemap.validation.timeloop.projections import Projection, projections
from fusemap.validation.timeloop.random_cases import random_case
from fusemap.validation.timeloop.spec import Specification

FOLDER = Path(str(resources.files("fusemap.validation.timeloop"))) / "cases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One Einsum with its nest on a machine; `environment` holds variables that timeloop-model is run with."""

    name: str
    cascade: str
    space: EinsumSpace
    nest: EinsumMapping
    machine: Machine
    projections: Mapping[str, Projection] = field(default_factory=dict)
    environment: tuple[tuple[str, str], ...] = ()

    def specification(self) -> Specification:
        """What Timeloop is told of it."""
        return specification(self.space, self.nest, self.machine, cascade=self.cascade, projections=self.projections)


@lru_cache(maxsize=1)
def cases() -> tuple[Case, ...]:
    """All cases, in the order of the file; each has a name of its own."""
    listed = yaml.safe_load((FOLDER / "cases.yaml").read_text(encoding="utf-8"))
    found = [
        *(case for entry in listed["dataflows"] for case in _of_dataflow(entry)),
        *(_of_nest(entry) for entry in listed["nests"]),
        *(case for entry in listed["random"] for case in _of_seeds(entry)),
    ]
    assert len({case.name for case in found}) == len(found)
    return tuple(found)


def planned_cases(
    cascade: Cascade,
    machine: Machine,
    workload: Workload,
    dataflow: Dataflow | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
) -> tuple[Case, ...]:
    """A case for each Einsum of the mapping that `evaluate` would take, called after the Einsum."""
    planned = plan_case(cascade, machine, workload, dataflow, sizes=sizes)
    return tuple(
        Case(
            name=space.name,
            cascade=cascade.name,
            space=space,
            nest=planned.mapping.nest(space.name),
            machine=machine,
            projections=projections(cascade, space, dict(planned.problem.sizes)),
        )
        for space in planned.problem.spaces
    )


def _of_dataflow(entry: Mapping[str, Any]) -> Iterator[Case]:
    parts = load(entry["cascade"]), _machine(entry["arch"]), load_workload(entry["workload"])
    for case in planned_cases(*parts, load_dataflow(entry["dataflow"])):
        if case.name in entry.get("einsums", (case.name,)):
            yield dataclasses.replace(case, name=f"{_origin(entry)} {case.name}")


def _origin(entry: Mapping[str, Any]) -> str:
    """Dataflow and workload, and the machine where it is a built-in one."""
    machine = "" if entry["arch"].endswith(".yaml") else f" on {entry['arch']}"
    return f"{entry['dataflow']} {entry['workload']}{machine}"


def _of_nest(entry: Mapping[str, Any]) -> Case:
    cascade = load(FOLDER / entry["cascade"])
    levels = tuple(_level(level, entry["array"]) for level in entry["levels"])
    extents: dict[str, int] = {}
    for level in levels:
        for loop in level.loops:
            extents[loop.rank] = extents.get(loop.rank, 1) * loop.bound
    sizes = {rank.upper(): extent for rank, extent in extents.items()}
    if "p" in extents and "r" in extents:
        sizes["W"] = extents["p"] + extents["r"] - 1
    workload = dataclasses.replace(load_workload("BERT@1K"), name=entry["name"], ranks=(), batch=())
    problem = make_problem(cascade, workload, sizes)
    space = problem.spaces[0]
    return Case(
        name=entry["name"],
        cascade=cascade.name,
        space=space,
        nest=EinsumMapping(einsum=space.name, array=entry["array"], levels=levels),
        machine=_machine(entry["arch"]),
        projections=projections(cascade, space, sizes),
        environment=tuple(sorted(entry.get("environment", {}).items())),
    )


def _level(entry: Mapping[str, Any], array: str) -> Level:
    loops = tuple(Loop(rank=r, bound=b) for item in entry.get("loops", ()) for r, b in item.items())
    if "spatial" in entry:
        return Fanout(array=array, dim=entry["spatial"], loops=loops)
    return Storage(memory=entry["memory"], loops=loops, keep=frozenset(entry["keep"]))


def _of_seeds(entry: Mapping[str, Any]) -> Iterator[Case]:
    machine = _machine(entry["arch"])
    for seed in range(*entry["seeds"]):
        space, nest = random_case(seed, machine)
        yield Case(name=f"seed {seed}", cascade="", space=space, nest=nest, machine=machine)


@lru_cache(maxsize=8)
def _machine(name: str) -> Machine:
    """A machine of the folder of cases, or a built-in one."""
    return load_arch(str(FOLDER / name) if name.endswith(".yaml") else name)
