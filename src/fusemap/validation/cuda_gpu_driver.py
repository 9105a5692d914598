"""What the GPU path needs of a CUDA driver, so that something else can stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from fusemap.diagnostics import input_error
from fusemap.validation.cuda_gpu_kernels import GpuKernel

# Compute capability 5.0 and later: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
GRID_LIMITS = (2**31 - 1, 65_535, 65_535)  # blocks
BLOCK_THREADS = 1_024
# The kernels index with int: an element beyond this has no index.
MOST_ELEMENTS = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU: its PCI bus id, its peak clocks in MHz, and the newest `cuda` that the driver takes."""

    name: str
    bus: str
    capability: tuple[int, int]
    multiprocessors: int
    memory_bytes: int
    l2_bytes: int
    sm_mhz: float
    memory_mhz: float
    cuda: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A loaded kernel function: registers and local bytes of a thread, static shared bytes of a block."""

    entry: str
    handle: int
    registers: int
    shared_bytes: int
    local_bytes: int


class Driver(Protocol):
    """A GPU that runs kernels. Addresses are those of device memory; every error is an InputError."""

    @property
    def device(self) -> Device:
        """What the GPU is."""

    def load(self, ptx: str, entries: Sequence[str]) -> tuple[Function, ...]:
        """The functions of a PTX text."""

    def allocate(self, size_bytes: int) -> int:
        """Device memory."""

    def free(self, address: int) -> None:
        """Gives device memory back."""

    def fill(self, address: int, word: int, words: int) -> None:
        """Writes a 32-bit word many times."""

    def copy_in(self, address: int, values: NDArray[Any]) -> None:
        """To the device; `values` are contiguous."""

    def copy_out(self, address: int, values: NDArray[Any]) -> None:
        """From the device into `values`, which are contiguous."""

    def launch(
        self,
        function: Function,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[tuple[int, bool]],
    ) -> None:
        """Starts a kernel; an argument is an address (True) or a 32-bit whole number (False)."""

    def elapsed_ms(self, action: Callable[[], None]) -> float:
        """Milliseconds between two events around what `action` starts; waits for it."""

    def wait(self) -> None:
        """Waits for all that was started."""


def check_fits(kernel: GpuKernel, device: Device) -> None:
    """InputError if a launch is beyond the limits of any GPU, or the tensors beyond this one's memory."""
    name = kernel.kernel.name
    for launch in kernel.kernel.launches:
        for axis, blocks, most in zip("xyz", launch.grid, GRID_LIMITS, strict=True):
            if blocks > most:
                raise input_error(f"kernel {name}: {launch.entry} has {blocks:,} blocks in {axis}, most is {most:,}")
        threads = launch.block[0] * launch.block[1] * launch.block[2]
        if threads > BLOCK_THREADS:
            raise input_error(f"kernel {name}: {launch.entry} has {threads:,} threads a block, most is {BLOCK_THREADS}")
    for tensor, shape in kernel.kernel.shapes.items():
        elements = 1
        for extent in shape:
            elements *= extent
        if elements > MOST_ELEMENTS:
            hint = "take fewer queries (P) or keys (M)"
            raise input_error(
                f"kernel {name}: {tensor} has {elements:,} elements, its int index ends before", hint=hint
            )
    needed = sum(kernel.bytes_of(tensor) for tensor in kernel.kernel.shapes)
    if needed > device.memory_bytes:
        raise input_error(f"kernel {name} needs {needed:,} bytes of memory, {device.name} has {device.memory_bytes:,}")
