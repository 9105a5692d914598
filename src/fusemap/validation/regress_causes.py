"""Why a number moved: the change of a total as a sum over actions, stages, memories and areas, largest first.

Where a part is a product (count * unit energy, cycles / clock, bytes / bandwidth), its change is split between the
factors: d(ab) = da * (b + b')/2 + db * (a + a')/2, which is exact and treats both alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fusemap.validation.regress_snapshot import STALL, Action, Phase, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A factor of a part, what was recorded, what is found, and what it adds to the total (in the total's unit)."""

    name: str
    recorded: float
    found: float
    change: float

    def to_json(self) -> dict[str, object]:
        """The factor as a JSON object."""
        return {"name": self.name, "recorded": self.recorded, "found": self.found, "change": self.change}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A part of a metric's change: which component, what of it (`BQK read Q`, a stage), and by which factors.

    `note` says what is not a change of a factor: something new or gone, another limit of a phase.
    """

    metric: str
    component: str
    what: str
    change: float
    factors: tuple[Factor, ...] = ()
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """The cause as a JSON object."""
        return {
            "metric": self.metric,
            "component": self.component,
            "what": self.what,
            "change": self.change,
            "factors": [factor.to_json() for factor in self.factors],
            "note": self.note,
        }


def causes(recorded: Snapshot, found: Snapshot) -> tuple[Cause, ...]:
    """Every part of energy, latency, traffic and area that changed; for each metric they add up to its change.

    Within a metric the largest comes first. Traffic has none where a report does not show which memory it is of.
    """
    parts = (
        *_latency(recorded, found),
        *_energy(recorded.actions, found.actions),
        *_traffic(recorded, found),
        *_areas(dict(recorded.areas), dict(found.areas)),
    )
    order = {metric: i for i, metric in enumerate(("latency_s", "energy_pj", "traffic_bytes", "area_um2"))}
    return tuple(sorted((p for p in parts if p.change or p.factors), key=lambda p: (order[p.metric], -abs(p.change))))


def split(names: tuple[str, str], recorded: tuple[float, float], found: tuple[float, float]) -> tuple[Factor, ...]:
    """The factors of a product that differ, with what each adds.

    >>> [factor.change for factor in split(("count", "price"), (10, 2.0), (10, 3.0))]
    [10.0]
    >>> [factor.change for factor in split(("count", "price"), (10, 2.0), (20, 3.0))]
    [25.0, 15.0]
    """
    (a, b), (x, y) = recorded, found
    factors = (
        Factor(name=names[0], recorded=a, found=x, change=(x - a) * ((b + y) / 2)),
        Factor(name=names[1], recorded=b, found=y, change=(y - b) * ((a + x) / 2)),
    )
    return tuple(factor for factor in factors if factor.recorded != factor.found)


def _energy(recorded: Iterable[Action], found: Iterable[Action]) -> Iterator[Cause]:
    """d(count * unit energy) for every action; a new or absent one has a count of 0 at the same price."""
    before, after = ({action.key: action for action in actions} for actions in (recorded, found))
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        known = new or old
        assert known is not None, key
        factors = split(
            ("count", "unit_energy_pj"),
            (old.count if old else 0, (old or known).unit_energy_pj),
            (new.count if new else 0, known.unit_energy_pj),
        )
        if factors:
            yield Cause(
                metric="energy_pj",
                component=known.component,
                what=known.words,
                change=sum(factor.change for factor in factors),
                factors=factors,
                note="" if old and new else "new" if new else "gone",
            )


def _traffic(recorded: Snapshot, found: Snapshot) -> Iterator[Cause]:
    """d(accesses * bytes per access) at the memory that the traffic is of."""
    memory = found.outermost
    sizes = [_access_bytes(s) for s in (recorded, found)]
    if not memory or memory != recorded.outermost or None in sizes:
        return
    before, after = (
        {a.key: a for a in s.actions if a.component.partition("#")[0] == memory} for s in (recorded, found)
    )
    (size, size_now) = (sizes[0] or 0.0, sizes[1] or 0.0)
    for key in {**before, **after}:
        old, new = before.get(key), after.get(key)
        factors = split(
            ("count", "bytes_per_access"),
            (old.count if old else 0, size if old else size_now),
            (new.count if new else 0, size_now if new else size),
        )
        if factors:
            what = (new or before[key]).words
            note = "" if old and new else "new" if new else "gone"
            change = sum(factor.change for factor in factors)
            yield Cause(metric="traffic_bytes", component=memory, what=what, change=change, factors=factors, note=note)


def _access_bytes(found: Snapshot) -> float | None:
    """traffic / accesses of the memory that it is of."""
    accesses = sum(a.count for a in found.actions if a.component.partition("#")[0] == found.outermost)
    return dict(found.metrics)["traffic_bytes"] / accesses if accesses else None


def _latency(recorded: Snapshot, found: Snapshot) -> Iterator[Cause]:
    """Phase by phase: where arrays set the pace, stage by stage; where a memory does, its time."""
    before, after = ({phase.name: phase for phase in s.phases} for s in (recorded, found))
    bandwidths = (bandwidth(recorded), bandwidth(found))
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            known = new or before[name]
            change = known.latency_s if new else -known.latency_s
            yield _of_phase(known, change, note="new" if new else "gone")
        elif old.limit != new.limit:
            is_, was = (f"{phase.limiter} ({phase.latency_s:.5g} s)" for phase in (new, old))
            yield _of_phase(new, new.latency_s - old.latency_s, note=f"limited by {is_}, was by {was}")
        elif new.limit:
            yield _memory(old, new, bandwidths, (recorded.outermost, found.outermost))
        else:
            yield from _stages(old, new, (recorded.clock_hz, found.clock_hz))


def bandwidth(found: Snapshot) -> float:
    """Bytes per second of the memory that the traffic is of: traffic / its time in all phases; 0 if not known."""
    seconds = sum(dict(phase.memory_s).get(found.outermost, 0.0) for phase in found.phases)
    return dict(found.metrics)["traffic_bytes"] / seconds if seconds else 0.0


def _of_phase(phase: Phase, change: float, note: str) -> Cause:
    return Cause(metric="latency_s", component=phase.limiter, what=f"phase {phase.name}", change=change, note=note)


def _memory(old: Phase, new: Phase, rates: tuple[float, float], outermost: tuple[str, str]) -> Cause:
    """d(bytes / bandwidth) where both are known, else the change of the memory's time alone."""
    memory = new.limit
    times = dict(old.memory_s)[memory], dict(new.memory_s)[memory]
    factors: tuple[Factor, ...] = ()
    if outermost == (memory, memory) and all(rates):
        moved = tuple(_rounded(seconds * rate) for seconds, rate in zip(times, rates, strict=True))
        factors = _quotient(("bytes", "bytes_per_s"), (moved[0], rates[0]), (moved[1], rates[1]))
    return Cause(
        metric="latency_s", component=memory, what=f"phase {new.name}", change=times[1] - times[0], factors=factors
    )


