"""The CUDA driver API through ctypes.

Why not a package: libcuda.so.1 comes with every NVIDIA driver, so nothing is installed or kept in step with it; twenty
functions, whose interface has been fixed since CUDA 3.2, are all that launching takes. (cuda-python and CuPy are
made per CUDA version; CuPy is over 100 MB.) The primary context is used, which PyTorch shares.
Source of names, numbers and signatures: cuda.h of CUDA 13.0.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from fusemap.diagnostics import input_error
from fusemap.validation.cuda_gpu_driver import Device, Function

LIBRARY = "libcuda.so.1"
# CUdevice_attribute
_CLOCK_KHZ, _MULTIPROCESSORS, _MEMORY_CLOCK_KHZ, _L2_BYTES, _MAJOR, _MINOR = 13, 16, 36, 38, 75, 76
# CUfunction_attribute
_SHARED_BYTES, _LOCAL_BYTES, _REGISTERS = 1, 3, 4
# CUjit_option
_LOG, _LOG_BYTES = 5, 6
_LOG_SIZE = 8192
_HINTS = {
    "CUDA_ERROR_NO_DEVICE": "no NVIDIA GPU is visible: see nvidia-smi and $CUDA_VISIBLE_DEVICES",
    "CUDA_ERROR_OUT_OF_MEMORY": "take smaller sizes, or end what else uses the GPU",
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": "the PTX is of a newer CUDA than the driver takes: put the nvcc of the "
    "driver's CUDA on PATH or in $NVCC, or update the driver",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "the PTX is for another architecture",
    "CUDA_ERROR_ILLEGAL_ADDRESS": "a kernel went beside its tensors; `compute-sanitizer` names the line",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "the driver was updated while running: load its module again, or reboot",
}


class LibCuda:
    """A Driver on the first visible GPU. InputError: no driver, no GPU."""

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise input_error(f"no CUDA driver: {LIBRARY} is not found", hint="a GPU machine has it") from None
        self._call("cuInit", ctypes.c_uint(0))
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if not count.value:
            raise input_error("no GPU: the CUDA driver sees none", hint=_HINTS["CUDA_ERROR_NO_DEVICE"])
        self._index = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(self._index), ctypes.c_int(0))
        context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), self._index)
        self._call("cuCtxSetCurrent", context)
        self._device = self._describe()

    @property
    def device(self) -> Device:
        """What the GPU is."""
        return self._device

    def load(self, ptx: str, entries: Sequence[str]) -> tuple[Function, ...]:
        """The functions of a PTX text; it stays loaded."""
        log = ctypes.create_string_buffer(_LOG_SIZE)
        options = (ctypes.c_int * 2)(_LOG, _LOG_BYTES)
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), _LOG_SIZE)  # the size stands in the pointer itself
        module, text = ctypes.c_void_p(), ctypes.create_string_buffer(ptx.encode())
        code = self._library.cuModuleLoadDataEx(ctypes.byref(module), text, ctypes.c_uint(2), options, values)
        self._check(code, "cuModuleLoadDataEx", log.value.decode(errors="replace").strip())
        return tuple(self._function(module, entry) for entry in entries)

    def allocate(self, size_bytes: int) -> int:
        """Device memory."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        return address.value

    def free(self, address: int) -> None:
        """Gives device memory back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def fill(self, address: int, word: int, words: int) -> None:
        """Writes a 32-bit word many times."""
        self._call("cuMemsetD32_v2", ctypes.c_uint64(address), ctypes.c_uint(word), ctypes.c_size_t(words))

    def copy_in(self, address: int, values: NDArray[Any]) -> None:
        """To the device."""
        source, size = ctypes.c_void_p(values.ctypes.data), ctypes.c_size_t(values.nbytes)
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), source, size)

    def copy_out(self, address: int, values: NDArray[Any]) -> None:
        """From the device."""
        target, size = ctypes.c_void_p(values.ctypes.data), ctypes.c_size_t(values.nbytes)
        self._call("cuMemcpyDtoH_v2", target, ctypes.c_uint64(address), size)

    def launch(
        self,
        function: Function,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[tuple[int, bool]],
    ) -> None:
        """Starts a kernel on the default stream, without dynamic shared memory."""
        values = [ctypes.c_uint64(value) if address else ctypes.c_int(value) for value, address in arguments]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        sizes = [ctypes.c_uint(number) for number in (*grid, *block, 0)]
        handle = ctypes.c_void_p(function.handle)
        self._call("cuLaunchKernel", handle, *sizes, ctypes.c_void_p(), pointers, ctypes.c_void_p())

    def elapsed_ms(self, action: Callable[[], None]) -> float:
        """Milliseconds between two events around what `action` starts (resolution about half a microsecond)."""
        begin, end, elapsed = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_float()
        for event in (begin, end):
            self._call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
        self._call("cuEventRecord", begin, ctypes.c_void_p())
        action()
        self._call("cuEventRecord", end, ctypes.c_void_p())
        self._call("cuEventSynchronize", end)
        self._call("cuEventElapsedTime", ctypes.byref(elapsed), begin, end)
        for event in (begin, end):
            self._call("cuEventDestroy_v2", event)
        return elapsed.value

    def wait(self) -> None:
        """Waits for all that was started."""
        self._call("cuCtxSynchronize")

    def _function(self, module: ctypes.c_void_p, entry: str) -> Function:
        handle = ctypes.c_void_p()
        self._call("cuModuleGetFunction", ctypes.byref(handle), module, ctypes.c_char_p(entry.encode()))

        def attribute(number: int) -> int:
            value = ctypes.c_int()
            self._call("cuFuncGetAttribute", ctypes.byref(value), ctypes.c_int(number), handle)
            return value.value

        return Function(
            entry=entry,
            handle=handle.value or 0,
            registers=attribute(_REGISTERS),
            shared_bytes=attribute(_SHARED_BYTES),
            local_bytes=attribute(_LOCAL_BYTES),
        )

    def _describe(self) -> Device:
        name, memory, version = ctypes.create_string_buffer(256), ctypes.c_size_t(), ctypes.c_int()
        self._call("cuDeviceGetName", name, ctypes.c_int(256), self._index)
        self._call("cuDeviceTotalMem_v2", ctypes.byref(memory), self._index)
        bus = ctypes.create_string_buffer(32)
        self._call("cuDeviceGetPCIBusId", bus, ctypes.c_int(32), self._index)
        self._call("cuDriverGetVersion", ctypes.byref(version))  # 1000 major + 10 minor
        return Device(
            name=name.value.decode(errors="replace"),
            bus=bus.value.decode(errors="replace"),
            capability=(self._attribute(_MAJOR), self._attribute(_MINOR)),
            multiprocessors=self._attribute(_MULTIPROCESSORS),
            memory_bytes=memory.value,
            l2_bytes=self._attribute(_L2_BYTES),
            sm_mhz=self._attribute(_CLOCK_KHZ) / 1000,
            memory_mhz=self._attribute(_MEMORY_CLOCK_KHZ) / 1000,
            cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        )

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), ctypes.c_int(number), self._index)
        return value.value

    def _call(self, name: str, *arguments: object) -> None:
        function = getattr(self._library, name, None)
        if function is None:
            raise input_error(f"{LIBRARY} has no {name}", hint="the driver is too old")
        self._check(function(*arguments), name)

    def _check(self, code: int, name: str, log: str = "") -> None:
        if code:
            text = ctypes.c_char_p()
            unknown = self._library.cuGetErrorName(ctypes.c_int(code), ctypes.byref(text))
            error = f"error {code}" if unknown or text.value is None else text.value.decode()
            raise input_error(f"{name}: {error}{':' if log else ''} {log}".rstrip(), hint=_HINTS.get(error, ""))
