"""What timeloop-model says of one run: the counts, cycles and energies of `timeloop-model.stats.txt`.

Counts are per instance, in words; energies in pJ, of all instances, as the file rounds them (two decimals).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fusemap.diagnostics import input_error

_TITLE = re.compile(r"=== (?P<name>.+) ===")
_KEYS = {
    "Utilized instances (max)": "instances",
    "Scalar reads (per-instance)": "reads",
    "Scalar fills (per-instance)": "fills",
    "Scalar updates (per-instance)": "updates",
    "Energy (total)": "energy_pj",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceStats:
    """One data space at one level; all instances together have `energy_pj`."""

    instances: int
    reads: int
    fills: int
    updates: int
    energy_pj: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelStats:
    """One memory level: the cycles it needs, and the data spaces that it keeps."""

    name: str
    cycles: int
    spaces: tuple[tuple[str, SpaceStats], ...]

    @property
    def of(self) -> Mapping[str, SpaceStats]:
        """The data spaces by name."""
        return dict(self.spaces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A run: `cycles` of the whole, the compute unit's counts, the levels from the innermost out."""

    cycles: int
    computes: int
    compute_cycles: int
    compute_energy_pj: float
    network_energy_pj: float
    levels: tuple[LevelStats, ...]

    def level(self, name: str) -> LevelStats | None:
        """The level of that name, None where Timeloop reports none."""
        return next((level for level in self.levels if level.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """As a recording holds it."""
        return {
            "cycles": self.cycles,
            "computes": self.computes,
            "compute_cycles": self.compute_cycles,
            "compute_energy_pj": self.compute_energy_pj,
            "network_energy_pj": self.network_energy_pj,
            "levels": {
                level.name: {"cycles": level.cycles, "spaces": {n: asdict(s) for n, s in level.spaces}}
                for level in self.levels
            },
        }


def stats_from_json(document: Mapping[str, Any]) -> Stats:
    """The inverse of `Stats.to_json`; KeyError or TypeError for a document of another shape."""
    plain = {f.name: document[f.name] for f in fields(Stats) if f.name != "levels"}
    levels = tuple(
        LevelStats(
            name=name,
            cycles=level["cycles"],
            spaces=tuple((space, SpaceStats(**values)) for space, values in level["spaces"].items()),
        )
        for name, level in document["levels"].items()
    )
    return Stats(**plain, levels=levels)


def parse_stats(text: str) -> Stats:
    """The numbers of a stats file; InputError where it is not one."""
    body, _, rest = text.partition("\nNetworks\n")
    networks, _, summary = rest.partition("\nOperational Intensity Stats\n")
    sections = list(_sections(body))
    if not sections or "Computes (total)" not in "".join(sections[0][1]):
        raise input_error("this is no statistics file of timeloop-model: it does not begin with the compute unit")
    compute = dict(filter(None, map(_pair, sections[0][1])))
    levels = tuple(_level(name, lines) for name, lines in sections[1:])
    cycles = re.search(r"^Cycles: (\d+)", summary, re.MULTILINE)
    if cycles is None:
        raise input_error("this is no whole statistics file of timeloop-model: it has no summary of cycles")
    return Stats(
        cycles=int(cycles[1]),
        computes=int(_number(compute["Computes (total)"])),
        compute_cycles=int(_number(compute["Cycles"])),
        compute_energy_pj=_number(compute["Energy (total)"]),
        network_energy_pj=sum(_network(networks)),
        levels=levels,
    )


def _sections(body: str) -> Iterator[tuple[str, list[str]]]:
    """Levels with the lines of their statistics."""
    pieces = _TITLE.split(body)[1:]
    for name, text in zip(pieces[::2], pieces[1::2], strict=True):
        _, _, stats = text.partition("STATS")
        yield name, stats.splitlines()


def _level(name: str, lines: list[str]) -> LevelStats:
    cycles = 0
    spaces: list[tuple[str, dict[str, float]]] = []
    for line in lines:
        pair = _pair(line)
        if pair is None:
            continue
        key, value = pair
        if not value:
            spaces.append((key, {}))
        elif spaces and key in _KEYS:
            spaces[-1][1][_KEYS[key]] = _number(value)
        elif key == "Cycles" and not spaces:
            cycles = int(_number(value))
    return LevelStats(name=name, cycles=cycles, spaces=tuple((n, _space(v)) for n, v in spaces))


def _space(values: Mapping[str, float]) -> SpaceStats:
    whole = {key: int(values[key]) for key in ("instances", "reads", "fills", "updates")}
    return SpaceStats(**whole, energy_pj=float(values["energy_pj"]))


def _network(text: str) -> Iterator[float]:
    for line in text.splitlines():
        pair = _pair(line)
        if pair is not None and pair[0] == "Energy (total)":
            yield _number(pair[1])


def _pair(line: str) -> tuple[str, str] | None:
    key, colon, value = line.partition(":")
    return (key.strip(), value.strip()) if colon else None


def _number(text: str) -> float:
    """The leading number, a whole one exactly (counts beyond 2**53)."""
    first = text.split()[0]
    return int(first) if first.isdigit() else float(first)
