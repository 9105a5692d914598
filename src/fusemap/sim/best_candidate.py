"""A mapping that competes for being the best, and what a search for it tells on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from fusemap.mappers.mapspace.front import Objective
from fusemap.mappers.mapspace.search import value
from fusemap.mappers.types import Mapping as CascadeMapping
from fusemap.mappers.types import Problem
from fusemap.sim.report import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One mapping with its report; energy None where the machine lacks prices. `name`: a dataflow's, or `searched`."""

    name: str
    problem: Problem = field(repr=False)
    mapping: CascadeMapping = field(repr=False)
    report: Timing
    energy_pj: float | None
    sizes: tuple[tuple[str, int], ...] = ()


def key(objective: Objective, candidate: Candidate) -> tuple[float, float]:
    """What is compared of a mapping: the objective's value, then what decides between equals.

    Traffic stands in for an energy that is not known.
    """
    energy = candidate.energy_pj
    return value(objective, candidate.report.latency_s, candidate.report.traffic_bytes if energy is None else energy)


Cut: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What the complete search of one cut of the open ranks gave: mappings below the limit that it was given."""

    cut: Cut
    candidates: tuple[Candidate, ...]
    bound: float
    priced: int
    pruned: int
    unfit: int
    segments: int
    explored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a search stands, for those who watch it: ways to cut the open ranks done, of all."""

    done: int
    total: int
    best: float
