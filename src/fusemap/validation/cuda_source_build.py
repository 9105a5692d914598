"""CUDA C++ compiled as C++: an executable per kernel, kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from fusemap.diagnostics import input_error
from fusemap.validation.cuda_kernels import Kernel

COMPILERS = ("g++", "clang++")
RUNTIME = ("memory.cpp", "block.cpp", "main.cpp")
EXECUTABLE = "kernel"
_FLAGS = ("-std=c++20", "-U_FORTIFY_SOURCE", "-fPIE")
_KERNEL_FLAGS = ("-O1", "-g1", "-w", "-ffp-contract=off", "-fno-strict-aliasing")
# What a thread loads is what the source says: nothing merges loads, takes them out of loops or leaves them out.
_GCC_FLAGS = ("-fno-tree-fre", "-fno-tree-pre", "-fno-tree-dominator-opts", "-fno-tree-loop-im")
_CLANG_FLAGS = ("-O0", "-mllvm", "-tsan-instrument-read-before-write=1")
_WATCHED = ("-fsanitize=thread",)
_COUNTING = ("-DFUSEMAP_COUNT_OPERATIONS",)
_LINES_OF_ERROR = 12


def find_compiler(compiler: str | None = None) -> tuple[str, ...]:
    """The command of the C++ compiler: `compiler`, else $CXX, else g++ or clang++.

    InputError: there is none.
    """
    wanted = compiler or os.environ.get("CXX")
    candidates = [tuple(shlex.split(wanted))] if wanted else [(name,) for name in COMPILERS]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    raise input_error(
        f'no C++ compiler: "{wanted}" is not found' if wanted else "no C++ compiler: neither g++ nor clang++ is found",
        hint="install g++ or clang++, or name one in $CXX; it compiles CUDA kernels as C++",
    )


def build(kernel: Kernel, *, counting: bool, compiler: str | None = None) -> Path:
    """The executable of a kernel: one that counts accesses or, with `counting`, one that counts operations.

    It is compiled once per text, constants, flags and version of the compiler.
    InputError: no compiler, or the source does not compile.
    """
    command = find_compiler(compiler)
    version = _version(command)
    written = _CLANG_FLAGS if "clang" in version else _GCC_FLAGS
    flags = (*_FLAGS, *_KERNEL_FLAGS, *written, *(_COUNTING if counting else _WATCHED))
    files = {**_runtime(), "kernel.cu": kernel.source, "entries.cpp": entries(kernel)}
    key = _key((version, *flags, *(f"{name}\n{text}" for name, text in files.items())))
    made = _cache() / key
    if not (made / EXECUTABLE).exists():
        _publish(made, command, flags, files, kernel.name)
    return made / EXECUTABLE


def entries(kernel: Kernel) -> str:
    """The C++ file around a kernel: its constants, its text, and its launches as functions of untyped arguments."""
    lines = [f"#define {name} {value}" for name, value in kernel.constants.items()]
    lines.append('#include "kernel.cu"')
    for i, launch in enumerate(kernel.launches):
        given = ", ".join(
            f"(float *)a[{n}]" if argument in kernel.shapes else f"(int)(intptr_t)a[{n}]"
            for n, argument in enumerate(launch.arguments)
        )
        lines.append(f"static void fusemap_entry_{i}(void *const *a) {{ {launch.entry}({given}); }}")
    names = ", ".join(f"fusemap_entry_{i}" for i in range(len(kernel.launches)))
    lines += [
        'extern "C" void (*const fusemap_entries[])(void *const *);',
        f"void (*const fusemap_entries[])(void *const *) = {{{names}}};",
    ]
    return "\n".join(lines) + "\n"


def _publish(made: Path, command: Sequence[str], flags: Sequence[str], files: dict[str, str], name: str) -> None:
    with tempfile.TemporaryDirectory(dir=made.parent, prefix="new-") as folder:
        work = Path(folder) / "made"
        work.mkdir()
        for file, text in files.items():
            (work / file).write_text(text, encoding="utf-8")
        _compile([*command, *flags, "-include", "cuda.h", "-c", "entries.cpp", "-o", "entries.o"], work, name)
        objects = [str(path) for path in _runtime_objects(command)]
        _compile([*command, "-pie", "entries.o", *objects, "-o", EXECUTABLE], work, name)
        _move(work, made)


def _runtime_objects(command: Sequence[str]) -> tuple[Path, ...]:
    flags = (*_FLAGS, "-O2")
    files = _runtime()
    made = _cache() / _key((_version(tuple(command)), *flags, *files.values()))
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=made.parent, prefix="new-") as folder:
            work = Path(folder) / "made"
            work.mkdir()
            for file, text in files.items():
                (work / file).write_text(text, encoding="utf-8")
            for file in RUNTIME:
                _compile([*command, *flags, "-c", file, "-o", _object(file)], work, "the executor")
            _move(work, made)
    return tuple(made / _object(file) for file in RUNTIME)


def _object(file: str) -> str:
    return file.replace(".cpp", ".o")


def _move(work: Path, made: Path) -> None:
    try:
        work.rename(made)
    except OSError:
        if not made.exists():  # another process may have put the same there
            raise


def _compile(command: Sequence[str], work: Path, name: str) -> None:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        text = "\n".join(done.stderr.strip().splitlines()[:_LINES_OF_ERROR])
        raise input_error(f"{command[0]} does not compile {name}:\n{text}")


@cache
def _version(command: tuple[str, ...]) -> str:
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    return f"{shlex.join(command)}\n{done.stdout}"


@cache
def _runtime() -> dict[str, str]:
    folder = resources.files("fusemap.validation") / "cuda_runtime"
    return {
        item.name: item.read_text(encoding="utf-8")
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith((".h", ".cpp"))
    }


def _key(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _cache() -> Path:
    """$XDG_CACHE_HOME or ~/.cache, or a folder of this process where neither can be written."""
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(home) if home else Path.home() / ".cache") / "fusemap" / "cuda-source"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except (OSError, RuntimeError):  # not a folder, no home
        pass
    return _temporary_cache()


@cache
def _temporary_cache() -> Path:
    return Path(tempfile.mkdtemp(prefix="fusemap-cuda-source-"))
