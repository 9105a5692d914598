"""One case on a driver: tensors there and back, the result checked, every launch timed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.diagnostics import input_error
from fusemap.validation.cuda_gpu_cases import Case, checked_rows, exact_rows, make_inputs
from fusemap.validation.cuda_gpu_compile import device_ptx
from fusemap.validation.cuda_gpu_driver import Driver, Function, check_fits
from fusemap.validation.cuda_gpu_kernels import GpuKernel, to_bf16
from fusemap.validation.cuda_gpu_recording import LaunchModel, RunModel, TimeModel, digest
from fusemap.validation.cuda_kernels import Launch

NAN = 0x7FC0_0000  # what outputs and scratch hold before: a store that is left out shows in the result
# A larger error is a wrong kernel, not rounding: a million fp32 sums err by some 1e-4, bf16 weights by some 4e-3 each.
MOST_ERROR = {"fp32": 1e-3, "bf16": 3e-2}
TIME_BUDGET_MS = 3_000  # for the repetitions of one launch
FEWEST_REPETITIONS = 3


def measure(driver: Driver, case: Case, *, warm_up: int, repetitions: int, seed: int) -> RunModel:
    """Runs a case and times its launches, without counters.

    InputError: no compiler, a case that does not fit the device, an output that is not attention.
    """
    kernel = case.load()
    check_fits(kernel, driver.device)
    ptx, compiler = device_ptx(kernel, driver.device)
    inputs = make_inputs(kernel, seed)
    rows = checked_rows(kernel)
    with _on_device(driver, kernel, ptx, inputs) as loaded:
        _launch_all(driver, kernel, loaded)
        error = _error(kernel, inputs, rows, _output(driver, kernel, loaded[0]))
        launches = [
            LaunchModel(
                entry=launch.entry,
                grid=list(launch.grid),
                block=list(launch.block),
                registers=function.registers,
                shared_bytes=function.shared_bytes,
                local_bytes=function.local_bytes,
                time=_time(driver, kernel, loaded, i, warm_up, repetitions),
            )
            for i, (launch, function) in enumerate(zip(kernel.kernel.launches, loaded[1], strict=True))
        ]
    return RunModel(
        kernel=case.kernel,
        source_sha256=digest(kernel.kernel.source),
        sizes=dict(kernel.kernel.sizes),
        constants=dict(kernel.kernel.constants),
        seed=seed,
        compiler=compiler,
        max_relative_error=error,
        rows_checked=len(rows),
        launches=launches,
    )


def launch_once(driver: Driver, case: Case, *, seed: int) -> None:
    """Every launch of a case once, for a profiler that counts them."""
    kernel = case.load()
    check_fits(kernel, driver.device)
    ptx, _ = device_ptx(kernel, driver.device)
    with _on_device(driver, kernel, ptx, make_inputs(kernel, seed)) as loaded:
        _launch_all(driver, kernel, loaded)


@contextmanager
def working(driver: Driver, case: Case, *, seed: int) -> Iterator[Callable[[], None]]:
    """Something that keeps the device busy: all launches of a case, waited for."""
    kernel = case.load()
    ptx, _ = device_ptx(kernel, driver.device)
    with _on_device(driver, kernel, ptx, make_inputs(kernel, seed)) as loaded:
        yield lambda: _launch_all(driver, kernel, loaded)


_Loaded = tuple[Mapping[str, int], tuple[Function, ...]]


@contextmanager
def _on_device(
    driver: Driver, kernel: GpuKernel, ptx: str, inputs: Mapping[str, NDArray[np.float32]]
) -> Iterator[_Loaded]:
    """The tensors' addresses and the launches' functions; the tensors are freed at the end."""
    functions = driver.load(ptx, [launch.entry for launch in kernel.kernel.launches])
    addresses: dict[str, int] = {}
    try:
        for name in kernel.kernel.shapes:
            addresses[name] = driver.allocate(kernel.bytes_of(name))
            if name in inputs:
                values: NDArray[Any] = to_bf16(inputs[name]) if name in kernel.bf16 else inputs[name]
                driver.copy_in(addresses[name], np.ascontiguousarray(values))
            else:
                driver.fill(addresses[name], NAN, kernel.bytes_of(name) // 4)
        yield addresses, functions
    finally:
        for address in addresses.values():
            driver.free(address)


def _launch(driver: Driver, kernel: GpuKernel, loaded: _Loaded, launch: Launch, function: Function) -> None:
    addresses, numbers = loaded[0], {**kernel.kernel.sizes, **kernel.kernel.constants}
    arguments = [(addresses[a], True) if a in addresses else (numbers[a], False) for a in launch.arguments]
    driver.launch(function, launch.grid, launch.block, arguments)


def _launch_all(driver: Driver, kernel: GpuKernel, loaded: _Loaded) -> None:
    for launch, function in zip(kernel.kernel.launches, loaded[1], strict=True):
        _launch(driver, kernel, loaded, launch, function)
    driver.wait()


def _output(driver: Driver, kernel: GpuKernel, addresses: Mapping[str, int]) -> NDArray[np.float32]:
    (name,) = kernel.kernel.outputs
    values = np.empty(kernel.kernel.shapes[name], np.float32)
    driver.copy_out(addresses[name], values)
    return values


def _error(
    kernel: GpuKernel, inputs: Mapping[str, NDArray[np.float32]], rows: NDArray[np.int64], got: NDArray[np.float32]
) -> float:
    """The largest difference in the rows over the largest value. InputError: it is no rounding, or NaN anywhere."""
    name = kernel.kernel.name
    if not np.isfinite(got).all():
        raise input_error(f"kernel {name}: {np.count_nonzero(~np.isfinite(got)):,} of its results are no numbers")
    want = exact_rows(kernel, inputs, rows)
    error = float(np.abs(got[rows] - want).max() / np.abs(want).max())
    most = MOST_ERROR["bf16" if kernel.bf16 else "fp32"]
    if error > most:
        raise input_error(f"kernel {name}: its result is off by {error:.2g}, rounding explains {most:g}")
    return error


def _time(driver: Driver, kernel: GpuKernel, loaded: _Loaded, i: int, warm_up: int, repetitions: int) -> TimeModel:
    """Times of one launch: its inputs are what the launches before have left."""
    launch, function = kernel.kernel.launches[i], loaded[1][i]

    def once() -> None:
        _launch(driver, kernel, loaded, launch, function)

    for _ in range(warm_up):
        once()
    first = driver.elapsed_ms(once)
    count = max(min(FEWEST_REPETITIONS, repetitions), min(repetitions, int(TIME_BUDGET_MS / max(first, 1e-3))))
    times = [first, *(driver.elapsed_ms(once) for _ in range(count - 1))]
    return TimeModel(
        method="CUDA events", repetitions=len(times), minimum_ms=min(times), median_ms=statistics.median(times)
    )
