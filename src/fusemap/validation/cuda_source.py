"""CUDA kernels executed from their source: compiled as C++, every load and store seen, no GPU.

The threads of a block are fibers that switch at barriers and shuffles. Accesses come from the calls that
-fsanitize=thread puts at each load and store, operations from a second build in which float is a class. Not
modelled: tensor cores, cp.async, TMA, clusters, half types, caches, races, and lanes that go different ways
between barriers (the n-th access of each lane at a place in the code is taken for one request of the warp).
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import did_you_mean, input_error
from fusemap.validation.cuda_counts import KernelRun
from fusemap.validation.cuda_kernels import Kernel
from fusemap.validation.cuda_source_build import build
from fusemap.validation.cuda_source_result import Result, faults, flops, tensor_counts

TIME_LIMIT_S = 300
SourceRun = KernelRun


@dataclass(frozen=True, slots=True, kw_only=True)
class _Executed:
    result: Result
    outputs: Mapping[str, NDArray[np.float32]]
    seconds: float


def run_source(kernel: Kernel, inputs: Mapping[str, NDArray[np.float32]], *, compiler: str | None = None) -> SourceRun:
    """Runs a kernel's launches in order on `inputs` (fp32, the kernel's shapes); `seconds` are without compiling.

    Tensors other than the inputs start as NaN. A fault that a kernel cannot go on after (a dead-lock, an access
    more than 1 MiB beside a tensor) ends the run: the counts are those so far, and no operations are counted.
    InputError: no C++ compiler, a source that does not compile, inputs of other names or shapes, a kernel that
    crashes (an access to no tensor at all) or does not end within TIME_LIMIT_S.
    """
    given = _checked(kernel, inputs)
    watched = build(kernel, counting=False, compiler=compiler)
    seen = _execute(kernel, watched, given)
    counted = None
    if not seen.result["stopped"]:
        counted = _execute(kernel, build(kernel, counting=True, compiler=compiler), given)
    return SourceRun(
        kernel=kernel.name,
        tensors=tensor_counts(seen.result, kernel),
        flops=flops(counted.result) if counted else MappingProxyType({}),
        outputs=seen.outputs,
        faults=faults(seen.result, kernel, watched),
        seconds=seen.seconds + (counted.seconds if counted else 0),
    )


def _checked(kernel: Kernel, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    for name in inputs:
        if name not in kernel.inputs:
            raise input_error(f'kernel {kernel.name} has no input "{name}"', hint=did_you_mean(name, kernel.inputs))
    for name in kernel.inputs:
        if name not in inputs:
            raise input_error(f"kernel {kernel.name} needs the input {name}")
        if inputs[name].shape != kernel.shapes[name]:
            raise input_error(f"{name} is {inputs[name].shape}, kernel {kernel.name} wants {kernel.shapes[name]}")
    return {name: np.ascontiguousarray(inputs[name], dtype=np.float32) for name in kernel.inputs}


def _execute(kernel: Kernel, executable: Path, given: Mapping[str, NDArray[np.float32]]) -> _Executed:
    with tempfile.TemporaryDirectory(prefix="fusemap-cuda-run-") as folder:
        work = Path(folder)
        for name, values in given.items():
            values.tofile(work / f"{name}.in")
        (work / "plan").write_text(_plan(kernel, given), encoding="utf-8")
        start = time.perf_counter()
        _start(kernel, executable, work)
        return _Executed(
            seconds=time.perf_counter() - start,
            result=json.loads((work / "result.json").read_text(encoding="utf-8")),
            outputs=MappingProxyType(
                {
                    name: np.fromfile(work / f"{name}.out", dtype=np.float32).reshape(kernel.shapes[name])
                    for name in kernel.outputs
                }
            ),
        )


def _start(kernel: Kernel, executable: Path, work: Path) -> None:
    try:
        done = subprocess.run(
            [executable, "plan"], cwd=work, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise input_error(f"kernel {kernel.name} did not end within {TIME_LIMIT_S} s") from None
    if done.returncode < 0:
        raise input_error(
            f"kernel {kernel.name}, run as C++, was ended by {signal.Signals(-done.returncode).name}",
            hint="an access that belongs to no tensor (a shared or local array, a null pointer), or a stack too small",
        )
    if done.returncode != 0:
        raise input_error(f"kernel {kernel.name}: {done.stderr.strip()}")


def _plan(kernel: Kernel, given: Mapping[str, NDArray[np.float32]]) -> str:
    """The text that cuda_runtime/main.cpp reads: tensors, then launches with their arguments."""
    numbers = {name: i for i, name in enumerate(kernel.shapes)}
    sizes = {**kernel.sizes, **kernel.constants}
    lines = [f"tensors {len(kernel.shapes)}"]
    for name, shape in kernel.shapes.items():
        lines.append(f"{name} {prod(shape)} {f'{name}.in' if name in given else '-'}")
    lines.append(f"launches {len(kernel.launches)}")
    for i, launch in enumerate(kernel.launches):
        arguments = [f"t{numbers[a]}" if a in numbers else str(sizes[a]) for a in launch.arguments]
        lines.append(" ".join(map(str, (i, *launch.grid, *launch.block, len(arguments), *arguments))))
    return "\n".join(lines) + "\n"
