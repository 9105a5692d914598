"""The threads of some blocks side by side: one lane per thread, its identity, registers and place in the program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.cuda_counts import WARP_THREADS
from fusemap.validation.cuda_ptx_float import Array

Mask: TypeAlias = NDArray[np.bool_] | None  # None: all lanes

RUNNING, AT_BARRIER, AT_WARP, ENDED = 0, 1, 2, 3


@dataclass(slots=True, kw_only=True)
class Lanes:
    """Lanes of whole blocks, block after block, thread after thread (x fastest).

    block, thread: linear numbers in the grid and the block. slot: the block's number among these blocks. warp: warps of
    these blocks numbered in order; lane_in_warp and warp_start (the warp's first lane here) place a lane in its warp.
    registers hold one unsigned integer array (bool: predicates) each and are replaced, never written to.
    """

    block: NDArray[np.int64]
    thread: NDArray[np.int64]
    slot: NDArray[np.int64]
    warp: NDArray[np.int64]
    warp_start: NDArray[np.int64]
    lane_in_warp: NDArray[np.int64]
    special: dict[str, Array]
    blocks: int
    threads: int
    warps: int
    registers: list[Array] = field(default_factory=list)
    place: NDArray[np.int64]
    state: NDArray[np.int8]

    @property
    def count(self) -> int:
        """How many lanes there are."""
        return len(self.block)


def make_lanes(grid: tuple[int, int, int], block: tuple[int, int, int], first: int, blocks: int) -> Lanes:
    """The lanes of `blocks` blocks of a grid from block `first` on, all at the first instruction.

    >>> lanes = make_lanes((4, 1, 1), (2, 2, 1), 1, 2)
    >>> lanes.block.tolist(), lanes.special["%tid.y"].tolist()
    ([1, 1, 1, 1, 2, 2, 2, 2], [0, 0, 1, 1, 0, 0, 1, 1])
    """
    threads = block[0] * block[1] * block[2]
    warps = -(-threads // WARP_THREADS)
    slot, thread = np.divmod(np.arange(blocks * threads), threads)
    lane = thread % WARP_THREADS
    number = slot + first
    special = {"%laneid": lane.astype(np.uint32)}
    for name, index, extent in (("tid", thread, block), ("ctaid", number, grid)):
        special |= {f"%{name}.{axis}": value for axis, value in zip("xyz", _split(index, extent), strict=True)}
        special |= {f"%n{name}.{axis}": np.full(len(slot), n, np.uint32) for axis, n in zip("xyz", extent, strict=True)}
    return Lanes(
        block=number,
        thread=thread,
        slot=slot,
        warp=slot * warps + thread // WARP_THREADS,
        warp_start=np.arange(len(slot)) - lane,
        lane_in_warp=lane,
        special=special,
        blocks=blocks,
        threads=threads,
        warps=blocks * warps,
        place=np.zeros(len(slot), np.int64),
        state=np.zeros(len(slot), np.int8),
    )


def _split(index: NDArray[np.int64], extent: tuple[int, int, int]) -> tuple[Array, Array, Array]:
    rest, x = np.divmod(index, extent[0])
    z, y = np.divmod(rest, extent[1])
    return x.astype(np.uint32), y.astype(np.uint32), z.astype(np.uint32)
