"""Recording on a driver that interprets PTX: what is written is what was executed, and every fault is refused."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from attention_reference import softmax
from cuda_gpu_fakes import DEVICE, FakeDriver, ncu_csv

from fusemap.diagnostics import InputError
from fusemap.validation import cuda_gpu_cases, cuda_gpu_measure, cuda_gpu_run
from fusemap.validation.cuda_counts import mul_add
from fusemap.validation.cuda_gpu_cases import SMALL, Case, cases, dram_sizes, exact_rows, make_inputs
from fusemap.validation.cuda_gpu_driver import check_fits
from fusemap.validation.cuda_gpu_kernels import gpu_kernel_names, load_gpu_kernel
from fusemap.validation.cuda_gpu_ncu import METRICS, parse_ncu
from fusemap.validation.cuda_gpu_profile import profile, read_plan, with_metrics
from fusemap.validation.cuda_gpu_recording import find_run, read_recording, run_counts
from fusemap.validation.cuda_gpu_run import main, record_gpu
from fusemap.validation.cuda_ptx import run_ptx

KERNELS = ("1pass", "3pass-spilled")
SIZES = {"P": 32, "M": 32}
COUNTED = '#!/bin/sh\n[ "$1" = --version ] && echo "Version 2025.3.0.0 (build 1)" && exit 0\n'
TO_LOG = 'while [ "$1" != --log-file ]; do shift; done\n[ "$LC_ALL" = C ] && cp {csv} "$2"\n'


@cache
def csv() -> str:
    """What ncu would write of KERNELS at SIZES."""
    driver = FakeDriver()
    for name in KERNELS:
        cuda_gpu_measure.launch_once(driver, Case(kernel=name, sizes=SIZES), seed=0)
    assert not driver.memory, "all tensors are freed"
    return ncu_csv(driver.runs)


@pytest.fixture
def ncu(tmp_path, monkeypatch):
    """Puts a profiler there that does what a script says."""

    def put(script: str) -> None:
        path = tmp_path / "ncu"
        path.write_text(COUNTED + script)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "counted.csv").write_text(csv())
        monkeypatch.setenv("NCU", str(path))

    return lambda script=None: put(script or TO_LOG.format(csv=tmp_path / "counted.csv"))


def record(output: Path, kernels=KERNELS[:1], **options):
    options = {"warm_up": 0, "repetitions": 1, "torch": False, "driver": FakeDriver()} | options
    return record_gpu(output, kernels, [SIZES], **options)


def test_what_is_written_is_what_the_executors_count(tmp_path, ncu):
    ncu()
    record(tmp_path / "r.json", KERNELS, clocks="held by a test")
    recording = read_recording(tmp_path / "r.json")
    assert recording.device.name == DEVICE.name and recording.device.compute_capability == "9.0"
    assert recording.ncu is not None and recording.ncu.version == "2025.3.0.0"
    assert recording.clocks.how.endswith("held by a test")
    for name in KERNELS:
        run = find_run(recording, name, SIZES)
        kernel = load_gpu_kernel(name, SIZES)
        executed = run_ptx(kernel.kernel, make_inputs(kernel))
        counts = run_counts(run)
        assert counts.loaded == sum(t.load_bytes for t in executed.tensors.values())
        assert counts.stored == sum(t.store_bytes for t in executed.tensors.values())
        assert counts.load_sectors == sum(t.load_sectors for t in executed.tensors.values())
        assert counts.flops == mul_add(executed.flops)
        assert 0 < run.max_relative_error < 5e-6 and run.rows_checked == 32
        assert [launch.entry for launch in run.launches] == [launch.entry for launch in kernel.kernel.launches]


def test_without_a_profiler_there_are_no_counters(tmp_path, monkeypatch):
    monkeypatch.setenv("NCU", "/nowhere/ncu")
    recording = record(tmp_path / "r.json")
    assert recording.ncu is None and all(run_counts(run) is None for run in recording.runs)
    assert read_recording(tmp_path / "r.json") == recording


REFUSED = 'while [ "$1" != --log-file ]; do shift; done; echo "==ERROR== ERR_NVGPUCTRPERM - no" > "$2"; exit 1'
PROFILER_FAULTS = {
    "no permission": (REFUSED, "may not read this GPU's counters"),
    "a crash": ("echo 'error: no CUDA driver' >&2; exit 9", "ncu ended with 9:\nerror: no CUDA driver\n  --no-ncu"),
    "no file": ("exit 0", 'ncu.csv: no header that starts with "ID"'),
}


@pytest.mark.parametrize("fault", PROFILER_FAULTS)
def test_a_profiler_that_fails_ends_it_before_anything_is_timed(fault, tmp_path, ncu):
    script, message = PROFILER_FAULTS[fault]
    ncu(script)
    driver = FakeDriver()
    with pytest.raises(InputError, match=message):
        record(tmp_path / "r.json", driver=driver)
    assert not driver.runs and not (tmp_path / "r.json").exists()


def test_launches_that_ncu_missed_or_mixed_up(tmp_path):
    driver = FakeDriver()
    runs = [
        cuda_gpu_measure.measure(driver, Case(kernel=name, sizes=SIZES), warm_up=0, repetitions=1, seed=0)
        for name in KERNELS
    ]
    launches = list(parse_ncu(csv()))
    assert with_metrics(runs, [replace(launches[0], entry="memset"), *launches])[0].launches[0].metrics
    with pytest.raises(InputError, match="ncu counted 3 launches, 4 were made"):
        with_metrics(runs, launches[:-1])
    with pytest.raises(InputError, match=r"launch 3 is attention_values .*has made attention_scores \(1, 1, 1\)"):
        with_metrics(runs, [launches[0], launches[3], launches[2], launches[1]])
    with pytest.raises(InputError, match=r"is attention_1pass \(9, 1, 1\) x"):
        with_metrics(runs, [replace(launches[0], grid=(9, 1, 1)), *launches[1:]])


def test_the_profiled_process_launches_the_plan(tmp_path, monkeypatch, ncu):
    """ncu runs this package again: here it starts a Python that tells what plan it was given."""
    kept = tmp_path / "plan.json"
    ncu(TO_LOG.format(csv=tmp_path / "counted.csv") + f'for last; do true; done; cp "$last" {kept}\n')
    planned = cases(DEVICE, KERNELS, [SIZES])
    assert len(profile(planned, ncu=os.environ["NCU"], seed=7).launches) == 4
    assert read_plan(kept.read_text()) == (planned, 7)
    driver = FakeDriver()
    monkeypatch.setattr(cuda_gpu_run, "LibCuda", lambda: driver)
    assert main(["--launch-plan", str(kept)]) == 0
    assert [run.kernel for _, run in driver.runs] == [launch.entry for launch in parse_ncu(csv())]


def test_an_end_in_the_middle_leaves_what_was_there(tmp_path, monkeypatch):
    output = tmp_path / "r.json"
    output.write_text("before")

    class Interrupted(FakeDriver):
        def elapsed_ms(self, action):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(output, ncu=False, driver=Interrupted())

    def stopped(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(InputError, match=r"cannot write .*r\.json: No space left"):
        record(output, ncu=False)
    assert output.read_text() == "before" and [path.name for path in tmp_path.iterdir()] == ["r.json"]


class Wrong(FakeDriver):
    """Gives back something else than what was computed."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def copy_out(self, address, values):
        super().copy_out(address, values)
        self.change(values)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda values: np.multiply(values, 1.01, out=values), "kernel 1pass: its result is off by 0.01, rounding"),
        (lambda values: values.__setitem__((3, 4), np.nan), "kernel 1pass: 1 of its results are no numbers"),
    ],
)
def test_a_wrong_result_is_not_recorded(change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        record(tmp_path / "r.json", ncu=False, driver=Wrong(change))
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("causal", [False, True])
def test_float64_rows_are_a_softmax_whatever_the_chunk(causal, monkeypatch):
    monkeypatch.setattr(cuda_gpu_cases, "_CHUNK", 7)
    kernel = load_gpu_kernel("1pass-causal" if causal else "1pass", SIZES)
    inputs, rows = make_inputs(kernel, seed=3), np.array([0, 5, 31])
    scores = inputs["Q"].astype(np.float64) @ inputs["K"].astype(np.float64).T
    want = softmax(scores, 1, np.tri(*scores.shape, dtype=bool) if causal else None) @ inputs["V"]
    assert np.allclose(exact_rows(kernel, inputs, rows), np.float64(want[rows]), rtol=1e-12)


def test_all_kernels_fit_all_sizes():
    planned = cases(DEVICE)
    assert {case.kernel for case in planned} == set(gpu_kernel_names())
    for case in planned:
        check_fits(case.load(), DEVICE)
    assert all(
        case.sizes["M"] * case.sizes["E"] * 4 > 5 * DEVICE.l2_bytes for case in planned if case.sizes["M"] > 10**5
    )
    assert len({tuple(sizes.items()) for sizes in SMALL}) == 4


def test_the_dram_case_is_one_wave_unless_an_index_ends():
    assert dram_sizes("1pass", DEVICE)["P"] == 132 * 32
    sizes = dram_sizes("3pass-spilled", DEVICE)
    assert sizes["P"] * sizes["M"] < 2**31 <= (sizes["P"] + 32) * sizes["M"]
    half = replace(DEVICE, memory_bytes=DEVICE.memory_bytes // 4)
    assert dram_sizes("3pass-spilled", half)["P"] < sizes["P"]


@pytest.mark.parametrize(
    "kernel, sizes, message",
    [
        ("3pass-spilled", {"P": 4096, "M": 1 << 20}, "QK has 4,294,967,296 elements"),
        ("splitk", {"M": 32 << 16}, "65,536 blocks in y, most is 65,535"),
        ("1pass-warp", {"BP": 64}, "2,048 threads a block"),
        ("1pass", {"P": 1 << 25, "M": 1 << 25}, r"needs 17,179,869,184 bytes of memory, .* has 1,073,741,824"),
    ],
)
def test_what_does_not_fit(kernel, sizes, message):
    with pytest.raises(InputError, match=message):
        check_fits(load_gpu_kernel(kernel, sizes), replace(DEVICE, memory_bytes=1 << 30))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--kernel", "1pas"], 'no kernel "1pas"\n  did you mean 1pass?'),
        (["--size", "P=1,N=2"], 'no size "N"'),
        (["--size", "P=1x"], 'size P in "P=1x" is "1x": expected a whole number'),
        ([], "no CUDA driver: libcuda_of_no_one.so is not found"),
    ],
)
def test_the_command_refuses_in_words(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fusemap.validation.cuda_gpu_libcuda.LIBRARY", "libcuda_of_no_one.so")
    assert main(["--out", str(tmp_path / "r.json"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_records(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cuda_gpu_run, "LibCuda", FakeDriver)
    output = tmp_path / "r.json"
    given = ["--out", output, "--kernel", "1pass", "--size", "P=32,M=32", "--no-ncu", "--no-torch", "--repetitions", 2]
    assert main([str(argument) for argument in given]) == 0
    assert "1 runs on an interpreter" in capsys.readouterr().out
    assert json.loads(output.read_text())["runs"][0]["sizes"] == {"P": 32, "M": 32}
    assert main(["--out", str(tmp_path / "no" / "r.json")]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_metrics_are_those_that_the_csv_has():
    assert set(parse_ncu(csv())[0].metrics) == set(METRICS)
