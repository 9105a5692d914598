"""FLAT's published tilings beside the best that a search over its choices finds."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from fusemap.archspec import load_arch, load_workload
from fusemap.archspec.types import Machine, Workload
from fusemap.einsum_cascade import catalog
from fusemap.mappers.dataflow import load_dataflow, read_table
from fusemap.sim.choose_choices import TIE, Candidate, ChoiceTable, choice_table
from fusemap.validation.flat_model import OwnCosts, own_costs

CASCADE, DATAFLOW = "attention-3pass", "flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTiling:
    """A published row: what is spilled, and (of BERT and XLM) what FLAT's own model answers for QK and AV."""

    platform: str
    model: str
    length: str
    spilled: float
    traffic_bytes: float | None
    latency_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnModel:
    """The published tiling under FLAT's own cost model, in the space that its authors searched.

    `best_latency_s` is the least of the `points`, `ties` have it.
    """

    points: int
    traffic_bytes: float
    latency_s: float
    best_latency_s: float
    ties: int

    @property
    def is_best(self) -> bool:
        """True when no tiling of the space is faster."""
        return self.latency_s <= self.best_latency_s * (1 + TIE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TilingComparison:
    """One published tiling in the space of all choices, whole attention, principled accounting.

    `ties` points have the least latency; `dominating` are as good as the published one in latency, traffic and
    energy (where the machine has prices) and better in one of them, `better` is the best of them.
    """

    row: PublishedTiling
    points: int
    published: Candidate
    best: Candidate
    ties: int
    dominating: int
    better: Candidate | None
    own: OwnModel

    @property
    def slower_by(self) -> float:
        """Latency of the published tiling / least latency - 1."""
        return self.published.latency_s / self.best.latency_s - 1

    @property
    def is_tied(self) -> bool:
        """True when the published tiling has the least latency."""
        return self.slower_by <= TIE

    def to_json(self) -> dict[str, object]:
        """The comparison as a JSON object."""
        return {
            "platform": self.row.platform,
            "model": self.row.model,
            "length": self.row.length,
            "points": self.points,
            "published": self.published.to_json(),
            "best": self.best.to_json(),
            "slower_by": self.slower_by,
            "ties": self.ties,
            "tied": self.is_tied,
            "dominating": self.dominating,
            "better": None if self.better is None else self.better.to_json(),
            "best_by_own_model": self.own.is_best,
            "own_ties": self.own.ties,
        }


def published_tilings() -> tuple[PublishedTiling, ...]:
    """The 96 published rows, in file order."""
    path = resources.files("fusemap.validation") / "published" / "flat-tilings.csv"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return tuple(
        PublishedTiling(
            platform=r["platform"],
            model=r["model"],
            length=r["length"],
            spilled=float(r["spilled"]),
            traffic_bytes=float(r["traffic_bytes"]) if r["traffic_bytes"] else None,
            latency_s=float(r["latency_s"]) if r["latency_s"] else None,
        )
        for r in csv.DictReader(lines)
    )


def compare_tiling(row: PublishedTiling) -> TilingComparison:
    """Search all choices for the row's machine and workload, and place the published tiling among them."""
    machine, workload = load_arch(f"flat-{row.platform}"), load_workload(f"{row.model}@{row.length}")
    table = choice_table(catalog.load(CASCADE), machine, workload, load_dataflow(DATAFLOW))
    index = table.at(published_settings(machine, workload))
    dominating = table.dominating(index)
    return TilingComparison(
        row=row,
        points=table.space.count,
        published=table.candidate(index),
        best=table.best("latency"),
        ties=len(table.ties("latency")),
        dominating=len(dominating),
        better=_least(table, dominating),
        own=_own(own_costs(table.grid, machine), index),
    )


def published_settings(machine: Machine, workload: Workload) -> dict[str, float]:
    """What the published tiling sets, without what follows from it (`spilled`); KeyError where none is published."""
    dataflow = load_dataflow(DATAFLOW)
    assert dataflow.model.parameters is not None
    values = {
        **workload.sizes,
        "array_2d.rows": machine.array("array_2d").dim("rows").extent,
        "global_buffer.capacity_bytes": machine.memory("global_buffer").capacity_bytes,
        "dram.bandwidth_bytes_per_s": machine.memory("dram").bandwidth_bytes_per_s,
    }
    key = dataflow.model.parameters.key
    for row in read_table(dataflow):
        if all(row[k] == values[k] for k in key):
            return {name: value for name, value in row.items() if name not in key and name != "spilled"}
    raise KeyError(f"{workload.name} on {machine.name}")


def _least(table: ChoiceTable, among: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Candidate | None:
    """Of some points that of least latency, then traffic."""
    if not among.size:
        return None
    order = np.lexsort((table.costs.traffic_bytes[among], np.round(table.costs.latency_s[among], 12)))
    return table.candidate(int(among[order[0]]))


def _own(costs: OwnCosts, index: int) -> OwnModel:
    latency = np.where(costs.offered, costs.latency_s, np.inf)
    return OwnModel(
        points=int(costs.offered.sum()),
        traffic_bytes=float(costs.traffic_bytes[index]),
        latency_s=float(costs.latency_s[index]),
        best_latency_s=float(latency.min()),
        ties=int((latency <= latency.min() * (1 + TIE)).sum()),
    )


HEADER = (
    "| machine | model | length | published tiling | FLAT's own model: best, ties | latency s | best s | slower by "
    "| points | ties | best tiling | dominated by |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def tilings_table(comparisons: Iterable[TilingComparison]) -> str:
    """The comparisons as a Markdown table (the one of docs/flat-tilings.md)."""
    return "\n".join([HEADER, *map(tiling_line, comparisons)])


def tiling_line(found: TilingComparison) -> str:
    """One line of the table."""
    row, own = found.row, found.own
    cells = [
        row.platform,
        row.model,
        row.length,
        describe(found.published),
        f"{'yes' if own.is_best else 'no'}, {own.ties} of {own.points}",
        f"{found.published.latency_s:.5g}",
        f"{found.best.latency_s:.5g}",
        "-" if found.is_tied else f"{100 * found.slower_by:.1f} %",
        f"{found.points:,}",
        f"{found.ties:,}",
        describe(found.best),
        _dominated(found),
    ]
    return f"| {' | '.join(cells)} |"


def _dominated(found: TilingComparison) -> str:
    """How many points dominate the published one, and the best of them with its share of the traffic."""
    if found.better is None:
        return "none"
    share = found.better.traffic_bytes / found.published.traffic_bytes
    better, best = describe(found.better), describe(found.best)
    return f"{found.dominating:,}: {'the best' if better == best else better}, {100 * share:.1f} % of its traffic"


def describe(candidate: Candidate) -> str:
    """A tiling in a few words: what is on chip, what rests in QK and AV, granularity, what is spilled.

    >>> settings = dict.fromkeys(["Q_onchip", "QK_onchip", "A_onchip", "weight_stationary_AV", "row_granularity"], 1.0)
    >>> settings |= {"P1": 256.0, "spilled": 0.25}
    >>> describe(Candidate(point=(), settings=tuple(settings.items()), latency_s=1, traffic_bytes=1, energy_pj=None))
    'Q QK A; I/W; 256 rows; spills 25 %'
    """
    chosen = dict(candidate.settings)
    kept = [t for t in ("Q", "K", "QK", "A", "V", "AV") if chosen.get(f"{t}_onchip")]
    rests = "/".join(_stationarity(chosen, einsum) for einsum in ("QK", "AV"))
    rows = f"{chosen['P1']:g} rows" if chosen["P1"] != 1 else "1 row"
    parts = [" ".join(kept) or "nothing", rests, rows if chosen.get("row_granularity") else "head"]
    if chosen["spilled"]:
        parts.append(f"spills {100 * chosen['spilled']:.3g} %")
    return "; ".join(parts)


def _stationarity(chosen: dict[str, float], einsum: str) -> str:
    for kind in ("output", "weight"):
        if chosen.get(f"{kind}_stationary_{einsum}"):
            return kind[0].upper()
    return "I"


def summary(comparisons: Sequence[TilingComparison]) -> dict[str, int]:
    """How many published tilings are best, tied or dominated."""
    return {
        "rows": len(comparisons),
        "best by FLAT's own model": sum(c.own.is_best for c in comparisons),
        "least latency": sum(c.is_tied for c in comparisons),
        "dominated": sum(c.dominating > 0 for c in comparisons),
    }
