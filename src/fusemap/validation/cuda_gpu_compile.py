"""PTX for the GPU that is there. For compute capability 9.0 it is the text that the PTX interpreter counts."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from fusemap.diagnostics import input_error
from fusemap.validation.cuda_gpu_driver import Device
from fusemap.validation.cuda_gpu_kernels import GpuKernel
from fusemap.validation.cuda_ptx_compile import compile_ptx, find_nvcc, flags
from fusemap.validation.cuda_ptx_nvrtc import find_nvrtc, nvrtc_compile, nvrtc_version

HOPPER = (9, 0)
BF16_CAPABILITY = (8, 0)  # first with bf16 wmma: CUDA C++ Programming Guide, "Alternate Floating Point"
COMPILE_LIMIT_S = 300
_HEADERS = "mma.h"


def device_ptx(kernel: GpuKernel, device: Device) -> tuple[str, str]:
    """A kernel's PTX for a device, and who compiled it.

    InputError: no compiler (the recorded PTX is for 9.0 and the default constants), a source that does not compile,
    bf16 on a GPU before 8.0.
    """
    if not kernel.bf16 and device.capability == HOPPER:
        return compile_ptx(kernel.kernel)
    if kernel.bf16 and device.capability < BF16_CAPABILITY:
        raise input_error(f"kernel {kernel.kernel.name} needs bf16 tensor cores (8.0), {device.name} has none")
    architecture = "compute_{}{}".format(*device.capability)
    nvcc = find_nvcc()
    if nvcc is not None:
        return _nvcc(nvcc, kernel, architecture)
    if find_nvrtc() is not None:
        options = [f"--gpu-architecture={architecture}", *flags(kernel.kernel)]
        if kernel.bf16:
            options.append(f"--include-path={_headers()}")
        return nvrtc_compile(kernel.kernel.source, f"{kernel.kernel.name}.cu", tuple(options)), nvrtc_version()
    raise input_error(
        f"no CUDA compiler for kernel {kernel.kernel.name} on {device.name}",
        hint="install the extra fusemap[cuda] (NVRTC), or put nvcc on PATH or in $NVCC",
    )


def _nvcc(nvcc: str, kernel: GpuKernel, architecture: str) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"{kernel.kernel.name}.cu", Path(folder) / "kernel.ptx"
        source.write_text(kernel.kernel.source, encoding="utf-8")
        _run([nvcc, "-ptx", f"-arch={architecture}", *flags(kernel.kernel), "-o", str(target), str(source)])
        text = target.read_text(encoding="utf-8")
    lines = _run([nvcc, "--version"]).splitlines()
    return text, "nvcc " + next((line.rpartition(" V")[2] for line in lines if " V" in line), "of unknown version")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise input_error(f"{command[0]}: {error}") from None
    if done.returncode:
        raise input_error(f"{command[0]} failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def _headers() -> Path:
    """A folder with mma.h, which NVRTC does not bring: of a toolkit, or of the wheel nvidia-cuda-runtime."""
    toolkits = [Path(os.environ.get(name, "")) / "include" for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    wheels = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/*/include"))
    for folder in (*toolkits, Path("/usr/local/cuda/include"), *wheels):
        if (folder / _HEADERS).is_file():
            return folder
    raise input_error(f"{_HEADERS} is not found: NVRTC needs CUDA's headers for bf16", hint="set $CUDA_HOME")
