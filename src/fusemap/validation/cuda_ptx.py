"""Execute a kernel's PTX: compile the unmodified source, interpret it, count what its threads access and compute."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.validation.cuda_counts import FlopKind, KernelRun
from fusemap.validation.cuda_kernels import Kernel, Launch
from fusemap.validation.cuda_ptx_compile import Compiler, compile_ptx
from fusemap.validation.cuda_ptx_machine import run_program
from fusemap.validation.cuda_ptx_memory import WINDOW, make_memory
from fusemap.validation.cuda_ptx_parse import parse_ptx
from fusemap.validation.cuda_ptx_translate import Program, translate
from fusemap.validation.cuda_ptx_types import WIDTHS, Module

EXPF: Mapping[FlopKind, int] = MappingProxyType({"mul": 5, "add": 5, "ex2": 1})  # what expf(x) compiles to, fma split
_EXPF_MARK = "fma.rm.f32"  # only expf rounds down here, once per call


@dataclass(frozen=True, slots=True, kw_only=True)
class PtxRun(KernelRun):
    """A kernel's execution after compilation.

    flops: as executed. written: each fma as a mul and an add, each expf as one "exp" in place of the instructions that
    it compiles to, to compare with a count of the source. instructions: by opcode, one per thread that executes it.
    compiler: who made the PTX. Counts are exact for this PTX; caches, races, tensor cores and asynchronous copies are
    not modelled.
    """

    written: Mapping[FlopKind, int]
    instructions: Mapping[str, int]
    compiler: str


def run_ptx(kernel: Kernel, inputs: Mapping[str, NDArray[Any]], *, compiler: Compiler | None = None) -> PtxRun:
    """Compiles and interprets a kernel's launches one after another.

    inputs: an array per tensor of `kernel.inputs`, of its shape, taken as float32. compiler: "nvcc", "nvrtc" or
    "recorded"; None: the first of them that is there. InputError: no compiler, a wrong input, PTX that is not modelled.
    """
    text, version = compile_ptx(kernel, compiler)
    module = parse_ptx(text, file=f"{kernel.name}.ptx")
    return run_module(kernel, module, inputs, compiler=version)


def run_module(kernel: Kernel, module: Module, inputs: Mapping[str, NDArray[Any]], *, compiler: str = "") -> PtxRun:
    """Interprets a kernel's launches with PTX that is already parsed."""
    start = time.perf_counter()
    memory = make_memory({name: _start(kernel, name, inputs) for name in kernel.shapes})
    instructions: Counter[str] = Counter()
    flops: Counter[FlopKind] = Counter()
    for launch in kernel.launches:
        program = _program(kernel, module, launch)
        executed = run_program(program, memory, launch.grid, launch.block)
        for operation, lanes in zip(program.operations, executed.tolist(), strict=True):
            instructions[operation.at.name] += lanes
            if operation.flop is not None:
                flops[operation.flop] += lanes
    data = dict(zip(memory.names, memory.data, strict=True))
    return PtxRun(
        kernel=kernel.name,
        tensors=MappingProxyType(dict(memory.counts())),
        flops=MappingProxyType(dict(flops)),
        outputs=MappingProxyType({o: data[o].view(np.float32).reshape(kernel.shapes[o]) for o in kernel.outputs}),
        faults=tuple(memory.faults),
        seconds=time.perf_counter() - start,
        written=MappingProxyType(as_written(flops, instructions[_EXPF_MARK])),
        instructions=MappingProxyType(dict(instructions)),
        compiler=compiler,
    )


def as_written(flops: Mapping[FlopKind, int], calls: int) -> dict[FlopKind, int]:
    """FLOPs as a source says them: fma as a mul and an add, and `calls` calls of expf as "exp".

    >>> as_written({"fma": 9, "add": 1, "mul": 1, "ex2": 1}, 1)
    {'mul': 5, 'add': 5, 'exp': 1}
    """
    fused = flops.get("fma", 0)
    kinds: dict[FlopKind, int] = {"mul": fused, "add": fused, "exp": calls}
    for kind, count in flops.items():
        if kind != "fma":
            kinds[kind] = kinds.get(kind, 0) + count
    return {kind: left for kind, count in kinds.items() if (left := count - calls * EXPF.get(kind, 0))}


def _start(kernel: Kernel, name: str, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.uint32]:
    """A tensor's elements before the first launch: the input, or NaN for what nothing has been stored to."""
    shape = kernel.shapes[name]
    if name not in kernel.inputs:
        return np.full(int(np.prod(shape)), np.nan, np.float32).view(np.uint32)
    if name not in inputs:
        raise input_error(f"kernel {kernel.name} has no input {name}", hint=did_you_mean(name, tuple(inputs)))
    if np.shape(inputs[name]) != shape:
        raise input_error(f"input {name} of kernel {kernel.name} has shape {np.shape(inputs[name])}: expected {shape}")
    return np.array(inputs[name], np.float32, order="C").reshape(-1).view(np.uint32)


def _program(kernel: Kernel, module: Module, launch: Launch) -> Program:
    if launch.entry not in module.entries:
        raise input_error(
            f"{module.file} has no entry {launch.entry}", hint=did_you_mean(launch.entry, [*module.entries])
        )
    entry = module.entries[launch.entry]
    if len(entry.parameters) != len(launch.arguments):
        raise input_error(f"{entry.name} has {len(entry.parameters)} parameters, not {len(launch.arguments)}")
    windows = {name: (i + 1) * WINDOW for i, name in enumerate(kernel.shapes)}
    values: dict[str, int] = {}
    for (parameter, kind), argument in zip(entry.parameters.items(), launch.arguments, strict=True):
        tensor = argument in windows
        if WIDTHS[kind] != (64 if tensor else 32) or kind[0] == "f":
            raise input_error(f"parameter {parameter} of {entry.name} is .{kind}: it cannot hold {argument}")
        values[parameter] = windows[argument] if tensor else {**kernel.sizes, **kernel.constants}[argument]
    return translate(module, entry, values)
