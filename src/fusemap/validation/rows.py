"""Rows of a study besides those of its attention: the linear layers, both together, machines of many sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.sim.report import Report, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearRow:
    """The linear layers of one model at one length, one after another: sums over the reports of `layers`."""

    configuration: str
    model: str
    seq_len: int
    layers: tuple[tuple[str, Report], ...]

    @property
    def traffic_bytes(self) -> float:
        """Bytes to and from the outermost memory."""
        return sum(report.traffic_bytes for _, report in self.layers)

    @property
    def latency_s(self) -> float:
        """Each layer takes the longer of its memory and its compute time."""
        return sum(report.latency_s for _, report in self.layers)

    @property
    def energy_pj(self) -> float:
        """Energy of all layers."""
        return sum(report.energy_pj for _, report in self.layers)

    def quantities(self) -> dict[str, float]:
        """The quantities that the published tables hold, by their names there."""
        return {"traffic_bytes": self.traffic_bytes, "latency_s": self.latency_s, "energy_pj": self.energy_pj}

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object, with time and traffic of every layer."""
        layers = {name: {"latency_s": r.latency_s, "traffic_bytes": r.traffic_bytes} for name, r in self.layers}
        return {"study": "linear", **_key(self), **self.quantities(), "layers": layers}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndToEndRow:
    """The attention of one configuration and the linear layers around it, one after the other."""

    configuration: str
    model: str
    seq_len: int
    attention: Report
    linear: LinearRow

    @property
    def traffic_bytes(self) -> float:
        """Bytes to and from the outermost memory."""
        return self.attention.traffic_bytes + self.linear.traffic_bytes

    @property
    def latency_s(self) -> float:
        """Attention + linear layers."""
        return self.attention.latency_s + self.linear.latency_s

    @property
    def energy_pj(self) -> float:
        """Attention + linear layers."""
        return self.attention.energy_pj + self.linear.energy_pj

    def quantities(self) -> dict[str, float]:
        """What the figures show, by the names of the published tables."""
        return {"traffic_bytes": self.traffic_bytes, "latency_s": self.latency_s, "energy_pj": self.energy_pj}

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        return {"study": "end_to_end", **_key(self), **self.quantities()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoRow:
    """The attention of one model on a machine of one size: `parameter` (such as pe) has `value`.

    `buffer_bytes` is the least buffer of the study's sequence with which memory is not the bottleneck;
    `areas_um2` are those of the arrays.
    """

    model: str
    seq_len: int
    parameter: str
    value: int
    buffer_bytes: int
    timing: Timing
    area_um2: float
    areas_um2: Mapping[str, float]

    @property
    def configuration(self) -> str:
        """Its name in the published values, such as pe=256."""
        return f"{self.parameter}={self.value}"

    @property
    def latency_s(self) -> float:
        """Latency of the attention."""
        return self.timing.latency_s

    def quantities(self) -> dict[str, float]:
        """The quantities that the published tables hold, by their names there."""
        return {
            "traffic_bytes": self.timing.traffic_bytes,
            "latency_s": self.latency_s,
            "memory_s": memory_seconds(self.timing),
            **{f"{name}_s": array_seconds(self.timing, name) for name in self.areas_um2},
            "area_um2": self.area_um2,
            **{f"{name}_area_um2": area for name, area in self.areas_um2.items()},
        }

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object."""
        key = {"model": self.model, "seq_len": self.seq_len, self.parameter: self.value}
        return {"study": "pareto", **key, "buffer_bytes": self.buffer_bytes, **self.quantities()}


def memory_seconds(timing: Timing) -> float:
    """Time that the slowest memory takes, over all phases."""
    return sum(phase.memory_s for phase in timing.phases)


def array_seconds(timing: Timing, array: str) -> float:
    """Time that an array computes, over all stages."""
    cycles = (dict(stage.busy_cycles).get(array, 0) for phase in timing.phases for stage in phase.stages)
    return sum(cycles) / timing.clock_hz


def _key(row: LinearRow | EndToEndRow) -> dict[str, object]:
    return {"configuration": row.configuration, "model": row.model, "seq_len": row.seq_len}
