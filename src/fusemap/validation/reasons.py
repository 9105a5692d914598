"""Why one configuration of a study is faster than the one before it, derived from the reports."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fusemap.mappers.dataflow import Dataflow
from fusemap.sim.report import PhaseTime, Report
from fusemap.validation.reproduce import Bench, StudyRow

STALL = "stalls"
Pair = tuple[Report, Report]  # the same workload before and after


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Mean share of the latency that a resource bounds, and the lengths at which it bounds most."""

    resource: str
    share: float
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A configuration beside the one before it; numbers are arithmetic means over the workloads.

    `busy`: share of the latency that each array and the outermost memory work (part of an array's
    processing elements may idle); `utilization` counts the processing elements in use.
    """

    configuration: str
    previous: str | None
    speed_up: float
    energy_ratio: float
    waits: tuple[Wait, ...]
    busy: tuple[tuple[str, float], ...]
    utilization: tuple[tuple[str, float], ...]
    changes: tuple[str, ...]


def steps(bench: Bench, rows: Iterable[StudyRow]) -> tuple[Step, ...]:
    """Each configuration of the study beside the one before it, over the workloads that both have."""
    by_configuration: dict[str, dict[tuple[str, int], Report]] = {}
    for row in rows:
        by_configuration.setdefault(row.configuration, {})[row.model, row.seq_len] = row.report
    result: list[Step] = []
    previous: str | None = None
    for configuration, after in by_configuration.items():
        before = by_configuration[previous] if previous is not None else after
        shared = {w: (before[w], after[w]) for w in after if w in before}
        if shared:
            changes = _changes(bench, previous, configuration, list(shared.values())) if previous else ()
            result.append(_step(configuration, previous, shared, changes))
            previous = configuration
    return tuple(result)


def _step(
    configuration: str, previous: str | None, shared: Mapping[tuple[str, int], Pair], changes: tuple[str, ...]
) -> Step:
    pairs = list(shared.values())
    after = [report for _, report in pairs]
    return Step(
        configuration=configuration,
        previous=previous,
        speed_up=statistics.fmean(b.latency_s / a.latency_s for b, a in pairs),
        energy_ratio=statistics.fmean(a.energy_pj / b.energy_pj for b, a in pairs),
        waits=_waits({w: report for w, (_, report) in shared.items()}),
        busy=tuple(average(busy, after).items()),
        utilization=tuple(average(lambda r: r.utilization, after).items()),
        changes=changes,
    )


def _waits(reports: Mapping[tuple[str, int], Report]) -> tuple[Wait, ...]:
    at: dict[str, list[int]] = {}
    for length in sorted({seq_len for _, seq_len in reports}):
        shares = average(waits, [r for (_, seq_len), r in reports.items() if seq_len == length])
        at.setdefault(next(iter(shares)), []).append(length)
    means = average(waits, list(reports.values()))
    return tuple(Wait(resource=n, share=v, lengths=tuple(at.get(n, ()))) for n, v in means.items())


def _changes(bench: Bench, previous: str, configuration: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    return (
        *_program(pairs, same_machine=_hardware(bench, previous) == _hardware(bench, configuration)),
        *_overlap(pairs, bench.dataflow(previous), bench.dataflow(configuration)),
        *_work(pairs),
        *_traffic(pairs),
        *_energy(pairs),
    )


def _hardware(bench: Bench, configuration: str) -> tuple[object, ...]:
    """What makes two machines the same but for their names."""
    machine = bench.machine(configuration)
    return machine.clock_hz, machine.memories, machine.arrays


def waits(report: Report) -> dict[str, float]:
    """Share of the latency that each resource bounds; arrays that take equally long bound together."""
    shares: dict[str, float] = {}
    for phase in report.phases:
        for name, seconds in _phase_waits(phase, report.clock_hz):
            shares[name] = shares.get(name, 0.0) + seconds / report.latency_s
    return shares


def _phase_waits(phase: PhaseTime, clock_hz: float) -> Iterable[tuple[str, float]]:
    if phase.memory_s > phase.compute_s:
        yield phase.memory, phase.memory_s
        return
    for stage in phase.stages:
        longest = max((cycles for _, cycles in stage.busy_cycles), default=0)
        names = sorted(array for array, cycles in stage.busy_cycles if cycles == longest)
        yield " and ".join(names), longest / clock_hz
        if stage.stall_cycles:
            yield STALL, stage.stall_cycles / clock_hz


def busy(report: Report) -> dict[str, float]:
    """Share of the latency that each array works and the outermost memory moves words."""
    shares: dict[str, float] = {}
    for time in report.einsums:
        seconds = time.cycles / report.clock_hz
        shares[time.array] = shares.get(time.array, 0.0) + seconds / report.latency_s
    for phase in report.phases:
        shares[phase.memory] = shares.get(phase.memory, 0.0) + phase.memory_s / report.latency_s
    return shares


def average(shares: Callable[[Report], Mapping[str, float]], reports: Sequence[Report]) -> dict[str, float]:
    """The mean share of each name over reports, largest first; a name that a report lacks counts 0."""
    found = [shares(r) for r in reports]
    names = dict.fromkeys(name for one in found for name in one)
    means = {n: statistics.fmean(one.get(n, 0.0) for one in found) for n in names}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def _program(pairs: Sequence[Pair], *, same_machine: bool) -> Iterable[str]:
    """Another cascade or machine; with the same cascade, Einsums on another array or with other cycles."""
    before, after = pairs[0]
    if not same_machine:
        yield f"runs on {after.arch} instead of {before.arch}"
    if before.cascade != after.cascade:
        yield f"computes {after.cascade} instead of {before.cascade}"
        return
    old = {t.einsum: t for t in before.einsums}
    moved: dict[tuple[str, str], list[str]] = {}
    slower: dict[tuple[int, int], list[str]] = {}
    for time in after.einsums:
        was = old[time.einsum]
        if was.array != time.array:
            moved.setdefault((was.array, time.array), []).append(time.einsum)
        if was.cycles_per_point != time.cycles_per_point:
            slower.setdefault((was.cycles_per_point, time.cycles_per_point), []).append(time.einsum)
    for (source, target), einsums in moved.items():
        yield f"{listed(einsums)} on {target} instead of {source}"
    for (was_cycles, cycles), einsums in slower.items():
        yield f"{listed(einsums)} in {cycles} cycles a point instead of {was_cycles}"


def _work(pairs: Sequence[Pair]) -> Iterable[str]:
    """How much longer or shorter each array works, the Einsums that take most of it, and its share in use."""
    for array in pairs[0][1].utilization:
        ratios = [_cycles(a, array) / _cycles(b, array) for b, a in pairs if _cycles(b, array)]
        ratio = statistics.fmean(ratios) if ratios else 1.0
        if abs(ratio - 1) >= 0.02:
            text = f"{array} works {ratio:.3g}x as long, on " + listed(_largest(pairs, array))
            old, new = (statistics.fmean(lanes_in_use(pair[i], array) for pair in pairs) for i in (0, 1))
            lanes = f", with {percent(new)} of its processing elements instead of {percent(old)}"
            yield text + (lanes if abs(new - old) >= 0.02 else "")


def _overlap(pairs: Sequence[Pair], before: Dataflow, after: Dataflow) -> Iterable[str]:
    """Fewer phases, Einsums in another stage, and what the time is bound by."""
    phases = [len(dataflow.model.binding) for dataflow in (before, after)]
    if phases[0] != phases[1]:
        yield f"{phases[0]} phases one after another become {phases[1]}"
    old_stages, new_stages = _stages(before), _stages(after)
    if set(old_stages) == set(new_stages) and {*old_stages.values()} == {*new_stages.values()}:
        for einsum, stage in new_stages.items():
            if old_stages[einsum] != stage:
                yield f"{einsum} runs in stage {stage} instead of {old_stages[einsum]}"
    yield from _bounds(pairs)


def _bounds(pairs: Sequence[Pair]) -> Iterable[str]:
    """The resources whose share of the time that they bound changes by 5 points or more, and why it stalls."""
    why = {text for _, a in pairs for p in a.phases for s in p.stages for text in s.stalls}
    old, new = average(waits, [b for b, _ in pairs]), average(waits, [a for _, a in pairs])
    texts = []
    for name in dict.fromkeys([*old, *new]):
        was, now = old.get(name, 0.0), new.get(name, 0.0)
        if abs(now - was) >= 0.05:
            reason = f" ({'; '.join(sorted(why))})" if name == STALL and now > was and why else ""
            texts.append(f"{name} {percent(was)} -> {percent(now)}{reason}")
    if texts:
        yield "time bound by " + ", ".join(texts)


def _stages(dataflow: Dataflow) -> dict[str, str]:
    """Einsum -> the stage that it runs in."""
    return {
        einsum: stage.name
        for phase in dataflow.model.binding
        for stage in phase.stages
        for einsums in stage.work.values()
        for einsum in einsums
    }


def _traffic(pairs: Sequence[Pair]) -> Iterable[str]:
    """The change of the traffic to the outermost memory, and the intermediate tensors behind it."""
    memory = pairs[0][1].phases[0].memory
    ratio = statistics.fmean(b.traffic_bytes / a.traffic_bytes for b, a in pairs)
    if abs(ratio - 1) < 0.02:
        return
    made = {t.einsum for t in pairs[0][0].einsums}
    less: dict[str, float] = {}
    for before, after in pairs:
        old, new = _words(before, memory), _words(after, memory)
        for tensor in old:
            saved = (old[tensor] - new.get(tensor, 0.0)) / sum(old.values())
            less[tensor] = less.get(tensor, 0.0) + saved / len(pairs)
    gone = [tensor for tensor in less if tensor in made and less[tensor] > 0.1]
    which = f", {listed(gone)} above all" if gone else ""
    yield f"{memory} moves {f'{ratio:.3g}x less' if ratio > 1 else f'{1 / ratio:.3g}x as much'}{which}"


def _words(report: Report, memory: str) -> dict[str, float]:
    """Words of each tensor through a memory."""
    words: dict[str, float] = {}
    for row in report.rows:
        if row.component == memory:
            words[row.tensor] = words.get(row.tensor, 0.0) + (row.words or 0.0)
    return words


def _energy(pairs: Sequence[Pair]) -> Iterable[str]:
    """Components whose energy changes by a hundredth of the old total or more."""
    changes: dict[str, float] = {}
    for before, after in pairs:
        old, new = before.energy_by("component"), after.energy_by("component")
        for key in dict.fromkeys([*old, *new]):
            change = (new.get(key, 0.0) - old.get(key, 0.0)) / before.energy_pj
            changes[key[0]] = changes.get(key[0], 0.0) + change / len(pairs)
    large = sorted((n for n, v in changes.items() if abs(v) >= 0.01), key=lambda n: -abs(changes[n]))
    if large:
        yield "energy " + listed([f"{100 * changes[n]:+.1f} % in {n}" for n in large])


def _cycles(report: Report, array: str) -> int:
    return sum(t.cycles for t in report.einsums if t.array == array)


def lanes_in_use(report: Report, array: str) -> float:
    """The share of an array's processing elements that its Einsums use while it works."""
    used = sum(t.cycles * t.lanes / t.pes for t in report.einsums if t.array == array)
    return used / (_cycles(report, array) or 1)


def _largest(pairs: Sequence[Pair], array: str, most: int = 3) -> list[str]:
    """The Einsums that take most of an array's working time, with their mean shares."""

    def shares(report: Report) -> Mapping[str, float]:
        return {t.einsum: t.cycles / _cycles(report, array) for t in report.einsums if t.array == array}

    return [f"{e} {percent(share)}" for e, share in average(shares, [a for _, a in pairs]).items()][:most]


def listed(items: Sequence[str]) -> str:
    """Items joined as in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def percent(share: float) -> str:
    """A share in percent, with a digit after the point below 10.

    >>> percent(0.126), percent(0.0213), percent(1.0), percent(0.9962)
    ('13 %', '2.1 %', '100 %', '99.6 %')
    """
    value = 100 * share
    digits = 1 if 0 < abs(value) < 9.95 or 99.05 <= value < 99.95 else 0
    return f"{value:.{digits}f} %"
