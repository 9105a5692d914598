"""NVRTC, the CUDA run-time compiler, from the wheel nvidia-cuda-nvrtc, through ctypes; no driver is needed."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

from fusemap.diagnostics import input_error


@cache
def find_nvrtc() -> Path | None:
    """The shared library in the installed wheel (nvidia/cu13/lib or nvidia/cuda_nvrtc/lib), or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    found = [path for folder in folders for path in Path(folder).glob("*/lib/libnvrtc.so.*") if "alt" not in path.name]
    return max(found, default=None)


def nvrtc_version() -> str:
    """The compiler's name and version. InputError: it is not there."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)), "")
    return f"NVRTC {major.value}.{minor.value}"


def nvrtc_compile(source: str, name: str, options: tuple[str, ...]) -> str:
    """The PTX of a source. InputError: it does not compile, with the compiler's log."""
    library, program = _library(), ctypes.c_void_p()
    _check(
        library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None), "no program"
    )
    try:
        words = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if library.nvrtcCompileProgram(program, len(options), words):
            raise input_error(f"NVRTC does not compile {name}:\n{_text(library, program, 'ProgramLog')}")
        return _text(library, program, "PTX")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    _check(getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)), f"no {what}")
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(library, f"nvrtcGet{what}")(program, buffer), f"no {what}")
    return buffer.value.decode(errors="replace").strip() + "\n"


@cache
def _library() -> ctypes.CDLL:
    path = find_nvrtc()
    if path is None:
        raise input_error("NVRTC not found", hint="install the extra fusemap[cuda]")
    for builtins in path.parent.glob("libnvrtc-builtins.so.*"):  # NVRTC finds it only when it is loaded before
        if "alt" not in builtins.name:
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))


def _check(code: int, message: str) -> None:
    if code:
        raise input_error(f"NVRTC: error {code}{': ' if message else ''}{message}")
