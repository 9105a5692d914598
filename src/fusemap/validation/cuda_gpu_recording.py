"""Recordings: what one run of the kernels on a GPU measured, as a JSON file that is committed with the package.

A recording names the device, its clocks, the compiler and the profiler; each run in it carries the digest of the .cu
file, so that numbers of another source are never taken for this one's.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fusemap.archspec.document import Document
from fusemap.archspec.schema import SpecModel, validate
from fusemap.archspec.yamlnodes import parse_document, read_text
from fusemap.diagnostics import Diagnostic, InputError, Span, did_you_mean, input_error
from fusemap.validation.cuda_gpu_kernels import gpu_kernel_names, gpu_kernel_source
from fusemap.validation.cuda_gpu_ncu import METRICS, NcuCounts, derive

FOLDER = "recordings"

Positive = Annotated[int, Field(gt=0)]
Milliseconds = Annotated[float, Field(gt=0)]
Triple = Annotated[list[Positive], Field(min_length=3, max_length=3)]


class DeviceModel(SpecModel):
    """The GPU; `cuda` is the newest version that its driver takes, `driver` the driver's own number if known."""

    name: str
    compute_capability: Annotated[str, Field(pattern=r"^\d+\.\d+$")]
    multiprocessors: Positive
    memory_bytes: Positive
    l2_bytes: Positive
    cuda: str
    driver: str


class ClocksModel(SpecModel):
    """Clocks in MHz; `how` says where they were read and whether anything held them."""

    sm_mhz: Annotated[float, Field(gt=0)]
    memory_mhz: Annotated[float, Field(gt=0)]
    how: str


class NcuModel(SpecModel):
    """The profiler: its version and the options that it ran with."""

    version: str
    options: list[str]


class TimeModel(SpecModel):
    """Times of repetitions after a warm-up, in milliseconds."""

    method: Literal["CUDA events"]
    repetitions: Positive
    minimum_ms: Milliseconds
    median_ms: Milliseconds


class MetricModel(SpecModel):
    """A counter of one launch."""

    value: Annotated[float, Field(ge=0)]
    unit: str


class LaunchModel(SpecModel):
    """One launch: blocks, threads, what a thread and a block occupy, its time, its counters if there are any."""

    entry: str
    grid: Triple
    block: Triple
    registers: Annotated[int, Field(ge=0)]
    shared_bytes: Annotated[int, Field(ge=0)]
    local_bytes: Annotated[int, Field(ge=0)]
    time: TimeModel
    metrics: dict[str, MetricModel] | None = None


class RunModel(SpecModel):
    """A kernel at given sizes. `max_relative_error`: over `rows_checked` rows, to attention in float64."""

    kernel: str
    source_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    sizes: dict[str, Positive]
    constants: dict[str, Positive]
    seed: Annotated[int, Field(ge=0)]
    compiler: str
    max_relative_error: Annotated[float, Field(ge=0)]
    rows_checked: Positive
    launches: Annotated[list[LaunchModel], Field(min_length=1)]


class BaselineModel(SpecModel):
    """A library's attention of the same sizes (batch 1, one head), whatever it counts, by its time."""

    library: str
    version: str
    function: str
    backend: str
    type: Literal["fp32", "bf16"]
    sizes: dict[str, Positive]
    time: TimeModel


class RecordingModel(SpecModel):
    """One device run: all kernels and sizes of it."""

    format: Literal[1]
    fusemap: str
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    device: DeviceModel
    clocks: ClocksModel
    ncu: NcuModel | None = None
    warm_up: Annotated[int, Field(ge=0)]
    runs: Annotated[list[RunModel], Field(min_length=1)]
    baselines: list[BaselineModel]


def digest(source: str) -> str:
    """The SHA-256 of a .cu file's text, which says what was recorded."""
    return hashlib.sha256(source.encode()).hexdigest()


def recording_schema() -> dict[str, object]:
    """The JSON schema of a recording."""
    return RecordingModel.model_json_schema()


