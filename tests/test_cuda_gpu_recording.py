"""Recordings as files: read back as written, and every kind of fault named where it stands."""

from __future__ import annotations

import json
from functools import cache

import pytest
from cuda_gpu_fakes import FakeDriver, ncu_csv

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_gpu_cases import Case
from fusemap.validation.cuda_gpu_kernels import gpu_kernel_names, gpu_kernel_source
from fusemap.validation.cuda_gpu_measure import measure
from fusemap.validation.cuda_gpu_ncu import DURATION, LOADED, parse_ncu
from fusemap.validation.cuda_gpu_profile import with_metrics
from fusemap.validation.cuda_gpu_recording import (
    ClocksModel,
    DeviceModel,
    NcuModel,
    RecordingModel,
    digest,
    find_run,
    parse_recording,
    read_recording,
    recording_schema,
    recordings,
    run_counts,
    to_json,
    write_recording,
)


@cache
def text() -> str:
    """A recording of one small launch."""
    driver = FakeDriver()
    run = measure(driver, Case(kernel="1pass", sizes={"P": 32, "M": 32}), warm_up=0, repetitions=1, seed=0)
    recording = RecordingModel(
        format=1,
        fusemap="0.1.0",
        date="2025-11-23",
        device=DeviceModel(
            name="an interpreter",
            compute_capability="9.0",
            multiprocessors=132,
            memory_bytes=1 << 36,
            l2_bytes=50 << 20,
            cuda="13.0",
            driver="unknown",
        ),
        clocks=ClocksModel(sm_mhz=1.0, memory_mhz=1.0, how="a test"),
        ncu=NcuModel(version="2025.3", options=["--csv"]),
        warm_up=0,
        runs=with_metrics([run], parse_ncu(ncu_csv(driver.runs[:1]))),
        baselines=[],
    )
    return to_json(recording)


def test_reading_gives_what_was_written(tmp_path):
    recording = parse_recording(text())
    write_recording(tmp_path / "r.json", recording)
    assert read_recording(tmp_path / "r.json") == recording
    assert (tmp_path / "r.json").read_text() == text() == to_json(recording)
    assert run_counts(recording.runs[0]).stored == 4 * 32 * 32


def test_all_recordings_of_the_package_are_read():
    assert all(recording.runs for recording in recordings().values())


def test_a_run_is_found_by_sizes_and_constants():
    recording = parse_recording(text())
    assert find_run(recording, "1pass", {"M": 32, "BP": 32}) is recording.runs[0]
    assert find_run(recording, "1pass", {"M": 64}) is None and find_run(recording, "2pass") is None


def test_the_digest_is_of_the_source():
    digests = {name: digest(gpu_kernel_source(name)) for name in gpu_kernel_names()}
    assert len(set(digests.values())) == len(digests)
    assert json.loads(text())["runs"][0]["source_sha256"] == digests["1pass"]


def changed(change) -> str:
    data = json.loads(text())
    change(data)
    return json.dumps(data, indent=1)


def launch(data):
    return data["runs"][0]["launches"][0]


FAULTS = {
    "another source": (
        lambda data: data["runs"][0].update(source_sha256="0" * 64),
        "error: kernel 1pass was recorded from another source than the present one",
    ),
    "a short digest": (lambda data: data["runs"][0].update(source_sha256="0"), "source_sha256"),
    "a missing metric": (lambda data: launch(data)["metrics"].pop(LOADED), f"attention_1pass has no metric {LOADED}"),
    "another unit": (
        lambda data: launch(data)["metrics"][LOADED].update(unit="Kbyte"),
        f'unit "Kbyte" of {LOADED}: expected byte',
    ),
    "time in us": (
        lambda data: launch(data)["metrics"][DURATION].update(unit="us"),
        f'unit "us" of {DURATION}: expected ns',
    ),
    "an unknown kernel": (
        lambda data: data["runs"][0].update(kernel="1pas"),
        'no kernel "1pas"\n.*\n.*\n  did you mean',
    ),
    "an unknown key": (lambda data: data["device"].update(naem="x"), 'unknown key "naem"'),
    "a missing key": (lambda data: data["device"].pop("name"), 'missing key "name"'),
    "no repetitions": (lambda data: launch(data)["time"].update(repetitions=0), "greater than|at least|> 0"),
    "another way to time": (lambda data: launch(data)["time"].update(method="a watch"), "CUDA events"),
    "a later format": (lambda data: data.update(format=2), "format: |format"),
    "no number": (lambda data: launch(data)["time"].update(median_ms="1"), "number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_where_it_stands(fault):
    change, message = FAULTS[fault]
    with pytest.raises(InputError, match=message) as caught:
        parse_recording(changed(change), file="r.json")
    assert str(caught.value).startswith("r.json:") and caught.value.diagnostics[0].span.line > 1


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.93])
def test_a_file_that_is_cut_off(part):
    with pytest.raises(InputError, match=r"r\.json:\d+:\d+: error: no JSON"):
        parse_recording(text()[: int(part * len(text()))], file="r.json")


def test_a_run_of_an_old_source_can_be_asked_for():
    old = changed(FAULTS["another source"][0])
    assert parse_recording(old, stale=True).runs[0].source_sha256 == "0" * 64


def test_what_cannot_be_read_back_is_not_written(tmp_path):
    recording = parse_recording(changed(FAULTS["another source"][0]), stale=True)
    with pytest.raises(InputError, match="another source"):
        write_recording(tmp_path / "r.json", recording)
    assert not list(tmp_path.iterdir())


def test_the_schema_names_every_part():
    schema = recording_schema()
    assert set(schema["properties"]) == set(json.loads(text()))
    assert {"RunModel", "LaunchModel", "MetricModel", "BaselineModel"} <= set(schema["$defs"])
