"""What a search for the best mapping found, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fusemap.mappers.mapspace.front import Objective
from fusemap.sim.best_candidate import Candidate, key
from fusemap.sim.best_json import costs, described, head, html


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best mapping found for an objective, and how sure that is.

    `proven`: nothing in the space is better, and neither is a built-in dataflow; else `bound` is a value of the
    objective that no mapping of the space goes below. `front` holds more than `best` for the objective "pareto".
    `others` are the built-in dataflows that are legal, with what they cost. `counted` are the mappings of the space;
    of those that were looked at (tile sizes of plans) `priced` were balanced over the arrays one by one, `pruned` left
    out because of a bound, and `unfit` too big.
    """

    objective: Objective
    best: Candidate
    front: tuple[Candidate, ...]
    others: tuple[Candidate, ...]
    proven: bool
    bound: float
    counted: int
    priced: int
    pruned: int
    unfit: int
    segments: int
    explored: int
    cuts: int
    seconds: float

    @property
    def value(self) -> float:
        """The objective's value of the best mapping (s, pJ, or s * pJ)."""
        return key(self.objective, self.best)[0]

    @property
    def gap(self) -> float:
        """How far the best may be above the optimum, relatively: 0 when proven."""
        return 0.0 if self.proven else self.value / self.bound - 1 if self.bound > 0 else math.inf

    def to_json(self) -> dict[str, object]:
        """The document `fusemap/map/1`."""
        counts = {name: getattr(self, name) for name in ("counted", "priced", "pruned", "unfit", "cuts")}
        return {
            **head(self.best, self.objective, self.value, proven=self.proven, bound=self.bound, gap=self.gap),
            **counts,
            "seconds": self.seconds,
            "best": described(self.best),
            "others": [costs(other) for other in self.others],
            "front": [costs(point) for point in self.front],
        }

    def _repr_html_(self) -> str:
        """What a notebook shows: the best mapping beside the built-in dataflows."""
        return html(f"{self.best.report.cascade} on {self.best.report.arch}: {self.objective}", self.to_json())