def _stages(old: Phase, new: Phase, clocks: tuple[float, float]) -> Iterator[Cause]:
    """d(cycles / clock) of what every stage waits for: its busiest array, and stalls."""
    before, after = (
        {(name, what == STALL): (what, cycles) for name, what, cycles in phase.waits()} for phase in (old, new)
    )
    for key in {**before, **after}:
        component = (after.get(key) or before[key])[0]
        cycles = before.get(key, ("", 0))[1], after.get(key, ("", 0))[1]
        clock = (clocks[0] if key in before else clocks[1], clocks[1] if key in after else clocks[0])
        factors = _quotient(("cycles", "clock_hz"), (cycles[0], clock[0]), (cycles[1], clock[1]))
        if factors:
            note = "" if key in before and key in after else "new" if key in after else "gone"
            change = sum(factor.change for factor in factors)
            what = f"phase {new.name}, stage {key[0]}"
            yield Cause(metric="latency_s", component=component, what=what, change=change, factors=factors, note=note)


def _quotient(names: tuple[str, str], recorded: tuple[float, float], found: tuple[float, float]) -> tuple[Factor, ...]:
    """As `split` for a / b, the second factor shown as b."""
    (a, b), (x, y) = recorded, found
    shown = {names[0]: (a, x), names[1]: (b, y)}
    return tuple(
        Factor(name=f.name, recorded=shown[f.name][0], found=shown[f.name][1], change=f.change)
        for f in split(names, (a, 1 / b), (x, 1 / y))
    )


def _rounded(moved: float) -> float:
    """Bytes out of seconds times bandwidth, without the dust of the division."""
    return float(f"{moved:.12g}")


def _areas(recorded: Mapping[str, float], found: Mapping[str, float]) -> Iterator[Cause]:
    """Components whose area changed; nothing where one side does not know them."""
    for name in {**recorded, **found} if recorded and found else ():
        old, new = recorded.get(name), found.get(name)
        if old != new:
            structure, _, component = name.partition(" ")
            note = "new" if old is None else "gone" if new is None else f"{old:.9g} um^2 to {new:.9g} um^2"
            change = (new or 0.0) - (old or 0.0)
            yield Cause(metric="area_um2", component=structure, what=component, change=change, note=note)
