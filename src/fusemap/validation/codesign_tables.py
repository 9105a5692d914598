"""The designs of a space as a stored table, and what the documentation shows of them.

Exploring the built-in space takes one to two minutes, so that its result is stored beside it; a test computes rows of
it again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from fusemap.archspec.workloads import load_workload
from fusemap.validation.codesign import Design, Exploration, Outcome, Ratios, cycles_per_tile, ratios
from fusemap.validation.codesign_space import Site
from fusemap.validation.rereads import Reread

FIELDS = ("area", "latency", "energy", "worst_latency", "worst_energy")
SLACK = 1 + 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A machine of a stored exploration, over the baseline."""

    site: Site
    ratios: Ratios

    @property
    def triple(self) -> tuple[float, float, float]:
        """Latency, energy and area over the baseline's."""
        return self.ratios.latency, self.ratios.energy, self.ratios.area

    @property
    def within(self) -> bool:
        """True where nothing is worse than the baseline, on any workload."""
        return max(self.ratios.area, self.ratios.worst_latency, self.ratios.worst_energy) <= SLACK


def entries_of(exploration: Exploration) -> tuple[Entry, ...]:
    """The designs of an exploration over its baseline, in the order of the space."""
    return tuple(Entry(site=d.site, ratios=ratios(d, exploration.baseline)) for d in exploration.designs)


def to_csv(entries: Sequence[Entry]) -> str:
    """The entries as a table with a header."""
    text = io.StringIO()
    names = [n for n, _ in entries[0].site.parameters]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["exp", *names, *FIELDS])
    for e in entries:
        values = [f"{getattr(e.ratios, f):.12g}" for f in FIELDS]
        writer.writerow([e.site.exp, *(v for _, v in e.site.parameters), *values])
    return text.getvalue()


def from_csv(text: str) -> tuple[Entry, ...]:
    """The entries of such a table: `from_csv(to_csv(x))` is x but for 12 digits; `#` lines are comments."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = []
    for row in csv.DictReader(lines):
        parameters = tuple((n, int(v)) for n, v in row.items() if n != "exp" and n not in FIELDS)
        measured = Ratios(**{f: float(row[f]) for f in FIELDS})
        found.append(Entry(site=Site(exp=row["exp"], parameters=parameters), ratios=measured))
    return tuple(found)


def stored_entries(name: str = "explored") -> tuple[Entry, ...]:
    """The stored exploration of the built-in space."""
    path = resources.files("fusemap.validation") / "codesign" / f"{name}.csv"
    return from_csv(path.read_text(encoding="utf-8"))


def front_of(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries that no other one beats in latency, energy and area, the fastest first."""
    every = tuple(entries)

    def beaten(e: Entry) -> bool:
        mine = e.triple
        return any(
            all(x <= y * SLACK for x, y in zip(o.triple, mine, strict=True))
            and any(x < y / SLACK for x, y in zip(o.triple, mine, strict=True))
            for o in every
        )

    return tuple(sorted((e for e in every if not beaten(e)), key=lambda e: e.triple))


def entries_table(entries: Iterable[Entry]) -> str:
    """Machines over the baseline as a Markdown table."""
    lines = [
        "| rows x columns, lanes, buffer | area | latency | energy | largest latency | largest energy |",
        "|---|---|---|---|---|---|",
    ]
    for e in entries:
        r = e.ratios
        values = (r.area, r.latency, r.energy, r.worst_latency, r.worst_energy)
        lines.append(f"| {e.site} | {' | '.join(f'{v:.4f}' for v in values)} |")
    return "\n".join(lines) + "\n"


def best_under(entries: Iterable[Entry], limits: Sequence[float]) -> tuple[Entry, ...]:
    """For each limit on the area, over the baseline's, the machine with the least latency, then energy."""
    every = tuple(entries)
    found = []
    for limit in limits:
        allowed = [e for e in every if e.ratios.area <= limit * SLACK]
        if allowed:
            found.append(min(allowed, key=lambda e: (round(e.ratios.latency, 9), e.ratios.energy, e.ratios.area)))
    return tuple(found)


def cycles_table(designs: Iterable[tuple[str, Design]], clock_hz: float) -> str:
    """Cycles per 65,536 scores of each machine and workload, and what each array is busy, as a Markdown table."""
    lines = [
        "| machine | workload | chunk | 2D array | 1D array | cycles | energy |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, design in designs:
        lines += [_cycles_line(name, o, clock_hz, dict(design.site.parameters)["rows"]) for o in design.outcomes]
    return "\n".join(lines) + "\n"


def _cycles_line(name: str, outcome: Outcome, clock_hz: float, rows: int) -> str:
    sizes = load_workload(outcome.workload).sizes
    cycles, busy = cycles_per_tile(outcome, sizes, clock_hz)
    per_score = outcome.energy_pj / (sizes["B"] * sizes["H"] * sizes["M"] * sizes["P"])
    numbers = [f"{v:.6g}" for v in (busy["array_2d"], busy["array_1d"], cycles)]
    return f"| {name} | {outcome.workload} | {outcome.row_steps * rows} | {' | '.join(numbers)} | {per_score:.1f} pJ |"


def rereads_table(rows: Iterable[Reread]) -> str:
    """Traffic over the compulsory traffic as a Markdown table."""
    lines = [
        "| workload | compulsory GB | FuseMax | ragged | turning | Q streamed | keys stay |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        values = " | ".join(f"{v:.2f}" for v in (r.uniform, r.ragged, r.turning, r.streamed, r.keys))
        lines.append(f"| {r.workload} | {r.compulsory_bytes / 1e9:.2f} | {values} |")
    return "\n".join(lines) + "\n"
