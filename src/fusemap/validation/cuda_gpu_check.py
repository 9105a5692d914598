"""Predictions held against what was measured on a GPU: the recordings, counter by counter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fusemap.validation.cuda_counts import mul_add
from fusemap.validation.cuda_gpu_ncu import NcuCounts
from fusemap.validation.cuda_gpu_recording import RecordingModel, RunModel, run_counts
from fusemap.validation.cuda_kernels import kernel_names, load_kernel
from fusemap.validation.cuda_prediction import Prediction, predict
from fusemap.validation.cuda_ptx import EXPF

OPERATIONS = 0.01  # of the operations: a division is several on the machine, and its compiler may share work
MEMORY = 0.05  # of bytes and seconds: what caches keep from the launch before, and what clocks do


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuRow:
    """One quantity of one run on a GPU: predicted and measured; `low` and `high` bound what is measured."""

    recording: str
    kernel: str
    sizes: Mapping[str, int]
    name: str
    predicted: float
    measured: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether what was measured lies within its bounds."""
        return self.low <= self.measured <= self.high

    @property
    def error(self) -> float:
        """Measured over predicted, less one."""
        return self.measured / self.predicted - 1 if self.predicted else 0.0

    def to_json(self) -> dict[str, object]:
        """The row as a JSON object; a bound that is none is null."""
        return {
            "recording": self.recording,
            "kernel": self.kernel,
            "sizes": dict(self.sizes),
            "name": self.name,
            "predicted": self.predicted,
            "measured": self.measured,
            "low": self.low,
            "high": None if self.high == float("inf") else self.high,
            "holds": self.holds,
        }


def check_recording(name: str, recording: RecordingModel) -> tuple[GpuRow, ...]:
    """The quantities of all runs of kernels that have a prediction; InputError where sizes do not fit a kernel."""
    known = kernel_names()
    return tuple(row for run in recording.runs if run.kernel in known for row in _rows(name, run))


def _rows(recording: str, run: RunModel) -> list[GpuRow]:
    sizes = {**run.sizes, **run.constants}
    prediction = predict(load_kernel(run.kernel, sizes), "compiled")
    counts = run_counts(run)
    seconds = sum(launch.time.minimum_ms for launch in run.launches) / 1e3
    slower = float("inf")
    bounds = [("time", prediction.seconds, seconds, (1 - MEMORY) * prediction.seconds, slower)]
    if counts is not None:
        bounds += _counted(prediction, counts)
    return [
        GpuRow(
            recording=recording,
            kernel=run.kernel,
            sizes=sizes,
            name=name,
            predicted=predicted,
            measured=measured,
            low=low,
            high=high,
        )
        for name, predicted, measured, low, high in bounds
    ]


def _counted(prediction: Prediction, counts: NcuCounts) -> list[tuple[str, float, float, float, float]]:
    """Counters: exact bytes of threads (at most where filtered), operations with those that exp becomes, memory.

    DRAM gives at least the inputs once (counters are taken with cold caches) and at most what L2 is asked for.
    """
    exact = all(t.exact for t in prediction.tensors.values())
    least = 1.0 if exact else 0.0
    loaded, stored = prediction.load_bytes, prediction.store_bytes
    flops = prediction.operations["mul+add"] + mul_add(EXPF) * prediction.operations["exp"]
    most = float("inf") if prediction.repeated else (1 + OPERATIONS) * flops
    inputs = prediction.input_bytes
    return [
        ("loaded bytes", loaded, counts.loaded, least * loaded, loaded),
        ("stored bytes", stored, counts.stored, stored, stored),
        ("mul+add", flops, counts.flops, (1 - OPERATIONS) * flops if exact else 0, most),
        (
            "DRAM read bytes",
            prediction.dram_read_bytes,
            counts.dram_read,
            least * (1 - MEMORY) * inputs,
            (1 + MEMORY) * counts.l2_read,
        ),
    ]
