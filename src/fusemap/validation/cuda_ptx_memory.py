"""Memory of a PTX execution: tensors in global memory, counted; shared memory per block; local memory per thread.

A tensor has a window of addresses of its own, in whose middle it starts, so that an access beside a tensor is known to
be meant for it. An access out of bounds loads zero or stores nothing, and is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fusemap.validation.cuda_counts import SECTOR_BYTES, Fault, FaultKind, TensorCounts
from fusemap.validation.cuda_ptx_float import Array
from fusemap.validation.cuda_ptx_lanes import Lanes, Mask

WINDOW = 1 << 40  # bytes of address space per tensor
MOST_FAULTS = 256  # faults kept; out_of_bounds counts them all


@dataclass(slots=True)
class _Tally:
    """Counts of one tensor while they grow."""

    loads: int = 0
    stores: int = 0
    load_requests: int = 0
    store_requests: int = 0
    load_sectors: int = 0
    store_sectors: int = 0
    out_of_bounds: int = 0
    distinct: int = 0


@dataclass(slots=True, kw_only=True)
class Memory:
    """Memory while a kernel runs. `data` are the tensors' elements, 32 bits each, in the order of the windows."""

    names: tuple[str, ...]
    data: tuple[NDArray[np.uint32], ...]
    tallies: tuple[_Tally, ...]
    faults: list[Fault] = field(default_factory=list)
    shared: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    local: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    shared_words: int = 0
    local_words: int = 0
    touched: list[NDArray[np.bool_]] = field(default_factory=list)

    def begin(self, lanes: Lanes, shared_words: int, local_words: int) -> None:
        """Fresh shared and local memory (zeros) for the blocks that start."""
        self.shared = np.zeros(lanes.blocks * shared_words, np.uint32)
        self.local = np.zeros(lanes.count * local_words, np.uint32)
        self.shared_words, self.local_words = shared_words, local_words
        self.touched = [np.zeros(lanes.blocks * len(data), np.bool_) for data in self.data]

    def end(self) -> None:
        """Adds what the blocks that end have loaded at least once."""
        for tally, touched in zip(self.tallies, self.touched, strict=True):
            tally.distinct += int(np.count_nonzero(touched))

    def load(self, space: str, lanes: Lanes, address: Array, words: int, mask: Mask, where: str) -> Array:
        """`words` x lanes elements from byte addresses; zeros out of bounds and where the mask is off."""
        found = np.zeros((words, lanes.count), np.uint32)
        for store, index, who in self._places(space, lanes, address, words, mask, where, writes=False):
            found[:, who] = store[index + np.arange(words)[:, None]]
        return found

    def store(self, space: str, lanes: Lanes, address: Array, values: Array, mask: Mask, where: str) -> None:
        """Stores `words` x lanes elements at byte addresses; of lanes that store to one place the last wins."""
        words = len(values)
        for store, index, who in self._places(space, lanes, address, words, mask, where, writes=True):
            store[index + np.arange(words)[:, None]] = values[:, who]

    def counts(self) -> Mapping[str, TensorCounts]:
        """What has been counted so far."""
        return {name: _frozen(name, tally) for name, tally in zip(self.names, self.tallies, strict=True)}

    def _places(
        self, space: str, lanes: Lanes, address: Array, words: int, mask: Mask, where: str, *, writes: bool
    ) -> list[tuple[NDArray[np.uint32], NDArray[np.int64], Array | slice]]:
        """Per array that is accessed: the array, an index for each lane that may access it, and those lanes."""
        byte = address.astype(np.int64)
        who: Array | slice = slice(None) if mask is None else np.flatnonzero(mask)
        if space == "global":
            return self._global(lanes, byte, words, who, where, writes=writes)
        size, store, row = (
            (self.shared_words, self.shared, lanes.slot)
            if space == "shared"
            else (self.local_words, self.local, np.arange(lanes.count))
        )
        index, who = self._inside(space, lanes, byte[who], 0, size, words, who, where)
        return [(store, index + row[who] * size, who)]

    def _global(
        self, lanes: Lanes, byte: Array, words: int, who: Array | slice, where: str, *, writes: bool
    ) -> list[tuple[NDArray[np.uint32], NDArray[np.int64], Array | slice]]:
        chosen = byte[who]
        window = (chosen + WINDOW // 2) // WINDOW - 1
        if not len(window):
            return []
        if (window == window[0]).all():
            parts = [(int(window[0]), chosen, who)]
        else:
            lane = np.arange(lanes.count)[who]
            parts = [(int(w), chosen[window == w], lane[window == w]) for w in np.unique(window)]
        found: list[tuple[NDArray[np.uint32], NDArray[np.int64], Array | slice]] = []
        for number, place, some in parts:
            if not 0 <= number < len(self.data):
                self._fault("out-of-bounds", "memory", lanes, place // 4, some, where)
                continue
            data, tally = self.data[number], self.tallies[number]
            index, inside = self._inside(
                self.names[number], lanes, place, (number + 1) * WINDOW, len(data), words, some, where
            )
            tally.out_of_bounds += words * (len(place) - len(index))
            _count(tally, lanes, index, inside, words, writes=writes)
            if not writes:
                at = lanes.slot[inside] * len(data) + index
                for word in range(words):
                    self.touched[number][at + word] = True
            found.append((data, index, inside))
        return found

    def _inside(
        self, name: str, lanes: Lanes, byte: Array, base: int, size: int, words: int, who: Array | slice, where: str
    ) -> tuple[NDArray[np.int64], Array | slice]:
        """Element indices and lanes of the accesses that are aligned and inside; the others become faults."""
        offset = byte - base
        index = offset >> 2
        wrong = (index < 0) | (index > size - words)
        skew = (offset & (4 * words - 1)) != 0
        if not (wrong | skew).any():
            return index, who
        lane = np.arange(lanes.count)[who]
        self._fault("out-of-bounds", name, lanes, index[wrong], lane[wrong], where)
        self._fault("misaligned", name, lanes, index[skew & ~wrong], lane[skew & ~wrong], where)
        good = ~(wrong | skew)
        return index[good], lane[good]

    def _fault(self, kind: FaultKind, name: str, lanes: Lanes, index: Array, who: Array | slice, where: str) -> None:
        blocks, threads = lanes.block[who], lanes.thread[who]
        for i in range(min(len(index), MOST_FAULTS - len(self.faults))):
            self.faults.append(
                Fault(
                    kind=kind,
                    tensor=name,
                    index=int(index[i]),
                    block=int(blocks[i]),
                    thread=int(threads[i]),
                    where=where,
                )
            )


def make_memory(data: Mapping[str, NDArray[np.uint32]]) -> Memory:
    """Memory that holds these tensors."""
    return Memory(names=tuple(data), data=tuple(data.values()), tallies=tuple(_Tally() for _ in data))


def _count(
    tally: _Tally, lanes: Lanes, index: NDArray[np.int64], who: Array | slice, words: int, *, writes: bool
) -> None:
    """Adds one instruction's accesses: elements, warps that take part, and sectors per warp."""
    if not len(index):
        return
    warp = lanes.warp[who]
    requests = 1 + int(np.count_nonzero(warp[1:] != warp[:-1]))
    sectors = len(np.unique((warp << 40) + index // (SECTOR_BYTES // 4)))  # a vector of 16 bytes lies in one sector
    if writes:
        tally.stores += words * len(index)
        tally.store_requests += requests
        tally.store_sectors += sectors
    else:
        tally.loads += words * len(index)
        tally.load_requests += requests
        tally.load_sectors += sectors


def _frozen(name: str, tally: _Tally) -> TensorCounts:
    return TensorCounts(
        tensor=name,
        loads=tally.loads,
        stores=tally.stores,
        load_requests=tally.load_requests,
        store_requests=tally.store_requests,
        load_sectors=tally.load_sectors,
        store_sectors=tally.store_sectors,
        passes=tally.loads / tally.distinct if tally.distinct else 0.0,
        out_of_bounds=tally.out_of_bounds,
    )
