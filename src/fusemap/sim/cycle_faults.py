"""The faults of a run, first ones in full: what was found where, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusemap.sim.cycle_dense import Layout
from fusemap.sim.cycle_types import Fault, FaultKind, WordName

LIMIT = 64  # faults that are kept; one broken rule breaks thousands more


class FaultLog:
    """Faults as they are found; `total` counts those beyond the limit too."""

    def __init__(self, words: Sequence[WordName], layout: Layout) -> None:
        self.words, self.layout = words, layout
        self.found: list[Fault] = []
        self.total = 0

    def add(self, kind: FaultKind, cycle: int, unit: str, tensor: str, *, count: int = 1, expected: str = "") -> None:
        """One fault."""
        self.total += 1
        if len(self.found) < LIMIT:
            found = Fault(kind=kind, cycle=cycle, unit=unit, tensor=tensor, count=count, expected=expected)
            self.found.append(found)

    def where(
        self,
        kind: FaultKind,
        cycle: int,
        unit: str,
        bad: NDArray[np.bool_],
        tags: NDArray[np.int64],
        expected: NDArray[np.int64] | None = None,
    ) -> None:
        """A fault of every element (or place of an edge) in `bad`, reported at the first one."""
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        wanted = self.name(int(expected[at])) if expected is not None else ""
        place = f"{unit}({','.join(str(i) for i in at)})"
        self.add(kind, cycle, place, self.name(int(tags[at])), count=int(bad.sum()), expected=wanted)

    def name(self, tag: int) -> str:
        """The word of a tag."""
        return str(self.words[tag // self.layout.stride]) if tag > 0 else ""
