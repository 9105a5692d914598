"""The tensor-core kernel: its text executed with wmma written out, compiled for a GPU, and its bf16 conversions."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cuda_gpu_fakes import DEVICE
from cuda_source_cases import NO_COMPILER, edited, relative_error, softmax_attention

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_gpu_cases import make_inputs
from fusemap.validation.cuda_gpu_compile import device_ptx
from fusemap.validation.cuda_gpu_kernels import from_bf16, load_gpu_kernel, to_bf16
from fusemap.validation.cuda_gpu_measure import MOST_ERROR
from fusemap.validation.cuda_kernels import Kernel
from fusemap.validation.cuda_ptx_compile import find_nvcc, flags
from fusemap.validation.cuda_source import run_source

NAME = "1pass-bf16"
SMALL = {"P": 64, "M": 48, "E": 32, "F": 16, "BP": 32, "BM": 16}  # two blocks of two warps, three chunks
WMMA = Path(__file__).parent / "data" / "wmma"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache for this file: the key of the usual one does not know the headers of WMMA."""
    return tmp_path_factory.mktemp("cache")


def run(kernel: Kernel, monkeypatch, cache):
    monkeypatch.setenv("CPLUS_INCLUDE_PATH", str(WMMA))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    inputs = make_inputs(load_gpu_kernel(NAME, SMALL))
    return run_source(kernel, inputs), softmax_attention(inputs, causal=False)


@pytest.mark.slow
@pytest.mark.skipif(NO_COMPILER, reason="no C++ compiler")
def test_its_text_is_one_pass_of_attention(monkeypatch, cache):
    kernel = load_gpu_kernel(NAME, SMALL).kernel
    done, want = run(kernel, monkeypatch, cache)
    error = relative_error(done.outputs["AV"], want)
    assert done.faults == ()
    assert 1e-5 < error < 1e-2, "the weights are rounded to bf16 (2^-9), and nothing else is"
    k, v = done.tensors["K"], done.tensors["V"]
    assert (k.loads, k.passes, v.loads, v.passes) == (2 * 48 * 32, 1, 2 * 48 * 16, 1)
    assert done.tensors["AV"].stores == 64 * 16


@pytest.mark.skipif(NO_COMPILER, reason="no C++ compiler")
def test_a_fault_in_its_text_is_no_rounding(monkeypatch, cache):
    kernel = edited(load_gpu_kernel(NAME, SMALL).kernel, "RNV[warp][row][f] *= PRM", "RNV[warp][row][f] *= 1.0f")
    done, want = run(kernel, monkeypatch, cache)
    assert relative_error(done.outputs["AV"], want) > MOST_ERROR["bf16"]


@pytest.mark.skipif(not find_nvcc(), reason="no nvcc")
def test_it_compiles_within_the_static_shared_memory(tmp_path):
    kernel = load_gpu_kernel(NAME, {"E": 64, "F": 64}).kernel
    (tmp_path / "kernel.cu").write_text(kernel.source)
    target, nvcc = tmp_path / "kernel.cubin", shutil.which(find_nvcc())
    command = [nvcc, "-cubin", "-arch=sm_90", "-Xptxas=-v", *flags(kernel), "-o", target, tmp_path / "kernel.cu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 bytes spill stores" in done.stderr


def test_an_old_gpu_has_no_bf16():
    with pytest.raises(InputError, match=r"needs bf16 tensor cores \(8.0\)"):
        device_ptx(load_gpu_kernel(NAME), replace(DEVICE, capability=(7, 5)))


def test_bf16_is_the_nearest_value_ties_to_even():
    exact = np.float32([0.0, -0.0, 1.0, -2.5, 2.0**-120, 3e38])
    assert np.array_equal(from_bf16(to_bf16(from_bf16(to_bf16(exact)))), from_bf16(to_bf16(exact)))
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    bits = to_bf16(values)
    around = np.stack([from_bf16((bits.astype(np.int32) + step).astype(np.uint16)) for step in (-1, 0, 1)])
    assert (np.abs(around - values).argmin(axis=0) == 1).all()


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"BP": 24}, "BP / 16 of kernel 1pass-bf16 is 1.5"),
        ({"EE": 1}, 'has no size "EE"\n  did you mean E'),
        ({"M": 40}, "M / BM"),
    ],
)
def test_sizes_that_do_not_divide(sizes, message):
    with pytest.raises(InputError, match=message):
        load_gpu_kernel(NAME, sizes)
