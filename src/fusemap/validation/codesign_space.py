"""A space of machines as data: parameters of an arch, variants of it, and the dataflow that suits them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from pydantic import Field

from fusemap.archspec.archs import load_arch
from fusemap.archspec.schema import SpecModel, validate
from fusemap.archspec.types import Array, Machine
from fusemap.archspec.yamlnodes import parse_document
from fusemap.mappers.dataflow import Dataflow, parse_dataflow


class BaselineModel(SpecModel):
    """The machine and dataflow that all others are held against."""

    arch: str
    dataflow: str


class DesignSpaceModel(SpecModel):
    """A file of `codesign/`: values of an arch's parameters, variants of the arch, and what runs on them.

    `exp` names arch files by where they have an exponential unit. `chunked` is a dataflow that takes a chunk of keys
    in several steps of the rows, `row_steps` how many; every machine also runs the baseline's dataflow.
    """

    description: str
    source: str
    cascade: str
    baseline: BaselineModel
    models: list[str]
    lengths: list[str]
    parameters: dict[str, list[int]]
    most_columns_per_lane: int = Field(ge=1)
    exp: dict[str, str]
    row_steps: list[int]
    chunked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A machine of a space by name: where its exponential units are, and its parameters."""

    exp: str
    parameters: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        p = dict(self.parameters)
        unit = "" if self.exp == "none" else f", exp unit {self.exp}"
        return f"{p['rows']} x {p['columns']}, {p['lanes']} lanes, {p['buffer_mib']} MiB{unit}"


def load_space(name: str = "fusemax") -> DesignSpaceModel:
    """A built-in space.

    >>> load_space().parameters["buffer_mib"]
    [16, 32]
    """
    return validate(parse_document(_text(f"{name}.yaml"), file=f"{name}.yaml"), DesignSpaceModel)


def _text(file: str) -> str:
    return (resources.files("fusemap.validation") / "codesign" / file).read_text(encoding="utf-8")


def sites(space: DesignSpaceModel) -> tuple[Site, ...]:
    """Every machine of a space."""
    names, values = zip(*space.parameters.items(), strict=True)
    points = [tuple(zip(names, point, strict=True)) for point in itertools.product(*values)]
    return tuple(Site(exp=exp, parameters=point) for exp in space.exp for point in points)


def machine_of(space: DesignSpaceModel, site: Site) -> Machine:
    """The machine of a site."""
    return load_arch(_path(space.exp[site.exp]), parameters=dict(site.parameters))


def _path(arch: str) -> str:
    """An arch of its own is a file beside the space."""
    return str(resources.files("fusemap.validation") / "codesign" / arch) if arch.endswith(".yaml") else arch


@lru_cache(maxsize=4)
def chunked_dataflow(name: str = "chunks.yaml") -> Dataflow:
    """The dataflow of a space that takes a chunk of keys in several steps of the rows."""
    return parse_dataflow(_text(name), file=name)


def is_narrow(space: DesignSpaceModel, site: Site) -> bool:
    """True when a lane would serve more columns than the space allows."""
    p = dict(site.parameters)
    return p["columns"] > space.most_columns_per_lane * p["lanes"]


def least_area_um2(space: DesignSpaceModel, site: Site) -> float:
    """The area of the processing elements of the site's 2D array: of the registers and parts that each has."""
    p = dict(site.parameters)
    return p["rows"] * p["columns"] * _pe_area_um2(space.exp[site.exp])


@lru_cache(maxsize=16)
def _pe_area_um2(arch: str) -> float:
    machine = load_arch(_path(arch))
    return element_area_um2(machine, machine.array("array_2d"))


def element_area_um2(machine: Machine, array: Array) -> float:
    """The area of one processing element: its registers and the parts that each element has."""
    parts = [p for p in array.parts if p.per == "pe"]
    of_parts = sum(p.count * machine.table.component(p.component, place=p.where).area().value for p in parts)
    return array.registers.component.area().value + of_parts
