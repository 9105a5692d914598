"""What the source executor knows of CUDA C++: indices, shuffles, vectors, operations; and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from cuda_source_cases import NO_COMPILER, make_inputs, small_kernel

from fusemap.diagnostics import InputError
from fusemap.validation.cuda_kernels import load_kernel
from fusemap.validation.cuda_source import run_source
from fusemap.validation.cuda_source_build import build, find_compiler

needs_compiler = pytest.mark.skipif(NO_COMPILER, reason="needs g++ or clang++")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@needs_compiler
def test_threads_and_blocks_have_three_dimensions() -> None:
    source = """extern "C" __global__ void f(float *O) {
        const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
        const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
        O[block * 24 + thread] = (float)(100 * block + thread);
    }"""
    kernel = small_kernel(source, shapes={"O": (12, 24)}, grid=(2, 3, 2), block=(4, 3, 2))
    result = run_source(kernel, {})
    assert np.array_equal(result.outputs["O"], 100 * np.arange(12)[:, None] + np.arange(24))


@needs_compiler
def test_shuffles() -> None:
    source = """extern "C" __global__ void f(const float *X, float *O) {
        const int t = threadIdx.x;
        float x = X[t];
        O[t] = __shfl_sync(0xffffffffu, x, 5);
        O[64 + t] = __shfl_xor_sync(0xffffffffu, x, 1);
        O[128 + t] = __shfl_down_sync(0xffffffffu, x, 3);
        O[192 + t] = __shfl_up_sync(0xffffffffu, x, 3, 8);
        if (t % 32 < 16) x += __shfl_xor_sync(0x0000ffffu, x, 8);
        __syncwarp();
        O[256 + t] = x;
    }"""
    kernel = small_kernel(source, shapes={"X": (64,), "O": (5, 64)}, inputs=("X",), block=(64, 1, 1))
    x = np.arange(64, dtype=np.float32)
    t = np.arange(64)
    lane = t % 32
    want = [
        np.where(t < 32, 5, 37),
        t ^ 1,
        np.where(lane + 3 < 32, t + 3, t),
        np.where(t % 8 >= 3, t - 3, t),
        np.where(lane < 16, t + (t ^ 8), t),
    ]
    result = run_source(kernel, {"X": x})
    assert np.array_equal(result.outputs["O"], np.array(want))
    assert result.faults == ()


@needs_compiler
def test_vectors_count_their_elements() -> None:
    source = """extern "C" __global__ void f(const float *X, float *O) {
        const float4 v = reinterpret_cast<const float4 *>(X)[threadIdx.x];
        O[threadIdx.x] = v.x + v.y + v.z + v.w;
    }"""
    kernel = small_kernel(source, shapes={"X": (128,), "O": (32,)}, inputs=("X",))
    result = run_source(kernel, make_inputs(kernel))
    x = result.tensors["X"]
    assert (x.loads, x.passes, x.load_requests, x.load_sectors) == (128, 1, 1, 16)
    assert result.tensors["O"].store_sectors == 4


@needs_compiler
def test_each_load_that_is_written_counts() -> None:
    source = """extern "C" __global__ void f(const float *X, float *O, float *R) {
        float sum = 0.0f;
        for (int i = 0; i < 4; ++i) sum += X[0] * X[i] + X[i];
        if (threadIdx.x > 7) O[threadIdx.x] = sum;
        R[threadIdx.x] += sum;
    }"""
    kernel = small_kernel(source, shapes={"X": (32,), "O": (32,), "R": (32,)}, inputs=("X",))
    result = run_source(kernel, make_inputs(kernel))
    x, o = result.tensors["X"], result.tensors["O"]
    assert (x.loads, x.load_requests, x.load_sectors, x.passes) == (32 * 12, 12, 12, 96)
    assert (o.stores, o.store_requests, o.store_sectors) == (24, 1, 3)
    assert (result.tensors["R"].loads, result.tensors["R"].stores) == (32, 32)


@needs_compiler
def test_misaligned_vectors() -> None:
    source = """extern "C" __global__ void f(const float *X, float *O) {
        float4 v = reinterpret_cast<const float4 *>(X + (threadIdx.x == 5))[threadIdx.x];
        O[threadIdx.x] = v.x;
    }"""
    kernel = small_kernel(source, shapes={"X": (128,), "O": (32,)}, inputs=("X",))
    (fault,) = run_source(kernel, make_inputs(kernel)).faults
    assert (fault.kind, fault.tensor, fault.index, fault.thread) == ("misaligned", "X", 21, 5)


@needs_compiler
def test_operations_by_kind() -> None:
    source = """extern "C" __global__ void f(const float *X, float *O) {
        const float a = X[0], b = X[1];
        float c = a * b + 2.0f - a / b;
        c += fmaf(a, b, c);
        c = fmaxf(c, fminf(a, 1.0f)) + expf(-a) + sqrtf(b * b);
        c = c > 0.0f ? c : -c;
        O[threadIdx.x] = c + rsqrtf(4.0f + fabsf(a)) + exp2f(a) + max(a, b);
    }"""
    kernel = small_kernel(source, shapes={"X": (2,), "O": (1,)}, inputs=("X",), block=(1, 1, 1))
    want = {"add": 9, "mul": 2, "fma": 1, "div": 1, "exp": 1, "max": 3, "sqrt": 2, "rcp": 1, "ex2": 1}
    result = run_source(kernel, {"X": np.array([0.5, 2.0], dtype=np.float32)})
    assert dict(result.flops) == want


@needs_compiler
def test_what_is_not_written_is_nan() -> None:
    source = """extern "C" __global__ void f(float *A, float *O) {
        __shared__ float s[32];
        if (threadIdx.x < 8) s[threadIdx.x] = 1.0f;
        __syncthreads();
        O[threadIdx.x] = s[threadIdx.x] + (threadIdx.x == 3 ? A[0] : 0.0f);
    }"""
    outputs = run_source(small_kernel(source, shapes={"A": (1,), "O": (32,)}), {}).outputs
    assert np.flatnonzero(~np.isnan(outputs["O"])).tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert np.isnan(outputs["A"]).all()


@needs_compiler
def test_a_crash_is_an_error() -> None:
    kernel = small_kernel('extern "C" __global__ void f(float *O) { *(float *)8 = 1.0f; }', shapes={"O": (1,)})
    with pytest.raises(InputError, match="kernel small, run as C\\+\\+, was ended by SIGSEGV"):
        run_source(kernel, {})


@needs_compiler
def test_a_source_that_does_not_compile() -> None:
    kernel = small_kernel('extern "C" __global__ void f(float *O)\n{ O[0] = nothing; }', shapes={"O": (1,)})
    with pytest.raises(InputError, match=r"does not compile small:(.|\n)*kernel\.cu:2:.*nothing"):
        run_source(kernel, {})


def test_no_compiler_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"no C\+\+ compiler: neither g\+\+ nor clang\+\+ is found"):
        find_compiler()
    with pytest.raises(InputError, match='no C\\+\\+ compiler: "other" is not found'):
        find_compiler("other")
    kernel = load_kernel("1pass")
    with pytest.raises(InputError, match="compiler"):
        run_source(kernel, make_inputs(kernel))


@needs_compiler
def test_a_kernel_is_compiled_once() -> None:
    kernel = small_kernel('extern "C" __global__ void f(float *O) { O[0] = 4.0f; }', shapes={"O": (1,)})
    first = build(kernel, counting=False)
    at = first.stat().st_mtime_ns
    assert build(kernel, counting=False) == first
    assert first.stat().st_mtime_ns == at
    assert build(kernel, counting=True) != first


@needs_compiler
def test_inputs_are_checked() -> None:
    kernel = load_kernel("1pass")
    inputs = make_inputs(kernel)
    with pytest.raises(InputError, match='has no input "W"'):
        run_source(kernel, {**inputs, "W": inputs["Q"]})
    with pytest.raises(InputError, match=r"K is \(3, 32\), kernel 1pass wants \(256, 32\)"):
        run_source(kernel, {**inputs, "K": inputs["K"][:3]})
    with pytest.raises(InputError, match="needs the input V"):
        run_source(kernel, {name: inputs[name] for name in ("Q", "K")})
