"""One picture of a study as data: speed-up over length, energy by component, what each configuration waits for."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusemap.sim.report import Report
from fusemap.validation.reasons import average, busy, waits
from fusemap.validation.reproduce import Bench, StudyRow, accountings
from fusemap.validation.reproduction import Reproduction
from fusemap.validation.study import PictureModel

Reports = Mapping[tuple[str, str, int], Report]  # (configuration, model, length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The least, mean and largest value over the models."""

    least: float
    mean: float
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A resource: share of the time that it works (an array: times its elements in use), and that it bounds."""

    resource: str
    in_use: float
    bounds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A configuration of the picture; speed-up per length and energy against the baseline.

    `sensitive` is the speed-up under the study's sensitivity, empty where it does not matter; `energy` the
    parts that add up to the mean ratio; `corrected_energy` that ratio with every slip of the study corrected.
    """

    name: str
    speed_up: tuple[Spread, ...]
    sensitive: tuple[Spread, ...]
    energy: tuple[tuple[str, float], ...]
    corrected_energy: float
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureData:
    """What the picture shows, the baseline first; means are arithmetic."""

    name: str
    lengths: tuple[int, ...]
    sensitivity: str
    panels: tuple[Panel, ...]

    @property
    def fingerprint(self) -> str:
        """A digest of the numbers to 9 digits, which tells whether a stored picture shows these."""
        return hashlib.sha256(" ".join(_digits(self.panels)).encode()).hexdigest()[:16]


def picture_data(bench: Bench, found: Reproduction) -> PictureData | None:
    """The picture of a reproduction; None when its study has none or a row of it is missing."""
    model = bench.study.model.picture
    if model is None or any(f.configuration in model.configurations for f in found.failures):
        return None
    principled = {c: a for c, a in accountings(bench.study, "principled").items() if c in model.configurations}
    reports, corrected = _by_key(found.rows), _by_key(bench.rows(principled))
    sensitive = {**reports, **_by_key(found.sensitive_rows)}
    changed = {r.configuration for r in found.sensitive_rows}
    return PictureData(
        name=model.file,
        lengths=tuple(sorted({n for _, _, n in reports})),
        sensitivity=model.sensitivity,
        panels=tuple(
            Panel(
                name=label,
                speed_up=_speed_up(model, configuration, reports, reports),
                sensitive=_speed_up(model, configuration, reports, sensitive) if configuration in changed else (),
                energy=_energy(model, configuration, reports),
                corrected_energy=sum(share for _, share in _energy(model, configuration, corrected)),
                uses=_uses(model, [r for (c, _, _), r in reports.items() if c == configuration]),
            )
            for configuration, label in model.configurations.items()
        ),
    )


def _by_key(rows: Iterable[StudyRow]) -> Reports:
    return {(r.configuration, r.model, r.seq_len): r.report for r in rows}


def _speed_up(model: PictureModel, configuration: str, base: Reports, reports: Reports) -> tuple[Spread, ...]:
    """Latency of the baseline over that of the configuration, per length."""
    first = next(iter(model.configurations))
    ratios: dict[int, list[float]] = {}
    for (c, name, length), report in reports.items():
        if c == configuration:
            ratios.setdefault(length, []).append(base[first, name, length].latency_s / report.latency_s)
    return tuple(Spread(least=min(r), mean=statistics.fmean(r), largest=max(r)) for _, r in sorted(ratios.items()))


def _energy(model: PictureModel, configuration: str, reports: Reports) -> tuple[tuple[str, float], ...]:
    """Mean energy of each group of components over the baseline's energy; a group without members takes the rest."""
    first = next(iter(model.configurations))
    group_of = {component: group for group, components in model.energy.items() for component in components}
    rest = next((group for group, components in model.energy.items() if not components), "other")
    shares = dict.fromkeys([*model.energy, rest], 0.0)
    keys = [key for key in reports if key[0] == configuration]
    for key in keys:
        base = reports[(first, *key[1:])].energy_pj
        for (component,), energy_pj in reports[key].energy_by("component").items():
            shares[group_of.get(component, rest)] += energy_pj / base / len(keys)
    return tuple(shares.items())


def _uses(model: PictureModel, reports: Sequence[Report]) -> tuple[Use, ...]:
    """How much each resource is in use, and how often it bounds (alone or together with another)."""
    bounds = average(waits, reports)
    in_use = {**average(busy, reports), **average(lambda r: r.utilization, reports)}
    return tuple(
        Use(
            resource=label,
            in_use=in_use.get(name, 0.0),
            bounds=sum(share for names, share in bounds.items() if name in names.split(" and ")),
        )
        for name, label in model.resources.items()
    )


def _digits(panels: Iterable[Panel]) -> Iterable[str]:
    for panel in panels:
        numbers = [n for s in (*panel.speed_up, *panel.sensitive) for n in (s.least, s.mean, s.largest)]
        numbers += [share for _, share in panel.energy] + [panel.corrected_energy]
        numbers += [n for use in panel.uses for n in (use.in_use, use.bounds)]
        yield panel.name
        yield from (f"{n:.9g}" for n in numbers)
