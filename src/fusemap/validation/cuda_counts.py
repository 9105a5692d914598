"""What an execution of a CUDA kernel counts: accesses per tensor, operations by kind, faults, outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ELEMENT_BYTES = 4
SECTOR_BYTES = 32
WARP_THREADS = 32

FaultKind = Literal["out-of-bounds", "misaligned", "dead-lock"]
FlopKind = Literal["fma", "mul", "add", "div", "max", "exp", "ex2", "rcp", "sqrt", "lg2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCounts:
    """Accesses to one tensor in global memory, summed over launches, blocks and threads.

    loads, stores: elements of 4 bytes inside the tensor that threads loaded and stored (a vector access counts each
    of its elements). load_requests, store_requests: instructions, once per warp with a thread in it that accessed the
    tensor. load_sectors, store_sectors: distinct aligned 32-byte pieces, summed over requests. passes: loads over
    distinct (launch, block, element) triples loaded: how often a block reads what it reads of the tensor (0: never).
    out_of_bounds: accesses beside the tensor or misaligned, in elements; they are in no other field.
    """

    tensor: str
    loads: int = 0
    stores: int = 0
    load_requests: int = 0
    store_requests: int = 0
    load_sectors: int = 0
    store_sectors: int = 0
    passes: float = 0.0
    out_of_bounds: int = 0

    @property
    def load_bytes(self) -> int:
        """Bytes that threads loaded."""
        return ELEMENT_BYTES * self.loads

    @property
    def store_bytes(self) -> int:
        """Bytes that threads stored."""
        return ELEMENT_BYTES * self.stores

    @property
    def bytes(self) -> int:
        """Bytes that threads loaded and stored."""
        return self.load_bytes + self.store_bytes

    @property
    def requests(self) -> int:
        """Warp requests, loads and stores."""
        return self.load_requests + self.store_requests

    @property
    def sectors(self) -> int:
        """32-byte sectors, loads and stores."""
        return self.load_sectors + self.store_sectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a thread did wrong; `block` and `thread` are linear (x fastest), `where` is the place in the program.

    out-of-bounds, misaligned: `tensor` (or "shared", "local") and `index`, the element from its start. dead-lock: a
    barrier that not all threads of the block reach; `thread` is the first that waits, `tensor` is empty, `index` 0.
    """

    kind: FaultKind
    tensor: str
    index: int
    block: int
    thread: int
    where: str

    def __str__(self) -> str:
        place = f"block {self.block}, thread {self.thread}, {self.where}"
        return f"{self.kind}: {self.tensor}[{self.index}] by {place}" if self.tensor else f"{self.kind}: {place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRun:
    """A kernel's execution: `flops` are operations per kind (one fma is one here), `seconds` the time it took here."""

    kernel: str
    tensors: Mapping[str, TensorCounts]
    flops: Mapping[FlopKind, int]
    outputs: Mapping[str, NDArray[np.float32]]
    faults: tuple[Fault, ...]
    seconds: float


def mul_add(flops: Mapping[FlopKind, int]) -> int:
    """Multiplications and additions: 2 fma + mul + add.

    >>> mul_add({"fma": 3, "add": 1, "div": 9})
    7
    """
    return 2 * flops.get("fma", 0) + flops.get("mul", 0) + flops.get("add", 0)