def recordings() -> Mapping[str, RecordingModel]:
    """The recordings that come with the package, by file name; empty while there is none."""
    folder = resources.files("fusemap.validation") / FOLDER
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".json")), key=lambda item: item.name)
    return {item.name: parse_recording(item.read_text(encoding="utf-8"), file=item.name) for item in files}


def read_recording(path: str | os.PathLike[str]) -> RecordingModel:
    """A recording from a file. InputError, located: see parse_recording."""
    return parse_recording(read_text(path), file=str(path))


def parse_recording(text: str, *, file: str = "<recording>", stale: bool = False) -> RecordingModel:
    """A recording from text.

    InputError, located: no JSON (a file cut off), an unknown or missing key, an unknown kernel, a metric that is
    missing or in another unit, a run of a source that has changed since (unless `stale`).
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        raise _not_json(text, file, error) from None
    document = parse_document(text, file=file)
    recording = validate(document, RecordingModel)
    faults = [fault for i, run in enumerate(recording.runs) for fault in _faults(document, i, run, stale)]
    if faults:
        raise InputError(tuple(faults))
    return recording


def to_json(recording: RecordingModel) -> str:
    """The text of a recording's file."""
    return json.dumps(recording.model_dump(mode="json", exclude_none=True), indent=1) + "\n"


def write_recording(path: Path, recording: RecordingModel) -> None:
    """Writes a recording whole or not at all; what stood there stays until the new one is on the disk.

    InputError: the file cannot be written, or what would be written cannot be read back.
    """
    text = to_json(recording)
    parse_recording(text, file=str(path))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise input_error(f"cannot write {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            draft.unlink()


def run_counts(run: RunModel) -> NcuCounts | None:
    """What a run's counters say, summed over its launches; None without counters."""
    counted = [launch.metrics for launch in run.launches if launch.metrics is not None]
    if len(counted) < len(run.launches):
        return None
    return derive({name: metric.value for name, metric in metrics.items()} for metrics in counted)


def find_run(recording: RecordingModel, kernel: str, sizes: Mapping[str, int] | None = None) -> RunModel | None:
    """The first run of a kernel in which the given sizes and constants are so; None if there is none."""
    wanted = (sizes or {}).items()
    return next(
        (r for r in recording.runs if r.kernel == kernel and wanted <= {**r.sizes, **r.constants}.items()), None
    )


def _not_json(text: str, file: str, error: json.JSONDecodeError) -> InputError:
    lines = text.splitlines() or [""]
    cut = not text[error.pos :].strip() or error.msg.startswith("Unterminated string")
    message = f"no JSON: {'the file is cut off' if cut else error.msg}"
    span = Span(file=file, line=error.lineno, column=error.colno)
    return InputError((Diagnostic(message=message, span=span, source=lines[min(error.lineno, len(lines)) - 1]),))


def _faults(document: Document, i: int, run: RunModel, stale: bool) -> list[Diagnostic]:
    at = ("runs", i)
    if run.kernel not in gpu_kernel_names():
        hint = did_you_mean(run.kernel, gpu_kernel_names())
        return [document.diagnostic((*at, "kernel"), f'no kernel "{run.kernel}"', hint=hint)]
    found = []
    now = digest(gpu_kernel_source(run.kernel))
    if run.source_sha256 != now and not stale:
        message = f"kernel {run.kernel} was recorded from another source than the present one ({now[:12]}…)"
        found.append(document.diagnostic((*at, "source_sha256"), message, hint="record it again on a GPU"))
    for j, launch in enumerate(run.launches):
        found += _metric_faults(document, (*at, "launches", j, "metrics"), launch)
    return found


def _metric_faults(document: Document, at: tuple[str | int, ...], launch: LaunchModel) -> list[Diagnostic]:
    found = []
    for name, metric in METRICS.items():
        if launch.metrics is None:
            break
        if name not in launch.metrics:
            hint = did_you_mean(name, tuple(launch.metrics))
            found.append(document.diagnostic(at, f"launch {launch.entry} has no metric {name}", hint=hint, key=True))
        elif (unit := launch.metrics[name].unit) != metric.unit:
            message = f'unit "{unit}" of {name}: expected {metric.unit}'
            found.append(document.diagnostic((*at, name, "unit"), message))
    return found
