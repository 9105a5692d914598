"""DRAM and the buffer word by word: what each place holds of a tensor, and what moved between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fusemap.sim.fused_faults import Faults
from fusemap.sim.fused_slots import Copy, Mask
from fusemap.sim.fused_words import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Words of one tensor in one place: value, and how many points have added to it (0: the word is not here).

    `fresh` words are newer here than in DRAM.
    """

    value: Floats
    count: Ints
    fresh: Mask

    @staticmethod
    def nothing(size: int) -> Held:
        """A place without any of the tensor's words."""
        return Held(value=np.full(size, np.nan), count=np.zeros(size, np.int64), fresh=np.zeros(size, bool))

    def take(self, other: Held, chosen: Ints | Mask) -> None:
        """Copy words from another place."""
        self.value[chosen] = other.value[chosen]
        self.count[chosen] = other.count[chosen]

    def drop(self, chosen: Mask) -> None:
        """Forget words."""
        self.value[chosen] = np.nan
        self.count[chosen] = 0
        self.fresh[chosen] = False


class Memory:
    """DRAM, the buffer with at most `capacity_words`, and how many words each Einsum moved between them.

    `owners` are the Einsums that make each tensor, if they put it into DRAM.
    """

    def __init__(self, dram: Mapping[str, Held], owners: Mapping[str, str], capacity_words: int | None) -> None:
        self.dram = dram
        self.owners = owners
        self.capacity_words = capacity_words
        self.buffer: dict[Copy, Held] = {}
        self.gone = {tensor: np.full(held.value.size, -1, np.int64) for tensor, held in dram.items()}
        self.reads: Counter[tuple[str, str]] = Counter()
        self.writes: Counter[tuple[str, str]] = Counter()
        self.occupied = 0
        self.peak = 0

    def copy(self, key: Copy) -> Held:
        """The buffer's copy of a tensor."""
        if key not in self.buffer:
            self.buffer[key] = Held.nothing(self.dram[key[0]].value.size)
        return self.buffer[key]

    def arrived(self, words: int, faults: Faults, where: str) -> None:
        """So many more words are in the buffer."""
        self.occupied += words
        self.peak = max(self.peak, self.occupied)
        if self.capacity_words is not None and self.occupied > self.capacity_words:
            parts = Counter({tensor: 0 for tensor, _ in self.buffer})
            for (tensor, _), held in self.buffer.items():
                parts[tensor] += int(np.count_nonzero(held.count))
            listed = ", ".join(f"{tensor} {n}" for tensor, n in parts.most_common() if n)
            message = f"the buffer of {self.capacity_words} words holds {self.occupied} in {where}: {listed}"
            faults.add("capacity", message)

    def leave(self, key: Copy, chosen: Mask, slot: int) -> None:
        """Words leave the buffer: those that DRAM lacks are written there if their Einsum puts them into DRAM."""
        held, (tensor, _) = self.buffer[key], key
        leaving = chosen & (held.count > 0)
        if not leaving.any():
            return
        fresh = leaving & held.fresh
        if tensor in self.owners:
            self.dram[tensor].take(held, fresh)
            owner = self.owners[tensor]
            self.writes[owner, tensor] += int(np.count_nonzero(fresh))
        self.gone[tensor][leaving] = slot
        self.occupied -= int(np.count_nonzero(leaving))
        held.drop(leaving)
