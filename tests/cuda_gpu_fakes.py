"""A driver without a GPU: the PTX interpreter executes what is launched, and its counts are what ncu would print."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.cuda_counts import KernelRun
from fusemap.validation.cuda_gpu_driver import Device, Function
from fusemap.validation.cuda_gpu_ncu import METRICS
from fusemap.validation.cuda_kernels import Kernel, Launch
from fusemap.validation.cuda_ptx import run_module
from fusemap.validation.cuda_ptx_parse import parse_ptx
from fusemap.validation.cuda_ptx_types import Module

DEVICE = Device(
    name="an interpreter",
    bus="0000:00:00.0",
    capability=(9, 0),
    multiprocessors=132,
    memory_bytes=80 << 30,
    l2_bytes=50 << 20,
    sm_mhz=1000.0,
    memory_mhz=1000.0,
    cuda="13.0",
)
PAGE = 1 << 32


@dataclass(kw_only=True)
class FakeDriver:
    """A Driver; `runs` are the launches that were executed, in order, with their grid and block."""

    device: Device = DEVICE
    memory: dict[int, NDArray[np.uint32]] = field(default_factory=dict)
    modules: list[Module] = field(default_factory=list)
    runs: list[tuple[Launch, KernelRun]] = field(default_factory=list)
    allocated: int = 0

    def load(self, ptx: str, entries: Sequence[str]) -> tuple[Function, ...]:
        self.modules.append(parse_ptx(ptx, file="loaded.ptx"))
        made = len(self.modules) - 1
        return tuple(Function(entry=e, handle=made, registers=32, shared_bytes=8192, local_bytes=0) for e in entries)

    def allocate(self, size_bytes: int) -> int:
        self.allocated += 1
        self.memory[self.allocated * PAGE] = np.zeros(size_bytes // 4, np.uint32)
        return self.allocated * PAGE

    def free(self, address: int) -> None:
        del self.memory[address]

    def fill(self, address: int, word: int, words: int) -> None:
        self.memory[address][:words] = word

    def copy_in(self, address: int, values: NDArray[Any]) -> None:
        self.memory[address][:] = values.reshape(-1).view(np.uint32)

    def copy_out(self, address: int, values: NDArray[Any]) -> None:
        values.reshape(-1).view(np.uint32)[:] = self.memory[address]

    def launch(
        self,
        function: Function,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[tuple[int, bool]],
    ) -> None:
        names = [f"{'t' if address else 's'}{i}" for i, (_, address) in enumerate(arguments)]
        tensors = {n: self.memory[value] for n, (value, address) in zip(names, arguments, strict=True) if address}
        launch = Launch(entry=function.entry, grid=grid, block=block, arguments=tuple(names))
        kernel = Kernel(
            name=function.entry,
            description="",
            source="",
            cascade="",
            sizes={n: value for n, (value, address) in zip(names, arguments, strict=True) if not address},
            constants={},
            shapes={n: values.shape for n, values in tensors.items()},
            inputs=tuple(tensors),
            outputs=tuple(tensors),
            scratch=(),
            launches=(launch,),
        )
        run = run_module(kernel, self.modules[function.handle], {n: v.view(np.float32) for n, v in tensors.items()})
        assert run.faults == ()
        for name, values in tensors.items():
            values[:] = run.outputs[name].view(np.uint32)
        self.runs.append((launch, run))

    def elapsed_ms(self, action: Callable[[], None]) -> float:
        start = time.perf_counter()
        action()
        return 1000 * (time.perf_counter() - start)

    def wait(self) -> None:
        pass


def counters(run: KernelRun) -> list[int]:
    """What a run's counts are as METRICS, in their order; L2 and DRAM as if there were no cache before them."""
    tensors = run.tensors.values()
    loaded, stored = sum(t.load_bytes for t in tensors), sum(t.store_bytes for t in tensors)
    sectors = sum(t.load_sectors for t in tensors)
    flops = [run.flops.get(kind, 0) for kind in ("fma", "mul", "add")]
    return [loaded, stored, sectors, sectors, 32 * sectors, stored, *flops, 1_000]


def ncu_csv(runs: Sequence[tuple[Launch, KernelRun]]) -> str:
    """The raw page of launches, as Nsight Compute 2025 writes it."""
    first = ["ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Context", "Stream"]
    first += ["Block Size", "Grid Size", "Device", "CC"]
    units = [""] * len(first) + [metric.unit for metric in METRICS.values()]
    rows = [[*first, *METRICS], units]
    for i, (launch, run) in enumerate(runs):
        block, grid = (f"({x}, {y}, {z})" for x, y, z in (launch.block, launch.grid))
        cells = [i, 7, "python3", "127.0.0.1", launch.entry, 1, 7, block, grid, 0, "9.0", *counters(run)]
        rows.append([f"{cell:,}" if isinstance(cell, int) else cell for cell in cells])
    table = "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
    return f"==PROF== Connected to process 7 (python3)\n{table}\n"
