"""Our counts, cycles and energies of one Einsum beside those of a run of timeloop-model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from fusemap.mappers.types import Storage
from fusemap.sim.accounting import Accounting
from fusemap.sim.reuse import LevelCount, analyse
from fusemap.validation.timeloop.cases import Case
from fusemap.validation.timeloop.quantities import Quantity, steps
from fusemap.validation.timeloop.sliding import walk
from fusemap.validation.timeloop.spec import Specification, StorageNode
from fusemap.validation.timeloop.stats import SpaceStats, Stats

NO_ELISION = ("TIMELOOP_ENABLE_FIRST_READ_ELISION", "0")
_WRAPPED = Accounting(partition_bits=64).partition
# A change of our counts towards Timeloop's; every cause that changes counts is one.
Change = Callable[[Case, Sequence[LevelCount]], tuple[LevelCount, ...]]


def compare(case: Case, spec: Specification, stats: Stats) -> tuple[Quantity, ...]:
    """Every quantity of the case: counts and energy per tensor and level, the compute unit's, cycles."""
    stages = _stages(case)
    found = list(_levels(spec, stages, places(case), stats))
    energy, points = spec.compute.energy_pj, spec.points
    unit = spec.compute.name
    found.append(Quantity(what="computes", place=unit, tensor="", ours=points, timeloop=stats.computes, unit="points"))
    found.append(
        Quantity(
            what="energy",
            place=unit,
            tensor="",
            ours=points * energy,
            timeloop=stats.compute_energy_pj,
            unit="pJ",
        )
    )
    steps_of_one = case.nest.temporal_steps
    found.append(
        Quantity(what="steps", place=unit, tensor="", ours=steps_of_one, timeloop=stats.compute_cycles, unit="cycles")
    )
    found.append(_cycles(case, spec, stages, stats))
    found.append(
        Quantity(what="energy", place="networks", tensor="", ours=0, timeloop=stats.network_energy_pj, unit="pJ")
    )
    return tuple(found)


def _stages(case: Case) -> tuple[tuple[str, tuple[LevelCount, ...]], ...]:
    """Our counts, and after each cause that changes counts what they have become."""
    stages = [("", analyse(case.space, case.nest))]
    for cause, change in COUNT_CAUSES.items():
        stages.append((cause, change(case, stages[-1][1])))
    return tuple(stages)


def _wrapped(case: Case, counts: Sequence[LevelCount]) -> tuple[LevelCount, ...]:
    """Partition sizes in unsigned arithmetic of 64 bits."""
    return analyse(case.space, case.nest, partition=_WRAPPED)


def _read_first(case: Case, counts: Sequence[LevelCount]) -> tuple[LevelCount, ...]:
    """Without the elision of first reads: reads and fills that are the partition size larger."""
    if NO_ELISION not in case.environment:
        return tuple(counts)
    outermost: set[str] = set()
    result = []
    for count in counts:
        first = count.operand.label not in outermost
        outermost.add(count.operand.label)
        part = count.partition
        fills = count.fills if first else count.fills + part
        result.append(dataclasses.replace(count, reads=count.reads + part, fills=fills))
    return tuple(result)


def _slid(case: Case, counts: Sequence[LevelCount]) -> tuple[LevelCount, ...]:
    """Inputs whose tiles overlap."""
    result = []
    for count, place in zip(counts, places(case), strict=True):
        operand = count.operand
        if operand.label in case.projections and not operand.is_output:
            walked = walk(case.nest, operand.tensor, case.projections[operand.label])[place]
            count = dataclasses.replace(count, reads=walked.reads, fills=walked.fills)
        result.append(count)
    return tuple(result)


def places(case: Case) -> tuple[int, ...]:
    """The level of the nest that each of our counts belongs to: operand by operand, the levels that keep it."""
    levels = case.nest.levels
    return tuple(
        i
        for operand in case.space.operands
        for i, level in enumerate(levels)
        if isinstance(level, Storage) and level.keeps(operand.tensor)
    )


COUNT_CAUSES: dict[str, Change] = {
    "64-bit partition": _wrapped,
    "overlapping tiles": _slid,
    "first-read elision": _read_first,
}

_ABSENT = SpaceStats(instances=0, reads=0, fills=0, updates=0, energy_pj=0.0)


