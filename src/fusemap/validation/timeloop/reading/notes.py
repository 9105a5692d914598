"""What an import says besides its files: what is not carried over, and what that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fusemap.archspec.document import Place

Affects: TypeAlias = Literal["nothing", "latency", "energy", "search", "inputs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing that the files say and ours do not, or say differently.

    `affects` is what differs for it: the latency (ours leaves a limit out), the energy, what a search may find, the
    words of inputs; or nothing.
    """

    affects: Affects
    text: str
    place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.place.span}: " if self.place is not None else ""
        return f"{where}{self.text}"

    def to_json(self) -> dict[str, object]:
        """The note as a JSON object."""
        span = self.place.span if self.place is not None else None
        return {
            "affects": self.affects,
            "file": span.file if span else None,
            "line": span.line if span else None,
            "column": span.column if span else None,
            "message": self.text,
        }
