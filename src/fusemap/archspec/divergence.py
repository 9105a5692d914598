"""What a number per lane cannot do: decide differently in its lanes, be a plain number, stand in a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Divergence(Exception):
    """A decision falls differently in different lanes: `mask` has those of one side."""

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        super().__init__("lanes diverge")
        self.mask = mask


class OneByOne(Exception):
    """Something was asked that only a plain number can answer; the points are to be evaluated one by one."""


@dataclass(slots=True)
class Texts:
    """The numbers that were written into texts: each stands there as a mark, filled in for one lane at the end."""

    written: list[tuple[Callable[..., str], tuple[Any, ...]]] = field(default_factory=list)

    def mark(self, write: Callable[..., str], *arguments: Any) -> str:
        """A text that `rendered` turns into `write(*arguments)` of a lane."""
        self.written.append((write, arguments))
        return f"\ue000{len(self.written) - 1}\ue001"
