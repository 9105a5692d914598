"""What stands between fusemap and a machine: the driver's functions, nvidia-smi, PyTorch, each with a stand-in."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_gpu_fakes import DEVICE

from fusemap.diagnostics import InputError
from fusemap.validation import cuda_gpu_libcuda
from fusemap.validation.cuda_gpu_clocks import read_clocks
from fusemap.validation.cuda_gpu_compile import device_ptx
from fusemap.validation.cuda_gpu_kernels import load_gpu_kernel
from fusemap.validation.cuda_gpu_libcuda import LibCuda
from fusemap.validation.cuda_gpu_torch import find_torch, sdpa_baselines
from fusemap.validation.cuda_ptx_compile import find_nvcc

COMPILER = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
STUB = Path(__file__).parent / "data" / "libcuda_stub.c"
with_stub = pytest.mark.skipif(COMPILER is None, reason="no C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The stub as a shared library."""
    made = tmp_path_factory.mktemp("stub") / "libcuda.so.1"
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-w", "-o", made, STUB], check=True)
    return made


@pytest.fixture
def driver(library, monkeypatch):
    monkeypatch.setattr(cuda_gpu_libcuda, "LIBRARY", str(library))
    return LibCuda()


@with_stub
def test_the_device_in_its_units(driver):
    assert driver.device == replace(
        DEVICE, name="a stub", bus="0000:1b:00.0", sm_mhz=1980.0, memory_mhz=2619.0, cuda="12.8"
    )


@with_stub
def test_memory_and_a_launch(driver, library):
    (function,) = driver.load("good", ["f"])
    assert (function.shared_bytes, function.local_bytes, function.registers) == (10, 30, 40)
    address = driver.allocate(16)
    driver.fill(address, 7, 4)
    driver.copy_in(address, np.array([5], np.uint32))
    elapsed = driver.elapsed_ms(lambda: driver.launch(function, (3, 1, 1), (64, 1, 1), [(address, True), (-1, False)]))
    values = np.zeros(4, np.uint32)
    driver.wait()
    driver.copy_out(address, values)
    driver.free(address)
    assert values.tolist() == [5 + 3_000_000 + 64_000 - 1, 7, 7, 7] and elapsed == 1.5
    assert ctypes.CDLL(str(library)).stub_events() == 0, "events are destroyed"


@with_stub
@pytest.mark.parametrize(
    "action, message",
    [
        (lambda driver: driver.load("bad", ["f"]), "CUDA_ERROR_INVALID_PTX: line 3: no such opcode"),
        (lambda driver: driver.load("good", ["g"]), "cuModuleGetFunction: CUDA_ERROR_NOT_FOUND"),
        (lambda driver: driver.allocate(1 << 41), "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY\n  take smaller sizes"),
        (lambda driver: driver._call("cuDeviceGet", ctypes.byref(ctypes.c_int()), 3), "cuDeviceGet: error 101"),
        (lambda driver: driver._call("cuNew"), "has no cuNew\n  the driver is too old"),
    ],
)
def test_errors_of_the_driver_are_words(driver, action, message):
    with pytest.raises(InputError, match=message):
        action(driver)


@with_stub
@pytest.mark.parametrize(
    "variable, message",
    [
        ("STUB_NO_DRIVER", "cuInit: CUDA_ERROR_NO_DEVICE\n  no NVIDIA GPU is visible"),
        ("STUB_NO_GPU", "no GPU: the CUDA driver sees none\n  no NVIDIA GPU is visible"),
    ],
)
def test_no_gpu(library, monkeypatch, variable, message):
    monkeypatch.setattr(cuda_gpu_libcuda, "LIBRARY", str(library))
    monkeypatch.setenv(variable, "1")
    with pytest.raises(InputError, match=message):
        LibCuda()


@pytest.mark.parametrize(
    "answer, clocks, version",
    [
        ("1755, 2619, 570.86.15", (1755.0, 2619.0), "570.86.15"),
        ("[N/A], 2619, 570.86.15", (1000.0, 1000.0), "unknown"),
        ("", (1000.0, 1000.0), "unknown"),
    ],
)
def test_clocks_are_read_at_work(answer, clocks, version, tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = --id=0000:00:00.0 ] && sleep 0.1 && echo "{answer}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    worked = []
    read, driver = read_clocks(DEVICE, lambda: worked.append(1), held="held by a test")
    assert (read.sm_mhz, read.memory_mhz) == clocks and driver == version and worked
    assert read.how.startswith("nvidia-smi while" if version != "unknown" else "peak clocks")


@pytest.mark.skipif(not find_nvcc(), reason="no nvcc")
def test_another_gpu_gets_ptx_of_its_own():
    text, version = device_ptx(load_gpu_kernel("1pass"), replace(DEVICE, capability=(8, 0)))
    assert ".target sm_80" in text and version.startswith("nvcc ")


def fake_torch(refused):
    """PyTorch as far as it is used, with backends that refuse a type."""
    state = SimpleNamespace(backend="")

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            pass

        def synchronize(self):
            pass

        def elapsed_time(self, end):
            return 0.25

    @contextmanager
    def sdpa_kernel(backend):
        state.backend = backend
        yield

    def attention(q, k, v):
        if (state.backend, q[1]) in refused:
            raise RuntimeError("No available kernel")

    backend = SimpleNamespace(FLASH_ATTENTION="flash", EFFICIENT_ATTENTION="efficient", MATH="math")
    return SimpleNamespace(
        __version__="2.9.0",
        float32="float32",
        bfloat16="bfloat16",
        randn=lambda shape, device, dtype: (shape, dtype),
        cuda=SimpleNamespace(Event=Event),
        nn=SimpleNamespace(
            attention=SimpleNamespace(SDPBackend=backend, sdpa_kernel=sdpa_kernel),
            functional=SimpleNamespace(scaled_dot_product_attention=attention),
        ),
    )


def test_library_times_by_backend():
    sizes = {"P": 64, "M": 128, "E": 32, "F": 32}
    large = {**sizes, "M": 1 << 23}
    made = sdpa_baselines(fake_torch({("flash", "float32")}), [sizes, large], warm_up=1, repetitions=3)
    assert [(b.backend, b.type, b.sizes["M"]) for b in made] == [
        ("efficient", "fp32", 128),
        ("math", "fp32", 128),
        ("flash", "bf16", 128),
        ("efficient", "bf16", 128),
        ("math", "bf16", 128),
        ("efficient", "fp32", 1 << 23),
        ("flash", "bf16", 1 << 23),
        ("efficient", "bf16", 1 << 23),
    ]
    assert made[0].version == "2.9.0" and made[0].time.repetitions == 3 and made[0].time.median_ms == 0.25


def test_no_torch(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert find_torch() is None
