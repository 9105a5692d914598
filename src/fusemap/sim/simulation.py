"""What a simulation in time answers: cycles, who worked and who waited for what, and the way from the formula."""

from __future__ import annotations

from dataclasses import dataclass

from fusemap.einsum_cascade.notebook import table_html
from fusemap.sim.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUse:
    """A resource's cycles of work, and those that it waited by cause; together they are the cycles of the phase."""

    name: str
    busy_cycles: float
    waits: tuple[tuple[str, float], ...]

    @property
    def waited_cycles(self) -> float:
        """Cycles without work."""
        return sum(cycles for _, cycles in self.waits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Cycles that an effect adds to those before it (negative: it takes some away)."""

    effect: str
    words: str
    cycles: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSimulation:
    """A phase of the binding: `cycles` = `closed_form_cycles` + the sum of `added`.

    `moved` are (tensor, bytes read, bytes written) of the outermost memory. `executed` of `represented` tile events
    were run, the others repeat them. `peak_buffer_bytes` is that of the recorded stretch.
    """

    name: str
    cycles: float
    closed_form_cycles: float
    added: tuple[Added, ...]
    resources: tuple[ResourceUse, ...]
    moved: tuple[tuple[str, float, float], ...]
    iterations: int
    lag: int
    executed: int
    represented: int
    buffer: str
    peak_buffer_bytes: float
    buffer_bytes: int | None
    timeline: Timeline | None = None

    @property
    def traffic_bytes(self) -> float:
        """Bytes that the outermost memory reads and writes."""
        return sum(read + written for _, read, written in self.moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The phases of a mapped cascade, simulated one after another at one level of detail."""

    level: str
    cascade: str
    arch: str
    workload: str
    dataflow: str
    dataflow_choice: str
    accounting: str
    clock_hz: float
    effects: tuple[str, ...]
    phases: tuple[PhaseSimulation, ...]
    notes: tuple[str, ...] = ()

    @property
    def cycles(self) -> float:
        """Sum over the phases."""
        return sum(phase.cycles for phase in self.phases)

    @property
    def closed_form_cycles(self) -> float:
        """What the formula of `evaluate` gives, summed over the phases."""
        return sum(phase.closed_form_cycles for phase in self.phases)

    @property
    def latency_s(self) -> float:
        """Cycles / clock."""
        return self.cycles / self.clock_hz

    @property
    def traffic_bytes(self) -> float:
        """Bytes that the outermost memory reads and writes."""
        return sum(phase.traffic_bytes for phase in self.phases)

    @property
    def longest(self) -> PhaseSimulation:
        """The phase that takes most cycles."""
        return max(self.phases, key=lambda phase: phase.cycles)

    def _repr_html_(self) -> str:
        """What a notebook shows: for each phase the way from the formula to the simulated cycles."""
        caption = f"{self.cascade} on {self.arch}, {self.workload}, {self.dataflow} ({self.level} level)"
        return table_html(caption, ["", "cycles"], [row for phase in self.phases for row in _way(phase)])

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/simulate/1`."""
        return {
            "schema": "fusemap/simulate/1",
            "level": self.level,
            "cascade": self.cascade,
            "arch": self.arch,
            "workload": self.workload,
            "dataflow": self.dataflow,
            "dataflow_choice": self.dataflow_choice,
            "accounting": self.accounting,
            "effects": list(self.effects),
            "cycles": self.cycles,
            "latency_s": self.latency_s,
            "closed_form_cycles": self.closed_form_cycles,
            "traffic_bytes": self.traffic_bytes,
            "phases": [_phase_json(phase) for phase in self.phases],
            "notes": list(self.notes),
        }


def _way(phase: PhaseSimulation) -> list[list[str]]:
    """Rows of a table: the formula, what each effect adds, the sum."""
    added = [[a.words, f"{a.cycles:+,.0f}"] for a in phase.added]
    formula = [f"phase {phase.name}: formula", f"{phase.closed_form_cycles:,.0f}"]
    return [formula, *added, ["simulated", f"{phase.cycles:,.0f}"]]


def _phase_json(phase: PhaseSimulation) -> dict[str, object]:
    return {
        "name": phase.name,
        "cycles": phase.cycles,
        "closed_form_cycles": phase.closed_form_cycles,
        "added": [{"effect": a.effect, "what": a.words, "cycles": a.cycles} for a in phase.added],
        "resources": [
            {
                "resource": r.name,
                "busy_cycles": r.busy_cycles,
                "waits": [{"cause": cause, "cycles": cycles} for cause, cycles in r.waits],
            }
            for r in phase.resources
        ],
        "moved": [{"tensor": t, "read_bytes": r, "written_bytes": w} for t, r, w in phase.moved],
        "iterations": phase.iterations,
        "iterations_under_way": phase.lag + 1,
        "events_executed": phase.executed,
        "events_represented": phase.represented,
        "buffer": phase.buffer,
        "peak_buffer_bytes": phase.peak_buffer_bytes,
        "buffer_bytes": phase.buffer_bytes,
    }
