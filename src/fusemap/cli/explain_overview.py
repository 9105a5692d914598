"""The biggest contributions to each metric, for people."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from types import MappingProxyType

from fusemap.cli.explain_text import WIDTH, Sources, exact, formula, quantity
from fusemap.cli.output import table
from fusemap.cli.quantities import area, binary, joules, number, part_of, percent, ratio, si
from fusemap.sim.explain import Explanation, Part
from fusemap.sim.report import PhaseTime
from fusemap.sim.terms import Number, Term

ROWS_SHOWN = 3


def latency(explanation: Explanation) -> str:
    """Phases as max(compute, memory), stages as max over arrays, cycles of each Einsum, what would change it."""
    report = explanation.evaluation.report
    sources = Sources()
    term = explanation.derivation("latency").terms[0]
    head = [f"latency {si(report.latency_s, 's')} = sum over phases of max(compute, memory)"]
    compute = term.parts[0].parts[0]
    head.append(f"  compute = cycles / {quantity(compute.parts[1])}{sources.mark(compute.parts[1].source)}")
    for bandwidth in dict.fromkeys(phase.parts[1].parts[1] for phase in term.parts if phase.parts[1].parts):
        head.append(f"  memory = traffic / {quantity(bandwidth)}{sources.mark(bandwidth.source)}")
    blocks = ["\n".join(head), _phases(term), _stages(term), _einsum_cycles(explanation, sources)]
    return "\n\n".join([*blocks, "\n".join(_changes(explanation)), str(sources)])


def _phases(latency: Term) -> str:
    rows = []
    for phase in latency.parts:
        compute, memory = phase.parts
        traffic = binary(memory.parts[0].value) if memory.parts else "-"
        compared = ratio(memory.value / compute.value) if compute.value else "-"
        times = [si(term.value, "s") for term in (phase, compute, memory)]
        cycles = number(compute.parts[0].value)
        rows.append([phase.name.removeprefix("phase "), *times, compared, cycles, traffic])
    headers = ["phase", "latency", "compute", "memory", "memory/compute", "cycles", "traffic"]
    return table(rows, headers, "lrrrrrr", width=WIDTH)


def _stages(latency: Term) -> str:
    """Cycles of every stage: the longest of its arrays, plus stalls."""
    stages = [(phase.name, stage) for phase in latency.parts for stage in phase.parts[0].parts[0].parts]
    split = [(name, stage, *_arrays(stage)) for name, stage in stages]
    arrays = list(dict.fromkeys(array for _, _, busy, _ in split for array in busy))
    rows = []
    for name, stage, busy, stalled in split:
        own, phase = stage.name.removeprefix("stage "), name.removeprefix("phase ")
        label = own if own == phase or len(latency.parts) == 1 else f"{phase}: {own}"
        cells = [number(busy[array]) if array in busy else "-" for array in arrays]
        rows.append([label, number(stage.value), *cells, number(stalled)])
    headers = ["stage", "cycles = longest of", *arrays, "+ stall"]
    found = table(rows, headers, "l" + "r" * (len(headers) - 1), width=WIDTH)
    why = dict.fromkeys(part.name for _, stage in stages if stage.operation == "sum" for part in stage.parts[1:])
    return "\n".join([found, *(f"  {line}" for text in why for line in textwrap.wrap(text, WIDTH - 2))])


def _arrays(stage: Term) -> tuple[dict[str, Number], Number]:
    """Busy cycles per array of a stage, and the cycles it stalls."""
    arrays, stalls = (stage, ()) if stage.operation == "max" else (stage.parts[0], stage.parts[1:])
    return {array.name: array.value for array in arrays.parts}, sum(stall.value for stall in stalls)


def _einsum_cycles(explanation: Explanation, sources: Sources) -> str:
    rows = []
    for part in explanation.derivation("latency").parts:
        if part.einsum:
            steps, per_point = part.term.parts
            cells = [part.einsum, part.component, number(part.term.value), number(steps.value), number(per_point.value)]
            rows.append([*cells, formula(per_point, sources)])
    headers = ["Einsum", "array", "cycles", "= steps", "x per point", "operators"]
    return table(rows, headers, "llrrrl", width=WIDTH)


def _changes(explanation: Explanation) -> Iterator[str]:
    """What improving each resource can gain, and how far compute and memory of the longest phase are apart."""
    report = explanation.evaluation.report
    yield "what would change it:"
    rows = []
    for relief in explanation.reliefs:
        change = f"{report.latency_s / relief.latency_s:.2f}x faster" if relief.latency_s else "nothing else takes time"
        change = "no change" if relief.latency_s == report.latency_s else change
        rows.append([f"  if {relief.resource} took no time", si(relief.latency_s, "s"), change])
    width = [max(len(row[i]) for row in rows) for i in (0, 1)]
    yield from (f"{a.ljust(width[0])}  {b.rjust(width[1])}  {c}" for a, b, c in rows)
    longest = max(report.phases, key=lambda phase: phase.latency_s)
    if longest.memory_s and longest.compute_s:
        yield f"  {_balance(longest)}"


def _balance(phase: PhaseTime) -> str:
    compared = phase.memory_s / phase.compute_s
    if compared <= 1:
        return f"before {phase.memory} limits phase {phase.name}, compute would have to be {ratio(1 / compared)} faster"
    return f"before compute limits phase {phase.name}, {phase.memory} would have to be {ratio(compared)} faster"


def energy(explanation: Explanation) -> str:
    """Components, and under each the rows that take most of it, as count x unit energy."""
    whole = explanation.derivation("energy").terms[0]
    parts = explanation.derivation("energy").parts
    sources = Sources()
    rows = []
    for component, own in _by_component(parts):
        energy_pj = sum(part.term.value for part in own)
        rows.append([component, joules(energy_pj), part_of(energy_pj, whole.value), ""])
        for part in own[:ROWS_SHOWN]:
            share = part_of(part.term.value, whole.value)
            rows.append([f"  {_short(part)}", joules(part.term.value), share, formula(part.term, sources)])
        rows += _rest(own[ROWS_SHOWN:], whole.value)
    head = f"energy {joules(whole.value)} = sum of {len(parts)} rows of count x unit energy"
    return f"{head}\n\n{table(rows, ['', 'energy', 'share', 'count x unit energy'], 'lrrl', width=WIDTH)}\n\n{sources}"


def _rest(parts: list[Part], whole: float) -> list[list[str]]:
    if not parts:
        return []
    energy_pj = sum(part.term.value for part in parts)
    return [[f"  {len(parts)} more", joules(energy_pj), part_of(energy_pj, whole), ""]]


def _short(part: Part) -> str:
    """A row without its component: `BQK reads Q`, `SLN computes exp`."""
    words = part.term.name.split()
    return " ".join(words[: words.index("with")] if "with" in words else words[:3])


def traffic(explanation: Explanation) -> str:
    """Bytes of each operand at the outermost memory."""
    whole = explanation.derivation("traffic").terms[0]
    sources = Sources()
    parts = sorted(explanation.derivation("traffic").parts, key=lambda part: -part.term.value)
    rows = []
    for part in parts:
        share = part_of(part.term.value, whole.value)
        rows.append([part.term.name, binary(part.term.value), share, formula(part.term.parts[0], sources)])
    head = f"traffic {binary(whole.value)} = {formula(whole, sources)}"
    return f"{head}\n\n{table(rows, ['Einsum, operand', 'bytes', 'share', 'words'], 'lrrl', width=WIDTH)}\n\n{sources}"


def area_overview(explanation: Explanation) -> str:
    """Area of each kind of component: instances x area of one."""
    whole = explanation.derivation("area").terms[0]
    sources = Sources()
    parts = sorted(explanation.derivation("area").parts, key=lambda part: -part.term.value)
    rows = [
        [part.term.name, area(part.term.value), part_of(part.term.value, whole.value), formula(part.term, sources)]
        for part in parts
    ]
    head = f"area {area(whole.value)} = {exact(whole.value)} um^2"
    found = table(rows, ["", "area", "share", "instances x area of one"], "lrrl", width=WIDTH)
    return f"{head}\n\n{found}\n\n{sources}"


def utilization(explanation: Explanation) -> str:
    """Per array: cycles in which all its processing elements would do an Einsum's work / cycles of the latency."""
    blocks = []
    for (component, own), term in zip(
        groupby(explanation.derivation("utilization").parts, key=lambda part: part.component),
        explanation.derivation("utilization").terms,
        strict=True,
    ):
        rows = [[part.einsum, percent(part.term.value), *_lanes(part.term)] for part in own]
        headers = ["Einsum", "utilization", "= cycles", "x lanes in use", "/ cycles of the latency"]
        blocks.append(f"{component}: {percent(term.value)}\n{table(rows, headers, 'lrrrr', width=WIDTH)}")
    return "\n\n".join(blocks)


def _lanes(term: Term) -> list[str]:
    busy, whole = term.parts
    cycles, lanes = busy.parts
    in_use, there = lanes.parts
    return [number(cycles.value), f"{number(in_use.value)} / {number(there.value)}", f"{whole.value:,.0f}"]


def _by_component(parts: tuple[Part, ...]) -> list[tuple[str, list[Part]]]:
    """Parts by component, groups and members largest first."""
    groups: dict[str, list[Part]] = {}
    for part in sorted(parts, key=lambda part: -part.term.value):
        groups.setdefault(part.component, []).append(part)
    return sorted(groups.items(), key=lambda item: -sum(part.term.value for part in item[1]))


OVERVIEWS: Mapping[str, Callable[[Explanation], str]] = MappingProxyType(
    {"latency": latency, "energy": energy, "traffic": traffic, "area": area_overview, "utilization": utilization}
)
