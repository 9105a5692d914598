"""Recordings of a GPU against predictions: a driver that interprets PTX agrees, changed counters and kernels do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from conftest import Outcome
from test_cuda_gpu_run import KERNELS, csv, record

from fusemap.validation import cuda_check
from fusemap.validation.cuda_check import check_kernels
from fusemap.validation.cuda_gpu_check import GpuRow, check_recording
from fusemap.validation.cuda_gpu_ncu import METRICS, parse_ncu
from fusemap.validation.cuda_gpu_profile import with_metrics
from fusemap.validation.cuda_gpu_recording import MetricModel, RecordingModel, write_recording

LOADED, DRAM = "sm__sass_data_bytes_mem_global_op_ld.sum", "dram__bytes_read.sum"


@cache
def recording(folder: Path) -> RecordingModel:
    """What the interpreting driver records of KERNELS at SIZES, with its counters."""
    found = record(folder / "r.json", KERNELS, ncu=False)
    return found.model_copy(update={"runs": with_metrics(found.runs, parse_ncu(csv()))})


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordingModel:
    return recording(tmp_path_factory.mktemp("gpu"))


def changed(found: RecordingModel, metric: str, factor: float) -> RecordingModel:
    """The recording with one counter of the first launch multiplied."""
    copy = found.model_copy(deep=True)
    metrics = copy.runs[0].launches[0].metrics
    assert metrics is not None
    metrics[metric] = MetricModel(value=factor * metrics[metric].value, unit=METRICS[metric].unit)
    return copy


def rows(found: RecordingModel) -> dict[tuple[str, str], GpuRow]:
    return {(row.kernel, row.name): row for row in check_recording("r.json", found)}


def test_what_was_executed_is_what_was_predicted(recorded: RecordingModel) -> None:
    found = rows(recorded)
    assert {name for _, name in found} == {"time", "loaded bytes", "stored bytes", "mul+add", "DRAM read bytes"}
    assert all(row.holds for row in found.values()), [row for row in found.values() if not row.holds]
    for kernel in KERNELS:
        assert found[kernel, "loaded bytes"].error == found[kernel, "stored bytes"].error == 0
        assert abs(found[kernel, "mul+add"].error) < 0.01


@pytest.mark.parametrize(
    ("metric", "factor", "name"),
    [(LOADED, 1.01, "loaded bytes"), (LOADED, 0.5, "loaded bytes"), (DRAM, 0.1, "DRAM read bytes"), (DRAM, 9, "DRAM")],
)
def test_a_counter_that_is_not_as_predicted(recorded: RecordingModel, metric: str, factor: float, name: str) -> None:
    wrong = [key for key, row in rows(changed(recorded, metric, factor)).items() if not row.holds]
    assert len(wrong) == 1 and wrong[0][1].startswith(name)


def test_faster_than_the_roofline_is_refused(recorded: RecordingModel) -> None:
    copy = recorded.model_copy(deep=True)
    launch = copy.runs[0].launches[0]
    copy.runs[0].launches[0] = launch.model_copy(update={"time": launch.time.model_copy(update={"minimum_ms": 1e-9})})
    assert [name for (_, name), row in rows(copy).items() if not row.holds] == ["time"]


def test_the_page_shows_what_was_measured(
    fusemap: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, recorded: RecordingModel
) -> None:
    monkeypatch.setattr(cuda_check, "checked_sizes", lambda *_: ())
    write_recording(tmp_path / "ours.json", recorded)
    outcome = fusemap("validate", "cuda", "--recording", str(tmp_path / "ours.json"))
    lines = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert outcome.code == 0 and "no recording yet" not in outcome.out
    assert "ours.json 1pass 32x32x32x32 loaded bytes 12,288 12,288 +0.00%" in lines
    write_recording(tmp_path / "ours.json", changed(recorded, LOADED, 2))
    outcome = fusemap("validate", "cuda", "--recording", str(tmp_path / "ours.json"))
    assert outcome.code == 1 and "+100.00% !" in outcome.out
    assert "ours.json, 1pass: loaded bytes measured 24576" in outcome.out
    document = fusemap("validate", "cuda", "--recording", str(tmp_path / "ours.json"), "--json").json()
    assert [row["holds"] for row in document["cuda"]["gpu"]].count(False) == 1


def test_without_a_recording_there_are_no_rows() -> None:
    assert check_kernels(sizes=()).gpu == ()
