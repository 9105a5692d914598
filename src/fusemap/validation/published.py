"""Published values as data: value, unit, where it is shown, tolerance, citation."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from fusemap.validation.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published number; configuration, model and seq_len are empty (0) for a claim.

    `tolerance` is relative; `note` says why it is larger than the source's rounding.
    """

    study: str
    configuration: str
    model: str
    seq_len: int
    quantity: str
    value: float
    unit: str
    shown_in: str
    tolerance: float
    citation: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A published number beside the computed one."""

    published: Published
    computed: float

    @property
    def relative_error(self) -> float:
        """computed / published - 1."""
        return self.computed / self.published.value - 1

    @property
    def agrees(self) -> bool:
        """True when the error is within the published value's tolerance."""
        return abs(self.relative_error) <= self.published.tolerance


def load_published(study: Study) -> tuple[Published, ...]:
    """All published values of a study, in file order."""
    path = resources.files("fusemap.validation") / "published" / study.model.published
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return tuple(
        Published(
            study=r["study"],
            configuration=r["configuration"],
            model=r["model"],
            seq_len=int(r["seq_len"] or 0),
            quantity=r["quantity"],
            value=float(r["value"]),
            unit=r["unit"],
            shown_in=r["shown_in"],
            tolerance=float(r["tolerance"]),
            citation=r["citation"],
            note=r["note"],
        )
        for r in csv.DictReader(lines)
    )
