"""The kernels through the PTX interpreter: counts, outputs, and faults that are found."""

from __future__ import annotations

from functools import cache
from math import prod

import numpy as np
import pytest
from cuda_source_cases import exact_output, relative_error

from fusemap.diagnostics import InputError
from fusemap.validation import cuda_ptx_compile
from fusemap.validation.cuda_counts import mul_add
from fusemap.validation.cuda_kernels import kernel_names, load_kernel
from fusemap.validation.cuda_ptx import run_ptx
from fusemap.validation.cuda_ptx_compile import compile_ptx, find_nvcc, find_nvrtc, recorded_ptx

# Kernel: K loads, passes, sectors, V loads, mul + add of the source; P = M = 256, E = F = 32, tiles of 32.
REFERENCE = {
    "3pass": (196_608, 3, 24_576, 65_536, 16_982_016),
    "2pass": (131_072, 2, 16_384, 65_536, 12_918_784),
    "1pass": (65_536, 1, 8_192, 65_536, 10_756_096),
    "3pass-spilled": (65_536, 1, 8_192, 65_536, 8_527_872),
}


def random_inputs(kernel):
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal(kernel.shapes[name]).astype(np.float32) for name in kernel.inputs}


def load(name):
    """A kernel at the default sizes, which the tables below are of; smaller where there is none."""
    return load_kernel(name, {} if load_kernel(name).softmax else {"P": 64, "M": 32})


@cache
def whole_run(name):
    """A run with the recorded PTX."""
    kernel = load(name)
    if recorded_ptx(kernel) is None:
        pytest.skip(f"no PTX is recorded for this source of {name}")
    return run_ptx(kernel, random_inputs(kernel), compiler="recorded")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", kernel_names())
def test_outputs_are_those_of_the_algorithm(name):
    run, kernel = whole_run(name), load(name)
    (output,) = kernel.outputs
    assert run.faults == ()
    assert relative_error(run.outputs[output], exact_output(kernel, random_inputs(kernel))) < 5e-6


@pytest.mark.parametrize("name", kernel_names())
def test_what_every_kernel_has_in_common(name):
    run, kernel = whole_run(name), load(name)
    for tensor, counts in run.tensors.items():
        assert counts.bytes == 4 * (counts.loads + counts.stores)
        assert counts.requests <= counts.sectors
        assert 32 * counts.load_requests >= counts.loads and counts.out_of_bounds == 0
        assert (counts.loads == 0) == (counts.passes == 0), tensor
    assert all(run.tensors[output].stores == prod(kernel.shapes[output]) for output in kernel.outputs)
    assert run.written["exp"] == run.flops["ex2"] == run.instructions["ex2.approx.ftz.f32"]
    assert mul_add(run.flops) - mul_add(run.written) == 10 * run.written["exp"]


@pytest.mark.parametrize("name", REFERENCE)
def test_counts_of_the_reference_table(name):
    run = whole_run(name)
    k, v = run.tensors["K"], run.tensors["V"]
    assert (k.loads, k.passes, k.load_sectors, v.loads, mul_add(run.written)) == REFERENCE[name]


def test_spilled_scores_move_twice():
    tensors = whole_run("3pass-spilled").tensors
    assert tensors["QK"].loads + tensors["SN"].loads == 131_072
    assert tensors["QK"].stores + tensors["SN"].stores == 131_072


def test_the_compiled_warp_kernel_loads_q_once_for_all_keys_of_a_lane():
    run, kernel = whole_run("1pass-warp"), load_kernel("1pass-warp")
    p, m, e, bm = kernel.sizes["P"], kernel.sizes["M"], kernel.constants["E"], kernel.constants["BM"]
    source = p * m * e  # a lane reads the row again for each key
    assert run.tensors["Q"].loads == source // (bm // 32)


def test_masked_chunks_are_not_loaded():
    loads = whole_run("1pass-causal").tensors["K"].loads
    assert loads == 32 * sum(32 * (block + 1) for block in range(8))


@pytest.mark.parametrize("name", kernel_names())
def test_recordings_are_of_these_sources(name):
    folder = cuda_ptx_compile.resources.files("fusemap.validation") / cuda_ptx_compile.RECORDINGS
    recorded = (folder / f"{name}.ptx").is_file()
    assert not recorded or recorded_ptx(load_kernel(name)) is not None, f"record_ptx {name} again: its source changed"


@pytest.mark.parametrize("compiler", ["nvcc", "nvrtc"])
def test_compilers(compiler, tmp_path, monkeypatch):
    if not (find_nvcc() if compiler == "nvcc" else find_nvrtc()):
        pytest.skip(f"no {compiler} here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernel = load_kernel("1pass", {"P": 64, "M": 96})
    run = run_ptx(kernel, random_inputs(kernel), compiler=compiler)
    assert run.tensors["K"].loads == 96 * 32 * 2 and run.tensors["K"].passes == 1
    kept = list((tmp_path / "fusemap" / "ptx").iterdir())
    text, version = compile_ptx(kernel, compiler)
    assert [path.read_text() for path in kept] == [text] and run.compiler == version


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("NVCC", "/nowhere/nvcc")
    monkeypatch.setattr(cuda_ptx_compile, "find_nvrtc", lambda: None)
    assert compile_ptx(load_kernel("1pass"))[1].startswith("recorded, ")
    with pytest.raises(InputError, match=r"no compiler found\n.*fusemap\[cuda\].*nvcc"):
        compile_ptx(load_kernel("1pass", {"BM": 16}))


def test_source_that_does_not_compile(tmp_path, monkeypatch):
    fake = tmp_path / "nvcc"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "release 1, V1.2.3" && exit 0\necho "line 3: no" >&2; exit 2\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("NVCC", str(fake))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="line 3: no"):
        compile_ptx(load_kernel("1pass"))


def test_wrong_inputs():
    kernel = load_kernel("1pass")
    inputs = random_inputs(kernel)
    with pytest.raises(InputError, match="has no input K"):
        run_ptx(kernel, {"Q": inputs["Q"]}, compiler="recorded")
    with pytest.raises(InputError, match=r"shape \(256, 31\): expected \(256, 32\)"):
        run_ptx(kernel, inputs | {"K": inputs["K"][:, 1:]}, compiler="recorded")
