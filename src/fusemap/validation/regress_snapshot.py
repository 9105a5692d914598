"""What a baseline remembers of a report: its numbers, and the actions, stages and areas that they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from fusemap.archspec.area import area_rows
from fusemap.archspec.types import Machine
from fusemap.sim.report import PhaseTime, Report, Row, Timing

TEXTS = ("cascade", "arch", "workload", "dataflow", "accounting", "bottleneck")
STALL = "stall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """`count` actions of a component for one Einsum at `unit_energy_pj` each; `tensor` is empty for operators.

    A component whose actions of one name have several prices is `NAME`, `NAME#2`, ...
    """

    einsum: str
    component: str
    action: str
    tensor: str
    count: int | float
    unit_energy_pj: int | float

    @property
    def energy_pj(self) -> float:
        """count * unit energy."""
        return self.count * self.unit_energy_pj

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What is the same action in another report."""
        return self.einsum, self.component, self.action, self.tensor

    @property
    def price_key(self) -> str:
        """What has one unit energy: an action of a memory, a unit of an array."""
        return f"{self.component} {self.action}" if self.tensor else self.component

    @property
    def words(self) -> str:
        """The action in words, without its component: `BQK read Q`, `SLN exp`."""
        return " ".join(part for part in (self.einsum, self.action, self.tensor) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A phase: it takes the longer of `compute_s` and the longest of `memory_s`.

    `cycles` has, for each stage, those of every array and of the stalls; a stage takes the longest plus stalls.
    """

    name: str
    compute_s: float
    memory_s: tuple[tuple[str, float], ...]
    cycles: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]

    @property
    def slowest_memory(self) -> tuple[str, float]:
        """The memory that takes longest, and its time."""
        return max(self.memory_s, key=lambda item: item[1], default=("", 0.0))

    @property
    def limit(self) -> str:
        """The memory that sets the pace, or "" where the arrays do."""
        memory, seconds = self.slowest_memory
        return memory if seconds > self.compute_s else ""

    @property
    def latency_s(self) -> float:
        """max(compute, memory)."""
        return max(self.compute_s, self.slowest_memory[1])

    def waits(self) -> Iterator[tuple[str, str, int]]:
        """What the stages wait for: stage, array (all of those that take longest) or `stall`, and cycles."""
        for name, entries in self.cycles:
            busy = [item for item in entries if item[0] != STALL]
            longest = max((cycles for _, cycles in busy), default=0)
            yield name, " + ".join(array for array, cycles in busy if cycles == longest), longest
            yield from ((name, STALL, cycles) for array, cycles in entries if array == STALL)

    @property
    def limiter(self) -> str:
        """The memory that sets the pace, else what the stages wait for most."""
        cycles: dict[str, int] = {}
        for _, what, waited in self.waits():
            cycles[what] = cycles.get(what, 0) + waited
        return self.limit or max(cycles, key=lambda what: cycles[what], default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The numbers of a report, in SI units with energies in pJ and areas in um^2, and what they are made of.

    `metrics` are what a check compares. `outermost` is the memory whose accesses are the traffic, if the report
    shows it, and `areas` the areas of the machine's components, if the machine is known.
    """

    texts: tuple[tuple[str, str], ...]
    tiles: tuple[tuple[str, int | float | str], ...]
    metrics: tuple[tuple[str, float], ...]
    clock_hz: int | float
    phases: tuple[Phase, ...]
    actions: tuple[Action, ...] = ()
    outermost: str = ""
    areas: tuple[tuple[str, float], ...] = field(default=(), repr=False)

    def text(self, name: str) -> str:
        """One of the texts (`TEXTS`)."""
        return dict(self.texts)[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A case that no mapping fits, and why."""

    reason: str


def snapshot(report: Timing, machine: Machine | None = None) -> Snapshot:
    """What a baseline remembers of a report; with its machine, the areas of the components too.

    Without prices (a Timing) there are neither energies nor areas. Equal for equal reports.
    """
    priced = report if isinstance(report, Report) else None
    actions = _actions(priced.rows) if priced else ()
    metrics: dict[str, float] = {"latency_s": report.latency_s}
    if priced:
        metrics |= {"energy_pj": priced.energy_pj, "area_um2": priced.area_um2}
    metrics["traffic_bytes"] = report.traffic_bytes
    metrics |= {f"utilization.{array}": share for array, share in report.utilization.items()}
    metrics |= {f"energy_pj.{component}": energy for component, energy in energy_by_component(actions).items()}
    return Snapshot(
        texts=tuple((name, getattr(report, name)) for name in TEXTS),
        tiles=tuple((name, value if isinstance(value, str) else plain(value)) for name, value in report.tiles),
        metrics=tuple((name, plain(value)) for name, value in metrics.items()),
        clock_hz=plain(report.clock_hz),
        phases=_phases(report.phases),
        actions=actions,
        outermost=_outermost(priced) if priced else "",
        areas=_areas(machine) if priced and machine else (),
    )


def energy_by_component(actions: Iterable[Action]) -> dict[str, float]:
    """Energies in pJ summed by component, in the order of first use."""
    found: dict[str, float] = {}
    for action in actions:
        component = action.component.partition("#")[0]
        found[component] = found.get(component, 0.0) + action.energy_pj
    return found


def plain(value: float) -> int | float:
    """A number as YAML and JSON hold it: a whole number below 2^53 as int, another as float.

    >>> plain(12.0), plain(0.5), plain(1e300)
    (12, 0.5, 1e+300)
    """
    if isinstance(value, int):
        return int(value)
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 1 << 53 else number


def _actions(rows: Iterable[Row]) -> tuple[Action, ...]:
    """The rows, those of the same action and price added up."""
    found: dict[tuple[str, str, str, str], Action] = {}
    prices: dict[str, float] = {}
    for row in rows:
        number = 1
        while True:
            action = Action(
                einsum=row.einsum,
                component=row.component if number == 1 else f"{row.component}#{number}",
                action=row.action,
                tensor=row.tensor,
                count=plain(row.count),
                unit_energy_pj=plain(row.unit_energy_pj),
            )
            if prices.setdefault(action.price_key, action.unit_energy_pj) == action.unit_energy_pj:
                break
            number += 1
        if before := found.get(action.key):
            action = replace(action, count=plain(before.count + action.count))
        found[action.key] = action
    return tuple(found.values())


def _phases(times: Iterable[PhaseTime]) -> tuple[Phase, ...]:
    found = []
    for time in times:
        names = distinct(stage.name for stage in time.stages)
        cycles = [
            (name, (*stage.busy_cycles, *([(STALL, stage.stall_cycles)] if stage.stall_cycles else [])))
            for name, stage in zip(names, time.stages, strict=True)
        ]
        memories = time.memory_times or ((time.memory, time.memory_s),)
        found.append((time, tuple(cycles), memories))
    names = distinct(time.name for time, _, _ in found)
    return tuple(
        Phase(
            name=name,
            compute_s=plain(time.compute_s),
            memory_s=tuple((memory, plain(seconds)) for memory, seconds in memories),
            cycles=cycles,
        )
        for name, (time, cycles, memories) in zip(names, found, strict=True)
    )


def distinct(names: Iterable[str]) -> list[str]:
    """The names, a repeated one numbered.

    >>> distinct(["a", "b", "a"])
    ['a', 'b', 'a#2']
    """
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found


def _outermost(report: Report) -> str:
    """The memory whose words are the traffic: that of the first memory row, if the bytes of a word come out right.

    A report does not name it. Rows of an operand come outermost level first, and the first Einsum reads inputs.
    """
    moved = [row for row in report.rows if row.words is not None]
    if not moved:
        return ""
    words = sum(row.words or 0 for row in moved if row.component == moved[0].component)
    word_bits = 8 * report.traffic_bytes / words if words else 0.0
    return moved[0].component if word_bits and abs(word_bits - round(word_bits)) < 1e-9 else ""


def _areas(machine: Machine) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for row in area_rows(machine):
        name = f"{row.structure} {row.component}"
        found[name] = found.get(name, 0.0) + row.total_um2
    return tuple((name, plain(area)) for name, area in sorted(found.items()))