def _levels(
    spec: Specification, stages: Sequence[tuple[str, tuple[LevelCount, ...]]], at: Sequence[int], stats: Stats
) -> Iterator[Quantity]:
    nodes = {node.level: node for node in spec.storages}
    names = {s.label: s.name for s in spec.data_spaces}
    seen: set[tuple[str, str]] = set()
    for i, ours in enumerate(stages[0][1]):
        node, label = nodes[at[i]], ours.operand.label
        level = stats.level(node.name)
        theirs = level.of.get(names[label], _ABSENT) if level else _ABSENT
        seen.add((node.name, names[label]))
        chain = [(cause, counts[i]) for cause, counts in stages]
        for what in ("reads", "fills", "updates", "instances"):
            values = [(cause, getattr(count, what)) for cause, count in chain]
            causes = steps(iter(values[1:]), values[0][1])
            unit = "instances" if what == "instances" else "words"
            yield Quantity(
                what=what,
                place=node.name,
                tensor=label,
                ours=values[0][1],
                timeloop=getattr(theirs, what),
                causes=causes,
                unit=unit,
            )
        yield _energy(node, label, chain, theirs)
    for level in stats.levels:  # what Timeloop counts and we do not
        for name, theirs in level.spaces:
            if (level.name, name) not in seen and theirs.reads + theirs.fills + theirs.updates:
                moved = theirs.reads + theirs.fills + theirs.updates
                yield Quantity(what="words", place=level.name, tensor=name, ours=0, timeloop=moved)


def _energy(node: StorageNode, label: str, chain: Sequence[tuple[str, LevelCount]], theirs: SpaceStats) -> Quantity:
    """Energy of all instances; the last step is from parts of rows to whole rows."""
    values = [(cause, _pj(node, count, whole=False)) for cause, count in chain]
    values.append(("whole rows", _pj(node, chain[-1][1], whole=True)))
    start = values[0][1]
    causes = tuple((cause, amount) for cause, amount in steps(iter(values[1:]), start) if abs(amount) > 1e-15 * start)
    return Quantity(
        what="energy",
        place=node.name,
        tensor=label,
        ours=start,
        timeloop=theirs.energy_pj,
        causes=causes,
        unit="pJ",
    )


def _pj(node: StorageNode, count: LevelCount, *, whole: bool) -> float:
    """instances * sum over actions of rows * pJ per row."""
    total = 0.0
    prices = ((count.reads, node.read_pj), (count.fills, node.write_pj), (count.updates, node.write_pj))
    for words, price in prices:
        rows = Fraction(words, node.block_words)
        total += float(math.ceil(rows) if whole else rows) * price
    return total * int(count.instances)


def _cycles(
    case: Case, spec: Specification, stages: Sequence[tuple[str, tuple[LevelCount, ...]]], stats: Stats
) -> Quantity:
    """Cycles of the whole: steps, or the words of the memory that limits them by its bandwidth."""
    one = case.nest.temporal_steps
    start = max(Fraction(one * spec.cycles_per_point), _limited(spec, stages[0][1]))
    values: list[tuple[str, float]] = [("one cycle per point", float(max(Fraction(one), _limited(spec, stages[0][1]))))]
    values += [(cause, float(max(Fraction(one), _limited(spec, counts)))) for cause, counts in stages[1:]]
    values.append(("whole cycles", float(_timeloop_cycles(spec, one, stages[-1][1]))))
    causes = steps(iter(values), float(start))
    predicted = float(start) + sum(amount for _, amount in causes)
    if predicted != values[-1][1] and causes:  # the sum of differences is a rounding away
        causes = (*causes[:-1], (causes[-1][0], causes[-1][1] + values[-1][1] - predicted))
    return Quantity(
        what="cycles",
        place="",
        tensor="",
        ours=float(start),
        timeloop=float(stats.cycles),
        causes=causes,
        unit="cycles",
    )


def _limited(spec: Specification, counts: Sequence[LevelCount]) -> Fraction:
    """Words of all tensors / bandwidth of the memory that takes longest, in cycles."""
    longest = Fraction(0)
    for node in spec.storages:
        if node.bandwidth is not None and node.level is not None:
            words = sum((c.reads + c.fills + c.updates) * c.instances for c in counts if c.memory == node.memory)
            longest = max(longest, Fraction(words) / Fraction(node.bandwidth) / node.instances)
    return longest


def _timeloop_cycles(spec: Specification, one: int, counts: Sequence[LevelCount]) -> int:
    """Timeloop's own arithmetic: ceil(steps / min(1, bandwidth / words per step)), in its order of additions."""
    longest = one
    order = [s.label for s in spec.data_spaces]
    for node in spec.storages:
        if node.bandwidth is None or node.level is None:
            continue
        here = {c.operand.label: c for c in counts if c.memory == node.memory}
        kept = [here[label] for label in order if label in here]
        read = sum((float(c.reads) / one for c in kept), 0.0)
        write = sum((float(c.fills + c.updates) / one for c in kept), 0.0)
        if node.bandwidth < write + read:
            longest = max(longest, math.ceil(one / min(1.0, node.bandwidth / (write + read))))
    return longest
