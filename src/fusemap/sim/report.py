"""What a simulation answers: rows that add up to the totals, and the time of every phase."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fusemap.archspec.decide import largest
from fusemap.einsum_cascade.notebook import table_html


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`count` actions of a component for one Einsum, at `unit_energy_pj` each.

    `words` is the traffic behind a memory's count (None for operators), `tensor` what was moved.
    """

    einsum: str
    component: str
    action: str
    tensor: str
    count: float
    unit_energy_pj: float
    source: str
    words: float | None = None

    @property
    def energy_pj(self) -> float:
        """count * unit energy."""
        return self.count * self.unit_energy_pj

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return {
            "einsum": self.einsum,
            "component": self.component,
            "action": self.action,
            "tensor": self.tensor,
            "count": self.count,
            "unit_energy_pj": self.unit_energy_pj,
            "energy_pj": self.energy_pj,
            "source": self.source,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """Cycles that each array is busy in a stage, and cycles it stalls; the stage takes the longest plus stalls."""

    name: str
    busy_cycles: tuple[tuple[str, int], ...]
    stall_cycles: int
    stalls: tuple[str, ...]

    @property
    def cycles(self) -> int:
        """max over arrays of busy cycles, plus stalls."""
        longest: int = largest(0, *(cycles for _, cycles in self.busy_cycles))
        return longest + self.stall_cycles


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTime:
    """A phase takes the longer of its compute time and its memory time.

    `memory` is the memory that takes longest, `memory_s` its time, `memory_times` those of all memories
    whose bandwidth is a limit.
    """

    name: str
    stages: tuple[StageTime, ...]
    compute_s: float
    memory_s: float
    memory: str
    memory_times: tuple[tuple[str, float], ...] = ()

    @property
    def latency_s(self) -> float:
        """max(compute, memory)."""
        longer: float = largest(self.compute_s, self.memory_s)
        return longer

    @property
    def bottleneck(self) -> str:
        """The memory when it takes longest, else the array that the stages wait for most (or the stall).

        A stage whose arrays take equally long waits for each of them.
        """
        if self.memory_s > self.compute_s:
            return self.memory
        waits: dict[str, int] = {}
        for stage in self.stages:
            longest = max((cycles for _, cycles in stage.busy_cycles), default=0)
            for array, cycles in stage.busy_cycles:
                if cycles == longest:
                    waits[array] = waits.get(array, 0) + cycles
            if stage.stall_cycles:
                waits["stall"] = waits.get("stall", 0) + stage.stall_cycles
        return max(waits, key=lambda name: waits[name]) if waits else self.memory


@dataclass(frozen=True, slots=True, kw_only=True)
class EinsumTime:
    """An Einsum on its array: cycles, and processing elements in use of those there are."""

    einsum: str
    array: str
    cycles: int
    cycles_per_point: int
    lanes: int
    pes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What a mapped cascade takes of time and traffic, in SI units; needs no price of any component.

    `dataflow_choice` says why this dataflow was taken (empty: it was asked for).
    """

    cascade: str
    arch: str
    workload: str
    dataflow: str
    accounting: str
    clock_hz: float
    traffic_bytes: float
    phases: tuple[PhaseTime, ...]
    einsums: tuple[EinsumTime, ...]
    tiles: tuple[tuple[str, float | str], ...] = ()
    notes: tuple[str, ...] = ()
    dataflow_choice: str = ""

    @property
    def latency_s(self) -> float:
        """Sum of the phases' latencies."""
        return sum(p.latency_s for p in self.phases)

    @property
    def bottleneck(self) -> str:
        """What the longest phase waits for."""
        return max(self.phases, key=lambda p: p.latency_s).bottleneck

    @property
    def utilization(self) -> dict[str, float]:
        """Per array: busy processing-element cycles / (processing elements * latency)."""
        arrays = dict.fromkeys(t.array for t in self.einsums)
        return {a: sum(self.einsum_utilization(t) for t in self.einsums if t.array == a) for a in arrays}

    def einsum_utilization(self, time: EinsumTime) -> float:
        """One Einsum's share of its array's processing-element cycles."""
        return time.cycles * (time.lanes / time.pes) / (self.latency_s * self.clock_hz)

    def _repr_html_(self) -> str:
        """What a notebook shows: a table of the totals."""
        caption = f"{self.cascade} on {self.arch}, {self.workload}, {self.dataflow} ({self.accounting})"
        return table_html(caption, ["quantity", "value", "unit"], self._totals())

    def _totals(self) -> list[tuple[str, str, str]]:
        """The totals as text: quantity, value, unit."""
        used = [(f"utilization of {array}", f"{100 * use:.3g}", "%") for array, use in self.utilization.items()]
        return [
            ("latency", f"{self.latency_s:.4g}", "s"),
            ("limited by", self.bottleneck, ""),
            ("traffic", f"{self.traffic_bytes:.4g}", "B"),
            *used,
        ]

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/evaluate/1`, energy and area null."""
        return {
            "schema": "fusemap/evaluate/1",
            "cascade": self.cascade,
            "arch": self.arch,
            "workload": self.workload,
            "dataflow": self.dataflow,
            "dataflow_choice": self.dataflow_choice,
            "accounting": self.accounting,
            "latency_s": self.latency_s,
            "energy_pj": None,
            "area_um2": None,
            "traffic_bytes": self.traffic_bytes,
            "utilization": self.utilization,
            "bottleneck": self.bottleneck,
            "einsum_utilization": {t.einsum: self.einsum_utilization(t) for t in self.einsums},
            "phases": [_phase_json(p) for p in self.phases],
            "einsums": [_einsum_json(t) for t in self.einsums],
            "tiles": dict(self.tiles),
            "notes": list(self.notes),
            "rows": [],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Timing):
    """The result of evaluating a mapped cascade: SI units, energies in pJ, areas in um^2."""

    area_um2: float
    rows: tuple[Row, ...]

    @property
    def energy_pj(self) -> float:
        """Sum of the rows' energies."""
        return sum(r.energy_pj for r in self.rows)

    def _totals(self) -> list[tuple[str, str, str]]:
        priced = [("energy", f"{self.energy_pj:.4g}", "pJ"), ("area", f"{self.area_um2:.4g}", "um^2")]
        return [*Timing._totals(self), *priced]

    def energy_by(self, *keys: str) -> dict[tuple[str, ...], float]:
        """Energies summed over rows that share the named fields, largest first."""
        return _grouped((tuple(getattr(r, k) for k in keys), r.energy_pj) for r in self.rows)

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/evaluate/1`."""
        priced = {"energy_pj": self.energy_pj, "area_um2": self.area_um2, "rows": [r.to_json() for r in self.rows]}
        return Timing.to_json(self) | priced


def _grouped(items: Iterable[tuple[tuple[str, ...], float]]) -> dict[tuple[str, ...], float]:
    totals: dict[tuple[str, ...], float] = {}
    for key, value in items:
        totals[key] = totals.get(key, 0.0) + value
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _phase_json(phase: PhaseTime) -> dict[str, object]:
    return {
        "name": phase.name,
        "latency_s": phase.latency_s,
        "compute_s": phase.compute_s,
        "memory_s": phase.memory_s,
        "bottleneck": phase.bottleneck,
        "stages": [
            {"name": s.name, "cycles": s.cycles, "busy_cycles": dict(s.busy_cycles), "stall_cycles": s.stall_cycles}
            for s in phase.stages
        ],
    }


def _einsum_json(time: EinsumTime) -> dict[str, object]:
    return {
        "einsum": time.einsum,
        "array": time.array,
        "cycles": time.cycles,
        "cycles_per_point": time.cycles_per_point,
        "lanes": time.lanes,
        "pes": time.pes,
    }
