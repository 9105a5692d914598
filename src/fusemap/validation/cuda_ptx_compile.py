"""Kernels to PTX for sm_90a: by nvcc, by NVRTC from the wheel nvidia-cuda-nvrtc, or as recorded with the package."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

from fusemap.diagnostics import input_error
from fusemap.validation.cuda_kernels import Kernel
from fusemap.validation.cuda_ptx_nvrtc import find_nvrtc, nvrtc_compile, nvrtc_version

Compiler: TypeAlias = Literal["nvcc", "nvrtc", "recorded"]

ARCHITECTURE = "compute_90a"
RECORDINGS = "kernels_ptx"
_HEAD = "// fusemap"
_HINT = "install the extra fusemap[cuda] (NVRTC, 220 MB, no GPU needed), or put nvcc on PATH or in $NVCC"


def compile_ptx(kernel: Kernel, compiler: Compiler | None = None) -> tuple[str, str]:
    """A kernel's PTX and who compiled it; None takes the first of nvcc, NVRTC and the recording that is there.

    PTX is kept in the user's cache directory by source, flags and compiler version. InputError: what was asked for is
    not there, or the source does not compile.
    """
    if compiler == "nvcc" or (compiler is None and find_nvcc()):
        return _cached(kernel, "nvcc", _nvcc_version())
    if compiler == "nvrtc" or (compiler is None and find_nvrtc()):
        return _cached(kernel, "nvrtc", nvrtc_version())
    found = recorded_ptx(kernel)
    if found is None:
        raise input_error(f"kernel {kernel.name}: no PTX is recorded for these sizes and no compiler found", hint=_HINT)
    return found


def flags(kernel: Kernel) -> tuple[str, ...]:
    """The constants as -D, in order of their names."""
    return tuple(f"-D{name}={value}" for name, value in sorted(kernel.constants.items()))


def key(kernel: Kernel) -> str:
    """What a kernel's PTX depends on beside the compiler: source and flags, as 16 hexadecimal digits."""
    text = "\n".join((ARCHITECTURE, *flags(kernel), kernel.source))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_nvcc() -> str | None:
    """$NVCC, or nvcc on PATH."""
    return shutil.which(os.environ.get("NVCC") or "nvcc")


def recorded_ptx(kernel: Kernel) -> tuple[str, str] | None:
    """The PTX that comes with the package, if it is of this source and these constants."""
    path = resources.files("fusemap.validation") / RECORDINGS / f"{kernel.name}.ptx"
    if not path.is_file():
        return None
    head, _, text = path.read_text(encoding="utf-8").partition("\n")
    stamp, _, version = head.removeprefix(_HEAD).strip().partition(" ")
    return (text, f"recorded, {version}") if stamp == key(kernel) else None


def record_ptx(kernel: Kernel, folder: Path) -> Path:
    """Writes a kernel's PTX as a recording: a line with key and compiler, then the PTX without comments."""
    text, version = compile_ptx(kernel)
    kept = [line.rstrip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("//")]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kernel.name}.ptx"
    path.write_text("\n".join((f"{_HEAD} {key(kernel)} {version}", *kept, "")), encoding="utf-8")
    return path


def _cached(kernel: Kernel, compiler: Literal["nvcc", "nvrtc"], version: str) -> tuple[str, str]:
    path = _cache() / f"{key(kernel)}-{hashlib.sha256(version.encode()).hexdigest()[:8]}.ptx"
    if path.is_file():
        return path.read_text(encoding="utf-8"), version
    if compiler == "nvcc":
        text = _nvcc(kernel)
    else:
        text = nvrtc_compile(kernel.source, f"{kernel.name}.cu", (f"--gpu-architecture={ARCHITECTURE}", *flags(kernel)))
    _keep(path, text)
    return text, version


def _nvcc(kernel: Kernel) -> str:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "kernel.cu", Path(folder) / "kernel.ptx"
        source.write_text(kernel.source, encoding="utf-8")
        _run([_nvcc_path(), "-ptx", f"-arch={ARCHITECTURE}", *flags(kernel), "-o", str(target), str(source)])
        return target.read_text(encoding="utf-8")


def _nvcc_path() -> str:
    path = find_nvcc()
    if path is None:
        raise input_error("nvcc not found", hint=_HINT)
    return path


def _nvcc_version() -> str:
    lines = _run([_nvcc_path(), "--version"]).strip().splitlines()
    return "nvcc " + next((line.rpartition(" V")[2] for line in lines if " V" in line), lines[-1] if lines else "?")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise input_error(f"{command[0]}: {error}") from error
    if done.returncode:
        raise input_error(f"{command[0]} failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "fusemap" / "ptx"


def _keep(path: Path, text: str) -> None:
    """Writes the cache whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except OSError:
        return
