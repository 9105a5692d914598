"""Machines of one kind side by side: every shape of a space, its area, and the latency and energy of attention on it.

A space file lists the values of an arch's parameters, variants of the arch, and dataflows. Machines whose processing
elements alone are larger than the baseline are counted and left out; all the others are evaluated. Nothing is
interpolated: a machine whose memory has no price in the component table is a failure that names it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from fusemap.archspec.archs import load_arch
from fusemap.archspec.area import area_um2
from fusemap.archspec.types import Array, Machine, Workload
from fusemap.archspec.workloads import load_workload
from fusemap.diagnostics import DoesNotFit, InputError
from fusemap.einsum_cascade.catalog import load
from fusemap.einsum_cascade.types import Cascade
from fusemap.mappers.dataflow import Dataflow, load_dataflow
from fusemap.mappers.space import make_problem
from fusemap.mappers.types import EinsumSpace
from fusemap.mappers.units import find_units
from fusemap.sim.evaluate import evaluate
from fusemap.sim.report import Report
from fusemap.validation.codesign_space import (
    DesignSpaceModel,
    Site,
    chunked_dataflow,
    element_area_um2,
    is_narrow,
    least_area_um2,
    machine_of,
    sites,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A workload on a machine under the faster of the dataflows; `busy` are cycles of each array."""

    workload: str
    dataflow: str
    row_steps: int
    latency_s: float
    energy_pj: float
    traffic_bytes: float
    busy: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A machine with its area, and each workload on it (`written`: under the baseline's dataflow)."""

    site: Site
    area_um2: float
    outcomes: tuple[Outcome, ...]
    written: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """A design over the baseline: area, and over the workloads the geometric mean and largest ratio."""

    area: float
    latency: float
    energy: float
    worst_latency: float
    worst_energy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """All machines of a space. `counted` of them; `larger` than the baseline, `narrow` by the rule on lanes.

    `failures` could not be priced or mapped, with the reason. The baseline is not one of `designs`.
    """

    counted: int
    larger: int
    narrow: int
    evaluations: int
    baseline: Design = field(repr=False)
    designs: tuple[Design, ...] = field(repr=False)
    failures: tuple[tuple[Site, str], ...]

    @property
    def front(self) -> tuple[Design, ...]:
        """The designs that no other one beats in latency, energy and area (means over the workloads)."""
        return pareto(self.designs, self.baseline)


def explore(space: DesignSpaceModel) -> Exploration:
    """Every machine of the space that is no larger than the baseline, on every workload."""
    baseline = baseline_of(space)
    every = sites(space)
    allowed = [s for s in every if not is_narrow(space, s)]
    small = [s for s in allowed if least_area_um2(space, s) <= baseline.area_um2]
    designs, failures = [], []
    larger = len(allowed) - len(small)
    for site in small:
        try:
            machine = machine_of(space, site)
            if area_um2(machine) > baseline.area_um2 * (1 + 1e-9):
                larger += 1
                continue
            designs.append(design_of(space, site, machine))
        except (InputError, DoesNotFit) as error:
            failures.append((site, str(error)))
    return Exploration(
        counted=len(every),
        larger=larger,
        narrow=len(every) - len(allowed),
        evaluations=len(designs) * len(space.models) * len(space.lengths) * (1 + len(space.row_steps)),
        baseline=baseline,
        designs=tuple(designs),
        failures=tuple(failures),
    )


def baseline_of(space: DesignSpaceModel) -> Design:
    """The space's baseline under its own dataflow."""
    machine = load_arch(space.baseline.arch)
    array = machine.array("array_2d")
    parameters = {
        "rows": array.dim("rows").extent,
        "columns": array.dim("columns").extent,
        "lanes": machine.array("array_1d").pes,
        "buffer_mib": (machine.memories[-1].capacity_bytes or 0) >> 20,
    }
    written = _written(space, machine)
    site = Site(exp="none", parameters=tuple(parameters.items()))
    return Design(site=site, area_um2=area_um2(machine), outcomes=written, written=written)


def design_of(space: DesignSpaceModel, site: Site, machine: Machine) -> Design:
    """A machine with the fastest of its mappings for each workload; DoesNotFit when one has none."""
    written = _written(space, machine)
    outcomes = []
    for own in written:
        chunked = _chunked(space, machine, own.workload)
        outcomes.append(min((own, *chunked), key=lambda o: (round(o.latency_s, 12), o.energy_pj)))
    return Design(site=site, area_um2=area_um2(machine), outcomes=tuple(outcomes), written=written)


def _written(space: DesignSpaceModel, machine: Machine) -> tuple[Outcome, ...]:
    dataflow = load_dataflow(space.baseline.dataflow)
    references = [f"{m}@{n}" for m in space.models for n in space.lengths]
    cascade = load(space.cascade)
    return tuple(_outcome(cascade, machine, _workload(r), dataflow, r, 1) for r in references)


def _chunked(space: DesignSpaceModel, machine: Machine, reference: str) -> list[Outcome]:
    dataflow, cascade = chunked_dataflow(space.chunked), load(space.cascade)
    workload, rows = _workload(reference), machine.array("array_2d").dim("rows").extent
    steps = [n for n in space.row_steps if n * rows <= workload.size("M")] or [1]
    return [_outcome(cascade, machine, workload, dataflow, reference, n) for n in steps]


def _outcome(
    cascade: Cascade, machine: Machine, workload: Workload, dataflow: Dataflow, reference: str, steps: int
) -> Outcome:
    rows = machine.array("array_2d").dim("rows").extent
    sizes = {"M0": steps * rows} if steps > 1 else None
    report = evaluate(cascade, machine, workload, dataflow, sizes=sizes)
    return Outcome(
        workload=reference,
        dataflow=dataflow.name,
        row_steps=steps,
        latency_s=report.latency_s,
        energy_pj=report.energy_pj,
        traffic_bytes=report.traffic_bytes,
        busy=tuple(_busy(report).items()),
    )


def _busy(report: Report) -> dict[str, int]:
    found: dict[str, int] = {}
    for time in report.einsums:
        found[time.array] = found.get(time.array, 0) + time.cycles
    return found


@lru_cache(maxsize=64)
def _workload(reference: str) -> Workload:
    return load_workload(reference)


def ratios(design: Design, baseline: Design) -> Ratios:
    """The design over the baseline.

    >>> from fusemap.validation.codesign_space import load_space
    >>> b = baseline_of(load_space())
    >>> ratios(b, b)
    Ratios(area=1.0, latency=1.0, energy=1.0, worst_latency=1.0, worst_energy=1.0)
    """
    pairs = list(zip(design.outcomes, baseline.outcomes, strict=True))
    latency = [a.latency_s / b.latency_s for a, b in pairs]
    energy = [a.energy_pj / b.energy_pj for a, b in pairs]
    return Ratios(
        area=design.area_um2 / baseline.area_um2,
        latency=statistics.geometric_mean(latency),
        energy=statistics.geometric_mean(energy),
        worst_latency=max(latency),
        worst_energy=max(energy),
    )


def pareto(designs: Iterable[Design], baseline: Design) -> tuple[Design, ...]:
    """The designs that no other one beats: no larger, slower or dearer, and better in one; the fastest first."""
    points = [(d, (r.latency, r.energy, r.area)) for d in designs for r in (ratios(d, baseline),)]
    kept = [d for d, p in points if not any(_beats(q, p) for _, q in points)]
    return tuple(sorted(kept, key=lambda d: ratios(d, baseline).latency))


def _beats(a: Sequence[float], b: Sequence[float]) -> bool:
    no_worse = all(x <= y * (1 + 1e-12) for x, y in zip(a, b, strict=True))
    return no_worse and any(x < y * (1 - 1e-12) for x, y in zip(a, b, strict=True))


def within(exploration: Exploration) -> tuple[Design, ...]:
    """Designs that on every workload take no more latency and energy than the baseline, nor more area."""
    found = []
    for design in exploration.designs:
        r = ratios(design, exploration.baseline)
        if max(r.area, r.worst_latency, r.worst_energy) <= 1 + 1e-9:
            found.append(design)
    return tuple(sorted(found, key=lambda d: ratios(d, exploration.baseline).latency))


def cycles_per_tile(outcome: Outcome, sizes: Mapping[str, int], clock_hz: float) -> tuple[float, dict[str, float]]:
    """Cycles of the latency, and busy cycles of each array, for 256 keys and 256 queries: 65,536 scores."""
    tiles = math.prod(sizes[r] for r in ("B", "H", "M", "P")) / 65536
    return outcome.latency_s * clock_hz / tiles, {array: cycles / tiles for array, cycles in outcome.busy}


def floor_s(space: DesignSpaceModel, reference: str, area_um2: float) -> float:
    """No machine of this kind with that area, whatever its shape and mapping, takes less time for a workload.

    Every score passes the Einsums that have a rank m0. An element of area a that takes c cycles for a point occupies
    c*a of the area-time that there is, (area - least buffer) * time: time >= sum of points * min(c*a) / clock / area.
    The minimum is over both arrays with and without exponential units; all Einsums once per chunk are left out.
    """
    machines = [machine_of(space, Site(exp=exp, parameters=_first(space))) for exp in space.exp]
    rows = machines[0].array("array_2d").dim("rows").extent
    problem = make_problem(load(space.cascade), _workload(reference), {"M0": rows})
    scores = [s for s in problem.spaces if any(rank == "m0" for rank, _ in s.ranks)]
    work = sum(s.points * min(_area_cycles(m, a, s) for m in machines for a in m.arrays) for s in scores)
    buffer = min(float(m.memories[-1].component.area().value) for m in machines)
    return work / (area_um2 - buffer) / machines[0].clock_hz


def _first(space: DesignSpaceModel) -> tuple[tuple[str, int], ...]:
    return tuple((name, min(values)) for name, values in space.parameters.items())


def _area_cycles(machine: Machine, array: Array, space: EinsumSpace) -> float:
    """Area of an element times its cycles for a point; infinite where the array lacks an operator."""
    units = find_units(array, space.operators)
    return math.inf if units is None else sum(u.cycles for u in units) * element_area_um2(machine, array)
